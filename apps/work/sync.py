"""What a request does where the interface is WSGI: psycopg, requests and threads.

Knows the database, the upstream and the size of their pools, from the environment. Must not know any framework.
Nothing is opened before the first request needs it: a server may fork, or patch sockets, after this module is loaded.
"""

from __future__ import annotations

import atexit
import os
import time
from functools import cache
from threading import Lock

from psycopg_pool import ConnectionPool
from requests import Session
from requests.adapters import HTTPAdapter

PATIENCE_S = 60  # 64 users waiting for 16 connections are load, not an error
_opening = Lock()  # threads: whoever comes first opens the pool, and there is one


def row(number: int) -> dict[str, int]:
    """Read one row of the table."""
    with _database().connection() as connection:
        found = connection.execute("select id, value from world where id = %s", (number,)).fetchone()
    if found is None:
        raise LookupError(f"the table world has no row {number}; fill it with compose/services/postgres/seed.sql")
    return {"id": found[0], "value": found[1]}


def update(number: int, value: int) -> dict[str, int]:
    """Set one row of the table; autocommit."""
    with _database().connection() as connection:
        connection.execute("update world set value = %s where id = %s", (value, number))
    return {"id": number, "value": value}


def call(token: str) -> bytes:
    """Return the upstream's answer, byte for byte."""
    address = f"{os.environ['GATEBENCH_UPSTREAM_URL']}/call"
    answer = _upstream().get(address, params={"token": token}, timeout=PATIENCE_S)
    answer.raise_for_status()
    return answer.content


def sleep(seconds: float) -> None:
    """Wait, holding the thread (or the greenlet, where a server patches `time`)."""
    time.sleep(seconds)


def _database() -> ConnectionPool:
    with _opening:
        return _open_database()


def _upstream() -> Session:
    with _opening:
        return _open_upstream()


@cache
def _open_database() -> ConnectionPool:
    size = int(os.environ["GATEBENCH_POOL_SIZE"])
    pool = ConnectionPool(
        os.environ["GATEBENCH_DATABASE_URL"],
        min_size=size,
        max_size=size,
        timeout=PATIENCE_S,
        kwargs={"autocommit": True},
        open=True,
    )
    atexit.register(pool.close)  # its threads end with the process, and quietly under gevent as well
    return pool


@cache
def _open_upstream() -> Session:
    # One session, not one a thread: under gevent every connection of a client is a thread of its own, and a
    # session each would never keep a connection to the upstream. Its pool blocks, so it holds the worker's limit.
    size = int(os.environ["GATEBENCH_POOL_SIZE"])
    session = Session()
    session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=size, pool_block=True))
    session.trust_env = False  # no proxy of this machine comes between, no netrc is read for each call
    return session
