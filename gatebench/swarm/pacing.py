"""When a seat speaks: after its answer (closed loop), when an arrival is due (open loop), or once in a window (hold).

Knows due times, and who is free. Must not know what is said, sockets or Locust.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Callable
from random import Random
from time import perf_counter
from typing import Literal, Protocol, TypeAlias

from gatebench.swarm.engine import Engine

Arrivals = Literal["constant", "poisson"]
KEPT_S = 1.0  # a held connection that answers within it is kept
Turn: TypeAlias = Callable[[float, float], None]


class Seat(Protocol):
    """One connection's worth of load."""

    stay: int  # raised when it leaves or waits anew: what was to be said is not
    listens: bool  # it says nothing while its connection is held

    @property
    def is_open(self) -> bool:
        """Say whether the connection is."""

    @property
    def began(self) -> float:
        """Give when the last exchange did, by perf_counter; of one that listens, when the next event is due."""

    def open(self, now: float) -> None:
        """Open the connection, and say nothing; the pace hears whether it has opened."""

    def speak(self, due: float, now: float) -> None:
        """Send the next request, whose response time counts from `due` where arrivals have their times."""

    def wait_s(self) -> float:
        """Give the time between an answer and the next request."""

    def finish(self) -> None:
        """End the user."""


class Pace(Protocol):
    """When seats speak."""

    paced: bool  # response time counts from when a request was due
    losing: bool  # that a connection does not open, or is lost, is a result and no error

    def join(self, seat: Seat, now: float) -> None:
        """Take in a seat."""

    def opened(self, seat: Seat, now: float) -> None:
        """Hear that a seat asked to open has done so."""

    def unopened(self, seat: Seat, now: float, reason: str) -> None:
        """Hear that a seat's connection did not open, and why."""

    def ended(self, seat: Seat, now: float, *, good: bool) -> None:
        """Hear that what a seat said has been answered, or has failed."""

    def leave(self, seat: Seat) -> None:
        """Let a seat go."""


class ClosedLoop:
    """Each seat speaks when it has its answer, and has waited as long as its user says."""

    paced = losing = False

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def join(self, seat: Seat, now: float) -> None:
        """Have a seat speak."""
        seat.speak(now, now)

    def opened(self, seat: Seat, now: float) -> None:
        """Have it speak at once."""
        seat.speak(now, now)

    def unopened(self, seat: Seat, now: float, reason: str) -> None:  # noqa: ARG002
        """Have the user end: without its connection it has nothing to say."""
        seat.finish()

    def ended(self, seat: Seat, now: float, *, good: bool) -> None:  # noqa: ARG002
        """Have it speak again."""
        wait_s = seat.wait_s()
        if wait_s > 0:
            seat.stay = stay = seat.stay + 1  # bytes that nobody had asked for may have come while it waited
            self._engine.at(now + wait_s, lambda due, now: seat.speak(due, now) if seat.stay == stay else None)
        else:
            seat.speak(now, now)

    def leave(self, seat: Seat) -> None:
        """Know nothing of any seat."""


