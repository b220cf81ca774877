"""One section a scenario, or a part of the plan: its figures, what each stack reached, the factors between stacks.

Knows sessions, tables, figures, and which pairs verdicts rest on. Must not know their words, nor how a page looks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import pandas as pd
from markupsafe import Markup

from gatebench import tables
from gatebench.claims.evidence import about, estimate_of, in_parts
from gatebench.metrics import TABLE, TIMES
from gatebench.model import AnyInterface, Claim, Comparison, Estimate, Ladder, Load, Session, Sweep, Verdict
from gatebench.report import figures, grids
from gatebench.report.grids import Grid
from gatebench.report.published import Shown, bounded, shown
from gatebench.sweeps import gain

DRAWN = ("rate_rps", "connections", "cpu_us_per_request")  # each stack's own figures that are drawn
FACTORS_DRAWN = (*DRAWN, "response_p50_s", "response_p99_s", "pss_bytes")
# What the page tells of each stack; all else is in the tables beside it. What nobody has is a dash in USUAL alone.
USUAL = (
    "rate_rps",
    "response_p50_s",
    "response_p99_s",
    "cpu_us_per_request",
    "connections",
    "pss_bytes",
    "group_memory_bytes",
)
TOLD = (
    *USUAL,
    "cpu_share",
    "served_at_once",
    "late",
    "refused",
    "timed_out",
    "pss_per_connection_bytes",
    "threads",
    "switches_per_request",
    "connect_rest_p50_s",
    "connect_load_p50_s",
    "connect_load_p99_s",
)
KNOCKED = " Beside it fresh connections are opened; those answered count among the requests that CPU is divided by."
PICTURES = 40  # on a page, at most
PICTURES_EACH = 1 + len(DRAWN)  # of one scenario under one load, at most


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
    """One scenario; or one part of the plan, where it has several."""

    name: str
    title: str
    parts: tuple[Part, ...]
    grids: tuple[Grid, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that sections are made of."""

    session: Session
    comparisons: Sequence[Comparison]
    claims: Sequence[Claim]
    verdicts: Sequence[Verdict]
    sweeps: Sequence[Sweep]
    ladders: Sequence[Ladder]


def sections(found: Found) -> tuple[Section, ...]:
    """Give the sections, in the plan's order: one a scenario, or one a part of the plan where it has several."""
    parts, cells = found.session.plan.parts, tables.cells(found.session)
    if len(parts) == 1:
        return tuple(_of_scenarios(found, cells))
    made, pictures = [], 0
    for place, part in enumerate(parts):
        here = cells[cells["part"] == part.name]
        swept = grids.swept(here)
        measures = [
            (scenario, load)
            for scenario, load in dict.fromkeys(zip(here["scenario"], here["load"], strict=True))
            if (scenario, Load.parse(load).kind) not in swept
        ]
        drawn = pictures + PICTURES_EACH * len(measures) <= PICTURES
        blocks = [
            _part(found, here, scenario, load, f"fig-{place}-{number}" if drawn else None)
            for number, (scenario, load) in enumerate(measures)
        ]
        pictures += sum(len(block.pictures) for block in blocks)
        tabled = (
            *grids.of_protocols(found.session, part.name),
            *grids.of_ladders(found.ladders, part.name),
            *grids.of_sweeps(here, [each for each in found.sweeps if each.part == part.name]),
        )
        made.append(Section(name=part.name, title=part.title, parts=tuple(blocks), grids=tabled))
    return tuple(section for section in made if section.parts or section.grids)


def _of_scenarios(found: Found, cells: pd.DataFrame) -> Iterator[Section]:
    [part] = found.session.plan.parts
    measures = dict.fromkeys(zip(cells["scenario"], cells["load"], strict=True))
    for place, scenario in enumerate(dict.fromkeys(scenario for scenario, _ in measures)):
        loads = [load for of, load in measures if of == scenario]
        blocks = [
            _part(found, cells, scenario, load, f"fig-{place}-{number}" if place < PICTURES else None)
            for number, load in enumerate(loads)
        ]
        yield Section(name=scenario, title=found.session.scenarios.get(scenario, ""), parts=tuple(blocks))
    yield from (
        Section(name=part.name, title=part.title, parts=(), grids=(grid,))
        for grid in grids.of_protocols(found.session, part.name)
    )


