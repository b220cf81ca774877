"""How a session's progress looks: a bar with the time left in a terminal, one line a trial elsewhere.

Knows runs and rich. Must not know how runs are made.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gatebench import metrics
from gatebench.model import Run, Trial

STYLE = {"ok": "green", "void": "yellow", "failed": "red"}


class Watcher:
    """Told of each trial as it begins and of each run as it ends."""

    def __init__(self, console: Console, trials: int) -> None:
        self._console, self._total, self._done, self._begun = console, trials, 0, time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=trials)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begun(self, trial: Trial) -> None:
        """Show what is being measured."""
        label = f"block {trial.block}: {trial.stack} {trial.scenario} {trial.load}"
        self._bar.update(self._task, description=escape(label))

    def ended(self, run: Run) -> None:
        """Show how a trial came out."""
        self._bar.advance(self._task)
        self._done += 1  # a session that goes on does not begin with its first trial
        left = (time.monotonic() - self._begun) / self._done * (self._total - self._done)
        words = [f"{self._done}/{self._total}", run.stack, run.scenario, run.load, f"block {run.block}:"]
        line = f"{escape(' '.join(words))} [{STYLE[run.status]}]{run.status}[/] {escape(_figures(run))}"
        if not self._console.is_terminal:
            line += f"; {left / 60:.1f} min left"
        self._bar.console.print(line, soft_wrap=True, highlight=False)


def _figures(run: Run) -> str:
    if run.status != "ok":
        return run.reason or ""
    if run.capabilities:
        spoken = sum(one.answer == "yes" for one in run.capabilities)
        return f"{spoken} of {len(run.capabilities)} protocols spoken"
    if run.connections_kept is not None:
        return f"{run.connections_kept} of {run.connections_offered} connections kept"
    shown = ("rate_rps", "response_p50_s", "cpu_us_per_request")
    return ", ".join(metrics.show(metrics.read(name, run), metrics.TABLE[name][0].unit) for name in shown)
