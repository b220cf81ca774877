"""The file by open(). Knows where it lies; must not know any framework."""

from __future__ import annotations

from work.files import FILE


def file() -> bytes:
    """Read the file."""
    with FILE.open("rb") as opened:
        return opened.read()
