"""gatebench: benchmarks for the two gateway interfaces of Python's web, WSGI and ASGI, that state their uncertainty.

The pipeline, with no way back:

`declare` reads folders and TOML files (apps/, compose/, scenarios/) into stacks and scenarios; `plan` lays trials
down, block by block, in a seeded random order; `session` makes environments ready, starts services and calibrates
the load generator; `run` conducts: for each trial a fresh server (`backends`), the contract, the load (`generator`
outside, `swarm` inside a process of its own), the contract again, and the rules of `validity`; `store` writes one
JSON line as each trial ends. There measuring stops. From the files alone, `tables` makes DataFrames, `stats` their
intervals, `claims` verdicts on the published comparison, and `report` one page. `cli` is the only module that prints
or exits.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from gatebench.model import (
    App,
    Claim,
    Comparison,
    Estimate,
    Histogram,
    Load,
    Machine,
    Metric,
    Placement,
    Plan,
    Run,
    Scenario,
    Server,
    Service,
    Session,
    Stack,
    Trial,
    Usage,
    Verdict,
)

if TYPE_CHECKING:
    import pandas as pd

__version__ = version("gatebench")

__all__ = [
    "App",
    "Claim",
    "Comparison",
    "Estimate",
    "Histogram",
    "Load",
    "Machine",
    "Metric",
    "Placement",
    "Plan",
    "Run",
    "Scenario",
    "Server",
    "Service",
    "Session",
    "Stack",
    "Trial",
    "Usage",
    "Verdict",
    "__version__",
    "load",
]


def load(path: str | Path) -> pd.DataFrame:
    """Give every trial of a results file, or of all in a folder, as one row of a DataFrame.

    `gatebench.notebook.load` says what its columns are.
    """
    from gatebench import notebook  # noqa: PLC0415 - pandas costs a second, and the generator needs none

    return notebook.load(path)
