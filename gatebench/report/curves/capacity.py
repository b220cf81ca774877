"""Capacities: up to which rate of arrivals a stack's p99 stays below a limit, and what became of each rate.

A curve ends only where the server ended it: its p99 was too long, requests failed, or it did not keep the rate. Where
the generator, a neighbour or the machine was at fault, a rate was not measured. Knows cells. Must not know pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from gatebench import validity
from gatebench.histogram import samples_needed
from gatebench.metrics import three
from gatebench.model import Load, Run
from gatebench.report.drawing.lines import Line, Missing
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.wording import Grid, Shown
from gatebench.tables import Cell

LIMITS_MS = (10, 50, 100, 250)  # of p99, and those that a search asked for
P50, P99 = "response_p50_s", "response_p99_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Between which rates a limit is passed; an end that is missing was not reached."""

    low: float | None  # the highest rate that kept it
    high: float | None  # the lowest above that did not
    lowest: bool = False  # no lower rate than `high` was tried
    never: bool = False  # not even the median of the lowest rate, nor any other rate, lay below
    untold: float | None = None  # above `low`: the highest rate that gave too few answers for a p99
    unmeasured: tuple[float, ...] = ()  # rates above `low`, and below `high`
    by: int | None = None  # the limit that was searched for and gave an end
    searched: bool = False  # both ends are of a search for the limit itself
    apart: bool = False  # search and rates contradict each other: the span of both


def missing(cells: Mapping[int, Cell]) -> dict[int, Missing]:
    """Say of each rate without a p99, or that most blocks did not keep, what became of it."""
    lost: dict[int, int] = {}  # block -> the lowest rate that its server did not keep
    found: dict[int, Missing] = {}
    for size, cell in sorted(cells.items()):
        valid = sum(run.status == "ok" for run in cell.runs)
        ended = [run for run in cell.runs if _ended(run, lost.get(run.block, size))]
        for run in ended:
            lost.setdefault(run.block, size)
        if ended and len(ended) >= valid:
            found[size] = "ended"
        elif cell.estimate(P99) is None:
            found[size] = "few" if valid else "unmeasured"
    return found


def _ended(run: Run, lost: int) -> bool:
    """Tell whether the server is why a rate was not kept; `lost` is the lowest that its block had not kept."""
    if run.status == "ok":
        return False
    if run.fault is not None:
        return run.fault == "broke"
    if run.arrivals_due is None:  # not tried, since a lower rate was not kept
        return run.status == "void" and lost < Load.parse(run.load).size
    return validity.fell_behind(run) and not validity.disturbed(run)


def capacity(found: Found, scenario: str, stack: str, cells: Mapping[int, Cell], limit_ms: int) -> Capacity | None:
    """Give between which rates p99 passes a limit. None: not measured."""
    return capacities(found, scenario, stack, cells).get(limit_ms)


def capacities(found: Found, scenario: str, stack: str, cells: Mapping[int, Cell]) -> dict[int, Capacity]:
    """Give between which rates p99 passes each limit: what keeps one keeps all longer ones, searched or not."""
    asked = limits(found, scenario)
    of_rates = {limit: made for limit in asked if (made := _of_rates(cells, limit))}
    searched = dict(_searches(found, scenario, stack))
    if not searched:
        return of_rates
    ends = {
        limit: [*([(made.low or 0.0, made.high or math.inf)] if made else []), *searched.get(limit, ())]
        for limit in asked
        if (made := of_rates.get(limit)) or limit in searched
    }
    close = {limit: _between(limit, ends, loose=False) for limit in asked}
    apart = any(low > high for low, high in close.values())
    spans = {limit: _between(limit, ends, loose=True) for limit in asked} if apart else close
    return {
        limit: _joined(of_rates.get(limit), span, searched, limit, apart=apart)
        for limit, span in spans.items()
        if span != (0.0, math.inf) or limit in of_rates
    }


