"""Response times against the rate of arrivals, and the capacity at a limit.

Knows cells and sweeps. Must not know the other kinds of curves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gatebench.metrics import TABLE
from gatebench.report.curves import capacity
from gatebench.report.curves.made import Made, by_size, explained, has_figure, heading, line_of, table
from gatebench.report.drawing.lines import Panel
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.wording import figure
from gatebench.tables import Cell

LIMIT_S = 0.1  # of p99, for the capacity that is marked in figures
TIMES_OF = ("response_p50_s", "response_p99_s")
PACED = ("open", "poisson")


def of_rates(found: Found, say: Language) -> Iterator[Made]:
    """Give a figure for each part and scenario to which a clock sent requests at three rates or more."""
    swept = by_size(found, PACED)
    for (part, scenario), held in swept.items():
        gone = {label: capacity.missing(cells) for label, cells in held.items()}
        marks = {label: _marked(found, scenario, label, cells) for label, cells in held.items()}
        panels = [
            Panel(
                title=say.told(TABLE[metric][0].title),
                unit="s",
                lines=[
                    line_of(label, cells, metric, gone[label], marks[label] if limit else None)
                    for label, cells in held.items()
                ],
                limit=limit,
            )
            for metric, limit in zip(TIMES_OF, (None, LIMIT_S), strict=True)
        ]
        kept = [panel for panel in panels if has_figure(panel)]
        if not kept:
            continue
        title = heading(found, scenario, part, say)
        beside = [other for other, like in swept if like == scenario and other != part]
        lacking = [
            held[label][size] for label, all_ in gone.items() for size, kind in all_.items() if kind == "unmeasured"
        ]
        yield Made(
            title=title,
            panels=kept,
            sizes=say("Requests a second that were sent"),
            caption=[
                *_which(part, beside, say),
                *_of_limit(kept[-1], say),
                *explained(kept, say),
                *capacity.without(panels[-1].lines, gone, say),
            ],
            grids=[table(title, held, metric, [], say) for metric in (*TIMES_OF, "cpu_share")],
            notes=[*_whys(found, part, scenario), *capacity.unmeasured(lacking, capacity.P99)],
            capacities=capacity.grid(found, scenario, title, held, say),
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


def _whys(found: Found, part: str, scenario: str) -> Iterator[str]:
    for each in found.sweeps:
        if (each.part, each.scenario) == (part, scenario):
            yield f"{each.asgi} against {each.wsgi} ({TABLE[each.metric][0].title}): {each.why}"


def _marked(found: Found, scenario: str, stack: str, cells: Mapping[int, Cell]) -> tuple[float, float] | None:
    """Give between which rates p99 passes the limit of the figure, where both are known."""
    made = capacity.capacity(found, scenario, stack, cells, round(LIMIT_S * 1000))
    return None if made is None or made.low is None or made.high is None else (made.low, made.high)
