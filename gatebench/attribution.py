"""Where the CPU time of a request goes: each layer's cost as the step from a stack without it to one with it.

Steps are taken block by block and averaged, so that they sum to the whole exactly. Knows cells and which stacks make
up a ladder: a bare callable, a routing core and a framework on one server of one part. Must not know claims or pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gatebench.model import AnyInterface, Estimate, Ladder, Part, Rung, Session
from gatebench.stats import mean_interval
from gatebench.tables import block_values, measures

SWAPS = "attribution.swaps"  # the part of the plan that swaps servers
COST, OF_SERVICES = "cpu_us_per_request", "services_cpu_us_per_request"
PLAIN = "plain"  # the scenario that asks for nothing but an answer
BARE = {"wsgi": "raw_wsgi", "asgi": "raw_asgi"}  # apps that are no framework
CORES = {"flask": "werkzeug", "fastapi": "starlette"}  # what a framework is built on, where that is an app here
SERVER, CORE, FRAMEWORK, SERVICE = "server and interface", "routing core", "framework", "service"
DRIVER = "driver and framework's part in it"  # which a framework without either would be needed to tell apart
LAYERS = (SERVER, CORE, FRAMEWORK, DRIVER, SERVICE)  # from the bottom up
OTHER_SERVER, OTHER_FRAMEWORK = "server by bridge", "framework by bridge"
TOGETHER = "both without bridge"
SHARES = ("share of the server", "share of the framework")
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
    "the total is what the one pair costs above the other; its first two steps are measured, each through a bridge, "
    "and the third is what is left: no bridge any more, and what servers and frameworks do to each other; "
    "a share is averaged over both orders, server first and framework first, and has half of the third step in it; "
)

Blocks = Mapping[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """A layer: what a cell cost with it, and what one without it did."""

    name: str
    stack: str
    blocks: Blocks
    beside: bool = False  # whether it is a cost of its own, and not what a cell has above the one before
    note: str = ""


def ladders(session: Session) -> tuple[Ladder, ...]:
    """Give every ladder that the session has the cells for, in µs of CPU per request.

    One a stack, scenario and load of every part in which a bare callable ran on the stack's own server, under the
    same load; from attribution.swaps one a scenario and load, from Flask on Gunicorn to FastAPI on Uvicorn. Where too
    little is valid a ladder has no rungs, and says why.
    """
    found = []
    for part in session.plan.parts:
        if part.name == SWAPS:
            found += [_swaps(session, part, scenario, load) for scenario, load in _looped(part)]
        else:
            found += list(_of_part(session, part))
    return tuple(found)


def above_server(ladder: Ladder) -> Estimate | None:
    """Give what a stack costs above its server and interface; None where that is not known."""
    return mean_interval([*above_by_block(ladder).values()])


def above_by_block(ladder: Ladder) -> Blocks:
    """Give what a stack costs above its server and interface, block by block."""
    bottom = next((rung for rung in ladder.rungs if rung.name == SERVER), None)
    if bottom is None:
        return {}
    return {block: whole - bottom.blocks[block] for block, whole in ladder.blocks.items()}


def _looped(part: Part) -> Iterator[tuple[str, str]]:
    yield from ((each.scenario, str(each.load)) for each in part.measures if each.load.looped)


def _of_part(session: Session, part: Part) -> Iterator[Ladder]:
    loads = [load for scenario, load in _looped(part) if scenario == PLAIN]
    interfaces = {cell.key.stack: cell.interface for each in measures(session) for cell in each.cells}
    bare = [stack for stack in part.stacks if stack.partition("+")[0] in BARE.values()]
    if not any(stack not in bare for stack in part.stacks) or not bare:
        return
    for scenario, load in _looped(part):
        for stack in part.stacks if load in loads else ():
            if stack in interfaces and stack not in bare:
                yield _of_stack(session, part, stack, interfaces[stack], scenario=scenario, load=load)


def _of_stack(session: Session, part: Part, stack: str, side: AnyInterface, *, scenario: str, load: str) -> Ladder:
    app, _, server = stack.partition("+")
    layers = [(SERVER, f"{BARE.get(side, '')}+{server}")]
    if (core := f"{CORES.get(app, '')}+{server}") in part.stacks:
        layers.append((CORE, core))
    layers.append((CORE if app in CORES.values() else FRAMEWORK, stack))
    like = Ladder(part=part.name, scenario=scenario, load=load, stack=stack, side=side, why="")
    if layers[0][1] not in part.stacks:
        return replace(like, why=f"no bare callable ran on {server}, so its steps cannot be told apart")
    steps = [_Step(name=name, stack=each, blocks=_cost(session, part, each, PLAIN, load)) for name, each in layers]
    if scenario != PLAIN:
        steps += _asked(session, part, stack, scenario, load)
    return _ladder(like, steps)


def _asked(session: Session, part: Part, stack: str, scenario: str, load: str) -> Iterator[_Step]:
    """Give what a scenario asks for beyond an answer: on the server's CPU, and what the service spends on its own.

    The first is the driver's, and whatever the framework does more there than on plain, by which frameworks differ
    that have the same driver.
    """
    cost = _cost(session, part, stack, scenario, load)
    own = _cost(session, part, stack, scenario, load, metric=OF_SERVICES)
    note = f"what {stack} costs on {scenario} above {PLAIN}, by its driver or by its framework"
    if not own:
        note += "; what its services spent was not measured"
        yield _Step(name=DRIVER, stack=stack, blocks=cost, note=note)
        return
    yield _Step(name=DRIVER, stack=stack, blocks=cost, note=note)
    note = "what the services that it asks spend on CPUs of their own"
    yield _Step(name=SERVICE, stack=stack, blocks=own, beside=True, note=note)


def _cost(session: Session, part: Part, stack: str, scenario: str, load: str, *, metric: str = COST) -> Blocks:
    return block_values(session, stack, scenario, load, metric, part=part.name)


def _ladder(like: Ladder, steps: Sequence[_Step]) -> Ladder:
    climbed = [step for step in steps if not step.beside]
    whole = climbed[-1].blocks
    # A layer whose trials are mostly lost would cost the others their blocks: it is merged with the next one.
    lost = [step for step in climbed[:-1] if len(step.blocks.keys() & whole.keys()) < max(2, len(whole) / 2)]
    common = sorted(set(whole).intersection(*(step.blocks for step in steps if step not in lost)))
    extra = [step.blocks for step in steps if step.beside]
    in_all = {block: whole[block] + sum(blocks[block] for blocks in extra) for block in common}
    total = mean_interval([*in_all.values()])
    if total is None:
        return replace(like, why=_too_few(f"{each.stack}: {len(each.blocks)}" for each in steps))
    rungs: list[Rung] = []
    below: _Step | None = None
    merged: list[_Step] = []
    for step in steps:
        if step in lost:
            merged.append(step)
            continue
        rungs.append(_rung(step, None if step.beside else below, merged, common))
        below, merged = step, []
    return replace(like, rungs=tuple(rungs), total_us=total, blocks=in_all, why=OF_LAYERS + HOW)


def _rung(step: _Step, below: _Step | None, merged: Sequence[_Step], common: Sequence[int]) -> Rung:
    notes = [f"{each.stack} has too few valid trials, so {each.name} is within" for each in merged]
    return _made(
        ", ".join([*(each.name for each in merged), step.name]),
        (step.stack, below.stack if below else None),
        {block: step.blocks[block] - (below.blocks[block] if below else 0.0) for block in common},
        note="; ".join([*([step.note] if step.note else []), *notes]),
    )


def _made(name: str, stacks: tuple[str, str | None], blocks: Blocks, *, note: str = "") -> Rung:
    return Rung(name=name, stacks=stacks, cost_us=mean_interval([*blocks.values()]), note=note, blocks=blocks)


def _swaps(session: Session, part: Part, scenario: str, load: str) -> Ladder:
    corners = [_cost(session, part, stack, scenario, load) for stack in CORNERS]
    like = Ladder(part=part.name, scenario=scenario, load=load, stack=CORNERS[-1], side="swaps", why="")
    common = sorted(set(corners[0]).intersection(*corners[1:]))
    if len(common) < 2:
        return replace(
            like, why=_too_few(f"{stack}: {len(corner)}" for stack, corner in zip(CORNERS, corners, strict=True))
        )
    neither, server, framework, both = CORNERS

    def made(name: str, stacks: tuple[str, str | None], weights: Sequence[float]) -> Rung:
        blocks = {
            block: sum(weight * corner[block] for weight, corner in zip(weights, corners, strict=True))
            for block in common
        }
        return _made(name, stacks, blocks)

    whole = made("", (both, neither), (-1, 0, 0, 1))
    return replace(
        like,
        rungs=(
            made(OTHER_SERVER, (server, neither), (-1, 1, 0, 0)),
            made(OTHER_FRAMEWORK, (framework, neither), (-1, 0, 1, 0)),
            made(TOGETHER, (both, neither), (1, -1, -1, 1)),
        ),
        total_us=whole.cost_us,
        blocks=whole.blocks,
        corners=tuple(made(stack, (stack, None), [float(each == stack) for each in CORNERS]) for stack in CORNERS),
        # Shapley's value of two players: a swap's effect before the other swap and after it, in equal parts.
        shares=(
            made(SHARES[0], (server, neither), (-0.5, 0.5, -0.5, 0.5)),
            made(SHARES[1], (framework, neither), (-0.5, -0.5, 0.5, 0.5)),
        ),
        why=OF_SWAPS + HOW,
    )


def _too_few(counts: Iterable[str]) -> str:
    return f"fewer than two blocks in which every cell is valid ({', '.join(counts)})"
