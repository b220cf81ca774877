"""The one table of metrics: name, unit, which way is better, how to read it from a run, how to show it.

Knows runs and histograms. Must not know stacks, sessions or pages.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from gatebench.histogram import percentile
from gatebench.model import Load, Metric, Run

Reader = Callable[[Run], float | None]


def _held(run: Run) -> bool:
    return Load.parse(run.load).kind == "hold"


def _rate(run: Run) -> float | None:
    if _held(run) or run.requests is None or not run.window_s:
        return None
    return run.requests / run.window_s


def _percentile(q: float) -> Reader:
    def read(run: Run) -> float | None:
        return None if run.response is None else percentile(run.response, q)

    return read


def _cost(run: Run) -> float | None:
    if not run.requests or run.server.cpu_s is None:
        return None
    return run.server.cpu_s / run.requests * 1e6


TABLE: dict[str, tuple[Metric, Reader]] = {
    metric.name: (metric, read)
    for metric, read in (
        (Metric(name="rate_rps", title="Requests per second", unit="1/s", better="higher"), _rate),
        (Metric(name="response_p50_s", title="Response time, median", unit="s", better="lower"), _percentile(0.5)),
        (Metric(name="response_p99_s", title="Response time, p99", unit="s", better="lower"), _percentile(0.99)),
        (Metric(name="cpu_us_per_request", title="Server CPU per request", unit="µs", better="lower"), _cost),
        (
            Metric(name="pss_bytes", title="Proportional memory, peak", unit="B", better="lower"),
            lambda run: run.server.pss_peak_bytes,
        ),
        (
            Metric(name="group_memory_bytes", title="Memory charged to the container", unit="B", better="lower"),
            lambda run: run.server_group.memory_peak_bytes,
        ),
        (
            Metric(name="connections", title="Connections kept", unit="", better="higher"),
            lambda run: run.connections_kept if _held(run) else None,
        ),
    )
}


def read(name: str, run: Run) -> float | None:
    """Read the metric `name` from a run; None where it was not measured."""
    return TABLE[name][1](run)


TIMES = "\N{MULTIPLICATION SIGN}"  # the unit of a factor
SCALES = {
    "s": ((1.0, " s"), (1e-3, " ms"), (1e-6, " µs")),
    "B": ((float(2**20), " MiB"),),  # one scale, so that memory figures compare at a glance
    "1/s": ((1.0, "/s"),),
    TIMES: ((1.0, TIMES),),
}


def show(value: float | None, unit: str) -> str:
    """Show a value with three significant figures and a unit fit for its size; a dash where it is missing."""
    if value is None:
        return "—"
    if not unit:  # a count is shown as it is
        return f"{value:,.0f}" if float(value).is_integer() else three(value)
    scales = SCALES.get(unit, ((1.0, f" {unit}"),))
    for size, name in scales:
        if abs(_rounded(value / size)) >= 1:
            return three(value / size) + name
    size, name = scales[-1]
    return three(value / size) + name


def three(value: float) -> str:
    """Write a number with three significant figures, thousands apart, never as a power of ten."""
    rounded = _rounded(value)
    if rounded == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{digits}f}"


def _rounded(value: float) -> float:
    # Rounding comes before the choice of digits and of a scale: 9.999 is 10.0 and 0.9999 s is 1.00 s.
    return float(f"{value:.3g}")
