"""Plan to runs: the conductor. Each trial: start a generator and a fresh server, contract, load, contract, judge.

Knows the order of things and nothing of how they are done: backend, driver and contract are given. Must not print,
and must not lose a run: each is handed out as it ends.
"""

from __future__ import annotations

import datetime as dt
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from gatebench import validity
from gatebench.backends.programs import Serving, answers
from gatebench.backends.resources import Reading
from gatebench.backends.services import Services
from gatebench.contract import Outcome
from gatebench.errors import MachineError
from gatebench.generator import Driver, Figures, Generator, Job
from gatebench.model import (
    AnyStack,
    ControlGroup,
    Load,
    Placement,
    Plan,
    Run,
    Scenario,
    Service,
    Setting,
    Trial,
    Visit,
)
from gatebench.plan import DEFAULT_LOAD, impossible

DATE_STEP_S = 2.2  # Date counts whole seconds, and a server may renew it a second late
DRAIN_S = 30.0
CALIBRATIONS = {"keep-alive": "plain", "close": "plain", "websocket": "websocket"}  # ceiling -> its scenario


class Watch(Protocol):
    """Watches from entering to leaving; then tells what was used between two moments."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        ...

    def read(self, start: float, end: float) -> Reading:
        """Tell what was used between two readings of perf_counter."""
        ...


class Backend(Protocol):
    """Starts stacks and services."""

    name: str

    @property
    def surroundings(self) -> Mapping[str, Setting]:
        """Say why this backend, and what engine, network and limits it has; known once a stack is prepared."""
        ...

    def prepare(self, stack: AnyStack) -> Mapping[str, Mapping[str, Setting]]:
        """Make the stack ready to start; give the versions in it, and what else is to be said of it."""
        ...

    def missing(self, wanted: AnyStack | Service) -> str | None:
        """Say what a stack or service needs that this machine lacks, and what helps; None where all is there."""
        ...

    def services(self, wanted: Sequence[Service], placement: Placement) -> AbstractContextManager[Services]:
        """Start services."""
        ...

    def serve(self, stack: AnyStack, placement: Placement, services: Services) -> AbstractContextManager[Serving]:
        """Start a stack."""
        ...

    def serve_nothing(self, placement: Placement, *, close: bool, websocket: bool) -> AbstractContextManager[Serving]:
        """Start the do-nothing server where a stack would be; it may close connections, or echo over WebSocket."""
        ...

    def watch(self, placement: Placement, serving: Serving, services: Services, generator: Sequence[int]) -> Watch:
        """Watch what all parties use."""
        ...


class Contract(Protocol):
    """The independent client."""

    def __call__(
        self,
        *,
        host: str,
        port: int,
        routes: Sequence[str],
        keep_alive_s: float,
        database_url: str | None,
        upstream_url: str | None,
        redis_url: str | None,
        seed: int,
        since: str | None = None,
        lacks: Sequence[str] = (),
        tls: bool = False,
        protocols: Sequence[str] = (),
        file: Path | None = None,
        visits: Sequence[Visit] = (),
    ) -> Outcome:
        """Speak the contract of these routes, see that `lacks` are lacking; or make the visits of one's own app."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Conductor:
    """All that a session needs to make runs out of trials."""

    session: str
    plan: Plan
    stacks: Mapping[str, AnyStack]
    lacking: Mapping[str, str]  # stack -> why it cannot run here
    scenarios: Mapping[str, Scenario]
    placement: Placement
    backend: Backend
    driver: Driver
    contract: Contract
    services: Services
    ceilings: Mapping[str, float]

    def runs(self, trials: Sequence[Trial], begun: Callable[[Trial], None]) -> Iterator[Run]:
        """Give one run a trial, in order, as it ends; `begun` is told of each trial before it starts.

        A stack that the machine could not start is not tried again: its further trials fail for the same reason.
        """
        broken: dict[str, str] = {}
        for trial in trials:
            begun(trial)
            started = time.perf_counter()
            run = self.measure(trial, broken.get(trial.stack))
            if run.fault == "machine" and run.ready_s is None:
                broken[trial.stack] = run.reason or ""
            yield replace(run, elapsed_s=time.perf_counter() - started)

    def measure(self, trial: Trial, broken: str | None = None) -> Run:
        """Measure a cell once, on a freshly started server; `broken` is why the machine could not start it before."""
        stack, scenario = self.stacks[trial.stack], self.scenarios[trial.scenario]
        run = Run(
            session=self.session,
            number=trial.number,
            block=trial.block,
            stack=stack.name,
            interface=stack.interface,
            profile=self.plan.profile,
            scenario=scenario.name,
            scenario_version=scenario.version,
            load=str(trial.load),
            backend=self.backend.name,
            seed=trial.seed,
            started_at=now(),
            placement={
                "server": self.placement.server,
                "generator": self.placement.generator,
                "services": self.placement.services,
            },
        )
        lack = self.lacking.get(trial.stack) or impossible(stack, scenario, trial.load)
        if lack:
            return replace(run, fault="impossible", reason=lack)
        if broken:
            return replace(run, fault="machine", reason=broken)
        try:
            with (
                self.driver.start(self.placement) as generator,
                self.backend.serve(stack, self.placement, self.services) as serving,
            ):
                return self._on(run, trial, serving, generator)
        except MachineError as error:
            return replace(run, fault="machine", reason=str(error))

    def _on(self, run: Run, trial: Trial, serving: Serving, generator: Generator) -> Run:
        stack, scenario = self.stacks[trial.stack], self.scenarios[trial.scenario]
        run = replace(run, ready_s=serving.ready_s)
        before = spoken(self.contract, stack, serving, self.services, routes=scenario.routes, seed=trial.seed)
        checked = time.perf_counter()
        if not before.passed:
            return replace(run, fault="contract", reason=str(before.reason), log=serving.program.log())
        job = Job.of(self.plan, scenario, trial.load, trial.seed, f"{stack.scheme}://{serving.host}:{serving.port}")
        with self.backend.watch(self.placement, serving, self.services, generator.pids) as watch:
            try:
                figures = generator.measure(job)
            except MachineError as error:  # of the generator: the stack did start, and is tried again
                failed = replace(run, fault="machine", reason=str(error))
                return _gone(run, serving) or replace(failed, log=serving.program.log())
        reading = watch.read(figures.start_s, figures.end_s)
        run = self._with_reading(_with_figures(run, figures), figures, reading, stack)
        if gone := _gone(run, serving):
            return gone
        # A server works off first what its users left behind; the contract's own patience is for healthy ones.
        answers(f"{stack.scheme}://{serving.host}:{serving.port}{stack.ready}", DRAIN_S)
        since = before.date if time.perf_counter() - checked >= DATE_STEP_S else None
        after = spoken(
            self.contract, stack, serving, self.services, routes=scenario.routes, seed=trial.seed + 1, since=since
        )
        if not after.passed:
            reason = f"the contract failed after the load: {after.reason}"
            return replace(run, status="void", reason=reason, log=serving.program.log())
        judged = validity.judge(
            run,
            error_limit=scenario.error_limit,
            concurrency=stack.concurrency,
            restarted=bool(reading.vanished),
        )
        return judged if judged.status == "ok" else replace(judged, log=serving.program.log())

    def _with_reading(self, run: Run, figures: Figures, reading: Reading, stack: AnyStack) -> Run:
        window = figures.end_s - figures.start_s

        def share(party: str, cpus: tuple[int, ...]) -> float | None:
            cpu_s = reading.usage[party].cpu_s
            return None if cpu_s is None else cpu_s / window / len(cpus)

        which = ceiling_of(stack, self.scenarios[run.scenario], Load.parse(run.load))
        ceiling = self.ceilings.get(which) if which else None
        answered = figures.arrivals.ended if figures.arrivals else figures.requests
        return replace(
            run,
            server=reading.usage["server"],
            server_group=reading.groups.get("server", ControlGroup()),
            generator=reading.usage["generator"],
            services=reading.usage["services"],
            server_cpu_share=share("server", self.placement.server),
            server_busy_share=reading.busy_share["server"],
            generator_cpu_share=share("generator", self.placement.generator),
            generator_busy_share=reading.busy_share["generator"],
            generator_delay_share=None if figures.delay_s is None else figures.delay_s / window,
            generator_ceiling_share=answered / window / ceiling if ceiling else None,
            generator_send_lag_s=figures.arrivals.send_lag_p99_s if figures.arrivals else None,
            generator_loop_lag_s=figures.loop_lag_p99_s,
            steal_share=reading.steal_share,
        )


