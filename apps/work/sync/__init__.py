"""What a request does where threads (or greenlets) wait: one function a route, the same whichever driver does it.

Knows the drivers' names. Must not know any framework. Nothing is opened before the first request needs it: a server
may fork, or patch sockets, after this package is loaded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from work import drivers, parts

_db = drivers.chosen("sync", "db")
row = _db.row  # db
update = _db.update
rows = _db.rows  # queries
renew = _db.renew  # updates
create, read, change, remove = _db.create, _db.read, _db.change, _db.remove  # crud
call = drivers.chosen("sync", "http").call  # external
remember = drivers.chosen("sync", "redis").remember
file = drivers.chosen("sync", "files").file


def sleep(seconds: float) -> None:
    """Wait, holding the thread (or the greenlet, where a server patches `time`)."""
    time.sleep(seconds)


def events(count: int, every: float) -> Iterator[bytes]:
    """Make events one by one, with a pause before each but the first."""
    for number in range(1, count + 1):
        if number > 1:
            time.sleep(every)
        yield parts.event(number)


def pieces(count: int, size: int) -> Iterator[bytes]:
    """Make pieces one by one."""
    for number in range(count):
        yield parts.piece(number, size)
