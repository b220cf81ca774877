"""What a request does on an event loop: one function a route, the same whichever driver does it.

Knows the drivers' names. Must not know any framework. Pools belong to the event loop that runs when the first request
needs them, and nothing is opened before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from work import drivers, parts
from work.aio import loops

_db = drivers.chosen("aio", "db")
row = _db.row  # db
update = _db.update
rows = _db.rows  # queries
renew = _db.renew  # updates
create, read, change, remove = _db.create, _db.read, _db.change, _db.remove  # crud
call = drivers.chosen("aio", "http").call  # external
remember = drivers.chosen("aio", "redis").remember
file = drivers.chosen("aio", "files").file
close = loops.close


async def sleep(seconds: float) -> None:
    """Wait, holding nothing but this task."""
    await asyncio.sleep(seconds)


async def events(count: int, every: float) -> AsyncGenerator[bytes, None]:
    """Make events one by one, with a pause before each but the first."""
    for number in range(1, count + 1):
        if number > 1:
            await asyncio.sleep(every)
        yield parts.event(number)


async def pieces(count: int, size: int) -> AsyncGenerator[bytes, None]:
    """Make pieces one by one."""
    for number in range(count):
        yield parts.piece(number, size)
