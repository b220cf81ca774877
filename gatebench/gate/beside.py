"""What stands beside a judgement: the base beside itself, what it says of this machine, void trials, warnings.

Knows parts, arms and runs. Must not know what head was found to be.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np
from scipy import special

from gatebench.gate.findings import in_order, ratio_of
from gatebench.gate.pairs import Pair, Trials
from gatebench.gate.sequence import AGAIN, CONFIRM, GATE
from gatebench.metrics import blocks
from gatebench.model import Finding, Gate, GateWord, Run, Session
from gatebench.stats import SIDE, median_interval, shift, sign_flips

FEWEST = 3  # blocks of which a spread is taken
NAMED = 5  # warnings of runs that are told; more of them say no more


def itself(session: Session, gate: Gate, made: int) -> tuple[tuple[Finding, ...], dict[str, float], tuple[str, ...]]:
    """Compare base with itself; give the findings, the smallest change that `made` blocks can tell, and warnings."""
    if gate.again is None:
        return (), {}, ()
    trials = Trials(session, AGAIN)
    findings, smallest, warnings = [], dict[str, float](), list[str]()
    for metric in in_order(gate):
        for scenario, load in trials.measures:
            pair = trials.pair(gate.base, gate.again, scenario, load, metric)
            logs = np.array(list(pair.ratios.values()))
            if not len(logs):
                continue
            found = _finding(pair, logs, gate.margins[metric])
            findings.append(found)
            if len(logs) >= FEWEST and made:
                smallest[metric] = max(smallest.get(metric, 0.0), _smallest(logs, made))
            if metric == gate.leading and _unlike(found):
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


def _smallest(logs: np.ndarray, made: int) -> float:
    """Give the half-width of an interval over `made` blocks, by the spread of base beside itself."""
    quantile = float(special.stdtrit(len(logs) - 1, 1 - SIDE))
    return math.expm1(quantile * float(np.std(logs, ddof=1)) / math.sqrt(made))


def _unlike(found: Finding) -> bool:
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
            reason = " ".join((run.reason or "no reason was given").split())
            arm = {gate.base: "base", gate.head: "head"}.get(run.stack, "again")
            alike = arm, re.sub(r"[0-9]+([.,][0-9]+)*", "#", f"{run.status}: {reason}")
            counts[first.setdefault(alike, f"{arm}, {run.status}: {reason}")] += 1
    return dict(counts)


def warned(session: Session, gate: Gate) -> Iterator[str]:
    """Tell what runs were warned of, those that most runs share first; and what the file's end says."""
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    runs = [run for run in _tried(session, gate) if run.status == "ok"]
    for run in runs:
        alike = {re.sub(r"[0-9]+([.,][0-9]+)*", "#", text): text for text in run.warnings}
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
