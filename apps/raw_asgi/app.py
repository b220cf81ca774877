"""The contract without a framework, the floor of ASGI: routes only. What a request does is `work`."""

from __future__ import annotations

import json as serial
from collections.abc import Awaitable, Callable
from typing import Any

from work import aio, rounds

Query = dict[str, str]
Answer = tuple[bytes, bytes]  # content type, body
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
TEXT = b"text/plain; charset=utf-8"
JSON = b"application/json"


async def plaintext(_: Query) -> Answer:
    return TEXT, b"Hello, World!"


async def json(query: Query) -> Answer:
    return compact({"id": int(query["id"]), "message": "Hello, World!"})


async def db(query: Query) -> Answer:
    return compact(await aio.row(int(query["id"])))


async def update(query: Query) -> Answer:
    return compact(await aio.update(int(query["id"]), int(query["value"])))


async def external(query: Query) -> Answer:
    return JSON, await aio.call(query["token"])


async def sleep(query: Query) -> Answer:
    await aio.sleep(float(query["s"]))
    return TEXT, b"slept"


async def cpu(query: Query) -> Answer:
    return TEXT, str(rounds.turn(int(query["n"]), int(query["x"]))).encode()


async def ws(receive: Receive, send: Send) -> None:
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        # a server may leave the other kind out, or give it as None
        kind = "text" if message.get("text") is not None else "bytes"
        await send({"type": "websocket.send", kind: message[kind]})


ROUTES: dict[tuple[str, str], Callable[[Query], Awaitable[Answer]]] = {
    ("GET", "/plaintext"): plaintext,
    ("GET", "/json"): json,
    ("GET", "/db"): db,
    ("POST", "/update"): update,
    ("GET", "/external"): external,
    ("GET", "/sleep"): sleep,
    ("GET", "/cpu"): cpu,
}


def compact(value: dict[str, Any]) -> Answer:
    return JSON, serial.dumps(value, separators=(",", ":")).encode()


async def http(scope: dict[str, Any], send: Send) -> None:
    route = ROUTES.get((scope["method"], scope["path"]))
    if route is None:
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    # the contract's values need no unquoting, so the floor pays for none
    query = dict(pair.split("=", 1) for pair in scope["query_string"].decode().split("&") if pair)
    kind, body = await route(query)
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def lifespan(receive: Receive, send: Send) -> None:
    await receive()  # lifespan.startup
    await send({"type": "lifespan.startup.complete"})
    await receive()  # lifespan.shutdown
    await aio.close()
    await send({"type": "lifespan.shutdown.complete"})


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await http(scope, send)
    elif scope["type"] == "websocket" and scope["path"] == "/ws":
        await ws(receive, send)
    elif scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close"})
