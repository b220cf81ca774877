"""Redis by redis.asyncio. Knows its address; must not know any framework."""

from __future__ import annotations

import os

from redis.asyncio import BlockingConnectionPool, Redis

from work.aio.loops import PerLoop
from work.drivers import PATIENCE_S, pool_size


async def remember(key: str, value: str) -> dict[str, str]:
    """Set a key for a minute, and get it."""
    client = await _clients.get()
    await client.set(f"gatebench:{key}", value, ex=60)
    return {"key": key, "value": await client.get(f"gatebench:{key}")}


async def _open() -> Redis:
    # Each command takes a connection from the pool and gives it back, as a user of this library has it.
    pool = BlockingConnectionPool.from_url(
        os.environ["GATEBENCH_REDIS_URL"], max_connections=pool_size(), timeout=PATIENCE_S, decode_responses=True
    )
    return Redis.from_pool(pool)


async def _close(client: Redis) -> None:
    await client.aclose()


_clients = PerLoop(_open, _close)
