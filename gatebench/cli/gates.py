"""The verb that holds a change against what was before it: gate.

Knows the order of its steps, its options and what it ends with. Must not know how anything is measured or judged.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gatebench import gating, store
from gatebench.arms import arms
from gatebench.backends.programs import scratch_folder
from gatebench.cli.gate_view import Watcher, show, spelled
from gatebench.cli.terms import WIDE, App, AsJson, Backend, Root, app, check_name, given, out, telling
from gatebench.errors import (
    ContractError,
    GatebenchError,
    Interrupted,
    MachineError,
    RegressionError,
    UntrustedError,
    UsageError,
)
from gatebench.gate import LEAST, MARGINS, MOST, SHORT, judge, recorded
from gatebench.gate.formats import FORMATS
from gatebench.gating import Wanted
from gatebench.model import Run, Session
from gatebench.run import Conductor, now
from gatebench.session import Wish, opened, parties
from gatebench.store import Writer
from gatebench.toml import find

SECONDS = {"s": 1, "m": 60, "h": 3600}
LONGEST_S = 24 * 3600
JUDGES_WITH = ("results", "base", "head", "scenario", "metric", "margin", "reports", "as_json", "root")
DECLARED = ("scenario", "metric", "margin")  # what a gate's own file says
PAGE, JSON = "gate.html", "gate.json"
METRICS = {**SHORT, **{name: name for name in SHORT.values()}}


@app.command()
def gate(  # noqa: PLR0917 - options, which typer gives by name
    ctx: typer.Context,
    results: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Judge this results file, or a base's and a head's; nothing is measured.", show_default=False
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            help="What head is held against: a git revision, folder:PATH, requirements:FILE, python=3.13, "
            "threads=32, @tuned, stack:NAME, or a dot for what is here. Of RESULTS: a stack.",
            show_default=False,
        ),
    ] = None,
    head: Annotated[str | None, typer.Option(help="What is judged; spelled as --base.", show_default=False)] = None,
    own: App = None,
    stack: Annotated[
        str | None,
        typer.Option(help="The stack of both.", show_default="flask+gunicorn-gthread; of an --app its first"),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            "--scenario", help="On this scenario; may be given again.", show_default="plain; an --app's own"
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{', '.join(SHORT)}; may be given again, the first leads.",
            show_default=", ".join(map(spelled, MARGINS)),
        ),
    ] = None,
    margin: Annotated[
        list[str] | None,
        typer.Option(
            help="By how much the leading metric may get worse, 2.5%, or another one, p99=25%; may be given again.",
            show_default=", ".join(f"{spelled(name)}={100 * share:g}%" for name, share in MARGINS.items()),
        ),
    ] = None,
    budget: Annotated[
        str, typer.Option(help="Time for measuring: 90s, 5m, 1h. A confirmation has as much again.")
    ] = "5m",
    blocks: Annotated[
        int | None, typer.Option(min=LEAST, max=MOST, help="At most so many blocks, instead of --budget.")
    ] = None,
    confirm: Annotated[
        bool,
        typer.Option("--confirm/--no-confirm", help="Whether a fail counts only where fresh blocks say the same."),
    ] = True,
    backend: Backend = "auto",
    folder: Annotated[Path, typer.Option("--out", help="Where the results file goes.")] = Path("results"),
    session: Annotated[
        str | None, typer.Option(help="The results file's name.", show_default="gate, time and chance")
    ] = None,
    reports: Annotated[Path, typer.Option(help="Where page, Markdown, JSON and JUnit go.")] = Path("reports/gate"),
    as_json: AsJson = False,
    root: Root = Path(),
) -> None:
    """Measure base and head at the same time, block by block, and say whether head is worse than it may be.

    Ends with 0 where it is not, with 1 where it is, and with 3 where nobody can tell.
    """
    said, console = given(ctx), _aside() if as_json else out
    _cleared(reports)
    leading, margins = _margins(metric or (), margin or ())
    asked = _Asked(
        base=base,
        head=head,
        own=own,
        stack=stack,
        scenarios=tuple(scenario or ()),
        leading=leading,
        margins=margins,
        budget_s=_seconds(budget),
        blocks=blocks,
        confirm=confirm,
        backend=backend,
        folder=folder,
        session=session,
        root=root.resolve(),
    )
    if results:
        if others := [option for name, option in said.items() if name not in JUDGES_WITH]:
            raise UsageError(f"Results are judged as they were measured; leave out {', '.join(others)}.")
        found = _read(results, asked, [option for name, option in said.items() if name in DECLARED])
    else:
        if "budget" in said and "blocks" in said:
            raise UsageError("--budget and --blocks each say how long to measure; choose one.")
        check_name(session)
        if session and (taken := folder / f"{session}.jsonl").exists():
            raise UsageError(f"{taken} exists already, and results are never written over: give another --session.")
        found = store.read(_measured(asked, console))
    _end(found, reports, console, as_json=as_json)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What was asked for, as far as it is more than a word."""

    base: str | None
    head: str | None
    own: Path | None
    stack: str | None
    scenarios: tuple[str, ...]
    leading: str
    margins: dict[str, float]
    budget_s: float
    blocks: int | None
    confirm: bool
    backend: str
    folder: Path
    session: str | None
    root: Path


