"""Plan to runs: the conductor. Each trial: start a generator and a fresh server, contract, load, contract, judge.

Trials follow each other, or are measured together: at the same time on the same CPUs.

Knows the order of things and nothing of how they are done: backend, driver and contract are given. Must not print,
and must not lose a run: each is handed out as it ends.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from gatebench import limits, machine, validity
from gatebench.backends.programs import Serving
from gatebench.backends.resources import usage_now
from gatebench.backends.services import Services
from gatebench.calibration import ceiling_of
from gatebench.contract import Outcome
from gatebench.errors import MachineError
from gatebench.generator import Generator, Job
from gatebench.model import (
    AnyStack,
    Load,
    Part,
    Placement,
    Plan,
    Run,
    Scenario,
    Trial,
)
from gatebench.parties import Contract, Parties
from gatebench.plan import impossible
from gatebench.readings import with_connects, with_figures, with_reading
from gatebench.seat import Seat, align, any_over, apart, crowded, drain, forbidden, gone_run, how_far, tried

DATE_STEP_S = 2.2  # Date counts whole seconds, and a server may renew it a second late


@dataclass(frozen=True, slots=True, kw_only=True)
class Conductor:
    """All that a session needs to make runs out of trials."""

    session: str
    plan: Plan
    stacks: Mapping[str, AnyStack]
    lacking: Mapping[str, str]  # stack -> why it cannot run here
    scenarios: Mapping[str, Scenario]
    placement: Placement  # the widest; a part may want fewer CPUs for its server
    parties: Parties
    services: Services
    ceilings: Mapping[str, float]

    def runs(self, trials: Iterable[Trial], begun: Callable[[Trial], None]) -> Iterator[Run]:
        """Give one run a trial, in order, as it ends; `begun` is told of each trial before it starts.

        A stack that the machine could not start is not tried again: its further trials fail for the same reason. Nor
        is one offered a higher rate of arrivals than one that it could not keep in the same block.
        """
        broken: dict[str, Run] = {}
        missed: dict[tuple[str, int, str, str], int] = {}  # part, block, stack, scenario -> lowest rate not kept
        for trial in trials:
            begun(trial)
            started = time.perf_counter()
            cell = (trial.part, trial.block, trial.stack, trial.scenario)
            paced = trial.load.kind in ("open", "poisson")
            lowest = missed.get(cell)
            beyond = lowest if paced and lowest is not None and lowest < trial.load.size else None
            run = self.measure(trial, broken.get(trial.stack), beyond)
            if run.fault in ("machine", "contract") and run.ready_s is None:
                broken[trial.stack] = run
            if paced and validity.fell_behind(run):
                missed[cell] = min(trial.load.size, lowest or trial.load.size)
            yield replace(run, elapsed_s=time.perf_counter() - started)

    def measure(self, trial: Trial, broken: Run | None = None, beyond: int | None = None) -> Run:
        """Measure a cell once, on a freshly started server.

        `broken` is the run in which it could not be started, `beyond` a rate of arrivals that it could not keep.
        """
        if beyond:
            reason = f"not tried: {beyond}/s was not kept in this block"
            return replace(self._blank(trial), status="void", reason=reason)
        if broken:
            return replace(self._blank(trial), fault=broken.fault, reason=broken.reason)
        return self.together([trial])[0]

    def together(self, trials: Sequence[Trial]) -> list[Run]:
        """Measure cells at the same time on the same CPUs, each on a freshly started server of its own.

        One after the other, servers start and contracts are spoken, before and after; the loads press at once. Where
        one of them does not come to its load, the others are void: they would have had the CPUs to themselves. Their
        contracts are spoken all the same, so that what is wrong with both is not told of one.
        """
        started = time.perf_counter()
        seats = [self._seat(trial) for trial in trials]
        try:
            # The threads are waited for last: when the generators have ended, so have they.
            with ThreadPoolExecutor(len(seats)) as threads, contextlib.ExitStack() as up:
                self._through(seats, threads, up)
        except MachineError as error:  # whoever was to end servers and generators could not
            return [replace(self._blank(trial), fault="machine", reason=str(error)) for trial in trials]
        elapsed_s = time.perf_counter() - started
        return [replace(how_far(seat.run), elapsed_s=elapsed_s) for seat in seats]

    def _through(self, seats: Sequence[Seat], threads: Executor, up: contextlib.ExitStack) -> None:
        for step in (self._start, self._stand):  # all generators first: they import while servers start
            for seat in seats:
                if not seat.over:
                    tried(seat, partial(step, seat, up))
        if not any_over(seats):
            self._press(seats, threads)
        failed = next((seat for seat in seats if seat.over), None)
        for seat in seats:
            if failed is None:
                tried(seat, partial(self._leave, seat))
            elif not seat.over:
                which, why = failed.trial.stack, failed.run.reason
                seat.end(status="void", reason=f"{which}, beside which it was to be measured, was not: {why}")

    def _seat(self, trial: Trial) -> Seat:
        """Say what is to be measured, and whether it can be."""
        stack, scenario = self.stacks[trial.stack], self.scenarios[trial.scenario]
        seat = Seat(trial=trial, placement=self._placement(self.plan.part(trial.part)), run=self._blank(trial))
        lack = self.lacking.get(trial.stack) or impossible(stack, scenario, trial.load)
        if lack:
            seat.end(fault="impossible", reason=lack)
        elif short := machine.shortage(machine.fitting(trial.load).connections):
            seat.end(fault="machine", reason=short)
        return seat

    def _blank(self, trial: Trial) -> Run:
        """Give a trial's run as it is before anything has been seen."""
        stack, scenario = self.stacks[trial.stack], self.scenarios[trial.scenario]
        placement = self._placement(self.plan.part(trial.part))
        return Run(
            session=self.session,
            number=trial.number,
            block=trial.block,
            part=trial.part,
            stack=stack.name,
            interface=stack.interface,
            profile=stack.profile,
            scenario=scenario.name,
            scenario_version=scenario.version,
            load=str(trial.load),
            backend=self.parties.backend.name,
            seed=trial.seed,
            started_at=now(),
            placement={
                "server": placement.server,
                "generator": placement.generator,
                "services": placement.services,
            },
        )

    def _placement(self, part: Part) -> Placement:
        return replace(self.placement, server=self.placement.server[-part.server_cpus :])

    def _generator(self, load: Load, placement: Placement) -> AbstractContextManager[Generator | None]:
        if load.kind == "speak":
            return contextlib.nullcontext()
        return (self.parties.streams if load.streamed else self.parties.driver).start(placement)

    def _start(self, seat: Seat, up: contextlib.ExitStack) -> None:
        seat.generator = up.enter_context(self._generator(seat.trial.load, seat.placement))

    def _stand(self, seat: Seat, up: contextlib.ExitStack) -> None:
        """Start the server, and speak the contract; a stack that is only spoken to is done then."""
        trial, placement = seat.trial, seat.placement
        stack, scenario = self.stacks[trial.stack], self.scenarios[trial.scenario]
        serving = seat.serving = up.enter_context(self.parties.backend.serve(stack, placement, self.services))
        seat.run = replace(seat.run, ready_s=serving.ready_s, warnings=crowded(stack, placement))
        seat.forbidden = forbidden(stack, trial.load)  # as long as nothing has been taken
        contract = self.parties.contract
        before = spoken(contract, stack, serving, self.services, routes=scenario.routes, seed=trial.seed)
        seat.date, seat.checked = before.date, time.perf_counter()
        if not before.passed:
            seat.end(fault="contract", reason=str(before.reason), log=serving.program.log())
        elif seat.generator is None:
            capabilities = self.parties.speaker(stack=stack, host=serving.host, port=serving.port)
            seat.end(status="ok", capabilities=capabilities)

    def _press(self, seats: Sequence[Seat], threads: Executor) -> None:
        """Press on stacks that are at rest, at once, and put in what was seen of each."""
        with contextlib.ExitStack() as beside:
            for seat in seats:
                tried(seat, partial(self._watch, seat, beside))
            if any_over(seats):
                return
            if len(seats) > 1:
                align(seats)
            for measured in [threads.submit(tried, seat, seat.measure) for seat in seats]:
                measured.result()
        for seat in seats:
            if not any_over(seats):
                self._see(seat, seats)

    def _watch(self, seat: Seat, beside: contextlib.ExitStack) -> None:
        """Look at a server at rest, lay the job down, and begin to watch."""
        trial, serving = seat.trial, seat.serving
        stack, part = self.stacks[trial.stack], self.plan.part(trial.part)
        assert serving is not None  # noqa: S101 - it stands
        assert seat.generator is not None  # noqa: S101
        url = f"{stack.scheme}://{serving.host}:{serving.port}"
        load = machine.fitting(trial.load)
        job = seat.job = Job.of(part, self.scenarios[trial.scenario], load, trial.seed, url)
        if serving.program.pids:
            seat.run = replace(seat.run, server_at_rest=usage_now(serving.program.pids))
        knocker, door, cpus = self.parties.knocker, url + stack.ready, seat.placement.services
        if part.knock:
            seat.run = replace(seat.run, connect_at_rest=knocker.at_rest(door, cpus))
        watch = self.parties.backend.watch(seat.placement, serving, self.services, seat.generator.pids)
        seat.watch = beside.enter_context(watch)
        if part.knock:
            seat.knocks = beside.enter_context(knocker.beside(door, cpus, seconds=job.limit_s))

    def _see(self, seat: Seat, seats: Sequence[Seat]) -> None:
        """Put in what the generator saw, and what all parties used."""
        figures = seat.figures
        assert figures is not None  # noqa: S101 - it was measured
        assert seat.watch is not None  # noqa: S101
        if seat.knocks is not None:
            seat.run = with_connects(seat.run, seat.knocks.between(figures.start_s, figures.end_s))
        seat.reading = seat.watch.read(figures.start_s, figures.end_s)
        others = [other for other in seats if other is not seat]
        which = ceiling_of(self.stacks[seat.trial.stack], self.scenarios[seat.trial.scenario], seat.trial.load)
        seat.run = with_reading(
            with_figures(seat.run, figures),
            figures,
            seat.reading,
            placement=seat.placement,
            ceiling=self.ceilings.get(which) if which else None,
            beside=[other.watch.read(figures.start_s, figures.end_s) for other in others if other.watch],
        )
        seat.alone_s = max((apart(figures, other.figures) for other in others if other.figures), default=0.0)

    def _leave(self, seat: Seat) -> None:
        """See that the server is as sound as it was, and judge the run by itself."""
        trial, serving, run = seat.trial, seat.serving, seat.run
        stack, scenario = self.stacks[trial.stack], self.scenarios[trial.scenario]
        assert serving is not None  # noqa: S101 - it was measured
        assert seat.reading is not None  # noqa: S101
        if gone := gone_run(run, serving):
            seat.run = gone
            return
        # A server works off first what its users left behind; the contract's own patience is for healthy ones.
        drain(f"{stack.scheme}://{serving.host}:{serving.port}{stack.ready}")
        since = seat.date if time.perf_counter() - seat.checked >= DATE_STEP_S else None
        after = spoken(
            self.parties.contract,
            stack,
            serving,
            self.services,
            routes=scenario.routes,
            seed=trial.seed + 1,
            since=since,
        )
        if not after.passed:
            reason = f"the contract failed after the load: {after.reason}"
            seat.end(status="void", fault="broke", reason=reason, log=serving.program.log())
            return
        judged = validity.judge(
            run,
            error_limit=scenario.error_limit,
            concurrency=stack.concurrency,
            restarted=bool(seat.reading.vanished),
            refused=limits.limit_of(serving.program.log()),
            forbidden=seat.forbidden,
            alone_s=seat.alone_s,
        )
        seat.run = judged if judged.status == "ok" else replace(judged, log=serving.program.log())


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
