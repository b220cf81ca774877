"""Capacities: up to which rate of arrivals a stack's p99 stays below a limit, and what became of each rate.

A curve ends only where the server ended it: its p99 was too long, requests failed, or it did not keep the rate. Where
the generator, a neighbour or the machine was at fault, a rate was not measured. Knows cells. Must not know pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gatebench import validity
from gatebench.metrics import three
from gatebench.model import Load, Run
from gatebench.report.drawing.lines import Missing
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
    high: float | None  # the lowest that did not
    searched: bool = False  # an interval over blocks, of a search for that limit


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
    return validity.missed_rate(run) and not validity.disturbed(run)


def capacity(found: Found, scenario: str, stack: str, cells: Mapping[int, Cell], limit_ms: int) -> Capacity | None:
    """Give between which rates p99 passes a limit; where a search asked for it, its interval. None: not measured."""
    for cell in found.cells:
        key = cell.key
        if (key.stack, key.scenario, key.load) != (stack, scenario, f"search({limit_ms}ms)"):
            continue
        if est := cell.estimate("rate_rps"):
            return Capacity(low=est.low or est.value, high=est.high or est.value, searched=True)
    gone, below = missing(cells), None
    for size, cell in sorted(cells.items()):
        p99 = cell.estimate(P99)
        known = p99 or cell.estimate(P50)  # where the median is too long, so is the p99
        if gone.get(size) == "ended" or (known is not None and known.value >= limit_ms / 1000):
            return Capacity(low=below, high=size)
        if p99 is not None:
            below = size
    return None if below is None else Capacity(low=below, high=None)


def limits(found: Found, scenario: str) -> tuple[int, ...]:
    """Give the limits that are told of: the usual ones, and those that a search asked for."""
    loads = (Load.parse(cell.key.load) for cell in found.cells if cell.key.scenario == scenario)
    return tuple(sorted({*LIMITS_MS, *(load.size for load in loads if load.kind == "search")}))


def grid(found: Found, scenario: str, held: Mapping[str, Mapping[int, Cell]], say: Language) -> Grid | None:
    """Give the capacities of all stacks at all limits as a table; None where none is known."""
    asked = limits(found, scenario)
    known = {
        stack: [capacity(found, scenario, stack, cells, limit) for limit in asked] for stack, cells in held.items()
    }
    told = [at for at in range(len(asked)) if any(each[at] for each in known.values())]
    if not told:
        return None
    return Grid(
        title=say("{scenario}: highest rate by the limit on p99", scenario=say.told(found.scenario(scenario))),
        corner=say("Stack"),
        heads=tuple(say("p99 below {limit}", limit=f"{asked[at]:,} ms") for at in told),
        rows=tuple((stack, tuple(_said(each[at], say) for at in told)) for stack, each in known.items()),
    )


def _said(each: Capacity | None, say: Language) -> Shown:
    if each is None:
        return Shown(value=say.told("not measured"))
    if each.low is None:
        return Shown(value=say("below {rate}/s", rate=_rate(each.high)), order=0.0)
    if each.high is None:
        return Shown(value=f"≥ {_rate(each.low)}/s", interval=say("the highest measured"), order=each.low)
    if each.low == each.high:
        return Shown(value=f"{_rate(each.low)}/s", interval=say("searched; no interval"), order=each.low)
    between = say("{low} to {high}/s", low=_rate(each.low), high=_rate(each.high))
    return Shown(value=between, interval=say("searched") if each.searched else "", order=each.low)


def _rate(rate: float | None) -> str:
    """Put a rate in words: one that was chosen as it is, one that was found with three digits."""
    return three(rate) if rate is not None and not float(rate).is_integer() else f"{rate:,.0f}"


def lost(cell: Cell) -> Missing:
    """Say of a load that no clock paces what became of it where it gave no figure."""
    return "ended" if any(run.fault == "broke" for run in cell.runs) else "unmeasured"


def unmeasured(cells: Iterable[Cell], metric: str) -> Iterator[str]:
    """Say which cells were not measured, and why."""
    for cell in cells:
        yield f"{cell.key.stack} at {cell.key.load} was not measured ({'; '.join(cell.reasons(metric))})"
