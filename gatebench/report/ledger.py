"""The ledger: the published tables, row for row, with what was measured, the verdict and where its evidence is.

Knows verdicts and how to put figures in words. Must not know runs or how a page looks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gatebench.claims import SILENT, advantage, in_parts
from gatebench.claims.ratios import PROFILES
from gatebench.metrics import TABLE, TIMES
from gatebench.model import Claim, Comparison, Estimate, Verdict
from gatebench.report.found import Found
from gatebench.report.grounds import Drawn, Link, links, settled
from gatebench.report.language import ENGLISH, Language, clauses
from gatebench.report.wording import Shown, bounded, load_said, shorter, shown
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
UNMEASURED = "not yet measured"
BRIEF = 170  # characters of a reason that stand in the table; the rest is folded away


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one pair of stacks says of a row."""

    word: str  # in English: it names a style too
    why: str  # made by another room
    brief: str  # of it what stands in the table
    rest: str  # and what is folded away
    evidence: tuple[Link, ...]
    load: str = ""
    part: str = ""
    wsgi_stack: str = ""
    asgi_stack: str = ""
    wsgi: Shown = UNSAID
    asgi: Shown = UNSAID
    factor: Shown = UNSAID
    few: bool = False
    has_figure: bool = False
    both_kept_all: bool = False  # of the connections that were offered, which hides the figure
    wsgi_said: str = ""  # what was measured, in words, where it is no single figure; made by another room
    asgi_said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a published table."""

    claim: Claim
    anchor: str
    label: str
    factor: str  # as published
    silent: bool  # whether it rests on no trial
    lacking: bool  # whether nothing of what settles it is in the session
    measured: tuple[Measured, ...]
    follows: Link | None  # the row whose verdict this one's is
    near: Link | None  # the measured row that comes nearest to an opinion

    @property
    def first(self) -> tuple[Measured, ...]:
        """What it shows: the published pair, the first with a figure where that is void, profiles that differ."""
        first = self.measured[0]
        figure = next((each for each in self.measured if each.has_figure), None)
        beside = [figure] if first.word == "void" and figure else []
        beside += [each for each in self.measured[1:] if first.word == "depends" and each.part == PROFILES]
        return first, *beside

    @property
    def others(self) -> tuple[Measured, ...]:
        """What the row folds away: all other pairs."""
        return tuple(each for each in self.measured if each not in self.first)

    @property
    def differing(self) -> tuple[tuple[str, int], ...]:
        """The words of the pairs folded away, and of how many each is; empty where all say what the first does."""
        words = Counter(each.word for each in self.others)
        return tuple(words.most_common()) if words.keys() - {self.measured[0].word} else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """A published table, its rows in their order."""

    name: str
    title: str
    figures: bool
    rows: tuple[Row, ...]
    commands: tuple[str, ...]  # which measure what its rows lack

    @property
    def lacking(self) -> int:
        """How many of its rows are not yet measured, for lack of the part that would."""
        return sum(row.lacking for row in self.rows)

    @property
    def folded(self) -> bool:
        """Whether it says nothing but what would measure it."""
        return self.lacking > 0 and all(row.silent for row in self.rows)

    @property
    def shared(self) -> str:
        """What is said of all its rows alike, where nothing was measured; empty where they differ."""
        reasons = {each.why for row in self.rows for each in row.measured}
        alike = len(reasons) == 1 and len(self.rows) > 1 and all(row.silent and not row.lacking for row in self.rows)
        return reasons.pop() if alike else ""

    @property
    def said(self) -> bool:
        """Whether anything was measured of it."""
        return any(each.wsgi_stack or each.wsgi_said or each.asgi_said for row in self.rows for each in row.measured)

    @property
    def evident(self) -> bool:
        """Whether any of its rows says where its evidence is."""
        return any(each.evidence for row in self.rows for each in row.measured)

    @property
    def claimed(self) -> bool:
        """Whether anything was published of it beside the rows' own words."""
        return any(row.claim.wsgi or row.claim.asgi for row in self.rows)

    @property
    def factors(self) -> bool:
        """Whether any of its rows has a measured factor."""
        return any(each.has_figure for row in self.rows for each in row.measured)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A row with a published factor at the head of the page."""

    row: Row
    first: Measured  # the row's first pair
    ends: tuple[str, str]  # the smallest and the largest factor of all pairs
    pairs: int  # with a figure
    tied: int  # pairs that kept all connections on both sides, which no factor tells
    wsgi: str  # the pair's stacks, without their settings
    asgi: str


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


def tables(found: Found, say: Language, drawn: Drawn) -> tuple[PublishedTable, ...]:
    """Put verdicts back into the published tables; `drawn` has the curves that they may rest on."""
    by_claim: dict[Claim, list[Verdict]] = {}
    for verdict in found.verdicts:
        by_claim.setdefault(verdict.claim, []).append(verdict)
    names = dict.fromkeys(claim.table for claim in by_claim)
    return tuple(
        _table(found, name, {claim: each for claim, each in by_claim.items() if claim.table == name}, say, drawn)
        for name in names
    )


def _table(
    found: Found, name: str, by_claim: Mapping[Claim, Sequence[Verdict]], say: Language, drawn: Drawn
) -> PublishedTable:
    rows = tuple(_row(found, verdicts, say, drawn) for verdicts in by_claim.values())
    return PublishedTable(
        name=name,
        title=say.told(TITLES.get(name, name)),
        figures=name in FIGURES,
        rows=rows,
        commands=tuple(_commands(settled(row.claim, found.claims) for row in rows if row.lacking)),
    )


def _commands(claims: Iterable[Claim]) -> Iterator[str]:
    """Give the commands that measure what rows lack, one a plan."""
    by_plan: dict[str, dict[str, None]] = {}
    for part in (claim.parts[0] for claim in claims if claim.parts):
        by_plan.setdefault(part.split(".")[0], {})[part] = None
    for plan, parts in by_plan.items():
        yield " ".join([f"gatebench run --plan {plan}", *(f"--part {part}" for part in parts if "." in part)])


def tiles(ledger: Iterable[PublishedTable]) -> list[Tile]:
    """Give the rows with a published factor whose first pair has a measured one: another pair is not the row's."""
    factors = [row for table in ledger if table.figures for row in table.rows if row.factor]
    made = []
    for row in factors:
        known = [each for each in row.measured if each.has_figure]
        if row.measured[0].has_figure:
            by_size = [each.factor.value for each in sorted(known, key=lambda each: each.factor.order or 0.0)]
            wsgi, asgi = (shorter(stack) for stack in (known[0].wsgi_stack, known[0].asgi_stack))
            ends = by_size[0], by_size[-1]
            tied = sum(each.both_kept_all for each in row.measured)
            made.append(Tile(row=row, first=known[0], ends=ends, pairs=len(known), tied=tied, wsgi=wsgi, asgi=asgi))
    return made


