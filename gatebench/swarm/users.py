"""The users a scenario derives from: Locust users whose requests are sent by the engine, checked and counted.

Knows Locust's user classes, and what the users of one environment share. Must not know jobs, windows or figures;
under plain `locust -f` all of it works with its defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from time import perf_counter
from types import FunctionType
from typing import Any, cast, get_args

import gevent
from gevent.hub import Waiter
from locust import User, events, task
from locust.exception import StopTest, StopUser
from locust.user.task import LOCUST_STATE_RUNNING, DefaultTaskSet

from gatebench.swarm.client import Client
from gatebench.swarm.engine import WATCH_S, Engine
from gatebench.swarm.held import EchoSeat, EventsSeat, HeldSeat, KeptSeat
from gatebench.swarm.mix import Digits, Echo, Events, Expect, Flow, Hex, Judge, Request, Whole
from gatebench.swarm.pacing import Arrivals, ClosedLoop, Hold, OpenLoop, Pace
from gatebench.swarm.seats import Around, Courses, FlowSeat, HttpSeat, Mix, Seat
from gatebench.swarm.tally import Tally
from gatebench.swarm.target import HostError, Target

__all__ = [
    "Digits",
    "Echo",
    "EngineUser",
    "Events",
    "Expect",
    "Flow",
    "Hex",
    "HttpUser",
    "Judge",
    "Request",
    "Whole",
    "task",
]

MOST_ARRIVALS = 100_000  # a second, for each user: hardly any generator sends more
NO_HOST = "no host is given; name the server with -H http://127.0.0.1:PORT"

hub = gevent.get_hub()
# Locust's `-t 1s` counts from when gevent's loop last looked at the clock, which was before all these imports.
hub.loop.update_now()
hub.NOT_ERROR = (*hub.NOT_ERROR, StopTest)  # Locust logs its sentence, and gevent would print a traceback


class Shared:
    """What the users of one environment share."""

    def __init__(
        self,
        environment: Any,
        *,
        seed: int | None = None,
        timeout_s: float = 10.0,
        pace: Callable[[Engine], Pace] | None = None,
    ) -> None:
        self._environment = environment
        self.tally = Tally(environment)
        self.engine = Engine(watch_s=min(WATCH_S, timeout_s / 10))
        self.timeout_s = timeout_s  # of a request
        self.given = None if pace is None else pace(self.engine)  # instead of what the classes say
        self.paces: dict[type[Any], Pace] = {}
        self._seed = seed  # None: other random parameters every time
        self._targets: dict[str, Target] = {}
        self._mixes: dict[tuple[type[Any], str], Mix | Courses] = {}
        self._clients: dict[Client | Seat, None] = {}
        self._entered = 0
        self._bodies_checked = self._retries = 0  # of those that have left

    @classmethod
    def of(cls, environment: Any, **settings: Any) -> Shared:
        """Give the environment's own, made with these settings on first use."""
        found = vars(environment).get("gatebench")
        if found is None:
            found = vars(environment)["gatebench"] = cls(environment, **settings)
        return cast("Shared", found)

    @property
    def counts(self) -> tuple[int, int]:
        """Give how many bodies have been compared, and how many requests sent again."""
        checked = self._bodies_checked + sum(one.bodies_checked for one in self._clients)
        return checked, self._retries + sum(one.connection.retries for one in self._clients)

    def in_flight_since(self) -> list[float]:
        """Give when each request in flight began, or was due; those that stand in line for a connection too."""
        paces = [self.given, *self.paces.values()]
        line = [due for pace in paces if isinstance(pace, OpenLoop) for due in pace.in_line()]
        return line + [since for one in self._clients if (since := one.in_flight_since) is not None]

    def opening(self) -> bool:
        """Say whether a user waits for the connection it needs to begin."""
        return any(isinstance(one, HeldSeat) and one.connection.opening for one in self._clients)

    def refusal(self, sentence: str) -> StopTest:
        """Make what ends a test that cannot begin."""
        self._environment.process_exit_code = 2
        return StopTest(sentence)

    def enter(self, client: Client | Seat) -> None:
        """Take in a user's client."""
        self._clients[client] = None

    def leave(self, client: Client | Seat) -> None:
        """Let a user's client go."""
        if self._clients.pop(client, client) is None:
            self._bodies_checked += client.bodies_checked
            self._retries += client.connection.retries

    def target(self, host: str | None) -> Target:
        """Give where a host points; StopTest where that is nowhere."""
        if host is None:
            raise self.refusal(NO_HOST)
        if host not in self._targets:
            try:
                self._targets[host] = Target(host)
            except HostError as error:
                raise self.refusal(str(error)) from None
        return self._targets[host]

    def random(self) -> Random:
        """Give a new user its random parameters, the same for the same seed and place in the row."""
        self._entered += 1
        return Random(None if self._seed is None else f"{self._seed}/{self._entered}")  # noqa: S311 - no secrets

    def pace(self, user: type[EngineUser]) -> Pace:
        """Give what says when the users of a class speak."""
        if self.given is not None:
            return self.given
        if user not in self.paces:
            self.paces[user] = (
                ClosedLoop(self.engine)
                if user.rate is None
                else OpenLoop(self.engine, user.arrivals, Random(self._seed), keeps=False)  # noqa: S311 - no secrets
            )
        return self.paces[user]

    def mix(self, user: type[EngineUser], host: str, parts: Sequence[Request | Flow]) -> Mix | Courses:
        """Give a class's requests, ready to be sent: in courses only where they need it, since these cost more."""
        if (user, host) not in self._mixes:
            requests = [one for one in parts if isinstance(one, Request)]
            target = self.target(host)
            self._mixes[user, host] = (
                Mix(requests, target, self.tally)
                if user.counted is None and len(requests) == len(parts)
                else Courses(parts, target, self.tally, user.counted)
            )
        return self._mixes[user, host]


