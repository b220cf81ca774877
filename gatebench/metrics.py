"""The one table of metrics: name, unit, which way is better, how to read it from a run, how to show it.

Knows runs and histograms. Must not know stacks, sessions or pages.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Literal, Protocol

from gatebench.histogram import middle_us, percentile, samples_needed
from gatebench.model import Connects, Estimate, Histogram, Load, Metric, Run

Own = Callable[[Run], float | None]  # what a run tells by itself


class Reader(Protocol):
    """Reads a figure from a run and, where the figure needs it, from what a request waits by design."""

    def __call__(self, run: Run, waits_s: float | None = None, /) -> float | None:
        """Give the figure; None where it was not measured."""


REFUSED = "connection refused"  # the generators' word, and their words for what took too long
TIMED_OUT = re.compile(
    r" in time$| within [\d.]+ s$|^still in line after |^given up, as none had opened for "
    r"|^not answered while the generator waited for it$"
)
LATE_S = 1.0  # what comes later than this, beyond what it waits by design, came late

_load = cache(Load.parse)  # a session has few loads and many runs


def _rate(run: Run) -> float | None:
    if _load(run.load).held or run.requests is None or not run.window_s:
        return None
    return run.requests / run.window_s


def _response(q: float) -> Own:
    return lambda run: _percentile(run.response, q)


KNOCKS: Mapping[
    str, tuple[Callable[[Run], Connects | None], float]
] = {  # fresh connections, and the quantile of them
    "connect_rest_p50_s": (lambda run: run.connect_at_rest, 0.5),
    "connect_rest_p99_s": (lambda run: run.connect_at_rest, 0.99),
    "connect_load_p50_s": (lambda run: run.connect_under_load, 0.5),
    "connect_load_p99_s": (lambda run: run.connect_under_load, 0.99),
}


def censored(name: str, run: Run) -> tuple[Connects, float] | None:
    """Give the fresh connections of which so many were not answered that `name` lies above what was waited, in s.

    None where the figure is known, and where there are too few connections to tell.
    """
    which, q = KNOCKS[name]
    found = which(run)
    if found is None or not found.unanswered or found.times.total < samples_needed(q):
        return None
    rank = math.ceil(q * found.times.total * (1 - 1e-12))  # as histogram.percentile has it
    if rank <= found.times.total - found.unanswered:
        return None
    return found, middle_us(max(found.times.counts)) / 1e6  # who was not answered counts with what was waited


def _connect(name: str) -> Own:
    which, q = KNOCKS[name]

    def read_it(run: Run) -> float | None:
        found = which(run)
        return None if found is None or censored(name, run) else percentile(found.times, q)

    return read_it


def _percentile(times: Histogram | None, q: float) -> float | None:
    return None if times is None else percentile(times, q)


def _a_request(amount: Own, factor: float = 1.0) -> Own:
    """Divide an amount by the requests answered, fresh connections beside the load among them."""

    def divided(run: Run) -> float | None:
        found, knocks = amount(run), run.connect_under_load
        if not run.requests or found is None:
            return None
        answered = knocks.asked - knocks.refused - knocks.unanswered if knocks is not None else 0
        return found / (run.requests + answered) * factor

    return divided


def _switches(run: Run) -> float | None:
    both = run.server.switches_voluntary, run.server.switches_involuntary
    return None if both[0] is None or both[1] is None else both[0] + both[1]


def _cpu_share(run: Run) -> float | None:
    cpus = len(run.placement.get("server", ()))
    return (
        None if run.server.cpu_s is None or not run.window_s or not cpus else run.server.cpu_s / run.window_s / cpus
    )


def _a_connection(run: Run) -> float | None:
    """Give what each held connection added to the memory at rest; of others nobody knows how many were accepted."""
    peak, rest = run.server.pss_peak_bytes, run.server_at_rest.pss_peak_bytes
    connections = run.connections_opened if _load(run.load).held else None
    return (peak - rest) / connections if connections and peak is not None and rest is not None else None


def _refused(run: Run) -> float | None:
    """Count the connections that were refused, whoever opened them; None where nobody counted."""
    knocks = [each.refused for each in (run.connect_at_rest, run.connect_under_load) if each is not None]
    if not run.window_s and run.connections_opened is None and not knocks:
        return None
    reasons = (*run.unopened_reasons.items(), *run.error_reasons.items())
    return float(sum(knocks) + sum(count for reason, count in reasons if reason == REFUSED))


def _timed_out(run: Run) -> float | None:
    """Count what the load waited for in vain, connections and answers; None where nobody counted."""
    if not run.window_s and run.connections_opened is None:
        return None
    reasons = (*run.unopened_reasons.items(), *run.error_reasons.items())
    return float(sum(count for reason, count in reasons if TIMED_OUT.search(reason)))


def _late(run: Run, waits_s: float | None = None, /) -> float | None:
    if _load(run.load).held:
        return run.connections_late
    if run.response is None or not run.response.total or waits_s is None:
        return None
    # In the generator's own buckets, so right to within their 0.4 %.
    latest_us = (waits_s + LATE_S) * 1e6
    return float(sum(count for index, count in run.response.counts.items() if middle_us(index) > latest_us))


def _served_at_once(run: Run, waits_s: float | None = None, /) -> float | None:
    rate = _rate(run)
    return None if rate is None or waits_s is None else rate * waits_s


def _metric(name: str, title: str, unit: str, *, higher: bool = False) -> Metric:
    return Metric(name=name, title=title, unit=unit, better="higher" if higher else "lower")


def _alone(own: Own) -> Reader:
    return lambda run, _=None: own(run)


TABLE: dict[str, tuple[Metric, Reader]] = {
    metric.name: (metric, _alone(read))
    for metric, read in (
        (_metric("rate_rps", "Requests per second", "1/s", higher=True), _rate),
        (_metric("response_p50_s", "Response time, median", "s"), _response(0.5)),
        (_metric("response_p99_s", "Response time, p99", "s"), _response(0.99)),
        (
            _metric("cpu_us_per_request", "Server CPU per request", "µs"),
            _a_request(lambda run: run.server.cpu_s, 1e6),
        ),
        (
            _metric("services_cpu_us_per_request", "Services' CPU per request", "µs"),
            _a_request(lambda run: run.services.cpu_s, 1e6),
        ),
        (_metric("cpu_share", "Server CPU used", "share"), _cpu_share),
        (_metric("pss_bytes", "Proportional memory, peak", "B"), lambda run: run.server.pss_peak_bytes),
        (_metric("rss_bytes", "Resident memory, peak", "B"), lambda run: run.server.rss_peak_bytes),
        (
            _metric("pss_at_rest_bytes", "Proportional memory before the load", "B"),
            lambda run: run.server_at_rest.pss_peak_bytes,
        ),
        (_metric("pss_per_connection_bytes", "Memory a connection", "B"), _a_connection),
        (
            _metric("group_memory_bytes", "Memory charged to the container", "B"),
            lambda run: run.server_group.memory_peak_bytes,
        ),
        (_metric("threads", "Threads, peak", ""), lambda run: run.server.threads),
        (_metric("processes", "Processes, peak", ""), lambda run: run.server.processes),
        (_metric("switches_per_request", "Context switches", "1/request"), _a_request(_switches)),
        (
            _metric("switches_voluntary_per_request", "Context switches to wait", "1/request"),
            _a_request(lambda run: run.server.switches_voluntary),
        ),
        (
            _metric("switches_involuntary_per_request", "Context switches by force", "1/request"),
            _a_request(lambda run: run.server.switches_involuntary),
        ),
        (
            _metric("connections", "Connections kept", "", higher=True),
            lambda run: run.connections_kept if _load(run.load).held else None,
        ),
        (_metric("connect_rest_p50_s", "Fresh connection at rest, median", "s"), _connect("connect_rest_p50_s")),
        (_metric("connect_rest_p99_s", "Fresh connection at rest, p99", "s"), _connect("connect_rest_p99_s")),
        (
            _metric("connect_load_p50_s", "Fresh connection beside the load, median", "s"),
            _connect("connect_load_p50_s"),
        ),
        (_metric("connect_load_p99_s", "Fresh connection beside the load, p99", "s"), _connect("connect_load_p99_s")),
        (_metric("refused", "Connections refused", ""), _refused),
        (_metric("timed_out", "Not answered or opened in time", ""), _timed_out),
    )
} | {
    metric.name: (metric, read)
    for metric, read in (
        (_metric("late", "Served late", ""), _late),
        (_metric("served_at_once", "Requests served at a time", "", higher=True), _served_at_once),
    )
}


def read(name: str, run: Run, waits_s: float | None = None) -> float | None:
    """Read the metric `name` from a run; None where it was not measured.

    `waits_s` is what each request waits by design, as Session.waits has it of the run's scenario; without it, what
    depends on it is None.
    """
    return TABLE[name][1](run, waits_s)


TIMES = "\N{MULTIPLICATION SIGN}"  # the unit of a factor
NEAR_ONE = 3  # digits after the point of a factor that would be printed as 1 and is not
Bound = Literal["", "≥", "≤"]  # what a figure is besides itself: how much there is at least, or at most
SCALES = {
    "s": ((1.0, " s"), (1e-3, " ms"), (1e-6, " µs")),
    "B": ((float(2**20), " MiB"), (2.0**10, " KiB")),  # below a MiB only what a connection takes
    "1/s": ((1.0, "/s"),),
    "1/request": ((1.0, " a request"),),
    "share": ((0.01, " %"),),
    TIMES: ((1.0, TIMES),),
}


def show(value: float | None, unit: str, *, place: float = 0.0, bound: Bound = "") -> str:
    """Show a value with three significant figures and a unit fit for its size; a dash where it is missing.

    `place`: what digits stand for nothing below, in the value's own unit; one digit is shown in any case. A `bound`
    is rounded to the side on which it stays true.
    """
    if value is None:
        return "—"
    if not unit and place < 1:  # a count is shown as it is
        return f"{value:,.0f}" if float(value).is_integer() else three(value, place=place, bound=bound)
    scales = SCALES.get(unit, ((1.0, f" {unit}" if unit else ""),))
    for size, name in scales:
        if abs(_rounded(value / size)) >= 1:
            return three(value / size, place=place / size, bound=bound) + name
    size, name = scales[-1]
    return three(value / size, place=place / size, bound=bound) + name


def show_estimate(
    estimate: Estimate, unit: str, *, bound: Bound = "", edges: Sequence[float] = ()
) -> tuple[str, str, str]:
    """Show a figure and its interval's ends, without digits that the interval's width does not support.

    The ends are empty where there is no interval. A `bound` is rounded to the side on which it stays true. `edges`
    are what a verdict hangs on: where an end, rounded, would fall on one, there is one digit more.
    """
    if estimate.low is None or estimate.high is None:
        return show(estimate.value, unit, bound=bound), "", ""
    # Of half the width one digit counts, and two where the first is a 1: half of it again has that digit's place.
    place = (estimate.high - estimate.low) / 4
    figures = (estimate.value, estimate.low, estimate.high)
    if unit in (TIMES, "") and 0 < place < 0.01 and any(each != 1 == _rounded(each) for each in figures):
        value, low, high = (f"{_cut(each, NEAR_ONE, bound):.{NEAR_ONE}f}{unit}" for each in figures)
        return value, low, high
    value, low, high = (show(each, unit, place=place, bound=bound) for each in figures)
    ends = ((low, estimate.low), (high, estimate.high))
    if place and edges and any(_falls_on(text, end, edges) for text, end in ends):
        value, low, high = (show(each, unit, place=place / 10, bound=bound) for each in figures)
    return value, low, high


def show_interval(
    estimate: Estimate, unit: str, *, bound: Bound = "", edges: Sequence[float] = ()
) -> tuple[str, str]:
    """Show a figure, and from where to where its interval goes; the latter is empty where it has no width."""
    value, low, high = show_estimate(estimate, unit, bound=bound, edges=edges)
    return value, "" if not low or estimate.low == estimate.high else f"{bare(low, high)} to {high}"


def bare(low: str, high: str) -> str:
    """Leave out the unit of an interval's lower end where it is that of the upper."""
    number = low.rstrip(string.ascii_letters + "/%µ " + TIMES)
    return number if number and low.removeprefix(number) == high.lstrip(string.digits + ".,-") else low


