"""Results as one tidy DataFrame, for notebooks.

Knows results files and their tables. Must not judge.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from pandas.api.types import is_object_dtype

from gatebench import store, tables
from gatebench.errors import UsageError
from gatebench.tables import TEXTS


def load(path: str | Path) -> pd.DataFrame:
    """Give every trial of a results file, or of all in a folder, as one row: what it was, what became of it, figures.

    The columns are `session`, `machine`, `backend`, `arm` and those of the table `runs`, which `tables/columns.csv`
    beside every page explains. Trials that are void or failed are rows too: their `status` says so, and their figures
    are no evidence. A trial of a gate has another arm beside it on the same CPUs, so it is not like others: `arm`
    names its own, and is missing of all others. A figure that is missing is NaN. UsageError where there is no results
    file or one cannot be read.
    """
    found = Path(path)
    files = sorted(found.glob("*.jsonl")) if found.is_dir() else [found]
    if not files:
        raise UsageError(f"{found} holds no results file; `gatebench run` makes some, or name another folder.")
    frames = []
    for file in files:
        session = store.read(file)
        frame = _numbers(tables.runs(session))
        frame.insert(0, "session", session.name)
        frame.insert(1, "machine", session.machine.identity)
        frame.insert(2, "backend", session.backend)
        arms = pd.Series([_arm(stack) for stack in frame["stack"]], index=frame.index, dtype="str")
        frame.insert(3, "arm", arms)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _arm(stack: str) -> str | None:
    """Name the arm that a stack of a gate is; None of a stack that is none."""
    arm, colon, _ = stack.partition(":")
    return arm if colon else None


def _numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Give figures as numbers, and texts as texts, whatever of a column is missing: even all of it."""
    lacking = [name for name, kind in frame.dtypes.items() if is_object_dtype(kind)]
    return frame.astype({name: "str" if name in TEXTS else "float64" for name in lacking})
