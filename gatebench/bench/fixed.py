"""Response times at one common fixed rate, beside an independent tool: h2load, or the server's own clock.

Knows which rate and which server make the two comparable. Must not know how a tool is run.
"""

from __future__ import annotations

from collections import defaultdict
from math import ceil

from gatebench import histogram
from gatebench.bench.outcome import Outcome, Settings, median, ms, ratios, spread, within
from gatebench.bench.parties import drive, nothing
from gatebench.bench.tools import h2load, missing
from gatebench.errors import MachineError
from gatebench.model import Histogram

# h2load's clock ticks at most a hundred times a second and sends what has become due back to back; only up to 100/s,
# over one connection, does it offer what EngineUser's open loop offers: one request at a time, evenly. So the server
# works 5 ms for each, which puts its most below 200/s and half of that below 100/s.
WORK_US = 5000
CHOICE = (
    f"the do-nothing server is busy {WORK_US / 1000:g} ms for each answer, and one connection is used: up to 100/s "
    "h2load sends evenly, as EngineUser's open loop does; above, in bursts"
)
SAMPLES = 1050  # a p99 needs a thousand
SHARE = 0.10
QUANTILES = {"p50": 0.50, "p99": 0.99}
OURS, REAL = "EngineUser, from the intended send", "EngineUser, from the real send"
Times = dict[str, float | None]  # "p50" -> seconds


def fixed(settings: Settings) -> Outcome:
    """Measure both at half the server's maximum, in turn."""
    tool = "the server's own clock" if missing("h2load") else "h2load"
    found = Outcome(
        title="Response times at half the server's maximum, at one fixed rate",
        headings=("measured by", "requests/s", "p50", "p99", f"p50 of {tool}", f"p99 of {tool}"),
    )
    settings.told("the server's maximum")
    work = "--work-us", str(WORK_US)
    with nothing(settings.placement.server, *work) as server:
        most = drive(settings, "engine", server, "closed", 8).rate
    rate = max(1, round(most / 2))
    window_s = max(settings.seconds, SAMPLES / rate)
    seen: dict[str, list[Times]] = defaultdict(list)
    for turn in range(settings.rounds):
        times = settings.scratch / f"times-{turn}"
        settings.told(f"{rate}/s, round {turn + 1}")
        with nothing(settings.placement.server, *work, "--times", str(times)) as server:
            ours = drive(settings, "engine", server, "open", rate, window_s=window_s, connections=1)
        arrivals = ours.figures["arrivals"]
        if ours.figures["errors"] or arrivals is None or not ours.response.total:
            reasons = "; ".join(ours.figures["error_reasons"]) or "no answer at all"
            raise MachineError(f"EngineUser's open loop at {rate}/s did not go well: {reasons}.")
        if missing("h2load"):
            theirs = [float(line) for line in times.read_text(encoding="ascii").split()]
        else:
            with nothing(settings.placement.server, *work) as server:
                theirs = h2load(settings, server, rate, window_s)
        service = histogram.from_json(arrivals["service"])
        for name, one in ((tool, _exact(theirs)), (REAL, _binned(service)), (OURS, _binned(ours.response))):
            seen[name].append(one)
            record = {"part": "fixed", "rate_rps": rate, "measured_by": name, "round": turn}
            found.records.append(record | {f"{q}_s": value for q, value in one.items()})
    of_tool = {
        name: {q: ratios([t[q] for t in all_times], [t[q] for t in seen[tool]]) for q in QUANTILES}
        for name, all_times in seen.items()
    }
    for name in (tool, REAL, OURS):
        middles = [median([t[q] for t in seen[name]]) for q in QUANTILES]
        found.rows.append((name, str(rate), *map(ms, middles), *(spread(of_tool[name][q]) for q in QUANTILES)))
    for q in QUANTILES:
        found.targets.append(within(f"{q} of {tool}", SHARE, of_tool[OURS][q], "too few requests"))
    found.notes.append(
        f"the server's maximum: {most:.1f} requests/s; medians of {settings.rounds} round(s) of {window_s:.1f} s"
    )
    found.notes.append(CHOICE)
    if missing("h2load"):
        found.notes.append(f"h2load is not installed (on Debian: apt install nghttp2-client): {tool} stands for it")
    return found


def _binned(times: Histogram) -> Times:
    return {name: histogram.percentile(times, q) for name, q in QUANTILES.items()}


def _exact(times: list[float]) -> Times:
    """Give what a histogram approaches, so that its error is among what is compared."""
    order = sorted(times)
    return {
        name: order[ceil(q * len(order)) - 1] if len(order) >= histogram.samples_needed(q) else None
        for name, q in QUANTILES.items()
    }
