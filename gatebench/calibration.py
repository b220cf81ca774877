"""The generator's ceilings: how fast it is on a server that does nothing, which a trial's rate is set against.

Knows plans, and which ceiling a trial has. Must not know how a trial is judged by it.
"""

from __future__ import annotations

from collections.abc import Mapping

from gatebench.generator import Job
from gatebench.model import AnyStack, Load, Placement, Plan, Scenario
from gatebench.parties import Parties
from gatebench.plan import DEFAULT_LOAD, SPOKEN, impossible

CALIBRATIONS = {"keep-alive": "plain", "close": "plain", "websocket": "websocket"}  # ceiling -> its scenario


def ceiling_of(stack: AnyStack, scenario: Scenario, load: Load) -> str | None:
    """Name the ceiling of the generator that a trial's rate is set against.

    None where connections are held or protocols spoken, and over TLS, which the do-nothing server does not speak:
    there the generator's CPU alone tells whether it was the limit.
    """
    if load.held or load.kind == "speak" or stack.scheme == "https":
        return None
    if "ws" in scenario.routes:
        return "websocket"
    return "keep-alive" if stack.keep_alive_s else "close"


def ceilings_needed(plan: Plan, stacks: Mapping[str, AnyStack], scenarios: Mapping[str, Scenario]) -> dict[str, Load]:
    """Say which ceilings some trial of a plan needs, each with the load that finds it.

    A ceiling whose scenario is missing is left out. Over WebSocket the load is the plan's own closed one, chosen for
    what its stacks can hold.
    """
    known = {**scenarios, SPOKEN.name: SPOKEN}
    own = (one.load for one in plan.measures if one.load.kind == "closed" and "ws" in known[one.scenario].routes)
    loads = {"websocket": next(own, DEFAULT_LOAD)}
    needed = (
        ceiling_of(stacks[name], known[one.scenario], one.load)
        for part in plan.parts
        for one in part.measures
        for name in part.stacks
        if not impossible(stacks[name], known[one.scenario], one.load)
    )
    return {
        name: loads.get(name, DEFAULT_LOAD)
        for name in dict.fromkeys(needed)
        if name is not None and CALIBRATIONS[name] in scenarios
    }


def calibrate(
    plan: Plan,
    needed: Mapping[str, Load],
    scenarios: Mapping[str, Scenario],
    *,
    placement: Placement,
    parties: Parties,
) -> dict[str, float]:
    """Find the generator's ceilings: its rate on a server that does nothing, under each load that is asked for."""
    ceilings = {}
    for name, load in needed.items():
        nothing = parties.backend.serve_nothing(placement, close=name == "close", websocket=name == "websocket")
        with parties.driver.start(placement) as generator, nothing as serving:
            host = f"http://{serving.host}:{serving.port}"
            job = Job.of(plan.parts[0], scenarios[CALIBRATIONS[name]], load, plan.seed, host)
            figures = generator.measure(job)
            ceilings[name] = round(figures.requests / (figures.end_s - figures.start_s), 1)
    return ceilings
