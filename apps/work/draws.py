"""What chance decides in the routes `queries` and `updates`. Knows the table's ids and values, and nothing else."""

from __future__ import annotations

import random

IDS = range(1, 10_001)


def ids(count: int) -> list[int]:
    """Draw so many different ids."""
    return random.sample(IDS, count)


def value() -> int:
    """Draw a value of five digits."""
    return random.randint(10_000, 99_999)
