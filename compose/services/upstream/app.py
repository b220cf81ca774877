"""The upstream that `external` calls: answers after a set delay with a digest that only this process can compute.

Knows its delay and its own secret, and counts its calls so that the contract sees one that really happened.
Must not know who calls. A raw ASGI app: thousands of waiting calls are thousands of sleeping tasks.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

Send = Callable[[dict[str, Any]], Awaitable[None]]

DELAY_S = float(os.environ["GATEBENCH_UPSTREAM_DELAY_S"])
SECRET = secrets.token_bytes(32)
REMEMBERED = 10_000  # tokens whose calls are counted; the oldest is forgotten first
calls: dict[str, int] = {}
served = 0


def digest(token: str) -> str:
    """Return 64 hexadecimal digits that no one else can compute."""
    return hashlib.sha256(token.encode() + SECRET).hexdigest()


def count(token: str) -> None:
    """Remember a call."""
    global served  # noqa: PLW0603 - one process, one loop, one count
    served += 1
    calls[token] = calls.pop(token, 0) + 1
    if len(calls) > REMEMBERED:
        del calls[next(iter(calls))]


async def call(token: str) -> dict[str, Any]:
    """Answer the app, after the delay."""
    count(token)
    await asyncio.sleep(DELAY_S)
    return {"token": token, "digest": digest(token)}


async def account(token: str) -> dict[str, Any]:
    """Tell the checker, at once, how often a token was called and what its answer must have been."""
    return {"calls": calls.get(token, 0), "digest": digest(token), "delay_s": DELAY_S, "served": served}


async def health(_: str) -> dict[str, Any]:
    """Say that the upstream is up."""
    return {"served": served}


ROUTES = {"/call": call, "/calls": account, "/health": health}


async def app(scope: dict[str, Any], _receive: object, send: Send) -> None:
    """Answer `GET /call?token=T`, `GET /calls?token=T` and `GET /health`."""
    route = ROUTES.get(scope["path"])
    token = scope["query_string"].decode().removeprefix("token=")
    body = b"" if route is None else json.dumps(await route(token), separators=(",", ":")).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    status = 404 if route is None else 200
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