def _part(found: Found, cells: pd.DataFrame, scenario: str, load: str, name: str | None) -> Part:
    """Give one scenario under one load; without pictures where they have no name."""
    here = cells[(cells["scenario"] == scenario) & (cells["load"] == load)]
    part = str(here["part"].iloc[0])
    compared = [each for each in found.comparisons if (each.part, each.scenario, each.load) == (part, scenario, load)]
    has_figure = here.groupby("metric")["value"].transform("count") > 0
    here = here[here["metric"].isin(USUAL) | (here["metric"].isin(TOLD) & has_figure)]
    named = _named(found, compared)
    told = set(here["metric"])
    return Part(
        load=load if len(found.session.plan.parts) == 1 else f"{scenario}, {load}",
        means=_means(Load.parse(load)) + (KNOCKED if _knocked(found.session, part) else ""),
        metrics=tuple(TABLE[metric][0].title for metric in here["metric"].unique()),
        stacks=tuple(_stack(str(stack), rows) for stack, rows in here.groupby("stack", sort=False)),
        pairs=tuple(
            Pair(wsgi=wsgi, asgi=asgi, factors=tuple(_factor(each) for each in pair if each.metric in told))
            for (wsgi, asgi), pair in groupby(named, key=lambda each: (each.wsgi, each.asgi))
        ),
        pictures=tuple(_pictures(found, here, named, name)) if name else (),
        notes=(*_notes(here), *_unlike(compared)),
    )


def _knocked(session: Session, part: str) -> bool:
    return any(each.name == part and each.knock for each in session.plan.parts)


def _named(found: Found, compared: Sequence[Comparison]) -> list[Comparison]:
    """Keep the pairs that a verdict rests on, and the first; a plan of one part has few enough for all."""
    if len(found.session.plan.parts) == 1 or not compared:
        return list(compared)
    of = compared[0].part
    pairs = {(each.wsgi, each.asgi) for verdict in found.verdicts if (each := verdict.comparison) and each.part == of}
    pairs.add((compared[0].wsgi, compared[0].asgi))
    return [each for each in compared if (each.wsgi, each.asgi) in pairs]


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
    if load.streamed:
        return f"{load.size:,} requests at a time over TLS, in the version of HTTP that the load's name has."
    return f"{load.size:,} users, each of whom sends the next request when the last one has been answered."


def _stack(name: str, rows: pd.DataFrame) -> Stack:
    records = rows.to_dict("records")
    figures_ = tuple(shown(estimate_of(row), TABLE[row["metric"]][0].unit) for row in records)
    trials, void = records[0]["trials"], records[0]["void"]
    return Stack(name=name, figures=figures_, trials=f"{trials - void} of {trials}")


def _factor(comparison: Comparison) -> Factor:
    metric, estimate = TABLE[comparison.metric][0], gain(comparison)
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


def _pictures(found: Found, here: pd.DataFrame, compared: Sequence[Comparison], name: str) -> Iterator[Picture]:
    session = found.session
    part, scenario, load = (str(here[column].iloc[0]) for column in ("part", "scenario", "load"))
    what = f"{scenario}, {load}"
    groups = _groups(session, compared, found.claims)
    if groups:
        dashed = " The dashed line is the published factor." if any(group.published for group in groups) else ""
        caption = f"{what}: how many times better ASGI is. Line: 95 % interval; dots: blocks.{dashed}"
        yield Picture(svg=figures.factors(f"{name}-factors", groups, caption), caption=caption)
    for metric in (TABLE[each][0] for each in DRAWN if each in tables.compared_of(load)):
        lines = [
            figures.Line(
                label=row["stack"],
                estimate=estimate,
                blocks=tables.block_values(session, row["stack"], scenario, load, metric.name, part=part),
                interface=_interface(session, row["stack"]),
            )
            for row in here[here["metric"] == metric.name].to_dict("records")
            if (estimate := estimate_of(row)) is not None
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
        estimate = gain(each)
        if estimate is not None and each.metric in FACTORS_DRAWN:
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
        tables.block_values(session, stack, each.scenario, each.load, each.metric, part=each.part)
        for stack in (each.wsgi, each.asgi)
    )
    higher = TABLE[each.metric][0].better == "higher"
    both = sorted(wsgi.keys() & asgi.keys())
    return {block: asgi[block] / wsgi[block] if higher else wsgi[block] / asgi[block] for block in both}


def _published(metric: str, like: Comparison, claims: Sequence[Claim]) -> float | None:
    return next(
        (
            each.factor
            for each in claims
            if each.metric == metric
            and each.factor
            and in_parts(each, like.part)
            and about(each, replace(like, metric=metric))
        ),
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
        if each.reason == tables.UNLIKE and each.metric in TOLD:
            yield f"{each.asgi} against {each.wsgi}: {TABLE[each.metric][0].title}", each.reason
