"""The database, a MariaDB, by PyMySQL and the pool of DBUtils. Knows the tables and the statements, and no framework.

MariaDB's `insert` could answer with its row, its `update` cannot: an item that was changed is read by a second
statement.
"""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import Any

import pymysql
from dbutils.pooled_db import PooledDB
from pymysql.cursors import DictCursor

from work import draws, mariadb
from work.drivers import PATIENCE_S, pool_size

READ = "select id, value from world where id = %s"
SET = "update world set value = %s where id = %s"
READ_ITEM = "select id, name, price from item where id = %s"
_opening = Lock()  # threads: whoever comes first opens the pool, and there is one


def row(number: int) -> dict[str, int]:
    """Read one row of the table."""
    with _pool().connection() as connection, connection.cursor() as cursor:
        cursor.execute(READ, (number,))
        found = cursor.fetchone()
    if found is None:
        raise LookupError(f"the table world has no row {number}; it is filled by the service's seed.sql")
    return found


def update(number: int, value: int) -> dict[str, int]:
    """Set one row of the table."""
    with _pool().connection() as connection, connection.cursor() as cursor:
        cursor.execute(SET, (value, number))
    return {"id": number, "value": value}


def rows(count: int) -> list[dict[str, int]]:
    """Read random rows, a statement each, on one connection."""
    found = []
    with _pool().connection() as connection, connection.cursor() as cursor:
        for number in draws.ids(count):
            cursor.execute(READ, (number,))
            found.append(cursor.fetchone())
    return found


def renew(count: int) -> list[dict[str, int]]:
    """Read random rows and set each to a new value, two statements each, in the order of their ids."""
    renewed = []
    with _pool().connection() as connection, connection.cursor() as cursor:
        for number in sorted(draws.ids(count)):
            cursor.execute(READ, (number,))
            found = cursor.fetchone()
            found["value"] = draws.value()
            cursor.execute(SET, (found["value"], number))
            renewed.append(found)
    return renewed


def create(name: str, price: int) -> dict[str, Any]:
    """Add an item."""
    with _pool().connection() as connection, connection.cursor() as cursor:
        cursor.execute("insert into item (name, price) values (%s, %s) returning id, name, price", (name, price))
        return cursor.fetchone()


def read(number: int) -> dict[str, Any] | None:
    """Read an item."""
    with _pool().connection() as connection, connection.cursor() as cursor:
        cursor.execute(READ_ITEM, (number,))
        return cursor.fetchone()


def change(number: int, name: str, price: int) -> dict[str, Any] | None:
    """Change an item, and read it as it is then."""
    with _pool().connection() as connection, connection.cursor() as cursor:
        cursor.execute("update item set name = %s, price = %s where id = %s", (name, price, number))
        cursor.execute(READ_ITEM, (number,))
        return cursor.fetchone()


def remove(number: int) -> bool:
    """Remove an item, and say whether there was one."""
    with _pool().connection() as connection, connection.cursor() as cursor:
        return cursor.execute("delete from item where id = %s", (number,)) == 1


def _pool() -> PooledDB:
    with _opening:
        return _open()


@cache
def _open() -> PooledDB:
    # It sends nothing of its own: no ping when it lends a connection, no rollback when it takes it back. Whoever
    # finds all of them lent waits as long as it takes; DBUtils knows no limit of that.
    size = pool_size()
    return PooledDB(
        pymysql,
        mincached=size,
        maxcached=size,
        maxconnections=size,
        blocking=True,
        ping=0,
        reset=False,
        autocommit=True,
        connect_timeout=PATIENCE_S,
        cursorclass=DictCursor,
        **mariadb.address(),
    )