def _searches(found: Found, scenario: str, stack: str) -> Iterator[tuple[int, list[tuple[float, float]]]]:
    """Give the intervals that were searched for, by their limit."""
    for cell in found.cells:
        load = Load.parse(cell.key.load)
        if (cell.key.stack, cell.key.scenario, load.kind) != (stack, scenario, "search"):
            continue
        if est := cell.estimate("rate_rps"):
            yield load.size, [(est.low or est.value, est.high or est.value)]


def _between(limit: int, ends: Mapping[int, list[tuple[float, float]]], *, loose: bool) -> tuple[float, float]:
    """Give a limit's lowest and highest rate, as all limits' ends allow; loose ends contradict no other."""
    shorter = [end for other, found in ends.items() if other <= limit for end in found]
    longer = [end for other, found in ends.items() if other >= limit for end in found]
    if loose:
        return min((low for low, _ in longer), default=0.0), max((high for _, high in shorter), default=math.inf)
    return max((low for low, _ in shorter), default=0.0), min((high for _, high in longer), default=math.inf)


def _joined(
    made: Capacity | None,
    span: tuple[float, float],
    searched: Mapping[int, list[tuple[float, float]]],
    limit: int,
    *,
    apart: bool,
) -> Capacity:
    """Give what rates tell with the ends that searches moved."""
    low, high = span[0] or None, span[1] if math.isfinite(span[1]) else None
    if made is not None and (made.low, made.high) == (low, high) and limit not in searched:
        return made
    given = [other for other, found in searched.items() if {*span} & {end for each in found for end in each}]
    by = min(given, key=lambda other: abs(other - limit), default=None)
    own = span in searched.get(limit, ())
    if made is None:
        return Capacity(low=low, high=high, by=by, searched=own, apart=apart)
    inside = tuple(size for size in made.unmeasured if (low or 0.0) < size < (high or math.inf))
    return replace(made, low=low, high=high, unmeasured=inside, by=by, searched=own, apart=apart)


def _of_rates(cells: Mapping[int, Cell], limit_ms: int) -> Capacity | None:
    gone, low, tried = missing(cells), None, sorted(cells)
    open_: list[int] = []  # neither kept nor passed, as far as is known
    for size in tried:
        p99, p50 = cells[size].estimate(P99), cells[size].estimate(P50)
        known = p99 or p50  # where the median is too long, so is the p99
        if gone.get(size) == "ended" or (known is not None and known.value >= limit_ms / 1000):
            never = size == tried[0] and p50 is not None and p50.value >= limit_ms / 1000
            return Capacity(
                low=low,
                high=size,
                lowest=size == tried[0],
                never=never and not any(_kept(cells[other], limit_ms) for other in tried),
                **_left_open(open_, gone),
            )
        if p99 is not None:
            low, open_ = size, []
        else:
            open_.append(size)
    left = _left_open(open_, gone)
    return None if low is None and left["untold"] is None else Capacity(low=low, high=None, **left)


class _Open(TypedDict):
    untold: float | None
    unmeasured: tuple[float, ...]


def _left_open(sizes: Iterable[int], gone: Mapping[int, Missing]) -> _Open:
    of = {kind: [size for size in sizes if gone.get(size) == kind] for kind in ("few", "unmeasured")}
    return {"untold": max(of["few"], default=None), "unmeasured": tuple(of["unmeasured"])}


def _kept(cell: Cell, limit_ms: int) -> bool:
    median = cell.estimate(P50)
    return median is not None and median.value < limit_ms / 1000


def limits(found: Found, scenario: str) -> tuple[int, ...]:
    """Give the limits that are told of: the usual ones, and those that a search asked for."""
    loads = (Load.parse(cell.key.load) for cell in found.cells if cell.key.scenario == scenario)
    return tuple(sorted({*LIMITS_MS, *(load.size for load in loads if load.kind == "search")}))


