"""The ledger: the published tables, row for row, with what was measured, the verdict and where its evidence is.

Knows verdicts and how to put figures in words. Must not know runs or how a page looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from gatebench.claims import SILENT, advantage, in_parts
from gatebench.metrics import TABLE, TIMES
from gatebench.model import Claim, Comparison, Estimate, Verdict
from gatebench.report.drawing import rows as drawing
from gatebench.report.found import Found
from gatebench.report.language import ENGLISH, Language
from gatebench.report.wording import Picture, Shown, bounded, shown, times
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
UNSAID = Shown(value="")
SPOKEN = "protocols"  # where on the page what was spoken is found


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one pair of stacks says of a row."""

    word: str  # in English: it names a style too
    why: str  # made by another room
    evidence: tuple[str, ...]  # anchors
    wsgi_stack: str = ""
    asgi_stack: str = ""
    wsgi: Shown = UNSAID
    asgi: Shown = UNSAID
    factor: Shown = UNSAID
    few: bool = False
    has_figure: bool = False
    wsgi_said: str = ""  # what was measured, in words, where it is no single figure; made by another room
    asgi_said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a published table."""

    claim: Claim
    label: str
    factor: str  # as published
    silent: bool  # whether it rests on no trial
    measured: tuple[Measured, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """A published table, its rows in their order."""

    name: str
    title: str
    figures: bool
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


def tables(found: Found, say: Language) -> tuple[PublishedTable, ...]:
    """Put verdicts back into the published tables."""
    by_claim: dict[Claim, list[Verdict]] = {}
    for verdict in found.verdicts:
        by_claim.setdefault(verdict.claim, []).append(verdict)
    names = dict.fromkeys(claim.table for claim in by_claim)
    return tuple(
        PublishedTable(
            name=name,
            title=say.told(TITLES.get(name, name)),
            figures=name in FIGURES,
            rows=tuple(_row(found, verdicts, say) for claim, verdicts in by_claim.items() if claim.table == name),
        )
        for name in names
    )


def tiles(ledger: Iterable[PublishedTable]) -> list[tuple[Row, Measured]]:
    """Give the rows with a published factor that were measured, each with the first pair that has a figure."""
    factors = (row for table in ledger if table.figures for row in table.rows if row.factor)
    return [(row, first) for row in factors if (first := next((e for e in row.measured if e.has_figure), None))]


def headline(ledger: Iterable[PublishedTable]) -> tuple[Headline, ...]:
    """Give the rows of the tables of figures, one line a pair of stacks."""
    return tuple(
        Headline(
            label=row.label,
            claimed=f"{row.claim.wsgi} : {row.claim.asgi}" + (f", {row.factor}" if row.claim.factor else ""),
            wsgi=each.wsgi_said or _joined(each.wsgi_stack, each.wsgi),
            asgi=each.asgi_said or _joined(each.asgi_stack, each.asgi),
            factor=_joined("", each.factor),
            verdict=each.word,
            measured=each.has_figure,
        )
        for table in ledger
        if table.figures
        for row in table.rows
        for each in row.measured
    )


def forest(found: Found, say: Language) -> Picture | None:
    """Draw the factors of the rows that have a published one: the interval, the blocks, and what was published."""
    first: dict[Claim, tuple[Comparison, Estimate]] = {}
    for verdict in found.verdicts:
        if verdict.claim.factor and verdict.comparison and (ratio := verdict.comparison.ratio):
            first.setdefault(verdict.claim, (verdict.comparison, advantage(verdict.claim, ratio)))
    if not first:
        return None
    pairs = list(dict.fromkeys(_pair(compared) for compared, _ in first.values()))
    groups = [
        drawing.Group(
            title=_label(claim, say),
            lines=[
                drawing.Line(
                    label=_pair(compared),
                    estimate=estimate,
                    blocks=_factors(found, compared, upside_down=claim.lower_is_better),
                    series=pairs.index(_pair(compared)),
                )
            ],
            published=claim.factor,
        )
        for claim, (compared, estimate) in first.items()
    ]
    caption = say("How many times better ASGI is. Line: 95 % interval; dots: blocks; dashed: the published factor.")
    return Picture(svg=drawing.factors("forest", groups, caption, say), caption=caption)


def _pair(compared: Comparison) -> str:
    return f"{compared.asgi} / {compared.wsgi}"


def _factors(found: Found, compared: Comparison, *, upside_down: bool) -> dict[int, float]:
    """Give the factor of each block in which both have a figure."""
    keys = ((compared.part, stack, compared.scenario, compared.load) for stack in (compared.wsgi, compared.asgi))
    wsgi, asgi = (found.cell(key).values(compared.metric) for key in keys)
    both = sorted(wsgi.keys() & asgi.keys())
    return {block: wsgi[block] / asgi[block] if upside_down else asgi[block] / wsgi[block] for block in both}


def _row(found: Found, verdicts: Sequence[Verdict], say: Language) -> Row:
    claim = verdicts[0].claim
    factor = "" if claim.factor is None else f"{'≥ ' * claim.at_least}{claim.factor:,g}{TIMES}"
    return Row(
        claim=claim,
        label=_label(claim, say),
        factor=factor,
        silent=verdicts[0].word in SILENT,
        measured=tuple(_measured(found, verdict, say) for verdict in verdicts),
    )


def _label(claim: Claim, say: Language) -> str:
    return claim.label if say.code == ENGLISH else claim.label_zh or say.told(claim.label)


def _measured(found: Found, verdict: Verdict, say: Language) -> Measured:
    comparison = verdict.comparison
    made = Measured(word=verdict.word, why=verdict.why, evidence=tuple(_evidence(found, verdict)))
    if comparison is None:
        return replace(made, wsgi_said=verdict.wsgi, asgi_said=verdict.asgi)
    unit = TABLE[comparison.metric][0].unit
    return replace(
        made,
        wsgi_stack=comparison.wsgi,
        asgi_stack=comparison.asgi,
        wsgi=shown(comparison.wsgi_value, unit, say),
        asgi=shown(comparison.asgi_value, unit, say),
        factor=_factor(verdict.claim, comparison, say),
        few=comparison.ratio is not None and comparison.ratio.few,
        has_figure=comparison.ratio is not None,
    )


def _factor(claim: Claim, comparison: Comparison, say: Language) -> Shown:
    if comparison.ratio is None:
        return Shown(value="—")
    # Where no factor was published, whichever way the metric is better is the better one.
    better: Estimate | None = gain(comparison) if claim.factor is None else advantage(claim, comparison.ratio)
    return bounded(times(better, say), comparison)


def _evidence(found: Found, verdict: Verdict) -> Iterator[str]:
    """Name where on the page the trials are that a verdict rests on: its two cells, else the first of its row's."""
    each, claim = verdict.comparison, verdict.claim
    if each is not None:
        for stack in (each.wsgi, each.asgi):
            if (anchor := found.anchors.get((each.part, stack, each.scenario, each.load))) is not None:
                yield anchor
    elif claim.protocols and any(run.capabilities for run in found.session.runs):
        yield SPOKEN
    elif verdict.word not in SILENT:
        cells = [cell.key for cell in found.cells if in_parts(claim, cell.key.part)]
        named = [key for key in cells if key.stack in f"{verdict.wsgi} {verdict.asgi} {verdict.why}"]
        scenarios = [key for key in named or cells if not claim.scenarios or key.scenario in claim.scenarios]
        yield from (found.anchors[tuple(key)] for key in (scenarios or cells)[:1])


def _joined(stack: str, figure: Shown) -> str:
    return "\n".join(text for text in (stack, figure.value, figure.interval) if text)
