"""Findings: one metric of base and head under one scenario and load, with what is said of it.

Knows pairs, margins and metrics. Must not know looks but for their error, nor sessions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gatebench.gate.pairs import Pair, Trials
from gatebench.gate.sequence import LEAST, MARGINS
from gatebench.metrics import TABLE, blocks
from gatebench.model import Estimate, Finding, Gate, GateWord, Load
from gatebench.stats import SIDE, blocks_to_decide, median_interval, shift

GIVEN = ("open", "poisson")  # loads that both arms are given: their rate tells nothing
NONE = "no block has a valid figure of both arms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What a finding is made of."""

    pair: Pair
    margin: float  # share by which head may be worse

    @property
    def sign(self) -> int:
        """1 where a larger figure is worse, -1 where a smaller one is."""
        return 1 if TABLE[self.pair.metric][0].better == "lower" else -1

    @property
    def name(self) -> str:
        """Name the metric, and where it is."""
        return f"{TABLE[self.pair.metric][0].title} on {self.pair.scenario}, {self.pair.load}"

    def of(self, trials: Trials, gate: Gate) -> Sheet:
        """Give the same of another part."""
        pair = trials.pair(gate.base, gate.head, self.pair.scenario, self.pair.load, self.pair.metric)
        return replace(self, pair=pair)

    def worse(self, made: Sequence[int]) -> np.ndarray:
        """Give how much worse head was in these blocks, as log-ratios; NaN where a block does not tell."""
        known = self.pair.ratios
        return np.array([self.sign * known[block] if block in known else math.nan for block in made])


def sheets(trials: Trials, gate: Gate) -> list[Sheet]:
    """Give what may be judged in a part, the leading metric first."""
    return [
        Sheet(pair=trials.pair(gate.base, gate.head, scenario, load, metric), margin=gate.margins[metric])
        for metric in in_order(gate)
        for scenario, load in trials.measures
        if metric != "rate_rps" or Load.parse(load).kind not in GIVEN
    ]


def in_order(gate: Gate) -> list[str]:
    """Name the metrics, the leading one first; a file that was read again has them in no order of its own."""
    known = [metric for metric in (*MARGINS, *TABLE) if metric in gate.margins]
    return list(dict.fromkeys([gate.leading, *known]))


def left_out(sheet: Sheet, gate: Gate) -> str | None:
    """Say why a metric that does not lead is left out; None where it is judged.

    Where every valid trial of base has the figure and most of head's lack it, that is head's doing, and stays.
    """
    pair = sheet.pair
    heads = len(pair.first) == pair.valid[0] > 0 and 2 * len(pair.second) < pair.valid[1]
    if pair.blocks or pair.metric == gate.leading or heads:
        return None
    return pair.lacks or NONE


def finding(
    sheet: Sheet,
    made: Sequence[int],
    *,
    word: GateWord,
    p_worse: float,
    error: float,
    gate: Gate,
    beside: int,
) -> Finding:
    """Say what was found in these blocks; `beside` is how many findings were judged together."""
    pair, values = sheet.pair, sheet.worse(made)
    paired = [block for block in made if block in pair.ratios]
    known = values[~np.isnan(values)]
    change = _change(sheet, known, error)
    unsure = word == "unsure"
    return Finding(
        scenario=pair.scenario,
        load=pair.load,
        metric=pair.metric,
        margin=sheet.margin,
        word=word,
        change=change,
        base=median_interval([pair.first[block] for block in paired]) if paired else None,
        head=median_interval([pair.second[block] for block in paired]) if paired else None,
        p_worse=p_worse if paired else None,
        blocks=len(paired),
        needed=_needed(sheet, known, len(made), gate, beside) if unsure else None,
        reason=_reason(sheet, known, change, error) if unsure else None,
    )


def ratio_of(estimate: Estimate, sign: int = 1) -> Estimate:
    """Turn an estimate of log-ratios into one of ratios; of those with a sign, into head / base."""
    ends = [None if end is None else math.exp(sign * end) for end in (estimate.low, estimate.high)]
    low, high = ends if sign > 0 else reversed(ends)
    return replace(estimate, value=math.exp(sign * estimate.value), low=low, high=high)


def _change(sheet: Sheet, known: np.ndarray, error: float) -> Estimate | None:
    found = shift(known, error)
    return None if found is None else ratio_of(found, sheet.sign)


def _needed(sheet: Sheet, known: np.ndarray, made: int, gate: Gate, beside: int) -> int | None:
    """Guess how many blocks would decide a finding, with as many void among them as there were."""
    found = shift(known, SIDE)
    if found is None or found.low is None:
        return None
    distance = math.log1p(sheet.margin) - found.value
    error = gate.errors[-1] / (beside if distance < 0 else 1)
    enough = blocks_to_decide(ratio_of(found), abs(distance), error)
    return None if enough is None else max(LEAST, math.ceil(enough * made / len(known)))


def _reason(sheet: Sheet, known: np.ndarray, change: Estimate | None, error: float) -> str:
    if change is None:
        return sheet.pair.lacks or NONE
    if change.low is None:
        return f"{blocks(len(known))} cannot tell anything with an error of {error:.2g}"
    found = shift(known, error)
    if found is not None and found.low is not None and found.low > math.log1p(sheet.margin):
        return "it lies past the margin, but not surely enough for one of several findings"
    return "the margin lies within the interval"
