"""Load curves: response times against the rate, throughput against concurrency, memory against connections.

Knows measures and sweeps. Must not know verdicts or how a page looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gatebench.claims import base
from gatebench.metrics import TABLE
from gatebench.model import Estimate, Load, Sweep
from gatebench.report.drawing.lines import Line, Panel, Spot, lines
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.wording import Grid, Picture, Shown, bounded, figure, shown, times
from gatebench.sweeps import FEWEST, gain
from gatebench.tables import Cell

LIMIT_S = 0.1  # of p99, for the capacity that is marked where no search asked for another
TIMES_OF = ("response_p50_s", "response_p99_s")
PACED = ("open", "poisson")
CONNECTIONS = "connections"  # the plan whose parts hold as many connections as their names say

Lines = Mapping[str, Mapping[int, Cell]]  # label -> size -> cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One figure, its values as tables, and what is to be said of it."""

    anchor: str
    title: str
    picture: Picture
    grids: tuple[Grid, ...]
    notes: tuple[str, ...]


def curves(found: Found, say: Language) -> tuple[Curve, ...]:
    """Give the curves that the session has the loads for: by rate, by concurrency, by connections."""
    made = [*_of_rates(found, say), *_of_concurrency(found, say), *_of_connections(found, say)]
    return tuple(
        Curve(
            anchor=f"curve-{place}",
            title=title,
            picture=Picture(svg=lines(f"curve-{place}", panels, sizes, caption), caption=caption),
            grids=tuple(grids),
            notes=tuple(notes),
        )
        for place, (title, panels, sizes, caption, grids, notes) in enumerate(made)
    )


Made = tuple[str, list[Panel], str, str, list[Grid], list[str]]


def _of_rates(found: Found, say: Language) -> Iterator[Made]:
    for (part, scenario), held in _swept(found, PACED).items():
        panels = [
            Panel(
                title=say.told(TABLE[metric][0].title),
                unit="s",
                lines=[
                    _line(label, cells, metric, _capacity(found, scenario, label, cells) if limit else None)
                    for label, cells in held.items()
                ],
                limit=limit,
            )
            for metric, limit in zip(TIMES_OF, (None, LIMIT_S), strict=True)
        ]
        title = _title(found, scenario, part, say)
        caption = say(
            "{title}. The dashed line is a p99 of {limit}; a stack's bar at the foot reaches from the highest rate "
            "at which its p99 lay below to the lowest at which it did not. A cross: no steady response time.",
            title=title,
            limit=figure(LIMIT_S, "s", say),
        )
        grids = [_grid(title, held, metric, [], say) for metric in (*TIMES_OF, "cpu_share")]
        notes = [each.why for each in found.sweeps if (each.part, each.scenario) == (part, scenario)]
        if any(_has_figure(panel) for panel in panels):
            kept = [panel for panel in panels if _has_figure(panel)]
            yield title, kept, say("Requests a second that were sent"), caption, grids, list(dict.fromkeys(notes))


def _of_concurrency(found: Found, say: Language) -> Iterator[Made]:
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
            lines=[_line(label, cells, "rate_rps") for label, cells in held.items()],
            crossings=crossings,
        )
        title = _title(found, scenario, part, say)
        begins = (
            say(
                "The band of {stack}: ASGI's gain over it begins between {low} and {high} users.",
                stack=stack,
                low=f"{low:,}",
                high=f"{high:,}",
            )
            for stack, (low, high) in crossings.items()
        )
        caption = " ".join([say("{title}. Lines on points: 95 % intervals; dots: blocks.", title=title), *begins])
        grids = [_grid(title, held, "rate_rps", swept, say)]
        notes = [f"{each.asgi} against {each.wsgi}: {each.why}" for each in swept]
        if _has_figure(panel):
            yield title, [panel], say("Users at a time"), caption, grids, notes


def _of_connections(found: Found, say: Language) -> Iterator[Made]:
    by_scenario: dict[str, dict[str, dict[int, Cell]]] = {}
    for cell in found.cells:
        load = Load.parse(cell.key.load)
        if cell.key.part.startswith(f"{CONNECTIONS}.") and (load.held or load.looped):
            # Settings differ from size to size, as many threads as connections: a line is one app on one server.
            by_scenario.setdefault(cell.key.scenario, {}).setdefault(base(cell.key.stack), {})[load.size] = cell
    for scenario, held in by_scenario.items():
        panel = Panel(
            title=say.told(TABLE["pss_bytes"][0].title),
            unit="B",
            lines=[_line(label, cells, "pss_bytes") for label, cells in held.items()],
        )
        title = say("{scenario}: memory against connections", scenario=say.told(found.scenario(scenario)))
        grids = [_grid(title, held, metric, [], say) for metric in ("pss_bytes", "connections")]
        if _has_figure(panel):
            caption = say("{title}. Lines on points: 95 % intervals; dots: blocks.", title=title)
            shown_ = [grid for grid in grids if any(each.order is not None for _, row in grid.rows for each in row)]
            yield title, [panel], say("Connections at a time"), caption, shown_, []


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


def _line(label: str, cells: Mapping[int, Cell], metric: str, marked: tuple[float, float] | None = None) -> Line:
    spots = [
        Spot(size=size, estimate=_drawable(cell.estimate(metric)), blocks=tuple(cell.values(metric).values()))
        for size, cell in sorted(cells.items())
    ]
    return Line(label=label, spots=spots, marked=marked)


def _drawable(estimate: Estimate | None) -> Estimate | None:
    return estimate if estimate is not None and estimate.value > 0 else None


def _has_figure(panel: Panel) -> bool:
    return any(spot.estimate for line in panel.lines for spot in line.spots)


def _capacity(found: Found, scenario: str, stack: str, cells: Mapping[int, Cell]) -> tuple[float, float] | None:
    """Give between which rates p99 passes the limit; where a search asked for that limit, its interval."""
    asked = f"search({LIMIT_S * 1000:.0f}ms)"
    for cell in found.cells:
        key = cell.key
        if (key.stack, key.scenario, key.load) == (stack, scenario, asked) and (est := cell.estimate("rate_rps")):
            return est.low or est.value, est.high or est.value
    below = None
    for size, cell in sorted(cells.items()):
        p99 = cell.estimate(TIMES_OF[-1])
        if p99 is None and cell.estimate(TIMES_OF[0]) is not None:
            continue  # too few answers to tell
        if p99 is None or p99.value > LIMIT_S:
            return None if below is None else (below, size)
        below = size
    return None


def _crossing(sweep: Sweep) -> tuple[int, int] | None:
    if sweep.gains_from is None or sweep.not_yet_at is None:
        return None
    return sweep.not_yet_at, sweep.gains_from


def _title(found: Found, scenario: str, part: str, say: Language) -> str:
    return f"{say.told(found.scenario(scenario))}: {say.told(found.title_of(part))}"


def _grid(title: str, held: Lines, metric: str, swept: Sequence[Sweep], say: Language) -> Grid:
    """Give a curve's values: sizes down, stacks across, then the factors between them."""
    factors = {
        (each.wsgi, each.asgi, point.size): bounded(times(gain(point.comparison), say), point.comparison)
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
        title=f"{title}: {say.told(TABLE[metric][0].title)}",
        corner=say("Load"),
        heads=(*held, *against),
        rows=tuple(rows),
    )
