"""What the users of an EngineUser say and hear: a mix of requests over one connection each, every answer checked.

Knows mixes, connections and the tally. Must not know when to speak (pacing.py does), nor Locust's users.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from gatebench.swarm.connection import UNASKED, Connection
from gatebench.swarm.engine import Engine
from gatebench.swarm.mix import (
    BODIES_CHECKED,
    OTHER_BODY,
    Flow,
    Rendering,
    Request,
    Sent,
    Step,
    Value,
    choice,
    mismatch,
    steps,
)
from gatebench.swarm.pacing import ClosedLoop, Leaving, Pace
from gatebench.swarm.tally import Lane, Tally
from gatebench.swarm.target import Target
from gatebench.swarm.wire import REMEMBERED_HEADS, Head, Parser, fields

REPEAT_S = 0.1  # how long answers that equal a checked one, byte for byte, go without saying
NOBODY = "none"  # said where an answer has not the header that is counted
ANSWERER_CHARACTERS = 60  # of its value


class Mix:
    """A class's requests, ready to be sent to one server and counted."""

    def __init__(self, requests: Sequence[Request], target: Target, tally: Tally) -> None:
        self.renderings = [Rendering(one, target.netloc, target.prefix) for one in requests]
        self.lanes = [tally.lane(*one.key) for one in self.renderings]
        self.constant = self.renderings[0].constant if len(requests) == 1 else None  # where all are the same
        self.alike = self.constant is not None and self.renderings[0].alike  # and so are good answers
        if self.constant is not None:
            self.lanes[0].each = self.constant.length
        self._choose = choice([one.weight for one in requests])

    def pick(self, random: Random) -> tuple[Sent, Lane]:
        """Draw a request by the weights, and its values."""
        number = self._choose(random) if len(self.renderings) > 1 else 0
        rendering = self.renderings[number]
        return rendering.constant or rendering.draw(random), self.lanes[number]


@dataclass(frozen=True, slots=True)
class Course:
    """A flow, or a request by itself, ready to be sent and counted."""

    steps: tuple[Step, ...]
    lanes: tuple[Lane, ...]


class Courses:
    """A class's flows, beside requests by themselves; and whose answers are whose, where a header tells."""

    def __init__(
        self, mix: Sequence[Request | Flow], target: Target, tally: Tally, counted: str | None = None
    ) -> None:
        flows = [Flow((one,), one.weight) if isinstance(one, Request) else one for one in mix]
        self._courses = []
        for flow in flows:
            ready = steps(flow, target.netloc, target.prefix)
            self._courses.append(Course(ready, tuple(tally.lane(*one.rendering.key) for one in ready)))
        self._choose = choice([one.weight for one in flows])
        self._tally = tally
        self._counted = None if counted is None else counted.lower()
        self._heads: dict[tuple[Lane, bytes], Lane] = {}

    def pick(self, random: Random) -> Course:
        """Draw a flow by the weights."""
        return self._courses[self._choose(random) if len(self._courses) > 1 else 0]

    def lane(self, lane: Lane, head: Head | None) -> Lane:
        """Give the lane in which an answer with this head is counted."""
        if self._counted is None or head is None:
            return lane
        found = self._heads.get((lane, head.raw))
        if found is None:
            if len(self._heads) >= REMEMBERED_HEADS:
                self._heads.clear()
            by = dict(fields(head.raw)).get(self._counted, "")[:ANSWERER_CHARACTERS] or NOBODY
            found = self._heads[lane, head.raw] = self._tally.lane(lane.method, lane.name, by)
        return found


class User(Protocol):
    """Whose seat it is."""

    random: Random
    wait_s: Callable[[], float] | None  # None: never waits

    def context(self) -> dict[str, Any]:
        """Give what Locust's events are to carry."""

    def finish(self, error: Exception | None = None) -> None:
        """End, by this error where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a seat stands among."""

    engine: Engine
    target: Target
    tally: Tally
    pace: Pace
    user: User
    timeout_s: float  # of a request


class Seat:
    """A user's place in the engine: one connection, and what is counted of it."""

    __slots__ = (
        "_at_once",
        "_due",
        "_lane",
        "_pace",
        "_random",
        "_tally",
        "_user",
        "bodies_checked",
        "connection",
        "stay",
    )

    listens = False

    def __init__(self, connection: Connection, lane: Lane, around: Around) -> None:
        self.connection = connection
        self.bodies_checked = 0
        self.stay = 0
        self._lane = lane
        self._tally, self._pace, self._user = around.tally, around.pace, around.user
        self._random = around.user.random.random
        self._at_once = isinstance(around.pace, ClosedLoop) and around.user.wait_s is None  # it never waits
        self._due = 0.0  # of what is in flight, where arrivals have their times

    @property
    def is_open(self) -> bool:
        """Say whether the connection is."""
        return self.connection.is_open

    @property
    def began(self) -> float:
        """Give when the last exchange did."""
        return self.connection.began

    @property
    def in_flight_since(self) -> float | None:
        """Give when what is in flight began, or was due; None where nothing is."""
        if not self.connection.busy:
            return None
        return self._due if self._pace.paced else self.connection.began

    def wait_s(self) -> float:
        """Give the time between an answer and the next request."""
        return 0.0 if self._user.wait_s is None else self._user.wait_s()

    def finish(self) -> None:
        """End the user."""
        self.stay += 1  # it wakes a little later, and what it waited to say may be due before that
        self.connection.close()
        self._user.finish()

    def open(self, now: float) -> None:
        """Open the connection, and have nothing counted; only seats that can hold one do."""
        raise NotImplementedError

    def speak(self, due: float, now: float) -> None:
        """Send what comes next."""
        raise NotImplementedError

    def leave_soon(self) -> None:
        """End the user when what is in flight has ended."""
        self._pace.leave(self)
        self._pace = Leaving(self._pace)
        self._at_once = False
        if not self.connection.busy:
            self.finish()

    def leave(self) -> None:
        """Say nothing any more."""
        self.stay += 1
        self._pace.leave(self)
        self.connection.close()

    def unasked(self) -> None:
        """Count a failure of the last request, after whose answer more came; a held connection is lost by it."""
        if not self._pace.losing:
            self._tally.failed(self._lane, 0.0, 0, UNASKED, self._user)

    def _drawn(self) -> bool:
        """Say whether this answer is one of those whose body is compared."""
        return self._random() < BODIES_CHECKED or not self.bodies_checked

    def _count(self, reason: str, length: int, now: float) -> None:
        lane = self._lane
        began = self._due if self._pace.paced else self.connection.began
        if reason:
            self._tally.failed(lane, now - began, length, reason, self._user)
        else:
            self._tally.answered(lane, began, now - began, length, self._user)
        self._pace.ended(self, now, good=not reason)


