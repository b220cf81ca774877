"""What a request does where the interface is ASGI: asyncpg, httpx and the event loop.

Knows the database, the upstream and the size of their pools, from the environment. Must not know any framework.
Pools belong to the event loop that runs when the first request needs them.
"""

from __future__ import annotations

import asyncio
import os

import asyncpg
import httpx

PATIENCE_S = 60  # 64 users waiting for 16 connections are load, not an error
_opening = asyncio.Lock()  # opening takes several turns of the loop; there is one pool
_databases: dict[asyncio.AbstractEventLoop, asyncpg.Pool] = {}
_upstreams: dict[asyncio.AbstractEventLoop, tuple[httpx.AsyncClient, asyncio.Semaphore]] = {}


class Connection(asyncpg.Connection):
    """A connection that goes back to its pool as it is.

    asyncpg would send a reset of its own after each use, a second statement for each request where the contract
    has one. Every statement here is a whole transaction: nothing is left to reset.
    """

    def get_reset_query(self) -> str:
        """Name no statement."""
        return ""


async def row(number: int) -> dict[str, int]:
    """Read one row of the table."""
    database = await _database()
    found = await database.fetchrow("select id, value from world where id = $1", number, timeout=PATIENCE_S)
    if found is None:
        raise LookupError(f"the table world has no row {number}; fill it with compose/services/postgres/seed.sql")
    return {"id": found["id"], "value": found["value"]}


async def update(number: int, value: int) -> dict[str, int]:
    """Set one row of the table; autocommit."""
    database = await _database()
    await database.execute("update world set value = $1 where id = $2", value, number, timeout=PATIENCE_S)
    return {"id": number, "value": value}


async def call(token: str) -> bytes:
    """Return the upstream's answer, byte for byte."""
    address = f"{os.environ['GATEBENCH_UPSTREAM_URL']}/call"
    client, places = _upstream()
    async with places:
        answer = await client.get(address, params={"token": token})
    answer.raise_for_status()
    return answer.content


async def sleep(seconds: float) -> None:
    """Wait, holding nothing but this task."""
    await asyncio.sleep(seconds)


async def close() -> None:
    """Close what this event loop has opened."""
    loop = asyncio.get_running_loop()
    if database := _databases.pop(loop, None):
        await database.close()
    if upstream := _upstreams.pop(loop, None):
        await upstream[0].aclose()


async def _database() -> asyncpg.Pool:
    loop = asyncio.get_running_loop()
    if loop not in _databases:
        async with _opening:
            if loop not in _databases:
                _databases[loop] = await _open_database()
    return _databases[loop]


async def _open_database() -> asyncpg.Pool:
    size = int(os.environ["GATEBENCH_POOL_SIZE"])
    return await asyncpg.create_pool(
        os.environ["GATEBENCH_DATABASE_URL"],
        min_size=size,
        max_size=size,
        max_inactive_connection_lifetime=0,  # psycopg's pool keeps its smallest size open, too
        connection_class=Connection,
    )


def _upstream() -> tuple[httpx.AsyncClient, asyncio.Semaphore]:
    loop = asyncio.get_running_loop()
    if loop not in _upstreams:
        size = int(os.environ["GATEBENCH_POOL_SIZE"])
        client = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=size, max_keepalive_connections=size, keepalive_expiry=None),
            timeout=PATIENCE_S,
            trust_env=False,  # no proxy of this machine comes between
        )
        # httpx's own queue offers a connection that comes free to every waiting call at once, which costs more the
        # longer the queue is; whoever waits here costs nothing
        _upstreams[loop] = client, asyncio.Semaphore(size)
    return _upstreams[loop]
