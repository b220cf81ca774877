"""When a trial is void: the rules, applied to a run's own figures.

Knows one run at a time. Must not know how it was made, nor any other run: nothing here compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gatebench.arrivals import ACHIEVED, missed
from gatebench.histogram import mean, percentile
from gatebench.model import Fault, Load, Run

GENERATOR_DELAY = 0.05  # run-queue delay: above, the generator was starved by a neighbour
GENERATOR_BUSY = 0.80  # of its CPUs, every process on them counted
GENERATOR_CEILING = 0.70  # of what it reaches on a do-nothing server
SERVER_FULL = 0.95  # a server this busy is the limit itself, however busy the generator was
SERVER_LIMIT = 0.90  # from here the server's CPU is named as the limit
NEIGHBOUR_VOID, NEIGHBOUR_WARN = 0.05, 0.02  # of the server's CPUs, used by others; sound trials have had 0.01
LITTLE = 0.10
# Answers to what was due before the window count, those that come after it do not: the two numbers differ by how many
# were in flight at either edge. Where requests come and go at random, the variance of each is their mean.
SEND_LAG_S, LOOP_LAG_S = 0.001, 0.010  # p99: less is always borne
LAG = 0.10  # of the median response time: a p99 of either lag below this is borne
STEAL_VOID, STEAL_WARN = 0.10, 0.02
ALONE = 0.10  # of the window: what is measured together with another is so for the rest of it


def judge(
    run: Run,
    *,
    error_limit: float,
    concurrency: int | None,
    restarted: bool,
    refused: str | None = None,
    forbidden: str | None = None,
    alone_s: float = 0.0,
) -> Run:
    """Give the run with its status, reason, warnings and limit.

    A run that was measured together with others has a `server_beside_share`. What the generator lacked and what
    neighbours took, they lacked alike: that is warned of, and their ratio stands. `alone_s` is for how much of its
    window the others were not under load.

    `concurrency` is how many requests the server holds at once by its declaration, None where nothing limits it;
    `refused` what its log says that the machine did not allow it, `forbidden` what the machine does not allow whoever
    is asked for as much; None where there is nothing of the kind.
    """
    average = mean(run.response) if run.response is not None else None
    closed = Load.parse(run.load).looped
    overloaded = closed and average is not None and run.window_s is not None and run.window_s < 2 * average
    run = replace(run, overloaded=overloaded, limit=refused or _limit(run, concurrency, forbidden))
    broke = list(_errors(run, error_limit))
    if restarted:
        broke.append("a process of the server ended in mid-trial")
    reasons = [*broke, *_search(run), *_achieved(run), *_sent_late(run), *_little(run)]
    disturbed = [*_generator(run), *_neighbours(run), *_machine(run)]
    warned: list[str] = []
    together = run.server_beside_share is not None
    (warned if together else reasons).extend(disturbed)
    reasons += _alone(run, alone_s)
    warnings = (*run.warnings, *warned, *_warnings(run, overloaded=overloaded))
    if reasons:
        fault: Fault | None = "broke" if broke else None
        return replace(run, status="void", fault=fault, reason="; ".join(reasons), warnings=warnings)
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


def _search(run: Run) -> Iterator[str]:
    load, steps = Load.parse(run.load), run.search_steps
    if load.kind == "search" and not any(step.held for step in steps):
        lowest = f", the lowest being {min(step.rate_rps for step in steps):.4g}/s" if steps else ""
        yield f"none of {len(steps)} rates{lowest}, kept p99 below {load.size} ms and errors within their limit"


def fell_behind(run: Run) -> bool:
    """Say whether arrivals came faster than they were answered."""
    due, ended = run.arrivals_due, run.arrivals_ended
    return due is not None and ended is not None and ended < due and missed(due, ended, run.in_flight_mean)


def _achieved(run: Run) -> Iterator[str]:
    if not Load.parse(run.load).paced:
        return
    due, ended = run.arrivals_due, run.arrivals_ended
    if due is None or ended is None:
        yield "the arrivals were not counted, so offered and achieved rate cannot be compared"
    elif missed(due, ended, run.in_flight_mean):
        yield f"offered and achieved rate differ by more than {ACHIEVED:.0%}: {due} arrivals were due, {ended} ended"


def _bearable_s(run: Run, least_s: float) -> float:
    median = percentile(run.response, 0.5) if run.response is not None else None
    return max(least_s, LAG * (median or 0.0))


def _sent_late(run: Run) -> Iterator[str]:
    lag = run.generator_send_lag_s
    if lag is not None and lag > (most := _bearable_s(run, SEND_LAG_S)):
        yield f"requests were sent late: by {lag * 1e3:.3g} ms (p99), {most * 1e3:.3g} ms would be borne"


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


def _alone(run: Run, alone_s: float) -> Iterator[str]:
    if run.window_s and alone_s > ALONE * run.window_s:
        yield f"for {alone_s:.2g} s of its window of {run.window_s:.3g} s it had no other beside it"


def _others_share(run: Run) -> float:
    """Give the share of the server's CPUs that ran nothing of the trial; 0 where that could not be seen."""
    if run.server_busy_share is None or run.server_cpu_share is None:
        return 0.0
    return run.server_busy_share - run.server_cpu_share - (run.server_beside_share or 0.0)


