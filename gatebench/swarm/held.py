"""What users say and hear over connections that are opened first and then kept: echoes, events, single requests.

Knows those connections, and all that seats.py knows. Must not know when to speak, nor Locust's users.
"""

from __future__ import annotations

from gatebench.swarm.echo import EchoConnection
from gatebench.swarm.events import OTHER_EVENT, EventsConnection
from gatebench.swarm.kept import HeldConnection, KeptConnection
from gatebench.swarm.mix import OTHER_BODY, Echo, Events, Template, mismatch
from gatebench.swarm.seats import Around, Mix, Seat
from gatebench.swarm.tally import Lane
from gatebench.swarm.wire import render

OPENING = "OPEN"  # the request type of a connection that did not open
CLOSED_AFTER = "connection closed after the first answer"


class HeldSeat(Seat):
    """One that opens its connection before anything is counted of it."""

    __slots__ = ("_held", "_unopened")

    def __init__(self, held: HeldConnection, lane: Lane, around: Around) -> None:
        super().__init__(held, lane, around)
        self._held = held
        self._unopened = around.tally.lane(OPENING, lane.name)

    def _failed(self, reason: str, length: int, now: float) -> None:
        """Tell of a connection that did not open, or was lost; under some paces that is no error."""
        if self._held.unopened:
            if not self._pace.losing:
                self._tally.failed(self._unopened, now - self._held.began, 0, reason, self._user)
            self._pace.unopened(self, now, reason)
        elif self._pace.losing:
            self._pace.ended(self, now, good=False)
        else:
            self._count(reason, length, now)


class EchoSeat(HeldSeat):
    """Messages over a WebSocket, and their echoes."""

    __slots__ = ("_echoes", "_message", "_template")

    def __init__(self, echo: Echo, around: Around) -> None:
        self._echoes = EchoConnection(
            around.engine, around.target, self, around.timeout_s, path=echo.path, random=around.user.random
        )
        super().__init__(self._echoes, around.tally.lane("WS", echo.name or echo.path), around)
        self._template = Template(echo.message)
        self._message: bytes | None = None  # None: the connection is being opened, and nothing is to be said

    def open(self, now: float) -> None:  # noqa: ARG002
        """Open the connection."""
        self._message = None
        self._echoes.ask(b"")

    def speak(self, due: float, _now: float) -> None:
        """Send the next message."""
        self._due = due
        random = self._user.random
        self._message = self._template.fill({one: one.draw(random).encode() for one in self._template.values})
        self._echoes.tell(self._message)

    def done(self, reason: str, now: float) -> None:
        """Compare the echo and count it."""
        try:
            if reason:
                self._failed(reason, len(self._message or b""), now)
            elif self._message is None:
                self._pace.opened(self, now)
            else:
                self.bodies_checked += 1
                reason = "" if self._echoes.message == self._message else "echo other than the message"
                self._count(reason, len(self._message), now)
        except Exception as error:  # noqa: BLE001 - of a wait_time or a listener
            self._user.finish(error)


class KeptSeat(HeldSeat):
    """A request that opens the connection, and one more over the same: all answers are checked, being so few."""

    __slots__ = ("_kept", "_mix", "_sent")

    def __init__(self, mix: Mix, around: Around) -> None:
        self._kept = KeptConnection(around.engine, around.target, self, around.timeout_s)
        super().__init__(self._kept, mix.lanes[0], around)
        self._mix = mix
        self._sent = mix.pick(around.user.random)[0]

    def open(self, now: float) -> None:
        """Open the connection by a request."""
        self.speak(now, now)

    def speak(self, due: float, _now: float) -> None:
        """Send the next request."""
        self._due = due
        self._sent, self._lane = self._mix.pick(self._user.random)
        self._kept.ask(self._sent.wire, self._sent.bodiless)

    def done(self, reason: str, now: float) -> None:
        """Check the answer and, but for the first, count it."""
        try:
            kept = self._kept
            wrong = "" if reason else self._mismatch()
            if kept.unopened:
                if reason or wrong or not kept.settle():
                    self._failed(reason or wrong or CLOSED_AFTER, 0, now)
                else:
                    self._pace.opened(self, now)
            elif reason:
                self._failed(reason, 0, now)
            else:
                self._count(wrong, kept.parser.length, now)
        except Exception as error:  # noqa: BLE001 - of an expectation, a wait_time or a listener
            self._user.finish(error)

    def _mismatch(self) -> str:
        parser, sent = self._kept.parser, self._sent
        reason = mismatch(sent.status, sent.length, parser.status, parser.length)
        if reason or sent.fits is None:
            return reason
        self.bodies_checked += 1
        return "" if sent.fits(parser.body()) else OTHER_BODY


class EventsSeat(HeldSeat):
    """A stream of events: each but the first is counted as a request that took as long as it was late."""

    __slots__ = ("_events", "_wire")

    listens = True

    def __init__(self, events: Events, around: Around) -> None:
        if not events.every_s > 0:
            raise ValueError(f"events come every so many seconds, more than 0, not {events.every_s!r}")
        target = around.target
        self._wire = render("GET", target.prefix + events.path, target.netloc, {"Accept": "text/event-stream"}, None)
        self._events = EventsConnection(around.engine, target, self, around.timeout_s, every_s=events.every_s)
        super().__init__(self._events, around.tally.lane("SSE", events.name or events.path), around)

    @property
    def began(self) -> float:
        """Give when the next event is due."""
        return self._events.began + self._events.every_s

    @property
    def in_flight_since(self) -> float | None:
        """Give when the stream was asked for, where it has not begun."""
        return super().in_flight_since if self._events.unopened else None

    def open(self, now: float) -> None:
        """Ask for the stream."""
        self.speak(now, now)

    def speak(self, due: float, _now: float) -> None:
        """Ask for the stream where there is none; else go on listening."""
        self._due = due
        if not self._events.busy:
            self._events.ask(self._wire)

    def leave_soon(self) -> None:
        """End the user now: a stream would have no end."""
        super().leave_soon()
        self.finish()

    def done(self, reason: str, now: float) -> None:
        """Count an event, or tell of the stream's end."""
        try:
            late_s = self._events.late_s
            if reason == OTHER_EVENT and not self._events.unopened:
                self._count(reason, 0, now)  # it is wrong, and not only lost
            elif reason:
                self._failed(reason, 0, now)
            elif late_s is None:
                self._pace.opened(self, now)
            else:
                self.bodies_checked += 1
                self._tally.answered(self._lane, now - late_s, late_s, self._events.length, self._user)
        except Exception as error:  # noqa: BLE001 - of a listener
            self._user.finish(error)
