"""Logarithmic axes: where their ticks stand, how these are written, and what room is left for marks beside the data.

Pure arithmetic on numbers. Must not know what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from gatebench.metrics import SCALES

FEWEST_TICKS, MOST_TICKS = 3, 6
LABELS = 7  # on an axis of sizes, at most
SPANS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7))  # round numbers of a decade, more and more of them
MIB = 2.0**20


def ticks(low: float, high: float, unit: str = "") -> list[float]:
    """Give three round values or more between two ends: of decades where they are far apart, even ones where not."""
    size = MIB if unit == "B" else 1.0
    for steps in SPANS:
        found = _of_decades(low / size, high / size, steps)
        if len(found) >= FEWEST_TICKS:
            while len(found) > MOST_TICKS:
                found = found[::2]
            return [value * size for value in found]
    return [value * size for value in _even(low / size, high / size)]


def _of_decades(low: float, high: float, steps: Sequence[float]) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [float(f"{step * 10.0**power:.3g}") for power in powers for step in steps]
    return [value for value in found if low <= value <= high]


def _even(low: float, high: float) -> list[float]:
    """Give three to six even values, as far apart as a round step allows."""
    power = 10.0 ** math.floor(math.log10((high - low) / FEWEST_TICKS))
    found: list[float] = []
    for step in (10 * power, 5 * power, 2 * power, power, power / 2):
        first, last = math.ceil(low / step), math.floor(high / step)
        found = [float(f"{place * step:.6g}") for place in range(first, last + 1)]
        if len(found) >= FEWEST_TICKS:
            break
    return found


def labelled(sizes: Sequence[float]) -> list[float]:
    """Give the sizes whose labels do not touch on a logarithmic axis, the ends among them.

    Where they are fewer than three, round numbers between the ends stand for those that were not measured.
    """
    span = (sizes[-1] / sizes[0]) ** (1 / LABELS)
    kept = [sizes[0]]
    for size in sizes[1:]:
        if size >= kept[-1] * span:
            kept.append(size)
    if kept[-1] != sizes[-1]:
        kept[-1:] = [sizes[-1]] if len(kept) > 1 else [kept[-1], sizes[-1]]
    if len(kept) >= FEWEST_TICKS or sizes[0] == sizes[-1]:
        return kept
    apart = span**1.2
    between = [value for value in ticks(sizes[0], sizes[-1]) if kept[0] * apart < value < kept[-1] / apart]
    return [kept[0], *(between or [math.sqrt(kept[0] * kept[-1])]), kept[-1]]


def written(found: Sequence[float], unit: str) -> Callable[[float], str]:
    """Give how an axis's ticks are written: round numbers with no digit more than they have, all in one unit."""
    if not unit or not found:
        return lambda value: f"{value:,g}"
    scales = SCALES.get(unit, ((1.0, f" {unit}"),))
    # Times have each their own unit: an axis may go from microseconds to seconds.
    if unit == "s":
        return lambda value: next(
            (_plain(value / size) + name for size, name in scales if value >= 0.999 * size),
            _plain(value / scales[-1][0]) + scales[-1][1],
        )
    size, name = next(((size, name) for size, name in scales if min(found) >= 0.999 * size), scales[-1])
    return lambda value: _plain(value / size) + name


def _plain(value: float) -> str:
    return f"{float(f'{value:.6g}'):,.10g}"


def with_room(low: float, high: float, *, below: float, above: float) -> tuple[float, float]:
    """Widen a logarithmic axis so that shares of it, `below` and `above`, hold nothing between two ends."""
    low, high = (low / 1.15, high * 1.15) if high / low < 1.2 else (low, high)
    whole = math.log(high / low) / (1 - below - above)
    return low * math.exp(-below * whole), high * math.exp(above * whole)
