"""The verb that speaks the contract: check."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from gatebench import machine
from gatebench.checking import Checked, checks
from gatebench.cli.terms import App, AsJson, Backend, Root, Stacks, app, out, telling
from gatebench.contract.routes import ROUTES
from gatebench.errors import ContractError, Interrupted, MachineError, UsageError
from gatebench.model import AnyStack, Stack
from gatebench.model import App as Declared
from gatebench.own import hint
from gatebench.parties import Parties
from gatebench.session import Tree, Wish, parties
from gatebench.stacks import covering, everything, fronted
from gatebench.toml import find

MIB = 2**20
SHORT = {
    "plaintext": "text",
    "update": "upd",
    "external": "ext",
    "sleep": "slp",
    "template": "tmpl",
    "queries": "qrys",
}
SHORT |= {"updates": "upds", "redis": "rds", "upload": "upl", "stream": "strm"}


@app.command()
def check(  # noqa: PLR0917 - options, which typer gives by name
    stack: Stacks = None,
    everyone: Annotated[
        bool, typer.Option("--all", help="Everything that can run here; the same as naming nothing.")
    ] = False,
    cover: Annotated[
        bool, typer.Option("--cover", help="As few stacks as meet every framework, server, driver and bridge once.")
    ] = False,
    at_once: Annotated[
        int | None, typer.Option("--at-once", min=1, max=64, help="Stacks at a time.", show_default="one a CPU")
    ] = None,
    own: App = None,
    root: Root = Path(),
    backend: Backend = "auto",
    as_json: AsJson = False,
) -> None:
    """Start stacks and speak the whole contract of apps/CONTRACT.md to them, several at a time."""
    if sum(map(bool, (stack, everyone, cover))) > 1:
        raise UsageError("--stack, --all and --cover each say which stacks; choose one.")
    tree = Tree.load(root.resolve(), own)
    found: list[Checked] = []
    with out.status("starting") as status, parties(tree.root, Wish(backend=backend), telling(status)) as who:
        chosen = _chosen(tree, who, stack, cover=cover)
        ended: BaseException | None = None
        try:
            for checked in checks(tree, chosen, who, telling(status), at_once=at_once or len(machine.usable_cpus())):
                found.append(checked)
                if not as_json and (checked.problem or (checked.outcome and not checked.passed)):
                    _show_fault(checked)
        except (Interrupted, Exception) as error:  # noqa: BLE001 - raised again when what was found has been shown
            ended = error
    found.sort(key=lambda checked: [one.name for one in chosen].index(checked.stack))
    if as_json:
        typer.echo(json.dumps([_checked(one) for one in found], indent=2))
    elif found or ended is None:
        _show(tree, found)
    if ended is not None:
        if isinstance(ended, Interrupted):
            ended = Interrupted(f"Interrupted; {len(found)} of {len(chosen)} stacks were checked.")
        raise ended
    _judge(found, named=bool(stack), own=next(iter(tree.stacks.apps.values())) if own else None)


def _chosen(tree: Tree, who: Parties, names: Sequence[str] | None, *, cover: bool) -> list[AnyStack]:
    if names:
        chosen = [find("stack", name, tree.stacks) for name in dict.fromkeys(names)]
        for one in chosen:
            if one.cannot:
                raise UsageError(f"{one.name} cannot run: {one.cannot}.")
        return chosen

    def able(stack: Stack) -> bool:
        return who.backend.missing(stack) is None

    alone = covering(tree.stacks, able) if cover else everything(tree.stacks, able)
    refused = [] if cover else [stack for stack in map(tree.stacks.one, tree.stacks) if stack.cannot]
    return [*alone, *fronted(tree.stacks), *refused]


def _show(tree: Tree, found: Sequence[Checked]) -> None:
    """Print one table: stack, ready after, memory at rest, each route's verdict."""
    routes = ROUTES if any(not tree.stacks[one.stack].visits for one in found) else ()
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("stack", overflow="fold")
    own = bool(found) and not routes
    for heading in ("ready, s", "rest, MiB", *(["paths kept"] * own), *(SHORT.get(route, route) for route in routes)):
        table.add_column(heading, justify="right")
    for one in found:
        if one.needs is not None or one.refused is not None:
            continue
        ready = "" if one.ready_s is None else f"{one.ready_s:.2f}"
        memory = "" if one.memory_bytes is None else f"{one.memory_bytes / MIB:.0f}"
        verdicts = [_kept(one)] if own else [_coloured(one.verdict(route)) for route in routes]
        table.add_row(escape(one.stack), ready, memory, *verdicts)
    out.print(table)
    if routes:
        out.print("ok kept, - offered by none of it and seen to be so, FAIL broken, ? not asked", highlight=False)
    for one in found:
        if one.needs is not None:
            out.print(f"not run: {one.needs}", soft_wrap=True, highlight=False, markup=False)
        if one.refused is not None:
            said = f"cannot run, as is declared: {one.stack}: {one.refused}"
            out.print(said, soft_wrap=True, highlight=False, markup=False)
    for reason in dict.fromkeys(reason for one in found for reason in one.unasked.values()):
        out.print(f"routes not asked: {reason}", soft_wrap=True, highlight=False, markup=False)
    tried = [one for one in found if one.needs is None and one.refused is None]
    passed, ran = sum(one.passed for one in tried), len(tried)
    rules = sum(len(one.outcome.findings) for one in found if one.outcome)
    kept = "answered every path as app.toml says" if own else f"kept the contract ({rules} rules)"
    out.print(f"{passed} of {ran} stacks {kept}.", soft_wrap=True, highlight=False)