def _neighbours(run: Run) -> Iterator[str]:
    if (others := _others_share(run)) > NEIGHBOUR_VOID:
        yield f"others used {others:.0%} of the server's CPUs"


def _little(run: Run) -> Iterator[str]:
    if run.overloaded or run.in_flight_mean is None or not (load := Load.parse(run.load)).looped:
        return
    users = load.size
    off = run.in_flight_mean / users - 1
    # A full server that the generator hardly keeps up with is warned of below; a gap without that is unexplained.
    if abs(off) > LITTLE:
        yield f"Little's law is off by {off:+.0%}: {run.in_flight_mean:.1f} requests in flight of {users} users"


def _machine(run: Run) -> Iterator[str]:
    if (run.steal_share or 0) > STEAL_VOID:
        yield f"the hypervisor took {run.steal_share:.0%} of the CPUs' time"


def disturbed(run: Run) -> bool:
    """Say whether the generator, a neighbour or the machine may be why a run came out as it did."""
    signs = (_sent_late(run), _generator(run), _neighbours(run), _machine(run))
    return any(True for sign in signs for _ in sign)


def _warnings(run: Run, *, overloaded: bool) -> Iterator[str]:
    if _server_full(run) and any(_generator_signs(run)):
        yield "the generator was near its limit too: the rate stands, response times may be too long"
    if overloaded:
        yield "overloaded: the window is shorter than twice the mean response time, which is a lower bound"
    if STEAL_WARN < (run.steal_share or 0) <= STEAL_VOID:
        yield f"the hypervisor took {run.steal_share:.1%} of the CPUs' time"
    if NEIGHBOUR_WARN < (others := _others_share(run)) <= NEIGHBOUR_VOID:
        yield f"others used {others:.1%} of the server's CPUs"
    if run.server_busy_share is None:
        yield "what the server used could not be seen from here, nor whether the generator was the limit"
    yield from _arrivals(run)
    yield from _loop_late(run)


def _arrivals(run: Run) -> Iterator[str]:
    due = run.arrivals_due
    if run.arrivals_overrun and due:
        yield _share_of(run.arrivals_overrun, due, "found no free connection and had to wait for one")
    if run.arrivals_unanswered and due:
        yield _share_of(run.arrivals_unanswered, due, "were never answered and count as errors")
    if due is not None and run.generator_send_lag_s is None:
        yield f"how late requests were sent is not known: {due} arrivals are too few for a p99"


def _share_of(count: int, due: int, what: str) -> str:
    return f"{count} of {due} arrivals ({count / due:.2%}) {what}"


def _loop_late(run: Run) -> Iterator[str]:
    lag = run.generator_loop_lag_s
    if lag is not None and lag > _bearable_s(run, LOOP_LAG_S):
        yield f"the generator's loop came round late, by {lag * 1e3:.3g} ms (p99): response times may be too long"


def _limit(run: Run, concurrency: int | None, forbidden: str | None) -> str | None:
    load = Load.parse(run.load)
    if load.kind == "search":
        return f"a p99 of {load.size} ms"
    if load.paced:  # a valid trial reached the rate it was offered, so the server could have done more
        return f"the arrival rate of {load.size}/s"
    kept_all = load.held and run.connections_kept is not None and run.connections_kept == run.connections_offered
    used = run.server_cpu_share if run.server_cpu_share is not None else run.server_busy_share
    if (used or 0) + (run.server_beside_share or 0) >= SERVER_LIMIT and not kept_all:
        return "the server's CPU"
    if concurrency is not None and concurrency < load.size and not kept_all:
        return f"{concurrency} requests at a time" if concurrency > 1 else "one request at a time"
    if forbidden or load.held:
        return forbidden or _hold_limit(run, load.size, kept_all=kept_all)
    return f"{load.size} requests at a time" if load.streamed else f"{load.size} users"


def _hold_limit(run: Run, size: int, *, kept_all: bool) -> str:
    """Name what kept a server from holding more: what was offered, or why the others did not open or answer."""
    offered = run.connections_offered or size
    reason = max(run.unopened_reasons, key=lambda one: run.unopened_reasons[one], default=None)
    if kept_all or (reason is None and not run.connections_late):
        return f"{offered} connections offered"
    if reason is None:
        return f"{run.connections_late} of {offered} connections answered late"
    return f"{sum(run.unopened_reasons.values())} of {offered} connections did not open: {reason}"
