"""The upstream by aiohttp. Knows its address; must not know any framework."""

from __future__ import annotations

import os

import aiohttp

from work.aio.loops import PerLoop
from work.drivers import PATIENCE_S, pool_size


async def call(token: str) -> bytes:
    """Return the upstream's answer, byte for byte."""
    address = f"{os.environ['GATEBENCH_UPSTREAM_URL']}/call"
    session = await _sessions.get()
    async with session.get(address, params={"token": token}) as answer:
        answer.raise_for_status()
        return await answer.read()


async def _open() -> aiohttp.ClientSession:
    # an idle connection stays open as long as the upstream lets it, as the other clients have it
    connector = aiohttp.TCPConnector(limit=pool_size(), keepalive_timeout=3600)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENCE_S))


async def _close(session: aiohttp.ClientSession) -> None:
    await session.close()


_sessions = PerLoop(_open, _close)
