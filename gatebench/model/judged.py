"""What is judged: metrics, estimates with their intervals, comparisons, claims and verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A quantity that is compared: one entry of gatebench.metrics."""

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure with its interval; warnings travel beside the number."""

    value: float
    low: float | None
    high: float | None
    blocks: int
    method: str  # how value and interval were made
    few: bool = False  # fewer than six blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The ratio of an ASGI stack to a WSGI stack on one scenario, load and metric, over blocks."""

    scenario: str
    load: str
    metric: str
    wsgi: str  # stack
    asgi: str  # stack
    wsgi_value: Estimate | None
    asgi_value: Estimate | None
    ratio: Estimate | None  # ASGI / WSGI
    blocks: int = 0  # in which both have a valid figure
    wsgi_at_limit: bool = False  # kept all connections offered in some block: its figure is a lower bound
    asgi_at_limit: bool = False  # the same
    reason: str | None = None  # why there is no ratio
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One row of the published comparison."""

    table: str
    key: str
    kind: str
    label: str
    label_zh: str | None
    unit: str | None
    wsgi: str | None  # as published
    asgi: str | None
    factor: float | None  # None where none was published
    at_least: bool
    lower_is_better: bool
    scenario: str | None  # which measurement settles it; None: none yet
    load: str | None  # kind of load, "closed" or "hold"
    metric: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is said of a claim: a word, and why."""

    claim: Claim
    word: str  # confirmed, overstated, understated, reversed, undecided, not yet measured, not measurable, void
    why: str
    comparison: Comparison | None = None
