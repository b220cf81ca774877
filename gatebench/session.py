"""Opening a session: the tree's declarations, environments, services and calibration, up to a conductor that can run.

Knows what must stand before a trial can. Must not know how a trial goes, nor print.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from gatebench import __version__, declare, machine, plan
from gatebench.backends.containers import engine
from gatebench.backends.containers.backend import ContainerBackend
from gatebench.backends.containers.images import Images
from gatebench.backends.process import ProcessBackend
from gatebench.backends.programs import Serving, scratch_folder
from gatebench.backends.services import Services
from gatebench.contract import Outcome, check
from gatebench.contract.routes import ROUTES
from gatebench.errors import MachineError, UsageError
from gatebench.fake import FakeBackend, FakeDriver
from gatebench.fake import contract as fake_contract
from gatebench.generator import Driver
from gatebench.generator.container import ContainedLocust
from gatebench.generator.process import Locust
from gatebench.model import Containment, Placement, Plan, Scenario, Service, Session, Setting, Stack
from gatebench.run import (
    DATE_STEP_S,
    Backend,
    Conductor,
    Contract,
    calibrate,
    ceilings_needed,
    commit,
    now,
    spoken,
)
from gatebench.store import FORMAT_VERSION

BACKENDS = ("auto", "container", "process", "fake")
GENERATORS = ("process", "container")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """All that is declared in a folder with apps/, compose/ and scenarios/."""

    root: Path
    stacks: Mapping[str, Stack]
    scenarios: Mapping[str, Scenario]
    services: Mapping[str, Service]

    @classmethod
    def load(cls, root: Path) -> Tree:
        """Read every declaration; UsageError where one names a route that the contract does not have."""
        tree = cls(
            root=root,
            stacks=declare.stacks(root),
            scenarios=declare.scenarios(root),
            services=declare.services(root),
        )
        known = dict.fromkeys(ROUTES)
        for stack in tree.stacks.values():
            for route in (*stack.app.lacks, *stack.server.lacks):
                declare.find(f"route (in [lacks] of {stack.app.name} or {stack.server.name})", route, known)
        for scenario in tree.scenarios.values():
            for route in scenario.routes:
                declare.find(f"route (in scenarios/{scenario.name}.py)", route, known)
        return tree


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
    declare.find("backend", wish.backend, dict.fromkeys(BACKENDS))
    declare.find("generator", wish.generator, dict.fromkeys(GENERATORS))
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
    for stack in chosen.values():
        told(f"environment of {stack.name}")
        described[stack.name] = {
            "settings": dict(stack.server.settings),
            **{part: dict(facts) for part, facts in who.backend.prepare(stack).items()},
        }
    scenarios = {measure.scenario: tree.scenarios[measure.scenario] for measure in wanted.measures}
    needed = {service for scenario in scenarios.values() for service in scenario.services}
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
                scenarios=scenarios,
                placement=placement,
                backend=who.backend,
                driver=who.driver,
                contract=who.contract,
                services=services,
                ceilings=ceilings,
            ),
        )


def _services(tree: Tree, names: Sequence[str]) -> list[Service]:
    return [declare.find("service", name, tree.services) for name in names]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """How a stack answered the whole contract."""

    stack: str
    ready_s: float | None
    outcome: Outcome | None  # None where it could not be started
    lacks: Mapping[str, str]  # route -> why it is not offered
    problem: str | None = None  # why it could not be started


def checks(tree: Tree, stacks: Sequence[Stack], who: Parties, told: Callable[[str], None]) -> Iterator[Checked]:
    """Start each stack and speak the contract of all routes to it; hand each out as it ends."""
    placement = machine.place(machine.usable_cpus())
    machine.raise_open_files()
    told("services")
    with (
        machine.pinned(placement.services),
        who.backend.services(list(tree.services.values()), placement) as services,
    ):
        for number, stack in enumerate(stacks):
            told(stack.name)
            lacks = {route: reason for route in ROUTES if (reason := stack.lack(route))}
            checked = Checked(stack=stack.name, ready_s=None, outcome=None, lacks=lacks)
            try:
                who.backend.prepare(stack)
                with who.backend.serve(stack, placement, services) as serving:
                    outcome = _whole_contract(stack, serving, services, who.contract, number)
                    checked = replace(checked, ready_s=serving.ready_s, outcome=outcome)
            except MachineError as error:
                checked = replace(checked, problem=str(error))
            yield checked


def _whole_contract(stack: Stack, serving: Serving, services: Services, contract: Contract, seed: int) -> Outcome:
    """Speak every route's contract, and one route's again when `Date` must have advanced."""
    offered = [route for route in ROUTES if not stack.lack(route)]
    first = spoken(contract, stack, serving, services, routes=offered, seed=seed)
    if first.date is None:
        return first
    time.sleep(DATE_STEP_S)
    again = spoken(contract, stack, serving, services, routes=offered[:1], seed=seed + 1, since=first.date)
    return Outcome(findings=(*first.findings, *again.findings), date=again.date)
