"""Which trials, in which order.

Knows plans and chance. Must not know how a trial is run.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gatebench.errors import UsageError
from gatebench.model import AnyStack, Load, Measure, Part, Plan, Scenario, Stack, Trial
from gatebench.plan.files import load, network, plans
from gatebench.toml import find

__all__ = [
    "DEFAULT_LOAD",
    "SPOKEN",
    "check",
    "impossible",
    "in_blocks",
    "load",
    "narrow",
    "networked",
    "of_own",
    "plans",
    "trials",
]

STREAMED_SCENARIO = "plain"  # what the generator of h1, h2 and h3 asks for
SPOKEN = Scenario(  # in a scenario's place, where a stack is spoken to and not loaded
    name="protocols", path=Path(), version=1, title="Each protocol, spoken once", routes=("plaintext",), services=()
)
VERSIONS = {"h1": "http/1.1", "h2": "h2", "h3": "h3"}  # kind of load -> what a server must offer
DEFAULT_LOAD = Load(kind="closed", size=64)  # the matched profile's


def of_own(plan: Plan, stacks: Sequence[str], scenario: str) -> Plan:
    """Put every stack of somebody's own app, and its one scenario, in the place of the plan's own."""
    measures = (Measure(scenario=scenario, load=DEFAULT_LOAD),)
    return replace(plan, parts=(replace(plan.parts[0], stacks=tuple(stacks), measures=measures),))


def networked(plan: Plan, name: str) -> Plan:
    """Put the network that was asked for in the place of the plan's own."""
    chosen = network(name)
    if chosen is None:
        raise UsageError(f"There is no network named '{name}'; expected host or bridge.")
    return replace(plan, container=replace(plan.container, network=chosen))


def in_blocks(plan: Plan, blocks: int) -> Plan:
    """Have every part measured so often, in the place of its own number."""
    return replace(plan, parts=tuple(replace(part, blocks=blocks) for part in plan.parts))


def narrow(plan: Plan, stacks: Sequence[str], scenarios: Sequence[str], parts: Sequence[str] = ()) -> Plan:
    """Keep the parts, stacks and scenarios that were asked for.

    A plan of one part takes any stack and scenario in the place of its own; one of several, only what they have.
    """
    known = {part.name: part for part in plan.parts}
    kept = [find(f"part of the plan {plan.name}", name, known) for name in parts] or [*plan.parts]
    if len(plan.parts) == 1:
        return replace(plan, parts=(_replaced(kept[0], stacks, scenarios),))
    narrowed = [part for each in kept if (part := _narrowed(each, stacks, scenarios)) is not None]
    if not narrowed:
        asked = ", ".join((*stacks, *scenarios))
        raise UsageError(f"No part of the plan {plan.name} has {asked}; `gatebench list plans` shows what it has.")
    return replace(plan, parts=tuple(narrowed))


def _replaced(part: Part, stacks: Sequence[str], scenarios: Sequence[str]) -> Part:
    if scenarios:
        kept = [measure for measure in part.measures if measure.scenario in scenarios]
        planned = {measure.scenario for measure in kept}
        added = [Measure(scenario=name, load=DEFAULT_LOAD) for name in scenarios if name not in planned]
        part = replace(part, measures=(*kept, *added))
    return replace(part, stacks=tuple(dict.fromkeys(stacks))) if stacks else part


def _narrowed(part: Part, stacks: Sequence[str], scenarios: Sequence[str]) -> Part | None:
    here = tuple(stack for stack in part.stacks if not stacks or stack in stacks)
    measures = tuple(measure for measure in part.measures if not scenarios or measure.scenario in scenarios)
    return replace(part, stacks=here, measures=measures) if here and measures else None


def trials(plan: Plan) -> list[Trial]:
    """Lay the trials down: stage by stage, within it block by block, within that all in the seed's random order.

    The arms of one scenario and load follow each other directly, so that a slow drift of the machine touches them
    alike.
    """
    chance = random.Random(plan.seed)  # noqa: S311 - an order, not a secret
    laid: list[Trial] = []
    for block, part, measure in _ordered(plan, chance):
        for stack in chance.sample(part.stacks, len(part.stacks)):
            laid.append(
                Trial(
                    number=len(laid),
                    block=block,
                    part=part.name,
                    stack=stack,
                    scenario=measure.scenario,
                    load=measure.load,
                    seed=chance.getrandbits(32),
                )
            )
    return laid


def _ordered(plan: Plan, chance: random.Random) -> Iterator[tuple[int, Part, Measure]]:
    for stage in sorted({part.stage for part in plan.parts}):
        parts = [part for part in plan.parts if part.stage == stage]
        for block in range(max(part.blocks for part in parts)):
            here = [(part, measure) for part in parts if block < part.blocks for measure in part.measures]
            for part, measure in chance.sample(here, len(here)):
                yield block, part, measure


def check(plan: Plan, stacks: Mapping[str, AnyStack], scenarios: Mapping[str, Scenario]) -> None:
    """Refuse a plan that names what is not there."""
    for name in plan.stacks:
        named = find("stack", name, stacks).name
        if named != name:
            raise UsageError(f"The plan {plan.name} spells a stack '{name}'; its one name is '{named}'.")
    for measure in plan.measures:
        _check(plan, measure, scenarios)


def _check(plan: Plan, measure: Measure, scenarios: Mapping[str, Scenario]) -> None:
    name, load = measure.scenario, measure.load
    if (name == SPOKEN.name) != (load.kind == "speak"):
        raise UsageError(
            f"The plan {plan.name} has '{name}' under {load}; expected {SPOKEN.name} under speak(1), or neither."
        )
    scenario = find("scenario", name, {**scenarios, SPOKEN.name: SPOKEN})
    if load.held and not scenario.holds:
        raise UsageError(
            f"The plan {plan.name} holds connections of '{name}' ({load}), which has none to hold; "
            "expected a load such as closed(64)."
        )
    if load.streamed and name != STREAMED_SCENARIO:
        raise UsageError(
            f"The plan {plan.name} has '{name}' under {load}; the generator of h1, h2 and h3 asks for "
            f"'{STREAMED_SCENARIO}' alone."
        )


def impossible(stack: AnyStack, scenario: Scenario, load: Load | None = None) -> str | None:
    """Say why a stack cannot run a scenario at all, or under this load; None where it can."""
    if scenario.front and isinstance(stack, Stack):
        return "is about two stacks behind one front, as in nginx[wsgi=…,asgi=…,stage=1]"
    if load is not None and load.kind == "speak" and not isinstance(stack, Stack):
        return "is two stacks behind a front, and which of them speaks a protocol could not be told"
    lacking = ((route, stack.lack(route)) for route in scenario.routes)
    reason = next((f"offers no {route}: {reason}" for route, reason in lacking if reason), None)
    if load is not None and load.streamed and (stack.scheme != "https" or VERSIONS[load.kind] not in stack.protocols):
        return f"offers no {VERSIONS[load.kind]} over TLS"
    kept = stack.settings.get("kept_connections")
    if not reason and load is not None and isinstance(kept, int) and kept < load.connections:
        return f"serves {kept} of the {load.connections} kept connections of {load} at once"
    held = stack.concurrency
    if reason or load is None or load.kind != "closed" or "ws" not in scenario.routes or held is None:
        return reason
    # Each of these users has a WebSocket of its own, for as long as it lives.
    return f"serves {held} of the {load.size} WebSockets of {load} at once" if held < load.size else None
