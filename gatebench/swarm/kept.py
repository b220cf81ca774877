"""Connections that are opened by an exchange of their own and then kept; here, those of plain requests.

Knows when a connection counts as open, and all that connection.py knows. Must not know what is asked for, nor Locust.
"""

from __future__ import annotations

from gatebench.swarm.connection import Connection, Owner, reason_of
from gatebench.swarm.engine import Engine
from gatebench.swarm.target import Target

HANDSHAKE_S = 3.0  # a connection whose first exchange takes longer is not opened


class HeldConnection(Connection):
    """A connection that is open when its first exchange is over, and until then keeps its door.

    What is lost stays lost: nothing is sent a second time, so a server that closes has not kept it.
    """

    __slots__ = ("unopened",)

    AWAITED = "answer"  # in words
    ENDED_EARLY = "connection closed before the answer"  # in which it would have opened

    def __init__(self, engine: Engine, target: Target, owner: Owner, timeout_s: float) -> None:
        super().__init__(engine, target, owner, timeout_s)
        self.unopened = True  # it has not opened yet, or the last failure was that it did not

    def expire(self, now: float) -> None:
        """Fail the opening, or the exchange, that takes too long."""
        limit_s = HANDSHAKE_S if self.unopened else self._timeout_s
        if self.busy and now - self.began > limit_s:
            told = "connection not opened" if self.unopened else f"no {self.AWAITED}"
            self._fail(f"{told} within {limit_s:g} s", now)

    def _open(self) -> None:
        self.unopened = True
        super()._open()

    def _opened(self) -> None:
        self.unopened = False
        super()._opened()

    def _ended(self, now: float) -> None:
        self._fail(self.ENDED_EARLY if self.unopened else f"connection closed before the {self.AWAITED}", now)

    def _lost(self, error: OSError, now: float) -> None:
        if self.unopened:
            self._fail(reason_of(error), now)
        else:
            self._ended(now)


class KeptConnection(HeldConnection):
    """A connection of HTTP, open when the owner is content with the first answer."""

    __slots__ = ()

    def settle(self) -> bool:
        """Take it as open from now on; False where its server has closed it with the answer."""
        if self._socket is None:
            return False
        self._opened()
        return True

    def _ready(self) -> None:
        self._say(self._wire)
