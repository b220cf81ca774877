"""Which stack to take: all that stood beside each other, ranked, with what is left open; and what moving would buy.

Knows measures. Must not know verdicts or how a page looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gatebench.metrics import TABLE, TIMES
from gatebench.model import Load
from gatebench.report.drawing.rows import Line, values
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.ordering import OF_HELD, OF_KEPT, Order, ordered, told_apart, too_wide
from gatebench.report.setup import spelled
from gatebench.report.wording import NOTHING, Grid, Picture, Shown, load_said, place, shown, times
from gatebench.tables import Cell, Measure

BESIDE = ("response_p99_s", "cpu_us_per_request", "pss_bytes")  # what a choice hangs on too
STAGES = "migration.stages"
OF_STAGES = ("rate_rps", "response_p99_s", "cpu_us_per_request", "pss_bytes")
FLAGSHIP = "flagship"
_STAGE = re.compile(r"[\[,]stage=(\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A stack's place."""

    place: str  # or why it has none
    placed: bool
    few: bool  # whether its figure is of fewer blocks than it would need
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
    notes: tuple[str, ...]
    beside: tuple[str, ...]
    rows: tuple[Ranked, ...]
    bare: bool  # whether servers are ranked, and no frameworks
    picture: Picture | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One scenario under one load, and every part that answers it."""

    scenario: str
    title: str
    load: str
    users: str
    rankings: tuple[Ranking, ...]
    headline: bool  # whether it is the one to begin with


@dataclass(frozen=True, slots=True, kw_only=True)
class Moving(Grid):
    """What each stage of a migration reached."""

    sentence: str
    few: bool


def questions(found: Found, say: Language) -> tuple[Question, ...]:
    """Give every scenario and number of users or connections for which stacks stood beside each other."""
    asked: dict[tuple[str, str], list[Ranking]] = {}
    for measure in found.measures:
        load = Load.parse(measure.load)
        if (load.held or load.looped) and (order := ordered(measure, say)):
            made = _ranking(found, order, f"place-{sum(map(len, asked.values()))}", say)
            asked.setdefault((measure.scenario, measure.load), []).append(made)
    scenarios = list(dict.fromkeys(scenario for scenario, _ in asked))

    def where(key: tuple[str, str]) -> tuple[int, bool, int]:
        load = Load.parse(key[1])
        return scenarios.index(key[0]), load.held, load.size

    headline = next((key for key in asked if any(_leads(each.part) for each in asked[key])), next(iter(asked), None))
    return tuple(
        Question(
            scenario=key[0],
            title=say.told(found.scenario(key[0])),
            load=key[1],
            users=load_said(key[1], say),
            rankings=_told_apart(found, asked[key], say),
            headline=key == headline,
        )
        for key in sorted(asked, key=where)
    )


def _told_apart(found: Found, rankings: Sequence[Ranking], say: Language) -> tuple[Ranking, ...]:
    """Put rankings of one question in order, and say in what they differ that a stack's figure hangs on."""
    windows = {part.name: part.window_s for part in found.session.plan.parts}
    cpus = {each.part: found.server_cpus(each.part) for each in rankings}
    made = []
    for each in sorted(rankings, key=lambda each: (each.bare, not _leads(each.part), -len(each.rows))):
        notes = list(each.notes)
        if len({*cpus.values()}) > 1:
            notes.append(say("CPUs of the server: {cpus}.", cpus=" / ".join(map(str, cpus[each.part]))))
        if each.part in windows and len({windows.get(ranking.part) for ranking in rankings}) > 1:
            notes.append(say("Windows of {window} s.", window=f"{windows[each.part]:g}"))
        made.append(replace(each, notes=tuple(notes)))
    return tuple(made)


def _leads(part: str) -> bool:
    """Tell whether a part holds the published pair itself; a plan of one part of its own stands for it."""
    return part == FLAGSHIP or "." not in part


