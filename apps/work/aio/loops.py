"""What an event loop opens once, with its first use, and closes at its end. Knows no driver."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_all: list[PerLoop[Any]] = []


class PerLoop(Generic[T]):
    """One thing for each event loop, opened when it is first asked for."""

    def __init__(self, open_: Callable[[], Awaitable[T]], close_: Callable[[T], Awaitable[None]]) -> None:
        self._open, self._close = open_, close_
        self._things: dict[asyncio.AbstractEventLoop, T] = {}
        self._locks: dict[asyncio.AbstractEventLoop, asyncio.Lock] = {}
        _all.append(self)

    async def get(self) -> T:
        """Give this loop's own; opening takes several turns of the loop, and there is one."""
        loop = asyncio.get_running_loop()
        if loop not in self._things:
            async with self._locks.setdefault(loop, asyncio.Lock()):
                if loop not in self._things:
                    self._things[loop] = await self._open()
        return self._things[loop]

    async def close(self) -> None:
        """Close this loop's own, if it has one."""
        loop = asyncio.get_running_loop()
        self._locks.pop(loop, None)
        if loop in self._things:
            await self._close(self._things.pop(loop))


async def close() -> None:
    """Close what this event loop has opened."""
    for things in _all:
        await things.close()
