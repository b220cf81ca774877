"""The database by psycopg2 and the pool of DBUtils. Knows the tables and the statements; must not know any framework.

psycopg2 waits inside of libpq, which gevent cannot patch; where gevent has patched sockets, psycogreen makes it wait
for them.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from threading import Lock
from typing import Any

import psycopg2
from dbutils.pooled_db import PooledDB

from work import draws
from work.drivers import pool_size

READ = "select id, value from world where id = %s"
SET = "update world set value = %s where id = %s"
_opening = Lock()  # threads: whoever comes first opens the pool, and there is one


class Connection(psycopg2.extensions.connection):
    """A connection in autocommit, which costs no statement: psycopg2 only leaves its `begin` out."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Open it."""
        super().__init__(*args, **kwargs)
        self.autocommit = True


def row(number: int) -> dict[str, int]:
    """Read one row of the table."""
    with _pool().connection() as connection, connection.cursor() as cursor:
        cursor.execute(READ, (number,))
        found = cursor.fetchone()
    if found is None:
        raise LookupError(f"the table world has no row {number}; it is filled by the service's seed.sql")
    return {"id": found[0], "value": found[1]}


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
    return [{"id": number, "value": value} for number, value in found]


def renew(count: int) -> list[dict[str, int]]:
    """Read random rows and set each to a new value, two statements each, in the order of their ids."""
    renewed = []
    with _pool().connection() as connection, connection.cursor() as cursor:
        for number in sorted(draws.ids(count)):
            cursor.execute(READ, (number,))
            found, value = cursor.fetchone()[0], draws.value()
            cursor.execute(SET, (value, found))
            renewed.append({"id": found, "value": value})
    return renewed


def create(name: str, price: int) -> dict[str, Any]:
    """Add an item."""
    with _pool().connection() as connection, connection.cursor() as cursor:
        cursor.execute("insert into item (name, price) values (%s, %s) returning id, name, price", (name, price))
        return _item(cursor.fetchone())


def read(number: int) -> dict[str, Any] | None:
    """Read an item."""
    with _pool().connection() as connection, connection.cursor() as cursor:
        cursor.execute("select id, name, price from item where id = %s", (number,))
        found = cursor.fetchone()
    return found and _item(found)


def change(number: int, name: str, price: int) -> dict[str, Any] | None:
    """Change an item, and return it as it is then."""
    statement = "update item set name = %s, price = %s where id = %s returning id, name, price"
    with _pool().connection() as connection, connection.cursor() as cursor:
        cursor.execute(statement, (name, price, number))
        found = cursor.fetchone()
    return found and _item(found)


def remove(number: int) -> bool:
    """Remove an item, and say whether there was one."""
    with _pool().connection() as connection, connection.cursor() as cursor:
        cursor.execute("delete from item where id = %s", (number,))
        return cursor.rowcount == 1


def _item(found: tuple[Any, ...]) -> dict[str, Any]:
    return {"id": found[0], "name": found[1], "price": found[2]}


def _pool() -> PooledDB:
    with _opening:
        return _open()


@cache
def _open() -> PooledDB:
    patched = sys.modules.get("gevent.monkey")
    if patched and patched.is_module_patched("socket"):
        from psycogreen.gevent import patch_psycopg  # noqa: PLC0415 - it needs gevent, which is installed only here

        patch_psycopg()
    # It sends nothing of its own: no ping when it lends a connection, no rollback when it takes it back. Whoever
    # finds all of them lent waits as long as it takes; DBUtils knows no limit of that.
    size = pool_size()
    return PooledDB(
        psycopg2,
        mincached=size,
        maxcached=size,
        maxconnections=size,
        blocking=True,
        ping=0,
        reset=False,
        dsn=os.environ["GATEBENCH_DATABASE_URL"],
        connection_factory=Connection,
    )
