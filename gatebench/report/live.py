"""A session while it runs: how far it is, what came last, and every cell's figure so far.

Knows measures. Must not know verdicts: they wait for the end.
"""

from __future__ import annotations

from typing import Any

from gatebench import tables
from gatebench.metrics import TABLE
from gatebench.model import Run, Session
from gatebench.report import templating
from gatebench.report.exploring import COLUMNS
from gatebench.report.language import ENGLISH, Language
from gatebench.report.wording import shown

SAY = Language(ENGLISH)
LAST = 10  # trials that are named


def page() -> str:
    """Give the page, which asks for its data by itself."""
    script = templating.text_of("script", "live.js")
    heads = ["Part", "Scenario", "Load", "Stack", *(TABLE[metric][0].title for metric in COLUMNS), "Valid trials"]
    values = {"heads": heads, "script": templating.own(script), "script_digest": templating.digest(script)}
    return templating.html("live.html.j2", values)


def now(session: Session) -> dict[str, Any]:
    """Give what the page shows, as JSON has it."""
    planned = sum(part.blocks * len(part.stacks) * len(part.measures) for part in session.plan.parts)
    return {
        "session": session.name,
        "title": session.plan.title,
        "ended": session.ended_at,
        "planned": planned,
        "trials": len(session.runs),
        "valid": sum(run.status == "ok" for run in session.runs),
        "last": [_told(run) for run in reversed(session.runs[-LAST:])],
        "rows": [_row(cell) for measure in tables.measures(session) for cell in measure.cells],
    }


def _told(run: Run) -> str:
    what = f"block {run.block}, {run.stack}, {run.scenario}, {run.load}: {run.status}"
    return f"{what}: {run.reason}" if run.reason else what


def _row(cell: tables.Cell) -> list[str]:
    key = cell.key
    figures = [shown(cell.estimate(metric), TABLE[metric][0].unit, SAY) for metric in COLUMNS]
    texts = [f"{each.value} ({each.interval})" if each.interval else each.value for each in figures]
    valid = sum(run.status == "ok" for run in cell.runs)
    return [key.part, key.scenario, key.load, key.stack, *texts, f"{valid} of {len(cell.runs)}"]
