"""What stands beside a judgement: the base beside itself, what it says of this machine, void trials, warnings.

Knows parts, arms and runs. Must not know what head was found to be.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from scipy import special

from gatebench.gate.findings import in_order, ratio_of
from gatebench.gate.pairs import Pair, Trials
from gatebench.gate.sequence import AGAIN, CONFIRM, GATE
from gatebench.metrics import blocks
from gatebench.model import Finding, Gate, GateWord, Run, Session
from gatebench.stats import SIDE, median_interval, shift, sign_flips

FEWEST = 3  # duets of which a spread is taken
NAMED = 5  # warnings of runs that are told; more of them say no more
FEWEST_BROKEN, BROKEN, OFTENER = 2, 0.02, 2  # trials an arm breaks in, share of its own, and times the other's share
FIGURES = re.compile(r"[0-9]+([.,][0-9]+)*")  # in which reasons differ that are alike


def itself(session: Session, gate: Gate, made: int) -> tuple[tuple[Finding, ...], dict[str, float], tuple[str, ...]]:
    """Compare base with itself; give the findings, the smallest change that can be told, and warnings.

    `made` is how many blocks of base and head the last look was at.
    """
    if gate.again is None:
        return (), {}, ()
    trials, judged = Trials(session, AGAIN), Trials(session, GATE)
    looked_at = {*judged.blocks(gate.base, gate.head)[:made]}
    findings, smallest, warnings = [], dict[str, float](), list[str]()
    for metric in in_order(gate):
        for scenario, load in trials.measures:
            pair = trials.pair(gate.base, gate.again, scenario, load, metric)
            logs = np.array(list(pair.ratios.values()))
            if not len(logs):
                continue
            found = _finding(pair, logs, gate.margins[metric])
            findings.append(found)
            ratios = judged.pair(gate.base, gate.head, scenario, load, metric).ratios
            heads = np.array([ratio for block, ratio in ratios.items() if block in looked_at])
            least = _smallest(logs, heads, _error(gate, made))
            if least is not None:
                smallest[metric] = max(smallest.get(metric, 0.0), least)
            if metric == gate.leading and unlike(found):
                warnings.append(_warning(found))
    return tuple(findings), smallest, tuple(warnings)


def _finding(pair: Pair, logs: np.ndarray, margin: float) -> Finding:
    change, bound = shift(logs, SIDE), math.log1p(margin)
    # In either direction: base beside itself has no better or worse.
    p_worse = min(1.0, 2 * min(sign_flips(logs, bound), sign_flips(-logs, bound)))
    within = max(sign_flips(-logs, -bound), sign_flips(logs, -bound)) <= SIDE
    word: GateWord = "pass" if within else "fail" if p_worse <= 2 * SIDE else "unsure"
    return Finding(
        scenario=pair.scenario,
        load=pair.load,
        metric=pair.metric,
        margin=margin,
        word=word,
        change=None if change is None else ratio_of(change),
        base=median_interval([pair.first[block] for block in pair.blocks]),
        head=median_interval([pair.second[block] for block in pair.blocks]),
        p_worse=p_worse,
        blocks=len(logs),
    )


def _error(gate: Gate, made: int) -> float:
    """Give the error that the look at so many blocks spends: where time was out before its own, the next one's."""
    return gate.errors[min(bisect_left(gate.looks, made), len(gate.errors) - 1)]


def _smallest(logs: np.ndarray, heads: np.ndarray, error: float) -> float | None:
    """Give about half an interval's width over the blocks of `heads` with this error.

    The spread is that of base beside itself, which is few blocks, and of head beside base, each about its own mean.
    None where base was hardly measured beside itself, or where so few blocks have no interval with this error.
    """
    if len(logs) < FEWEST or 0.5 ** len(heads) > error:
        return None
    freedom = len(logs) + len(heads) - 2
    spread = math.sqrt(sum(float(np.sum((each - each.mean()) ** 2)) for each in (logs, heads)) / freedom)
    return math.expm1(float(special.stdtrit(freedom, 1 - error)) * spread / math.sqrt(len(heads)))


def unlike(found: Finding) -> bool:
    """Tell whether base differs from itself evidently, and by more than half of what head may be worse."""
    change = found.change
    if change is None or change.low is None or change.high is None or change.low <= 1 <= change.high:
        return False
    return abs(math.log(change.value)) > math.log1p(found.margin) / 2


def _warning(found: Finding) -> str:
    off = (found.change.value - 1) * 100 if found.change else 0.0
    return (
        f"Base beside itself differs by {off:+.1f} % on {found.scenario}, {found.load} ({blocks(found.blocks)}): "
        "the two arms are not measured alike here."
    )


