"""Runs to tables: tidy pandas frames, and the ratio of every ASGI stack to every WSGI stack.

Knows sessions, metrics and statistics; COLUMNS describes every column. A void or failed trial gives no figure here,
and trials are paired by their block, never by their place. Must not know claims or pages.
"""

from gatebench.tables.beside import Measure, measures, places
from gatebench.tables.columns import COLUMNS, TEXTS, column_frame
from gatebench.tables.comparing import MEMORY, UNLIKE, at_limit, comparisons
from gatebench.tables.frames import capabilities, cells, comparison_frame, runs, void
from gatebench.tables.grouping import Cell, block_values
from gatebench.tables.meaning import ANSWERED, CONTAINED, HELD, KNOCKED, WAITING, compared_of, metrics_of

__all__ = [
    "ANSWERED",
    "COLUMNS",
    "CONTAINED",
    "HELD",
    "KNOCKED",
    "MEMORY",
    "TEXTS",
    "UNLIKE",
    "WAITING",
    "Cell",
    "Measure",
    "at_limit",
    "block_values",
    "capabilities",
    "cells",
    "column_frame",
    "compared_of",
    "comparison_frame",
    "comparisons",
    "measures",
    "metrics_of",
    "places",
    "runs",
    "void",
]
