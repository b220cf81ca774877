"""The command line: verbs, exit codes, and all that is printed. No other module prints or exits.

Exit codes: 0 done, 1 an app failed its contract, 2 wrong usage, declaration or unreadable file, 3 not to be trusted
(no valid trial), 4 the machine or a service failed, 130 interrupted (the results so far are kept).
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from gatebench import __version__, declare, machine, plan
from gatebench.backends.containers import compose as composed
from gatebench.backends.containers import debian, engine
from gatebench.errors import ContractError, GatebenchError, Interrupted, MachineError, UntrustedError, UsageError
from gatebench.model import Plan, Run, Session, Stack
from gatebench.plan import impossible
from gatebench.progress import Watcher
from gatebench.run import now
from gatebench.session import Checked, Tree, Wish, checks, opened, parties
from gatebench.store import Writer

WIDE = 160  # columns where no terminal says how many it has

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Measure Python web stacks, WSGI against ASGI, and say how sure the figures are.",
    epilog="Exit codes: 0 done; 1 an app failed its contract; 2 wrong usage or unreadable file; "
    "3 no valid trial; 4 the machine or a service failed; 130 interrupted, results so far kept.",
)
out = Console() if sys.stdout.isatty() else Console(width=WIDE)

Root = Annotated[
    Path, typer.Option("--root", help="The folder with apps/, compose/ and scenarios/.", show_default="here")
]
Stacks = Annotated[list[str] | None, typer.Option("--stack", help="A stack, app+server; may be given again.")]
Backend = Annotated[
    str,
    typer.Option(
        "--backend",
        envvar="GATEBENCH_BACKEND",
        help="container or process; auto: containers where a Docker engine answers; fake: nothing is measured.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def main() -> None:
    """Run the command line; a user's mistake is one sentence and an exit code, never a traceback."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        app()
    except (GatebenchError, Interrupted) as error:
        _say(str(error))
        sys.exit(error.exit_code)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Stop once: what cleans up must not be interrupted in its turn."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise Interrupted("Interrupted; what was measured so far is kept.")


