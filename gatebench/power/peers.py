"""What others do, on the same runs: fixed thresholds against the run before, and tests on pooled requests or blocks.

Knows recorded pairs. A peer measures base, then head, and has no duets: so its base is one recorded block's, or some
blocks', and its head that of the blocks right after. Each run stands in one comparison only. Must not know files, nor
how it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gatebench.histogram import mean, merge, middle_us
from gatebench.metrics import read
from gatebench.model import Histogram, Run
from gatebench.power.pieces import Pair

LEVEL = 0.05  # of Welch's test, as it is usually taken
ASV_LEVEL, ASV_FACTOR = 0.002, 1.1  # of asv's comparison: its test's level, and the factor that it shows by default
AT_A_TIME = 10  # runs of each side, where there is a test

Alarm = Callable[[Sequence[Run], Sequence[Run]], bool]  # base's runs, then head's


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One way of comparing."""

    title: str
    runs: int  # of each side
    alarm: Alarm  # whether it says that head is slower


def _rate(run: Run) -> float:
    return read("rate_rps", run) or math.nan


def unpaired(pairs: Sequence[Pair]) -> float | None:
    """Give how far the log-ratio of a run and the next scatters, as who has no duets sees it."""
    logs = [math.log(_rate(base[0]) / _rate(head[0])) for base, head in _places(1, pairs)]
    return float(np.std(logs, ddof=1)) if len(logs) > 1 else None


def _slower_by(factor: float) -> Alarm:
    """Alarm where requests/s, of all runs of a side together, were more than so many times as many before."""
    return lambda base, head: float(np.mean([*map(_rate, base)]) / np.mean([*map(_rate, head)])) > factor


def _moments(runs: Sequence[Run]) -> tuple[float, float, int]:
    """Give mean, variance and number of all requests, as if they were independent."""
    pooled = merge(run.response for run in runs if run.response is not None)
    return mean(pooled) or 0.0, _variance(pooled), pooled.total


def _variance(pooled: Histogram) -> float:
    counts = np.array(list(pooled.counts.values()), dtype=float)
    seconds = np.array([middle_us(index) for index in pooled.counts]) / 1e6
    return float(np.cov(seconds, fweights=counts.astype(int))) if counts.sum() > 1 else 0.0


def welch(base: Sequence[Run], head: Sequence[Run]) -> bool:
    """Alarm where Welch's t finds head's requests slower."""
    from scipy import special  # noqa: PLC0415 - who only records is spared it

    (first, spread, many), (second, wide, number) = _moments(base), _moments(head)
    if not (spread or wide) or min(many, number) < 2:
        return False
    one, other = spread / many, wide / number
    value = (second - first) / math.sqrt(one + other)
    free = (one + other) ** 2 / (one**2 / (many - 1) + other**2 / (number - 1))
    return value > 0 and 2 * float(special.stdtr(free, -abs(value))) < LEVEL


def _mann_whitney(factor: float) -> Alarm:
    def alarm(base: Sequence[Run], head: Sequence[Run]) -> bool:
        from scipy import stats  # noqa: PLC0415 - it takes two seconds

        first, second = ([1 / _rate(run) for run in runs] for runs in (base, head))
        slower = float(np.median(second)) > factor * float(np.median(first))
        # Exact for as few runs, as asv has it.
        found = stats.mannwhitneyu(first, second, alternative="two-sided", method="exact")
        return slower and float(found.pvalue) < ASV_LEVEL

    return alarm


PEERS = (
    Peer(title="5 % slower than the run before", runs=1, alarm=_slower_by(1.05)),
    Peer(title="10 % slower than the run before", runs=1, alarm=_slower_by(1.10)),
    Peer(title="200 % of the run before (github-action-benchmark's default)", runs=1, alarm=_slower_by(2.0)),
    Peer(title=f"5 % slower than the {AT_A_TIME} runs before", runs=AT_A_TIME, alarm=_slower_by(1.05)),
    Peer(title=f"10 % slower than the {AT_A_TIME} runs before", runs=AT_A_TIME, alarm=_slower_by(1.10)),
    Peer(title=f"Welch's t on pooled requests, p < {LEVEL}", runs=AT_A_TIME, alarm=welch),
    Peer(title=f"Mann-Whitney on blocks, p < {ASV_LEVEL} (asv's test)", runs=AT_A_TIME, alarm=_mann_whitney(1.0)),
    Peer(
        title=f"the same, and {ASV_FACTOR} times slower (asv's default)",
        runs=AT_A_TIME,
        alarm=_mann_whitney(ASV_FACTOR),
    ),
)


def alarms(peer: Peer, pairs: Sequence[Pair]) -> list[bool]:
    """Say of every place in the recording whether a peer would have raised an alarm there; none across two pieces."""
    return [peer.alarm(base, head) for base, head in _places(peer.runs, pairs)]


def _places(runs: int, pairs: Sequence[Pair]) -> Iterator[tuple[list[Run], list[Run]]]:
    """Give windows of base's runs with head's right after: what was head's time is base's in the window after."""
    start = 0
    while start + 2 * runs <= len(pairs):
        window = pairs[start : start + 2 * runs]
        if window[0].piece == window[-1].piece:
            yield [pair.base for pair in window[:runs]], [pair.other for pair in window[runs:]]
            start += runs
        else:  # begin with the piece after
            start += next(place for place, pair in enumerate(window) if pair.piece != window[0].piece)
