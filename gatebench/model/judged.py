"""What is judged: metrics, estimates with their intervals, comparisons, claims and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gatebench.model.declared import AnyInterface
from gatebench.model.planned import LoadKind

GateWord = Literal["pass", "fail", "unsure"]


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
    """The ratio of an ASGI stack to a WSGI stack on one scenario, load and metric, over a part's blocks."""

    part: str  # of the plan
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
class Point:
    """One load of a sweep."""

    size: int  # users, or arrivals a second
    comparison: Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One pair on one metric over loads of one kind, by rising size: where ASGI's gain begins and ends."""

    part: str
    scenario: str
    metric: str
    wsgi: str  # stack
    asgi: str  # stack
    points: tuple[Point, ...]  # every size measured, also those without a ratio
    gains_from: int | None  # the smallest size from which on the gain is evident at every measured one
    gains_to: int | None  # the largest size of those; None where there is no gains_from
    loses_at: tuple[int, ...]  # where WSGI's gain is evident
    why: str
    kind: LoadKind = "closed"
    not_yet_at: int | None = None  # the largest size below gains_from with a ratio: there the gain is not evident


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One step of a ladder: what a layer adds."""

    name: str
    stacks: tuple[str, str | None]  # with the layer, and without it; None where it is the first
    cost_us: Estimate | None  # CPU, µs a request; below 0 where the layer saves some
    note: str
    blocks: Mapping[int, float] = field(default_factory=dict)  # block -> what the layer adds in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Where the CPU time of a request goes on one scenario; the rungs sum to the total."""

    part: str
    scenario: str
    load: str
    stack: str  # the one whose cost is the whole; of swaps the one with both
    side: str  # "wsgi", "asgi", or "swaps": from the one framework and server to the other
    why: str  # how steps and total were made, or why there are none
    rungs: tuple[Rung, ...] = ()
    total_us: Estimate | None = None
    blocks: Mapping[int, float] = field(default_factory=dict)  # block -> the total in it
    corners: tuple[Rung, ...] = ()  # of swaps: what each of the four stacks cost as measured
    shares: tuple[Rung, ...] = ()  # of swaps: what each swap is given of the total, averaged over both orders


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One stack on one scenario, load and metric, over a part's blocks."""

    part: str
    stack: str
    interface: AnyInterface
    scenario: str
    load: str
    metric: str
    estimate: Estimate | None
    trials: int
    valid: int  # of the trials
    reasons: str  # why trials gave no figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One row of the published comparison, and what settles it."""

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
    how: str | None = None  # which judge settles it; None: none
    parts: tuple[str, ...] = ()  # of plans, whose trials settle it: the better evidence first
    also: tuple[str, ...] = ()  # parts that bear on it with the published pair's like alone
    scenarios: tuple[str, ...] = ()  # of those parts; none named: all of them
    load: str | None = None  # kind of load, "closed" or "hold"; None: whatever the part has
    metric: str | None = None
    names: tuple[str, ...] = ()  # of the apps, servers, bridges or stacks that it is about
    protocols: tuple[str, ...] = ()  # entries of gatebench.protocols, any of which will do
    stars: int | None = None  # as published, out of five
    defined: tuple[str, ...] = ()  # the interfaces whose specification has the capability
    limit: int | None = None  # concurrent requests up to which, or from which on, a rule is said to hold
    said: str | None = None  # of a fact, by us
    see: str | None = None  # the row, or the one row of the table, whose verdict it follows
    near: str | None = None  # the measured row that comes nearest to an opinion

    @property
    def name(self) -> str:
        """Its place in the comparison: "performance.simple"."""
        return f"{self.table}.{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is said of a claim: a word, and why."""

    claim: Claim
    word: str  # one of those in docs/method.md
    why: str
    comparison: Comparison | None = None  # what it rests on, where that is one ratio
    wsgi: str = ""  # what was measured on this side, in words, where it rests on anything else
    asgi: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a gate found of one metric on one scenario and load."""

    scenario: str
    load: str
    metric: str
    margin: float  # share by which it may get worse
    word: GateWord
    change: Estimate | None  # head / base, with the interval of the look that decided; None where there is none
    base: Estimate | None  # its own figure over the blocks that were paired
    head: Estimate | None
    p_worse: float | None  # of what was seen, were it no worse than the margin; Holm's, over all findings of the gate
    blocks: int  # in which both arms have a figure
    needed: int | None = None  # blocks that would decide it, by today's spread; None where no number is known
    reason: str | None = None  # why it is unsure


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a gate says: a word, one sentence, and what they rest on."""

    word: GateWord
    sentence: str  # what was found, by how much, how sure, and what to do where it is unsure
    base: str  # the arms, in words
    head: str
    findings: tuple[Finding, ...]  # the leading metric first
    confirmation: tuple[Finding, ...] = ()  # of fresh blocks, where a fail was to be confirmed
    again: tuple[Finding, ...] = ()  # the base beside itself: nothing should be found
    smallest: Mapping[str, float] = field(default_factory=dict)  # metric -> smallest change that could be told here
    look: int | None = None  # which of the looks decided, from 1; None where there were none
    looks: int = 0  # how many were declared
    blocks: int = 0  # that were measured
    void: Mapping[str, int] = field(default_factory=dict)  # why trials gave nothing -> how many
    left_out: Mapping[str, str] = field(default_factory=dict)  # metric, and where -> why it was not judged
    broken: str | None = None  # which arm broke under load, and how often: what is left of it is no fair sample
    warnings: tuple[str, ...] = ()
