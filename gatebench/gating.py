"""From what is wanted of a gate to its runs: its plan, how many blocks its time is enough for, when it is decided.

Knows plans, arms, the conductor and, while it goes, the judge. Must not know what an arm is made of, how a trial is
run, nor where runs are kept, and must not print.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gatebench import own, plan
from gatebench.arms import Arm
from gatebench.errors import ContractError, GatebenchError, MachineError, UsageError
from gatebench.gate import AGAIN, CONFIRM, GATE, LEAST, MOST, broken, decided, errors, judge, looks, sameness
from gatebench.histogram import samples_needed
from gatebench.metrics import read
from gatebench.model import Gate, Measure, Part, Plan, Run, Session, Trial
from gatebench.run import Conductor
from gatebench.session import Tree

PLAN = "gate"  # of scenarios/plans/
EVERY = 3  # after so many blocks of base and head there is one of the base beside itself
SPARE = 1.25  # times the answers that p99 needs, for windows in which fewer come than in the practice
LONGEST_S = 5.0  # of a window: slower arms are judged without p99
HOPELESS = 8  # blocks of a part without one valid pair, after which no more are made
LENIENT = 2.0  # who asks for so many blocks gets them, unless each takes so many times what the practice took

Clock = Callable[[], float]  # in seconds, and it never goes back
Duet = tuple[Trial, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a gate is to compare, on what, and for how long."""

    base: Arm
    head: Arm
    scenarios: tuple[str, ...]  # none: the plan's own, or the one of somebody's own app
    leading: str  # metric
    margins: Mapping[str, float]  # metric -> share by which it may get worse
    budget_s: float  # for measuring; a confirmation has as much again
    confirm: bool
    blocks: int | None = None  # instead of as many as the budget is enough for


def planned(tree: Tree, wanted: Wanted) -> Plan:
    """Give the plan of a gate; how many blocks its parts have is known only once a duet has been timed.

    UsageError where a scenario is not there.
    """
    loaded = plan.load(tree.root, PLAN)
    base, head = wanted.base.stack.name, wanted.head.stack.name
    again = replace(wanted.base.stack, arm="again").name
    if own.NAME not in tree.scenarios:
        loaded = plan.narrow(loaded, [base, head], wanted.scenarios)
    elif set(wanted.scenarios) <= {own.NAME}:
        loaded = plan.of_own(loaded, [base, head], own.NAME)
    else:
        raise UsageError("An app of your own has one scenario, the paths of its app.toml; leave --scenario out.")
    (part,) = loaded.parts
    parts = (
        replace(part, name=GATE, title="Base beside head"),
        replace(part, name=AGAIN, title="The base beside itself", stacks=(base, again)),
        replace(part, name=CONFIRM, title="Base beside head in fresh blocks, where they failed", stage=1),
    )
    found = replace(loaded, parts=parts)
    plan.check(found, tree.stacks, tree.scenarios)
    return found


def laid_down(
    conductor: Conductor,
    wanted: Wanted,
    header: Session,
    *,
    warned: Callable[[str], None] = lambda _: None,
    now: Clock = time.monotonic,
) -> Session:
    """Measure duets for practice, and give the header with the gate as it is declared before the first block.

    `warned` hears where both arms are the same, and where the budget is too small to decide anything. Where an arm
    failed in the practice, the header has those runs, and they are all that there will be. MachineError or UsageError
    where an arm cannot even be tried.
    """
    again = header.plan.part(AGAIN).stacks[1]
    base, head = wanted.base, wanted.head
    arms = {base.stack.name: base.words, head.stack.name: head.words, again: base.words}
    block_s, lowest_rps, failed = _practised(conductor, header.plan, arms, now)
    usual_s = header.plan.part(GATE).window_s
    window_s = _window_s(wanted.margins, usual_s, lowest_rps)
    block_s += (window_s - usual_s) * len(header.plan.measures)
    blocks = wanted.blocks or (LEAST if failed else _affordable(wanted.budget_s, block_s))
    needed_s = _with_again(blocks) * block_s
    budget_s = max(wanted.budget_s, LENIENT * needed_s) if wanted.blocks else wanted.budget_s
    if needed_s > budget_s and not failed:
        warned(
            f"The budget of {budget_s:.0f} s is too small: a block takes about {block_s:.1f} s, and the {blocks} "
            f"blocks that a gate needs at least take {needed_s:.0f} s, so that it may well be unsure; give it more "
            "with --budget."
        )
    ends = looks(blocks)
    gate = Gate(
        base=base.stack.name,
        head=head.stack.name,
        again=again,
        arms=arms,
        leading=wanted.leading,
        margins=dict(sorted(wanted.margins.items())),  # as a file gives them back, and so are findings ordered alike
        looks=ends,
        errors=errors(ends),
        beside=True,
        budget_s=budget_s,
        confirm=wanted.confirm,
    )
    counts = {GATE: blocks, AGAIN: _with_again(blocks) - blocks, CONFIRM: blocks}
    parts = tuple(replace(part, blocks=counts[part.name], window_s=window_s) for part in header.plan.parts)
    declared = replace(header, gate=gate, plan=replace(header.plan, parts=parts), runs=tuple(failed))
    if alike := sameness(declared):
        warned(alike)
    return declared


