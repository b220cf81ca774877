"""The database by psycopg, asynchronous, and its pool. Knows the tables and the statements, and no framework."""

from __future__ import annotations

import os
from typing import Any

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from work import draws
from work.aio.loops import PerLoop
from work.drivers import PATIENCE_S, pool_size

READ = "select id, value from world where id = %s"
SET = "update world set value = %s where id = %s"


async def row(number: int) -> dict[str, int]:
    """Read one row of the table."""
    pool = await _pools.get()
    async with pool.connection() as connection:
        found = await (await connection.execute(READ, (number,))).fetchone()
    if found is None:
        raise LookupError(f"the table world has no row {number}; it is filled by the service's seed.sql")
    return found


async def update(number: int, value: int) -> dict[str, int]:
    """Set one row of the table."""
    pool = await _pools.get()
    async with pool.connection() as connection:
        await connection.execute(SET, (value, number))
    return {"id": number, "value": value}


async def rows(count: int) -> list[dict[str, int]]:
    """Read random rows, a statement each, on one connection."""
    pool = await _pools.get()
    async with pool.connection() as connection:
        return [await (await connection.execute(READ, (number,))).fetchone() for number in draws.ids(count)]


async def renew(count: int) -> list[dict[str, int]]:
    """Read random rows and set each to a new value, two statements each, in the order of their ids."""
    pool, renewed = await _pools.get(), []
    async with pool.connection() as connection:
        for number in sorted(draws.ids(count)):
            found = await (await connection.execute(READ, (number,))).fetchone()
            found["value"] = draws.value()
            await connection.execute(SET, (found["value"], number))
            renewed.append(found)
    return renewed


async def create(name: str, price: int) -> dict[str, Any]:
    """Add an item."""
    statement = "insert into item (name, price) values (%s, %s) returning id, name, price"
    pool = await _pools.get()
    async with pool.connection() as connection:
        return await (await connection.execute(statement, (name, price))).fetchone()


async def read(number: int) -> dict[str, Any] | None:
    """Read an item."""
    pool = await _pools.get()
    async with pool.connection() as connection:
        return await (
            await connection.execute("select id, name, price from item where id = %s", (number,))
        ).fetchone()


async def change(number: int, name: str, price: int) -> dict[str, Any] | None:
    """Change an item, and return it as it is then."""
    statement = "update item set name = %s, price = %s where id = %s returning id, name, price"
    pool = await _pools.get()
    async with pool.connection() as connection:
        return await (await connection.execute(statement, (name, price, number))).fetchone()


async def remove(number: int) -> bool:
    """Remove an item, and say whether there was one."""
    pool = await _pools.get()
    async with pool.connection() as connection:
        return (await connection.execute("delete from item where id = %s", (number,))).rowcount == 1


async def _open() -> AsyncConnectionPool:
    # With autocommit the pool sends nothing of its own, neither when it lends a connection nor when it takes it back.
    pool = AsyncConnectionPool(
        os.environ["GATEBENCH_DATABASE_URL"],
        min_size=pool_size(),
        max_size=pool_size(),
        timeout=PATIENCE_S,
        kwargs={"autocommit": True, "row_factory": dict_row},
        open=False,
    )
    await pool.open()
    return pool


async def _close(pool: AsyncConnectionPool) -> None:
    await pool.close()


_pools = PerLoop(_open, _close)