def void(session: Session, gate: Gate) -> dict[str, int]:
    """Count the trials that gave nothing, by arm and reason; reasons that differ in their figures only together."""
    counts: Counter[str] = Counter()
    first: dict[tuple[str, str], str] = {}
    for run in _tried(session, gate):
        if run.status != "ok":
            reason = _reason(run)
            arm = {gate.base: "base", gate.head: "head"}.get(run.stack, "again")
            alike = arm, FIGURES.sub("#", f"{run.status}: {reason}")
            counts[first.setdefault(alike, f"{arm}, {run.status}: {reason}")] += 1
    return dict(counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Broken:
    """How often an arm did not keep the contract, before the load or under it."""

    arm: str
    trials: int  # in which it came to be asked
    contract: Sequence[Run]  # that failed it before the load: nothing disturbs that, so once is enough
    broke: Sequence[Run]  # that kept it before the load and not under it

    @property
    def count(self) -> int:
        return len(self.contract) + len(self.broke)

    def share(self, count: int) -> float:
        return count / self.trials if self.trials else 0.0

    def beside(self, other: _Broken) -> bool:
        """Tell whether this is the arm's doing: a loaded machine breaks either arm now and then."""
        often = self.share(len(self.broke))
        oftener = often > BROKEN and often > OFTENER * other.share(len(other.broke))
        return bool(self.contract) or (len(self.broke) >= FEWEST_BROKEN and oftener)

    @property
    def told(self) -> str:
        return f"{self.arm} in {self.count} of {self.trials}" if self.trials else f"{self.arm} could not be tried"

    @property
    def verb(self) -> str:
        said = [("failed the contract", self.contract), ("broke under load", self.broke)]
        return " or ".join(verb for verb, runs in said if runs)

    @property
    def reason(self) -> str:
        """Give the reason that most of these trials share; those that differ only in their figures are alike."""
        reasons = [_reason(run) for run in (*self.contract, *self.broke)]
        most = Counter(FIGURES.sub("#", reason) for reason in reasons).most_common(1)[0][0]
        return next(reason for reason in reasons if FIGURES.sub("#", reason) == most)


def broken(session: Session, gate: Gate) -> str | None:
    """Say that an arm did not keep the contract, and how often; None where none broke, or both about as often.

    What is left of such an arm is no fair sample. Base and base again are one arm.
    """
    head, base = _broken(session, gate, "head", {gate.head}), _broken(session, gate, "base", {gate.base, gate.again})
    found = [(one, other) for one, other in ((head, base), (base, head)) if one.beside(other)]
    if not found:
        return None
    if head.contract and base.contract:
        return f"Both arms failed the contract, {base.told} trials and {head.told}: {head.reason.rstrip('.')}."
    one, other = max(found, key=lambda each: each[0].share(each[0].count))
    stack = gate.head if one is head else gate.base
    words = f" ({gate.arms[stack]})" if gate.arms.get(stack) else ""
    return f"{stack}{words} {one.verb} in {one.count} of {one.trials} trials, {other.told}: {one.reason.rstrip('.')}."


def _broken(session: Session, gate: Gate, arm: str, stacks: Collection[str | None]) -> _Broken:
    runs = [run for run in _tried(session, gate) if run.stack in stacks and run.fault != "machine"]
    return _Broken(
        arm=arm,
        trials=len(runs),
        contract=[run for run in runs if run.status == "failed" and run.fault == "contract"],
        broke=[run for run in runs if run.status == "void" and run.fault == "broke"],
    )


def _reason(run: Run) -> str:
    return _one_line(run.reason or "no reason was given")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def warned(session: Session, gate: Gate) -> Iterator[str]:
    """Tell what runs were warned of, those that most runs share first; and what the file's end says."""
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    runs = [run for run in _tried(session, gate) if run.status == "ok"]
    for run in runs:
        alike = {FIGURES.sub("#", text): text for text in map(_one_line, run.warnings)}
        counts.update(first.setdefault(*each) for each in alike.items())
    for text, count in counts.most_common(NAMED):
        yield f"{count} of {len(runs)} valid trials: {text}"
    if len(counts) > NAMED:
        yield f"{len(counts) - NAMED} more kinds of warnings stand beside single trials in the results file."
    if session.interrupted:
        yield "The session was stopped before all its blocks were made."


def _tried(session: Session, gate: Gate) -> Sequence[Run]:
    arms = {gate.base, gate.head, gate.again}
    return [run for run in session.runs if run.part in (GATE, AGAIN, CONFIRM) and run.stack in arms]


def per_block_s(session: Session) -> float | None:
    """Give what a block of a gate took, all that was measured beside it included; None where that is not known."""
    runs = [run for run in session.runs if run.part in (GATE, AGAIN)]
    made = len({run.block for run in runs if run.part == GATE})
    # Runs of a duet share their time: what counts is how long all of them took from first to last.
    spans = sorted((_at(run), _at(run) + (run.elapsed_s or 0.0)) for run in runs)
    return (max(end for _, end in spans) - spans[0][0]) / made if spans and made else None


def _at(run: Run) -> float:
    return datetime.fromisoformat(run.started_at).timestamp()
