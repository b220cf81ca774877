"""The verbs that only look: list, doctor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from gatebench import __version__, catalogue, envs, machine, plan
from gatebench.backends.containers import engine
from gatebench.backends.serving import missing, needed
from gatebench.cli.terms import App, AsJson, Root, app, out
from gatebench.errors import MachineError
from gatebench.model import Part, Plan, Scenario, Stack, resolved
from gatebench.own import NAME as OWN_SCENARIO
from gatebench.plan import impossible
from gatebench.session import Tree
from gatebench.stacks import OWN, everything


class Kind(StrEnum):
    """What can be listed."""

    stacks = "stacks"
    servers = "servers"
    axes = "axes"
    scenarios = "scenarios"
    plans = "plans"
    services = "services"


@app.command("list")
def list_(  # noqa: PLR0917 - options, which typer gives by name
    kinds: Annotated[
        list[Kind] | None, typer.Argument(help="What to list.", show_default="all of them", metavar="[KIND]...")
    ] = None,
    versions: Annotated[
        bool,
        typer.Option("--versions", help="The versions that requirements/stacks.txt gives to each."),
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page that docs/stacks.md is.")] = False,
    own: App = None,
    root: Root = Path(),
    as_json: AsJson = False,
) -> None:
    """List stacks, axes, scenarios, plans and services, and why a pair cannot run what it cannot."""
    tree = Tree.load(root.resolve(), own)
    if as_json:
        typer.echo(json.dumps(_listed(tree), indent=2, default=str))
        return
    if markdown:
        typer.echo(catalogue.markdown(tree.stacks, tree.services), nl=False)
        return
    if versions:
        _show(_versions(tree))
        return
    shown = {
        Kind.stacks: _stacks,
        Kind.servers: _servers,
        Kind.axes: _axes,
        Kind.scenarios: _scenarios,
        Kind.plans: _plans,
        Kind.services: _services,
    }
    for kind in kinds or list(Kind):
        _show(shown[kind](tree))


def _show(table: tuple[str, Sequence[str], Sequence[Sequence[str]]]) -> None:
    title, headings, rows = table
    shown = Table(title=escape(title))
    for heading in headings:
        shown.add_column(heading, overflow="fold")
    for row in rows:
        shown.add_row(*map(escape, row))
    out.print(shown)


def _stacks(tree: Tree) -> tuple[str, Sequence[str], Sequence[Sequence[str]]]:
    rows = []
    for stack in _listable(tree):
        cannot = [said] if (said := stack.cannot) else list(_lacks(tree, stack).values())
        if lacking := missing(stack.needs):
            cannot.append(f"here as a process: {needed(stack.name, lacking)}")
        rows.append((stack.name, stack.interface, "; ".join(cannot)))
    return "Stacks", ("stack", "interface", "cannot run"), rows


def _servers(tree: Tree) -> tuple[str, Sequence[str], Sequence[Sequence[str]]]:
    rows = []
    for server in tree.stacks.servers.values():
        settings = ", ".join(f"{key}={value}" for key, value in resolved(server.settings).items())
        rows.append((server.name, server.interface, " ".join(server.protocols), settings))
    return "Servers", ("server", "interface", "protocols", "settings"), rows


def _axes(tree: Tree) -> tuple[str, Sequence[str], Sequence[Sequence[str]]]:
    rows = []
    for side, axes in tree.stacks.work.axes.items() if tree.stacks.work else ():
        for axis, choices in axes.items():
            apps = " ".join(app.name for app in tree.stacks.apps.values() if app.work == side)
            rows.append((axis, ", ".join(choice.value for choice in choices), apps))
    for one in tree.stacks.apps.values():
        for axis, choices in one.axes.items():
            rows.append((axis, ", ".join(choice.value for choice in choices), one.name))
    takers = (server for server in tree.stacks.servers.values() if server.takes)
    rows += [("bridge", OWN, f"every {'/'.join(server.takes)} app on {server.name}") for server in takers]
    for bridge in tree.stacks.bridges.values():
        whose = " or ".join(bridge.takes)
        rows.append(("bridge", bridge.name, f"every {whose} app on every server of the other interface"))
    return "Axes, the default first: app+server[axis=value,…]", ("axis", "values", "of"), rows


def _scenarios(tree: Tree) -> tuple[str, Sequence[str], Sequence[Sequence[str]]]:
    rows = [(one.name, one.title, " ".join(one.routes), " ".join(one.services)) for one in _asked(tree)]
    return "Scenarios", ("scenario", "what it does", "routes", "services"), rows


def _plans(tree: Tree) -> tuple[str, Sequence[str], Sequence[Sequence[str]]]:
    rows = []
    for one in _loaded(tree):
        rows.append((one.name, one.title, str(len(plan.trials(one))), "" if len(one.parts) > 1 else "all of it"))
        rows += [("", each.title, _trials_of(each), each.name) for each in one.parts if len(one.parts) > 1]
    return "Plans, and their parts for --part", ("plan", "title", "trials", "part"), rows


def _trials_of(part: Part) -> str:
    return str(len(part.stacks) * len(part.measures) * part.blocks)


def _services(tree: Tree) -> tuple[str, Sequence[str], Sequence[Sequence[str]]]:
    rows = []
    for service in tree.services.values():
        lacking = missing(service.needs)
        needs = f"here as a process: {needed(service.name, lacking)}" if lacking else ""
        rows.append((service.name, service.kind, service.variable, needs))
    return "Services", ("service", "kind", "named by", "cannot run"), rows


def _versions(tree: Tree) -> tuple[str, Sequence[str], Sequence[Sequence[str]]]:
    declared: list[Any] = [*tree.stacks.apps.values(), *tree.stacks.servers.values(), *tree.stacks.bridges.values()]
    shared = tree.stacks.work
    if shared is not None:
        declared += [choice for axes in shared.axes.values() for choices in axes.values() for choice in choices]
    declared += tree.services.values()
    lock, rows = envs.lock_of(tree.root), []
    for one in declared:
        found = envs.roots(lock, one.requirements)
        said = ", ".join(found) if found is not None else "not in requirements/stacks.txt; resolved when first needed"
        rows.append((getattr(one, "name", None) or str(one), said or "none"))
    return "Versions", ("of", "versions"), rows


def _loaded(tree: Tree) -> list[Plan]:
    return [plan.load(tree.root, name) for name in plan.plans(tree.root)]


def _listable(tree: Tree) -> list[Stack]:
    """Give every pair; of somebody's own app those through bridges too, since that is what is run."""
    return everything(tree.stacks) if _is_own(tree) else [*map(tree.stacks.one, tree.stacks)]


