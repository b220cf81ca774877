"""Throughput against concurrency, and where ASGI's gain begins.

Knows cells and sweeps. Must not know the other kinds of curves.
"""

from __future__ import annotations

from collections.abc import Iterator

from gatebench.metrics import TABLE
from gatebench.model import Sweep
from gatebench.report.curves.made import (
    Made,
    by_size,
    explained,
    has_figure,
    heading,
    lacking,
    line_of,
    lost_of,
    table,
)
from gatebench.report.drawing.lines import Panel
from gatebench.report.found import Found
from gatebench.report.language import Language


def of_concurrency(found: Found, say: Language) -> Iterator[Made]:
    """Give a figure for each part and scenario that three numbers of users or more asked."""
    for (part, scenario), held in by_size(found, ("closed",)).items():
        swept = [
            each
            for each in found.sweeps
            if (each.part, each.scenario, each.kind, each.metric) == (part, scenario, "closed", "rate_rps")
        ]
        crossings = {each.wsgi: ends for each in reversed(swept) if (ends := _crossing(each))}
        panel = Panel(
            title=say.told(TABLE["rate_rps"][0].title),
            unit="1/s",
            lines=[line_of(label, cells, "rate_rps", lost_of(cells, "rate_rps")) for label, cells in held.items()],
            crossings=crossings,
        )
        if not has_figure(panel):
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
        yield Made(
            title=title,
            panels=[panel],
            sizes=say("Users at a time"),
            caption=[*explained([panel], say), *begins],
            grids=[table(title, held, "rate_rps", swept, say)],
            notes=[*(f"{each.asgi} against {each.wsgi}: {each.why}" for each in swept), *lacking(held, "rate_rps")],
        )


def _crossing(sweep: Sweep) -> tuple[int, int] | None:
    if sweep.gains_from is None or sweep.not_yet_at is None:
        return None
    return sweep.not_yet_at, sweep.gains_from
