"""A figure that is yet to be drawn, and what all kinds of them are made from: lines, tables, sentences.

Knows cells. Must not know which kinds there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gatebench.histogram import samples_needed
from gatebench.metrics import TABLE
from gatebench.model import Estimate, Load, Sweep
from gatebench.report.curves import capacity
from gatebench.report.drawing.lines import Line, Missing, Panel, Spot
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.wording import Grid, Shown, bounded, shown
from gatebench.sweeps import FEWEST, gain
from gatebench.tables import Cell

KEPT = 0.99  # of the connections that were offered; with fewer, memory is that of fewer

Lines = Mapping[str, Mapping[int, Cell]]  # label -> size -> cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One figure that is yet to be drawn, when the looks of all are known."""

    title: str
    panels: Sequence[Panel]
    sizes: str
    caption: Sequence[str]
    grids: Sequence[Grid]
    notes: Sequence[str]
    capacities: Grid | None = None
    of_apps: bool = False  # a line is one app on one server, whatever its settings


def by_size(found: Found, kinds: Sequence[str]) -> dict[tuple[str, str], dict[str, dict[int, Cell]]]:
    """Give the parts and scenarios that were measured at three sizes or more, stack by stack."""
    made: dict[tuple[str, str], dict[str, dict[int, Cell]]] = {}
    for cell in found.cells:
        load = Load.parse(cell.key.load)
        if load.kind in kinds:
            held = made.setdefault((cell.key.part, cell.key.scenario), {})
            held.setdefault(cell.key.stack, {})[load.size] = cell
    return {
        key: held for key, held in made.items() if len({size for cells in held.values() for size in cells}) >= FEWEST
    }


def line_of(
    label: str,
    cells: Mapping[int, Cell],
    metric: str,
    gone: Mapping[int, Missing],
    marked: tuple[float, float] | None = None,
) -> Line:
    """Give a stack's line: what is drawn at each size, and what is missing there."""
    spots = [
        Spot(
            size=size,
            estimate=None if gone.get(size) == "ended" else _drawable(cell.estimate(metric)),
            blocks=tuple(cell.values(metric).values()),
            missing=gone.get(size, "few"),
            hollow=_fewer_kept(cell),
        )
        for size, cell in sorted(cells.items())
    ]
    return Line(label=label, spots=spots, marked=marked, joined=len(spots) >= FEWEST)


def _fewer_kept(cell: Cell) -> bool:
    kept, load = cell.estimate("connections"), Load.parse(cell.key.load)
    return load.held and kept is not None and kept.value < KEPT * load.size


def _drawable(estimate: Estimate | None) -> Estimate | None:
    return estimate if estimate is not None and estimate.value > 0 else None


def has_figure(panel: Panel) -> bool:
    """Tell whether anything would be drawn."""
    return any(spot.estimate for line in panel.lines for spot in line.spots)


def lost_of(cells: Mapping[int, Cell], metric: str) -> dict[int, Missing]:
    """Give why a metric has no figure, by size."""
    return {size: capacity.lost(cell) for size, cell in cells.items() if cell.estimate(metric) is None}


def lacking(held: Lines, metric: str) -> Iterator[str]:
    """Say of loads that no clock paces which gave no figure, and why."""
    cells = (cell for sizes in held.values() for _, cell in sorted(sizes.items()))
    return capacity.unmeasured((cell for cell in cells if cell.estimate(metric) is None), metric)


def explained(panels: Sequence[Panel], say: Language) -> Iterator[str]:
    """Say what the marks mean that are in a figure."""
    yield say("Lines on points: 95 % intervals; dots: blocks.")
    spots = [spot for panel in panels for line in panel.lines for spot in line.spots]
    missing = {spot.missing for spot in spots if spot.estimate is None}
    if "ended" in missing:
        yield say("A cross: the load was not kept up with, or requests failed.")
    if "few" in missing:
        yield say("A dash: too few answers; a p99 is told from {fewest} on.", fewest=f"{samples_needed(0.99):,}")
    if "unmeasured" in missing:
        yield say("A grey ring: not measured; the notes under the table say why.")
    if any(spot.hollow and spot.estimate for spot in spots):
        yield say("A hollow point: fewer connections were kept than offered; the table says how many.")
    if not all(line.joined for panel in panels for line in panel.lines):
        yield say("Fewer than {fewest} sizes make no curve, and are not joined.", fewest=FEWEST)


def heading(found: Found, scenario: str, part: str, say: Language) -> str:
    """Give what the curve of a scenario in a part is called."""
    return f"{say.told(found.scenario(scenario))}{say(': ')}{say.told(found.title_of(part))}"


def table(title: str, held: Lines, metric: str, swept: Sequence[Sweep], say: Language) -> Grid:
    """Give a curve's values: sizes down, stacks across, then the factors between them."""
    factors = {
        (each.wsgi, each.asgi, point.size): bounded(gain(point.comparison), point.comparison, say)
        for each in swept
        for point in each.points
    }
    pairs = [(each.wsgi, each.asgi) for each in swept]
    nothing, unit = Shown(value="—"), TABLE[metric][0].unit
    rows = []
    for size in sorted({size for cells in held.values() for size in cells}):
        own = [
            shown(cells[size].estimate(metric), unit, say) if size in cells else nothing for cells in held.values()
        ]
        rows.append((f"{size:,}", (*own, *(factors.get((*pair, size), nothing) for pair in pairs))))
    against = (say("{asgi} against {wsgi}", asgi=asgi, wsgi=wsgi) for wsgi, asgi in pairs)
    return Grid(
        title=f"{title}{say(': ')}{say.told(TABLE[metric][0].title)}",
        corner=say("Load"),
        heads=(*held, *against),
        rows=tuple(rows),
    )