def _asked(tree: Tree) -> list[Scenario]:
    """Give the scenarios that can be asked for: somebody's own app has one."""
    return [tree.scenarios[OWN_SCENARIO]] if _is_own(tree) else [*tree.scenarios.values()]


def _is_own(tree: Tree) -> bool:
    return any(app.visits for app in tree.stacks.apps.values())


def _lacks(tree: Tree, stack: Stack) -> dict[str, str]:
    asked = (scenario for scenario in _asked(tree) if not scenario.front)
    found = ((scenario.name, impossible(stack, scenario)) for scenario in asked)
    return {name: f"{name}: {reason}" for name, reason in found if reason}


def _listed(tree: Tree) -> dict[str, Any]:
    return {
        "stacks": [
            {
                "name": stack.name,
                "interface": stack.interface,
                "settings": dict(stack.settings),
                "protocols": stack.server.protocols,
                "cannot_run": {"": stack.cannot} if stack.cannot else _lacks(tree, stack),
                "missing": missing(stack.needs),
            }
            for stack in _listable(tree)
        ],
        "scenarios": [
            {key: value for key, value in asdict(scenario).items() if key != "path"} for scenario in _asked(tree)
        ],
        "axes": {
            app.name: {axis: [choice.value for choice in choices] for axis, choices in tree.stacks.axes(app).items()}
            for app in tree.stacks.apps.values()
        },
        "services": list(tree.services),
        "plans": [
            {
                "name": each.name,
                "title": each.title,
                "stacks": each.stacks,
                "parts": [part.name for part in each.parts],
                "trials": len(plan.trials(each)),
            }
            for each in _loaded(tree)
        ],
    }


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
        "install_all": _install(tree),
        "warnings": list(_warnings(facts.open_files, len(cpus))),
    }
    if as_json:
        typer.echo(json.dumps(said, indent=2))
        return
    table = Table(title="This machine", show_header=False)
    for key, value in said.items():
        table.add_row(key, escape(str(value if value not in (None, []) else "none")))
    out.print(table)


def _install(tree: Tree) -> str | None:
    """Give the one command that installs what Debian has of all stacks and services; None where all is there."""
    needs = [server.needs for server in tree.stacks.servers.values()]
    needs += [service.needs for service in tree.services.values()]
    needs += [front.needs for front in tree.stacks.fronts.values()]
    lacking = sorted({package for each in needs for package in missing(each)})
    return f"apt-get install -y {' '.join(lacking)}" if lacking else None


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
