"""The routes `cpu` and `upload`: pure arithmetic, the same for both interfaces. Knows nothing else."""

from __future__ import annotations

import hashlib


def turn(rounds: int, x: int) -> int:
    """Return the last x after so many rounds of a linear congruence."""
    for _ in range(rounds):
        x = (x * 1103515245 + 12345) % 2147483648
    return x


def digest(body: bytes) -> str:
    """Return the SHA-256 of a body as 64 hexadecimal digits."""
    return hashlib.sha256(body).hexdigest()