class OpenLoop:
    """Arrivals come at a rate, whatever becomes of them; of those free, the last to become so takes the next.

    An arrival that finds nobody free waits in line, and is counted as overrun.
    """

    paced = True
    losing = False

    def __init__(self, engine: Engine, kind: Arrivals, random: Random, *, keeps: bool = True) -> None:
        """Make one; where nobody will ask for what it `keeps` of each arrival, it keeps nothing and stays small."""
        self.due = array("d")  # of each arrival since `watch`
        self.lag = array("d")  # from when a request could have been sent to when it was
        self.service = array("d")  # from when a request was sent to its answer, of those answered as expected
        self.overrun = 0
        self._engine = engine
        self._keeps = keeps
        self._poisson = kind == "poisson"
        self._random = random
        self._rate = 0.0
        self._next: float | None = None  # when the next arrival is due
        self._seats = 0
        self._free: dict[Seat, None] = {}  # the last is the last to have become so
        self._line: deque[float] = deque()

    def watch(self) -> None:
        """Begin to count anew."""
        del self.due[:], self.lag[:], self.service[:]
        self.overrun = 0

    @property
    def rate(self) -> float:
        """Give the arrivals per second."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        now = perf_counter()
        while self._next is not None and self._next <= now:  # due by the old rate, and the engine is late
            self._arrive(self._next, now)
        before, self._rate = self._rate, rate
        if rate <= 0:
            self._next = None
        elif self._next is None:
            self._expect(now)
        else:  # what is left of a gap shrinks or grows with all that follow
            self._expect(now + (self._next - now) * before / rate)

    def in_line(self) -> list[float]:
        """Give when those in line were due."""
        return list(self._line)

    def turn_away(self) -> None:
        """Empty the line."""
        self._line.clear()

    def join(self, seat: Seat, now: float) -> None:
        """Take in a seat, which is free."""
        self._seats += 1
        self._give(seat, now)

    def opened(self, seat: Seat, now: float) -> None:
        """Have it say what is due."""

    def unopened(self, seat: Seat, now: float, reason: str) -> None:  # noqa: ARG002
        """Give the seat to the next in line, as after any failure."""
        self.ended(seat, now, good=False)

    def ended(self, seat: Seat, now: float, *, good: bool) -> None:
        """Give the seat to the next in line."""
        if good and self._keeps:
            self.service.append(now - seat.began)
        self._give(seat, now)

    def leave(self, seat: Seat) -> None:
        """Let a seat go, and with the last one those in line: nobody will serve them."""
        self._free.pop(seat, None)
        self._seats -= 1
        if not self._seats:
            self.turn_away()

    def _give(self, seat: Seat, now: float) -> None:
        """Have a seat serve the next in line, or be free."""
        if self._line:
            due = self._line.popleft()
            if self._keeps:
                self.lag.append(perf_counter() - now)
            seat.speak(due, now)
        else:
            self._free[seat] = None

    def _expect(self, due: float) -> None:
        self._next = due
        self._engine.at(due, self._arrive)

    def _arrive(self, due: float, now: float) -> None:
        if due != self._next:  # the rate has changed since
            return
        self._expect(due + (self._random.expovariate(self._rate) if self._poisson else 1 / self._rate))
        if self._keeps:
            self.due.append(due)
        if self._free:
            if self._keeps:
                self.lag.append(perf_counter() - due)
            self._free.popitem()[0].speak(due, now)
        else:
            self.overrun += 1
            self._line.append(due)


class Leaving:
    """What a seat has in place of its pace when its user is to end: what is in flight ends first."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self.paced = pace.paced
        self.losing = pace.losing

    def join(self, seat: Seat, now: float) -> None:  # noqa: ARG002
        """End the user."""
        seat.finish()

    def opened(self, seat: Seat, now: float) -> None:  # noqa: ARG002
        """End the user."""
        seat.finish()

    def unopened(self, seat: Seat, now: float, reason: str) -> None:  # noqa: ARG002
        """End the user."""
        seat.finish()

    def ended(self, seat: Seat, now: float, *, good: bool) -> None:  # noqa: ARG002
        """End the user."""
        seat.finish()

    def leave(self, seat: Seat) -> None:
        """Let the seat go from where it was."""
        self._pace.leave(seat)


class Hold:
    """Connections are opened, and kept open; in a window each speaks once at a time of its own, or is listened to."""

    paced = False
    losing = True

    def __init__(self, engine: Engine, window_s: float) -> None:
        self.kept = 0  # answered within KEPT_S, or heard until the end
        self.late = 0  # answered later than that
        self.unopened_reasons: Counter[str] = Counter()
        self.last_opened_s = perf_counter()
        self._engine = engine
        # The last to speak has time for its answer in the window.
        self._span_s = max(window_s - KEPT_S, window_s / 2)
        self._begun_s = 0.0
        self._pending: dict[Seat, None] = {}
        self._row: list[Seat] = []

    @property
    def opened_count(self) -> int:
        """How many connections have opened."""
        return len(self._row)

    @property
    def pending_count(self) -> int:
        """How many connections may yet open."""
        return len(self._pending)

    def join(self, seat: Seat, now: float) -> None:
        """Have a seat open its connection."""
        self._pending[seat] = None
        seat.open(now)

    def opened(self, seat: Seat, now: float) -> None:
        """Have it wait for its turn."""
        self._pending.pop(seat, None)
        self._row.append(seat)
        self.last_opened_s = now

    def unopened(self, seat: Seat, now: float, reason: str) -> None:  # noqa: ARG002
        """Have the user end."""
        self._pending.pop(seat, None)
        self.unopened_reasons[reason] += 1
        seat.finish()

    def ended(self, seat: Seat, now: float, *, good: bool) -> None:
        """Count it as kept where the answer came in time."""
        if good:
            self._count(now - seat.began)
        if not seat.is_open:
            seat.finish()

    def leave(self, seat: Seat) -> None:
        """Have it open no more."""
        self._pending.pop(seat, None)

    def turn_away(self, reason: str) -> None:
        """End the users that still wait for a connection."""
        for seat in list(self._pending):
            self.unopened(seat, perf_counter(), reason)

    def begin(self) -> None:
        """Let the turns begin."""
        start = self._begun_s = perf_counter()
        speakers = [seat for seat in self._row if not seat.listens]
        for place, seat in enumerate(speakers):
            self._engine.at(start + self._span_s * place / len(speakers), self._turn_of(seat))

    def end(self) -> None:
        """Count those that listen, whose next event is in time or overdue by now."""
        now = perf_counter()
        for seat in self._row:
            overdue_s = now - seat.began
            # One that fell silent before the window began is neither kept nor late.
            if seat.listens and seat.is_open and (overdue_s <= KEPT_S or seat.began >= self._begun_s):
                self._count(overdue_s)

    def _count(self, took_s: float) -> None:
        if took_s <= KEPT_S:
            self.kept += 1
        else:
            self.late += 1

    def _turn_of(self, seat: Seat) -> Turn:
        return lambda due, now: seat.speak(due, now) if seat.is_open else seat.finish()
