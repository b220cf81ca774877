"""How blocks scatter, fitted to recorded ones; and blocks drawn anew, from that fit or from recorded ones in runs.

Pure arithmetic on arrays with a row a block and a column a metric, NaN where a block has no figure. Must not know
files, variants or what is judged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gatebench.errors import UntrustedError

FEWEST = 6  # recorded blocks of which a spread is told
MISSING = 0.2  # a metric that more of the blocks lack is left out
BURN_IN = 20  # blocks drawn and thrown away, so that the first that is kept has a past
STEEPEST = 0.9  # of the autocorrelation: what is nearer to 1 could not be told from a drift


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """Blocks around their middle: what each keeps of the one before, what is new, and what a whole session shares."""

    middle: np.ndarray  # a metric
    kept: np.ndarray  # autocorrelation of neighbours, a metric
    fresh: np.ndarray  # residuals as they were, a row a block: drawn whole, so that metrics move together as they did
    between: np.ndarray  # standard deviation of what whole sessions are off by, a metric
    spread: np.ndarray  # standard deviation within a session, a metric
    blocks: int

    def draw(self, gates: int, blocks: int, chance: np.random.Generator) -> np.ndarray:
        """Draw so many gates of so many blocks around zero; axes: gate, block, metric."""
        drawn = self.fresh[chance.integers(len(self.fresh), size=(gates, BURN_IN + blocks))]
        for block in range(1, drawn.shape[1]):
            drawn[:, block] += self.kept * drawn[:, block - 1]
        off = chance.normal(size=(gates, 1, len(self.middle))) * self.between
        return np.asarray(drawn[:, BURN_IN:] + off)


def fitted(pieces: Sequence[np.ndarray]) -> Scatter:
    """Fit the scatter of one variant, recorded in pieces; metrics that it seldom has are NaN in all blocks drawn."""
    every = np.concatenate(pieces)
    known = np.isnan(every).mean(axis=0) <= MISSING
    whole = [piece[~np.isnan(piece[:, known]).any(axis=1)] for piece in pieces]
    whole = [piece for piece in whole if len(piece) > 1]
    if not known.any() or sum(map(len, whole)) < FEWEST:
        raise UntrustedError(f"There are fewer than {FEWEST} valid blocks of a variant: record some more.")
    middle = np.median(np.concatenate(whole), axis=0)
    kept = _autocorrelation([piece - piece.mean(axis=0) for piece in whole])
    fresh = [_news(piece - piece.mean(axis=0), kept) for piece in whole]
    spread = np.sqrt(_pooled_variance(whole))
    return Scatter(
        middle=middle,
        kept=np.nan_to_num(kept),
        fresh=np.where(known, np.concatenate(fresh), np.nan),
        between=np.where(known, _between(whole, spread, kept), 0.0),
        spread=spread,
        blocks=len(every),
    )


def _pooled_variance(pieces: Sequence[np.ndarray]) -> np.ndarray:
    squares = sum(((piece - piece.mean(axis=0)) ** 2).sum(axis=0) for piece in pieces)
    return np.asarray(squares / (sum(map(len, pieces)) - len(pieces)))


def _autocorrelation(centred: Sequence[np.ndarray]) -> np.ndarray:
    """Give how much of a block's deviation the next one has; never less than none, which would flatter."""
    products = sum((piece[1:] * piece[:-1]).sum(axis=0) for piece in centred)
    squares = sum((piece**2).sum(axis=0) for piece in centred)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.clip(np.asarray(products) / np.asarray(squares), 0.0, STEEPEST))


def _news(centred: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Give what of each block does not follow from the one before, as wide as it was before a mean was fitted."""
    news = centred[1:] - kept * centred[:-1]
    news = news - news.mean(axis=0)
    return np.asarray(news * math.sqrt(len(centred) / max(1, len(centred) - 2)))


def _between(pieces: Sequence[np.ndarray], spread: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Give how far whole pieces lie apart, beyond what their own blocks explain."""
    if len(pieces) < 2:
        return np.zeros_like(spread)
    means = np.array([piece.mean(axis=0) for piece in pieces])
    explained = spread**2 * (1 + kept) / (1 - kept) * np.mean([1 / len(piece) for piece in pieces])
    return np.asarray(np.sqrt(np.maximum(0.0, means.var(axis=0, ddof=1) - explained)))


def run_together(blocks: np.ndarray, gates: int, length: int, chance: np.random.Generator) -> np.ndarray:
    """Draw gates from recorded blocks by the moving-block bootstrap: runs of neighbours, wherever they begin."""
    run = max(1, round(length ** (1 / 3)))
    starts = chance.integers(max(1, len(blocks) - run + 1), size=(gates, math.ceil(length / run)))
    places = (starts[:, :, None] + np.arange(run)).reshape(gates, -1)[:, :length]
    return np.asarray(blocks[places % len(blocks)])


def effective(blocks: int, length: int, kept: float) -> float:
    """Say how many windows of that length the recorded blocks are worth, however many overlapping ones are drawn."""
    return blocks / length * (1 - kept) / (1 + kept)