def _ranking(found: Found, order: Order, name: str, say: Language) -> Ranking:
    measure, metric = order.measure, order.metrics[0]
    best = order.ranked[0] if order.ranked else None
    kinds = [
        each for each in (*OF_HELD, *BESIDE) if each != metric and any(cell.estimate(each) for cell in order.cells)
    ]

    def row(cell: Cell, where: str, *, placed: bool) -> Ranked:
        return Ranked(
            place=where,
            placed=placed,
            few=(estimate := cell.estimate(metric)) is not None and estimate.few,
            stack=cell.key.stack,
            interface=cell.interface,
            anchor=found.anchors[tuple(cell.key)],
            figure=_figure(cell, metric, say),
            of_best=_over(measure, cell, best, metric, say),
            beside=tuple(_figure(cell, each, say) for each in kinds),
        )

    title = say.told(found.title_of(measure.part))
    return Ranking(
        part=measure.part,
        title=title,
        metric=say.told(TABLE[metric][0].title),
        answer=_answer(order, say),
        notes=(*_notes(order, say), *_costly(found, order, say)),
        beside=tuple(say.told(TABLE[each][0].title) for each in kinds),
        rows=(
            *(
                row(cell, place(*where) if len(order.ranked) > 1 else NOTHING.value, placed=True)
                for cell, where in zip(order.ranked, order.places, strict=True)
            ),
            *(row(cell, why, placed=False) for cell, why in order.unranked),
        ),
        bare=order.bare,
        picture=_picture(order, name, title, say) if _leads(measure.part) else None,
    )


def _figure(cell: Cell, metric: str, say: Language) -> Shown:
    """Give a figure with its interval; ends that tell nothing are no figures."""
    estimate = cell.estimate(metric)
    made = shown(estimate, TABLE[metric][0].unit, say)
    return replace(made, interval=say("interval too wide")) if estimate and too_wide(estimate) else made


def _over(measure: Measure, cell: Cell, base: Cell | None, metric: str, say: Language) -> Shown:
    """Give a cell's figure as a multiple of another's; its own is 1, where there is one at all."""
    if base is None or cell.estimate(metric) is None:
        return NOTHING
    return Shown(value=f"1{TIMES}") if cell is base else times(measure.ratio(cell, base, metric), say)


def _picture(order: Order, name: str, title: str, say: Language) -> Picture | None:
    """Draw the headline's rankings; all would be more than a page holds."""
    metric = TABLE[order.metrics[0]][0]
    lines = [
        Line(label=cell.key.stack, estimate=estimate, blocks=cell.values(metric.name), interface=cell.interface)
        for cell in order.cells
        if (estimate := cell.estimate(metric.name))
    ]
    if not lines:
        return None
    caption = say(
        "{title}. {metric}: the line is the 95 % interval, the dots are blocks.",
        title=title,
        metric=say.told(metric.title),
    )
    return Picture(svg=values(name, lines, metric.unit, caption), caption=caption)


def _answer(order: Order, say: Language) -> str:
    if len(order.ranked) < 2:
        return say("No two of them can be ranked: each place below says why.")
    leading = [cell.key.stack for cell, (first, _) in zip(order.ranked, order.places, strict=True) if first == 1]
    if order.places[0] != (1, 1):
        return say("Nothing was evidently ahead of {stacks}.", stacks=", ".join(leading))
    best, following = order.ranked[:2]
    for name in order.metrics:
        if told_apart(order.measure, best, following, [name]):
            return _ahead(order, name, say)
    return say("{best} is ahead.", best=best.key.stack)


def _ahead(order: Order, name: str, say: Language) -> str:
    best, following = order.ranked[:2]
    factor = times(order.measure.ratio(best, following, name), say)
    said = f"{factor.value} ({factor.interval})" if factor.interval else factor.value
    if TABLE[name][0].better == "higher":
        return say(
            "{best} is ahead: {factor} what {following} reached.",
            best=best.key.stack,
            factor=said,
            following=following.key.stack,
        )
    return say(
        "{best} is ahead in {metric}: {factor} that of {following}.",
        best=best.key.stack,
        factor=said,
        following=following.key.stack,
        metric=say.told(TABLE[name][0].title),
    )


def _notes(order: Order, say: Language) -> Iterator[str]:
    if order.metrics == OF_KEPT:
        yield say(
            "All that have a place kept the same number of connections, so memory ranks them, and p99 where memory "
            "leaves two open; lower is better."
        )
    elif order.metrics == OF_KEPT[:1]:
        yield say("All that have a place kept the same number of connections, so memory ranks them; lower is better.")
    if order.bare:
        yield say("Servers, each with a bare callable, which is no framework.")


