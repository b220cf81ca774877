"""What a gate looks like in a terminal: while it measures, and when it is judged.

Knows runs, findings and rich. Must not know how anything is measured, nor write files.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gatebench import stats
from gatebench.gate import CONFIRM, ERROR, SHORT, ratios
from gatebench.gate.words import alikeness, bound, interval, left_out, percent, smallest
from gatebench.metrics import TABLE, blocks
from gatebench.metrics import show as shown
from gatebench.model import Finding, Judgement, Measure, Part, Run, Session, Trial
from gatebench.progress import STYLE

WORDS = {"pass": "green", "fail": "red", "unsure": "yellow"}


def spelled(metric: str) -> str:
    """Give a metric's short name."""
    return next((short for short, name in SHORT.items() if name == metric), metric)


class Watcher:
    """Told of each trial as it begins and of each run as it ends; tells how the leading metric does in each block."""

    def __init__(self, console: Console, header: Session) -> None:
        if header.gate is None:
            raise ValueError(f"{header.name} declares no gate")
        self._console, self._header, self._gate = console, header, header.gate
        self._parts = {part.name: part for part in header.plan.parts}
        self._total = sum(part.blocks for name, part in self._parts.items() if name != CONFIRM)
        self._done, self._begun = 0, time.monotonic()
        self._runs: list[Run] = []
        self._seen: Counter[tuple[str | None, int]] = Counter()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("at most"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=self._total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begun(self, trial: Trial) -> None:
        """Show what is being measured."""
        label = f"block {trial.block}: {self._parts[trial.part].title}, {trial.scenario} {trial.load}"
        self._bar.update(self._task, description=escape(label))

    def ended(self, run: Run) -> None:
        """Show what became of a trial that gives nothing, and of each block when it is whole."""
        self._runs.append(run)
        if run.status != "ok":
            words = f"block {run.block}: {run.stack} {run.scenario} {run.load}"
            text = f"{escape(words)} [{STYLE[run.status]}]{run.status}[/] {escape(run.reason or '')}"
            self._bar.console.print(text, soft_wrap=True, highlight=False)
        self._seen[run.part, run.block] += 1
        part = self._parts[run.part or ""]
        if self._seen[run.part, run.block] == len(part.stacks) * len(part.measures):
            self._whole(part, run.block)

    def _whole(self, part: Part, block: int) -> None:
        if part.name == CONFIRM and block == 0:  # what was left of the others is not measured any more
            self._total = self._done + part.blocks
            self._bar.update(self._task, total=self._total)
        self._done += 1
        self._bar.advance(self._task)
        told = "; ".join(self._told(part, measure, block) for measure in part.measures)
        line = f"{self._done}/{self._total} {part.title}, block {block}: {told}"
        if not self._console.is_terminal:
            left_s = (time.monotonic() - self._begun) / self._done * (self._total - self._done)
            line += f"; {left_s / 60:.1f} min left at most"
        self._bar.console.print(line, soft_wrap=True, highlight=False, markup=False)

    def _told(self, part: Part, measure: Measure, block: int) -> str:
        """Say how the leading metric of one scenario did in this block, and in all of the part so far."""
        first, second = part.stacks
        found = ratios(
            replace(self._header, runs=tuple(self._runs)),
            part=part.name,
            first=first,
            second=second,
            scenario=measure.scenario,
            load=str(measure.load),
            metric=self._gate.leading,
        )
        what = spelled(self._gate.leading)
        name = f"{measure.scenario} {what}" if len(part.measures) > 1 else what
        here = percent(math.exp(found[block])) if block in found else "nothing"
        far = stats.shift(list(found.values()), ERROR)
        if far is None or len(found) < 2:
            return f"{name} {here}"
        ends = [percent(math.exp(end)) for end in (far.low, far.high) if end is not None]
        between = f" ({' to '.join(ends)})" if ends else ""
        return f"{name} {here}, so far {percent(math.exp(far.value))}{between}"


def show(console: Console, judgement: Judgement, session: Session) -> None:
    """Print all that a judgement rests on; its sentence is for whoever ends the program."""
    _table(console, f"Gate: {judgement.word}", judgement.findings, words=True)
    if judgement.confirmation:
        _table(console, "The same in fresh blocks", judgement.confirmation, words=True)
    if judgement.again:
        _table(console, "The base beside itself, where nothing should be found", judgement.again, words=False)
    for line in _lines(judgement, session):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _table(console: Console, title: str, findings: Sequence[Finding], *, words: bool) -> None:
    table = Table(
        title=escape(title), box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False
    )
    table.add_column("scenario", overflow="fold")
    table.add_column("metric")
    heads = ("base", "head", "change", "interval", "margin") if words else ("first", "second", "change", "interval")
    for heading in (*heads, "blocks"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for one in findings:
        unit, change = TABLE[one.metric][0].unit, one.change
        cells = [
            f"{one.scenario} {one.load}",
            spelled(one.metric),
            shown(one.base.value if one.base else None, unit),
            shown(one.head.value if one.head else None, unit),
            percent(change.value) if change else "—",
            interval(change) if change else "—",
        ]
        margin = [bound(one)] if words else []
        # Base beside itself gets no verdict: it is there to tell whether both arms are measured alike.
        word = f"[{WORDS[one.word]}]{one.word}[/]" if words else alikeness(one)
        table.add_row(*map(escape, (*cells, *margin, str(one.blocks))), word)
    console.print(table)


def _lines(judgement: Judgement, session: Session) -> Iterator[str]:
    yield f"base: {judgement.base}; head: {judgement.head}"
    yield f"{blocks(judgement.blocks)}{_look(judgement)}{_lasted(session)}"
    yield from smallest(judgement)
    for what, why in left_out(judgement):
        yield f"Not judged: {what}: {why}"
    for finding in (*judgement.findings, *judgement.confirmation):
        if finding.reason:
            yield f"{finding.scenario} {spelled(finding.metric)}: {finding.reason}"
    for reason, count in judgement.void.items():
        yield f"{count} trial{'s' * (count != 1)} gave nothing: {reason}"
    yield from judgement.warnings
    if session.backend == "fake":
        yield "These figures are invented: the fake backend measures nothing."


def _look(judgement: Judgement) -> str:
    """Say which look was the last one taken, and that it decided where it did."""
    if not judgement.look or not judgement.looks or judgement.broken:
        return ""
    decided = "" if judgement.word == "unsure" else "decided at "
    return f", {decided}look {judgement.look} of {judgement.looks}"


def _lasted(session: Session) -> str:
    if session.ended_at is None:
        return ""
    ended, started = (datetime.fromisoformat(text) for text in (session.ended_at, session.started_at))
    minutes, seconds = divmod(round((ended - started).total_seconds()), 60)
    return f", {minutes} min {seconds} s" if minutes else f", {seconds} s"
