"""Which stack to take: all that stood beside each other, ranked, with ties; and what moving would buy.

Knows measures. Must not know verdicts or how a page looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gatebench.metrics import TABLE, TIMES
from gatebench.model import Load
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.wording import Grid, Shown, apart, shown, times
from gatebench.tables import Cell, Measure

BESIDE = ("response_p99_s", "cpu_us_per_request", "pss_bytes")  # what a choice hangs on too
STAGES = "migration.stages"
OF_STAGES = ("rate_rps", "response_p99_s", "cpu_us_per_request", "pss_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A stack's place."""

    place: str
    stack: str
    interface: str
    anchor: str
    figure: Shown
    of_best: Shown  # its figure as a share of the best one's
    beside: tuple[Shown, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Stacks of one part beside each other."""

    part: str
    title: str
    metric: str
    answer: str
    beside: tuple[str, ...]
    rows: tuple[Ranked, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One scenario under one load, and every part that answers it."""

    scenario: str
    title: str
    load: str
    users: str
    rankings: tuple[Ranking, ...]


def questions(found: Found, say: Language) -> tuple[Question, ...]:
    """Give every scenario and number of users or connections for which stacks stood beside each other."""
    asked: dict[tuple[str, str], list[Ranking]] = {}
    for measure in found.measures:
        load = Load.parse(measure.load)
        if (load.held or load.looped) and (made := _ranking(found, measure, say)):
            asked.setdefault((measure.scenario, measure.load), []).append(made)
    scenarios = list(dict.fromkeys(scenario for scenario, _ in asked))

    def place(key: tuple[str, str]) -> tuple[int, bool, int]:
        load = Load.parse(key[1])
        return scenarios.index(key[0]), load.held, load.size

    return tuple(
        Question(
            scenario=scenario,
            title=say.told(found.scenario(scenario)),
            load=load,
            users=_users(Load.parse(load), say),
            rankings=tuple(sorted(asked[scenario, load], key=lambda each: -len(each.rows))),
        )
        for scenario, load in sorted(asked, key=place)
    )


def _users(load: Load, say: Language) -> str:
    if load.held:
        return say("{size} connections", size=f"{load.size:,}")
    return say("1 user") if load.size == 1 else say("{size} users", size=f"{load.size:,}")


def _ranking(found: Found, measure: Measure, say: Language) -> Ranking | None:
    metric = "connections" if Load.parse(measure.load).held else "rate_rps"
    figures = {cell: estimate for cell in measure.cells if (estimate := cell.estimate(metric))}
    ranked = sorted(figures, key=lambda cell: -figures[cell].value)
    if len(ranked) < 2:
        return None
    ahead = {cell: sum(apart(measure.ratio(other, cell, metric)) > 0 for other in ranked) for cell in ranked}
    best = ranked[0]
    beside = [each for each in BESIDE if any(cell.estimate(each) for cell in ranked)]
    rows = tuple(
        Ranked(
            place=_place(cell, ahead),
            stack=cell.key.stack,
            interface=cell.interface,
            anchor=found.anchors[tuple(cell.key)],
            figure=shown(figures[cell], TABLE[metric][0].unit, say),
            of_best=Shown(value=f"1{TIMES}") if cell is best else times(measure.ratio(cell, best, metric), say),
            beside=tuple(shown(cell.estimate(each), TABLE[each][0].unit, say) for each in beside),
        )
        for cell in sorted(ranked, key=lambda cell: (ahead[cell], -figures[cell].value))
    )
    return Ranking(
        part=measure.part,
        title=say.told(found.title_of(measure.part)),
        metric=say.told(TABLE[metric][0].title),
        answer=_answer(measure, metric, ranked, ahead, say),
        beside=tuple(say.told(TABLE[each][0].title) for each in beside),
        rows=rows,
    )


def _place(cell: Cell, ahead: dict[Cell, int]) -> str:
    """Give one more than how many are evidently ahead; with "=" where others have the same place."""
    return f"{'=' * (list(ahead.values()).count(ahead[cell]) > 1)}{ahead[cell] + 1}"


def _answer(measure: Measure, metric: str, ranked: Sequence[Cell], ahead: dict[Cell, int], say: Language) -> str:
    first = [cell.key.stack for cell in ranked if not ahead[cell]]
    if len(first) > 1:
        return say("{stacks} are not told apart: nothing was evidently ahead of them.", stacks=", ".join(first))
    following = next((cell for cell in ranked[1:] if ahead[cell] == 1), ranked[1])
    factor = times(measure.ratio(ranked[0], following, metric), say)
    interval = f" ({factor.interval})" if factor.interval else ""
    return say(
        "{best} is ahead: {factor} what {following} reached.",
        best=first[0],
        factor=f"{factor.value}{interval}",
        following=following.key.stack,
    )


def moving(found: Found, say: Language) -> Grid | None:
    """Give what each stage of a migration reached, and its factor over the first one."""
    measure = next((each for each in found.measures if each.part == STAGES), None)
    if measure is None or len(measure.cells) < 2:
        return None
    first = measure.cells[0]
    heads = [head for metric in OF_STAGES for head in (say.told(TABLE[metric][0].title), say("over the first"))]
    rows = []
    for cell in measure.cells:
        row = []
        for metric in OF_STAGES:
            own = Shown(value=f"1{TIMES}") if cell is first else times(measure.ratio(cell, first, metric), say)
            row += [shown(cell.estimate(metric), TABLE[metric][0].unit, say), own]
        rows.append((cell.key.stack, tuple(row)))
    return Grid(title=say.told(found.title_of(STAGES)), corner=say("Stage"), heads=tuple(heads), rows=tuple(rows))
