"""What a gate declares before it measures: its margins, when it looks, and what error each look may spend.

Plain arithmetic. Must not know sessions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

ERROR = 0.025  # of a gate on each side, over all its looks
LEAST = 10  # the fewest blocks of which the first look at its error can tell anything
MOST = 200  # blocks; more of them would rather show the machine's drift
STEPS = 4  # looks, where there are blocks enough
MARGINS: Mapping[str, float] = {  # shares by which head may be worse; the leading metric first
    "cpu_us_per_request": 0.025,
    "response_p99_s": 0.25,
    "rate_rps": 0.05,
}
SHORT: Mapping[str, str] = {  # as the command line has them
    "cpu": "cpu_us_per_request",
    "p99": "response_p99_s",
    "p50": "response_p50_s",
    "rate": "rate_rps",
}
GATE, AGAIN, CONFIRM = "gate", "gate.again", "gate.confirm"  # the parts of a gate's plan


def looks(blocks: int) -> tuple[int, ...]:
    """Say after how many of so many blocks a gate is judged: each quarter, but none before it can tell anything."""
    counts = {math.ceil(blocks * step / STEPS) for step in range(1, STEPS)}
    return (*sorted(count for count in counts if LEAST <= count < blocks), blocks)


def errors(looks: Sequence[int]) -> tuple[float, ...]:
    """Spend the error of each side over looks, in proportion to the square of the share of blocks."""
    spent = [ERROR * (count / looks[-1]) ** 2 for count in looks]
    return tuple(after - before for before, after in zip([0.0, *spent], spent, strict=False))
