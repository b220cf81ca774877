"""One section a scenario: its figures, what each stack reached, and the factors between stacks.

Knows sessions, tables and figures. Must not know claims' verdicts nor how a page looks.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pandas as pd
from markupsafe import Markup

from gatebench import tables
from gatebench.metrics import TABLE, TIMES
from gatebench.model import AnyInterface, Claim, Comparison, Estimate, Load, Session
from gatebench.report import figures
from gatebench.report.published import Shown, bounded, shown
from gatebench.stats import inverse

DRAWN = ("rate_rps", "connections", "cpu_us_per_request")  # each stack's own figures that are drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A row of what stacks reached: one figure a metric."""

    name: str
    figures: tuple[Shown, ...]
    trials: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A metric of the comparison of two stacks."""

    metric: str
    wsgi: Shown
    asgi: Shown
    factor: Shown
    few: bool
    better: str  # who, as far as the interval tells
    blocks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The comparison of two stacks."""

    wsgi: str
    asgi: str
    factors: tuple[Factor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure with its caption."""

    svg: Markup
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One scenario under one load."""

    load: str
    means: str
    metrics: tuple[str, ...]
    stacks: tuple[Stack, ...]
    pairs: tuple[Pair, ...]
    pictures: tuple[Picture, ...]
    notes: tuple[tuple[str, str], ...]  # what they are about, and what is to bear in mind


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One scenario."""

    name: str
    title: str
    parts: tuple[Part, ...]


def sections(session: Session, found: Sequence[Comparison], claims: Sequence[Claim]) -> tuple[Section, ...]:
    """Give the sections, in the plan's order."""
    cells = tables.cells(session)
    parts: dict[str, list[Part]] = {}
    for scenario, load in dict.fromkeys(zip(cells["scenario"], cells["load"], strict=True)):
        here = cells[(cells["scenario"] == scenario) & (cells["load"] == load)]
        compared = [each for each in found if (each.scenario, each.load) == (scenario, load)]
        name = f"fig-{len(parts) - (scenario in parts)}-{len(parts.get(scenario, ()))}"
        parts.setdefault(scenario, []).append(_part(session, here, compared, claims, name))
    return tuple(
        Section(name=scenario, title=session.scenarios.get(scenario, ""), parts=tuple(made))
        for scenario, made in parts.items()
    )


def _part(
    session: Session, here: pd.DataFrame, compared: Sequence[Comparison], claims: Sequence[Claim], name: str
) -> Part:
    load = str(here["load"].iloc[0])
    return Part(
        load=load,
        means=_means(Load.parse(load)),
        metrics=tuple(TABLE[metric][0].title for metric in here["metric"].unique()),
        stacks=tuple(_stack(str(stack), rows) for stack, rows in here.groupby("stack", sort=False)),
        pairs=tuple(
            Pair(wsgi=wsgi, asgi=asgi, factors=tuple(map(_factor, pair)))
            for (wsgi, asgi), pair in groupby(compared, key=lambda each: (each.wsgi, each.asgi))
        ),
        pictures=tuple(_pictures(session, here, compared, claims, name)),
        notes=(*_notes(here), *_unlike(compared)),
    )


def _means(load: Load) -> str:
    if load.kind == "hold":
        return f"{load.size:,} connections are offered; how many are opened and kept is counted."
    if load.kind == "search":
        return f"the highest rate of arrivals whose p99 stays below {load.size:,} ms, confirmed by a second window."
    if load.paced:
        how = (
            "at even distances" if load.kind == "open" else "at random, as many users who know nothing of each other"
        )
        return f"{load.size:,} requests a second {how}, sent however slow the answers are."
    return f"{load.size:,} users, each of whom sends the next request when the last one has been answered."


def _stack(name: str, rows: pd.DataFrame) -> Stack:
    records = rows.to_dict("records")
    figures_ = tuple(shown(_estimate(row), TABLE[row["metric"]][0].unit) for row in records)
    trials, void = records[0]["trials"], records[0]["void"]
    return Stack(name=name, figures=figures_, trials=f"{trials - void} of {trials}")


def _estimate(row: Mapping[Hashable, Any]) -> Estimate | None:
    """Read an estimate back from a row of the table of cells."""
    value, low, high = (None if pd.isna(row[name]) else float(row[name]) for name in ("value", "low", "high"))
    if value is None:
        return None
    return Estimate(value=value, low=low, high=high, blocks=row["blocks"], method=row["method"], few=row["few"])


def favour(comparison: Comparison) -> Estimate | None:
    """Turn ASGI / WSGI into how many times better ASGI is, whichever way the metric is better."""
    if comparison.ratio is None or TABLE[comparison.metric][0].better == "higher":
        return comparison.ratio
    return inverse(comparison.ratio)


def _factor(comparison: Comparison) -> Factor:
    metric, estimate = TABLE[comparison.metric][0], favour(comparison)
    return Factor(
        metric=metric.title,
        wsgi=shown(comparison.wsgi_value, metric.unit),
        asgi=shown(comparison.asgi_value, metric.unit),
        factor=bounded(shown(estimate, TIMES), comparison),
        few=estimate is not None and estimate.few,
        better=_better(estimate),
        blocks=comparison.blocks,
    )


def _better(estimate: Estimate | None) -> str:
    if estimate is None:
        return "—"
    if (estimate.low or 0) > 1:
        return "ASGI"
    return "WSGI" if (estimate.high or math.inf) < 1 else "not told apart"


def _pictures(
    session: Session, here: pd.DataFrame, compared: Sequence[Comparison], claims: Sequence[Claim], name: str
) -> Iterator[Picture]:
    scenario, load = str(here["scenario"].iloc[0]), str(here["load"].iloc[0])
    what = f"{scenario}, {load}"
    groups = _groups(session, compared, claims)
    if groups:
        dashed = " The dashed line is the published factor." if any(group.published for group in groups) else ""
        caption = f"{what}: how many times better ASGI is. Line: 95 % interval; dots: blocks.{dashed}"
        yield Picture(svg=figures.factors(f"{name}-factors", groups, caption), caption=caption)
    for metric in (TABLE[each][0] for each in DRAWN if each in tables.compared_of(load)):
        lines = [
            figures.Line(
                label=row["stack"],
                estimate=estimate,
                blocks=tables.block_values(session, row["stack"], scenario, load, metric.name),
                interface=_interface(session, row["stack"]),
            )
            for row in here[here["metric"] == metric.name].to_dict("records")
            if (estimate := _estimate(row)) is not None
        ]
        if lines:
            caption = (
                f"{what}: {metric.title[0].lower()}{metric.title[1:]}, each stack. Line: 95 % interval; dots: blocks."
            )
            drawn = figures.values(f"{name}-{metric.name}", lines, metric.unit, caption)
            yield Picture(svg=drawn, caption=caption)


def _interface(session: Session, stack: str) -> AnyInterface:
    return next(run.interface for run in session.runs if run.stack == stack)


def _groups(session: Session, compared: Sequence[Comparison], claims: Sequence[Claim]) -> list[figures.Group]:
    pairs = list(dict.fromkeys((each.wsgi, each.asgi) for each in compared))
    groups: dict[str, list[figures.Line]] = {}
    for each in compared:
        estimate = favour(each)
        if estimate is not None:
            line = figures.Line(
                label=f"{each.asgi} against {each.wsgi}",
                estimate=estimate,
                blocks=_block_factors(session, each),
                series=pairs.index((each.wsgi, each.asgi)),
            )
            groups.setdefault(each.metric, []).append(line)
    return [
        figures.Group(title=TABLE[metric][0].title, lines=lines, published=_published(metric, compared[0], claims))
        for metric, lines in groups.items()
    ]


def _block_factors(session: Session, each: Comparison) -> dict[int, float]:
    wsgi, asgi = (
        tables.block_values(session, stack, each.scenario, each.load, each.metric) for stack in (each.wsgi, each.asgi)
    )
    higher = TABLE[each.metric][0].better == "higher"
    both = sorted(wsgi.keys() & asgi.keys())
    return {block: asgi[block] / wsgi[block] if higher else wsgi[block] / asgi[block] for block in both}


def _published(metric: str, like: Comparison, claims: Sequence[Claim]) -> float | None:
    kind = Load.parse(like.load).kind
    return next(
        (each.factor for each in claims if (each.scenario, each.load, each.metric) == (like.scenario, kind, metric)),
        None,
    )


def _notes(here: pd.DataFrame) -> list[tuple[str, str]]:
    """Join what is to bear in mind: each remark once a stack, with the metrics it is about unless it is all."""
    about: dict[tuple[str, str], list[str]] = {}
    for row in here.itertuples():
        for text in (row.reasons, row.warnings):
            if text:
                about.setdefault((str(row.stack), str(text)), []).append(TABLE[str(row.metric)][0].title)
    metrics = here["metric"].nunique()
    return [
        (stack if len(titles) == metrics else f"{stack}: {'; '.join(titles)}", text)
        for (stack, text), titles in about.items()
    ]


def _unlike(compared: Sequence[Comparison]) -> Iterator[tuple[str, str]]:
    for each in compared:
        if each.reason == tables.UNLIKE:
            yield f"{each.asgi} against {each.wsgi}: {TABLE[each.metric][0].title}", each.reason
