"""Opening a session: the tree's declarations, environments, services and calibration, up to a conductor that can run.

Knows what must stand before a trial can. Must not know how a trial goes, nor print.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from gatebench import __version__, declare, machine, plan
from gatebench import own as owned
from gatebench.backends.containers import engine
from gatebench.backends.containers.backend import ContainerBackend
from gatebench.backends.containers.images import Images
from gatebench.backends.process import ProcessBackend
from gatebench.backends.programs import scratch_folder
from gatebench.contract import check
from gatebench.contract.routes import ROUTES
from gatebench.errors import MachineError, UsageError
from gatebench.fake import FakeBackend, FakeDriver
from gatebench.fake import contract as fake_contract
from gatebench.generator import Driver
from gatebench.generator.container import ContainedLocust
from gatebench.generator.process import Locust
from gatebench.model import AnyStack, Choice, Containment, Placement, Plan, Scenario, Service, Session, Setting
from gatebench.run import (
    Backend,
    Conductor,
    Contract,
    calibrate,
    ceilings_needed,
    commit,
    now,
)
from gatebench.stacks import Stacks
from gatebench.store import FORMAT_VERSION
from gatebench.toml import find

BACKENDS = ("auto", "container", "process", "fake")
GENERATORS = ("process", "container")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """All that is declared in a folder with apps/, compose/ and scenarios/."""

    root: Path
    stacks: Stacks
    scenarios: Mapping[str, Scenario]
    services: Mapping[str, Service]

    @classmethod
    def load(cls, root: Path, own: Path | None = None) -> Tree:
        """Read every declaration; UsageError where one names a route that the contract does not have.

        `own` is the folder of somebody's own app: it takes the place of all that are here.
        """
        apps, scenarios = declare.apps(root), declare.scenarios(root)
        if own is not None:
            app = declare.own(own)
            taken = [*apps, *declare.servers(root), *declare.bridges(root), *declare.fronts(root)]
            owned.check(app, taken, declare.services(root))
            apps = {app.name: app}
            scenarios[owned.NAME] = owned.scenario(app, root / ".envs" / "own")
        tree = cls(
            root=root,
            stacks=Stacks(
                apps=apps,
                servers=declare.servers(root),
                bridges=declare.bridges(root),
                fronts=declare.fronts(root),
                work=declare.work(root),
            ),
            scenarios=scenarios,
            services=declare.services(root),
        )
        known = dict.fromkeys(ROUTES)
        for name, lacks in _lacks(tree.stacks):
            for route in lacks:
                find(f"route (in [lacks] of {name})", route, known)
        for choice in _every_choice(tree.stacks):
            for service in (*choice.instead, *choice.instead.values()):
                find(f"service (of {choice})", service, tree.services)
        for scenario in tree.scenarios.values():
            for route in scenario.routes:
                find(f"route (in scenarios/{scenario.name}.py)", route, known)
        return tree


def _lacks(stacks: Stacks) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Give what is declared to be lacking, and by whom."""
    yield from ((app.name, app.lacks) for app in stacks.apps.values())
    yield from ((server.name, server.lacks) for server in stacks.servers.values())
    takers = [(server.name, server.takes) for server in stacks.servers.values()]
    takers += [(bridge.name, bridge.takes) for bridge in stacks.bridges.values()]
    yield from ((f"{name} {side}", takes.lacks) for name, each in takers for side, takes in each.items())
    pairs = [(server.name, server.lacks_with) for server in stacks.servers.values()]
    pairs += [(name, takes.lacks_with) for name, each in takers for takes in each.values()]
    yield from ((f"{name} with {app}", lacks) for name, each in pairs for app, lacks in each.items())
    yield from ((str(choice), choice.lacks) for choice in _every_choice(stacks))