def _gone(run: Run, serving: Serving) -> Run | None:
    """Give the run void where its server did not outlive the load, with what befell it; None where it did."""
    try:
        fault = serving.program.fault()
    except MachineError as error:  # whoever runs the server is gone, and says so
        return replace(run, fault="machine", reason=str(error))
    if fault is None:
        return None
    return replace(run, status="void", reason=f"the server {fault}, in mid-trial", log=serving.program.log())


def spoken(
    contract: Contract,
    stack: AnyStack,
    serving: Serving,
    services: Services,
    *,
    routes: Sequence[str],
    seed: int,
    since: str | None = None,
    lacks: Sequence[str] = (),
    protocols: Sequence[str] = (),
) -> Outcome:
    """Speak the contract of these routes to a stack that answers."""
    return contract(
        host=serving.host,
        port=serving.port,
        routes=routes,
        keep_alive_s=stack.keep_alive_s,
        database_url=services.urls.get(stack.service("postgres")),
        upstream_url=services.urls.get("upstream"),
        redis_url=services.urls.get("redis"),
        seed=seed,
        since=since,
        lacks=lacks,
        tls=stack.scheme == "https",
        protocols=protocols,
        file=stack.file,
        visits=stack.visits,
    )


def _with_figures(run: Run, figures: Figures) -> Run:
    retried = (f"{figures.retries} requests were sent again on a fresh connection",) if figures.retries else ()
    arrivals = figures.arrivals
    unsettled = () if figures.warmup_settled else ("the rate had not settled when the warm-up ended",)
    return replace(
        run,
        warmup_s=figures.warmup_s,
        window_s=figures.end_s - figures.start_s,
        requests=figures.requests,
        errors=figures.errors,
        error_reasons=figures.error_reasons,
        bodies_checked=figures.bodies_checked,
        response=figures.response,
        in_flight_mean=figures.in_flight_mean,
        answered_by=figures.answered_by,
        connections_offered=figures.offered,
        connections_opened=figures.opened,
        connections_kept=figures.kept,
        arrivals_due=arrivals.due if arrivals else None,
        arrivals_ended=arrivals.ended if arrivals else None,
        arrivals_overrun=arrivals.overrun if arrivals else None,
        arrivals_unanswered=arrivals.unanswered if arrivals else None,
        service=arrivals.service if arrivals else None,
        search_steps=figures.steps,
        warnings=(*run.warnings, *retried, *unsettled),
    )