class HttpSeat(Seat):
    """Requests and answers."""

    __slots__ = ("_alike", "_mix", "_one", "_sent")

    def __init__(self, mix: Mix, around: Around) -> None:
        connection = Connection(around.engine, around.target, self, around.timeout_s)
        super().__init__(connection, mix.lanes[0], around)
        self._mix = mix
        self._one = mix.constant  # what every request is, where all are the same
        self._alike = mix.alike
        self._sent = mix.constant or mix.pick(around.user.random)[0]

    def speak(self, due: float, _now: float) -> None:
        """Send the next request."""
        self._due = due
        sent = self._one
        if sent is None:
            sent, self._lane = self._mix.pick(self._user.random)
            self._sent = sent
        self.connection.ask(sent.wire, sent.bodiless)

    def done(self, reason: str, now: float) -> None:
        """Check the answer and count it."""
        try:
            connection, sent = self.connection, self._sent
            parser = connection.parser
            length = parser.length
            if reason:
                length = 0
            elif parser.status != sent.status or length != sent.length:
                reason = mismatch(sent.status, sent.length, parser.status, length)
            # What is to stand for others is checked itself.
            if not reason and sent.fits is not None and (self._alike or self._drawn()):
                self.bodies_checked += 1
                reason = "" if sent.fits(parser.body()) else OTHER_BODY
            if reason or self._tally.each or not self._at_once:
                self._count(reason, length, now)
                return
            # The same as above, for the many.
            lane, began = self._lane, connection.began
            lane.began.append(began)
            lane.took.append(now - began)
            if self._alike:
                connection.repeat(now + REPEAT_S, lane.began.append, lane.took.append)
            elif lane.each is None:
                lane.length += length
            if self._one is None:
                sent, self._lane = self._mix.pick(self._user.random)
                self._sent = sent
            connection.ask(sent.wire, sent.bodiless)
        except Exception as error:  # noqa: BLE001 - of an expectation, a wait_time or a listener
            self._user.finish(error)


class FlowSeat(Seat):
    """Requests and answers, some in flows or with a header of theirs counted; it costs a little more."""

    __slots__ = ("_at", "_course", "_courses", "_known", "_sent")

    def __init__(self, courses: Courses, around: Around) -> None:
        self._courses = courses
        self._course = courses.pick(around.user.random)
        connection = Connection(around.engine, around.target, self, around.timeout_s)
        super().__init__(connection, self._course.lanes[0], around)
        self._at = len(self._course.steps)  # how much of it is over
        self._known: dict[Value, bytes] = {}  # what the flow's values have become
        self._sent: Sent | None = None

    def speak(self, due: float, _now: float) -> None:
        """Send the next request of the flow, or the first of another one."""
        self._due = due
        random = self._user.random
        if self._at >= len(self._course.steps):
            self._course, self._at, self._known = self._courses.pick(random), 0, {}
        rendering = self._course.steps[self._at].rendering
        self._lane = self._course.lanes[self._at]
        self._sent = sent = rendering.constant or rendering.draw(random, self._known)
        self.connection.ask(sent.wire, sent.bodiless)

    def done(self, reason: str, now: float) -> None:
        """Check the answer and count it."""
        try:
            parser = self.connection.parser
            length = 0 if reason else parser.length
            reason = reason or self._mismatch(parser)
            if reason:
                self._at = len(self._course.steps)  # what would follow, follows from this answer
            else:
                self._at += 1
                self._lane = self._courses.lane(self._lane, parser.head)
            self._count(reason, length, now)
        except Exception as error:  # noqa: BLE001 - of an expectation, a wait_time or a listener
            self._user.finish(error)

    def _mismatch(self, parser: Parser) -> str:
        """Say what of an answer is not as expected, and take from it what is wanted later."""
        step, sent = self._course.steps[self._at], self._sent
        if sent is None:
            raise RuntimeError("an answer to nothing")
        if parser.status != sent.status or parser.length != sent.length:
            reason = mismatch(sent.status, sent.length, parser.status, parser.length)
            if reason:
                return reason
        if step.takes:
            self.bodies_checked += 1
            found = step.rendering.found(self._known, parser.body())
            if found is None:
                return OTHER_BODY
            self._known.update((value, found[value]) for value in step.takes)
        elif sent.fits is not None and self._drawn():
            self.bodies_checked += 1
            return "" if sent.fits(parser.body()) else OTHER_BODY
        return ""
