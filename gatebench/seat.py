"""A trial while it is measured: who serves and who loads it, what has been seen of it, what may go wrong.

Knows one trial, and those that are measured beside it. Must not know the order of the steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gatebench import limits, machine
from gatebench.backends.programs import Serving, answers
from gatebench.backends.resources import Reading
from gatebench.errors import ContractError, MachineError
from gatebench.generator import Figures, Generator, Job
from gatebench.model import AnyStack, Load, Placement, Run, Trial
from gatebench.parties import Knocks, Watch

DRAIN_S = 12.0
AT_ONCE_S = 0.25
ALIGNED_S = 0.25  # for generators to have imported, connected and warmed up, beyond the limit of their warm-up


@dataclass(slots=True, kw_only=True)
class Seat:
    """A trial while it is measured: who serves and who loads it, and what has been seen so far."""

    trial: Trial
    placement: Placement
    run: Run
    over: bool = False  # nothing more is to be seen of it
    generator: Generator | None = None
    serving: Serving | None = None
    date: str | None = None  # as the first contract saw it
    checked: float = 0.0  # when that was
    forbidden: str | None = None
    job: Job | None = None
    watch: Watch | None = None
    knocks: Knocks | None = None
    figures: Figures | None = None
    reading: Reading | None = None
    alone_s: float = 0.0  # of its window, without the others' load

    def end(self, **said: Any) -> None:
        """Say what became of it."""
        self.run = replace(self.run, **said)
        self.over = True

    def measure(self) -> None:
        """Have the generator do its job."""
        assert self.generator is not None  # noqa: S101 - it stands
        assert self.job is not None  # noqa: S101
        self.figures = self.generator.measure(self.job)


def any_over(seats: Sequence[Seat]) -> bool:
    """Say whether one of them has come to its end."""
    return any(seat.over for seat in seats)


def align(seats: Sequence[Seat]) -> None:
    """Have all windows begin at the same moment, when every warm-up should have ended."""
    limits_s = [seat.job.warmup_limit_s for seat in seats if seat.job]
    at_s = time.perf_counter() + max(limits_s, default=0.0) + ALIGNED_S
    for seat in seats:
        if seat.job is not None:
            seat.job = replace(seat.job, window_at_s=at_s)


def apart(one: Figures, other: Figures) -> float:
    """Give for how many seconds of its window the one was loaded and the other was not."""
    return max(0.0, other.start_s - other.warmup_s - one.start_s) + max(0.0, one.end_s - other.end_s)


def tried(seat: Seat, step: Callable[[], None]) -> None:
    """Take a step of a trial; what fails of server, generator or machine is the trial's end, and in its run."""
    try:
        step()
    except ContractError as error:
        seat.end(fault="contract", reason=str(error))
    except MachineError as error:
        if seat.serving is None:
            seat.end(fault="machine", reason=str(error))
        elif gone := gone_run(seat.run, seat.serving):
            seat.run, seat.over = gone, True
        else:
            seat.end(fault="machine", reason=str(error), log=seat.serving.program.log())


def gone_run(run: Run, serving: Serving) -> Run | None:
    """Give the run void where its server did not outlive the load, with what befell it; None where it did."""
    try:
        fault = serving.program.fault()
    except MachineError as error:  # whoever runs the server is gone, and says so
        return replace(run, fault="machine", reason=str(error))
    if fault is None:
        return None
    reason = f"the server {fault}, in mid-trial"
    return replace(run, status="void", fault="broke", reason=reason, log=serving.program.log())


def drain(url: str) -> None:
    """Wait until a server answers at once again, or until nothing is to be hoped for."""
    until = time.perf_counter() + DRAIN_S
    while (asked := time.perf_counter()) < until and answers(url, until - asked):
        if time.perf_counter() - asked < AT_ONCE_S:
            break


def how_far(run: Run) -> Run:
    """Say of a void trial of held connections how many there were: that is what it was about."""
    if run.status != "void" or run.connections_opened is None:
        return run
    opened = (
        f"{run.connections_opened} of {run.connections_offered} connections had opened, {run.connections_kept} kept"
    )
    threads = f", by {run.server.threads} threads" if run.server.threads else ""
    return replace(run, reason=f"{run.reason} ({opened}{threads})")


def forbidden(stack: AnyStack, load: Load) -> str | None:
    """Say what this machine does not allow a server that is asked for much; None where it allows all."""
    if machine.fitting(load) != load:
        return f"the limit on open files, {machine.raise_open_files()}"
    threads = stack.settings.get("threads")
    return limits.forbids(
        limits.limits(), threads=threads if isinstance(threads, int) else None, connections=load.connections
    )


def crowded(stack: AnyStack, placement: Placement) -> tuple[str, ...]:
    """Warn of more workers than CPUs."""
    workers, cpus = stack.settings.get("workers"), len(placement.server)
    if not isinstance(workers, int) or workers <= cpus:
        return ()
    return (f"{workers} workers share {cpus} CPU{'s' * (cpus > 1)}: there are no more for the server here",)