def _margins(names: Sequence[str], spellings: Sequence[str]) -> tuple[str, dict[str, float]]:
    """Give the leading metric, and of each by how much it may get worse."""
    chosen = list(dict.fromkeys(find("metric", name, METRICS) for name in names)) or list(MARGINS)
    found: dict[str, float] = {}
    for spelling in spellings:
        match = re.fullmatch(r"(?:([a-z0-9_]+)=)?([0-9]{1,3}(?:\.[0-9]{1,3})?)%", spelling)
        if not match or not float(match[2]):
            raise UsageError(f"--margin '{spelling}' is no margin; expected 2.5%, or p99=25% of another metric.")
        name = find("metric (in --margin)", match[1], METRICS) if match[1] else chosen[0]
        if name in found:
            raise UsageError(f"--margin says of {spelled(name)} twice how much worse it may get.")
        if name not in chosen:
            judged = " ".join(f"--metric {spelled(one)}" for one in (*chosen, name))
            raise UsageError(f"--margin {spelling}: {spelled(name)} is not judged; ask for it too, {judged}.")
        found[name] = float(match[2]) / 100
    for name in chosen:
        if name not in found and name not in MARGINS:
            help_ = f"say how much worse it may get, such as --margin {spelled(name)}=10%"
            raise UsageError(f"There is no margin for {spelled(name)} unless it is given: {help_}.")
    return chosen[0], {name: found.get(name) or MARGINS[name] for name in chosen}


def _seconds(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([smh])", text)
    seconds = float(match[1]) * SECONDS[match[2]] if match else 0.0
    if not 0 < seconds <= LONGEST_S:
        raise UsageError(f"--budget '{text}' is no time for measuring; expected such as 90s, 5m or 1h, up to a day.")
    return seconds


def _aside() -> Console:
    """Give the console of what is told where stdout is a script's."""
    console = Console(stderr=True, emoji=False)
    return console if console.is_terminal else Console(stderr=True, width=WIDE, emoji=False)


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _cleared(reports: Path) -> None:
    """Remove an earlier judgement: it must not stand where this one comes to none."""
    try:
        reports.mkdir(parents=True, exist_ok=True)
        if (reports / JSON).exists():  # else its files, such as a junit.xml, are somebody else's
            for name in (*FORMATS, PAGE):
                (reports / name).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"{reports} cannot be written ({error.strerror}): give another folder with --reports."
        ) from None


def _read(paths: Sequence[Path], asked: _Asked, declared: Sequence[str]) -> Session:
    """Read what was measured before, as a gate's session; `declared` are options that a gate's file has itself."""
    if len(paths) > 2:
        raise UsageError(f"One results file is judged, or a base's and a head's, not {len(paths)}.")
    found = [store.read(path) for path in paths]
    for path, each in zip(paths, found, strict=True):
        if each.ended_at is None:
            raise UsageError(f"{path} is cut short: its session was killed, or is not over; measure again.")
    if len(found) == 1 and found[0].gate is not None and asked.base is None and asked.head is None:
        if declared:
            raise UsageError(
                f"{paths[0]} says what it is judged by, declared before it was measured: leave out "
                f"{', '.join(declared)}."
            )
        return found[0]
    return recorded(
        found,
        base=asked.base,
        head=asked.head,
        scenarios=asked.scenarios,
        leading=asked.leading,
        margins=asked.margins,
    )


