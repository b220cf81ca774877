"""Results as one tidy DataFrame, for notebooks.

Knows results files and their tables. Must not judge.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from gatebench import store, tables
from gatebench.errors import UsageError


def load(path: str | Path) -> pd.DataFrame:
    """Give every trial of a results file, or of all in a folder, as one row: what it was, what became of it, figures.

    The columns are `session`, `machine`, `backend` and those of the table `runs`, which `tables/columns.csv` beside
    every page explains. Trials that are void or failed are rows too: their `status` says so, and their figures are no
    evidence. UsageError where there is no results file or one cannot be read.
    """
    found = Path(path)
    files = sorted(found.glob("*.jsonl")) if found.is_dir() else [found]
    if not files:
        raise UsageError(f"{found} holds no results file; `gatebench run` makes some, or name another folder.")
    frames = []
    for file in files:
        session = store.read(file)
        frame = tables.runs(session)
        frame.insert(0, "session", session.name)
        frame.insert(1, "machine", session.machine.identity)
        frame.insert(2, "backend", session.backend)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)