def _costly(found: Found, order: Order, say: Language) -> Iterator[str]:
    """Name the settings of a profile that did worse than the stack without it: one of them may be what costs."""
    beside = {cell.key.stack: cell for cell in order.cells}
    for stack, cell in beside.items():
        plain = beside.get(stack.partition("@")[0])
        if plain is None or plain is cell or told_apart(order.measure, cell, plain, order.metrics) >= 0:
            continue
        own, like = (found.session.stacks.get(each, {}).get("settings", {}) for each in (stack, plain.key.stack))
        differ = [name for name in sorted(own.keys() | like.keys()) if own.get(name) != like.get(name)]
        if differ and own and like:
            yield say(
                "{stack} stayed behind {plain}; of its settings these are other ones: {settings}.",
                stack=stack,
                plain=plain.key.stack,
                settings=say(", ").join(
                    say(
                        "{setting} {own} instead of {plain}",
                        setting=name,
                        own=spelled(own.get(name), say),
                        plain=spelled(like.get(name), say),
                    )
                    for name in differ
                ),
            )


def moving(found: Found, say: Language) -> Moving | None:
    """Give what each stage of a migration reached, and its factor over the first one."""
    measure = next((each for each in found.measures if each.part == STAGES), None)
    if measure is None or len(measure.cells) < 2:
        return None
    first = measure.cells[0]
    heads = [head for metric in OF_STAGES for head in (_head(metric, say), say("over the first"))]
    rows = []
    for cell in measure.cells:
        row = []
        for metric in OF_STAGES:
            row += [
                _figure(cell, metric, say),
                _over(measure, cell, first, metric, say),
            ]
        rows.append((_noted(found, cell, say), tuple(row)))
    return Moving(
        title=say.told(found.title_of(STAGES)),
        corner=say("Stage"),
        heads=tuple(heads),
        rows=tuple(rows),
        sentence=_moved(found, measure, say),
        few=any(made.few for cell in measure.cells if (made := cell.estimate(OF_STAGES[0]))),
    )


def _head(metric: str, say: Language) -> str:
    title = say.told(TABLE[metric][0].title)
    return title if TABLE[metric][0].better == "higher" else say("{metric} (lower is better)", metric=title)


def _stage(found: Found, cell: Cell, say: Language) -> str:
    """Name a stage by what of the traffic goes where; by its stack where that was not written down."""
    named = _STAGE.search(cell.key.stack)
    described = found.session.stacks.get(cell.key.stack, {})
    share = described.get("settings", {}).get("wsgi_share")
    if named is None or not isinstance(share, int | float):
        return cell.key.stack
    return say(
        "stage {stage} ({wsgi} % of requests to WSGI, {asgi} % to ASGI)",
        stage=named[1],
        wsgi=f"{100 * share:g}",
        asgi=f"{100 - 100 * share:g}",
    )


def _noted(found: Found, cell: Cell, say: Language) -> str:
    """Name a stage with what the published comparison has moved by then."""
    named, stage = _STAGE.search(cell.key.stack), _stage(found, cell, say)
    row = next((each for each in found.claims if named and f"stage={named[1]}" in each.names), None)
    note = row.label.partition(": ")[2] if row else ""
    return say("{stage}: {note}", stage=stage, note=say.told(note)) if note else stage


def _moved(found: Found, measure: Measure, say: Language) -> str:
    """Say what the last stage has over the first, figure by figure, and whether that is better."""
    first, last = measure.cells[0], measure.cells[-1]
    changes = []
    for metric in OF_STAGES:
        ratio = measure.ratio(last, first, metric)
        if ratio is None:
            continue
        factor, way = times(ratio, say), told_apart(measure, last, first, [metric])
        words = {1: say("better"), -1: say("worse"), 0: say("not told apart")}
        said = f"{factor.value} ({factor.interval})" if factor.interval else factor.value
        title = say.told(TABLE[metric][0].title)
        changes.append(say("{metric} {factor}, {better}", metric=title, factor=said, better=words[way]))
    if not changes:
        return ""
    return say(
        "From {first} to {last}, over the first: {changes}.",
        first=_stage(found, first, say),
        last=_stage(found, last, say),
        changes=say("; ").join(changes),
    )
