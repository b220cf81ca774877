"""Which trials, in which order.

Knows plans and chance. Must not know how a trial is run.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gatebench.errors import UsageError
from gatebench.model import AnyStack, Containment, Load, Measure, Network, Plan, Scenario, Stack, Trial
from gatebench.toml import Table, find, load_toml, seconds, text, texts, whole
from gatebench.toml import table as declared_table

MOST_BLOCKS = 1000
DEFAULT_LOAD = Load(kind="closed", size=64)  # the matched profile's


def plans(root: Path) -> dict[str, Path]:
    """Find every plan: a file of scenarios/plans/."""
    return {path.stem: path for path in sorted((root / "scenarios" / "plans").glob("*.toml"))}


def load(root: Path, name: str) -> Plan:
    """Read the plan `name`; UsageError names file, key, what was found, what is expected."""
    path = find("plan", name, plans(root))
    table = load_toml(path, root)
    place = str(path.relative_to(root))
    plan = Plan(
        name=name,
        title=table.take("title", "a line of text", text),
        stacks=table.take("stacks", "a list of stacks, each once", _each_once),
        measures=_measures(table, place),
        blocks=table.take("blocks", f"a whole number from 1 to {MOST_BLOCKS}", _blocks),
        seed=table.take("seed", "a whole number from 1 to 2147483647", _seed),
        window_s=table.take("window_s", "seconds", seconds),
        warmup_slice_s=table.take("warmup_slice_s", "seconds", seconds),
        warmup_limit_s=table.take("warmup_limit_s", "seconds", seconds),
        server_cpus=table.take("server_cpus", "a whole number from 1", whole, default=1),
        python=table.take(
            "python", 'a version of Python from 3.11, such as "3.13" or "3.14t"', _python, default=None
        ),
        container=_containment(table, place),
    )
    table.done()
    if plan.warmup_slice_s > plan.warmup_limit_s:
        raise UsageError(
            f"{place}: the key 'warmup_slice_s' holds {plan.warmup_slice_s:g}; "
            f"expected no more than 'warmup_limit_s', which is {plan.warmup_limit_s:g}."
        )
    return plan


def _each_once(value: Any) -> tuple[str, ...] | None:
    names = texts(value)
    return names if names and len(set(names)) == len(names) else None


def _blocks(value: Any) -> int | None:
    return value if type(value) is int and 1 <= value <= MOST_BLOCKS else None


def _seed(value: Any) -> int | None:
    return value if type(value) is int and 1 <= value < 2**31 else None


def _python(value: Any) -> str | None:
    version = re.fullmatch(r"3\.(\d{1,2})(\.\d{1,2})?t?", value) if isinstance(value, str) else None
    return value if version and int(version[1]) >= 11 else None


def _containment(table: Table, place: str) -> Containment:
    """Read [container]; what it leaves out is as Containment has it."""
    given = Table(f"{place} [container]", table.take("container", "a table", declared_table, default={}))
    usual = Containment()
    read = Containment(
        base=given.take("base", "the name of an image", text, default=usual.base),
        network=given.take("network", '"host" or "bridge"', network, default=usual.network),
        memory_mib=given.take("memory_mib", "a whole number of MiB from 64", _at_least_64, default=usual.memory_mib),
        pids=given.take("pids", "a whole number of processes and threads from 64", _at_least_64, default=usual.pids),
    )
    given.done()
    return read


def _at_least_64(value: Any) -> int | None:
    """Take what lets a server start at all, and an engine accept it."""
    return value if type(value) is int and 64 <= value <= 4_000_000 else None


def of_own(plan: Plan, stacks: Sequence[str], scenario: str) -> Plan:
    """Put every stack of somebody's own app, and its one scenario, in the place of the plan's own."""
    return replace(plan, stacks=tuple(stacks), measures=(Measure(scenario=scenario, load=DEFAULT_LOAD),))


def networked(plan: Plan, name: str) -> Plan:
    """Put the network that was asked for in the place of the plan's own."""
    chosen = network(name)
    if chosen is None:
        raise UsageError(f"There is no network named '{name}'; expected host or bridge.")
    return replace(plan, container=replace(plan.container, network=chosen))