@events.init.add_listener  # type: ignore[untyped-decorator]
def _on_init(environment: Any, **_told: Any) -> None:
    Shared.of(environment)  # a master has no users, and is to add up what its workers report


class HttpUser(User):
    """A user that sends HTTP requests one after another, as its tasks have it, over one connection."""

    abstract = True

    def __init__(self, environment: Any) -> None:
        self._tasks: Tasks | None = None
        super().__init__(environment)
        shared = Shared.of(environment)
        target = shared.target(self.host)
        self.random = shared.random()
        self.client = Client(
            self, shared.engine, target, shared.tally, timeout_s=shared.timeout_s, random=self.random
        )
        shared.enter(self.client)

    def start(self, group: Any) -> Any:
        """Start as Locust has it; close the connection at the end, however it comes."""
        greenlet = super().start(group)
        greenlet.rawlink(self._ended)
        return greenlet

    def _ended(self, _greenlet: Any) -> None:
        self.client.close()
        Shared.of(self.environment).leave(self.client)

    @property
    def _taskset_instance(self) -> Any:
        return self._tasks

    @_taskset_instance.setter
    def _taskset_instance(self, tasks: Any) -> None:  # Locust makes one of its own when the user starts
        self._tasks = None if tasks is None else Tasks(self)


class Tasks(DefaultTaskSet):
    """A user's tasks as Locust runs them, but round and round by itself for as long as there is nothing to wait for.

    Locust would sleep for no time after every task, which costs a way through gevent's loop and back.
    """

    user: HttpUser

    def execute_next_task(self) -> None:
        """Execute what is next in line, and what would come after it at once."""
        user, client, queue = self.user, self.user.client, self._task_queue
        task = queue.popleft()
        if type(user).wait_time is not User.wait_time or not isinstance(task, FunctionType):
            self.execute_task(task)  # type: ignore[no-untyped-call]
            return
        only = len(user.tasks) == 1
        while isinstance(task, FunctionType):
            client.asked = False
            task(user)
            # A task that has asked for nothing has let nobody else have a turn.
            if not client.asked or queue or user._state != LOCUST_STATE_RUNNING:  # noqa: SLF001
                return
            if not only:
                task = self.get_next_task()  # type: ignore[no-untyped-call]
        queue.append(task)


