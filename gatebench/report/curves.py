"""Load curves: response times against the rate, throughput against concurrency, memory against connections.

Knows measures and sweeps. Must not know verdicts or how a page looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gatebench.claims import base
from gatebench.histogram import samples_needed
from gatebench.metrics import TABLE
from gatebench.model import Estimate, Load, Sweep
from gatebench.report import capacity
from gatebench.report.drawing.lines import Line, Missing, Panel, Spot, lines
from gatebench.report.drawing.looks import Look, looks
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.wording import Grid, Picture, Shown, bounded, figure, shown
from gatebench.sweeps import FEWEST, gain
from gatebench.tables import Cell

LIMIT_S = 0.1  # of p99, for the capacity that is marked in figures
TIMES_OF = ("response_p50_s", "response_p99_s")
PACED = ("open", "poisson")
CONNECTIONS = "connections"  # the plan whose parts hold as many connections as their names say
KEPT = 0.99  # of the connections that were offered; with fewer, memory is that of fewer

Lines = Mapping[str, Mapping[int, Cell]]  # label -> size -> cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One figure, its values as tables, and what is to be said of it."""

    anchor: str
    title: str
    picture: Picture
    grids: tuple[Grid, ...]
    notes: tuple[str, ...]  # made by other rooms
    capacities: Grid | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """One figure that is yet to be drawn, when the looks of all are known."""

    title: str
    panels: Sequence[Panel]
    sizes: str
    caption: Sequence[str]
    grids: Sequence[Grid]
    notes: Sequence[str]
    capacities: Grid | None = None
    of_apps: bool = False  # a line is one app on one server, whatever its settings


def curves(found: Found, say: Language) -> tuple[Curve, ...]:
    """Give the curves that the session has the loads for: by rate, by concurrency, by connections."""
    made = [*_of_rates(found, say), *_of_concurrency(found, say), *_of_connections(found, say)]
    figures = [[_looks_as(line.label, each) for panel in each.panels for line in panel.lines] for each in made]
    order = (label for stack in found.session.plan.stacks for label in (stack, base(stack)))
    drawn = {label for labels in figures for label in labels}
    given = looks([label for label in dict.fromkeys(order) if label in drawn], figures)
    return tuple(_drawn(f"curve-{place}", each, given, say) for place, each in enumerate(made))


def _looks_as(label: str, made: _Made) -> str:
    """Give whose look a line has: one app on one server looks the same whatever its settings for connections."""
    return base(label) if made.of_apps else label


def _drawn(anchor: str, made: _Made, given: Mapping[str, Look], say: Language) -> Curve:
    caption = say("{title}. {text}", title=made.title, text=" ".join(made.caption))
    own = {line.label: given[_looks_as(line.label, made)] for panel in made.panels for line in panel.lines}
    return Curve(
        anchor=anchor,
        title=made.title,
        picture=Picture(svg=lines(anchor, made.panels, made.sizes, caption, own), caption=caption),
        grids=tuple(made.grids),
        notes=tuple(dict.fromkeys(made.notes)),
        capacities=made.capacities,
    )


def _of_rates(found: Found, say: Language) -> Iterator[_Made]:
    swept = _swept(found, PACED)
    for (part, scenario), held in swept.items():
        gone = {label: capacity.missing(cells) for label, cells in held.items()}
        marks = {label: _marked(found, scenario, label, cells) for label, cells in held.items()}
        panels = [
            Panel(
                title=say.told(TABLE[metric][0].title),
                unit="s",
                lines=[
                    _line(label, cells, metric, gone[label], marks[label] if limit else None)
                    for label, cells in held.items()
                ],
                limit=limit,
            )
            for metric, limit in zip(TIMES_OF, (None, LIMIT_S), strict=True)
        ]
        kept = [panel for panel in panels if _has_figure(panel)]
        if not kept:
            continue
        title = heading(found, scenario, part, say)
        beside = [other for other, like in swept if like == scenario and other != part]
        lacking = [
            held[label][size] for label, all_ in gone.items() for size, kind in all_.items() if kind == "unmeasured"
        ]
        yield _Made(
            title=title,
            panels=kept,
            sizes=say("Requests a second that were sent"),
            caption=[
                *_which(part, beside, say),
                *_of_limit(kept[-1], say),
                *_explained(kept, say),
                *capacity.without(panels[-1].lines, gone, say),
            ],
            grids=[_grid(title, held, metric, [], say) for metric in (*TIMES_OF, "cpu_share")],
            notes=[*_whys(found, part, scenario), *capacity.unmeasured(lacking, capacity.P99)],
            capacities=capacity.grid(found, scenario, held, say),
        )


def _which(part: str, beside: Sequence[str], say: Language) -> Iterator[str]:
    """Say which part's figure this is, where others have the same scenario."""
    if beside:
        others = say(", ").join(beside)
        yield say("This is part {part}; {others} offered the same scenario other rates.", part=part, others=others)


def _of_limit(panel: Panel, say: Language) -> Iterator[str]:
    """Say what limit and bars mean, where the p99 is drawn."""
    if panel.limit is None:
        return
    yield say("The dashed line is a p99 of {limit}.", limit=figure(panel.limit, "s", say))
    if any(line.marked for line in panel.lines):
        yield say(
            "A stack's bar at the foot reaches from the highest rate at which its p99 lay below to the lowest at "
            "which it did not, or is a search's interval."
        )


def _explained(panels: Sequence[Panel], say: Language) -> Iterator[str]:
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


def _whys(found: Found, part: str, scenario: str) -> Iterator[str]:
    for each in found.sweeps:
        if (each.part, each.scenario) == (part, scenario):
            yield f"{each.asgi} against {each.wsgi} ({TABLE[each.metric][0].title}): {each.why}"


