"""One results file to one page, its Markdown twin and its tables.

Knows the order of the steps. Must not know how a figure is computed, nor print.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gatebench import attribution, claims, store, sweeps, tables
from gatebench.report import page, published
from gatebench.report.files import put
from gatebench.report.published import Headline
from gatebench.report.sections import Found, sections

__all__ = ["Built", "Headline", "build"]

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the start of a formula


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What was written, and what of it belongs in a terminal."""

    page: Path
    headline: tuple[Headline, ...]
    figures: int  # headline rows with a measured figure
    valid: int  # trials
    trials: int
    measuring_share: float | None  # of the session's wall time
    notices: tuple[str, ...]  # what was found wrong with the file and worked around


def build(path: Path, out: Path) -> Built:
    """Read one results file and write index.html, report.md and tables/*.csv into `out`.

    The same file gives the same bytes. UsageError where the file cannot be read or `out` cannot be written.
    """
    session = store.read(path)
    rows = claims.load()
    compared = tables.comparisons(session)
    swept = sweeps.sweeps(compared)
    verdicts = claims.judge(rows, claims.gather(session, compared, swept))
    shown = published.tables(verdicts)
    found = Found(
        session=session,
        comparisons=compared,
        claims=rows,
        verdicts=verdicts,
        sweeps=swept,
        ladders=attribution.ladders(session),
    )
    values = page.content(session, shown, sections(found), compared)
    spoken = tables.capabilities(session)
    frames = {
        **({} if spoken.empty else {"capabilities": spoken}),
        "cells": tables.cells(session),
        "columns": tables.column_frame(),
        "comparisons": tables.comparison_frame(compared),
        "runs": tables.runs(session),
        "void": tables.void(session),
    }
    texts = {Path("tables") / f"{name}.csv": _csv(frame) for name, frame in frames.items()}
    texts |= {Path("report.md"): page.markdown(values), Path("index.html"): page.html(values)}
    for name, text in texts.items():
        put(out / name, text)
    headline = published.headline(shown)
    return Built(
        page=out / "index.html",
        headline=headline,
        figures=sum(row.measured for row in headline),
        valid=sum(run.status == "ok" for run in session.runs),
        trials=len(session.runs),
        measuring_share=page.measuring_share(session),
        notices=session.notices,
    )


def _csv(frame: pd.DataFrame) -> str:
    safe = frame.map(lambda value: f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value)
    return safe.to_csv(index=False, lineterminator="\n")
