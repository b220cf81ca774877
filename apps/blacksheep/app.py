"""The contract on BlackSheep: routes only. Knows BlackSheep; what a request does is `work`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from blacksheep import (
    Application,
    Content,
    FromBytes,
    FromJSON,
    Response,
    StreamedContent,
    WebSocket,
    WebSocketDisconnectError,
    delete,
    get,
    no_content,
    post,
    put,
    text,
)
from blacksheep import json as compact
from blacksheep import ws as websocket
from blacksheep.server.responses import view
from work import aio, inference, pages, rounds

BYTES = b"application/octet-stream"
app = Application()


@dataclass
class Item:
    """What comes with a request that writes an item."""

    name: str
    price: int


@get("/plaintext")
async def plaintext() -> Response:
    return text("Hello, World!")


@get("/json")
async def json(id: int) -> Response:  # noqa: A002 - the query's own name
    return compact({"id": id, "message": "Hello, World!"})


@get("/db")
async def db(id: int) -> Response:  # noqa: A002 - the query's own name
    return compact(await aio.row(id))


@post("/update")
async def update(id: int, value: int) -> Response:  # noqa: A002 - the query's own name
    return compact(await aio.update(id, value))


@get("/external")
async def external(token: str) -> Response:
    return Response(200, content=Content(b"application/json", await aio.call(token)))


@get("/sleep")
async def sleep(s: float) -> Response:
    await aio.sleep(s)
    return text("slept")


@get("/cpu")
async def cpu(n: int, x: int) -> Response:
    return text(str(rounds.turn(n, x)))


@get("/model")
async def model(x: int) -> Response:
    return compact(inference.infer(x))


@websocket("/ws")
async def ws(socket: WebSocket) -> None:
    await socket.accept()
    with suppress(WebSocketDisconnectError):
        while message := await socket.receive():
            if (words := message.get("text")) is not None:
                await socket.send_text(words)
            else:
                await socket.send_bytes(message["bytes"])


@get("/template")
async def template(n: int, token: str) -> Response:
    return view("rows", {"rows": pages.rows(n, token)})


@get("/queries")
async def queries(n: int) -> Response:
    return compact(await aio.rows(n))


@post("/updates")
async def updates(n: int) -> Response:
    return compact(await aio.renew(n))


@post("/items")
async def create(item: FromJSON[Item]) -> Response:
    return compact(await aio.create(item.value.name, item.value.price), status=201)


@get("/items/{int:number}")
async def read(number: int) -> Response:
    item = await aio.read(number)
    return compact(item) if item else missing()


@put("/items/{int:number}")
async def change(number: int, item: FromJSON[Item]) -> Response:
    changed = await aio.change(number, item.value.name, item.value.price)
    return compact(changed) if changed else missing()


@delete("/items/{int:number}")
async def remove(number: int) -> Response:
    return no_content() if await aio.remove(number) else missing()


@get("/redis")
async def redis(key: str, value: str) -> Response:
    return compact(await aio.remember(key, value))


@get("/file")
async def file() -> Response:
    return Response(200, content=Content(BYTES, await aio.file()))


@post("/upload")
async def upload(body: FromBytes) -> Response:
    return text(rounds.digest(body.value))


@get("/sse")
async def sse(n: int, every: float) -> Response:
    return Response(200, content=StreamedContent(b"text/event-stream", partial(aio.events, n, every)))


@get("/stream")
async def stream(n: int, size: int) -> Response:
    return Response(200, content=StreamedContent(BYTES, partial(aio.pieces, n, size)))


def missing() -> Response:
    return compact({"error": "no such item"}, status=404)


@app.on_stop
async def close(_: Application) -> None:
    await aio.close()
