"""Redis by redis-py. Knows its address; must not know any framework."""

from __future__ import annotations

import os
from functools import cache
from threading import Lock

from redis import BlockingConnectionPool, Redis

from work.drivers import PATIENCE_S, pool_size

_opening = Lock()  # threads: whoever comes first makes the client, and there is one


def remember(key: str, value: str) -> dict[str, str]:
    """Set a key for a minute, and get it."""
    client = _client()
    client.set(f"gatebench:{key}", value, ex=60)
    return {"key": key, "value": client.get(f"gatebench:{key}")}


def _client() -> Redis:
    with _opening:
        return _open()


@cache
def _open() -> Redis:
    # Each command takes a connection from the pool and gives it back, as a user of this library has it.
    pool = BlockingConnectionPool.from_url(
        os.environ["GATEBENCH_REDIS_URL"], max_connections=pool_size(), timeout=PATIENCE_S, decode_responses=True
    )
    return Redis(connection_pool=pool)
