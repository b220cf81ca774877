"""Pairs: what two arms of a part came to in each block, and the log-ratio of one to the other.

Knows runs, parts and metrics. Must not know margins or words.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gatebench import metrics
from gatebench.errors import UsageError
from gatebench.model import Run, Session

MOST_OF = 0.9  # valid trials have to have a figure that only the faster ones may have
FARTHEST = 1e9  # of one arm's figure from the other's, as factor: no clock spans more, so that nobody measured it
TIMES = ("response_", "connect_")  # whether these have a figure hangs on how fast the block was


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One metric of two arms under one scenario and load."""

    scenario: str
    load: str
    metric: str
    first: Mapping[int, float]  # block -> figure
    second: Mapping[int, float]
    valid: tuple[int, int]  # trials of each

    @property
    def lacks(self) -> str | None:
        """Say why blocks that both have do not count: a time that only the faster blocks can tell would mislead."""
        known = len(self.first), len(self.second)
        if not self.metric.startswith(TIMES) or all(
            has >= MOST_OF * valid for has, valid in zip(known, self.valid, strict=True)
        ):
            return None
        both = " and ".join(f"{has} of {valid}" for has, valid in zip(known, self.valid, strict=True))
        return f"only {both} valid trials have enough answers for it"

    @property
    def blocks(self) -> tuple[int, ...]:
        """Name the blocks in which both have a figure that has a ratio."""
        return () if self.lacks else tuple(sorted(self.first.keys() & self.second.keys()))

    @property
    def ratios(self) -> dict[int, float]:
        """Give the log-ratio second / first by block; UsageError where a figure can be no measured one."""
        # Of logarithms: the ratio itself may be more than a float holds.
        found = {block: math.log(self.second[block]) - math.log(self.first[block]) for block in self.blocks}
        for block, log in found.items():
            if abs(log) > math.log(FARTHEST):
                raise self._beyond(block)
        return found

    def _beyond(self, block: int) -> UsageError:
        metric = metrics.TABLE[self.metric][0]
        figures = " and ".join(f"{each[block]:.3g} {metric.unit}".rstrip() for each in (self.first, self.second))
        return UsageError(
            f"{metric.title} on {self.scenario}, {self.load} is {figures} in block {block} of the two arms, farther "
            "apart than anything that is measured: take the file anew from where it was measured, or measure again."
        )


class Trials:
    """The runs of one part, by arm and measure, then by block."""

    def __init__(self, session: Session, part: str) -> None:
        """Sort the runs of a part; there may be none."""
        self._waits = session.waits
        self._runs: dict[tuple[str, str, str], dict[int, Run]] = {}
        for run in session.runs:
            if run.part == part:
                self._runs.setdefault((run.stack, run.scenario, run.load), {})[run.block] = run
        plans = [each for each in session.plan.parts if each.name == part]
        self.measures = tuple((each.scenario, str(each.load)) for each in plans[0].measures) if plans else ()

    def of(self, blocks: Collection[int]) -> Trials:
        """Give the same as if only these blocks had been tried."""
        found = copy.copy(self)
        found._runs = {  # noqa: SLF001 -- one of its own
            key: {block: run for block, run in runs.items() if block in blocks} for key, runs in self._runs.items()
        }
        return found

    def blocks(self, *arms: str) -> tuple[int, ...]:
        """Name the blocks in which each of these arms was tried under one measure at least."""
        found: set[int] = set()
        for measure in self.measures:
            found |= set.intersection(*({*self._runs.get((arm, *measure), ())} for arm in arms))
        return tuple(sorted(found))

    def whole(self, *arms: str) -> tuple[int, ...]:
        """Name the blocks in which each of these arms was tried under every measure."""
        tried = [{*self._runs.get((arm, *measure), ())} for arm in arms for measure in self.measures]
        return tuple(sorted(set.intersection(*tried))) if tried else ()

    def tried(self, *arms: str) -> list[Run]:
        """Give the runs of these arms in the order in which they were made."""
        found = [run for (stack, *_), runs in self._runs.items() if stack in arms for run in runs.values()]
        return sorted(found, key=lambda run: run.number)

    def pair(self, first: str, second: str, scenario: str, load: str, metric: str) -> Pair:
        """Give one metric of two arms under one measure."""
        runs = [self._runs.get((arm, scenario, load), {}) for arm in (first, second)]
        valid = [sum(run.status == "ok" for run in each.values()) for each in runs]
        return Pair(
            scenario=scenario,
            load=load,
            metric=metric,
            first=self._figures(runs[0], metric),
            second=self._figures(runs[1], metric),
            valid=(valid[0], valid[1]),
        )

    def _figures(self, runs: Mapping[int, Run], metric: str) -> dict[int, float]:
        """Read a metric of valid runs; what is not above zero has no ratio and is left out."""
        found = {}
        for block, run in runs.items():
            if run.status != "ok" or (metric.startswith("response_") and run.overloaded):
                continue  # response times of an overloaded run are lower bounds
            value = metrics.read(metric, run, self._waits.get(run.scenario))
            if value is not None and 0 < value < math.inf:
                found[block] = float(value)
        return found


def ratios(
    session: Session, *, part: str, first: str, second: str, scenario: str, load: str, metric: str
) -> dict[int, float]:
    """Give the log-ratio second / first of a metric by block, where both have a valid figure."""
    return Trials(session, part).pair(first, second, scenario, load, metric).ratios
