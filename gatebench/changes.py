"""Change points: where the level of a series changed, and how sure that is.

The method is E-divisive (Matteson and James, "A nonparametric approach for multiple change point analysis of
multivariate data", Journal of the American Statistical Association 109, 2014) on one-dimensional values with
alpha = 1: a series is divided where the energy distance of what lies before and after is largest, as long as
permuting the values within the parts found so far hardly ever gives as large a distance. It assumes no distribution,
only that values of one level may be exchanged; a drift is told as steps.

It is written here since what is to be had brings too much: apache-otava pins one version of numpy and brings the
clients of two services, and MongoDB's signal-processing-algorithms pins an older numpy and another gevent than the
generator's. It differs from the paper in one thing: a stretch of values before and after a place may end early on
either side, where the paper lets only the later one, so that a series told backwards is divided alike.

Pure arithmetic on plain numbers. Must not know sessions, metrics or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

LEAST = 3  # values that make a level; two may be alike by chance
PERMUTATIONS, LONG, FEWER = 999, 300, 199  # a series longer than that gets fewer: each costs the square of its length
ALIKE = 1e-9  # distances that differ by less, as a share, are the same but for rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A place where the level changed; the medians are of the levels on either side, to the next changes."""

    at: int  # index of the first value of the new level
    before: float
    after: float
    p_value: float  # of as large a distance, were there no change in the part that was divided


def changes(values: Sequence[float], *, seed: int = 1, error: float = 0.05) -> tuple[Change, ...]:
    """Find the places where the level changed, by rising index; ValueError where a value is not finite.

    `error` is the share of series without any change in which one is found all the same. The same values and seed
    give the same answer. Few values can show nothing, however plain: with an error of 5 % eight are needed, with
    1 % eleven.
    """
    exact = np.asarray(values, dtype=float)
    if not np.isfinite(exact).all():
        raise ValueError(f"change points need finite values, not {list(values)}")
    if len(exact) < 2 * LEAST or exact.min() == exact.max():
        return ()
    exact = (exact - exact.min()) / (exact.max() - exact.min())  # of a size that no square overflows
    chance = np.random.default_rng(seed)
    found: dict[int, float] = {}
    while True:
        ends = [0, *sorted(found), len(exact)]
        parts = [exact[start:end] for start, end in pairwise(ends)]
        divided = [_divided(part) for part in parts]
        best = max(range(len(parts)), key=lambda number: divided[number][0])
        distance, place = divided[best]
        p_value = _p_value(parts, distance, chance, error) if distance > 0 else 1.0
        if p_value > error:
            return _told(values, found)
        found[ends[best] + place] = p_value


def _told(values: Sequence[float], found: dict[int, float]) -> tuple[Change, ...]:
    ends = [0, *sorted(found), len(values)]
    levels = [float(np.median(values[start:end])) for start, end in pairwise(ends)]
    return tuple(
        Change(at=at, before=before, after=after, p_value=found[at])
        for at, (before, after) in zip(ends[1:-1], pairwise(levels), strict=True)
    )


def _p_value(parts: Sequence[np.ndarray], distance: float, chance: np.random.Generator, error: float) -> float:
    """Give the share of permutations within the parts that can be divided as far; given up once it is too large."""
    permutations = PERMUTATIONS if sum(map(len, parts)) <= LONG else FEWER
    as_far = 1  # what was seen is one of the permutations
    for made in range(1, permutations + 1):
        as_far += any(_divided(chance.permutation(part))[0] >= distance * (1 - ALIKE) for part in parts)
        if as_far > error * (permutations + 1):
            return as_far / (made + 1)
    return as_far / (permutations + 1)


def _divided(part: np.ndarray) -> tuple[float, int]:
    """Give the largest energy distance within a part, and the place between the stretches that are so far apart."""
    if len(part) < 2 * LEAST:
        return 0.0, 0
    # What holds with the end free holds, told backwards, with the start free.
    distances = np.maximum(_distances(part), _distances(part[::-1])[::-1])
    largest = float(distances.max())
    # The first of those that rounding alone tells apart.
    return largest, LEAST + int(np.argmax(distances >= largest * (1 - ALIKE)))


def _distances(part: np.ndarray) -> np.ndarray:
    """Give for each place the largest distance between all values before it and the next ones, however many; or 0."""
    sums = np.abs(part[:, None] - part[None, :])
    np.cumsum(sums, axis=1, out=sums)
    np.cumsum(sums, axis=0, out=sums)  # [i, j]: of the distances between the first i + 1 and the first j + 1 values
    within = np.diagonal(sums)
    places, ends = slice(LEAST - 1, len(part) - LEAST), slice(2 * LEAST - 1, len(part))
    across, before, after = _weights(len(part))
    found = across * sums[places, ends]
    found -= before * within[places, None]
    found -= after * within[None, ends]
    return np.asarray(found.max(axis=1, initial=0.0))


@lru_cache(maxsize=8)
def _weights(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the factors of the sums S[t, k], S[t, t] and S[k, k] in the distance, places t down and ends k across.

    With m values before t and n from there to k the distance is mn/(m+n) times twice the mean distance across, less
    the mean distances within either: 2/(m+n) (S[t, k] - S[t, t]) - n/(m+n)/(m-1) S[t, t]
    - m/(m+n)/(n-1) (S[k, k] - 2 S[t, k] + S[t, t]).
    """
    first = np.arange(LEAST, count - LEAST + 1)[:, None]
    ends = np.arange(2 * LEAST, count + 1)[None, :]
    possible = ends - first >= LEAST
    second = np.where(possible, ends - first, LEAST)
    after = first / (first + second) / (second - 1)
    across = 2 / (first + second) + 2 * after
    before = 2 / (first + second) + second / (first + second) / (first - 1) + after
    return across * possible, before * possible, after * possible
