"""A WSGI app as an ASGI one, by asgiref. Must not know which app or server.

asgiref keeps what belongs to a request in context variables, and a server that begins the next request where the last
one ended hands them on to it, and it fails (django/asgiref#491). So each request is a task whose context is empty.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

from asgiref.wsgi import WsgiToAsgi
from bridged import load

wrapped = WsgiToAsgi(load())


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer one request."""
    await asyncio.create_task(wrapped(scope, receive, send), context=contextvars.Context())
