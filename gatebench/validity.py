"""When a trial is void: the rules, applied to a run's own figures.

Knows one run at a time. Must not know how it was made, nor any other run: nothing here compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gatebench.histogram import mean
from gatebench.model import Load, Run

GENERATOR_DELAY = 0.05  # run-queue delay: above, the generator was starved by a neighbour
GENERATOR_BUSY = 0.80  # of its CPUs, every process on them counted
GENERATOR_CEILING = 0.70  # of what it reaches on a do-nothing server
SERVER_FULL = 0.95  # a server this busy is the limit itself, however busy the generator was
SERVER_LIMIT = 0.90  # from here the server's CPU is named as the limit
LITTLE = 0.10
STEAL_VOID, STEAL_WARN = 0.10, 0.02


def judge(run: Run, *, error_limit: float, concurrency: int | None, restarted: bool) -> Run:
    """Give the run with its status, reason, warnings and limit.

    `concurrency` is how many requests the server holds at once by its declaration, None where nothing limits it.
    """
    average = mean(run.response) if run.response is not None else None
    closed = run.load.startswith("closed")
    overloaded = closed and average is not None and run.window_s is not None and run.window_s < 2 * average
    run = replace(run, overloaded=overloaded, limit=_limit(run, concurrency))
    reasons = [*_errors(run, error_limit), *_generator(run), *_little(run), *_machine(run)]
    if restarted:
        reasons.append("a process of the server ended in mid-trial")
    warnings = (*run.warnings, *_warnings(run, overloaded=overloaded))
    if reasons:
        return replace(run, status="void", reason="; ".join(reasons), warnings=warnings)
    return replace(run, status="ok", reason=None, warnings=warnings)


def _errors(run: Run, limit: float) -> Iterator[str]:
    answered, failed = run.requests or 0, run.errors or 0
    if not answered and not failed:
        # Held connections that were never opened are a result, not an error.
        if run.connections_opened != 0:
            yield "nothing was answered within the window"
    elif failed / (answered + failed) > limit:
        often = max(run.error_reasons, key=lambda reason: run.error_reasons[reason], default="no reason given")
        yield f"{failed} of {answered + failed} requests failed, the limit is {limit:.1%}: {often}"


def _generator_signs(run: Run) -> Iterator[str]:
    if (run.generator_delay_share or 0) > GENERATOR_DELAY:
        yield f"it waited {run.generator_delay_share:.0%} of the time for its CPU"
    if (run.generator_busy_share or 0) > GENERATOR_BUSY:
        yield f"its CPUs were {run.generator_busy_share:.0%} busy"
    if (run.generator_ceiling_share or 0) > GENERATOR_CEILING:
        yield f"the rate is {run.generator_ceiling_share:.0%} of what it reaches on a do-nothing server"


def _server_full(run: Run) -> bool:
    return (run.server_busy_share or 0) >= SERVER_FULL


def _generator(run: Run) -> Iterator[str]:
    signs = list(_generator_signs(run))
    if signs and not _server_full(run):
        busy = "?" if run.server_busy_share is None else f"{run.server_busy_share:.0%}"
        yield f"the generator may have been the limit: {', '.join(signs)}, the server's CPUs were {busy} busy"


def _little(run: Run) -> Iterator[str]:
    if run.overloaded or run.in_flight_mean is None or not run.load.startswith("closed"):
        return
    users = Load.parse(run.load).size
    off = run.in_flight_mean / users - 1
    # A full server that the generator hardly keeps up with is warned of below; a gap without that is unexplained.
    if abs(off) > LITTLE:
        yield f"Little's law is off by {off:+.0%}: {run.in_flight_mean:.1f} requests in flight of {users} users"


def _machine(run: Run) -> Iterator[str]:
    if (run.steal_share or 0) > STEAL_VOID:
        yield f"the hypervisor took {run.steal_share:.0%} of the CPUs' time"


def _warnings(run: Run, *, overloaded: bool) -> Iterator[str]:
    if _server_full(run) and any(_generator_signs(run)):
        yield "the generator was near its limit too: the rate stands, response times may be too long"
    if overloaded:
        yield "overloaded: the window is shorter than twice the mean response time, which is a lower bound"
    if STEAL_WARN < (run.steal_share or 0) <= STEAL_VOID:
        yield f"the hypervisor took {run.steal_share:.1%} of the CPUs' time"


def _limit(run: Run, concurrency: int | None) -> str | None:
    load = Load.parse(run.load)
    if (run.server_busy_share or 0) >= SERVER_LIMIT:
        return "the server's CPU"
    if concurrency is not None and concurrency < load.size:
        return f"{concurrency} requests at a time" if concurrency > 1 else "one request at a time"
    return f"{load.size} users" if load.kind == "closed" else f"{load.size} connections offered"
