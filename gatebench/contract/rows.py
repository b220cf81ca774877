"""Our own look into the database, PostgreSQL or MariaDB: the tables `world` and `item`.

Knows both tables. Must not know routes. A database that fails is a MachineError: the stack is not to blame.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import psycopg
import pymysql
from psycopg.errors import QueryCanceled

from gatebench.errors import MachineError

LOCK_LIMIT_MS = 2000
TENTH = 10  # `turn` changes one row in so many
_LOCKED = {1205, 1213, 1969}  # MariaDB: a lock not had in time, a deadlock, a statement not done in time


class LockedError(Exception):
    """Somebody holds the row: an update that was never committed."""


class _Connection(Protocol):
    def cursor(self) -> Any: ...
    def close(self) -> None: ...


class Rows:
    """The tables, over a connection of our own."""

    def __init__(self, url: str) -> None:
        """Aim at the database; it is connected to when first looked into."""
        self._url = url
        self._opened: _Connection | None = None

    def read(self, number: int) -> int | None:
        """Read a value; None where there is no such row."""
        found = self._run("select value from world where id = %s", (number,))
        return int(found[0][0]) if found else None

    def write(self, number: int, value: int) -> None:
        """Set a value; LockedError where somebody holds the row."""
        self._run("update world set value = %s where id = %s", (value, number))

    def every(self) -> dict[int, int]:
        """Read the whole table."""
        return {int(number): int(value) for number, value in self._run("select id, value from world")}

    def turn(self, rest: int) -> None:
        """Give every tenth row another value: five digits stay five digits, and none stays as it was."""
        self._run("update world set value = 109999 - value where id %% %s = %s", (TENTH, rest))

    def item(self, number: int) -> tuple[str, int] | None:
        """Read an item's name and price; None where there is no such item."""
        found = self._run("select name, price from item where id = %s", (number,))
        return (str(found[0][0]), int(found[0][1])) if found else None

    def change(self, number: int, name: str, price: int) -> None:
        """Change an item; LockedError where somebody holds it."""
        self._run("update item set name = %s, price = %s where id = %s", (name, price, number))

    def forget(self, numbers: Sequence[int]) -> None:
        """Remove items, if they are there."""
        for number in numbers:
            self._run("delete from item where id = %s", (number,))

    def close(self) -> None:
        """Close the connection."""
        if self._opened is not None:
            self._opened.close()

    def _run(self, statement: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with self._connection() as connection, contextlib.closing(connection.cursor()) as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall()) if cursor.description else []

    @contextlib.contextmanager
    def _connection(self) -> Iterator[_Connection]:
        try:
            if self._opened is None:
                self._opened = _connected(self._url)
            yield self._opened
        except QueryCanceled as error:
            raise LockedError from error
        except (psycopg.Error, pymysql.MySQLError, OSError) as error:
            if isinstance(error, pymysql.MySQLError) and error.args and error.args[0] in _LOCKED:
                raise LockedError from error
            where, said = urlsplit(self._url), " ".join(str(error).split())
            raise MachineError(
                f"The database at {where.hostname}:{where.port} failed the contract's own look: {said}."
            ) from error


def _connected(url: str) -> _Connection:
    where = urlsplit(url)
    if where.scheme not in ("mysql", "mariadb"):
        opened = psycopg.connect(url, autocommit=True, connect_timeout=5)
        opened.execute(f"set statement_timeout = {LOCK_LIMIT_MS:d}".encode())
        return opened
    limit_s = LOCK_LIMIT_MS // 1000
    return pymysql.connect(
        host=where.hostname,
        port=where.port or 3306,
        user=unquote(where.username or ""),
        password=unquote(where.password or ""),
        database=where.path.removeprefix("/"),
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=5,
        read_timeout=4 * limit_s,
        init_command=f"set innodb_lock_wait_timeout = {limit_s}, lock_wait_timeout = {limit_s}",
    )
