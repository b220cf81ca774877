"""Figures with their uncertainty: medians, ratios and differences over blocks, each with its interval.

An interval is at 95 % where the caller names no other error. Pure arithmetic on plain numbers. Must not know runs,
metrics or files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from scipy import special  # scipy.stats would cost two seconds to import

from gatebench.model import Estimate

LEVEL = 0.95  # of every interval here whose error is not given
SIDE = (1 - LEVEL) / 2  # the error on each side of it
ENOUGH = 6  # the fewest blocks of which an interval without assumptions at this level can be had
MOST_BLOCKS = 1000  # nobody measures more; beyond it an answer is no help


def median_interval(values: Sequence[float]) -> Estimate:
    """Give the typical value over blocks with its interval; ValueError where there are no values.

    From six blocks on: the median and a distribution-free interval between order statistics. Below: the
    geometric mean and a t interval on the logarithms; where a value is zero there are no logarithms, and
    one value shows no spread, so the interval is missing and the method says why.
    """
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError(f"a median needs finite values, not {list(values)}")
    if len(values) >= ENOUGH:
        return _order_statistics(sorted(values))
    if len(values) == 1:
        return _few(values[0], None, None, 1, "the one block's value; no interval")
    if min(values) <= 0:
        middle = float(np.median(values))
        return _few(middle, None, None, len(values), "median; no interval, since a value is not above zero")
    return _t_on_logs(values, "geometric mean and t interval of the logarithms")


def ratio(pairs: Sequence[tuple[float, float]]) -> Estimate | None:
    """Give the ratio second / first, taken block by block, with its interval.

    From six pairs on: the Hodges-Lehmann estimate and the exact Wilcoxon signed-rank interval of the
    log-ratios. Below: their mean and t interval. None where there are fewer than two pairs (a bare number
    would be no result) or where a value is not above zero (there is no such ratio).
    """
    if len(pairs) < 2 or not all(0 < value < math.inf for pair in pairs for value in pair):
        return None
    ratios = [second / first for first, second in pairs]
    if not all(0 < value < math.inf for value in ratios):
        return None
    if len(pairs) < ENOUGH:
        return _t_on_logs(ratios, "mean log-ratio and t interval")
    return _hodges_lehmann(ratios)


def difference(pairs: Sequence[tuple[float, float]]) -> Estimate | None:
    """Give the difference second - first, taken block by block, with its interval.

    From six pairs on: the Hodges-Lehmann estimate and the exact Wilcoxon signed-rank interval of the differences.
    Below: their mean and t interval. None where there are fewer than two pairs or where a value is not finite.
    """
    differences = [second - first for first, second in pairs]
    if len(pairs) < ENOUGH:
        return mean_interval(differences)
    if not all(map(math.isfinite, differences)):
        return None
    value, low, high = _walsh(np.asarray(differences))
    method = "Hodges-Lehmann and exact Wilcoxon interval of the differences"
    return Estimate(value=value, low=low, high=high, blocks=len(pairs), method=method)


def shift(values: Sequence[float] | np.ndarray, error: float) -> Estimate | None:
    """Give where values lie, with the interval that leaves out the truth with `error` on each side at most.

    The Hodges-Lehmann estimate and the exact Wilcoxon signed-rank interval; of log-ratios it is on the log scale. The
    ends are missing where no number of values that small can be that sure, the whole where a value is not finite or
    there is none.
    """
    exact = np.asarray(values, dtype=float)
    if not len(exact) or not np.isfinite(exact).all():
        return None
    value, low, high = _walsh(exact, error)
    method = f"Hodges-Lehmann and exact signed-rank interval, {error:.2g} on each side"
    few = len(exact) < ENOUGH
    return Estimate(value=value, low=low, high=high, blocks=len(exact), method=method, few=few)


def sign_flips(values: Sequence[float] | np.ndarray, against: float) -> float:
    """Give the exact chance of values that lie as far above `against`, were their centre there or below it.

    Each value's distance is as likely to have one sign as the other then, and the sum of signed ranks tells how
    unlikely these are. At most `error` just where the low end of shift(values, error) lies above `against`. Ties
    count for the centre, so with them the chance is rather too large. 1 where there are no values.
    """
    exact = np.asarray(values, dtype=float)
    if not len(exact):
        return 1.0
    return float(_rank_sums(len(exact))[np.count_nonzero(_averages(exact) <= against)])


def mean_interval(values: Sequence[float]) -> Estimate | None:
    """Give the mean over blocks with its t interval: the one estimate here of which parts sum to their whole.

    None where there are fewer than two values (a bare number would be no result) or where one is not finite.
    """
    count = len(values)
    if count < 2 or not all(map(math.isfinite, values)):
        return None
    middle = math.fsum(values) / count
    half = _t_quantile(count) * float(np.std(values, ddof=1)) / math.sqrt(count)
    method = f"mean and t interval of {count} blocks"
    return Estimate(
        value=middle, low=middle - half, high=middle + half, blocks=count, method=method, few=count < ENOUGH
    )


def inverse(estimate: Estimate) -> Estimate:
    """Give a ratio the other way round: first / second."""
    low, high = (1 / end if end else None for end in (estimate.high, estimate.low))
    return replace(estimate, value=1 / estimate.value, low=low, high=high)


def blocks_to_decide(estimate: Estimate, distance: float, error: float = SIDE) -> int | None:
    """Guess how many blocks shrink an interval's half-width on the log scale below `distance`.

    Takes the spread between blocks to stay as it is; None where there is no interval or no end to it. `error` is what
    the narrower interval may leave out on each side; that of the estimate is at 95 %.
    """
    if not estimate.low or not estimate.high or estimate.blocks < 2 or distance <= 0:
        return None
    half = max(math.log(estimate.high / estimate.value), math.log(estimate.value / estimate.low))
    spread = half * math.sqrt(estimate.blocks) / _t_quantile(estimate.blocks)
    for blocks in range(max(ENOUGH, estimate.blocks + 1), MOST_BLOCKS + 1):
        if _t_quantile(blocks, error) * spread / math.sqrt(blocks) < distance:
            return blocks
    return None


def _order_statistics(ordered: Sequence[float]) -> Estimate:
    count = len(ordered)
    rank = _sign_rank(count)
    method = "range" if rank == 1 else f"interval between the {rank} lowest and {rank} highest"
    return Estimate(
        value=float(np.median(ordered)),
        low=ordered[rank - 1],
        high=ordered[count - rank],
        blocks=count,
        method=f"median and {method} of {count} blocks",
    )


@cache
def _sign_rank(count: int) -> int:
    """Give the largest rank k with P(fewer than k of the blocks lie below the median) at most 2.5 %."""
    return next(rank for rank in range(count + 1) if special.bdtr(rank, count, 0.5) >= SIDE)


def _hodges_lehmann(ratios: Sequence[float]) -> Estimate:
    count, method = len(ratios), "Hodges-Lehmann and exact Wilcoxon interval of the log-ratios"
    if min(ratios) == max(ratios):  # spared the detour over logarithms, which would not come back exactly
        return Estimate(value=ratios[0], low=ratios[0], high=ratios[0], blocks=count, method=method)
    value, low, high = (None if each is None else math.exp(each) for each in _walsh(np.log(ratios)))
    assert value is not None  # noqa: S101 -- only the ends may be missing
    return Estimate(value=value, low=low, high=high, blocks=count, method=method)


def _walsh(values: np.ndarray, error: float = SIDE) -> tuple[float, float | None, float | None]:
    """Give median and interval from the means of all pairs: Hodges-Lehmann, and Wilcoxon's test turned round."""
    averages = np.sort(_averages(values))
    # What np.median gives, without its cost.
    middle = len(averages) // 2
    value = float((averages[middle] + averages[-middle - 1]) / 2)
    rank = _signed_rank(len(values), error)
    if not rank:
        return value, None, None
    return value, float(averages[rank - 1]), float(averages[-rank])


