"""A WSGI app as an ASGI one, by a2wsgi. Must not know which app or server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from a2wsgi import WSGIMiddleware
from bridged import load

THREADS = 16  # as many as Gunicorn's have; 10 is its default

bridge = WSGIMiddleware(load(), workers=THREADS)


async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """Hand a request on, with a `receive` that gives coroutines: Granian's gives futures, which a2wsgi refuses."""

    async def received() -> Any:
        return await receive()

    await bridge(scope, received, send)
