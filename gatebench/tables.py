"""Runs to tables: tidy pandas frames, and the ratio of every ASGI stack to every WSGI stack.

Knows sessions, metrics and statistics; COLUMNS describes every column. A void or failed trial gives no figure here,
and trials are paired by their block, never by their place. Must not know claims or pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from gatebench import metrics
from gatebench.histogram import samples_needed
from gatebench.model import Comparison, Estimate, Load, Run, Session
from gatebench.stats import ENOUGH, median_interval, ratio

ANSWERED = ("rate_rps", "response_p50_s", "response_p99_s", "cpu_us_per_request", "pss_bytes")
HELD = ("connections", "pss_bytes")
CONTAINED = ("group_memory_bytes",)  # told of containers, and not compared: their page cache is chance
UNLIKE = "the stacks kept different numbers of connections, so their memory does not compare"

_CELL = {
    "stack": "app+server",
    "scenario": "what a user does",
    "load": "how hard it presses",
    "metric": "a name of gatebench.metrics",
}
_ESTIMATE = {
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
        **{name: text for name, text in _CELL.items() if name != "metric"},
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
        **{name: f"{metric.title}, {metric.unit or 'count'}" for name, (metric, _) in metrics.TABLE.items()},
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
        **_CELL,
        "value": "the figure over blocks; empty where there is none",
        **_ESTIMATE,
        "trials": "how many were made",
        "void": "how many of them are void or failed",
        "reasons": "why trials gave no figure, with their blocks",
        "warnings": "what to bear in mind",
    },
    "comparisons": {
        **{name: text for name, text in _CELL.items() if name != "stack"},
        "wsgi": "stack",
        "asgi": "stack",
        "wsgi_value": "figure of the WSGI stack over its valid blocks",
        "asgi_value": "figure of the ASGI stack over its valid blocks",
        "ratio": "ASGI / WSGI, block by block; empty where there is none",
        **_ESTIMATE,
        "reason": "why there is no ratio",
        "warnings": "what to bear in mind",
    },
    "void": {
        "number": "the trial's place in the session, from 0",
        "block": "from 0",
        **{name: text for name, text in _CELL.items() if name != "metric"},
        "status": "void or failed",
        "fault": "what kind of failure",
        "reason": "why",
    },
}


def runs(session: Session) -> pd.DataFrame:
    """Give every trial, valid or not, with its own figures; for looking at, not for comparing."""
    return _frame("runs", (_run_row(run) for run in session.runs))


def void(session: Session) -> pd.DataFrame:
    """Give every trial that is void or failed, with its reason."""
    return _frame("void", (_plain(run, COLUMNS["void"]) for run in session.runs if run.status != "ok"))


def cells(session: Session) -> pd.DataFrame:
    """Give the figure of every stack, scenario, load and metric over its valid trials."""
    rows = []
    for (stack, scenario, load), made in _by_cell(session).items():
        for metric in (*metrics_of(load), *(CONTAINED if session.backend == "container" else ())):
            row: dict[str, Any] = {"stack": stack, "scenario": scenario, "load": load, "metric": metric}
            row |= {"value": None, "low": None, "high": None, "blocks": 0, "few": True, "method": "no valid trial"}
            estimate = _estimate(made, metric)
            if estimate is not None:
                row |= _plain(estimate, ("value", *_ESTIMATE))
            row["trials"], row["void"] = len(made), sum(run.status != "ok" for run in made)
            row["reasons"] = "; ".join(_reasons(made, metric))
            row["warnings"] = "; ".join(_warnings(made))
            rows.append(row)
    return _frame("cells", rows)


def comparisons(session: Session) -> tuple[Comparison, ...]:
    """Compare every ASGI stack with every WSGI stack on each scenario, load and metric that both have trials of.

    A stack that cannot run a scenario at all has no trials of it and is not compared on it.
    """
    by_cell = _by_cell(session)
    interface = {run.stack: run.interface for run in session.runs}
    possible = {cell for cell, made in by_cell.items() if any(run.fault != "impossible" for run in made)}
    found = []
    for scenario, load in dict.fromkeys((scenario, load) for _, scenario, load in by_cell):
        here = [stack for stack, *measure in by_cell if measure == [scenario, load] and (stack, *measure) in possible]
        for wsgi in (stack for stack in here if interface[stack] == "wsgi"):
            for asgi in (stack for stack in here if interface[stack] == "asgi"):
                arms = by_cell[wsgi, scenario, load], by_cell[asgi, scenario, load]
                found += [_compare(*arms, metric, session.plan.blocks) for metric in compared_of(load)]
    return tuple(found)


def comparison_frame(found: Iterable[Comparison]) -> pd.DataFrame:
    """Give comparisons as a table."""
    rows = []
    for each in found:
        row = _plain(each, ("scenario", "load", "metric", "wsgi", "asgi", "reason", "blocks"))
        row["wsgi_value"] = each.wsgi_value.value if each.wsgi_value else None
        row["asgi_value"] = each.asgi_value.value if each.asgi_value else None
        row["ratio"] = each.ratio.value if each.ratio else None
        row |= _plain(each.ratio, _ESTIMATE) if each.ratio else {"low": None, "high": None, "few": True, "method": ""}
        row["warnings"] = "; ".join(each.warnings)
        rows.append(row)
    return _frame("comparisons", rows)


def column_frame() -> pd.DataFrame:
    """Give the meaning of every column of every table."""
    rows = [
        {"table": table, "column": column, "meaning": meaning}
        for table, columns in COLUMNS.items()
        for column, meaning in columns.items()
    ]
    return pd.DataFrame(rows)


def metrics_of(load: str) -> tuple[str, ...]:
    """Name the metrics that mean something under a load."""
    return HELD if Load.parse(load).kind == "hold" else ANSWERED


def compared_of(load: str) -> tuple[str, ...]:
    """Name the metrics that tell stacks apart under a load: a rate that was given to both does not."""
    given = ("rate_rps",) if Load.parse(load).kind in ("open", "poisson") else ()
    return tuple(metric for metric in metrics_of(load) if metric not in given)


def figure(run: Run, metric: str) -> float | str:
    """Give a trial's figure, or in words why it has none that may be compared."""
    if run.status != "ok":
        return f"{run.status}: {run.reason or 'no reason was given'}"
    if metric.startswith("response_"):
        if run.overloaded:
            return "overloaded: response times are lower bounds"
        if run.response is not None and metric == "response_p99_s" and run.response.total < samples_needed(0.99):
            return f"{run.response.total} responses, fewer than the {samples_needed(0.99)} that p99 needs"
    value = metrics.read(metric, run)
    return "not measured" if value is None else float(value)