def grid(
    found: Found, scenario: str, title: str, held: Mapping[str, Mapping[int, Cell]], say: Language
) -> Grid | None:
    """Give the capacities of all stacks at all limits as a table under a figure's title; None where none is known."""
    asked = limits(found, scenario)
    made = {stack: capacities(found, scenario, stack, cells) for stack, cells in held.items()}
    known = {stack: [each.get(limit) for limit in asked] for stack, each in made.items()}
    if not any(_tells(one) for each in known.values() for one in each):
        return None
    return Grid(
        title=say("{title}: highest rate by the limit on p99", title=title),
        corner=say("Stack"),
        heads=tuple(say("p99 below {limit}", limit=f"{limit:,} ms") for limit in asked),
        rows=tuple((stack, tuple(_said(one, say) for one in each)) for stack, each in known.items()),
    )


def _tells(each: Capacity | None) -> bool:
    return each is not None and (each.low is not None or each.high is not None)


def _said(each: Capacity | None, say: Language) -> Shown:
    if each is None:
        return Shown(value=say.told("not measured"))
    if each.never:
        return Shown(value=say("at no rate tried"), order=0.0)
    beside = say("; ").join(_beside(each, say))
    known = each.low is not None or each.high is not None
    return Shown(value=_range(each, say), interval=beside, order=(each.low or 0.0) if known else None)


def _range(each: Capacity, say: Language) -> str:
    """Put the ends in words."""
    low, high = _rate(each.low), _rate(each.high)
    if each.low is None:
        if each.high is None:
            return say("p99 not told up to {rate}/s", rate=_rate(each.untold))
        if each.by is not None:
            return f"≤ {high}/s"
        return say("below {rate}/s", rate=high) if each.lowest else say("not kept at {rate}/s", rate=high)
    if each.high is None:
        return f"≥ {low}/s"
    return f"{low}/s" if low == high else say("{low} to {high}/s", low=low, high=high)


def _beside(each: Capacity, say: Language) -> Iterator[str]:
    """Say where a capacity's ends come from, and what is left open between them."""
    if each.apart:
        yield say("search and rates disagree")
    elif each.searched:
        yield say("searched; no interval") if each.low == each.high else say("searched")
    elif each.by is not None:
        yield say("with the search for {limit}", limit=f"{each.by:,} ms")
    if each.untold is not None and each.by is None and (each.low is None) != (each.high is None):
        yield say("p99 not told up to {rate}/s", rate=_rate(each.untold))
    if each.low is not None and each.high is None and each.by is None and not (each.untold or each.unmeasured):
        yield say("the highest measured")
    if each.unmeasured and each.by is None:
        yield say("{rates} not measured", rates=say(", ").join(f"{_rate(rate)}/s" for rate in each.unmeasured))


def _rate(rate: float | None) -> str:
    """Put a rate in words: one that was chosen as it is, one that was found with three digits."""
    if rate is None:
        return ""
    return f"{rate:,.0f}" if float(rate).is_integer() else three(rate)


def without(lines: Sequence[Line], gone: Mapping[str, Mapping[int, Missing]], say: Language) -> Iterator[str]:
    """Say why stacks have no p99 at all."""
    lacking = [line.label for line in lines if not any(spot.estimate for spot in line.spots)]
    if not lacking:
        return
    why = {
        "few": say("fewer than {fewest} answers in a window", fewest=f"{samples_needed(0.99):,}"),
        "ended": say("not kept"),
        "unmeasured": say.told("not measured"),
    }
    reasons = []
    for kind, said in why.items():
        at = sorted({size for label in lacking for size, found in gone[label].items() if found == kind})
        if at:
            reasons.append(say("{why} at {rates}", why=said, rates=say(", ").join(f"{rate:,}/s" for rate in at)))
    because = say("; ").join(reasons)
    if len(lacking) == len(lines):
        yield say("No p99 is drawn: {why}.", why=because)
    else:
        yield say("No p99 of {stacks}: {why}.", stacks=say(", ").join(lacking), why=because)


def lost(cell: Cell) -> Missing:
    """Say of a load that no clock paces what became of it where it gave no figure."""
    return "ended" if any(run.fault == "broke" for run in cell.runs) else "unmeasured"


def unmeasured(cells: Iterable[Cell], metric: str) -> Iterator[str]:
    """Say which cells were not measured, and why."""
    for cell in cells:
        yield f"{cell.key.stack} at {cell.key.load} was not measured ({'; '.join(cell.reasons(metric))})"
