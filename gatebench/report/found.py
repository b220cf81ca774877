"""All that a page is made of, judged once.

Knows in which order a session is judged. Must not know words or how a page looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from gatebench import attribution, claims, sweeps, tables
from gatebench.model import Claim, Comparison, Ladder, Run, Session, Sweep, Verdict
from gatebench.tables import Cell, Measure


@dataclass(frozen=True, kw_only=True)
class Found:
    """A session and what judging found in it."""

    session: Session
    claims: tuple[Claim, ...]
    measures: tuple[Measure, ...]
    comparisons: tuple[Comparison, ...]
    sweeps: tuple[Sweep, ...]
    verdicts: tuple[Verdict, ...]
    ladders: tuple[Ladder, ...]

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """All cells, in the plan's order."""
        return tuple(cell for measure in self.measures for cell in measure.cells)

    @cached_property
    def stacks(self) -> tuple[str, ...]:
        """All stacks whose settings are known, in the plan's order."""
        known = self.session.stacks
        return tuple(dict.fromkeys([*(stack for stack in self.session.plan.stacks if stack in known), *known]))

    @cached_property
    def anchors(self) -> Mapping[tuple[str, ...], str]:
        """Where on the page a cell is found, by part, stack, scenario and load."""
        return {tuple(cell.key): f"cell-{place}" for place, cell in enumerate(self.cells)}

    def cell(self, key: tuple[str, ...]) -> Cell:
        """Give a cell by part, stack, scenario and load; KeyError where there is none."""
        return self.cells[int(self.anchors[key].removeprefix("cell-"))]

    @property
    def several(self) -> bool:
        """Whether the plan has several parts, so that a part is to be named."""
        return len(self.session.plan.parts) > 1

    def scenario(self, name: str) -> str:
        """Give a scenario's title; its name where it has none."""
        return self.session.scenarios.get(name) or name

    def server_cpus(self, part: str) -> tuple[int, ...]:
        """Give on how many CPUs the servers of a part's trials ran: one number, unless the machine changed."""
        session = self.session
        given = (run.placement.get("server", session.placement.server) for run in session.runs if self._of(run, part))
        return tuple(sorted({len(cpus) for cpus in given}))

    def _of(self, run: Run, part: str) -> bool:
        return (run.part or self.session.plan.parts[0].name) == part

    def title_of(self, part: str) -> str:
        """Give a part's title; its name where it has none."""
        return next((each.title for each in self.session.plan.parts if each.name == part), "") or part


def find(session: Session) -> Found:
    """Judge a session."""
    compared = tables.comparisons(session)
    swept = sweeps.sweeps(compared)
    rows = claims.load()
    return Found(
        session=session,
        claims=rows,
        measures=tuple(tables.measures(session)),
        comparisons=compared,
        sweeps=swept,
        verdicts=claims.judge(rows, claims.gather(session, compared, swept)),
        ladders=attribution.ladders(session),
    )
