"""A session's trials by cell, read once: what all tables are made from.

A void or failed trial gives no figure here. Must not know what is compared with what, nor how a table looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from gatebench import metrics
from gatebench.histogram import samples_needed
from gatebench.model import AnyInterface, Estimate, Run, Session
from gatebench.stats import median_interval
from gatebench.tables.meaning import metrics_of
from gatebench.tables.spans import shape, spanned

RESPONSES_NEEDED = samples_needed(0.99)
TIMES_OF_BLOCKS = ("response_", "connect_")  # metrics of which all valid trials have a figure, or none is shown


class Key(NamedTuple):
    """What tells one cell from another."""

    part: str
    stack: str
    scenario: str
    load: str


class Cell:
    """One stack under one scenario and load in one part: its trials by rising block, and their figures."""

    def __init__(self, key: Key, *, waits_s: float | None, knock: bool, planned: int) -> None:
        self.key = key
        self.runs: list[Run] = []
        self.planned = planned  # blocks
        self._waits_s, self._knock = waits_s, knock
        self._figures: dict[str, list[tuple[int, float | str]]] = {}
        self._estimates: dict[str, Estimate | None] = {}
        self._read: dict[int, dict[str, float | None]] = {}

    @property
    def interface(self) -> AnyInterface:
        """The stack's."""
        return self.runs[0].interface

    @property
    def profile(self) -> str:
        """Which settings its server has."""
        return self.runs[0].profile

    @property
    def possible(self) -> bool:
        """Whether the stack can run the scenario at all."""
        return any(run.fault != "impossible" for run in self.runs)

    @property
    def asks(self) -> dict[str, bool]:
        """What decides, beside the load, which metrics mean something."""
        return {"waits": self._waits_s is not None, "knock": self._knock}

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that mean something here."""
        return metrics_of(self.key.load, **self.asks)

    def read(self, run: Run) -> Mapping[str, float | None]:
        """Give all that a trial measured, valid or not."""
        if run.number not in self._read:
            self._read[run.number] = {name: metrics.read(name, run, self._waits_s) for name in metrics.TABLE}
        return self._read[run.number]

    def figures(self, metric: str) -> list[tuple[int, float | str]]:
        """Give each trial's block and its figure, or in words why it has none that may be compared."""
        if metric not in self._figures:
            self._figures[metric] = [(run.block, _figure(run, metric, self.read(run)[metric])) for run in self.runs]
        return self._figures[metric]

    def values(self, metric: str) -> dict[int, float]:
        """Give a metric's figures by block.

        Whether a response or connect time has a figure hangs on how fast the block was: the fast ones alone would
        mislead, so either every valid trial has one or none is shown.
        """
        found = self.figures(metric)
        if metric.startswith(TIMES_OF_BLOCKS) and any(
            isinstance(value, str) and run.status == "ok" for (_, value), run in zip(found, self.runs, strict=True)
        ):
            return {}
        return {block: value for block, value in found if isinstance(value, float)}

    def estimate(self, metric: str) -> Estimate | None:
        """Give the cell's figure over its valid trials; None where it has none."""
        if metric not in self._estimates:
            values = self.values(metric)
            self._estimates[metric] = median_interval(list(values.values())) if values else None
        return self._estimates[metric]

    def above_s(self, metric: str) -> float | None:
        """Give what a connect time is above in every valid trial; None where any has a figure, or there is none."""
        if metric not in metrics.KNOCKS:
            return None
        bounds = [metrics.censored(metric, run) for run in self.runs if run.status == "ok"]
        waited_s = [bound[1] for bound in bounds if bound is not None]
        return min(waited_s) if waited_s and len(waited_s) == len(bounds) else None

    def reasons(self, metric: str) -> list[str]:
        """Say why trials gave no figure, with their blocks; like reasons together."""
        found = [(value, block) for block, value in self.figures(metric) if isinstance(value, str)]
        return alike(found, len(self.runs)) if found else []

    @cached_property
    def warnings(self) -> list[str]:
        """What to bear in mind, with the blocks; like warnings together."""
        found = [(text, run.block) for run in self.runs if run.status == "ok" for text in run.warnings]
        return alike(found, len(self.runs))


