"""The file by open(), which holds the event loop meanwhile. Knows where it lies; must not know any framework."""

from __future__ import annotations

from work.files import FILE


async def file() -> bytes:
    """Read the file."""
    with FILE.open("rb") as opened:
        return opened.read()
