"""What a session has to say of claims: ratios, sweeps, cells and what was spoken; and which of it is about one row.

Knows sessions' tables. Must not know any verdict.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gatebench import tables
from gatebench.metrics import TABLE, show_interval
from gatebench.model import AnyInterface, Capability, Cell, Claim, Comparison, Estimate, Load, Session, Sweep

# The published pair, and what is most like it where it was not measured.
LIKES = (("flask+gunicorn-sync", "fastapi+uvicorn"), ("flask+gunicorn-gthread", "fastapi+uvicorn"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """What a stack said to a protocol, of those that were tried."""

    part: str
    stack: str
    interface: AnyInterface
    capability: Capability


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that verdicts rest on."""

    parts: frozenset[str] = frozenset()  # those that have trials
    comparisons: tuple[Comparison, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    cells: tuple[Cell, ...] = ()
    spoken: tuple[Spoken, ...] = ()


def gather(session: Session, comparisons: Sequence[Comparison], sweeps: Sequence[Sweep]) -> Evidence:
    """Take a session's evidence together."""
    only = session.plan.parts[0].name  # what a trial is of that names none
    return Evidence(
        parts=frozenset(run.part or only for run in session.runs),
        comparisons=tuple(comparisons),
        sweeps=tuple(sweeps),
        cells=tuple(cells_of(session, tables.cells(session))),
        spoken=tuple(
            Spoken(part=run.part or only, stack=run.stack, interface=run.interface, capability=each)
            for run in session.runs
            if run.status == "ok"
            for each in run.capabilities
        ),
    )


def cells_of(session: Session, frame: pd.DataFrame) -> Iterator[Cell]:
    """Read the table of cells back as values."""
    interfaces = {run.stack: run.interface for run in session.runs}
    for row in frame.to_dict("records"):
        yield Cell(
            part=row["part"],
            stack=row["stack"],
            interface=interfaces[row["stack"]],
            scenario=row["scenario"],
            load=row["load"],
            metric=row["metric"],
            estimate=estimate_of(row),
            trials=row["trials"],
            valid=row["trials"] - row["void"],
            reasons=row["reasons"],
        )


def estimate_of(row: Mapping[Hashable, Any]) -> Estimate | None:
    """Read an estimate back from a row of the table of cells."""
    value, low, high = (None if pd.isna(row[name]) else float(row[name]) for name in ("value", "low", "high"))
    if value is None:
        return None
    return Estimate(value=value, low=low, high=high, blocks=row["blocks"], method=row["method"], few=row["few"])


def in_parts(claim: Claim, part: str) -> bool:
    """Tell whether a part settles a row; a plan of one part of its own stands for the flagship."""
    return part in claim.parts or ("." not in part and "flagship" in claim.parts)


def about(claim: Claim, like: Comparison | Cell) -> bool:
    """Tell whether something measured is of a row's scenario, kind of load and metric."""
    return (
        (not claim.scenarios or like.scenario in claim.scenarios)
        and claim.load in (None, Load.parse(like.load).kind)
        and claim.metric in (None, like.metric)
    )


def compared(claim: Claim, evidence: Evidence) -> list[Comparison]:
    """Give the comparisons that settle a row: the better part first, the published pair or its like first in each.

    Of profiles, like is compared with like.
    """
    found = [
        each for each in evidence.comparisons if about(claim, each) and _profile(each.wsgi) == _profile(each.asgi)
    ]
    first = sorted((each for each in found if in_parts(claim, each.part)), key=lambda each: _part_place(claim, each))
    made: list[Comparison] = []
    for part in dict.fromkeys(each.part for each in first):
        made += _likes_first([each for each in first if each.part == part])
    for part in claim.also:
        made += _likes_first([each for each in found if each.part == part])[:1]
    return made


def pair_of(each: Comparison) -> tuple[str, ...]:
    """Say what a comparison is of, but for its metric."""
    return each.part, each.scenario, each.load, each.wsgi, each.asgi


def base(stack: str) -> str:
    """Give a stack's name without brackets and profile: "app+server"."""
    return re.split(r"[\[@]", stack)[0]


def _profile(stack: str) -> str:
    return stack.partition("@")[2]


def profile_of(stack: str) -> str:
    """Name a stack's profile."""
    return _profile(stack) or "matched"


def _part_place(claim: Claim, each: Comparison) -> int:
    return claim.parts.index(each.part) if each.part in claim.parts else claim.parts.index("flagship")


def _likes_first(found: Sequence[Comparison]) -> list[Comparison]:
    pairs = {(base(each.wsgi), base(each.asgi)) for each in found}
    first = next((like for like in LIKES if like in pairs), None)

    def place(each: Comparison) -> tuple[object, ...]:
        # "[" and "@" come after "+", so that the plainest of like stacks comes first.
        return (base(each.wsgi), base(each.asgi)) != first, _profile(each.wsgi), each.wsgi, each.asgi, each.load

    return sorted(found, key=place)


def above(one: Estimate | None, other: Estimate | None) -> bool:
    """Tell whether one figure lies evidently above another: their intervals do not overlap."""
    return one is not None and other is not None and (one.low or 0.0) > (other.high or math.inf)


def has_interval(estimate: Estimate | None) -> bool:
    """Tell whether a figure can be held against another: one block has no interval."""
    return estimate is not None and estimate.low is not None and estimate.high is not None


def said(estimate: Estimate | None, metric: str) -> str:
    """Put a figure and its interval in one line, with no digit that the interval does not support."""
    if estimate is None:
        return "—"
    value, interval = show_interval(estimate, TABLE[metric][0].unit)
    return f"{value} ({interval})" if interval else value


def joined(texts: Iterable[str]) -> str:
    """Join names as a list in a sentence; "none" where there are none."""
    found = list(dict.fromkeys(texts))
    return ", ".join(found) if found else "none"
