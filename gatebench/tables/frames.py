"""The tables themselves: tidy pandas frames, with the columns that COLUMNS describes.

Knows cells and comparisons. Must not know how a figure or a ratio is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from gatebench import metrics
from gatebench.model import Comparison, Session
from gatebench.tables.columns import COLUMNS, ESTIMATE
from gatebench.tables.grouping import Cell, Grouped, grouped, part_of
from gatebench.tables.meaning import CONTAINED


def runs(session: Session) -> pd.DataFrame:
    """Give every trial, valid or not, with its own figures; for looking at, not for comparing."""
    made = grouped(session)
    own = [name for name in COLUMNS["runs"] if name not in metrics.TABLE and name != "part"]
    rows = [
        {
            **_plain(run, own),
            "part": part_of(session, run),
            "warnings": "; ".join(run.warnings),
            **made.cells[made.key(run)].read(run),
        }
        for run in session.runs
    ]
    return _frame("runs", rows)


def void(session: Session) -> pd.DataFrame:
    """Give every trial that is void or failed, with its reason."""
    own = [name for name in COLUMNS["void"] if name != "part"]
    lost = (run for run in session.runs if run.status != "ok")
    return _frame("void", (_plain(run, own) | {"part": part_of(session, run)} for run in lost))


def cells(session: Session) -> pd.DataFrame:
    """Give the figure of every part, stack, scenario, load and metric over its valid trials."""
    return _frame("cells", _cell_rows(grouped(session)))


def _cell_rows(made: Grouped) -> Iterator[Mapping[str, Any]]:
    contained = CONTAINED if made.session.backend == "container" else ()
    for cell in made.cells.values():
        beside = {
            "trials": len(cell.runs),
            "void": sum(run.status != "ok" for run in cell.runs),
            "warnings": "; ".join(cell.warnings),
        }
        for metric in (*cell.metrics, *(contained if cell.metrics else ())):
            reasons = "; ".join(cell.reasons(metric))
            yield {**cell.key._asdict(), "metric": metric, **_estimated(cell, metric), "reasons": reasons, **beside}


def _estimated(cell: Cell, metric: str) -> dict[str, Any]:
    estimate = cell.estimate(metric)
    if estimate is not None:
        return _plain(estimate, ("value", *ESTIMATE))
    return {"value": None, "low": None, "high": None, "blocks": 0, "few": True, "method": "no valid trial"}


def capabilities(session: Session) -> pd.DataFrame:
    """Give what every stack spoke in a valid trial, in the plan's order; where blocks disagree, each answer."""
    rows = [
        {"part": cell.key.part, "stack": cell.key.stack, **_plain(found, ("protocol", "answer", "why", "figure"))}
        for cell in grouped(session).cells.values()
        for run in cell.runs
        if run.status == "ok"
        for found in run.capabilities
    ]
    return _frame("capabilities", rows).drop_duplicates(["part", "stack", "protocol", "answer"], ignore_index=True)


def comparison_frame(found: Iterable[Comparison]) -> pd.DataFrame:
    """Give comparisons as a table."""
    rows = []
    for each in found:
        row = _plain(each, ("part", "scenario", "load", "metric", "wsgi", "asgi", "reason", "blocks"))
        row["wsgi_value"] = each.wsgi_value.value if each.wsgi_value else None
        row["asgi_value"] = each.asgi_value.value if each.asgi_value else None
        row["ratio"] = each.ratio.value if each.ratio else None
        row |= _plain(each.ratio, ESTIMATE) if each.ratio else {"low": None, "high": None, "few": True, "method": ""}
        row["warnings"] = "; ".join(each.warnings)
        rows.append(row)
    return _frame("comparisons", rows)


def _plain(record: object, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def _frame(table: str, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(COLUMNS[table]))
