"""Gates judged on blocks that are there already, drawn or recorded: what each says, and after how many blocks.

Knows the gate's own judging, and plain arrays. Must not know where blocks come from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gatebench.gate import LEAST, MOST, errors, looks
from gatebench.gate.judging import Settled, settle
from gatebench.gating import EVERY
from gatebench.metrics import TABLE
from gatebench.model import GateWord

WORDS: tuple[GateWord, ...] = ("fail", "unsure", "pass")
LEVEL = 0.95  # of binomial intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one gate said, and how many blocks of base and head it took."""

    word: GateWord
    blocks: int
    fresh: int = 0  # to confirm a fail

    def seconds(self, block_s: float) -> float:
        """Say how long it took, with the blocks of the base beside itself."""
        return (self.blocks + self.blocks // EVERY + self.fresh) * block_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A gate's declaration, as far as arrays need it."""

    metrics: Sequence[str]  # of the columns
    margins: Mapping[str, float]
    blocks: int
    confirm: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of how many, with the exact binomial interval (Clopper and Pearson) of their share."""

    count: float
    tried: float

    @property
    def value(self) -> float:
        """Give the share itself."""
        return self.count / self.tried

    @property
    def interval(self) -> tuple[float, float]:
        """Give its two ends."""
        from scipy import special  # noqa: PLC0415 - who only records is spared it

        tail, misses = (1 - LEVEL) / 2, self.tried - self.count
        low = float(special.betaincinv(self.count, misses + 1, tail)) if self.count else 0.0
        high = float(special.betaincinv(self.count + 1, misses, 1 - tail)) if misses > 0 else 1.0
        return low, high


def gate(blocks: np.ndarray, fresh: np.ndarray, rules: Rules) -> Said:
    """Judge a gate on an array of log-ratios, a row a block, and confirm a fail on fresh ones.

    A metric without a single figure is left out, as the gate leaves it out.
    """
    seen = [column for column in range(len(rules.metrics)) if not np.isnan(blocks[:, column]).all()]
    first = _settled(blocks, rules, seen)
    if first.word != "fail" or not rules.confirm:
        return Said(word=first.word, blocks=first.blocks)
    failed = [column for column, word in zip(seen, first.words, strict=True) if word == "fail"]
    again = _settled(fresh, rules, failed)
    return Said(word="fail" if again.word == "fail" else "unsure", blocks=first.blocks, fresh=again.blocks)


def _settled(blocks: np.ndarray, rules: Rules, columns: Sequence[int]) -> Settled:
    names = [rules.metrics[column] for column in columns]
    signs = [1 if TABLE[name][0].better == "lower" else -1 for name in names]
    ends = looks(rules.blocks)
    return settle(
        [sign * blocks[:, column] for sign, column in zip(signs, columns, strict=True)],
        [math.log1p(rules.margins[name]) for name in names],
        ends,
        errors(ends),
    )


def shares(said: Iterable[Said], tried: float | None = None) -> dict[GateWord, Share]:
    """Count words; `tried` is how many gates they are worth, where they overlap."""
    words = [one.word for one in said]
    worth = len(words) if tried is None else tried
    return {word: Share(count=words.count(word) * worth / len(words), tried=worth) for word in WORDS}


def windows(pieces: Sequence[np.ndarray], rules: Rules) -> list[Said]:
    """Judge disjoint windows of recorded blocks, none across two pieces; none where there are too few for two.

    A fail is confirmed by the window after, that of the last by the first.
    """
    cut = [
        blocks[start : start + rules.blocks]
        for blocks in pieces
        for start in range(0, len(blocks) - rules.blocks + 1, rules.blocks)
    ]
    if len(cut) < 2:
        return []
    return [gate(window, cut[(place + 1) % len(cut)], rules) for place, window in enumerate(cut)]


def drawn(gates: np.ndarray, fresh: np.ndarray, rules: Rules, shift: np.ndarray | float = 0.0) -> list[Said]:
    """Judge gates that were drawn, each with its fresh blocks, after moving all blocks by `shift`."""
    return [gate(one + shift, other + shift, rules) for one, other in zip(gates, fresh, strict=True)]


def affordable(budget_s: float, block_s: float) -> int:
    """Say how many blocks a gate of this budget lays down, those of the base beside itself paid for."""
    counts = range(MOST, LEAST, -1)
    return next((count for count in counts if (count + count // EVERY) * block_s <= budget_s), LEAST)