def gated(
    conductor: Conductor, header: Session, begun: Callable[[Trial], None], now: Clock = time.monotonic
) -> Iterator[Run]:
    """Give all runs in order, as they come, until the gate is decided, out of blocks or out of time.

    `header` is as `laid_down` gave it; `begun` is told of each trial before it starts. Where a run is `final`, its
    duet is the last. A fail is confirmed by fresh blocks, if the gate says so, with as much time again.
    """
    if header.gate is None:
        raise ValueError(f"{header.name} declares no gate")
    if header.runs:  # an arm failed in the practice
        yield from header.runs
        return
    conductor = replace(conductor, plan=header.plan)  # whose windows may be longer than those of the practice
    going = _Going(conductor=conductor, header=header, gate=header.gate, begun=begun, now=now)
    yield from going.part(GATE)
    if going.gate.confirm and not going.over and going.failed():
        yield from going.part(CONFIRM)


def final(run: Run) -> bool:
    """Say whether a run ends a gate, since its arm will not do better: `failure` says why."""
    return run.fault in ("contract", "impossible") or (run.fault == "machine" and run.ready_s is None)


def failure(run: Run, arms: Mapping[str, str]) -> GatebenchError | None:
    """Give the error that a failed run stands for, with the arm in words; None where it did not fail."""
    who = f"{run.stack} ({arms[run.stack]})"
    why = " ".join((run.reason or "no reason is known").split()).rstrip(".")
    if run.fault == "contract":
        return ContractError(f"{who} fails its contract on {run.scenario}: {why}.")
    if run.fault == "machine":
        return MachineError(f"{who} could not be measured on {run.scenario}: {why}.")
    if run.fault == "impossible":
        return UsageError(f"{who} cannot be measured on {run.scenario}: it {why}.")
    return None


def _practised(
    conductor: Conductor, asked: Plan, arms: Mapping[str, str], now: Clock
) -> tuple[float, float | None, Sequence[Run]]:
    """Measure a duet of every scenario, and give the seconds that a block takes, the lowest rate, and a failed duet.

    No other duet is kept, and none is made after one that failed.
    """
    for name in asked.stacks:
        if lack := conductor.lacking.get(name):
            raise MachineError(f"{name} ({arms[name]}) cannot run here: {lack.rstrip('.')}.")
    part = asked.part(GATE)
    chance = random.Random(f"{asked.seed} practice")  # noqa: S311 - an order, not a secret
    took_s: list[float] = []
    rates: list[list[float | None]] = []
    for measure in (part.measures[0], *part.measures):  # an environment's first start is slower than those that come
        began = now()
        duet = [replace(trial, number=number) for number, trial in enumerate(_duet(part, 0, measure, chance))]
        runs = conductor.together(duet)
        took_s.append(now() - began)
        rates.append([read("rate_rps", run) for run in runs])
        failed = [error for run in runs if (error := failure(run, arms))]
        for error in failed:
            if isinstance(error, UsageError):
                raise error
        if failed:
            return sum(took_s), None, runs
    return sum(took_s[1:]), min((rate for each in rates[1:] for rate in each if rate), default=None), ()