def _of_concurrency(found: Found, say: Language) -> Iterator[_Made]:
    for (part, scenario), held in _swept(found, ("closed",)).items():
        swept = [
            each
            for each in found.sweeps
            if (each.part, each.scenario, each.kind, each.metric) == (part, scenario, "closed", "rate_rps")
        ]
        crossings = {each.wsgi: ends for each in reversed(swept) if (ends := _crossing(each))}
        panel = Panel(
            title=say.told(TABLE["rate_rps"][0].title),
            unit="1/s",
            lines=[_line(label, cells, "rate_rps", _lost(cells, "rate_rps")) for label, cells in held.items()],
            crossings=crossings,
        )
        if not _has_figure(panel):
            continue
        title = heading(found, scenario, part, say)
        begins = (
            say(
                "The band of {stack}: ASGI's gain over it begins between {low} and {high} users.",
                stack=stack,
                low=f"{low:,}",
                high=f"{high:,}",
            )
            for stack, (low, high) in crossings.items()
        )
        yield _Made(
            title=title,
            panels=[panel],
            sizes=say("Users at a time"),
            caption=[*_explained([panel], say), *begins],
            grids=[_grid(title, held, "rate_rps", swept, say)],
            notes=[*(f"{each.asgi} against {each.wsgi}: {each.why}" for each in swept), *_lacking(held, "rate_rps")],
        )


def _of_connections(found: Found, say: Language) -> Iterator[_Made]:
    by_scenario: dict[str, dict[str, dict[int, Cell]]] = {}
    for cell in found.cells:
        load = Load.parse(cell.key.load)
        if cell.key.part.startswith(f"{CONNECTIONS}.") and (load.held or load.looped):
            # Settings differ from size to size, as many threads as connections: a line is one app on one server.
            by_scenario.setdefault(cell.key.scenario, {}).setdefault(base(cell.key.stack), {})[load.size] = cell
    for scenario, of_apps in by_scenario.items():
        held = {_named(cells): cells for cells in of_apps.values()}
        panel = Panel(
            title=say.told(TABLE["pss_bytes"][0].title),
            unit="B",
            lines=[_line(label, cells, "pss_bytes", _lost(cells, "pss_bytes")) for label, cells in held.items()],
        )
        title = say("{scenario}: memory against connections", scenario=say.told(found.scenario(scenario)))
        grids = [_grid(title, held, metric, [], say) for metric in ("pss_bytes", "connections")]
        if _has_figure(panel):
            yield _Made(
                title=title,
                panels=[panel],
                sizes=say("Connections at a time"),
                caption=[*_explained([panel], say), *_settings(held, say)],
                grids=[grid for grid in grids if any(each.order is not None for _, row in grid.rows for each in row)],
                notes=[*_lacking(held, "pss_bytes")],
                of_apps=True,
            )


def _named(cells: Mapping[int, Cell]) -> str:
    """Name a line of one app on one server; settings that differ are left to the caption."""
    stacks = {cell.key.stack for cell in cells.values()}
    return stacks.pop() if len(stacks) == 1 else f"{base(stacks.pop())}[…]"


def _settings(held: Lines, say: Language) -> Iterator[str]:
    """Say which settings a line has at which number of connections, where they differ."""
    for label, cells in held.items():
        if not label.endswith("[…]"):
            continue
        own = {
            size: set(cell.key.stack.partition("[")[2].rstrip("]").split(",")) for size, cell in sorted(cells.items())
        }
        alike = set.intersection(*own.values())
        each = (
            say("{settings} at {size}", settings=say(", ").join(sorted(found - alike)) or "—", size=f"{size:,}")
            for size, found in own.items()
        )
        yield say(
            "The settings of {stack} grow with the connections: {settings}.",
            stack=label,
            settings=say("; ").join(each),
        )


def _lost(cells: Mapping[int, Cell], metric: str) -> dict[int, Missing]:
    return {size: capacity.lost(cell) for size, cell in cells.items() if cell.estimate(metric) is None}


def _lacking(held: Lines, metric: str) -> Iterator[str]:
    """Say of loads that no clock paces which gave no figure, and why."""
    cells = (cell for sizes in held.values() for _, cell in sorted(sizes.items()))
    return capacity.unmeasured((cell for cell in cells if cell.estimate(metric) is None), metric)


def _swept(found: Found, kinds: Sequence[str]) -> dict[tuple[str, str], dict[str, dict[int, Cell]]]:
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


def _line(
    label: str,
    cells: Mapping[int, Cell],
    metric: str,
    gone: Mapping[int, Missing],
    marked: tuple[float, float] | None = None,
) -> Line:
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


def _has_figure(panel: Panel) -> bool:
    return any(spot.estimate for line in panel.lines for spot in line.spots)


def _marked(found: Found, scenario: str, stack: str, cells: Mapping[int, Cell]) -> tuple[float, float] | None:
    """Give between which rates p99 passes the limit of the figure, where both are known."""
    made = capacity.capacity(found, scenario, stack, cells, round(LIMIT_S * 1000))
    return None if made is None or made.low is None or made.high is None else (made.low, made.high)


def _crossing(sweep: Sweep) -> tuple[int, int] | None:
    if sweep.gains_from is None or sweep.not_yet_at is None:
        return None
    return sweep.not_yet_at, sweep.gains_from


def heading(found: Found, scenario: str, part: str, say: Language) -> str:
    """Give what the curve of a scenario in a part is called."""
    return f"{say.told(found.scenario(scenario))}{say(': ')}{say.told(found.title_of(part))}"


def _grid(title: str, held: Lines, metric: str, swept: Sequence[Sweep], say: Language) -> Grid:
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
