"""Pieces of recording: minutes of duets of the base beside each variant, every run kept as it comes.

Knows sessions, variants and the neighbour. Must not know what is made of the pieces, nor print.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gatebench import machine, plan, store
from gatebench.backends.programs import scratch_folder
from gatebench.errors import GatebenchError, Interrupted, MachineError, UntrustedError
from gatebench.metrics import read
from gatebench.model import Measure, Part, Plan, Run, Session, Setting, Stack, Trial
from gatebench.power import neighbour
from gatebench.power.variants import BASE, PROBE, PROBE_LOOPS, SLEEPY, Cost, arm, laid_out, slowdown_of
from gatebench.run import Conductor, now
from gatebench.session import Tree, Wish, opened, parties
from gatebench.stats import ratio
from gatebench.store import Writer

PLAN, GATE = "power", "gate"  # of the pieces; whose windows and load they have
PROBES = 12  # duets by which the cost of a turn is measured
LONGER = 2.0  # times a window of the variant that is seen in the slowest requests, of which more are needed
NOISE, TURN = "neighbour", "share of a request that a turn of busy work costs"  # keys of a header's surroundings

Duet = tuple[Trial, Trial]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be recorded."""

    root: Path
    out: Path
    stack: str
    scenario: str
    variants: Sequence[str]
    minutes: float
    noise: bool
    seed: int
    wish: Wish
    rounds: int | None = None  # in the place of as many as the minutes are enough for


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The tree with the arms laid out, and what they rest on."""

    tree: Tree
    arms: dict[str, Stack]  # variant, or "base" and "again" -> its arm
    cost: Cost


@contextlib.contextmanager
def ground(wanted: Wanted, told: Callable[[str], None]) -> Iterator[Ground]:
    """Lay the arms out in a folder of their own; measure what a turn of busy work costs, where no piece says it."""
    whole = Tree.load(wanted.root)
    original = whole.stacks.one(wanted.stack)
    with scratch_folder() as scratch:
        laid = laid_out(original, scratch / "apps")
        base = arm(original, laid, BASE, slowdown_of(BASE, None))
        probe = arm(original, laid, PROBE, slowdown_of(PROBE, None))
        cost = _known(wanted) or _measured(_among(whole, base, probe), wanted, base, probe, told)
        arms = {name: arm(original, laid, name, slowdown_of(name, cost)) for name in wanted.variants}
        arms |= {BASE: base, "again": replace(base, arm="again")}
        yield Ground(tree=_among(whole, *arms.values()), arms=arms, cost=cost)


def _among(tree: Tree, *arms: Stack) -> Tree:
    return replace(tree, stacks=replace(tree.stacks, arms={stack.name: stack for stack in arms}))


def surroundings(wanted: Wanted, cost: Cost) -> dict[str, Setting]:
    """Say what a session was recorded beside, and how its variants are made."""
    return {NOISE: neighbour.described() if wanted.noise else "none", TURN: cost.turn_share}


def _known(wanted: Wanted) -> Cost | None:
    """Take the cost that the newest piece of the same stack was made with, so that all pieces have the same arms."""
    here = machine.facts().identity
    for path in sorted(wanted.out.glob("*.jsonl"), key=lambda path: path.stat().st_mtime, reverse=True):
        header = store.read(path)
        found = header.surroundings.get(TURN)
        same = header.machine.identity == here and header.backend == wanted.wish.backend
        same = same and wanted.scenario in header.scenarios
        if same and isinstance(found, float) and any(name.endswith(f":{wanted.stack}") for name in header.stacks):
            return Cost(turn_share=found)
    return None


def _measured(tree: Tree, wanted: Wanted, base: Stack, probe: Stack, told: Callable[[str], None]) -> Cost:
    laid = Plan(
        name=PLAN,
        title="What busy work costs",
        parts=(_part(tree, wanted, PROBE, base, probe),),
        seed=wanted.seed,
    )
    chance = random.Random(f"{wanted.seed} probes")  # noqa: S311 - an order, not a secret
    pairs: list[tuple[float, float]] = []
    with parties(tree.root, wanted.wish, told) as who, opened(tree, laid, who, told=told) as (_, conductor):
        for block in range(PROBES):
            told(f"what busy work costs, {block + 1} of {PROBES}")
            runs = {run.stack: run for run in conductor.together(_duet(laid.parts[0], block, chance))}
            _check(runs.values())
            costs = [read("cpu_us_per_request", runs[one.name]) for one in (base, probe)]
            if costs[0] and costs[1] and all(run.status == "ok" for run in runs.values()):
                pairs.append((costs[0], costs[1]))
    found = ratio(pairs)
    if found is None or found.value <= 1:
        raise UntrustedError("What busy work costs could not be measured: too few trials were valid; try once more.")
    return Cost(turn_share=(found.value - 1) / PROBE_LOOPS)


def _check(runs: Iterable[Run]) -> None:
    for run in runs:
        if run.status == "failed":
            raise MachineError(f"{run.stack} could not be measured: {run.reason}")


def _part(tree: Tree, wanted: Wanted, variant: str, base: Stack, other: Stack) -> Part:
    (usual,) = plan.load(tree.root, GATE).parts
    return replace(
        usual,
        name=f"{PLAN}.{variant}",
        title=f"The base beside {variant}",
        stacks=(base.name, other.name),
        measures=(Measure(scenario=wanted.scenario, load=usual.measures[0].load),),
        window_s=usual.window_s * (LONGER if variant == SLEEPY else 1.0),
    )


def _duet(part: Part, block: int, chance: random.Random) -> Duet:
    (measure,) = part.measures
    first, second = (
        Trial(
            number=0,
            block=block,
            part=part.name,
            stack=stack,
            scenario=measure.scenario,
            load=measure.load,
            seed=chance.getrandbits(32),
        )
        for stack in chance.sample(part.stacks, 2)
    )
    return first, second


def planned(on: Ground, wanted: Wanted) -> Plan:
    """Give the plan of a piece: a part for each variant, of one stage."""
    parts = tuple(_part(on.tree, wanted, name, on.arms[BASE], on.arms[name]) for name in wanted.variants)
    return Plan(name=PLAN, title="The base beside variants of a known cost", parts=parts, seed=wanted.seed)


def record(wanted: Wanted, told: Callable[[str], None], kept: Callable[[Run], None]) -> Path:
    """Record one piece and give its file; what was recorded stays, however it ends."""
    with (
        ground(wanted, told) as on,
        parties(wanted.root, wanted.wish, told) as who,
        opened(on.tree, planned(on, wanted), who, told=told) as (opening, conductor),
        neighbour.beside(opening.placement.server if wanted.noise else (), wanted.seed),
    ):
        until = time.monotonic() + 60 * wanted.minutes
        rounds = wanted.rounds or _affordable(conductor, opening, until, told)
        header = replace(
            opening,
            plan=plan.in_blocks(opening.plan, rounds),
            surroundings={**opening.surroundings, **surroundings(wanted, on.cost)},
        )
        with Writer.new(wanted.out / f"{header.name}.jsonl", header) as writer:
            with ending(writer):
                for run in _rounds(conductor, header, math.inf if wanted.rounds else until):
                    writer.add(run)
                    kept(run)
            return writer.path


def _affordable(conductor: Conductor, header: Session, until: float, told: Callable[[str], None]) -> int:
    """Measure a duet for practice, and say how many rounds fit into the time that is left then."""
    told("a duet for practice")
    chance = random.Random(f"{header.plan.seed} practice")  # noqa: S311 - an order, not a secret
    part = header.plan.parts[0]
    for _ in range(2):  # the first start of an environment is slower than those that come
        began = time.monotonic()
        _check(conductor.together(_duet(part, 0, chance)))
        took = time.monotonic() - began
    return max(1, math.floor((until - time.monotonic()) / (took * len(header.plan.parts))))


@contextlib.contextmanager
def ending(writer: Writer) -> Iterator[None]:
    """Write the last line, however it ends; a round cut short is part of what is kept."""
    try:
        yield
    except (Interrupted, GatebenchError):
        with contextlib.suppress(MachineError):  # a full disk has been told already
            writer.end(ended_at=now(), interrupted=True)
        raise
    writer.end(ended_at=now(), interrupted=False)


def _rounds(conductor: Conductor, header: Session, until: float) -> Iterator[Run]:
    """Give the runs of round after round; in each, every variant once beside the base, in random order."""
    number = 0
    chance = random.Random(header.plan.seed)  # noqa: S311 - an order, not a secret
    for block in range(header.plan.blocks):
        if time.monotonic() >= until:
            return
        for part in chance.sample(header.plan.parts, len(header.plan.parts)):
            began = time.monotonic()
            duet = [replace(one, number=number + place) for place, one in enumerate(_duet(part, block, chance))]
            runs = conductor.together(duet)
            took = time.monotonic() - began
            number += len(runs)
            yield from (replace(run, elapsed_s=took) for run in runs)
            _check(runs)
