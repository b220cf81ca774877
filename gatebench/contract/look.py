"""Our own look behind the server: into the database, and at the upstream's account of its calls.

Knows the table and the upstream's addresses. Must not know routes. A service that fails is a MachineError: the stack
is not to blame.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg
from psycopg.errors import QueryCanceled

from gatebench.contract.wire import Client
from gatebench.errors import MachineError

LOCK_LIMIT_MS = 2000


class LockedError(Exception):
    """Somebody holds the row: an update that was never committed."""


class Rows:
    """The table `world`, over a connection of our own."""

    def __init__(self, url: str) -> None:
        """Aim at the database; it is connected to when first looked into."""
        self._url = url
        self._opened: psycopg.Connection | None = None

    def read(self, number: int) -> int | None:
        """Read a value; None where there is no such row."""
        with self._connection() as connection:
            found = connection.execute("select value from world where id = %s", (number,)).fetchone()
        return None if found is None else int(found[0])

    def write(self, number: int, value: int) -> None:
        """Set a value; LockedError where somebody holds the row."""
        with self._connection() as connection:
            connection.execute("update world set value = %s where id = %s", (value, number))

    def close(self) -> None:
        """Close the connection."""
        if self._opened is not None:
            self._opened.close()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[psycopg.Connection]:
        try:
            if self._opened is None:
                self._opened = psycopg.connect(self._url, autocommit=True, connect_timeout=5)
                self._opened.execute(f"set statement_timeout = {LOCK_LIMIT_MS:d}".encode())
            yield self._opened
        except QueryCanceled as error:
            raise LockedError from error
        except psycopg.Error as error:
            where, said = urlsplit(self._url), " ".join(str(error).split())
            raise MachineError(
                f"The database at {where.hostname}:{where.port} failed the contract's own look: {said}."
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the upstream says of a token."""

    calls: int
    digest: str
    delay_s: float


class Upstream:
    """The upstream, asked beside its callers and without its delay."""

    def __init__(self, url: str, until: float) -> None:
        """Aim at the upstream."""
        where = urlsplit(url)
        self._url = url
        self._client = Client(where.hostname or "", where.port or 80, until=until, closes=False)

    def account(self, token: str) -> Account:
        """Ask how often a token was called and what the answer must have been."""
        answer = self._client.ask("GET", f"/calls?token={token}")
        try:
            found = json.loads(answer.body)
            return Account(calls=found["calls"], digest=found["digest"], delay_s=found["delay_s"])
        except (ValueError, KeyError, TypeError) as error:
            said = answer.fault or f"status {answer.status}"
            raise MachineError(f"The upstream at {self._url} gave no account of its calls: {said}.") from error

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