def _kept(checked: Checked) -> str:
    """Say of somebody's own app how many of its paths were answered as they should be."""
    if checked.outcome is None:
        return "?"
    paths = {finding.route for finding in checked.outcome.findings}
    broken = {finding.route for finding in checked.outcome.findings if not finding.ok}
    said = f"{len(paths - broken)} of {len(paths)}"
    return f"[red]{said}[/]" if broken else f"[green]{said}[/]"


def _coloured(word: str) -> str:
    return {"ok": "[green]ok[/]", "FAIL": "[red]FAIL[/]"}.get(word, word)


def _show_fault(checked: Checked) -> None:
    why = f": {escape(checked.problem)}" if checked.problem else ""
    out.print(f"[red]failed[/] {escape(checked.stack)}{why}", soft_wrap=True, highlight=False)
    for finding in dict.fromkeys(checked.outcome.findings if checked.outcome else ()):  # told once, however often met
        if not finding.ok:
            text = f"  {finding.route}, {finding.rule}: expected {finding.expected}, found {finding.found}"
            out.print(escape(text), soft_wrap=True, highlight=False)


def _judge(found: Sequence[Checked], *, named: bool, own: Declared | None) -> None:
    """Say by an error whose turn it is; `own` is somebody's own app."""
    if any(one.misdeclared for one in found):
        raise UsageError("Not every stack can be started as it is declared: see above.")
    if any(one.problem and not one.unready for one in found):
        helps = f"; {hint(own)}" if own else ""
        raise MachineError(f"Not every stack could be started: see above{helps}.")
    if named and (needs := [one.needs for one in found if one.needs]):
        raise MachineError("; ".join(needs))
    failed = [one.stack for one in found if one.needs is None and not one.passed]
    if failed:
        kept = "app.toml's paths were not all answered as it says by" if own else "The contract was not kept by"
        raise ContractError(f"{kept} {', '.join(failed)}: see above.")


def _checked(checked: Checked) -> dict[str, Any]:
    outcome = checked.outcome
    return {
        "stack": checked.stack,
        "passed": checked.passed,
        "problem": checked.problem,
        "needs": checked.needs,
        "refused": checked.refused,
        "ready_s": checked.ready_s,
        "memory_bytes": checked.memory_bytes,
        "lacks": dict(checked.lacks),
        "unasked": dict(checked.unasked),
        "findings": [asdict(finding) for finding in outcome.findings] if outcome else [],
    }
