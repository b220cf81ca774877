"""How blocks scatter, fitted to recorded ones; and blocks drawn anew, from that fit or from recorded ones in runs.

Pure arithmetic on arrays with a row a block and a column a metric, NaN where a block has no figure. Must not know
files, variants or what is judged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gatebench.errors import UntrustedError

FEWEST = 6  # recorded blocks of which a spread is told
MISSING = 0.2  # a metric that more of the blocks lack is left out
BURN_IN = 20  # blocks drawn and thrown away, so that the first that is kept has a past
STEEPEST = 0.9  # of the autocorrelation: what is nearer to 1 could not be told from a drift
FEWEST_DRIFTING = 6  # blocks of a piece whose middle and drift are told


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """Blocks around their middle: what each keeps of the one before, what is new, and what a whole session shares.

    A session shares an offset, and a drift: how much more its last block is off than its first. A gate with its
    confirmation lasts about as long as a recorded piece, so both drift as much from end to end.
    """

    middle: np.ndarray  # a metric
    kept: np.ndarray  # autocorrelation of neighbours, a metric
    fresh: np.ndarray  # residuals as they were, a row a block: drawn whole, so that metrics move together as they did
    between: np.ndarray  # standard deviation of what whole sessions are off by, a metric
    drift: np.ndarray  # standard deviation of what sessions drift by from end to end, a metric
    spread: np.ndarray  # standard deviation within a session, a metric
    blocks: int
    pieces: int  # that they were recorded in; of one alone, offset and drift are not known and are taken for none

    def draw(self, gates: int, blocks: int, chance: np.random.Generator) -> np.ndarray:
        """Draw so many gates of so many blocks around zero; axes: gate, block, metric."""
        drawn = self.fresh[chance.integers(len(self.fresh), size=(gates, BURN_IN + blocks))]
        for block in range(1, drawn.shape[1]):
            drawn[:, block] += self.kept * drawn[:, block - 1]
        off, slope = (chance.normal(size=(gates, 1, len(self.middle))) * each for each in (self.between, self.drift))
        return np.asarray(drawn[:, BURN_IN:] + off + slope * _along(blocks)[:, None])


def fitted(pieces: Sequence[np.ndarray]) -> Scatter:
    """Fit the scatter of one variant, recorded in pieces; metrics that it seldom has are NaN in all blocks drawn."""
    every = np.concatenate(pieces)
    known = np.isnan(every).mean(axis=0) <= MISSING
    whole = [piece[~np.isnan(piece[:, known]).any(axis=1)] for piece in pieces]
    whole = [piece for piece in whole if len(piece) > 1]
    if not known.any() or sum(map(len, whole)) < FEWEST:
        raise UntrustedError(f"There are fewer than {FEWEST} valid blocks of a variant: record some more.")
    middle = np.array([_middle(column) for column in np.concatenate(whole).T])
    kept = _autocorrelation([piece - piece.mean(axis=0) for piece in whole])
    fresh = [_news(piece - piece.mean(axis=0), kept) for piece in whole]
    one = Scatter(
        middle=middle,
        kept=np.nan_to_num(kept),
        fresh=np.where(known, np.concatenate(fresh), np.nan),
        between=np.zeros(len(known)),
        drift=np.zeros(len(known)),
        spread=np.where(known, np.sqrt(_pooled_variance(whole)), np.nan),
        blocks=len(every),
        pieces=len(whole),
    )
    between, drift = shared([pieces], [one])
    return replace(one, between=between, drift=drift)


def _middle(values: np.ndarray) -> float:
    """Give where values lie, as the gate itself estimates it (Hodges and Lehmann); NaN where one is missing."""
    return float(np.median(np.add.outer(values, values)[np.tri(len(values), dtype=bool)])) / 2


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


def _along(blocks: int) -> np.ndarray:
    """Give where each block of a session lies on its way, from -1/2 to 1/2."""
    return np.linspace(-0.5, 0.5, blocks)


def shared(
    variants: Sequence[Sequence[np.ndarray]], scatters: Sequence[Scatter], level: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Give how far whole pieces lie apart and how much they drift, beyond what their own blocks explain, a metric.

    Variants are taken together: what varies between pieces is the machine, and few pieces of one variant say next to
    nothing. Each is so large that the squares of what was seen, in units of what it would be then, add up to what
    chance has them come to (Paule and Mandel); with a `level`, to so little that chance seldom has them come to less:
    the upper end of its interval at that level (the Q profile).
    """
    between, drift = (np.zeros(len(scatters[0].middle)) for _ in range(2))
    for column in range(len(between)):
        seen = [_seen(*told, column) for told in zip(variants, scatters, strict=True)]
        between[column] = _beyond([means for means, _ in seen], level, about_zero=False)
        drift[column] = _beyond([drifts for _, drifts in seen], level, about_zero=True)
    return between, drift


