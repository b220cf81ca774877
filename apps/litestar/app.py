"""The contract on Litestar: routes only. Knows Litestar; what a request does is `work`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from litestar import Litestar, MediaType, Response, WebSocket, delete, get, post, put, websocket
from litestar.contrib.jinja import JinjaTemplateEngine
from litestar.response import Stream, Template
from litestar.template.config import TemplateConfig
from work import aio, inference, pages, rounds

Json = dict[str, Any]
BYTES = "application/octet-stream"


@dataclass
class Item:
    """What comes with a request that writes an item."""

    name: str
    price: int


@get("/plaintext", media_type=MediaType.TEXT)
async def plaintext() -> str:
    return "Hello, World!"


@get("/json")
async def json(id: int) -> Json:  # noqa: A002 - the query's own name
    return {"id": id, "message": "Hello, World!"}


@get("/db")
async def db(id: int) -> Json:  # noqa: A002 - the query's own name
    return await aio.row(id)


@post("/update", status_code=200)
async def update(id: int, value: int) -> Json:  # noqa: A002 - the query's own name
    return await aio.update(id, value)


@get("/external", media_type=MediaType.JSON)
async def external(token: str) -> bytes:
    return await aio.call(token)


@get("/sleep", media_type=MediaType.TEXT)
async def sleep(s: float) -> str:
    await aio.sleep(s)
    return "slept"


@get("/cpu", media_type=MediaType.TEXT)
async def cpu(n: int, x: int) -> str:
    return str(rounds.turn(n, x))


@get("/model")
async def model(x: int) -> Json:
    return inference.infer(x)


@websocket("/ws")
async def ws(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    while (message := await socket.receive())["type"] == "websocket.receive":
        if (text := message.get("text")) is not None:
            await socket.send_text(text)
        else:
            await socket.send_bytes(message["bytes"])


@get("/template")
async def template(n: int, token: str) -> Template:
    return Template("rows.html", context={"rows": pages.rows(n, token)})


@get("/queries")
async def queries(n: int) -> list[Json]:
    return await aio.rows(n)


@post("/updates", status_code=200)
async def updates(n: int) -> list[Json]:
    return await aio.renew(n)


@post("/items")
async def create(data: Item) -> Json:
    return await aio.create(data.name, data.price)


@get("/items/{number:int}")
async def read(number: int) -> Response[Json]:
    item = await aio.read(number)
    return Response(item) if item else missing()


@put("/items/{number:int}")
async def change(number: int, data: Item) -> Response[Json]:
    item = await aio.change(number, data.name, data.price)
    return Response(item) if item else missing()


# under 204, its default for DELETE, Litestar would refuse to hear of an answer with a body
@delete("/items/{number:int}", status_code=200)
async def remove(number: int) -> Response[Any]:
    return Response(None, status_code=204) if await aio.remove(number) else missing()


@get("/redis")
async def redis(key: str, value: str) -> Json:
    return await aio.remember(key, value)


@get("/file", media_type=BYTES)
async def file() -> bytes:
    return await aio.file()


@post("/upload", status_code=200, media_type=MediaType.TEXT)
async def upload(body: bytes) -> str:
    return rounds.digest(body)


@get("/sse")
async def sse(n: int, every: float) -> Stream:
    return Stream(aio.events(n, every), media_type="text/event-stream")


@get("/stream")
async def stream(n: int, size: int) -> Stream:
    return Stream(aio.pieces(n, size), media_type=BYTES)


def missing() -> Response[Json]:
    return Response({"error": "no such item"}, status_code=404)


@asynccontextmanager
async def lifespan(_: Litestar) -> AsyncIterator[None]:
    yield
    await aio.close()


app = Litestar(
    [
        plaintext,
        json,
        db,
        update,
        external,
        sleep,
        cpu,
        model,
        ws,
        template,
        queries,
        updates,
        create,
        read,
        change,
        remove,
        redis,
        file,
        upload,
        sse,
        stream,
    ],
    lifespan=[lifespan],
    logging_config=None,  # its own would write a line for each call of httpx
    template_config=TemplateConfig(directory=pages.TEMPLATES, engine=JinjaTemplateEngine),
)
