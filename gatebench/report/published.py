"""The published tables with what was measured beside each row: for the page's first section and for the terminal.

Knows verdicts and how to put figures in words. Must not know runs or how a page looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gatebench.claims import SILENT, advantage
from gatebench.metrics import TABLE, TIMES, show
from gatebench.model import Claim, Comparison, Estimate, Verdict
from gatebench.sweeps import gain

FIGURES = ("performance", "connections_10000")  # the tables of figures and factors; the others are of words
TITLES = {
    "performance": "Performance",
    "connections_10000": "10,000 concurrent connections",
    "protocols": "Protocols",
    "frameworks": "Frameworks",
    "framework_facts": "Frameworks: year and GitHub stars, as published about 2024",
    "servers": "Servers",
    "bridges": "Bridges",
    "overview": "Overview and core differences",
    "rules": "Rules of thumb",
    "drivers": "What replaces what in a migration",
    "mixed_deployment": "Both side by side, and shares of traffic",
    "advice": "Advice",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A figure in words, with its interval below."""

    value: str
    interval: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one pair of stacks says of a row."""

    word: str
    why: str
    wsgi_stack: str
    asgi_stack: str
    wsgi: Shown
    asgi: Shown
    factor: Shown
    few: bool
    has_figure: bool
    wsgi_said: str = ""  # what was measured, in words, where it is no single figure
    asgi_said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a published table."""

    claim: Claim
    factor: str  # as published
    measured: tuple[Measured, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """A published table, its rows in their order."""

    name: str
    title: str
    figures: bool
    told: bool  # whether any of its rows rests on a trial
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """One line of the table that ends a run in the terminal."""

    label: str
    claimed: str
    wsgi: str
    asgi: str
    factor: str
    verdict: str
    measured: bool  # whether there is a figure


def tables(verdicts: Sequence[Verdict]) -> tuple[PublishedTable, ...]:
    """Put verdicts back into the published tables."""
    by_claim: dict[Claim, list[Verdict]] = {}
    for verdict in verdicts:
        by_claim.setdefault(verdict.claim, []).append(verdict)
    names = dict.fromkeys(claim.table for claim in by_claim)
    made = {name: [found for claim, found in by_claim.items() if claim.table == name] for name in names}
    return tuple(
        PublishedTable(
            name=name,
            title=TITLES.get(name, name),
            figures=name in FIGURES,
            told=any(verdict.word not in SILENT for row in rows for verdict in row),
            rows=tuple(_row(found) for found in rows),
        )
        for name, rows in made.items()
    )


def headline(published: Iterable[PublishedTable]) -> tuple[Headline, ...]:
    """Give the rows of the tables of figures, one line a pair of stacks."""
    return tuple(
        Headline(
            label=row.claim.label,
            claimed=f"{row.claim.wsgi} : {row.claim.asgi}" + (f", {row.factor}" if row.claim.factor else ""),
            wsgi=each.wsgi_said or _joined(each.wsgi_stack, each.wsgi),
            asgi=each.asgi_said or _joined(each.asgi_stack, each.asgi),
            factor=_joined("", each.factor),
            verdict=each.word,
            measured=each.has_figure,
        )
        for table in published
        if table.figures
        for row in table.rows
        for each in row.measured
    )


def shown(estimate: Estimate | None, unit: str) -> Shown:
    """Put a figure and its interval in words."""
    if estimate is None:
        return Shown(value=show(None, unit))
    if estimate.low is None or estimate.high is None:
        return Shown(value=show(estimate.value, unit), interval="no interval")
    if estimate.low == estimate.high:
        return Shown(value=show(estimate.value, unit), interval="the same in all blocks")
    return Shown(
        value=show(estimate.value, unit), interval=f"{show(estimate.low, unit)} to {show(estimate.high, unit)}"
    )


def _row(verdicts: Sequence[Verdict]) -> Row:
    claim = verdicts[0].claim
    factor = "" if claim.factor is None else f"{'≥ ' * claim.at_least}{claim.factor:,g}{TIMES}"
    return Row(claim=claim, factor=factor, measured=tuple(map(_measured, verdicts)))


def _measured(verdict: Verdict) -> Measured:
    comparison = verdict.comparison
    if comparison is None:
        nothing = Shown(value="")
        return Measured(
            word=verdict.word,
            why=verdict.why,
            wsgi_stack="",
            asgi_stack="",
            wsgi=nothing,
            asgi=nothing,
            factor=nothing,
            few=False,
            has_figure=False,
            wsgi_said=verdict.wsgi,
            asgi_said=verdict.asgi,
        )
    unit = TABLE[comparison.metric][0].unit
    return Measured(
        word=verdict.word,
        why=verdict.why,
        wsgi_stack=comparison.wsgi,
        asgi_stack=comparison.asgi,
        wsgi=shown(comparison.wsgi_value, unit),
        asgi=shown(comparison.asgi_value, unit),
        factor=_factor(verdict.claim, comparison),
        few=comparison.ratio is not None and comparison.ratio.few,
        has_figure=comparison.ratio is not None,
    )


def _factor(claim: Claim, comparison: Comparison) -> Shown:
    if comparison.ratio is None:
        return Shown(value="—")
    # Where no factor was published, whichever way the metric is better is the better one.
    better = gain(comparison) if claim.factor is None else advantage(claim, comparison.ratio)
    return bounded(shown(better, TIMES), comparison)


def bounded(factor: Shown, comparison: Comparison) -> Shown:
    """Mark a factor of connections as a bound, where one side kept all that were offered."""
    if comparison.ratio is None or comparison.asgi_at_limit == comparison.wsgi_at_limit:
        return factor
    return replace(factor, value=f"{'≥' if comparison.asgi_at_limit else '≤'} {factor.value}")


def _joined(stack: str, figure: Shown) -> str:
    return "\n".join(text for text in (stack, figure.value, figure.interval) if text)