def _every_choice(stacks: Stacks) -> Iterator[Choice]:
    for axes in (*(app.axes for app in stacks.apps.values()), *(stacks.work.axes.values() if stacks.work else ())):
        for choices in axes.values():
            yield from choices


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """Who starts stacks, who loads them, who speaks their contract."""

    backend: Backend
    driver: Driver
    contract: Contract


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for of the parties."""

    backend: str = "auto"  # a container where an engine answers, else a process
    generator: str = "process"
    python: str | None = None  # of stacks; None: the harness's own version
    container: Containment = field(default_factory=Containment)


@contextlib.contextmanager
def parties(root: Path, wish: Wish, told: Callable[[str], None] = lambda _: None) -> Iterator[Parties]:
    """Choose the parties; `told` hears in a few words of what takes long."""
    find("backend", wish.backend, dict.fromkeys(BACKENDS))
    find("generator", wish.generator, dict.fromkeys(GENERATORS))
    with scratch_folder() as scratch:
        found, why = _engine(wish)
        if wish.backend == "fake":
            fake = FakeBackend()
            yield Parties(backend=fake, driver=FakeDriver(backend=fake), contract=fake_contract)
            return
        if found is None:
            plain = ProcessBackend(root=root, scratch=scratch, python=wish.python, surroundings=why)
            yield Parties(backend=plain, driver=Locust(scratch=scratch), contract=check)
            return
        images = Images(
            engine=found,
            root=root,
            scratch=scratch,
            python=wish.python or ".".join(map(str, sys.version_info[:2])),
            wanted=wish.container,
            told=told,
        )
        contained = ContainerBackend(
            images=images, wanted=wish.container, surroundings={**why, "generator": wish.generator}
        )
        inside = wish.generator == "container"
        driver = ContainedLocust(backend=contained) if inside else Locust(scratch=scratch)
        yield Parties(backend=contained, driver=driver, contract=check)


def _engine(wish: Wish) -> tuple[engine.Engine | None, dict[str, Setting]]:
    """Find the engine that a wish needs or can use, and say why it is used or not where that was left to us."""
    if wish.backend in ("process", "fake"):
        if wish.generator == "container":
            raise UsageError("A generator in a container needs servers in containers too; add --backend container.")
        return None, {}
    try:
        found = engine.find()
    except MachineError as error:
        if wish.backend == "container" or wish.generator == "container":
            raise
        return None, {"chosen since": str(error).split(";")[0]}
    return found, {"chosen since": f"Docker {found.version} answers"} if wish.backend == "auto" else {}


@contextlib.contextmanager
def opened(
    tree: Tree,
    wanted: Plan,
    who: Parties,
    *,
    name: str | None = None,
    placement: Placement | None = None,
    told: Callable[[str], None],
) -> Iterator[tuple[Session, Conductor]]:
    """Prepare environments and services, calibrate the generator, and give the header and the conductor.

    `placement` is for whoever pinned himself already, and so could not see all CPUs any more; `told` hears in a few
    words what is being done.
    """
    plan.check(wanted, tree.stacks, tree.scenarios)
    facts = machine.facts()
    for measure in wanted.measures:
        machine.require_open_files(measure.load.connections)
    placement = placement or machine.place(machine.usable_cpus(), wanted.server_cpus)
    chosen = {stack: tree.stacks[stack] for stack in wanted.stacks}
    described: dict[str, dict[str, dict[str, Setting]]] = {}
    lacking = {name: reason for name, stack in chosen.items() if (reason := _lacking(stack, who))}
    for stack in (stack for name, stack in chosen.items() if name not in lacking):
        told(f"environment of {stack.name}")
        described[stack.name] = {
            "settings": dict(stack.settings),
            **{part: dict(facts) for part, facts in who.backend.prepare(stack).items()},
        }
    scenarios = {measure.scenario: tree.scenarios[measure.scenario] for measure in wanted.measures}
    needed = {
        stack.service(name)
        for scenario in scenarios.values()
        for name in scenario.services
        for stack in chosen.values()
        if stack.name not in lacking and not plan.impossible(stack, scenario)
    }
    told("services")
    with (
        machine.pinned(placement.services),
        who.backend.services(_services(tree, sorted(needed)), placement) as services,
    ):
        calibrations = ceilings_needed(wanted, tree.stacks, tree.scenarios)
        if calibrations:
            told("calibrating the generator on a server that does nothing")
        ceilings = calibrate(
            wanted, calibrations, tree.scenarios, placement=placement, backend=who.backend, driver=who.driver
        )
        header = Session(
            format_version=FORMAT_VERSION,
            name=name or f"{wanted.name}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(2)}",
            started_at=now(),
            plan=wanted,
            machine=facts,
            placement=placement,
            backend=who.backend.name,
            commit=commit(tree.root),
            tools={"gatebench": __version__, "python": facts.python, "locust": version("locust")},
            stacks=described,
            scenarios={scenario.name: scenario.title for scenario in scenarios.values()},
            services=services.facts,
            ceilings=ceilings,
            surroundings=who.backend.surroundings,
        )
        yield (
            header,
            Conductor(
                session=header.name,
                plan=wanted,
                stacks=chosen,
                lacking=lacking,
                scenarios=scenarios,
                placement=placement,
                backend=who.backend,
                driver=who.driver,
                contract=who.contract,
                services=services,
                ceilings=ceilings,
            ),
        )


def _lacking(stack: AnyStack, who: Parties) -> str | None:
    """Say why a stack cannot run at all, or not on this machine; None where it can."""
    return stack.cannot or who.backend.missing(stack)


def _services(tree: Tree, names: Sequence[str]) -> list[Service]:
    return [find("service", name, tree.services) for name in names]
