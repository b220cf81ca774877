"""A gate's judgement and its session to one small page: what was found, block by block, and how it was measured.

Knows all values that its template shows. Must not judge, nor write files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from gatebench.errors import UsageError
from gatebench.gate import AGAIN, CONFIRM, GATE, ratios
from gatebench.gate.words import bound, interval, left_out, percent, smallest, where
from gatebench.metrics import TABLE, blocks
from gatebench.model import Estimate, Finding, Gate, Judgement, Part, Session, Setting
from gatebench.report.drawing.changes import Panel, changes
from gatebench.report.templating import html
from gatebench.report.wording import Shown, shown

# What acts where it should show: of a terminal, and of text that runs both ways.
NO_CHARACTER = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
PARTS = ("settings", "versions", "image")  # of a stack, as a session has them
BESIDE = (
    "Base and head ran at the same time on the same CPUs, each with a server and a load generator of its own, "
    "freshly started. What disturbs the machine disturbs both alike, so their ratio within a block is far steadier "
    "than either figure. A block is one such duet of every scenario; which of the two starts first is drawn from the "
    "seed."
)
APART = (
    "Base and head were taken from results that were measured before, block by block. They did not run at the same "
    "time: what changed between their trials is in the figures, and they are looked at once."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A finding in words."""

    scenario: str
    metric: str
    base: Shown
    head: Shown
    change: Shown
    margin: str
    word: str
    chance: str  # of what was seen, were it no worse than the margin
    blocks: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure and what stands below it."""

    drawing: Markup
    caption: str


def page(judgement: Judgement, session: Session) -> str:
    """Give the page; the same judgement gives the same bytes."""
    gate = session.gate
    if gate is None:
        raise UsageError(f"The session {session.name} declares no gate; its page is `gatebench report`'s.")
    arms = {"base": gate.base, "head": gate.head}
    values = {
        "judgement": judgement,
        "session": session,
        "gate": gate,
        "banners": list(_banners(judgement, session)),
        "findings": [_row(each) for each in judgement.findings],
        "confirmation": [_row(each) for each in judgement.confirmation],
        "left_out": list(left_out(judgement)),
        "again": [_row(each) for each in judgement.again],
        "smallest": list(smallest(judgement)),
        "pictures": list(_pictures(judgement, session, gate)),
        "looks": _looks(judgement, gate),
        "arms": [(name, stack, gate.arms.get(stack, "")) for name, stack in arms.items()],
        "differing": list(_differing(session, gate)),
        "how": BESIDE if gate.beside else APART,
        "facts": list(_facts(session, gate)),
        "valid": sum(run.status == "ok" for run in session.runs),
    }
    return NO_CHARACTER.sub("\ufffd", html("gate.html.j2", values))


def _banners(judgement: Judgement, session: Session) -> Iterator[tuple[str, str]]:
    if session.backend == "fake":
        yield "alarm", "The figures of this page are invented: the session tests the pipeline and measured nothing."
    if judgement.broken:
        yield "alarm", f"{judgement.broken} What is left of it is no fair sample: the figures below do not count."
    if shared := session.placement.shared:
        yield "note", f"CPUs were not apart: {shared}."
    for warning in judgement.warnings:
        yield "note", warning


def _row(found: Finding) -> Row:
    metric = TABLE[found.metric][0]
    return Row(
        scenario=where(found),
        metric=metric.title,
        base=shown(found.base, metric.unit),
        head=shown(found.head, metric.unit),
        change=_change(found.change),
        margin=bound(found),
        word=found.word,
        chance="—" if found.p_worse is None else f"{found.p_worse:.2g}" if found.p_worse >= 1e-4 else "< 0.0001",
        blocks=found.blocks,
        reason=found.reason or "",
    )


def _change(change: Estimate | None) -> Shown:
    if change is None:
        return Shown(value="—")
    return Shown(value=percent(change.value), interval=interval(change))


def _pictures(judgement: Judgement, session: Session, gate: Gate) -> Iterator[Picture]:
    """Draw the blocks of every part that was measured, the band and the line being what its findings say."""
    drawn = (
        (GATE, gate.head, judgement.findings, "Head against base"),
        (CONFIRM, gate.head, judgement.confirmation, "The same in fresh blocks"),
        (AGAIN, gate.again, judgement.again, "The base beside itself: nothing should be found"),
    )
    for part, second, findings, title in drawn:
        margins = part != AGAIN
        panels = [_panel(session, gate, part, second, each, margins=margins) for each in findings if second]
        if panels := [panel for panel in panels if panel.blocks]:
            said = [
                f"{panel.title} {percent(panel.estimate.value)}" for panel in panels if panel.estimate is not None
            ]
            description = f"{title}, change of each block in per cent; in all {', '.join(said) or 'no estimate'}"
            line = "; dashed: how much worse it may be" if margins else ""
            yield Picture(
                drawing=changes(part.replace(".", "-"), panels, description),
                caption=f"{title}: a point a block; the line is the estimate, the band its interval{line}.",
            )


def _panel(session: Session, gate: Gate, part: str, second: str, found: Finding, *, margins: bool) -> Panel:
    metric = TABLE[found.metric][0]
    logs = ratios(
        session,
        part=part,
        first=gate.base,
        second=second,
        scenario=found.scenario,
        load=found.load,
        metric=found.metric,
    )
    worse = 1 + found.margin if metric.better == "lower" else 1 / (1 + found.margin)
    return Panel(
        title=f"{metric.title}, {found.scenario} {found.load}",
        blocks={block: math.exp(value) for block, value in logs.items()},
        estimate=found.change,
        margin=worse if margins else None,
    )


def _looks(judgement: Judgement, gate: Gate) -> list[tuple[int, str, str, str]]:
    """Say when it was to be looked at, with which error, and which look was the last one taken."""
    rows = []
    for number, (count, error) in enumerate(zip(gate.looks, gate.errors, strict=True), start=1):
        last = judgement.look == number
        taken = "yes" if judgement.look is not None and number <= judgement.look else "no"
        early = f" at {blocks(judgement.blocks)}, where it ended" if last and judgement.blocks < count else ""
        none = judgement.word == "unsure" or judgement.broken is not None  # of the looks decided
        decided = ", the last" if last and none else ", it decided" if last else ""
        rows.append((number, blocks(count), f"{100 * error:.2g} %", taken + early + decided))
    return rows


def _differing(session: Session, gate: Gate) -> Iterator[tuple[str, str, str]]:
    """Give the settings and versions in which the arms differ."""
    base, head = (session.stacks.get(stack, {}) for stack in (gate.base, gate.head))
    for part in PARTS:
        first, second = base.get(part, {}), head.get(part, {})
        for name in sorted({*first, *second}):
            if first.get(name) != second.get(name):
                yield f"{part}: {name}", _setting(first.get(name)), _setting(second.get(name))


def _setting(value: Setting | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "—" if value is None else str(value)


def _facts(session: Session, gate: Gate) -> Iterator[tuple[str, str]]:
    machine, placement = session.machine, session.placement
    yield "Session", session.name
    yield "Started", session.started_at
    yield "Lasted", _lasted(session)
    yield "Seed", str(session.plan.seed)
    if (base := session.base_from) is not None:
        commit = base.commit or "not known"
        yield "Session of base", f"{base.name}, started {base.started_at}, seed {base.seed}, commit {commit}"
    for part in [each for each in session.plan.parts if each.name == GATE]:
        yield "Window", _window(part)
    yield "Time allowed", f"{gate.budget_s:g} s" if gate.budget_s else "—"
    yield "Backend", session.backend
    yield from ((f"{name[0].upper()}{name[1:]}", _setting(value)) for name, value in session.surroundings.items())
    yield "Commit of the tree", session.commit or "not known"
    yield "Processor", f"{machine.cpu}, {machine.cpus} usable CPU{'s' * (machine.cpus != 1)}"
    yield "Memory", f"{machine.memory_bytes / 2**30:.1f} GiB"
    yield "System", f"{machine.system}, kernel {machine.kernel}"
    yield "Machine", machine.identity
    yield "Servers' CPUs", _cpus(placement.server)
    yield "Generators' CPUs", _cpus(placement.generator)
    yield "Services' CPUs", _cpus(placement.services)
    yield from ((f"Version of {tool}", version) for tool, version in sorted(session.tools.items()))


def _window(part: Part) -> str:
    return f"{part.window_s:g} s after at most {part.warmup_limit_s:g} s of warm-up"


def _cpus(cpus: Sequence[int]) -> str:
    return ", ".join(map(str, cpus)) or "none"


def _lasted(session: Session) -> str:
    if session.ended_at is None:
        return "not known"
    ended, started = (datetime.fromisoformat(text) for text in (session.ended_at, session.started_at))
    minutes, rest = divmod(round((ended - started).total_seconds()), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
