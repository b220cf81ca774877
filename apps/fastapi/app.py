"""The contract on FastAPI: routes only. Knows FastAPI; what a request does is `work`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Response, WebSocket
from fastapi.responses import PlainTextResponse
from work import aio, rounds


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    await aio.close()


app = FastAPI(lifespan=lifespan)


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


@app.websocket("/ws")
async def ws(socket: WebSocket) -> None:
    await socket.accept()
    while (message := await socket.receive())["type"] == "websocket.receive":
        if (text := message.get("text")) is not None:
            await socket.send_text(text)
        else:
            await socket.send_bytes(message["bytes"])
