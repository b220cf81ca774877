"""All cells, to be searched: one row a stack under a scenario and load, with its blocks and how to measure it again.

Knows measures. Must not know verdicts or how a page looks.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gatebench.metrics import TABLE, TIMES, Bound, show_estimate
from gatebench.model import Estimate
from gatebench.own import NAME as OWN_SCENARIO
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.wording import Shown, figure, shown
from gatebench.stats import inverse
from gatebench.tables import CONTAINED, Cell, at_limit

COLUMNS = ("rate_rps", "response_p50_s", "response_p99_s", "cpu_us_per_request", "pss_bytes", "connections")
RELATED = COLUMNS  # of which a stack is shown as a multiple of another


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """One metric's figures, block by block."""

    title: str
    values: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One cell in words."""

    anchor: str
    measure: int  # which rows stand beside it
    place: int  # among these
    part: str
    scenario: str
    load: str
    stack: str
    interface: str
    figures: tuple[Shown, ...]  # of COLUMNS
    trials: str
    valid: int
    blocks: tuple[Blocks, ...]
    others: tuple[tuple[str, Shown], ...]  # metrics that are no column
    lost: tuple[str, ...]  # why trials gave nothing; made by other rooms
    warnings: tuple[str, ...]
    setup: tuple[tuple[str, str], ...]  # anchors of its settings and versions, and what they are called
    command: str | None
    swept: int  # loads that the command measures


def heads(say: Language) -> tuple[str, ...]:
    """Give the titles of the columns of figures."""
    return tuple(say.told(TABLE[metric][0].title) for metric in COLUMNS)


def rows(found: Found, say: Language) -> Iterator[Row]:
    """Give every cell, in the plan's order."""
    for number, measure in enumerate(found.measures):
        for place, cell in enumerate(measure.cells):
            yield _row(found, number, place, cell, say)


def related(found: Found) -> dict[str, dict[str, list[str]]]:
    """Give every two stacks' ratios that stand beside each other, both ways: measure -> metric -> "one other|…|…".

    A metric is its place in COLUMNS, a stack its place in the measure. Behind the two stand how many times the first
    is the second, with its interval's ends, and the same of the second and the first: in the digits that the rest of
    the page has, which a script could not make from rounded figures.
    """
    made: dict[str, dict[str, list[str]]] = {}
    for number, measure in enumerate(found.measures):
        for metric, one, other, ratio in measure.ratios(RELATED):
            first, second = (at_limit(measure.cells[place], metric) for place in (one, other))
            if first and second:
                continue  # whatever it is, what was offered hides it
            ours = _told(ratio, "≥" if first else "≤" if second else "")
            theirs = _told(inverse(ratio), "≤" if first else "≥" if second else "")
            of_measure = made.setdefault(str(number), {})
            of_measure.setdefault(str(RELATED.index(metric)), []).append(f"{one} {other}|{ours}|{theirs}")
    return made


def _told(ratio: Estimate, bound: Bound) -> str:
    """Give a factor and its interval's ends, without their unit; without ends where all blocks are the same.

    `bound` says on which side it lies of what is shown, where one of the two kept all connections that were offered.
    """
    texts = [text.removesuffix(TIMES) for text in show_estimate(ratio, TIMES, bound=bound)]
    return bound + (texts[0] if ratio.low == ratio.high else " ".join(texts))


def _row(found: Found, number: int, place: int, cell: Cell, say: Language) -> Row:
    key, runs = cell.key, cell.runs
    valid = sum(run.status == "ok" for run in runs)
    contained = CONTAINED if found.session.backend == "container" else ()
    others = [metric for metric in (*cell.metrics, *(contained if cell.metrics else ())) if metric not in COLUMNS]
    estimates = {metric: cell.estimate(metric) for metric in (*COLUMNS, *others)}
    return Row(
        anchor=found.anchors[tuple(key)],
        measure=number,
        place=place,
        part=key.part if found.several else "",
        scenario=key.scenario,
        load=key.load,
        stack=key.stack,
        interface=cell.interface,
        figures=tuple(shown(estimates[metric], TABLE[metric][0].unit, say) for metric in COLUMNS),
        trials=say("{valid} of {all}", valid=valid, all=len(runs)),
        valid=valid,
        blocks=tuple(_blocks(cell, say)),
        others=tuple(
            (say.told(TABLE[metric][0].title), shown(estimate, TABLE[metric][0].unit, say))
            for metric in others
            if (estimate := estimates[metric]) is not None
        ),
        lost=tuple(_lost(cell)),
        warnings=tuple(cell.warnings),
        setup=tuple(
            (f"{kind}-{found.stacks.index(key.stack)}", title)
            for kind, title in (("settings", say("Settings")), ("versions", say("versions")))
            if found.session.stacks.get(key.stack, {}).get(kind)
        ),
        command=command(found, cell),
        swept=len({each.load for each in found.measures if (each.part, each.scenario) == (key.part, key.scenario)}),
    )


def _blocks(cell: Cell, say: Language) -> Iterator[Blocks]:
    for metric in COLUMNS:
        values = cell.values(metric)
        if values and (metric in cell.metrics):
            unit = TABLE[metric][0].unit
            made = (f"{block}: {figure(value, unit, say)}" for block, value in sorted(values.items()))
            yield Blocks(title=say.told(TABLE[metric][0].title), values=", ".join(made))


def _lost(cell: Cell) -> Iterable[str]:
    """Give each reason once, whatever the metrics that lack a figure for it."""
    return dict.fromkeys(reason for metric in cell.metrics for reason in cell.reasons(metric))


def command(found: Found, cell: Cell) -> str | None:
    """Give the command that measures a cell again; None where no command could be read safely, or none would do."""
    session, key = found.session, cell.key
    words = ["gatebench", "run", "--plan", session.plan.name]
    words += ["--part", key.part] if found.several else []
    words += ["--stack", key.stack, "--scenario", key.scenario, "--backend", session.backend]
    known = session.backend != "fake" and key.scenario != OWN_SCENARIO
    return _joined(words) if known and all(word.isprintable() for word in words) else None


def _joined(words: Sequence[str]) -> str:
    return " ".join(shlex.quote(word) for word in words)
