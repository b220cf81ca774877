"""The ratio of any two stacks that stand beside each other: of one part, scenario and load.

Trials are paired by their block, never by their place. Must not know claims or pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

from gatebench.model import Estimate, Session
from gatebench.stats import ratio
from gatebench.tables.comparing import MEMORY, kept_differ
from gatebench.tables.grouping import Cell, grouped

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """All stacks of one part, scenario and load, in the plan's order, impossible ones left out."""

    part: str
    scenario: str
    load: str
    cells: tuple[Cell, ...]

    def ratio(self, one: Cell, other: Cell, metric: str) -> Estimate | None:
        """Give how many times the first's figure is the second's; None where no two blocks have both.

        Nor is there one of memory where the two kept different numbers of connections.
        """
        if metric in MEMORY and kept_differ(one, other):
            return None
        ours, theirs = one.values(metric), other.values(metric)
        return ratio([(theirs[block], ours[block]) for block in sorted(ours.keys() & theirs.keys())])

    def ratios(self, metrics: Sequence[str]) -> Iterator[tuple[str, int, int, Estimate]]:
        """Give metric, the places of two cells, and the first's figure over the second's, for every two."""
        for metric in metrics:
            for one, other in combinations(range(len(self.cells)), 2):
                if found := self.ratio(self.cells[one], self.cells[other], metric):
                    yield metric, one, other, found


def places(beside: Sequence[T], apart: Callable[[T, T], int]) -> list[tuple[int, int]]:
    """Give the first and the last place that each may have, by what comparing every two of them tells.

    `apart` says whether the first of two is evidently ahead (1), behind (-1), or neither (0). Nobody is before those
    who are evidently ahead of him, nor behind those who are evidently behind.
    """
    ahead, behind = [0] * len(beside), [0] * len(beside)
    for one, other in combinations(range(len(beside)), 2):
        if told := apart(beside[one], beside[other]):
            first, last = (one, other) if told > 0 else (other, one)
            ahead[last] += 1
            behind[first] += 1
    return [(1 + before, len(beside) - after) for before, after in zip(ahead, behind, strict=True)]


def measures(session: Session) -> Iterator[Measure]:
    """Give what was measured, in the plan's order."""
    for beside in grouped(session).measures():
        if cells := tuple(cell for cell in beside if cell.possible):
            key = cells[0].key
            yield Measure(part=key.part, scenario=key.scenario, load=key.load, cells=cells)
