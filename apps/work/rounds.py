"""The route `cpu`: pure arithmetic, the same for both interfaces. Knows nothing else."""

from __future__ import annotations


def turn(rounds: int, x: int) -> int:
    """Return the last x after so many rounds of a linear congruence."""
    for _ in range(rounds):
        x = (x * 1103515245 + 12345) % 2147483648
    return x
