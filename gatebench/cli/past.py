"""The verb that looks back over sessions: history.

Knows its options, and how a history looks in a terminal. Must not know how a change is found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from gatebench import store
from gatebench.cli.terms import AsJson, out
from gatebench.cli.terms import app as verbs
from gatebench.errors import UntrustedError, UsageError
from gatebench.gate import SHORT
from gatebench.history import FEWEST, SHOWN, Series, histories, ordered
from gatebench.metrics import TABLE, show
from gatebench.model import Session
from gatebench.toml import find

METRICS = {**{name: name for name in TABLE}, **SHORT}
BARS = "▁▂▃▄▅▆▇█"
NEWEST = 40  # sessions that a row of bars shows
SPELLED = {name: short for short, name in SHORT.items()}


@verbs.command()
def history(  # noqa: PLR0917 - options, which typer gives by name
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Results files, or folders that have some in them or below.", show_default="results", metavar="PATH"
        ),
    ] = None,
    stack: Annotated[list[str] | None, typer.Option("--stack", help="Of this stack; may be given again.")] = None,
    scenario: Annotated[
        list[str] | None, typer.Option("--scenario", help="Of this scenario; may be given again.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help=f"{', '.join(SHORT)} or a metric by its full name; may be given again.",
            show_default=", ".join(SPELLED.get(name, name) for name in SHOWN),
        ),
    ] = None,
    page: Annotated[Path, typer.Option("--out", help="Where the page goes.")] = Path("reports/history.html"),
    skip: Annotated[
        bool, typer.Option("--skip-unreadable", help="Leave out files that cannot be read, and name them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show each cell over the sessions of one machine, and where its level changed.

    Ends with 0 also where something changed: it is a history, and the gate is what fails.
    """
    names = tuple(dict.fromkeys(find("metric", name, METRICS) for name in metric or ())) or SHOWN
    there = _files(paths or [Path("results")])
    read, notices = _read(there, skip=skip)
    if len(folders := sorted({str(path.parent) for path in there})) > 1:
        notices.append(f"The sessions lie in {len(folders)} folders: {', '.join(folders)}; each can be named alone.")
    sessions = ordered(read)
    kept = [each for each in sessions if each.gate is None]
    if gates := len(sessions) - len(kept):
        several = f"{gates} sessions of gates are" if gates > 1 else "One session of a gate is"
        notices.append(f"{several} left out: their arms are not the same twice.")
    series = _series(kept, names, stack or (), scenario or ())
    if any(each.room.backend == "fake" for each in series):
        notices.append("Figures of the backend fake are invented: it measures nothing.")
    from gatebench.report import files, history_page  # noqa: PLC0415 - matplotlib and pandas cost a second

    files.put(page, history_page.page(series, notices=notices))
    if as_json:
        typer.echo(json.dumps(_listed(series, notices, page), indent=2))
        return
    for room, found in groupby(series, key=lambda each: each.room):
        _show(str(room), list(found))
    for notice in notices:
        out.print(notice, soft_wrap=True, highlight=False, markup=False)
    out.print(str(page), soft_wrap=True, highlight=False, markup=False)


def _files(paths: Sequence[Path]) -> list[Path]:
    """Give the results files of folders and files, each once."""
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"There is no {path}: run `gatebench run` first, or name results files or their folder.")
        inside = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
        if not inside:
            raise UsageError(
                f"There is no results file in {path}, nor below it: run `gatebench run` first, or name another."
            )
        found |= {each.resolve(): each for each in inside}
    return list(found.values())


def _read(files: Sequence[Path], *, skip: bool) -> tuple[list[Session], list[str]]:
    """Read all sessions, and say which files were left out."""
    found, notices = [], []
    for path in files:
        try:
            found.append(store.read(path))
        except UsageError as error:
            if not skip:
                raise UsageError(f"{error} --skip-unreadable leaves such files out.") from None
            notices.append(f"Left out: {error}")
    if not found:
        raise UsageError(f"None of the {len(files)} files can be read. {notices[0]}")
    return found, notices


def _series(
    sessions: Sequence[Session], metrics: Sequence[str], stacks: Sequence[str], scenarios: Sequence[str]
) -> tuple[Series, ...]:
    if not sessions:
        raise UsageError("All sessions are of gates, whose arms are not the same twice: name others.")
    if not any(run.status == "ok" for session in sessions for run in session.runs):
        count = len(sessions)
        raise UntrustedError(f"There is nothing to show: {count} session{'s' * (count != 1)} without a valid trial.")
    for what, names in (("stack", stacks), ("scenario", scenarios)):
        there = {getattr(run, what): None for session in sessions for run in session.runs}
        for name in names:
            find(what, name, there)
    series = histories(sessions, metric_names=metrics, stacks=stacks, scenarios=scenarios)
    if not series:
        raise UntrustedError(f"There is nothing to show: no valid trial has a figure for {', '.join(metrics)}.")
    return series


def _show(title: str, found: Sequence[Series]) -> None:
    table = Table(
        title=escape(title), box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False
    )
    for heading in ("cell", "metric"):
        table.add_column(heading, overflow="fold")
    for heading in ("sessions", "latest", "interval", "level now"):
        table.add_column(heading, justify="right")
    table.add_column("oldest to newest", overflow="fold")
    for name, cell in groupby(found, key=str):
        for number, each in enumerate(cell):
            table.add_row(*map(escape, _row("" if number else name, each)))
    out.print(table)
    for line in _changes(found):
        out.print(line, soft_wrap=True, highlight=False, markup=False)


def _row(name: str, each: Series) -> Iterator[str]:
    unit, latest = TABLE[each.metric][0].unit, each.latest.estimate
    yield name
    yield SPELLED.get(each.metric, each.metric)
    yield f"{len(each.points)}{f' of {len(each.points) + each.missing}' if each.missing else ''}"
    yield show(latest.value, unit)
    ends = (latest.low, latest.high)
    yield "—" if None in ends else f"{show(latest.low, unit)} to {show(latest.high, unit)}"
    level = show(each.levels[-1].value, unit) if each.enough else "too few to tell"
    yield level if each.steps or not each.enough else f"{level} all along"
    yield _bars([point.estimate.value for point in each.points[-NEWEST:]])


def _changes(found: Sequence[Series]) -> Iterator[str]:
    """Say each change of level in a line, the oldest first, and what could not be looked into."""
    from gatebench.report.history_page import words  # noqa: PLC0415 - as above

    for step, each in sorted(((s, e) for e in found for s in e.steps), key=lambda pair: pair[0].first.started_at):
        unit, better = TABLE[each.metric][0].unit, "better" if step.better else "worse"
        what = f"{each}, {SPELLED.get(each.metric, each.metric)}: {words(step, unit)}, {better}, p {step.p_value:.2g}"
        differs = ", ".join(step.differs) or "nothing else differs"
        yield f"between {step.last.day} and {step.first.day}: {what}; {differs}"
    if short := [each for each in found if not each.enough]:
        most = max(len(each.points) for each in short)
        many = "No cell has" if len(short) == len(found) else f"{len(short)} of {len(found)} series have not"
        yield f"{many} the {FEWEST} sessions of which a change can be told; the longest such series has {most}."


def _bars(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    if low == high:
        return BARS[len(BARS) // 2] * len(values)
    return "".join(BARS[round((value - low) / (high - low) * (len(BARS) - 1))] for value in values)


def _listed(series: Sequence[Series], notices: Sequence[str], page: Path) -> dict[str, Any]:
    said = [{"cell": str(each), "enough": each.enough, **asdict(each)} for each in series]
    return {"page": str(page), "notices": list(notices), "series": said}
