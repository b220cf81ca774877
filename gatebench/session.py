"""Opening a session: the tree's declarations, environments, services and calibration, up to a conductor that can run.

Knows what must stand before a trial can. Must not know how a trial goes, nor print.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from gatebench import __version__, declare, fake, machine, plan, resume
from gatebench import own as owned
from gatebench.backends.containers import engine
from gatebench.backends.containers.backend import ContainerBackend
from gatebench.backends.containers.images import Images
from gatebench.backends.process import ProcessBackend
from gatebench.backends.programs import scratch_folder
from gatebench.calibration import calibrate, ceilings_needed
from gatebench.contract import check
from gatebench.contract.routes import ROUTES
from gatebench.errors import MachineError, UsageError
from gatebench.generator.container import ContainedLocust
from gatebench.generator.process import Locust
from gatebench.generator.streams import Streams
from gatebench.knocking.knocker import Knocker
from gatebench.model import (
    AnyStack,
    Capability,
    Choice,
    Containment,
    Machine,
    Placement,
    Plan,
    Scenario,
    Service,
    Session,
    Setting,
    Stack,
)
from gatebench.parties import Parties
from gatebench.protocols import speak
from gatebench.run import Conductor, commit, now
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
            yield fake.parties()
            return
        real = partial(
            Parties,
            streams=Streams(scratch=scratch),
            contract=check,
            knocker=Knocker(scratch=scratch),
            speaker=spoken_to,
        )
        if found is None:
            plain = ProcessBackend(root=root, scratch=scratch, python=wish.python, surroundings=why)
            yield real(backend=plain, driver=Locust(scratch=scratch))
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
        yield real(backend=contained, driver=driver)


def spoken_to(*, stack: AnyStack, host: str, port: int) -> tuple[Capability, ...]:
    """Speak every protocol to a stack; what its app lacks by itself is no fault of its server."""
    lacks = dict(stack.app.lacks) if isinstance(stack, Stack) else stack.lacks
    return speak(host=host, port=port, tls=stack.scheme == "https", path=stack.ready, lacks=lacks)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What a session needs before its services start."""

    plan: Plan
    machine: Machine
    placement: Placement
    stacks: Mapping[str, AnyStack]
    lacking: Mapping[str, str]  # stack -> why it cannot run here
    described: Mapping[str, Mapping[str, Mapping[str, Setting]]]  # stack -> settings, versions
    scenarios: Mapping[str, Scenario]
    services: tuple[Service, ...]


@contextlib.contextmanager
def opened(
    tree: Tree,
    wanted: Plan,
    who: Parties,
    *,
    name: str | None = None,
    placement: Placement | None = None,
    before: Session | None = None,
    told: Callable[[str], None],
) -> Iterator[tuple[Session, Conductor]]:
    """Prepare environments and services, calibrate the generator, and give the header and the conductor.

    `placement` is for whoever pinned himself already, and so could not see all CPUs any more; `told` hears in a few
    words what is being done. `before` is a session to go on with: UsageError where it was another machine's, or
    anything it rests on has changed since.
    """
    ready = _ready(tree, wanted, who, placement or machine.place(machine.usable_cpus(), wanted.server_cpus), told)
    told("services")
    with (
        machine.pinned(ready.placement.services),
        who.backend.services(ready.services, ready.placement) as services,
    ):
        header = _header(tree, ready, who, services.facts, name)
        if before is not None:
            resume.check(before, header)
            header = before
        elif needed := ceilings_needed(wanted, ready.stacks, tree.scenarios):
            told("calibrating the generator on a server that does nothing")
            ceilings = calibrate(wanted, needed, tree.scenarios, placement=ready.placement, parties=who)
            header = replace(header, ceilings=ceilings)
        yield (
            header,
            Conductor(
                session=header.name,
                plan=wanted,
                stacks=ready.stacks,
                lacking=ready.lacking,
                scenarios=ready.scenarios,
                placement=ready.placement,
                parties=who,
                services=services,
                ceilings=header.ceilings,
            ),
        )


def _ready(tree: Tree, wanted: Plan, who: Parties, placement: Placement, told: Callable[[str], None]) -> Ready:
    """Build the environments that a plan needs, and say what of it cannot run here."""
    plan.check(wanted, tree.stacks, tree.scenarios)
    chosen = {stack: tree.stacks[stack] for stack in wanted.stacks}
    lacking = {name: reason for name, stack in chosen.items() if (reason := _lacking(stack, who))}
    described: dict[str, dict[str, dict[str, Setting]]] = {}
    for stack in (stack for name, stack in chosen.items() if name not in lacking):
        told(f"environment of {stack.name}")
        described[stack.name] = {
            "settings": dict(stack.settings),
            **{part: dict(facts) for part, facts in _prepared(stack, who).items()},
        }
    known = {**tree.scenarios, plan.SPOKEN.name: plan.SPOKEN}
    scenarios = {measure.scenario: known[measure.scenario] for measure in wanted.measures}
    needed = {
        stack.service(name)
        for part in wanted.parts
        for measure in part.measures
        for name in scenarios[measure.scenario].services
        for stack in (chosen[one] for one in part.stacks)
        if stack.name not in lacking and not plan.impossible(stack, scenarios[measure.scenario])
    }
    return Ready(
        plan=wanted,
        machine=machine.facts(),  # before anything is pinned: it counts the CPUs that may be used
        placement=placement,
        stacks=chosen,
        lacking=lacking,
        described=described,
        scenarios=scenarios,
        services=tuple(find("service", name, tree.services) for name in sorted(needed)),
    )


def _prepared(stack: AnyStack, who: Parties) -> Mapping[str, Mapping[str, Setting]]:
    """Make a stack ready; an error of a gate's arm begins with the arm's name, so that it is told as it was asked."""
    try:
        return who.backend.prepare(stack)
    except (UsageError, MachineError) as error:
        if not isinstance(stack, Stack) or stack.arm is None:
            raise
        raise type(error)(f"{stack.name}: {error}") from error


def _header(
    tree: Tree, ready: Ready, who: Parties, services: Mapping[str, Mapping[str, Setting]], name: str | None
) -> Session:
    scenarios = ready.scenarios.values()
    return Session(
        format_version=FORMAT_VERSION,
        name=name or f"{ready.plan.name}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(2)}",
        started_at=now(),
        plan=ready.plan,
        machine=ready.machine,
        placement=ready.placement,
        backend=who.backend.name,
        commit=commit(tree.root),
        tools={"gatebench": __version__, "python": ready.machine.python, "locust": version("locust")},
        stacks=ready.described,
        scenarios={scenario.name: scenario.title for scenario in scenarios},
        waits={scenario.name: scenario.waits_s for scenario in scenarios if scenario.waits_s is not None},
        declared=resume.digests(tree.root, ready.plan, ready.stacks.values(), scenarios, ready.services),
        services=services,
        ceilings={},
        surroundings=who.backend.surroundings,
    )


def _lacking(stack: AnyStack, who: Parties) -> str | None:
    """Say why a stack cannot run at all, or not on this machine; None where it can."""
    return stack.cannot or who.backend.missing(stack)