_Seen = tuple[np.ndarray, np.ndarray]  # values, and the variance that each has by its own blocks


def _seen(pieces: Sequence[np.ndarray], scatter: Scatter, column: int) -> tuple[_Seen, _Seen]:
    """Give the means of a variant's pieces and what they drifted by; none where its spread is not known."""
    # Neighbours that are alike tell less of a mean.
    own = float((scatter.spread**2 * (1 + scatter.kept) / (1 - scatter.kept))[column])
    columns = [piece[~np.isnan(piece[:, column]), column] for piece in pieces]
    columns = [values for values in columns if len(values) >= FEWEST_DRIFTING and own > 0]
    lines = [_along(len(values)) for values in columns]
    drifts = [line @ values / (line @ line) for line, values in zip(lines, columns, strict=True)]
    return (
        (np.array([values.mean() for values in columns]), np.array([own / len(values) for values in columns])),
        (np.array(drifts), np.array([own / (line @ line) for line in lines])),
    )


def _beyond(groups: Sequence[_Seen], level: float | None, *, about_zero: bool) -> float:
    """Give the standard deviation of values beyond what explains them, about zero or their group's middle."""
    from scipy import optimize, special  # noqa: PLC0415 - who only records is spared it

    groups = [group for group in groups if len(group[0]) > (not about_zero)]
    free = sum(len(values) - (not about_zero) for values, _ in groups)
    if not groups:
        return 0.0
    wanted = free if level is None else float(special.chdtri(free, (1 + level) / 2))

    def over(variance: float) -> float:
        return sum(_distance(values, own + variance, about_zero=about_zero) for values, own in groups) - wanted

    widest = sum(_distance(values, np.ones(len(values)), about_zero=about_zero) for values, _ in groups) / wanted
    return math.sqrt(optimize.brentq(over, 0.0, widest)) if over(0.0) > 0 else 0.0


def _distance(values: np.ndarray, variances: np.ndarray, *, about_zero: bool) -> float:
    weights = 1 / variances
    middle = 0.0 if about_zero else float(np.sum(weights * values) / np.sum(weights))
    return float(np.sum(weights * (values - middle) ** 2))


def of_windows(pieces: Sequence[np.ndarray], length: int) -> tuple[np.ndarray, int]:
    """Give the standard deviation of the means of so many neighbouring blocks, a metric, and of how many means."""
    means = [
        piece[start : start + length].mean(axis=0)
        for piece in pieces
        for start in range(0, len(piece) - length + 1, length)
    ]
    if len(means) < 2:
        return np.full(pieces[0].shape[1] if pieces else 0, np.nan), len(means)
    return np.asarray(np.std(np.array(means), axis=0, ddof=1)), len(means)


def run_together(pieces: Sequence[np.ndarray], gates: int, length: int, chance: np.random.Generator) -> np.ndarray:
    """Draw gates from recorded blocks by the moving-block bootstrap: runs of neighbours, wherever they begin.

    No run goes from one piece into the next; a piece shorter than a run is left out, unless all are.
    """
    run = min(max(1, round(length ** (1 / 3))), max(map(len, pieces)))
    ends = np.cumsum([len(piece) for piece in pieces])
    starts = np.concatenate(
        [np.arange(end - len(piece), end - run + 1) for end, piece in zip(ends, pieces, strict=True)]
    )
    begun = chance.choice(starts, size=(gates, math.ceil(length / run)))
    places = (begun[:, :, None] + np.arange(run)).reshape(gates, -1)[:, :length]
    return np.asarray(np.concatenate(pieces)[places])


def effective(blocks: int, length: int, kept: float) -> float:
    """Say how many windows of that length the recorded blocks are worth, however many overlapping ones are drawn."""
    return blocks / length * (1 - kept) / (1 + kept)
