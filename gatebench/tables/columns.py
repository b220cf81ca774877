"""Every table's columns, and what they mean.

Knows the names of metrics. Must not know runs.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from gatebench import metrics
from gatebench.stats import ENOUGH

CELL = {
    "part": "of the plan; cells are compared within one",
    "stack": "app+server",
    "scenario": "what a user does",
    "load": "how hard it presses",
    "metric": "a name of gatebench.metrics",
}
SERVED = "; requests are those of the load, and the fresh connections beside it that were answered"
ESTIMATE = {
    "low": "lower end of its 95 % interval; empty where there is none",
    "high": "upper end",
    "blocks": "how many blocks it rests on",
    "few": f"whether these are fewer than {ENOUGH}",
    "method": "how figure and interval were made",
}
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "runs": {
        "number": "the trial's place in the session, from 0",
        "block": "from 0",
        **{name: text for name, text in CELL.items() if name != "metric"},
        "interface": "wsgi or asgi",
        "profile": "which settings",
        "status": "ok, void or failed",
        "reason": "why it is void or failed",
        "warnings": "what to bear in mind",
        "limit": "what kept the rate from being higher",
        "overloaded": "whether response times are lower bounds only",
        "window_s": "length of the measuring window",
        "elapsed_s": "length of the whole trial",
        "requests": "answered as expected within the window",
        "errors": "not answered as expected",
        **{
            name: f"{metric.title}, {metric.unit or 'count'}{SERVED if name.endswith('_per_request') else ''}"
            for name, (metric, _) in metrics.TABLE.items()
        },
        "server_busy_share": "of the server's CPUs, by anything",
        "generator_busy_share": "of the generator's CPUs, by anything",
        "generator_delay_share": "of the window, ready to run and not running",
        "generator_ceiling_share": "of the rate it reaches on a do-nothing server",
        "generator_send_lag_s": "p99 of how late requests were sent, under a load that a clock paces",
        "generator_loop_lag_s": "p99 of how late its event loop came round",
        "arrivals_due": "within the window, under a load that a clock paces",
        "arrivals_ended": "answers, good or bad, that came within the window",
        "arrivals_overrun": "of those due, found no free connection and had to wait",
        "arrivals_unanswered": "of those due, never answered",
        "steal_share": "of the CPUs' time, taken by the hypervisor",
    },
    "cells": {
        **CELL,
        "value": "the figure over blocks; empty where there is none",
        **ESTIMATE,
        "trials": "how many were made",
        "void": "how many of them are void or failed",
        "reasons": "why trials gave no figure, with their blocks",
        "warnings": "what to bear in mind",
    },
    "comparisons": {
        **{name: text for name, text in CELL.items() if name != "stack"},
        "wsgi": "stack",
        "asgi": "stack",
        "wsgi_value": "figure of the WSGI stack over its valid blocks",
        "asgi_value": "figure of the ASGI stack over its valid blocks",
        "ratio": "ASGI / WSGI, block by block; empty where there is none",
        **ESTIMATE,
        "reason": "why there is no ratio",
        "warnings": "what to bear in mind",
    },
    "capabilities": {
        "part": "of the plan",
        "stack": "app+server",
        "protocol": "a name of gatebench.protocols",
        "answer": "yes, no, or untried where it could not be asked",
        "why": "what was seen",
        "figure": "where the protocol has one, such as the streams that a worker keeps",
    },
    "void": {
        "number": "the trial's place in the session, from 0",
        "block": "from 0",
        **{name: text for name, text in CELL.items() if name != "metric"},
        "status": "void or failed",
        "fault": "what kind of failure",
        "reason": "why",
    },
}

TEXTS = {*CELL, "interface", "profile", "status", "reason", "warnings", "limit"}  # of the columns of runs


def column_frame() -> pd.DataFrame:
    """Give the meaning of every column of every table."""
    rows = [
        {"table": table, "column": column, "meaning": meaning}
        for table, columns in COLUMNS.items()
        for column, meaning in columns.items()
    ]
    return pd.DataFrame(rows)
