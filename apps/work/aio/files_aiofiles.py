"""The file by aiofiles, which opens, reads and closes it in a thread. Knows where it lies, and no framework."""

from __future__ import annotations

import aiofiles

from work.files import FILE


async def file() -> bytes:
    """Read the file."""
    async with aiofiles.open(FILE, "rb") as opened:
        return await opened.read()
