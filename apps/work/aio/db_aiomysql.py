"""The database, a MariaDB, by aiomysql and its pool. Knows the tables and the statements, and no framework.

MariaDB's `insert` could answer with its row, its `update` cannot: an item that was changed is read by a second
statement.
"""

from __future__ import annotations

from typing import Any

import aiomysql

from work import draws, mariadb
from work.aio.loops import PerLoop
from work.drivers import PATIENCE_S, pool_size

READ = "select id, value from world where id = %s"
SET = "update world set value = %s where id = %s"
READ_ITEM = "select id, name, price from item where id = %s"


async def row(number: int) -> dict[str, int]:
    """Read one row of the table."""
    pool = await _pools.get()
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(READ, (number,))
        found = await cursor.fetchone()
    if found is None:
        raise LookupError(f"the table world has no row {number}; it is filled by the service's seed.sql")
    return found


async def update(number: int, value: int) -> dict[str, int]:
    """Set one row of the table."""
    pool = await _pools.get()
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(SET, (value, number))
    return {"id": number, "value": value}


async def rows(count: int) -> list[dict[str, int]]:
    """Read random rows, a statement each, on one connection."""
    pool, found = await _pools.get(), []
    async with pool.acquire() as connection, connection.cursor() as cursor:
        for number in draws.ids(count):
            await cursor.execute(READ, (number,))
            found.append(await cursor.fetchone())
    return found


async def renew(count: int) -> list[dict[str, int]]:
    """Read random rows and set each to a new value, two statements each, in the order of their ids."""
    pool, renewed = await _pools.get(), []
    async with pool.acquire() as connection, connection.cursor() as cursor:
        for number in sorted(draws.ids(count)):
            await cursor.execute(READ, (number,))
            found = await cursor.fetchone()
            found["value"] = draws.value()
            await cursor.execute(SET, (found["value"], number))
            renewed.append(found)
    return renewed


async def create(name: str, price: int) -> dict[str, Any]:
    """Add an item."""
    statement = "insert into item (name, price) values (%s, %s) returning id, name, price"
    pool = await _pools.get()
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(statement, (name, price))
        return await cursor.fetchone()


async def read(number: int) -> dict[str, Any] | None:
    """Read an item."""
    pool = await _pools.get()
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(READ_ITEM, (number,))
        return await cursor.fetchone()


async def change(number: int, name: str, price: int) -> dict[str, Any] | None:
    """Change an item, and read it as it is then."""
    pool = await _pools.get()
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute("update item set name = %s, price = %s where id = %s", (name, price, number))
        await cursor.execute(READ_ITEM, (number,))
        return await cursor.fetchone()


async def remove(number: int) -> bool:
    """Remove an item, and say whether there was one."""
    pool = await _pools.get()
    async with pool.acquire() as connection, connection.cursor() as cursor:
        return await cursor.execute("delete from item where id = %s", (number,)) == 1


async def _open() -> aiomysql.Pool:
    # It sends nothing of its own: a connection that comes back in no transaction is kept as it is. Whoever finds all
    # of them lent waits as long as it takes; aiomysql knows no limit of that.
    return await aiomysql.create_pool(
        minsize=pool_size(),
        maxsize=pool_size(),
        autocommit=True,
        connect_timeout=PATIENCE_S,
        cursorclass=aiomysql.DictCursor,
        **mariadb.address(),
    )


async def _close(pool: aiomysql.Pool) -> None:
    pool.close()
    await pool.wait_closed()


_pools = PerLoop(_open, _close)
