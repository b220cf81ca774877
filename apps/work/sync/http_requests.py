"""The upstream by requests. Knows its address; must not know any framework."""

from __future__ import annotations

import os
from functools import cache
from threading import Lock

from requests import Session
from requests.adapters import HTTPAdapter

from work.drivers import PATIENCE_S, pool_size

_opening = Lock()  # threads: whoever comes first opens the session, and there is one


def call(token: str) -> bytes:
    """Return the upstream's answer, byte for byte."""
    address = f"{os.environ['GATEBENCH_UPSTREAM_URL']}/call"
    answer = _session().get(address, params={"token": token}, timeout=PATIENCE_S)
    answer.raise_for_status()
    return answer.content


def _session() -> Session:
    with _opening:
        return _open()


@cache
def _open() -> Session:
    # One session, not one a thread: under gevent every connection of a client is a thread of its own, and a
    # session each would never keep a connection to the upstream. Its pool blocks, so it holds the worker's limit.
    session = Session()
    session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=pool_size(), pool_block=True))
    session.trust_env = False  # no proxy of this machine comes between, no netrc is read for each call
    return session