def block_values(session: Session, stack: str, scenario: str, load: str, metric: str) -> dict[int, float]:
    """Give the valid figures of a cell by block."""
    made = _by_cell(session).get((stack, scenario, load), [])
    return _values(made, metric)


def _by_cell(session: Session) -> dict[tuple[str, str, str], list[Run]]:
    """Group runs by (stack, scenario, load): measures and stacks in the plan's order, blocks rising."""
    measures = {(each.scenario, str(each.load)): place for place, each in enumerate(session.plan.measures)}
    stacks = {stack: place for place, stack in enumerate(session.plan.stacks)}

    def place(run: Run) -> tuple[object, ...]:
        measure = measures.get((run.scenario, run.load), len(measures))
        return measure, run.scenario, run.load, stacks.get(run.stack, len(stacks)), run.stack, run.block

    grouped: dict[tuple[str, str, str], list[Run]] = {}
    for run in sorted(session.runs, key=place):
        grouped.setdefault((run.stack, run.scenario, run.load), []).append(run)
    return grouped


def _values(made: Sequence[Run], metric: str) -> dict[int, float]:
    """Give a metric's figures by block.

    Whether a response time has a figure hangs on how fast the block was: the fast ones alone would mislead, so either
    every valid trial has one or none is shown.
    """
    found = {run.block: figure(run, metric) for run in made}
    if metric.startswith("response_") and any(
        isinstance(found[run.block], str) for run in made if run.status == "ok"
    ):
        return {}
    return {block: value for block, value in found.items() if isinstance(value, float)}


def _estimate(made: Sequence[Run], metric: str) -> Estimate | None:
    values = _values(made, metric)
    return median_interval(list(values.values())) if values else None