def network(value: Any) -> Network | None:
    """Take one of the two networks that containers may have."""
    return value if value in ("host", "bridge") else None


def _measures(table: Table, place: str) -> tuple[Measure, ...]:
    def read(value: Any) -> tuple[Measure, ...] | None:
        if not isinstance(value, dict) or not value:
            return None
        found = []
        for scenario, loads in value.items():
            for spelled in _each_once(loads) or ("",):
                try:
                    found.append(Measure(scenario=scenario, load=Load.parse(spelled)))
                except ValueError:
                    raise UsageError(
                        f"{place}: the key 'measures.{scenario}' holds {loads!r}; "
                        'expected a list of loads, each once, such as ["closed(64)", "open(500)"].'
                    ) from None
        return tuple(found)

    return table.take("measures", "a table of scenarios, each with a list of loads", read)


def narrow(plan: Plan, stacks: Sequence[str], scenarios: Sequence[str]) -> Plan:
    """Put the stacks and scenarios that were asked for in the place of the plan's own."""
    if scenarios:
        kept = [measure for measure in plan.measures if measure.scenario in scenarios]
        planned = {measure.scenario for measure in kept}
        added = [Measure(scenario=name, load=DEFAULT_LOAD) for name in scenarios if name not in planned]
        plan = replace(plan, measures=(*kept, *added))
    return replace(plan, stacks=tuple(dict.fromkeys(stacks))) if stacks else plan


def trials(plan: Plan) -> list[Trial]:
    """Lay the trials down: block by block, within a block scenario by scenario, both in the seed's random order.

    The arms of one scenario follow each other directly, so that a slow drift of the machine touches them alike.
    """
    chance = random.Random(plan.seed)  # noqa: S311 - an order, not a secret
    laid: list[Trial] = []
    for block in range(plan.blocks):
        for measure in chance.sample(plan.measures, len(plan.measures)):
            for stack in chance.sample(plan.stacks, len(plan.stacks)):
                laid.append(
                    Trial(
                        number=len(laid),
                        block=block,
                        stack=stack,
                        scenario=measure.scenario,
                        load=measure.load,
                        seed=chance.getrandbits(32),
                    )
                )
    return laid


def check(plan: Plan, stacks: Mapping[str, AnyStack], scenarios: Mapping[str, Scenario]) -> None:
    """Refuse a plan that names what is not there."""
    for name in plan.stacks:
        named = find("stack", name, stacks).name
        if named != name:
            raise UsageError(f"The plan {plan.name} spells a stack '{name}'; its one name is '{named}'.")
    for measure in plan.measures:
        scenario = find("scenario", measure.scenario, scenarios)
        if measure.load.kind == "hold" and "ws" not in scenario.routes:
            raise UsageError(
                f"The plan {plan.name} holds connections of '{scenario.name}' ({measure.load}), which has no "
                "WebSocket; expected a load such as closed(64)."
            )


def impossible(stack: AnyStack, scenario: Scenario, load: Load | None = None) -> str | None:
    """Say why a stack cannot run a scenario at all, or under this load; None where it can."""
    if scenario.front and isinstance(stack, Stack):
        return "is about two stacks behind one front, as in nginx[wsgi=…,asgi=…,stage=1]"
    lacking = ((route, stack.lack(route)) for route in scenario.routes)
    reason = next((f"offers no {route}: {reason}" for route, reason in lacking if reason), None)
    kept = stack.settings.get("kept_connections")
    if not reason and load is not None and isinstance(kept, int) and kept < load.connections:
        return f"serves {kept} of the {load.connections} kept connections of {load} at once"
    held = stack.concurrency
    if reason or load is None or load.kind != "closed" or "ws" not in scenario.routes or held is None:
        return reason
    # Each of these users has a WebSocket of its own, for as long as it lives.
    return f"serves {held} of the {load.size} WebSockets of {load} at once" if held < load.size else None
