"""A fake backend, driver and contract: the whole pipeline in a second, with no server and invented figures.

Knows the shapes of what the real ones give. Its figures follow from the seeds alone. Sessions made with it carry the
backend's name "fake", and the report says of them that nothing was measured.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from gatebench import histogram
from gatebench.backends.programs import HOST, Serving
from gatebench.backends.resources import Reading
from gatebench.backends.services import Services
from gatebench.contract import Outcome
from gatebench.generator import Arrivals, Driver, Figures, Generator, Job
from gatebench.model import AnyStack, Capability, Connects, Histogram, Placement, Service, Setting, Stack, Step, Usage
from gatebench.parties import Backend, Contract, Parties

SAMPLES = 2000
FIRST, PORT = "127.1.0.0", 1  # where nobody answers
INVENTED_RPS = {"wsgi": 1_000.0, "asgi": 3_000.0, "both": 1_500.0}


def address(number: int) -> str:
    """Give the address of the so many-th server of a session."""
    return str(IPv4Address(FIRST) + number - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Program:
    pids: tuple[int, ...] = ()

    def fault(self) -> str | None:
        return None

    def log(self) -> str:
        return "it wrote nothing"


@dataclass(slots=True)
class _Watch:
    stack: AnyStack

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def read(self, start: float, end: float) -> Reading:
        window = end - start
        memory = 2.0**20 * {"wsgi": 40, "asgi": 60, "both": 110}[self.stack.interface]
        server = Usage(cpu_s=0.97 * window, pss_peak_bytes=memory, pss_mean_bytes=memory, processes=2, threads=2)
        idle = Usage(cpu_s=0.3 * window)
        return Reading(
            usage={"server": server, "generator": idle, "services": idle},
            busy_share={"server": 0.97, "generator": 0.3, "services": 0.1},
            steal_share=0.0,
            vanished=(),
        )


@dataclass(slots=True)
class FakeBackend:
    """Starts nothing, at once."""

    name: str = "fake"
    surroundings: Mapping[str, Setting] = field(default_factory=dict)
    serving: list[AnyStack] = field(default_factory=list)  # each at an address of its own: so the driver knows it

    def prepare(self, stack: AnyStack) -> Mapping[str, Mapping[str, Setting]]:
        """Invent nothing: there are no versions."""
        return {}

    def missing(self, wanted: AnyStack | Service) -> str | None:
        """Miss nothing."""
        return None

    @contextlib.contextmanager
    def services(self, wanted: Sequence[Service], placement: Placement) -> Iterator[Services]:
        """Give no service."""
        yield Services(urls={}, variables={}, pids=(), facts={})

    @contextlib.contextmanager
    def serve(self, stack: AnyStack, placement: Placement, services: Services) -> Iterator[Serving]:
        """Pretend that the stack answers."""
        self.serving.append(stack)
        yield Serving(host=address(len(self.serving)), port=PORT, ready_s=0.1, program=_Program())

    @contextlib.contextmanager
    def serve_nothing(self, placement: Placement, *, close: bool, websocket: bool) -> Iterator[Serving]:
        """Pretend that the do-nothing server answers."""
        self.serving.clear()
        yield Serving(host=HOST, port=1, ready_s=0.1, program=_Program())

    def watch(self, placement: Placement, serving: Serving, services: Services, generator: Sequence[int]) -> _Watch:
        """Invent what the parties use."""
        return _Watch(self.at(serving.host))

    def at(self, host: str) -> AnyStack:
        """Say which stack it pretends to serve at an address."""
        return self.serving[int(IPv4Address(host)) - int(IPv4Address(FIRST))]


@dataclass(slots=True)
class FakeDriver:
    """Gives invented figures that follow from the job's seed and the stack."""

    backend: FakeBackend
    name: str = "fake"
    pids: tuple[int, ...] = ()

    @contextlib.contextmanager
    def start(self, placement: Placement) -> Iterator[Generator]:
        """Start nothing."""
        yield self

    def measure(self, job: Job) -> Figures:
        """Invent a trial's figures."""
        chance = random.Random(job.seed)  # noqa: S311 - invented figures, not a secret
        most = 100_000.0  # the do-nothing server's rate
        if self.backend.serving:
            stack = self.backend.at(urlsplit(job.host).hostname or "")
            arm = isinstance(stack, Stack) and stack.arm is not None  # of a gate, whose arms run side by side
            most = INVENTED_RPS[stack.interface] * chance.lognormvariate(0, 0.01 if arm else 0.05)
        start, hold = time.perf_counter(), job.load.kind == "hold"
        steps = tuple(_steps(job, most)) if job.load.kind == "search" else ()
        arrivals, response_s = None, job.load.size / most
        if job.load.paced:
            offered = max((step.rate_rps for step in steps if step.held), default=float(job.load.size))
            arrivals, response_s = _paced(job, offered, most, chance)
        answered = round(most * job.window_s) if arrivals is None else arrivals.due - arrivals.unanswered
        unanswered = arrivals.unanswered if arrivals else 0
        return Figures(
            warmup_s=job.warmup_slice_s * 2,
            warmup_settled=True,
            start_s=start,
            end_s=start + job.window_s,
            requests=answered,
            errors=unanswered,
            error_reasons={"no answer": unanswered} if unanswered else {},
            bodies_checked=SAMPLES // 100,
            retries=0,
            response=_spread(response_s, chance),
            in_flight_mean=answered * response_s / job.window_s if job.load.paced else float(job.load.size),
            delay_s=0.0,
            offered=job.load.size if hold else None,
            opened=round(job.load.size * min(1.0, most / 3000)) if hold else None,
            kept=round(job.load.size * min(1.0, most / 3000)) if hold else None,
            arrivals=arrivals,
            loop_lag_p99_s=0.0002,
            steps=steps,
            late=0 if hold else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeKnocker:
    """Opens no connection."""

    def at_rest(self, url: str, cpus: Sequence[int]) -> Connects:
        """Invent that all were answered in half a millisecond."""
        return Connects(asked=SAMPLES, refused=0, unanswered=0, times=histogram.of_seconds([0.0005] * SAMPLES))

    @contextlib.contextmanager
    def beside(self, url: str, cpus: Sequence[int], *, seconds: float) -> Iterator[Self]:
        """Open none."""
        yield self

    def between(self, start_s: float, end_s: float) -> Connects:
        """Invent that all were answered in two milliseconds."""
        return Connects(asked=SAMPLES, refused=0, unanswered=0, times=histogram.of_seconds([0.002] * SAMPLES))


def speaker(**_asked: object) -> tuple[Capability, ...]:
    """Find that one protocol is spoken."""
    return (Capability(protocol="http/1.1", answer="yes", why="invented"),)


def _waiting_s(rate: float, most: float) -> float:
    """Give the mean response time of a queue that serves `most` a second and is offered less."""
    return 1 / (most - rate)


def _spread(mean_s: float, chance: random.Random) -> Histogram:
    return histogram.of_seconds(mean_s * chance.lognormvariate(0, 0.2) for _ in range(SAMPLES))


def _paced(job: Job, offered: float, most: float, chance: random.Random) -> tuple[Arrivals, float]:
    """Invent what becomes of arrivals; those beyond what the server can do wait, and are never answered."""
    due, ended = round(offered * job.window_s), round(min(offered, most) * job.window_s)
    response_s = _waiting_s(offered, most) if offered < 0.99 * most else job.window_s
    arrivals = Arrivals(
        due=due,
        ended=ended,
        overrun=due - ended,
        unanswered=due - ended,
        send_lag_p99_s=0.0001,
        service=_spread(1 / most, chance),
    )
    return arrivals, response_s


def _steps(job: Job, most: float) -> Iterator[Step]:
    """Halve the rates between nothing and what the server can do."""
    low, high = 0.0, most
    for _ in range(6):
        rate = (low + high) / 2
        p99_s = 1.6 * _waiting_s(rate, most)
        held = p99_s < job.load.size / 1000
        yield Step(rate_rps=rate, p99_s=p99_s, errors_share=0.0, achieved_share=1.0, held=held)
        low, high = (rate, high) if held else (low, rate)


def contract(**_asked: object) -> Outcome:
    """Find that every contract is kept."""
    return Outcome(findings=(), date=None)


def parties(backend: Backend | None = None, driver: Driver | None = None, contract: Contract = contract) -> Parties:
    """Give all of them, with another in the place of any."""
    fake = FakeBackend()
    return Parties(
        backend=backend or fake,
        driver=driver or FakeDriver(backend=fake),
        streams=driver or FakeDriver(backend=fake),
        contract=contract,
        knocker=FakeKnocker(),
        speaker=speaker,
    )
