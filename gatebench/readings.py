"""What was seen of a trial, put into its run: the generator's figures, fresh connections, what all parties used.

Knows runs and what the parties give. Must not know in which order a trial goes, nor what is thought of its figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gatebench.backends.resources import Reading
from gatebench.generator import Figures
from gatebench.model import Connects, ControlGroup, Placement, Run

THREADS_ENDED = 0.1  # of the server's threads: from there on, switches that they took with them are warned of


def with_connects(run: Run, found: Connects) -> Run:
    """Put in the fresh connections that were opened beside the load."""
    late = f"{found.unanswered} of {found.asked} fresh connections were not answered in time"
    told = (f"{late}: no quantile among them is told",) if found.unanswered else ()
    return replace(run, connect_under_load=found, warnings=(*run.warnings, *told))


def with_figures(run: Run, figures: Figures) -> Run:
    """Put in what the generator saw."""
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


def with_reading(
    run: Run,
    figures: Figures,
    reading: Reading,
    *,
    placement: Placement,
    ceiling: float | None,
    beside: Sequence[Reading] = (),
) -> Run:
    """Put in what all parties used; `ceiling` is the generator's, in requests/s, None where there is none.

    `beside` is what was read, over the same window, of those that were measured at the same time.
    """
    window = figures.end_s - figures.start_s

    def share(one: Reading, party: str, cpus: tuple[int, ...]) -> float | None:
        cpu_s = one.usage[party].cpu_s
        return None if cpu_s is None else cpu_s / window / len(cpus)

    if reading.threads_ended > THREADS_ENDED * (reading.usage["server"].threads or 1):
        ended = f"{reading.threads_ended} threads of the server ended: its context switches are a lower bound"
        run = replace(run, warnings=(*run.warnings, ended))
    answered = figures.arrivals.ended if figures.arrivals else figures.requests
    others = [share(one, "server", placement.server) for one in beside]
    known = [each for each in others if each is not None]
    return replace(
        run,
        server=reading.usage["server"],
        server_group=reading.groups.get("server", ControlGroup()),
        generator=reading.usage["generator"],
        services=reading.usage["services"],
        server_cpu_share=share(reading, "server", placement.server),
        server_busy_share=reading.busy_share["server"],
        server_beside_share=sum(known) if known and len(known) == len(others) else None,
        generator_cpu_share=share(reading, "generator", placement.generator),
        generator_busy_share=reading.busy_share["generator"],
        generator_delay_share=None if figures.delay_s is None else figures.delay_s / window,
        generator_ceiling_share=answered / window / ceiling if ceiling else None,
        generator_send_lag_s=figures.arrivals.send_lag_p99_s if figures.arrivals else None,
        generator_loop_lag_s=figures.loop_lag_p99_s,
        steal_share=reading.steal_share,
    )
