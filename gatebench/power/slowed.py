"""An app made slower by a known amount: busy work in each request, or a sleep in one of so many.

Runs in the server's environment, beside the app, so it knows the standard library alone. What the app answers goes
through unchanged.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Asgi = Callable[[MutableMapping[str, Any], Callable[..., Any], Callable[..., Any]], Awaitable[None]]
MODULUS = 2**31 - 1  # keeps the number small, so that each turn costs the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowdown:
    """What is done in a request beside the app's own work."""

    loops: int = 0  # turns of busy work
    every: int = 0  # one request of so many sleeps; 0: none does
    sleep_s: float = 0.0
    _seen: itertools.count[int] = field(default_factory=lambda: itertools.count(1), compare=False)

    def sleeps(self) -> bool:
        """Count a request, and say whether it is one of those that sleep."""
        return bool(self.every) and next(self._seen) % self.every == 0


def turn(loops: int) -> int:
    """Keep the CPU busy for so many turns; the number given shows that they were made."""
    value = 1
    for number in range(loops):
        value = (value * 48271 + number) % MODULUS
    return value


def of_wsgi(app: Wsgi, slowdown: Slowdown) -> Wsgi:
    """Give the app with the slowdown before it."""

    def slower(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        turn(slowdown.loops)
        if slowdown.sleeps():
            time.sleep(slowdown.sleep_s)
        return app(environ, start_response)

    return slower


def of_asgi(app: Asgi, slowdown: Slowdown) -> Asgi:
    """Give the app with the slowdown before each request; connections and lifespans are let through."""

    async def slower(scope: MutableMapping[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] == "http":
            turn(slowdown.loops)
            if slowdown.sleeps():
                await asyncio.sleep(slowdown.sleep_s)
        await app(scope, receive, send)

    return slower


def arm() -> Wsgi | Asgi:
    """Import the app that the environment names, and give it with the slowdown that the environment says."""
    told = os.environ
    module, _, names = told["GATEBENCH_BEHIND"].partition(":")
    app: Any = importlib.import_module(module)
    for name in names.split("."):
        app = getattr(app, name)
    slowdown = Slowdown(
        loops=int(told["GATEBENCH_LOOPS"]),
        every=int(told["GATEBENCH_EVERY"]),
        sleep_s=float(told["GATEBENCH_SLEEP_S"]),
    )
    return of_wsgi(app, slowdown) if told["GATEBENCH_SPEAKS"] == "wsgi" else of_asgi(app, slowdown)
