"""The verbs that measure and judge: run, report."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from gatebench import plan, store
from gatebench.cli.terms import App, Backend, Root, Stacks, app, out, telling
from gatebench.errors import ContractError, GatebenchError, Interrupted, MachineError, UntrustedError, UsageError
from gatebench.model import Plan, Run, Session
from gatebench.own import NAME as OWN_SCENARIO
from gatebench.progress import Watcher
from gatebench.run import now
from gatebench.session import Parties, Tree, Wish, opened, parties
from gatebench.stacks import everything
from gatebench.store import Writer
from gatebench.toml import find


@app.command()
def run(  # noqa: PLR0917 - options, which typer gives by name
    plan_name: Annotated[
        str | None,
        typer.Option("--plan", help="A plan of scenarios/plans/.", show_default="flagship; quick for an --app"),
    ] = None,
    stack: Stacks = None,
    scenario: Annotated[
        list[str] | None, typer.Option("--scenario", help="Only this scenario; may be given again.")
    ] = None,
    backend: Backend = "auto",
    generator: Annotated[
        str, typer.Option(help="process; or container, where the host cannot share its network with containers.")
    ] = "process",
    network: Annotated[
        str | None, typer.Option(help="host or bridge, for containers.", show_default="the plan's")
    ] = None,
    own: App = None,
    folder: Annotated[Path, typer.Option("--out", help="Where the results file goes.")] = Path("results"),
    session: Annotated[
        str | None, typer.Option(help="The results file's name.", show_default="plan, time and chance")
    ] = None,
    root: Root = Path(),
) -> None:
    """Measure a plan, trial by trial, into one results file; `gatebench report` makes the page from it."""
    if session is not None and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", session):
        raise UsageError("--session takes up to 100 letters, digits, '.', '_' and '-'; the folder is for --out.")
    tree = Tree.load(root.resolve(), own)
    wanted = _wanted(tree, plan_name, stack or (), scenario or (), own=own is not None)
    if network is not None:
        if backend in {"process", "fake"}:
            raise UsageError(f"--network is for containers; leave it out with --backend {backend}.")
        wanted = plan.networked(wanted, network)
    plan.check(wanted, tree.stacks, tree.scenarios)
    laid = plan.trials(wanted)
    runs: list[Run] = []
    wish = Wish(backend=backend, generator=generator, python=wanted.python, container=wanted.container)
    with out.status("starting") as status:
        told = telling(status)
        with (
            parties(tree.root, wish, told) as who,
            _able(tree, who, stack or ()),
            opened(tree, wanted, who, name=session, told=told) as (header, conductor),
        ):
            status.stop()
            with Writer(folder / f"{header.name}.jsonl", header) as writer:
                shared = header.placement.shared
                apart = f"; {shared}" if shared else ""
                out.print(
                    f"{len(laid)} trials of plan {wanted.name}, backend {_described(header)}{apart}; "
                    f"results go to {writer.path}",
                    soft_wrap=True,
                    highlight=False,
                    markup=False,
                )
                with Watcher(out, len(laid)) as watcher:
                    try:
                        for one in conductor.runs(laid, watcher.begun):
                            writer.add(one)
                            runs.append(one)
                            watcher.ended(one)
                    except (Interrupted, GatebenchError):
                        with contextlib.suppress(MachineError):  # a full disk has been told already
                            writer.end(ended_at=now(), interrupted=True)
                        raise
                writer.end(ended_at=now(), interrupted=False)
    _summarise(runs)


def _wanted(tree: Tree, name: str | None, stacks: Sequence[str], scenarios: Sequence[str], *, own: bool) -> Plan:
    """Give the plan that was asked for: by its name, of these stacks and scenarios, or of somebody's own app."""
    loaded = plan.load(tree.root, name or ("quick" if own else "flagship"))
    if not own:
        return plan.narrow(loaded, stacks, scenarios)
    if scenarios:
        raise UsageError("An app of your own has one scenario, the paths of its app.toml; leave --scenario out.")
    every = [one.name for one in everything(tree.stacks)]
    return replace(plan.of_own(loaded, stacks or every, OWN_SCENARIO), title=tree.scenarios[OWN_SCENARIO].title)


@contextlib.contextmanager
def _able(tree: Tree, who: Parties, named: Sequence[str]) -> Iterator[None]:
    """Refuse what was asked for by name and cannot run here; what a plan names is listed as such instead."""
    for name in named:
        stack = find("stack", name, tree.stacks)
        if stack.cannot:
            raise UsageError(f"{name} cannot run: {stack.cannot}.")
        if lacking := who.backend.missing(stack):
            raise MachineError(lacking)
    yield


def _described(header: Session) -> str:
    """Say in a few words which backend it is, and why it was chosen where that was left to us."""
    facts = [
        f"{header.surroundings[name]}{after}"
        for name, after in (("chosen since", ""), ("network", " network"))
        if name in header.surroundings
    ]
    if header.surroundings.get("generator") == "container":
        facts.append("generator in a container")
    return f"{header.backend} ({', '.join(facts)})" if facts else header.backend


def _summarise(runs: Sequence[Run]) -> None:
    counts = {status: sum(one.status == status for one in runs) for status in ("ok", "void", "failed")}
    windows, elapsed = (sum(getattr(one, field) or 0 for one in runs) for field in ("window_s", "elapsed_s"))
    # Invented windows take no time.
    share = f"; {windows / elapsed:.0%} of the time was spent in measuring windows" if windows < elapsed else ""
    out.print(
        f"{counts['ok']} trials are valid, {counts['void']} void, {counts['failed']} failed{share}.",
        soft_wrap=True,
        highlight=False,
    )
    for fault, kind in (("machine", MachineError), ("contract", ContractError)):
        reasons = dict.fromkeys(f"{one.stack}: {one.reason}" for one in runs if one.fault == fault)
        if reasons:
            raise kind("; ".join(reasons))
    if not counts["ok"]:
        why = dict.fromkeys(one.reason for one in runs if one.reason)
        raise UntrustedError(f"No trial is valid: {'; '.join(list(why)[:3])}")


@app.command()
def report(
    results: Annotated[
        Path | None, typer.Argument(help="A results file.", show_default="the newest in results/")
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Where the page goes.")] = Path("reports"),
) -> None:
    """Make index.html, report.md and tables/*.csv from a results file alone."""
    from gatebench import report as reports  # noqa: PLC0415 - matplotlib and pandas cost a second

    path = results or _newest()
    built = reports.build(path, folder)
    if {*store.read(path).scenarios} == {OWN_SCENARIO}:  # nobody published anything about it
        out.print(str(built.page), soft_wrap=True, highlight=False, markup=False)
        if not built.valid:
            raise UntrustedError(f"The page {built.page} holds no figure: no trial is valid; it says why.")
        return
    table = Table(title="The published comparison, measured here")
    for heading in ("row", "claimed", "WSGI", "ASGI", "factor", "verdict"):
        table.add_column(heading)
    for row in built.headline:
        table.add_row(*map(escape, (row.label, row.claimed, row.wsgi, row.asgi, row.factor, row.verdict)))
    out.print(table)
    out.print(str(built.page), soft_wrap=True, highlight=False, markup=False)
    if not built.figures:
        raise UntrustedError(
            f"The page {built.page} holds no row with a figure: no trial pair is valid; it says why."
        )


def _newest() -> Path:
    found = sorted(Path("results").glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UsageError("There is no results file in results/; run `gatebench run` first, or name a file.")
    return found[-1]
