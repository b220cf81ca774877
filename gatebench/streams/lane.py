"""Turns and lanes: who asks, over which connection, and what becomes of those whose connection ends.

Knows when a request is sent, sent again or given up. Must not know a protocol's bytes.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Protocol

from gatebench.streams.seen import Seen

PATH = "/plaintext"
STATUS = 200
BODY = b"Hello, World!"
LONGEST_BODY = 1 << 16  # more than this is not kept: it is wrong
AGAIN = 3  # a request that is refused more often is an error
PAUSE_S = 0.1  # after a connection that could not be opened
AT_A_TIME = 128  # connections being opened: a server's backlog is often no longer
LOOK_S = 0.25  # for requests that are late, or more often where less is waited


class OpeningError(Exception):
    """A connection that speaks something else, or nothing; says why."""


class Line(Protocol):
    """One connection that is open."""

    @property
    def room(self) -> bool:
        """Whether it takes one more request now."""
        ...

    def ask(self, turn: Turn) -> None:
        """Take a request, to be sent with the next `flush`."""
        ...

    def flush(self) -> None:
        """Send what is to be sent."""
        ...

    def give_up(self, turn: Turn) -> None:
        """Forget a request that is late."""
        ...

    def retire(self) -> None:
        """Take no more requests, and close when the last one has its answer."""
        ...

    def close(self) -> None:
        """Close at once."""
        ...


class Turn:
    """One of the requests at a time: as soon as it has its answer, the next one is asked."""

    __slots__ = ("again", "began_s", "lane", "line")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.line: Line | None = None  # where its request is; None: it waits for one that has room
        self.began_s = 0.0
        self.again = 0


class Lane:
    """Turns that share a connection, and its successor when it ends."""

    def __init__(self, crew: Crew, turns: int) -> None:
        self.crew = crew
        self.turns = [Turn(self) for _ in range(turns)]
        self._waiting = deque(self.turns)
        self._line: Line | None = None  # the one for what comes next
        self._lines: set[Line] = set()  # and those that still have answers to give
        self._opening: asyncio.Task[None] | None = None

    def pump(self) -> None:
        """Send what waits, as far as there is room for it."""
        line, waiting = self._line, self._waiting
        if line is None:
            if waiting and not self.crew.over and (self._opening is None or self._opening.done()):
                self._opening = asyncio.create_task(self._open())
            return
        while waiting and line.room:
            turn = waiting.popleft()
            turn.line = line
            line.ask(turn)
        line.flush()

    def answered(self, turn: Turn, status: int | None, body: bytes) -> None:
        """Judge an answer; the turn asks again."""
        if status != STATUS:
            self.failed(turn, f"status {status} instead of {STATUS}" if status else "an answer without a status")
        elif body != BODY:
            self.failed(turn, "the body is not the expected one")
        else:
            now_s = perf_counter()
            self.crew.seen.answered(turn.began_s, now_s)
            self._next(turn, now_s)

    def failed(self, turn: Turn, reason: str) -> None:
        """Count an error; the turn asks again."""
        now_s = perf_counter()
        self.crew.seen.failed(turn.began_s, now_s, reason)
        self._next(turn, now_s)

    def refused(self, turn: Turn) -> None:
        """Send a request again that the server says it has not worked on; its time goes on."""
        turn.again += 1
        if turn.again > AGAIN:
            self.failed(turn, f"refused {turn.again} times")
            return
        self.crew.seen.again()
        turn.line = None
        self._waiting.appendleft(turn)

    def retired(self, line: Line) -> None:
        """Hear that a connection takes no more."""
        if self._line is line:
            self._line = None

    def closed(self, line: Line) -> None:
        """Hear that a connection is closed."""
        self._lines.discard(line)

    def late(self, turn: Turn) -> None:
        """Give up a request, and its connection for those to come."""
        if (line := turn.line) is not None:
            line.give_up(turn)
            line.retire()
        else:
            self._waiting.remove(turn)
        self.failed(turn, f"no answer within {self.crew.timeout_s:g} s")

    def stop(self) -> None:
        """Close all connections."""
        if self._opening is not None:
            self._opening.cancel()
        for line in tuple(self._lines):
            line.close()

    def _next(self, turn: Turn, now_s: float) -> None:
        turn.began_s, turn.again, turn.line = now_s, 0, None
        self._waiting.append(turn)

    async def _open(self) -> None:
        """Open connections until one stands; while none does, every request is an error."""
        while self._line is None:
            try:
                async with self.crew.door, asyncio.timeout(self.crew.timeout_s):
                    self._line = await self.crew.open_line(self)
            except TimeoutError:
                reason = f"no connection within {self.crew.timeout_s:g} s"
            except (OSError, OpeningError) as error:
                reason = f"no connection ({why(error)})"
            else:
                self._lines.add(self._line)
                break
            for turn in [self._waiting.popleft() for _ in range(len(self._waiting))]:
                self.failed(turn, reason)
            await asyncio.sleep(PAUSE_S)
        self._opening = None
        self.pump()


class Crew:
    """All turns of a load, on their lanes."""

    def __init__(
        self, open_line: Callable[[Lane], Awaitable[Line]], *, size: int, lanes: int, timeout_s: float
    ) -> None:
        self.open_line = open_line
        self.timeout_s = timeout_s
        self.seen = Seen()
        self.door = asyncio.Semaphore(AT_A_TIME)
        self.over = False
        shares = [size // lanes + (number < size % lanes) for number in range(lanes)]
        self._lanes = [Lane(self, share) for share in shares if share]
        self._turns = [turn for lane in self._lanes for turn in lane.turns]

    def begin(self) -> None:
        """Have all turns ask."""
        now_s = perf_counter()
        for turn in self._turns:
            turn.began_s = now_s
        for lane in self._lanes:
            lane.pump()
        self._look()

    def in_flight_since(self) -> list[float]:
        """Say when each request began that has no answer yet."""
        return [turn.began_s for turn in self._turns]

    def stop(self) -> None:
        """End it all."""
        self.over = True
        self._timer.cancel()
        for lane in self._lanes:
            lane.stop()

    def _look(self) -> None:
        """Give up requests that are late: one timer for all."""
        late_s = perf_counter() - self.timeout_s
        late = [turn for turn in self._turns if turn.began_s < late_s]
        for turn in late:
            turn.lane.late(turn)
        for lane in {turn.lane for turn in late}:
            lane.pump()
        self._timer = asyncio.get_running_loop().call_later(min(LOOK_S, self.timeout_s / 4), self._look)


def why(error: Exception) -> str:
    """Say what went wrong with a connection, without the address, which is another one every time."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS failed").replace("_", " ").lower()
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
