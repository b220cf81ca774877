"""Results files to one page, its Markdown twin and its tables.

Knows the order of the steps. Must not know how a figure is computed, nor print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from gatebench import store, tables
from gatebench.joining import joined
from gatebench.report import ledger, page
from gatebench.report.files import put, put_copy
from gatebench.report.found import Found, find
from gatebench.report.language import ENGLISH, LANGUAGES, language
from gatebench.report.ledger import Headline
from gatebench.report.links import link

__all__ = ["LANGUAGES", "Built", "Headline", "build"]

FORMULA = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")  # what a spreadsheet takes for the start of a formula
TABLES = Path("tables")  # beside the page, with the trials themselves


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What was written, and what of it belongs in a terminal."""

    page: Path
    markdown: str
    tables: Mapping[str, str]  # as CSV, by name
    judged: Mapping[str, Any]  # verdicts and cells, as JSON has them
    headline: tuple[Headline, ...]
    valid: int  # trials
    trials: int
    notices: tuple[str, ...]  # what was found wrong with the file and worked around


def build(paths: Path | Sequence[Path], out: Path, lang: str = ENGLISH, see: Sequence[str] = ()) -> Built:
    """Read a results file, or several of one machine, and write index.html, report.md and tables/ into `out`.

    `see` are the pages to link to, TITLE=PATH each. The same files give the same bytes. UsageError where a file
    cannot be read, files do not fit together, `out` cannot be written, a link is none, or there is no page in `lang`.
    """
    say, links = language(lang), [link(each) for each in see]
    files = [paths] if isinstance(paths, Path) else list(paths)
    session = joined([store.read(path) for path in files])
    found = find(session)
    copies = {TABLES / f"results{f'-{place}' if place else ''}.jsonl": path for place, path in enumerate(files)}
    values = page.content(found, tuple(copy.as_posix() for copy in copies), say) | {"links": links}
    spoken = tables.capabilities(session)
    frames = {
        **({} if spoken.empty else {"capabilities": spoken}),
        "cells": tables.cells(session),
        "columns": tables.column_frame(),
        "comparisons": tables.comparison_frame(found.comparisons),
        "runs": tables.runs(session),
        "void": tables.void(session),
    }
    csv = {name: _csv(frame) for name, frame in frames.items()}
    texts = {TABLES / f"{name}.csv": text for name, text in csv.items()}
    markdown = page.markdown(values, say)
    texts |= {Path("report.md"): markdown, Path("index.html"): page.html(values, say)}
    for name, text in texts.items():
        put(out / name, text)
    for copy, path in copies.items():
        put_copy(path, out / copy)
    return Built(
        page=out / "index.html",
        markdown=markdown,
        tables=csv,
        judged={"session": session.name, "verdicts": _verdicts(found), "cells": _records(frames["cells"])},
        headline=ledger.headline(values["published"], say),
        valid=values["valid"],
        trials=len(session.runs),
        notices=session.notices,
    )


def _csv(frame: pd.DataFrame) -> str:
    safe = frame.map(lambda value: f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value)
    return safe.to_csv(index=False, lineterminator="\n")


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Give a table as JSON has it: missing is null, for JSON knows no NaN."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _verdicts(found: Found) -> list[dict[str, Any]]:
    return [
        {
            "row": each.claim.name,
            "claimed": {"wsgi": each.claim.wsgi, "asgi": each.claim.asgi, "factor": each.claim.factor},
            "verdict": each.word,
            "why": each.why,
            "comparison": None if each.comparison is None else asdict(each.comparison),
        }
        for each in found.verdicts
    ]