def _averages(values: np.ndarray) -> np.ndarray:
    """Give the means of all pairs, each value with itself among them."""
    first, second = _pairs(len(values))
    averages: np.ndarray = (values[first] + values[second]) / 2
    return averages


@cache
def _pairs(count: int) -> tuple[np.ndarray, ...]:
    return np.triu_indices(count)


@cache
def _signed_rank(count: int, error: float = SIDE) -> int:
    """Give the largest rank k with P(T < k) at most `error`, T being Wilcoxon's sum of positive ranks; 0: none."""
    return int(np.searchsorted(_rank_sums(count), error, side="right"))


@cache
def _rank_sums(count: int) -> np.ndarray:
    """Give P(T at most k) for every k, T being Wilcoxon's sum of positive ranks."""
    # Each rank is positive or not with equal odds, so T's distribution grows rank by rank.
    odds = np.ones(1)
    for rank in range(1, count + 1):
        odds = (np.pad(odds, (0, rank)) + np.pad(odds, (rank, 0))) / 2
    return np.minimum(np.cumsum(odds), 1.0)


def _t_on_logs(values: Sequence[float], method: str) -> Estimate:
    count = len(values)
    if min(values) == max(values):
        return _few(values[0], values[0], values[0], count, method)
    logs = np.log(values)
    middle = float(np.mean(logs))
    half = _t_quantile(count) * float(np.std(logs, ddof=1)) / math.sqrt(count)
    low, high = (_exp(end) for end in (middle - half, middle + half))
    return _few(math.exp(middle), low, high, count, method)


def _few(value: float, low: float | None, high: float | None, blocks: int, method: str) -> Estimate:
    return Estimate(value=value, low=low, high=high, blocks=blocks, method=method, few=True)


def _exp(value: float) -> float | None:
    """Undo a logarithm; None where the end of a very wide interval is beyond what a float holds."""
    return math.exp(value) if abs(value) < 700 else None


@cache
def _t_quantile(count: int, error: float = SIDE) -> float:
    return float(special.stdtrit(count - 1, 1 - error))