def _compare(wsgi: Sequence[Run], asgi: Sequence[Run], metric: str, planned: int) -> Comparison:
    ours, theirs = _values(asgi, metric), _values(wsgi, metric)
    unlike = metric == "pss_bytes" and _kept_differ(wsgi, asgi)
    blocks = [] if unlike else sorted(ours.keys() & theirs.keys())
    estimate = ratio([(theirs[block], ours[block]) for block in blocks])
    reason = UNLIKE if unlike else _no_ratio(wsgi, asgi, metric, len(blocks)) if estimate is None else None
    warnings = [f"{made[0].stack}: {text}" for made in (wsgi, asgi) for text in _warnings(made)]
    if blocks and len(blocks) < planned:
        gaps = [f"{made[0].stack}: {text}" for made in (wsgi, asgi) for text in _reasons(made, metric)]
        warnings.insert(
            0, f"{len(blocks)} of {planned} blocks have a valid pair" + "".join(f"; {gap}" for gap in gaps)
        )
    return Comparison(
        scenario=wsgi[0].scenario,
        load=wsgi[0].load,
        metric=metric,
        wsgi=wsgi[0].stack,
        asgi=asgi[0].stack,
        wsgi_value=_estimate(wsgi, metric),
        asgi_value=_estimate(asgi, metric),
        ratio=estimate,
        blocks=len(blocks),
        wsgi_at_limit=_at_limit(wsgi, metric),
        asgi_at_limit=_at_limit(asgi, metric),
        reason=reason,
        warnings=tuple(warnings),
    )


def _kept_differ(wsgi: Sequence[Run], asgi: Sequence[Run]) -> bool:
    """Tell whether two stacks kept different numbers of connections, by more than one in a hundred."""
    kept = [_estimate(made, "connections") for made in (wsgi, asgi)]
    values = sorted(each.value for each in kept if each is not None)
    return len(values) == 2 and values[0] < 0.99 * values[1]


def _at_limit(made: Sequence[Run], metric: str) -> bool:
    return metric == "connections" and any(
        run.status == "ok" and run.connections_kept is not None and run.connections_kept == run.connections_offered
        for run in made
    )


def _no_ratio(wsgi: Sequence[Run], asgi: Sequence[Run], metric: str, blocks: int) -> str:
    if blocks > 1:
        return "a figure of zero has no ratio"
    gaps = [f"{made[0].stack}: {text}" for made in (wsgi, asgi) for text in _reasons(made, metric)]
    if metric.startswith("response_") and not blocks:
        return "; ".join(["not every valid trial has this figure", *gaps])
    start = "no block has a valid trial of both" if not blocks else "one block has a valid trial of both, no spread"
    return "; ".join([start, *gaps])


def _reasons(made: Sequence[Run], metric: str) -> list[str]:
    """Say why trials of a cell gave no figure, with their blocks; like reasons together."""
    found = [(figure(run, metric), run.block) for run in made]
    return _alike([(value, block) for value, block in found if isinstance(value, str)], len(made))


def _warnings(made: Sequence[Run]) -> list[str]:
    return _alike([(text, run.block) for run in made if run.status == "ok" for text in run.warnings], len(made))


def _alike(found: Sequence[tuple[str, int]], trials: int) -> list[str]:
    """Join texts that differ in their figures only: the first, with the blocks of all."""
    groups: dict[str, list[tuple[str, int]]] = {}
    for text, block in found:
        groups.setdefault(re.sub(r"[0-9]+([.,][0-9]+)*", "#", text), []).append((text, block))
    said = []
    for group in groups.values():
        blocks = dict.fromkeys(block for _, block in group)
        where = (
            "all blocks"
            if len(blocks) == trials > 1
            else f"block{'s' * (len(blocks) > 1)} {', '.join(map(str, blocks))}"
        )
        alike = ", or alike" if len({text for text, _ in group}) > 1 else ""
        said.append(f"{group[0][0]}{alike} ({where})")
    return said


def _run_row(run: Run) -> dict[str, Any]:
    row = {name: metrics.read(name, run) if name in metrics.TABLE else getattr(run, name) for name in COLUMNS["runs"]}
    row["warnings"] = "; ".join(run.warnings)
    return row


def _plain(record: object, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def _frame(table: str, rows: Iterable[Mapping[str, Any]] | Iterator[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(COLUMNS[table]))
