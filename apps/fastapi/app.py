"""The contract on FastAPI: routes only. Knows FastAPI; what a request does is `work`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse
from fastapi.templating import Jinja2Templates
from pydantic import BaseModel
from work import aio, inference, pages, rounds


class Item(BaseModel):
    """What a client says of an item."""

    name: str
    price: int


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    await aio.close()


app = FastAPI(lifespan=lifespan)
templates = Jinja2Templates(pages.TEMPLATES)


@app.get("/plaintext")
async def plaintext() -> PlainTextResponse:
    return PlainTextResponse("Hello, World!")


@app.get("/json")
async def json(id: int) -> dict[str, int | str]:  # noqa: A002 - the query's own name
    return {"id": id, "message": "Hello, World!"}


@app.get("/db")
async def db(id: int) -> dict[str, int]:  # noqa: A002 - the query's own name
    return await aio.row(id)


@app.post("/update")
async def update(id: int, value: int) -> dict[str, int]:  # noqa: A002 - the query's own name
    return await aio.update(id, value)


@app.get("/external")
async def external(token: str) -> Response:
    return Response(await aio.call(token), media_type="application/json")


@app.get("/sleep")
async def sleep(s: float) -> PlainTextResponse:
    await aio.sleep(s)
    return PlainTextResponse("slept")


@app.get("/cpu")
async def cpu(n: int, x: int) -> PlainTextResponse:
    return PlainTextResponse(str(rounds.turn(n, x)))


@app.get("/model")
async def model(x: int) -> JSONResponse:
    return JSONResponse(inference.infer(x))


@app.websocket("/ws")
async def ws(socket: WebSocket) -> None:
    await socket.accept()
    while (message := await socket.receive())["type"] == "websocket.receive":
        if (text := message.get("text")) is not None:
            await socket.send_text(text)
        else:
            await socket.send_bytes(message["bytes"])


@app.get("/template")
async def template(request: Request, n: int, token: str) -> HTMLResponse:
    return templates.TemplateResponse(request, "rows.html", {"rows": pages.rows(n, token)})


@app.get("/queries")
async def queries(n: int) -> list[dict[str, int]]:
    return await aio.rows(n)


@app.post("/updates")
async def updates(n: int) -> list[dict[str, int]]:
    return await aio.renew(n)


@app.post("/items", status_code=201)
async def create(item: Item) -> dict[str, Any]:
    return await aio.create(item.name, item.price)


@app.get("/items/{number}")
async def read(number: int) -> Any:
    return await aio.read(number) or missing()


@app.put("/items/{number}")
async def change(number: int, item: Item) -> Any:
    return await aio.change(number, item.name, item.price) or missing()


@app.delete("/items/{number}")
async def remove(number: int) -> Response:
    return Response(status_code=204) if await aio.remove(number) else missing()


@app.get("/redis")
async def redis(key: str, value: str) -> dict[str, str]:
    return await aio.remember(key, value)


@app.get("/file")
async def file() -> Response:
    return Response(await aio.file(), media_type="application/octet-stream")


@app.post("/upload")
async def upload(request: Request) -> PlainTextResponse:
    return PlainTextResponse(rounds.digest(await request.body()))


@app.get("/sse")
async def sse(n: int, every: float) -> StreamingResponse:
    return StreamingResponse(aio.events(n, every), media_type="text/event-stream")


@app.get("/stream")
async def stream(n: int, size: int) -> StreamingResponse:
    return StreamingResponse(aio.pieces(n, size), media_type="application/octet-stream")


def missing() -> JSONResponse:
    return JSONResponse({"error": "no such item"}, status_code=404)