def _falls_on(text: str, end: float, edges: Sequence[float]) -> bool:
    """Tell whether a factor's end that lies beside an edge is printed as that edge."""
    printed = float(text.rstrip(TIMES).replace(",", ""))
    return any(printed == edge and not math.isclose(end, edge) for edge in edges)


def blocks(count: int) -> str:
    """Say how many blocks there are."""
    return f"{count} block{'s' * (count != 1)}"


def three(value: float, *, place: float = 0.0, bound: Bound = "") -> str:
    """Write a number with three significant figures, thousands apart, never as a power of ten.

    With fewer where digits below `place` stand for nothing, and with one at least.
    """
    rounded = _rounded(value)
    if rounded == 0:
        return "0"
    size = math.floor(math.log10(abs(value if bound else rounded)))
    digits = 2 - size  # after the point, or before it where negative
    if place > 0:
        digits = max(-size, min(digits, -math.floor(math.log10(place))))
    if place > 0 or bound:
        rounded = _cut(value, digits, bound)
        if digits == -size and abs(rounded) >= 10.0 ** (size + 1):
            digits -= 1  # 0.97 to one digit is 1, not 1.0
    return f"{rounded:,.{max(0, digits)}f}"


def _cut(value: float, digits: int, bound: Bound) -> float:
    """Round to so many digits after the point: a lower bound down, an upper bound up."""
    if not bound:
        return round(value, digits)
    whole = round(value * 10.0**digits, 6)  # 1.1 times 100 is 110, though not in binary
    return round((math.floor(whole) if bound == "≥" else math.ceil(whole)) / 10.0**digits, max(0, digits))


def _rounded(value: float) -> float:
    # Rounding comes before the choice of digits and of a scale: 9.999 is 10.0 and 0.9999 s is 1.00 s.
    return float(f"{value:.3g}")
