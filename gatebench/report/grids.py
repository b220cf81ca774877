"""Tables of one kind for parts with many cells: sweeps, the matrix of protocols, and ladders of cost.

Knows sweeps, cells, capabilities and ladders. Must not know claims' verdicts nor how a page looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from gatebench import tables
from gatebench.claims.evidence import estimate_of
from gatebench.metrics import TABLE, TIMES, show
from gatebench.model import Ladder, Load, LoadKind, Session, Sweep
from gatebench.report.published import Shown, bounded, shown
from gatebench.sweeps import FEWEST, gain

OF_LOOPS = ("rate_rps",)
OF_ARRIVALS = ("response_p50_s", "response_p99_s", "cpu_share")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table: a name and a row of figures in words each."""

    title: str
    corner: str  # what the names are
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Shown, ...]], ...]
    notes: tuple[str, ...] = ()
    transcripts: tuple[tuple[str, str], ...] = ()  # what it is about, and what was said


def swept(cells: pd.DataFrame) -> set[tuple[str, LoadKind]]:
    """Name the scenarios and kinds of load that a part's cells sweep over, of three sizes or more."""
    sizes: dict[tuple[str, LoadKind], set[int]] = {}
    for scenario, text in set(zip(cells["scenario"], cells["load"], strict=True)):
        load = Load.parse(text)
        if load.looped or load.kind in ("open", "poisson"):
            sizes.setdefault((scenario, load.kind), set()).add(load.size)
    return {key for key, found in sizes.items() if len(found) >= FEWEST}


def of_sweeps(cells: pd.DataFrame, sweeps: Sequence[Sweep]) -> Iterator[Grid]:
    """Give one grid a scenario, kind of load and metric: sizes down, stacks across, then the factors."""
    for scenario, kind in sorted(swept(cells)):
        for metric in OF_ARRIVALS if kind in ("open", "poisson") else OF_LOOPS:
            here = cells[(cells["scenario"] == scenario) & (cells["metric"] == metric)]
            here = here[[Load.parse(load).kind == kind for load in here["load"]]]
            found = [each for each in sweeps if (each.scenario, each.kind, each.metric) == (scenario, kind, metric)]
            if here["value"].notna().any():
                yield _sweep(f"{scenario}, {kind}", here, found, metric)


def _sweep(what: str, here: pd.DataFrame, sweeps: Sequence[Sweep], metric: str) -> Grid:
    unit, stacks = TABLE[metric][0].unit, list(here["stack"].unique())
    figures = {(row["load"], row["stack"]): shown(estimate_of(row), unit) for row in here.to_dict("records")}
    factors = {
        (each.wsgi, each.asgi, point.comparison.load): bounded(shown(gain(point.comparison), TIMES), point.comparison)
        for each in sweeps
        for point in each.points
    }
    pairs = [(each.wsgi, each.asgi) for each in sweeps]
    nothing = Shown(value="—")
    rows = []
    for load in sorted(here["load"].unique(), key=lambda load: Load.parse(load).size):
        own = [figures.get((load, stack), nothing) for stack in stacks]
        rows.append((load, (*own, *(factors.get((*pair, load), nothing) for pair in pairs))))
    return Grid(
        title=f"{what}: {TABLE[metric][0].title}, and how many times better ASGI is",
        corner="Load",
        heads=(*stacks, *(f"{asgi} against {wsgi}" for wsgi, asgi in pairs)),
        rows=tuple(rows),
        notes=tuple(f"{each.asgi} against {each.wsgi}: {each.why}" for each in sweeps),
    )


def of_protocols(session: Session, part: str) -> Iterator[Grid]:
    """Give what was spoken: stacks down, protocols across; what was said where the answer is no."""
    table = tables.capabilities(session)
    here = table[table["part"] == part]
    if here.empty:
        return
    protocols = list(here["protocol"].unique())
    answers: dict[tuple[str, str], list[str]] = {}
    for row in here.to_dict("records"):
        figure = "" if pd.isna(row["figure"]) else f" ({show(row['figure'], '')})"
        answers.setdefault((row["stack"], row["protocol"]), []).append(f"{row['answer']}{figure}")
    rows = []
    for stack in here["stack"].unique():
        said = (Shown(value=" or ".join(answers.get((stack, protocol), ("—",)))) for protocol in protocols)
        rows.append((str(stack), tuple(said)))
    transcripts = {
        f"{run.stack}, {each.protocol}: {each.why}": each.transcript or ""
        for run in session.runs
        if run.part == part and run.status == "ok"
        for each in run.capabilities
        if each.answer == "no"
    }
    yield Grid(
        title="What each stack was heard to speak",
        corner="Stack",
        heads=tuple(protocols),
        rows=tuple(rows),
        transcripts=tuple(transcripts.items()),
    )


def of_ladders(ladders: Sequence[Ladder], part: str) -> Iterator[Grid]:
    """Give where the CPU time of a request goes: steps down; µs with their interval, and the share of the whole."""
    for each in (each for each in ladders if each.part == part):
        whole = each.total_us.value if each.total_us else None
        rows = [
            (
                rung.name,
                (
                    Shown(value=" less ".join(name for name in rung.stacks if name)),
                    shown(rung.cost_us, "µs"),
                    Shown(value=f"{rung.cost_us.value / whole:.0%}" if rung.cost_us and whole else "—"),
                ),
            )
            for rung in each.rungs
        ]
        rows.append(("total", (Shown(value=""), shown(each.total_us, "µs"), Shown(value="100%" if whole else "—"))))
        notes = [each.why, *(f"{rung.name}: {rung.note}" for rung in each.rungs if rung.note)]
        yield Grid(
            title=f"{each.scenario}, {each.side}: server CPU a request",
            corner="Step",
            heads=("Stacks", "CPU", "Share"),
            rows=tuple(rows),
            notes=tuple(notes),
        )
