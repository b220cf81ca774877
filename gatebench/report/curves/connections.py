"""Memory against connections: of parts that hold as many as their names say.

Knows cells. Must not know the other kinds of curves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gatebench.claims import base
from gatebench.metrics import TABLE
from gatebench.model import Load
from gatebench.report.curves.made import Lines, Made, explained, has_figure, lacking, line_of, lost_of, table
from gatebench.report.drawing.lines import Panel
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.tables import Cell

CONNECTIONS = "connections"  # the plan whose parts hold as many connections as their names say


def of_connections(found: Found, say: Language) -> Iterator[Made]:
    """Give a figure for each scenario that connections were held with."""
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
            lines=[line_of(label, cells, "pss_bytes", lost_of(cells, "pss_bytes")) for label, cells in held.items()],
        )
        title = say("{scenario}: memory against connections", scenario=say.told(found.scenario(scenario)))
        grids = [table(title, held, metric, [], say) for metric in ("pss_bytes", "connections")]
        if has_figure(panel):
            yield Made(
                title=title,
                panels=[panel],
                sizes=say("Connections at a time"),
                caption=[*explained([panel], say), *_settings(held, say)],
                grids=[grid for grid in grids if any(each.order is not None for _, row in grid.rows for each in row)],
                notes=[*lacking(held, "pss_bytes")],
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
