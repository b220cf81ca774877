"""The upstream by httpx. Knows its address; must not know any framework."""

from __future__ import annotations

import asyncio
import os

import httpx

from work.aio.loops import PerLoop
from work.drivers import PATIENCE_S, pool_size


async def call(token: str) -> bytes:
    """Return the upstream's answer, byte for byte."""
    address = f"{os.environ['GATEBENCH_UPSTREAM_URL']}/call"
    client, places = await _clients.get()
    async with places:
        answer = await client.get(address, params={"token": token})
    answer.raise_for_status()
    return answer.content


async def _open() -> tuple[httpx.AsyncClient, asyncio.Semaphore]:
    size = pool_size()
    client = httpx.AsyncClient(
        limits=httpx.Limits(max_connections=size, max_keepalive_connections=size, keepalive_expiry=None),
        timeout=PATIENCE_S,
        trust_env=False,  # no proxy of this machine comes between
    )
    # httpx's own queue offers a connection that comes free to every waiting call at once, which costs more the
    # longer the queue is; whoever waits here costs nothing
    return client, asyncio.Semaphore(size)


async def _close(opened: tuple[httpx.AsyncClient, asyncio.Semaphore]) -> None:
    await opened[0].aclose()


_clients = PerLoop(_open, _close)
