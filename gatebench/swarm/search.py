"""The highest rate that holds: by steps of four, then by halves, then once more.

Pure arithmetic. Must not know what a rate is of, nor what it takes to hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable

START = 1024.0
LOWEST, HIGHEST = 64.0, 262144.0
FACTOR = 4.0
TOLERANCE = 1.05
WINDOWS = 24  # more than any search takes
CONFIRMATIONS = 3  # steps down after the rate found has not held a second time


def highest(holds: Callable[[float], bool]) -> float | None:
    """Give the highest rate that held twice, to within TOLERANCE; None where none did.

    `holds` is asked of one rate at a time, last of the one that is given.
    """
    low, high = _bracket(holds)
    if low is None:
        return None
    while high / low > TOLERANCE:
        middle = math.sqrt(low * high)
        if holds(middle):
            low = middle
        else:
            high = middle
    for _ in range(CONFIRMATIONS):
        if holds(low):
            return low
        low /= TOLERANCE
    return None


def _bracket(holds: Callable[[float], bool]) -> tuple[float | None, float]:
    """Give a rate that held and a higher one that did not, or was not tried."""
    low, high, rate = None, HIGHEST, START
    while LOWEST <= rate < high:
        if holds(rate):
            low = rate
        else:
            high = rate
        rate = rate / FACTOR if low is None else low * FACTOR
    return low, high
