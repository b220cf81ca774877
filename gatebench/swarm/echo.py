"""A connection whose exchanges are messages over a WebSocket and their echoes.

Knows the handshake, frames, and all that connection.py knows. Must not know what is said, nor Locust.
"""

from __future__ import annotations

from base64 import b64encode
from random import Random

from gatebench.swarm.connection import Owner
from gatebench.swarm.engine import Engine
from gatebench.swarm.frames import CLOSE, PING, PONG, TEXT, Frames, accepted, frame, handshake
from gatebench.swarm.kept import HeldConnection
from gatebench.swarm.target import Target
from gatebench.swarm.wire import WireError


class EchoConnection(HeldConnection):
    """A connection over which WebSocket messages go out and their echoes come in; asked with nothing, it opens."""

    __slots__ = ("_frames", "_key", "_path", "_random", "message")

    AWAITED = "echo"
    ENDED_EARLY = "handshake not completed"

    def __init__(
        self, engine: Engine, target: Target, owner: Owner, timeout_s: float, *, path: str, random: Random
    ) -> None:
        super().__init__(engine, target, owner, timeout_s)
        self.message = b""  # the echo, where one has come
        self._path = target.prefix + path
        handshake(self._path, target.netloc, "")  # ValueError now and not in the engine
        self._random = random
        self._key = ""
        self._frames: Frames | None = None  # None until the handshake is done

    def tell(self, text: bytes) -> None:
        """Send a text; the owner hears when its echo has come."""
        self.ask(frame(TEXT, text, self._random.getrandbits(32)))

    def close(self) -> None:
        """Say goodbye where there is someone to say it to, and close without waiting for an answer."""
        if self.is_open and not self._out:
            self._transmit(frame(CLOSE, b"\x03\xe8", self._random.getrandbits(32)))
        super().close()

    def _ready(self) -> None:
        self._key = b64encode(self._random.randbytes(16)).decode("ascii")
        self.parser.begin()
        self._transmit(handshake(self._path, self._target.netloc, self._key))

    def _received(self, data: bytes, now: float) -> None:
        try:
            if self._frames is None:
                if not self.parser.feed(data):
                    return
                data = self._open_by(now)
            messages = self._frames.feed(data) if self._frames is not None and data else ()
        except WireError as error:
            self._fail(str(error), now)
            return
        for opcode, message in messages:
            self._heard(opcode, message, now)

    def _open_by(self, now: float) -> bytes:
        """Take the answer to the handshake; give what came after it."""
        assert self.parser.head is not None  # noqa: S101 - it is complete
        reason = accepted(self.parser.head, self._key)
        if reason:
            self._fail(reason, now)
            return b""
        rest = self.parser.rest()
        self._opened()
        self._frames = Frames()
        if self._wire:
            self.began = now  # a round trip is that of the message
            self._transmit(self._wire)
        else:
            self.busy = False
            self.done("", now)
        return rest

    def _heard(self, opcode: int, message: bytes, now: float) -> None:
        if opcode == PING:
            self._transmit(frame(PONG, message, self._random.getrandbits(32)))
        elif opcode == CLOSE:
            self._ended(now)
        elif opcode != PONG:
            if not self.busy:
                self._shut()
                self._owner.unasked()
                return
            self.message = message
            self.busy = False
            self.done("", now)

    def _shut(self) -> None:
        self._frames = None
        super()._shut()
