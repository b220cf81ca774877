"""Plan to runs: the conductor. Each trial: start a generator and a fresh server, contract, load, contract, judge.

Knows the order of things and nothing of how they are done: backend, driver and contract are given. Must not print,
and must not lose a run: each is handed out as it ends.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from gatebench import limits, machine, validity
from gatebench.backends.programs import Serving, answers
from gatebench.backends.resources import Reading, usage_now
from gatebench.backends.services import Services
from gatebench.calibration import ceiling_of
from gatebench.contract import Outcome
from gatebench.errors import MachineError
from gatebench.generator import Figures, Generator, Job
from gatebench.model import (
    AnyStack,
    Connects,
    ControlGroup,
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

DATE_STEP_S = 2.2  # Date counts whole seconds, and a server may renew it a second late
DRAIN_S = 12.0
AT_ONCE_S = 0.25
THREADS_ENDED = 0.1  # of the server's threads: from there on, switches that they took with them are warned of


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
        broken: dict[str, str] = {}
        missed: dict[tuple[str, int, str, str], int] = {}  # part, block, stack, scenario -> lowest rate not kept
        for trial in trials:
            begun(trial)
            started = time.perf_counter()
            cell = (trial.part, trial.block, trial.stack, trial.scenario)
            paced = trial.load.kind in ("open", "poisson")
            lowest = missed.get(cell)
            beyond = lowest if paced and lowest is not None and lowest < trial.load.size else None
            run = self.measure(trial, broken.get(trial.stack), beyond)
            if run.fault == "machine" and run.ready_s is None:
                broken[trial.stack] = run.reason or ""
            if paced and validity.missed_rate(run):
                missed[cell] = min(trial.load.size, lowest or trial.load.size)
            yield replace(run, elapsed_s=time.perf_counter() - started)

    def measure(self, trial: Trial, broken: str | None = None, beyond: int | None = None) -> Run:
        """Measure a cell once, on a freshly started server.

        `broken` is why the machine could not start it before, `beyond` a rate of arrivals that it could not keep.
        """
        stack, scenario = self.stacks[trial.stack], self.scenarios[trial.scenario]
        placement = self._placement(self.plan.part(trial.part))
        run = Run(
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
        lack = self.lacking.get(trial.stack) or impossible(stack, scenario, trial.load)
        if lack:
            return replace(run, fault="impossible", reason=lack)
        broken = broken or machine.shortage(machine.fitting(trial.load).connections)
        if broken:
            return replace(run, fault="machine", reason=broken)
        if beyond:
            return replace(run, status="void", reason=f"not tried: {beyond}/s was not kept in this block")
        try:
            with (
                self._generator(trial.load, placement) as generator,
                self.parties.backend.serve(stack, placement, self.services) as serving,
            ):
                return _how_far(self._on(run, trial, serving, generator, placement))
        except MachineError as error:
            return replace(run, fault="machine", reason=str(error))

    def _placement(self, part: Part) -> Placement:
        return replace(self.placement, server=self.placement.server[-part.server_cpus :])

    def _generator(self, load: Load, placement: Placement) -> AbstractContextManager[Generator | None]:
        if load.kind == "speak":
            return contextlib.nullcontext()
        return (self.parties.streams if load.streamed else self.parties.driver).start(placement)

    def _on(self, run: Run, trial: Trial, serving: Serving, generator: Generator | None, placement: Placement) -> Run:
        stack, scenario = self.stacks[trial.stack], self.scenarios[trial.scenario]
        run = replace(run, ready_s=serving.ready_s, warnings=_crowded(stack, placement))
        forbidden = _forbidden(stack, trial.load)  # as long as nothing has been taken
        contract = self.parties.contract
        before = spoken(contract, stack, serving, self.services, routes=scenario.routes, seed=trial.seed)
        checked = time.perf_counter()
        if not before.passed:
            return replace(run, fault="contract", reason=str(before.reason), log=serving.program.log())
        if generator is None:
            capabilities = self.parties.speaker(stack=stack, host=serving.host, port=serving.port)
            return replace(run, status="ok", capabilities=capabilities)
        try:
            run, reading = self._loaded(run, trial, serving, generator, placement)
        except MachineError as error:  # of the generator: the stack did start, and is tried again
            failed = replace(run, fault="machine", reason=str(error))
            return _gone(run, serving) or replace(failed, log=serving.program.log())
        if gone := _gone(run, serving):
            return gone
        # A server works off first what its users left behind; the contract's own patience is for healthy ones.
        _drain(f"{stack.scheme}://{serving.host}:{serving.port}{stack.ready}")
        since = before.date if time.perf_counter() - checked >= DATE_STEP_S else None
        after = spoken(
            contract, stack, serving, self.services, routes=scenario.routes, seed=trial.seed + 1, since=since
        )
        if not after.passed:
            reason = f"the contract failed after the load: {after.reason}"
            return replace(run, status="void", reason=reason, log=serving.program.log())
        judged = validity.judge(
            run,
            error_limit=scenario.error_limit,
            concurrency=stack.concurrency,
            restarted=bool(reading.vanished),
            refused=limits.limit_of(serving.program.log()),
            forbidden=forbidden,
        )
        return judged if judged.status == "ok" else replace(judged, log=serving.program.log())

    def _loaded(
        self, run: Run, trial: Trial, serving: Serving, generator: Generator, placement: Placement
    ) -> tuple[Run, Reading]:
        """Press on a stack that is at rest, and give what was seen; MachineError where that could not be done."""
        stack, part = self.stacks[trial.stack], self.plan.part(trial.part)
        url = f"{stack.scheme}://{serving.host}:{serving.port}"
        load = machine.fitting(trial.load)
        job = Job.of(part, self.scenarios[trial.scenario], load, trial.seed, url)
        if serving.program.pids:
            run = replace(run, server_at_rest=usage_now(serving.program.pids))
        knocker, door, cpus = self.parties.knocker, url + stack.ready, placement.services
        if part.knock:
            run = replace(run, connect_at_rest=knocker.at_rest(door, cpus))
        knocking = knocker.beside(door, cpus, seconds=job.limit_s) if part.knock else contextlib.nullcontext()
        with (
            self.parties.backend.watch(placement, serving, self.services, generator.pids) as watch,
            knocking as knocks,
        ):
            figures = generator.measure(job)
        if knocks is not None:
            run = _with_connects(run, knocks.between(figures.start_s, figures.end_s))
        reading = watch.read(figures.start_s, figures.end_s)
        return self._with_reading(_with_figures(run, figures), figures, reading, placement), reading

    def _with_reading(self, run: Run, figures: Figures, reading: Reading, placement: Placement) -> Run:
        window = figures.end_s - figures.start_s

        def share(party: str, cpus: tuple[int, ...]) -> float | None:
            cpu_s = reading.usage[party].cpu_s
            return None if cpu_s is None else cpu_s / window / len(cpus)

        if reading.threads_ended > THREADS_ENDED * (reading.usage["server"].threads or 1):
            ended = f"{reading.threads_ended} threads of the server ended: its context switches are a lower bound"
            run = replace(run, warnings=(*run.warnings, ended))
        which = ceiling_of(self.stacks[run.stack], self.scenarios[run.scenario], Load.parse(run.load))
        ceiling = self.ceilings.get(which) if which else None
        answered = figures.arrivals.ended if figures.arrivals else figures.requests
        return replace(
            run,
            server=reading.usage["server"],
            server_group=reading.groups.get("server", ControlGroup()),
            generator=reading.usage["generator"],
            services=reading.usage["services"],
            server_cpu_share=share("server", placement.server),
            server_busy_share=reading.busy_share["server"],
            generator_cpu_share=share("generator", placement.generator),
            generator_busy_share=reading.busy_share["generator"],
            generator_delay_share=None if figures.delay_s is None else figures.delay_s / window,
            generator_ceiling_share=answered / window / ceiling if ceiling else None,
            generator_send_lag_s=figures.arrivals.send_lag_p99_s if figures.arrivals else None,
            generator_loop_lag_s=figures.loop_lag_p99_s,
            steal_share=reading.steal_share,
        )


def _drain(url: str) -> None:
    """Wait until a server answers at once again, or until nothing is to be hoped for."""
    until = time.perf_counter() + DRAIN_S
    while (asked := time.perf_counter()) < until and answers(url, until - asked):
        if time.perf_counter() - asked < AT_ONCE_S:
            break


def _how_far(run: Run) -> Run:
    """Say of a void trial of held connections how many there were: that is what it was about."""
    if run.status != "void" or run.connections_opened is None:
        return run
    opened = (
        f"{run.connections_opened} of {run.connections_offered} connections had opened, {run.connections_kept} kept"
    )
    threads = f", by {run.server.threads} threads" if run.server.threads else ""
    return replace(run, reason=f"{run.reason} ({opened}{threads})")


def _forbidden(stack: AnyStack, load: Load) -> str | None:
    """Say what this machine does not allow a server that is asked for much; None where it allows all."""
    if machine.fitting(load) != load:
        return f"the limit on open files, {machine.raise_open_files()}"
    threads = stack.settings.get("threads")
    return limits.forbids(
        limits.limits(), threads=threads if isinstance(threads, int) else None, connections=load.connections
    )


def _crowded(stack: AnyStack, placement: Placement) -> tuple[str, ...]:
    workers, cpus = stack.settings.get("workers"), len(placement.server)
    if not isinstance(workers, int) or workers <= cpus:
        return ()
    return (f"{workers} workers share {cpus} CPU{'s' * (cpus > 1)}: there are no more for the server here",)


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


def _with_connects(run: Run, found: Connects) -> Run:
    late = f"{found.unanswered} of {found.asked} fresh connections were not answered in time"
    told = (f"{late}: no quantile among them is told",) if found.unanswered else ()
    return replace(run, connect_under_load=found, warnings=(*run.warnings, *told))


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
        connections_late=figures.late,
        unopened_reasons=figures.unopened,
        arrivals_due=arrivals.due if arrivals else None,
        arrivals_ended=arrivals.ended if arrivals else None,
        arrivals_overrun=arrivals.overrun if arrivals else None,
        arrivals_unanswered=arrivals.unanswered if arrivals else None,
        service=arrivals.service if arrivals else None,
        search_steps=figures.steps,
        warnings=(*run.warnings, *retried, *unsettled),
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