class EngineUser(User):
    """A user that sends requests of a declared mix or messages, or hears events: one connection of the engine.

    With a `rate`, requests arrive as the class's users together have it, whether or not answers come.
    """

    abstract = True
    mix: Sequence[Request | Flow] | Echo | Events = ()
    counted: str | None = None  # a header of the answers: how often it said what, in the window
    rate: float | None = None  # arrivals per second that each user adds; None: a closed loop
    arrivals: Arrivals = "constant"

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        shared = self._shared = Shared.of(environment)
        kind = type(self)
        fault = kind.fault()
        if fault:
            raise shared.refusal(f"{kind.__name__} {fault}")
        target = shared.target(self.host)
        self.random = shared.random()
        self.wait_s = None if kind.wait_time is User.wait_time else self.wait_time
        self._pace = shared.pace(kind)
        self._waiter: Waiter | None = None
        around = Around(
            engine=shared.engine,
            target=target,
            tally=shared.tally,
            pace=self._pace,
            user=self,
            timeout_s=shared.timeout_s,
        )
        try:
            self.seat = self._seated(around)
        except (TypeError, ValueError) as error:
            raise shared.refusal(f"the mix of {kind.__name__} cannot be sent: {error}") from None

    def _seated(self, around: Around) -> Seat:
        if isinstance(self.mix, Echo):
            return EchoSeat(self.mix, around)
        if isinstance(self.mix, Events):
            return EventsSeat(self.mix, around)
        mix = self._shared.mix(type(self), cast("str", self.host), self.mix)
        if isinstance(mix, Courses):
            return FlowSeat(mix, around)
        return KeptSeat(mix, around) if isinstance(self._pace, Hold) else HttpSeat(mix, around)

    @classmethod
    def can_be_held(cls) -> bool:
        """Say whether the class's connections can be opened, kept and asked once more."""
        if isinstance(cls.mix, Echo | Events):
            return True
        plain = isinstance(cls.mix, list | tuple) and all(isinstance(one, Request) for one in cls.mix)
        return plain and cls.counted is None

    @classmethod
    def only_listens(cls) -> bool:
        """Say whether the class's users send nothing once their connections are open."""
        return isinstance(cls.mix, Events)

    @classmethod
    def fault(cls) -> str | None:
        """Say what is wrong with what a class declares; None where nothing is seen to be."""
        if not cls.mix:
            return "has no mix; give it requests, as in mix = [Request('/')]"
        alone = isinstance(cls.mix, Echo | Events)
        if not alone and not (isinstance(cls.mix, list | tuple) and all(map(_part, cls.mix))):
            return f"has a mix that is no Echo, no Events and no list of Requests and Flows of some: {cls.mix!r}"
        if cls.counted is not None and (alone or not isinstance(cls.counted, str)):
            return f"has something counted that is no header of an answer: {cls.counted!r}"
        return cls._fault_of_rate()

    @classmethod
    def _fault_of_rate(cls) -> str | None:
        if cls.rate is not None and cls.only_listens():
            return "has a rate, but events come when the server sends them; leave the rate out"
        if cls.rate is not None and not (isinstance(cls.rate, int | float) and 0 < cls.rate <= MOST_ARRIVALS):
            return f"has a rate that is no number above 0 and up to {MOST_ARRIVALS:,} arrivals a second: {cls.rate!r}"
        if cls.arrivals not in get_args(Arrivals):
            return f"has arrivals that are neither 'constant' nor 'poisson': {cls.arrivals!r}"
        return None

    @task
    def drive(self) -> None:
        """Leave everything to the engine, until the user is to end."""
        self._waiter = Waiter()
        self._shared.enter(self.seat)
        pace = self._pace
        adding = self.rate or 0.0 if isinstance(pace, OpenLoop) and pace is not self._shared.given else 0.0
        try:
            pace.join(self.seat, perf_counter())
            if isinstance(pace, OpenLoop):
                pace.rate += adding
            self._waiter.get()
        finally:
            if isinstance(pace, OpenLoop):
                pace.rate -= adding
            self.seat.leave()
            self._shared.leave(self.seat)
        raise StopUser

    def finish(self, error: Exception | None = None) -> None:
        """End this user, as soon as may be; by this error where there is one, as if its task had met it."""
        waiter, self._waiter = self._waiter, None
        later = self._shared.engine.hub.loop.run_callback
        if waiter is None:
            return
        if error is None:
            later(waiter.switch, None)
        else:
            later(waiter.throw, type(error), error, error.__traceback__)

    def stop(self, force: bool = False) -> Any:
        """Stop as Locust has it; where there is time, at the end of what is in flight."""
        ended = super().stop(force)
        if not ended:
            self.seat.leave_soon()
        return ended


def _part(one: object) -> bool:
    """Say whether something may stand in a mix."""
    if isinstance(one, Flow):
        requests = one.requests
        return isinstance(requests, list | tuple) and bool(requests) and all(isinstance(r, Request) for r in requests)
    return isinstance(one, Request)