def words(ledger: Iterable[PublishedTable]) -> Counter[str]:
    """Count what was said of the rows, by each one's first pair."""
    return Counter(row.measured[0].word for table in ledger for row in table.rows)


def headline(ledger: Iterable[PublishedTable], say: Language) -> tuple[Headline, ...]:
    """Give the rows of the tables of figures, one line a pair of stacks."""
    return tuple(
        Headline(
            label=row.label,
            claimed=" : ".join(say.told(text or "") for text in (row.claim.wsgi, row.claim.asgi))
            + (f", {row.factor}" if row.claim.factor else ""),
            wsgi=say.told(each.wsgi_said) or _joined(each.wsgi_stack, each.wsgi),
            asgi=say.told(each.asgi_said) or _joined(each.asgi_stack, each.asgi),
            factor=_joined("", each.factor),
            verdict=each.word,
            measured=each.has_figure,
        )
        for table in ledger
        if table.figures
        for row in table.rows
        for each in row.measured
    )


def _row(found: Found, verdicts: Sequence[Verdict], say: Language, drawn: Drawn) -> Row:
    claim = verdicts[0].claim
    own = settled(claim, found.claims)
    near = next((each for each in found.claims if each.name == claim.near), None)
    there = any(in_parts(own, cell.key.part) for cell in found.cells)
    return Row(
        claim=claim,
        anchor=_anchor(claim),
        label=label_of(claim, say),
        factor="" if claim.factor is None else f"{'≥ ' * claim.at_least}{claim.factor:,g}{TIMES}",
        silent=verdicts[0].word in SILENT,
        lacking=verdicts[0].word == UNMEASURED and not there,
        measured=tuple(_measured(found, verdict, say, drawn) for verdict in verdicts),
        follows=None if own is claim else Link(anchor=_anchor(own), text=label_of(own, say)),
        near=None if near is None else Link(anchor=_anchor(near), text=label_of(near, say)),
    )


