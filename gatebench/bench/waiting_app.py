"""An ASGI app with one route that waits two seconds; the benchmark's own, run in the environment of raw ASGI.

Knows nothing but ASGI.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

WAIT_S = 2.0
BODY = b"waited"


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer /wait after a while, anything else at once."""
    if scope["type"] == "lifespan":
        for done in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{done}.complete"})
    elif scope["type"] == "http":
        if scope["path"] == "/wait":
            await asyncio.sleep(WAIT_S)
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(BODY)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": BODY})
