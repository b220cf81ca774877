"""The database by asyncpg and its pool. Knows the tables and the statements; must not know any framework."""

from __future__ import annotations

import os
from typing import Any

import asyncpg

from work import draws
from work.aio.loops import PerLoop
from work.drivers import PATIENCE_S, pool_size


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
    pool = await _pools.get()
    found = await pool.fetchrow("select id, value from world where id = $1", number, timeout=PATIENCE_S)
    if found is None:
        raise LookupError(f"the table world has no row {number}; it is filled by the service's seed.sql")
    return dict(found)


async def update(number: int, value: int) -> dict[str, int]:
    """Set one row of the table."""
    pool = await _pools.get()
    await pool.execute("update world set value = $1 where id = $2", value, number, timeout=PATIENCE_S)
    return {"id": number, "value": value}


async def rows(count: int) -> list[dict[str, int]]:
    """Read random rows, a statement each, on one connection."""
    pool = await _pools.get()
    async with pool.acquire() as connection:
        return [
            dict(await connection.fetchrow("select id, value from world where id = $1", number))
            for number in draws.ids(count)
        ]


async def renew(count: int) -> list[dict[str, int]]:
    """Read random rows and set each to a new value, two statements each, in the order of their ids."""
    pool, renewed = await _pools.get(), []
    async with pool.acquire() as connection:
        for number in sorted(draws.ids(count)):
            found = dict(await connection.fetchrow("select id, value from world where id = $1", number))
            found["value"] = draws.value()
            await connection.execute("update world set value = $1 where id = $2", found["value"], number)
            renewed.append(found)
    return renewed


async def create(name: str, price: int) -> dict[str, Any]:
    """Add an item."""
    statement = "insert into item (name, price) values ($1, $2) returning id, name, price"
    pool = await _pools.get()
    return dict(await pool.fetchrow(statement, name, price, timeout=PATIENCE_S))


async def read(number: int) -> dict[str, Any] | None:
    """Read an item."""
    pool = await _pools.get()
    found = await pool.fetchrow("select id, name, price from item where id = $1", number, timeout=PATIENCE_S)
    return found and dict(found)


async def change(number: int, name: str, price: int) -> dict[str, Any] | None:
    """Change an item, and return it as it is then."""
    statement = "update item set name = $2, price = $3 where id = $1 returning id, name, price"
    pool = await _pools.get()
    found = await pool.fetchrow(statement, number, name, price, timeout=PATIENCE_S)
    return found and dict(found)


async def remove(number: int) -> bool:
    """Remove an item, and say whether there was one."""
    pool = await _pools.get()
    return await pool.execute("delete from item where id = $1", number, timeout=PATIENCE_S) == "DELETE 1"


async def _open() -> asyncpg.Pool:
    # Whoever waits for a connection waits as long as it takes: a limit on that would cost a task for each use.
    return await asyncpg.create_pool(
        os.environ["GATEBENCH_DATABASE_URL"],
        min_size=pool_size(),
        max_size=pool_size(),
        max_inactive_connection_lifetime=0,  # psycopg's pool keeps its smallest size open, too
        connection_class=Connection,
    )


async def _close(pool: asyncpg.Pool) -> None:
    await pool.close()


_pools = PerLoop(_open, _close)
