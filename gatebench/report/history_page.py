"""A history's series to one page: what changed and when, and each cell over its sessions, machine by machine.

Knows all values that its template shows. Must not look for changes, nor write files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from gatebench.gate.words import percent
from gatebench.history import ERROR, FEWEST, Room, Series, Step
from gatebench.metrics import TABLE, blocks, show
from gatebench.report.drawing import series as drawn
from gatebench.report.templating import html
from gatebench.report.wording import Shown, shown

MOST_DRAWN = 60  # cells; a page with hundreds of them would take minutes and many megabytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A series in words."""

    metric: str
    sessions: str
    latest: Shown
    day: str
    level: str
    said: str  # of its changes, or why none is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A change of level in words."""

    cell: str
    metric: str
    day: str
    after: str  # the day of the last session before
    change: str
    word: str  # "better" or "worse"
    levels: str
    chance: str
    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell's rows and its figure; None where one session is all there is, or too many others have one."""

    name: str
    rows: tuple[Row, ...]
    drawing: Markup | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One machine in one way of measuring, whose figures may be held against each other."""

    name: str
    changed: tuple[Changed, ...]  # newest first
    cells: tuple[Cell, ...]


def page(series: Sequence[Series], *, notices: Sequence[str] = ()) -> str:
    """Give the page; the same series give the same bytes. `notices` says what to bear in mind."""
    rooms = [[list(cell) for _, cell in groupby(found, key=str)] for _, found in groupby(series, key=_room)]
    drawable = [cell for room in rooms for cell in room if any(len(each.points) > 1 for each in cell)]
    drawable.sort(key=lambda cell: not any(each.steps for each in cell))  # what changed comes first
    names = {id(cell): f"h{number}" for number, cell in enumerate(drawable[:MOST_DRAWN])}
    told = [each for each in series if each.enough]
    values = {
        "summary": _summary(series, len(rooms)),
        "notices": notices,
        "places": [_place(room, names) for room in rooms],
        "drawn": len(names),
        "drawable": len(drawable),
        "series": len(told),
        "by_chance": chance_of(len(told)),
        "error": f"{100 * ERROR:g} %",
        "fewest": FEWEST,
    }
    return html("history.html.j2", values)


def chance_of(count: int) -> str:
    """Say how many series have a first change by chance alone, where none has changed."""
    expected = ERROR * count
    return "less than one" if expected < 1 else f"about {expected:.0f}"


def words(step: Step, unit: str) -> str:
    """Say a change in a few words: `+5.2 % (100 µs → 105 µs)`."""
    levels = f"{show(step.before.value, unit)} → {show(step.after.value, unit)}"
    return levels if step.share is None else f"{percent(1 + step.share)} ({levels})"


def _summary(series: Sequence[Series], rooms: int) -> str:
    sessions = {point.session for each in series for point in each.points}
    told = [each for each in series if each.enough]
    steps = sum(len(each.steps) for each in series)
    where = "one machine and way of measuring" if rooms == 1 else f"{rooms} machines or ways of measuring, each alone"
    said = f"{len(sessions)} session{'s' * (len(sessions) != 1)} on {where}."
    if not told:
        return f"{said} No cell has the {FEWEST} sessions of which a change can be told."
    return f"{said} {steps or 'No'} change{'s' * (steps != 1)} of level in {len(told)} series."


def _room(series: Series) -> Room:
    return series.room


def _place(cells: Sequence[Sequence[Series]], names: Mapping[int, str]) -> Place:
    changed = [(step, each) for cell in cells for each in cell for step in each.steps]
    changed.sort(key=lambda pair: pair[0].first.started_at, reverse=True)
    return Place(
        name=str(cells[0][0].room),
        changed=tuple(_changed(step, each) for step, each in changed),
        cells=tuple(_cell(cell, names.get(id(cell))) for cell in cells),
    )


def _cell(cell: Sequence[Series], name: str | None) -> Cell:
    rows = tuple(_row(each) for each in cell)
    said = "; ".join(f"{row.metric} {row.latest.value}, {row.said}" for row in rows)
    drawing = drawn.drawing(name, cell, f"{cell[0]}, session by session: {said}") if name else None
    return Cell(name=str(cell[0]), rows=rows, drawing=drawing)


def _row(each: Series) -> Row:
    metric, latest = TABLE[each.metric][0], each.latest
    steps = "; ".join(f"{step.first.day[:10]} {words(step, metric.unit)}" for step in each.steps)
    missing = f" ({each.missing} more without a figure)" if each.missing else ""
    return Row(
        metric=metric.title,
        sessions=f"{len(each.points)}{missing}",
        latest=shown(latest.estimate, metric.unit),
        day=f"{latest.day}, {blocks(latest.estimate.blocks)}",
        level=show(each.levels[-1].value, metric.unit) if each.enough else "—",
        said=(steps or "no change found") if each.enough else each.too_few,
    )


def _changed(step: Step, each: Series) -> Changed:
    metric = TABLE[each.metric][0]
    return Changed(
        cell=str(each),
        metric=metric.title,
        day=step.first.day,
        after=step.last.day,
        change="—" if step.share is None else percent(1 + step.share),
        word="better" if step.better else "worse",
        levels=f"{show(step.before.value, metric.unit)} → {show(step.after.value, metric.unit)}",
        chance=f"{step.p_value:.2g}",
        differs=step.differs,
    )
