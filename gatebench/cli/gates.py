"""The verb that holds a change against what was before it: gate.

Knows the order of its steps, its options and what it ends with. Must not know how anything is measured or judged.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gatebench import gating, store
from gatebench.arms import arms
from gatebench.backends.programs import scratch_folder
from gatebench.cli.gate_options import Asked
from gatebench.cli.gate_reports import Judged, check_writable, cleared, end, say
from gatebench.cli.gate_view import Watcher, spelled
from gatebench.cli.terms import App, AsJson, Backend, Root, app, aside, given, out, telling
from gatebench.errors import GatebenchError, Interrupted, MachineError
from gatebench.gate import LEAST, MARGINS, MOST, SHORT, recorded
from gatebench.gating import Wanted
from gatebench.model import Session
from gatebench.run import Conductor, now
from gatebench.session import Wish, opened, parties
from gatebench.store import Writer


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
    console = aside if as_json else out
    cleared(reports)
    asked = Asked(
        said=given(ctx),
        base=base,
        head=head,
        own=own,
        stack=stack,
        scenarios=tuple(scenario or ()),
        metrics=tuple(metric or ()),
        margins=tuple(margin or ()),
        budget=budget,
        blocks=blocks,
        confirm=confirm,
        backend=backend,
        folder=folder,
        session=session,
        root=root.resolve(),
    )
    end(_read(results, asked) if results else _measured(asked, console), reports, console, as_json=as_json)


def _read(paths: Sequence[Path], asked: Asked) -> Judged:
    """Read what was measured before, as a gate's session."""
    asked.check_files(paths)
    found = [store.read(path) for path in paths]
    asked.check_sessions(paths, found)
    if found[0].gate is not None:
        return Judged(session=found[0], files=paths)
    leading, margins = asked.judged()
    session = recorded(
        found, base=asked.base, head=asked.head, scenarios=asked.scenarios, leading=leading, margins=margins
    )
    return Judged(session=session, files=paths, options=asked.spelled())


def _measured(asked: Asked, console: Console) -> Judged:
    """Measure both arms into a results file of which nothing is lost."""
    budget_s, (leading, margins) = asked.budget_s(), asked.judged()
    base, head = asked.arms()
    check_writable(asked.folder, "--out")
    with (
        console.status("starting") as status,
        scratch_folder() as scratch,
        arms(asked.root, base=base, head=head, own=asked.own, stack=asked.stack, scratch=scratch) as (
            tree,
            one,
            other,
        ),
    ):
        wanted = Wanted(
            base=one,
            head=other,
            scenarios=asked.scenarios,
            leading=leading,
            margins=margins,
            budget_s=budget_s,
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
                say(console, *_begins(header, writer.path), *warned)
                _blocks(conductor, header, writer, console)
    return Judged(session=store.read(writer.path), files=[writer.path])


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
                kept = f"What was measured is kept: `gatebench gate {writer.path}` judges it."
                raise Interrupted(f"{error} {kept}") from None
            raise
    writer.end(ended_at=now(), interrupted=False)
