"""The routes `sse` and `stream`: what one part of them is. Knows nothing else."""

from __future__ import annotations


def event(number: int) -> bytes:
    """Return one event as it goes over the wire."""
    return b"data: %d\n\n" % number


def piece(number: int, size: int) -> bytes:
    """Return one piece: a letter, from a to z and round again, as often as the size says."""
    return bytes([ord("a") + number % 26]) * size