def _say(text: str) -> None:
    Console(stderr=True, soft_wrap=True).print(f"gatebench: {text}", markup=False, highlight=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gatebench {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hold the options that come before a verb."""


@app.command("list")
def list_(root: Root = Path(), as_json: AsJson = False) -> None:
    """List stacks, scenarios and plans, and why a pair cannot run what it cannot."""
    tree = Tree.load(root.resolve())
    plans = [plan.load(tree.root, name) for name in plan.plans(tree.root)]
    if as_json:
        typer.echo(json.dumps(_listed(tree, plans), indent=2, default=str))
        return
    table = Table(title="Stacks")
    for heading in ("stack", "interface", "settings", "cannot run"):
        table.add_column(heading, overflow="fold")
    for stack in tree.stacks.values():
        settings = ", ".join(f"{key}={value}" for key, value in stack.server.settings.items())
        table.add_row(
            *map(escape, (stack.name, stack.app.interface, settings, "; ".join(_lacks(tree, stack).values())))
        )
    out.print(table)
    table = Table(title="Scenarios")
    for heading in ("scenario", "what it does", "routes", "services"):
        table.add_column(heading)
    for scenario in tree.scenarios.values():
        table.add_row(
            *map(escape, (scenario.name, scenario.title, " ".join(scenario.routes), " ".join(scenario.services)))
        )
    out.print(table)
    table = Table(title="Plans")
    for heading in ("plan", "title", "trials"):
        table.add_column(heading)
    for loaded in plans:
        table.add_row(*map(escape, (loaded.name, loaded.title, str(len(plan.trials(loaded))))))
    out.print(table)


def _lacks(tree: Tree, stack: Stack) -> dict[str, str]:
    found = ((scenario.name, impossible(stack, scenario)) for scenario in tree.scenarios.values())
    return {name: f"{name}: {reason}" for name, reason in found if reason}


def _listed(tree: Tree, plans: Sequence[Plan]) -> dict[str, Any]:
    return {
        "stacks": [
            {
                "name": stack.name,
                "interface": stack.app.interface,
                "settings": dict(stack.server.settings),
                "protocols": stack.server.protocols,
                "cannot_run": _lacks(tree, stack),
            }
            for stack in tree.stacks.values()
        ],
        "scenarios": [
            {key: value for key, value in asdict(scenario).items() if key != "path"}
            for scenario in tree.scenarios.values()
        ],
        "services": list(tree.services),
        "plans": [
            {"name": each.name, "title": each.title, "stacks": each.stacks, "trials": len(plan.trials(each))}
            for each in plans
        ],
    }


@app.command()
def check(stack: Stacks = None, root: Root = Path(), backend: Backend = "auto", as_json: AsJson = False) -> None:
    """Start stacks and speak the whole contract of apps/CONTRACT.md to them; all stacks, or those named."""
    tree = Tree.load(root.resolve())
    chosen = [declare.find("stack", name, tree.stacks) for name in stack or tree.stacks]
    found = []
    with out.status("starting") as status, parties(tree.root, Wish(backend=backend), _telling(status)) as who:
        for checked in checks(tree, chosen, who, _telling(status)):
            found.append(checked)
            if not as_json:
                _show_check(checked)
    if as_json:
        typer.echo(json.dumps([_checked(one) for one in found], indent=2))
    if any(one.problem for one in found):
        raise MachineError("Not every stack could be started: see above.")
    failed = [one.stack for one in found if one.outcome is None or not one.outcome.passed]
    if failed:
        raise ContractError(f"The contract was not kept by {', '.join(failed)}: see above.")


def _show_check(checked: Checked) -> None:
    if checked.outcome is None:
        out.print(f"[red]failed[/] {escape(checked.stack)}: {escape(checked.problem or '')}", soft_wrap=True)
        return
    word = "[green]passed[/]" if checked.outcome.passed else "[red]failed[/]"
    rules = f"{len(checked.outcome.findings)} rules, ready after {checked.ready_s or 0:.2f} s"
    out.print(f"{word} {escape(checked.stack)}: {rules}", soft_wrap=True, highlight=False)
    for finding in checked.outcome.findings:
        if not finding.ok:
            text = f"  {finding.route}, {finding.rule}: expected {finding.expected}, found {finding.found}"
            out.print(escape(text), soft_wrap=True, highlight=False)
    for route, reason in checked.lacks.items():
        out.print(escape(f"  offers no {route}: {reason}"), soft_wrap=True, highlight=False)


def _checked(checked: Checked) -> dict[str, Any]:
    outcome = checked.outcome
    return {
        "stack": checked.stack,
        "passed": bool(outcome and outcome.passed),
        "problem": checked.problem,
        "ready_s": checked.ready_s,
        "lacks": dict(checked.lacks),
        "findings": [asdict(finding) for finding in outcome.findings] if outcome else [],
    }


@app.command()
def run(  # noqa: PLR0917 - options, which typer gives by name
    plan_name: Annotated[str, typer.Option("--plan", help="A plan of scenarios/plans/.")] = "flagship",
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
    folder: Annotated[Path, typer.Option("--out", help="Where the results file goes.")] = Path("results"),
    session: Annotated[
        str | None, typer.Option(help="The results file's name.", show_default="plan, time and chance")
    ] = None,
    root: Root = Path(),
) -> None:
    """Measure a plan, trial by trial, into one results file; `gatebench report` makes the page from it."""
    if session is not None and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", session):
        raise UsageError("--session takes up to 100 letters, digits, '.', '_' and '-'; the folder is for --out.")
    tree = Tree.load(root.resolve())
    wanted = plan.narrow(plan.load(tree.root, plan_name), stack or (), scenario or ())
    if network is not None:
        if backend in {"process", "fake"}:
            raise UsageError(f"--network is for containers; leave it out with --backend {backend}.")
        wanted = plan.networked(wanted, network)
    plan.check(wanted, tree.stacks, tree.scenarios)
    laid = plan.trials(wanted)
    runs: list[Run] = []
    wish = Wish(backend=backend, generator=generator, python=wanted.python, container=wanted.container)
    with out.status("starting") as status:
        told = _telling(status)
        with (
            parties(tree.root, wish, told) as who,
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


def _telling(status: Status) -> Callable[[str], None]:
    return lambda text: status.update(escape(text))


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

    built = reports.build(results or _newest(), folder)
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


@app.command()
def doctor(root: Root = Path(), as_json: AsJson = False) -> None:
    """Say what this machine has for a run, and what is missing."""
    facts = machine.facts()
    cpus = machine.usable_cpus()
    placement = machine.place(cpus)
    tree = Tree.load(root.resolve())
    said = {
        "gatebench": __version__,
        **asdict(facts),
        "placement": {name: getattr(placement, name) for name in ("server", "generator", "services")},
        "shared_cpus": placement.shared,
        "stacks": len(tree.stacks),
        **_containers(),
        "warnings": list(_warnings(facts.open_files, len(cpus))),
    }
    if as_json:
        typer.echo(json.dumps(said, indent=2))
        return
    table = Table(title="This machine", show_header=False)
    for key, value in said.items():
        table.add_row(key, escape(str(value if value not in (None, []) else "none")))
    out.print(table)


def _containers() -> dict[str, Any]:
    """Say which engine there is, what builds images with it, and what earlier sessions left in it."""
    try:
        found = engine.find()
        left, images = engine.leftovers(found), engine.images(found)
    except MachineError as error:
        return {"engine": str(error), "builds_with": None, "images": None, "leftovers": []}
    try:
        builds_with = found.command[0]
    except MachineError as error:
        builds_with = str(error)
    return {
        "engine": f"Docker {found.version} at {found.address}, control groups {found.cgroup}",
        "builds_with": builds_with,
        "images": ", ".join(sorted(image.name for image in images if image.name)) or None,
        "leftovers": list(map(str, left)),
    }


def _warnings(open_files: int, cpus: int) -> list[str]:
    found = []
    if cpus == 1:
        found.append("one CPU: server and generator share it, and most trials will be void")
    if open_files < 4096:
        found.append(
            f"the limit on open files is {open_files}: many connections cannot be held; raise it with ulimit -n"
        )
    return found


@app.command()
def clean(
    images: Annotated[
        bool,
        typer.Option("--images", help="All images of gatebench too, the base included: not while a session runs."),
    ] = False,
) -> None:
    """Remove from the Docker engine what earlier sessions left behind; only what carries gatebench's label."""
    found = engine.find()
    things = engine.leftovers(found)
    if images:
        things += engine.images(found)
    kept = []
    for thing in things:
        try:
            engine.remove(found, thing)
        except MachineError as error:
            kept.append(str(error))
        else:
            out.print(f"removed {thing}", highlight=False, markup=False)
    if not things:
        out.print("Nothing was left behind.")
    if kept:
        raise MachineError("Not all of it could be removed: " + " ".join(kept))


@app.command()
def compose(
    stack: Annotated[str, typer.Argument(help="A stack, app+server.", show_default=False)], root: Root = Path()
) -> None:
    """Print the compose file that starts one stack with its services by hand, to look at and not to measure.

    compose/compose.yaml is one of them. Write another beside it, since paths in it start from there.
    """
    tree = Tree.load(root.resolve())
    typer.echo(composed.render(declare.find("stack", stack, tree.stacks), tree.services), nl=False)


@app.command("base-image")
def base_image() -> None:
    """Make the base of all images from Debian's packages, for where none can be pulled."""
    found = engine.find()
    with out.status("starting") as status:
        made = debian.base_image(found.client, _telling(status))
    out.print(f"{made} is there.", highlight=False, markup=False)
