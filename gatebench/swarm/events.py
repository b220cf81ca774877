"""A connection over which a server sends numbered events, for as long as it keeps sending them.

Knows the contract's events, and all that connection.py knows. Must not know windows, nor Locust.
"""

from __future__ import annotations

from gatebench.swarm.connection import Owner
from gatebench.swarm.engine import Engine
from gatebench.swarm.kept import HeldConnection
from gatebench.swarm.mix import mismatch
from gatebench.swarm.target import Target
from gatebench.swarm.wire import WireError

OK_STATUS = 200
NO_STREAM = "answer of a known length where a stream was expected"
OTHER_EVENT = "event other than the next number"
STREAM_ENDED = "stream ended"


class Numbered:
    """The events of one stream, `data: 1`, `data: 2` and so on, each with an empty line after it."""

    __slots__ = ("_rest", "count", "length")

    def __init__(self) -> None:
        self.count = 0
        self.length = 0  # of the last event, in bytes
        self._rest = b""  # the beginning of an event

    def feed(self, data: bytes) -> int:
        """Take in what came; give how many events it completes. WireError where it is not the next one."""
        before, text = self.count, self._rest + data
        while text:
            event = b"data: %d\n\n" % (self.count + 1)
            if not text.startswith(event[: len(text)]):
                raise WireError(OTHER_EVENT)
            if len(text) < len(event):
                break
            text = text[len(event) :]
            self.count += 1
            self.length = len(event)
        self._rest = text
        return self.count - before


class EventsConnection(HeldConnection):
    """A connection that is asked once, opens with the first event, and whose owner hears of each as of an answer."""

    __slots__ = ("_events", "every_s", "late_s")

    AWAITED = "event"
    ENDED_EARLY = "connection closed before the first event"

    def __init__(self, engine: Engine, target: Target, owner: Owner, timeout_s: float, *, every_s: float) -> None:
        """Make one; the next event may take `timeout_s` longer than its time."""
        super().__init__(engine, target, owner, every_s + timeout_s)
        self.every_s = every_s
        self.late_s: float | None = None  # what the last event took beyond its time; of the first nobody knows
        self._events = Numbered()

    @property
    def length(self) -> int:
        """How many bytes the last event had."""
        return self._events.length

    def _ready(self) -> None:
        self._events = Numbered()
        self._say(self._wire)

    def _received(self, data: bytes, now: float) -> None:
        try:
            complete = self.parser.feed(data)
            self._judge_head()
            came = self._events.feed(self.parser.drain())
        except WireError as error:
            self._fail(str(error), now)
            return
        for _ in range(came):
            self._hear(now)
        if complete:
            self._fail(STREAM_ENDED, now)

    def _judge_head(self) -> None:
        head = self.parser.head
        if head is not None and self.unopened:
            reason = mismatch(OK_STATUS, None, head.status, 0) or ("" if head.length is None else NO_STREAM)
            if reason:
                raise WireError(reason)

    def _hear(self, now: float) -> None:
        if not self.busy:  # the owner has closed
            return
        self.late_s = None if self.unopened else max(0.0, now - self.began - self.every_s)
        self.began = now  # of the wait for the next
        if self.unopened:
            self._opened()
        self.done("", now)
