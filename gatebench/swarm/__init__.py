"""The generator: all that imports Locust, which patches its process, and so a process of its own.

A scenario reads `from gatebench.swarm import Expect, HttpUser, task`. The harness imports nothing from here: it
starts `python -m gatebench.swarm`, writes a job to it and reads figures from it (job.py has the one, driver.py the
other).
Those names are therefore looked up when asked for: to import `gatebench.swarm.recorder` leaves a process as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gatebench.swarm.names import libraries_first

if TYPE_CHECKING:
    from gatebench.swarm.users import (
        Digits,
        Echo,
        EngineUser,
        Events,
        Expect,
        Flow,
        Hex,
        HttpUser,
        Judge,
        Request,
        Whole,
        task,
    )

__all__ = [
    "Digits",
    "Echo",
    "EngineUser",
    "Events",
    "Expect",
    "Flow",
    "Hex",
    "HttpUser",
    "Judge",
    "Request",
    "Whole",
    "task",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with libraries_first():
        from gatebench.swarm import users  # noqa: PLC0415 - it patches the process
    return getattr(users, name)