def _measured(asked: _Asked, console: Console) -> Path:
    """Measure both arms into a results file of which nothing is lost, and give the file."""
    if asked.base is None or asked.head is None:
        raise UsageError("A gate holds one thing against another: name both, such as --base HEAD~1 --head . for git.")
    with (
        console.status("starting") as status,
        scratch_folder() as scratch,
        arms(asked.root, base=asked.base, head=asked.head, own=asked.own, stack=asked.stack, scratch=scratch) as (
            tree,
            base,
            head,
        ),
    ):
        wanted = Wanted(
            base=base,
            head=head,
            scenarios=asked.scenarios,
            leading=asked.leading,
            margins=asked.margins,
            budget_s=asked.budget_s,
            confirm=asked.confirm,
            blocks=asked.blocks,
        )
        plan, told = gating.planned(tree, wanted), telling(status)
        wish = Wish(backend=asked.backend, python=plan.python, container=plan.container)
        with (
            parties(tree.root, wish, told) as who,
            opened(tree, plan, who, name=asked.session, told=told) as (opening, conductor),
        ):
            told("practice, which is not kept")
            warned: list[str] = []
            header = gating.laid_down(conductor, wanted, opening, warned=warned.append)
            status.stop()
            with Writer.new(asked.folder / f"{header.name}.jsonl", header) as writer:
                _say(console, *_begins(header, writer.path), *warned)
                _blocks(conductor, header, writer, console)
            return writer.path


def _begins(header: Session, path: Path) -> tuple[str, ...]:
    """Say what is to be measured."""
    declared = header.gate
    assert declared is not None  # noqa: S101 -- laid down
    shared = header.placement.shared
    apart = f"; {shared}" if shared else ""
    after = " and ".join(", ".join(map(str, declared.looks)).rsplit(", ", 1))
    return (
        f"base: {declared.base}, {declared.arms[declared.base]}",
        f"head: {declared.head}, {declared.arms[declared.head]}",
        f"to be judged after {after} blocks; backend {header.backend}{apart}; results go to {path}",
    )


def _blocks(conductor: Conductor, header: Session, writer: Writer, console: Console) -> None:
    """Measure until it is decided; what was measured is kept, however it ends."""
    with Watcher(console, header) as watcher:
        try:
            for run in gating.gated(conductor, header, watcher.begun):
                writer.add(run)
                watcher.ended(run)
        except (Interrupted, GatebenchError) as error:
            with contextlib.suppress(MachineError):  # a full disk has been told already
                writer.end(ended_at=now(), interrupted=True)
            if isinstance(error, Interrupted):
                raise Interrupted(f"{error} `gatebench gate {writer.path}` judges it.") from None
            raise
    writer.end(ended_at=now(), interrupted=False)


def _end(session: Session, reports: Path, console: Console, *, as_json: bool) -> None:
    """Judge, leave the files, show it, and say by an error what is not well."""
    from gatebench.report.files import put  # noqa: PLC0415 - matplotlib and pandas cost a second
    from gatebench.report.gate_page import page  # noqa: PLC0415 - the same

    judgement, failed = judge(session), _failed(session)
    if failed and not judgement.broken:
        judgement = replace(judgement, word="unsure", sentence=str(failed))
    texts = {name: write(judgement, session) for name, write in FORMATS.items()}
    texts[PAGE] = page(judgement, session)
    for name in sorted(texts, key=lambda name: name == JSON):  # last: where it is, all the others are
        put(reports / name, texts[name], option="--reports")
    if as_json:
        typer.echo(texts[JSON], nl=False)
    show(console, judgement, session)
    _say(console, f"{reports / PAGE}, with {', '.join(FORMATS)} beside it.")
    if judgement.broken:
        raise ContractError(judgement.broken)
    if failed:
        raise failed
    if judgement.word == "fail":
        raise RegressionError(judgement.sentence)
    if judgement.word == "unsure":
        raise UntrustedError(judgement.sentence)
    _say(console, judgement.sentence)


def _failed(session: Session) -> GatebenchError | None:
    """Give the error of an arm that could never be measured, or could not any more."""
    declared = session.gate
    assert declared is not None  # noqa: S101 -- it has been judged
    whose: dict[str, list[Run]] = {stack: [] for stack in declared.arms}
    for run in session.runs:
        if run.stack in whose:
            whose[run.stack].append(run)
    never = [runs[0] for runs in whose.values() if runs and all(run.fault for run in runs)]
    # A gate stops where an arm will not do better; what was measured before it then is no pass.
    last = [run for run in session.runs[-2:] if run.stack in whose and gating.final(run)]
    return next((error for run in (*never, *last) if (error := gating.failure(run, declared.arms))), None)