def _window_s(margins: Mapping[str, float], usual_s: float, lowest_rps: float | None) -> float:
    """Give the seconds in which the slowest arm gives as many answers as p99 needs, where that is to be judged."""
    if "response_p99_s" not in margins or lowest_rps is None:
        return usual_s
    needed_s = math.ceil(10 * SPARE * samples_needed(0.99) / lowest_rps) / 10
    return min(max(usual_s, needed_s), LONGEST_S)


def _affordable(budget_s: float, block_s: float) -> int:
    """Give as many blocks as the time is enough for, those of the base beside itself among it."""
    counts = range(MOST, LEAST, -1)
    return next((count for count in counts if _with_again(count) * block_s <= budget_s), LEAST)


def _with_again(blocks: int) -> int:
    return blocks + math.ceil(blocks / EVERY)


def _duet(part: Part, block: int, measure: Measure, chance: random.Random) -> Duet:
    """Lay down what is measured at the same time; its numbers are given when it is."""
    return tuple(
        Trial(
            number=0,
            block=block,
            part=part.name,
            stack=stack,
            scenario=measure.scenario,
            load=measure.load,
            seed=chance.getrandbits(32),
        )
        for stack in chance.sample(part.stacks, len(part.stacks))
    )


def _blocks(whole: Plan, name: str) -> Iterator[list[Duet]]:
    """Lay a part down, block by block, in the order that the plan's seed gives: no other part changes it."""
    part = whole.part(name)
    chance = random.Random(f"{whole.seed} {name}")  # noqa: S311 - an order, not a secret
    for block in range(part.blocks):
        yield [_duet(part, block, measure, chance) for measure in chance.sample(part.measures, len(part.measures))]


@dataclass(slots=True, kw_only=True)
class _Going:
    """A gate while it goes: what has been measured, and whether more can come."""

    conductor: Conductor
    header: Session
    gate: Gate
    begun: Callable[[Trial], None]
    now: Clock
    runs: list[Run] = field(default_factory=list)
    over: bool = False  # a run was final

    def part(self, name: str) -> Iterator[Run]:
        """Measure a part until it is decided, or its time is out; no block is begun after that."""
        until = self.now() + self.gate.budget_s
        again = _blocks(self.header.plan, AGAIN) if name == GATE else iter(())
        for made, block in enumerate(_blocks(self.header.plan, name), start=1):
            if self.now() >= until:
                return
            if made % EVERY == 1:  # beginning with the first, so that six, which have an interval, come early
                yield from self._block(next(again, []))
                if self.over:
                    return
            yield from self._block(block)
            if self.over or self._settled(name, made):
                return

    def failed(self) -> bool:
        """Say whether part gate, as far as it went, says that head is worse than it may be."""
        return any(finding.word == "fail" for finding in judge(self._session()).findings)

    def _settled(self, name: str, made: int) -> bool:
        """Say whether more blocks would change nothing: a part is decided, an arm broke, or nothing comes of it."""
        if broken(self._session(), self.gate):
            self.over = True
            return True
        if made in self.gate.looks and decided(self._session(), name):
            return True
        return made == HOPELESS and not self._paired(name)

    def _paired(self, name: str) -> bool:
        """Say whether a duet of a part has two valid runs."""
        seen: set[tuple[int, str, str]] = set()
        for run in self.runs:
            cell = (run.block, run.scenario, run.load)
            if run.part == name and run.status == "ok":
                if cell in seen:
                    return True
                seen.add(cell)
        return False

    def _session(self) -> Session:
        return replace(self.header, runs=tuple(self.runs))

    def _block(self, duets: list[Duet]) -> Iterator[Run]:
        for duet in duets:
            trials = [replace(trial, number=number) for number, trial in enumerate(duet, start=len(self.runs))]
            for trial in trials:
                self.begun(trial)
            began = self.now()
            found = self.conductor.together(trials)
            runs = [replace(run, elapsed_s=self.now() - began) for run in found]
            self.runs += runs
            yield from runs
            if any(map(final, runs)):
                self.over = True
                return
