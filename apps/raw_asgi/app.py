"""The contract without a framework, the floor of ASGI: routes only. What a request does is `work`."""

from __future__ import annotations

import asyncio
import json as serial
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from work import aio, inference, pages, rounds

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Answer = tuple[int, bytes, bytes | AsyncGenerator[bytes, None]]  # status, content type, body
TEXT = b"text/plain; charset=utf-8"
JSON = b"application/json"
BYTES = b"application/octet-stream"


async def plaintext(_: Scope, __: Receive) -> Answer:
    return 200, TEXT, b"Hello, World!"


async def json(scope: Scope, _: Receive) -> Answer:
    return compact({"id": int(query(scope)["id"]), "message": "Hello, World!"})


async def db(scope: Scope, _: Receive) -> Answer:
    return compact(await aio.row(int(query(scope)["id"])))


async def update(scope: Scope, _: Receive) -> Answer:
    asked = query(scope)
    return compact(await aio.update(int(asked["id"]), int(asked["value"])))


async def external(scope: Scope, _: Receive) -> Answer:
    return 200, JSON, await aio.call(query(scope)["token"])


async def sleep(scope: Scope, _: Receive) -> Answer:
    await aio.sleep(float(query(scope)["s"]))
    return 200, TEXT, b"slept"


async def cpu(scope: Scope, _: Receive) -> Answer:
    asked = query(scope)
    return 200, TEXT, str(rounds.turn(int(asked["n"]), int(asked["x"]))).encode()


async def model(scope: Scope, _: Receive) -> Answer:
    return compact(inference.infer(int(query(scope)["x"])))


async def ws(receive: Receive, send: Send) -> None:
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        # a server may leave the other kind out, or give it as None
        kind = "text" if message.get("text") is not None else "bytes"
        await send({"type": "websocket.send", kind: message[kind]})


async def template(scope: Scope, _: Receive) -> Answer:
    asked = query(scope)
    return 200, b"text/html; charset=utf-8", pages.page(int(asked["n"]), asked["token"]).encode()


async def queries(scope: Scope, _: Receive) -> Answer:
    return compact(await aio.rows(int(query(scope)["n"])))


async def updates(scope: Scope, _: Receive) -> Answer:
    return compact(await aio.renew(int(query(scope)["n"])))


async def create(_: Scope, receive: Receive) -> Answer:
    item = serial.loads(await body(receive))
    return compact(await aio.create(item["name"], item["price"]), 201)


async def read(scope: Scope, _: Receive) -> Answer:
    return found(await aio.read(number(scope)))


async def change(scope: Scope, receive: Receive) -> Answer:
    item = serial.loads(await body(receive))
    return found(await aio.change(number(scope), item["name"], item["price"]))


async def remove(scope: Scope, _: Receive) -> Answer:
    return (204, b"", b"") if await aio.remove(number(scope)) else found(None)


async def redis(scope: Scope, _: Receive) -> Answer:
    asked = query(scope)
    return compact(await aio.remember(asked["key"], asked["value"]))


async def file(_: Scope, __: Receive) -> Answer:
    return 200, BYTES, await aio.file()


async def upload(_: Scope, receive: Receive) -> Answer:
    return 200, TEXT, rounds.digest(await body(receive)).encode()


async def sse(scope: Scope, _: Receive) -> Answer:
    asked = query(scope)
    return 200, b"text/event-stream", aio.events(int(asked["n"]), float(asked["every"]))


async def stream(scope: Scope, _: Receive) -> Answer:
    asked = query(scope)
    return 200, BYTES, aio.pieces(int(asked["n"]), int(asked["size"]))


ROUTES: dict[tuple[str, str], Callable[[Scope, Receive], Awaitable[Answer]]] = {
    ("GET", "/plaintext"): plaintext,
    ("GET", "/json"): json,
    ("GET", "/db"): db,
    ("POST", "/update"): update,
    ("GET", "/external"): external,
    ("GET", "/sleep"): sleep,
    ("GET", "/cpu"): cpu,
    ("GET", "/model"): model,
    ("GET", "/template"): template,
    ("GET", "/queries"): queries,
    ("POST", "/updates"): updates,
    ("POST", "/items"): create,
    ("GET", "/items/"): read,
    ("PUT", "/items/"): change,
    ("DELETE", "/items/"): remove,
    ("GET", "/redis"): redis,
    ("GET", "/file"): file,
    ("POST", "/upload"): upload,
    ("GET", "/sse"): sse,
    ("GET", "/stream"): stream,
}


def query(scope: Scope) -> dict[str, str]:
    # the contract's values need no unquoting, so the floor pays for none
    return dict(pair.split("=", 1) for pair in scope["query_string"].decode().split("&"))


async def body(receive: Receive) -> bytes:
    parts, more = [], True
    while more:
        message = await receive()  # a client that left in between sends no more: http.disconnect has neither key
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def number(scope: Scope) -> int:
    return int(scope["path"].removeprefix("/items/"))


def compact(value: Any, status: int = 200) -> Answer:
    return status, JSON, serial.dumps(value, separators=(",", ":")).encode()


def found(item: dict[str, Any] | None) -> Answer:
    return compact({"error": "no such item"}, 404) if item is None else compact(item)


async def left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def flow(parts: AsyncGenerator[bytes, None], receive: Receive, send: Send) -> None:
    """Send part by part, and end before the next one once the client has left: a server may take parts for nobody."""
    leaving = asyncio.create_task(left(receive))
    try:
        async with aclosing(parts):
            async for part in parts:
                if leaving.done():
                    return
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except OSError:  # how a server says that the client has left
        return
    finally:
        leaving.cancel()


async def trailers(scope: Scope, send: Send) -> None:
    able = "http.response.trailers" in (scope.get("extensions") or {})
    headers = [(b"content-type", TEXT), (b"trailer", b"x-gatebench-trailer")]
    await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": able})
    await send({"type": "http.response.body", "body": b"a trailer follows" if able else b"no trailer can follow"})
    if able:
        await send({"type": "http.response.trailers", "headers": [(b"x-gatebench-trailer", b"it followed")]})


async def http(scope: Scope, receive: Receive, send: Send) -> None:
    path = scope["path"]
    if path == "/trailers":
        await trailers(scope, send)
        return
    route = ROUTES.get((scope["method"], "/items/" if path.startswith("/items/") else path))
    status, kind, content = await route(scope, receive) if route else (404, TEXT, b"")
    headers = [(b"content-type", kind)] if kind else []
    if not isinstance(content, bytes):
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await flow(content, receive, send)
        return
    if kind:  # an answer without a body (204) has no length either
        headers.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def lifespan(receive: Receive, send: Send) -> None:
    await receive()  # lifespan.startup
    await send({"type": "lifespan.startup.complete"})
    await receive()  # lifespan.shutdown
    await aio.close()
    await send({"type": "lifespan.shutdown.complete"})


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await http(scope, receive, send)
    elif scope["type"] == "websocket" and scope["path"] == "/ws":
        await ws(receive, send)
    elif scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close"})