class Grouped:
    """A session's cells: parts, measures and stacks in the plan's order."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.cells: dict[Key, Cell] = {}
        parts = {part.name: part for part in session.plan.parts}
        for run in sorted(session.runs, key=_places(session)):
            key = self.key(run)
            if key not in self.cells:
                part = parts.get(key.part)
                self.cells[key] = Cell(
                    key,
                    waits_s=session.waits.get(run.scenario),
                    knock=part is not None and part.knock,
                    planned=part.blocks if part is not None else session.plan.blocks,
                )
            self.cells[key].runs.append(run)

    def key(self, run: Run) -> Key:
        """Name the cell that a trial is of."""
        return Key(part_of(self.session, run), run.stack, run.scenario, run.load)

    def measures(self) -> Iterator[list[Cell]]:
        """Give the cells that stand beside each other: of one part, scenario and load."""
        beside: dict[tuple[str, str, str], list[Cell]] = {}
        for key, cell in self.cells.items():
            beside.setdefault((key.part, key.scenario, key.load), []).append(cell)
        yield from beside.values()


def grouped(session: Session) -> Grouped:
    """Group a session's trials; the last session's are kept, since a page asks for its tables one by one."""
    if not _last or _last[0].session is not session:
        _last[:] = [Grouped(session)]
    return _last[0]


_last: list[Grouped] = []  # a session is frozen, so what was read of it stays so


def part_of(session: Session, run: Run) -> str:
    """Name the part that a trial is of; where it names none, the plan's only one."""
    return run.part or session.plan.parts[0].name


def block_values(
    session: Session, stack: str, scenario: str, load: str, metric: str, *, part: str | None = None
) -> dict[int, float]:
    """Give the valid figures of a cell by block; ValueError where the plan has several parts and none is named."""
    if part is None:
        if len(session.plan.parts) != 1:
            raise ValueError("a plan of several parts has as many cells of that name: name the part")
        part = session.plan.parts[0].name
    cell = grouped(session).cells.get(Key(part, stack, scenario, load))
    return {} if cell is None else cell.values(metric)


def _places(session: Session) -> Callable[[Run], tuple[object, ...]]:
    """Give the order of trials: as the plan names parts, measures and stacks, blocks rising."""
    parts = {part.name: place for place, part in enumerate(session.plan.parts)}
    measures = {
        (part.name, each.scenario, str(each.load)): place
        for part in session.plan.parts
        for place, each in enumerate(part.measures)
    }
    stacks = {(part.name, stack): place for part in session.plan.parts for place, stack in enumerate(part.stacks)}

    def place(run: Run) -> tuple[object, ...]:
        part = part_of(session, run)
        measure = measures.get((part, run.scenario, run.load), len(measures))
        stack = stacks.get((part, run.stack), len(stacks))
        return parts.get(part, len(parts)), part, measure, run.scenario, run.load, stack, run.stack, run.block

    return place


def _figure(run: Run, metric: str, value: float | None) -> float | str:
    if run.status != "ok":
        return f"{run.status}: {run.reason or 'no reason was given'}"
    if metric.startswith("response_"):
        if run.overloaded:
            return "overloaded: response times are lower bounds"
        if run.response is not None and metric == "response_p99_s" and run.response.total < RESPONSES_NEEDED:
            return f"{run.response.total} responses, fewer than the {RESPONSES_NEEDED} that p99 needs"
    if metric in metrics.KNOCKS and (above := metrics.censored(metric, run)):
        knocks, waited_s = above
        return (
            f"{knocks.unanswered} of {knocks.asked - knocks.refused} fresh connections were not answered within "
            f"{waited_s:.2g} s, so the {'p99' if 'p99' in metric else 'median'} is above that"
        )
    return "not measured" if value is None else float(value)


def alike(found: Sequence[tuple[str, int]], trials: int) -> list[str]:
    """Join texts that differ in their figures only: as one, with the blocks of all."""
    groups: dict[str, list[tuple[str, int]]] = {}
    for text, block in found:
        groups.setdefault(shape(text), []).append((text, block))
    said = []
    for group in groups.values():
        blocks = dict.fromkeys(block for _, block in group)
        where = (
            "all blocks"
            if len(blocks) == trials > 1
            else f"block{'s' * (len(blocks) > 1)} {', '.join(map(str, blocks))}"
        )
        said.append(f"{spanned([text for text, _ in group])} ({where})")
    return said