def ceiling_of(stack: AnyStack, scenario: Scenario, load: Load) -> str | None:
    """Name the ceiling of the generator that a trial's rate is set against.

    None where connections are held, and over TLS, which the do-nothing server does not speak: there the generator's
    CPU alone tells whether it was the limit.
    """
    if load.kind == "hold" or stack.scheme == "https":
        return None
    if "ws" in scenario.routes:
        return "websocket"
    return "keep-alive" if stack.keep_alive_s else "close"


def ceilings_needed(plan: Plan, stacks: Mapping[str, AnyStack], scenarios: Mapping[str, Scenario]) -> dict[str, Load]:
    """Say which ceilings some trial of a plan needs, each with the load that finds it.

    A ceiling whose scenario is missing is left out. Over WebSocket the load is the plan's own closed one, chosen for
    what its stacks can hold.
    """
    measured = [(measure.load, scenarios[measure.scenario]) for measure in plan.measures]
    own = (load for load, scenario in measured if load.kind == "closed" and "ws" in scenario.routes)
    loads = {"websocket": next(own, DEFAULT_LOAD)}
    needed = (
        ceiling_of(stacks[name], scenario, load)
        for load, scenario in measured
        for name in plan.stacks
        if not impossible(stacks[name], scenario, load)
    )
    return {
        name: loads.get(name, DEFAULT_LOAD)
        for name in dict.fromkeys(needed)
        if name is not None and CALIBRATIONS[name] in scenarios
    }


def calibrate(
    plan: Plan,
    needed: Mapping[str, Load],
    scenarios: Mapping[str, Scenario],
    *,
    placement: Placement,
    backend: Backend,
    driver: Driver,
) -> dict[str, float]:
    """Find the generator's ceilings: its rate on a server that does nothing, under each load that is asked for."""
    ceilings = {}
    for name, load in needed.items():
        nothing = backend.serve_nothing(placement, close=name == "close", websocket=name == "websocket")
        with driver.start(placement) as generator, nothing as serving:
            host = f"http://{serving.host}:{serving.port}"
            figures = generator.measure(Job.of(plan, scenarios[CALIBRATIONS[name]], load, plan.seed, host))
            ceilings[name] = round(figures.requests / (figures.end_s - figures.start_s), 1)
    return ceilings


def now() -> str:
    """Give the time in UTC, to the second."""
    return dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def commit(root: Path) -> str | None:
    """Name the commit of the tree that is measured; None where it is no git checkout."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    found = git("rev-parse", "--short=12", "HEAD")
    if not found:
        return None
    return f"{found}+changes" if git("status", "--porcelain") else found
