"""The database by psycopg and its pool. Knows the tables and the statements; must not know any framework."""

from __future__ import annotations

import atexit
import os
from functools import cache
from threading import Lock
from typing import Any

from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from work import draws
from work.drivers import PATIENCE_S, pool_size

_opening = Lock()  # threads: whoever comes first opens the pool, and there is one


def row(number: int) -> dict[str, int]:
    """Read one row of the table."""
    with _pool().connection() as connection:
        found = connection.execute("select id, value from world where id = %s", (number,)).fetchone()
    if found is None:
        raise LookupError(f"the table world has no row {number}; it is filled by the service's seed.sql")
    return found


def update(number: int, value: int) -> dict[str, int]:
    """Set one row of the table."""
    with _pool().connection() as connection:
        connection.execute("update world set value = %s where id = %s", (value, number))
    return {"id": number, "value": value}


def rows(count: int) -> list[dict[str, int]]:
    """Read random rows, a statement each, on one connection."""
    with _pool().connection() as connection:
        return [
            connection.execute("select id, value from world where id = %s", (number,)).fetchone()
            for number in draws.ids(count)
        ]


def renew(count: int) -> list[dict[str, int]]:
    """Read random rows and set each to a new value, two statements each, in the order of their ids."""
    renewed = []
    with _pool().connection() as connection:
        for number in sorted(draws.ids(count)):
            found = connection.execute("select id, value from world where id = %s", (number,)).fetchone()
            found["value"] = draws.value()
            connection.execute("update world set value = %s where id = %s", (found["value"], number))
            renewed.append(found)
    return renewed


def create(name: str, price: int) -> dict[str, Any]:
    """Add an item."""
    statement = "insert into item (name, price) values (%s, %s) returning id, name, price"
    with _pool().connection() as connection:
        return connection.execute(statement, (name, price)).fetchone()


def read(number: int) -> dict[str, Any] | None:
    """Read an item."""
    with _pool().connection() as connection:
        return connection.execute("select id, name, price from item where id = %s", (number,)).fetchone()


def change(number: int, name: str, price: int) -> dict[str, Any] | None:
    """Change an item, and return it as it is then."""
    statement = "update item set name = %s, price = %s where id = %s returning id, name, price"
    with _pool().connection() as connection:
        return connection.execute(statement, (name, price, number)).fetchone()


def remove(number: int) -> bool:
    """Remove an item, and say whether there was one."""
    with _pool().connection() as connection:
        return connection.execute("delete from item where id = %s", (number,)).rowcount == 1


def _pool() -> ConnectionPool:
    with _opening:
        return _open()


@cache
def _open() -> ConnectionPool:
    # With autocommit the pool sends nothing of its own, neither when it lends a connection nor when it takes it back.
    pool = ConnectionPool(
        os.environ["GATEBENCH_DATABASE_URL"],
        min_size=pool_size(),
        max_size=pool_size(),
        timeout=PATIENCE_S,
        kwargs={"autocommit": True, "row_factory": dict_row},
        open=True,
    )
    atexit.register(pool.close)  # its threads end with the process, and quietly under gevent as well
    return pool