def _anchor(claim: Claim) -> str:
    return "row-" + re.sub(r"[^A-Za-z0-9_]+", "-", claim.name).strip("-")


def label_of(claim: Claim, say: Language) -> str:
    """Give a row's label in the page's language, as published where it was."""
    return claim.label if say.code == ENGLISH else claim.label_zh or say.told(claim.label)


def _measured(found: Found, verdict: Verdict, say: Language, drawn: Drawn) -> Measured:
    comparison = verdict.comparison
    why = _without_names(found, verdict)
    brief, rest = _in_brief(verdict.word, why)
    evidence = links(found, verdict, drawn, say)
    made = Measured(word=verdict.word, why=why, brief=brief, rest=rest, evidence=evidence)
    if comparison is None:
        return replace(made, wsgi_said=verdict.wsgi, asgi_said=verdict.asgi)
    unit = TABLE[comparison.metric][0].unit
    hidden = comparison.wsgi_at_limit and comparison.asgi_at_limit
    return replace(
        made,
        load=load_said(comparison.load, say),
        part=comparison.part,
        wsgi_stack=comparison.wsgi,
        asgi_stack=comparison.asgi,
        wsgi=shown(comparison.wsgi_value, unit, say),
        asgi=shown(comparison.asgi_value, unit, say),
        factor=_factor(verdict.claim, comparison, say),
        few=comparison.ratio is not None and comparison.ratio.few,
        has_figure=comparison.ratio is not None and not hidden,
        both_kept_all=comparison.ratio is not None and hidden,
    )


def _without_names(found: Found, verdict: Verdict) -> str:
    """Leave out what names another row by its key, since the row itself links to it, and call a part by its title."""
    own, claim, each = settled(verdict.claim, found.claims), verdict.claim, verdict.comparison
    why = verdict.why if own is claim else re.sub(r"^(as \w+\.\w+: )+", "", verdict.why)
    title = found.title_of(each.part) if each else ""
    if each and len(clauses(title)) == 1:
        for begin in (f"{each.part}: ", f"{each.part}, {each.scenario}, {each.load}: "):
            why = f"{title}: {why.removeprefix(begin)}" if why.startswith(begin) else why
    return why.removesuffix(f"; the measured row nearest to it is {claim.near}")


def _in_brief(word: str, why: str) -> tuple[str, str]:
    """Divide a reason where a clause ends, so that what stands in the table is a line or two."""
    if word in SILENT or len(why) < 1.5 * BRIEF:
        return why, ""
    brief, *rest = clauses(why)
    while rest and word != "depends" and len(brief) + len(rest[0]) < BRIEF:
        brief = f"{brief}; {rest.pop(0)}"
    return brief, "; ".join(rest)


def _factor(claim: Claim, comparison: Comparison, say: Language) -> Shown:
    if comparison.ratio is None:
        return Shown(value="—")
    # Where no factor was published, whichever way the metric is better is the better one.
    better: Estimate | None = gain(comparison) if claim.factor is None else advantage(claim, comparison.ratio)
    return bounded(better, comparison, say)


def _joined(stack: str, figure: Shown) -> str:
    return "\n".join(text for text in (stack, figure.value, figure.interval) if text)
