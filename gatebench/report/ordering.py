"""In which order stacks stand that were measured beside each other: what is told of every two, and what is not.

Knows measures. Must not know verdicts or how a page looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gatebench.attribution import BARE
from gatebench.metrics import TABLE
from gatebench.model import Estimate, Load
from gatebench.report.language import Language
from gatebench.report.wording import apart
from gatebench.tables import Cell, Measure, places

WIDE = 10.0  # an interval whose upper end is more than so many times its lower one tells nothing apart
OF_RATES = ("rate_rps",)
OF_HELD = ("connections",)
OF_KEPT = ("pss_bytes", "response_p99_s")  # where all kept as many connections: the second where the first is open


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The stacks of a measure by place, and those that have none."""

    measure: Measure
    metrics: tuple[str, ...]  # what they are ranked by; a further one where those before leave two open
    ranked: tuple[Cell, ...]  # the best first
    places: tuple[tuple[int, int], ...]  # of the ranked
    unranked: tuple[tuple[Cell, str], ...]  # and why

    @property
    def bare(self) -> bool:
        """Whether none is a framework."""
        return all(map(is_bare, self.cells))

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All that have a figure."""
        return (*self.ranked, *(cell for cell, _ in self.unranked))


def ordered(measure: Measure, say: Language) -> Order | None:
    """Rank what can be ranked; None where fewer than two stacks have a figure."""
    first = OF_HELD if Load.parse(measure.load).held else OF_RATES
    figures = {cell: estimate for cell in measure.cells if (estimate := cell.estimate(first[0]))}
    if len(figures) < 2:
        return None
    # A bare callable is no framework, and does less than any: among frameworks it takes no place.
    mixed = len({is_bare(cell) for cell in figures}) > 1
    out = {cell: why for cell in figures if (why := _unranked(cell, figures[cell], mixed=mixed, say=say))}
    able = [cell for cell in figures if cell not in out]
    metrics: tuple[str, ...] = OF_KEPT if _all_alike(first[0], [figures[cell] for cell in able], able) else first
    if metrics is OF_KEPT:
        own = {cell: cell.estimate(metrics[0]) for cell in able}
        out |= {cell: why for cell in able if (why := _unranked(cell, own[cell], mixed=mixed, say=say))}
        able = [cell for cell in able if cell not in out]
        metrics = tuple(each for each in metrics if all(cell.estimate(each) for cell in able))
    where = dict(zip(able, places(able, lambda one, other: told_apart(measure, one, other, metrics)), strict=True))
    ranked = sorted(able, key=lambda cell: (sum(where[cell]), -_goodness(cell, metrics[0])))
    return Order(
        measure=measure,
        metrics=metrics,
        ranked=tuple(ranked),
        places=tuple(where[cell] for cell in ranked),
        unranked=tuple(sorted(out.items(), key=lambda item: -figures[item[0]].value)),
    )


def is_bare(cell: Cell) -> bool:
    """Tell whether a stack is a server with a bare callable."""
    return cell.key.stack.partition("+")[0] in BARE.values()


def _unranked(cell: Cell, figure: Estimate | None, *, mixed: bool, say: Language) -> str:
    """Say why a stack has no place; nothing where it may have one."""
    if mixed and is_bare(cell):
        return say("bare callable: no framework")
    if figure is None or figure.low is None or figure.high is None:
        return say("not ranked: no interval")
    return say("not told apart: interval too wide") if too_wide(figure) else ""


def too_wide(estimate: Estimate) -> bool:
    """Tell whether an interval tells nothing: it reaches down to zero, or its ends are far apart."""
    low, high = estimate.low, estimate.high
    return low is not None and high is not None and low < high and (low <= 0 or high > WIDE * low)


def _all_alike(metric: str, figures: Sequence[Estimate], cells: Sequence[Cell]) -> bool:
    alike = len({each.value for each in figures}) == 1
    return metric in OF_HELD and alike and all(cell.estimate(OF_KEPT[0]) for cell in cells)


def _goodness(cell: Cell, metric: str) -> float:
    estimate = cell.estimate(metric)
    return (estimate.value if estimate else 0.0) * (1 if TABLE[metric][0].better == "higher" else -1)


def told_apart(measure: Measure, one: Cell, other: Cell, metrics: Sequence[str]) -> int:
    """Tell whether the first is evidently ahead (1), behind (-1), or neither: by the first metric that says so."""
    for metric in metrics:
        found = measure.ratio(one, other, metric)
        if found is not None and not too_wide(found) and (told := apart(found)):
            return told if TABLE[metric][0].better == "higher" else -told
    return 0
