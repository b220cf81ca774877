"""Where the CPU time of a request goes: each layer's cost as the step from a stack without it to one with it.

Steps are taken block by block and averaged, so that they sum to the whole exactly. Knows cells and the stacks that
make up a ladder. Must not know claims or pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gatebench.metrics import three
from gatebench.model import Estimate, Ladder, Rung, Session
from gatebench.stats import mean_interval
from gatebench.tables import block_values

LADDER, SWAPS = "attribution.ladder", "attribution.swaps"  # parts of the plan
COST = "cpu_us_per_request"
BARE = "plain"  # the scenario that asks for nothing but an answer
LAYERS = ("server and interface", "routing core", "framework")
STACKS: Mapping[str, tuple[str, str, str]] = {
    "wsgi": ("raw_wsgi+gunicorn-gthread", "werkzeug+gunicorn-gthread", "flask+gunicorn-gthread"),
    "asgi": ("raw_asgi+uvicorn", "starlette+uvicorn", "fastapi+uvicorn"),
}
CORNERS = (  # neither swapped, the server, the framework, both
    "flask+gunicorn-gthread",
    "flask+uvicorn[bridge=a2wsgi]",
    "fastapi+gunicorn-gthread[bridge=a2wsgi]",
    "fastapi+uvicorn",
)
HOW = (
    "each step is the mean of its differences block by block, with a t interval, over the blocks in which every cell "
    "of the ladder is valid, so that the steps sum to the total exactly"
)
OF_LAYERS = "the total is measured itself; "
OF_SWAPS = (
    "the total is what the one pair costs above the other; each effect is averaged over both orders, server first "
    "and framework first, and what the bridges cost is within; "
)

Blocks = Mapping[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """A cell that has one more layer than the one before it."""

    name: str
    stack: str
    blocks: Blocks
    note: str = ""


def ladders(session: Session) -> tuple[Ladder, ...]:
    """Give every ladder that the session's plan has the parts for, in µs of server CPU per request.

    From attribution.ladder one a scenario, load and side; from attribution.swaps one a scenario and load, from Flask
    on Gunicorn to FastAPI on Uvicorn. Where too little is valid a ladder has no rungs, and says why.
    """
    found = []
    for scenario, load in _measures(session, LADDER):
        for side, stacks in STACKS.items():
            found.append(_ladder(scenario, side, _steps(session, stacks, scenario, load)))
    for scenario, load in _measures(session, SWAPS):
        corners = [_cost(session, SWAPS, stack, scenario, load) for stack in CORNERS]
        found.append(_swaps(scenario, corners))
    return tuple(found)


def _measures(session: Session, part: str) -> Iterator[tuple[str, str]]:
    for each in session.plan.parts:
        if each.name == part:
            yield from ((measure.scenario, str(measure.load)) for measure in each.measures if measure.load.looped)


def _cost(session: Session, part: str, stack: str, scenario: str, load: str) -> Blocks:
    return block_values(session, stack, scenario, load, COST, part=part)


def _steps(session: Session, stacks: Sequence[str], scenario: str, load: str) -> list[_Step]:
    steps = [
        _Step(name=name, stack=stack, blocks=_cost(session, LADDER, stack, BARE, load))
        for name, stack in zip(LAYERS, stacks, strict=True)
    ]
    if scenario == BARE:
        return steps
    # A driver answers nothing without its service: the two make one step.
    note = f"what {stacks[-1]} costs on {scenario} above {BARE}; driver and service cannot be told apart"
    blocks = _cost(session, LADDER, stacks[-1], scenario, load)
    return [*steps, _Step(name="driver and service", stack=stacks[-1], blocks=blocks, note=note)]


def _ladder(scenario: str, side: str, steps: Sequence[_Step]) -> Ladder:
    whole = steps[-1].blocks
    # A layer whose trials are mostly lost would cost the others their blocks: it is merged with the next one.
    lost = [step for step in steps[:-1] if len(step.blocks.keys() & whole.keys()) < max(2, len(whole) / 2)]
    common = sorted(set(whole).intersection(*(step.blocks for step in steps if step not in lost)))
    total = mean_interval([whole[block] for block in common])
    if total is None:
        return _none(LADDER, scenario, side, [f"{each.stack}: {len(each.blocks)}" for each in steps])
    rungs: list[Rung] = []
    below: _Step | None = None
    merged: list[_Step] = []
    for step in steps:
        if step in lost:
            merged.append(step)
            continue
        rungs.append(_rung(step, below, merged, common))
        below, merged = step, []
    why = OF_LAYERS + HOW
    return Ladder(part=LADDER, scenario=scenario, side=side, rungs=tuple(rungs), total_us=total, why=why)


def _rung(step: _Step, below: _Step | None, merged: Sequence[_Step], common: Sequence[int]) -> Rung:
    notes = [f"{each.stack} has too few valid trials, so {each.name} is within" for each in merged]
    return Rung(
        name=", ".join([*(each.name for each in merged), step.name]),
        stacks=(step.stack, below.stack if below else None),
        cost_us=mean_interval([step.blocks[block] - (below.blocks[block] if below else 0.0) for block in common]),
        note="; ".join([*([step.note] if step.note else []), *notes]),
    )


def _swaps(scenario: str, corners: Sequence[Blocks]) -> Ladder:
    common = sorted(set(corners[0]).intersection(*corners[1:]))
    cells = [tuple(corner[block] for corner in corners) for block in common]
    total = mean_interval([both - neither for neither, _, _, both in cells])
    bridges = mean_interval([server + framework - neither - both for neither, server, framework, both in cells])
    if total is None or bridges is None:
        counts = [f"{stack}: {len(corner)}" for stack, corner in zip(CORNERS, corners, strict=True)]
        return _none(SWAPS, scenario, "swaps", counts)
    # Shapley's value of two players: a swap's effect before the other swap and after it, in equal parts.
    effects = {
        "server": [(server - neither + both - framework) / 2 for neither, server, framework, both in cells],
        "framework": [(framework - neither + both - server) / 2 for neither, server, framework, both in cells],
    }
    note = f"both bridges, and what servers and frameworks do to each other, make {_shown(bridges)} µs"
    rungs = tuple(
        Rung(name=name, stacks=(swapped, CORNERS[0]), cost_us=mean_interval(effects[name]), note=note)
        for name, swapped in zip(effects, CORNERS[1:3], strict=True)
    )
    why = OF_SWAPS + HOW
    return Ladder(part=SWAPS, scenario=scenario, side="swaps", rungs=rungs, total_us=total, why=why)


def _none(part: str, scenario: str, side: str, counts: Sequence[str]) -> Ladder:
    why = f"fewer than two blocks in which every cell is valid ({', '.join(counts)})"
    return Ladder(part=part, scenario=scenario, side=side, rungs=(), total_us=None, why=why)


def _shown(estimate: Estimate) -> str:
    low, high = (three(end or 0.0) for end in (estimate.low, estimate.high))
    return f"{three(estimate.value)} ({low} to {high})"
