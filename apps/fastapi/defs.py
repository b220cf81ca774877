"""The contract on FastAPI with views in threads: routes only. Knows FastAPI; what a request does is `work`.

FastAPI runs a view that is no coroutine in Starlette's pool of threads, 40 for each worker; they are as they come.
The view of the WebSocket stays a coroutine: Starlette has none that waits in a thread.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response, WebSocket
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse
from fastapi.templating import Jinja2Templates
from pydantic import BaseModel
from work import inference, pages, rounds, sync


class Item(BaseModel):
    """What a client says of an item."""

    name: str
    price: int


app = FastAPI()
templates = Jinja2Templates(pages.TEMPLATES)


async def body(request: Request) -> bytes:  # only the loop can read it, before the view has its thread
    return await request.body()


@app.get("/plaintext")
def plaintext() -> PlainTextResponse:
    return PlainTextResponse("Hello, World!")


@app.get("/json")
def json(id: int) -> dict[str, int | str]:  # noqa: A002 - the query's own name
    return {"id": id, "message": "Hello, World!"}


@app.get("/db")
def db(id: int) -> dict[str, int]:  # noqa: A002 - the query's own name
    return sync.row(id)


@app.post("/update")
def update(id: int, value: int) -> dict[str, int]:  # noqa: A002 - the query's own name
    return sync.update(id, value)


@app.get("/external")
def external(token: str) -> Response:
    return Response(sync.call(token), media_type="application/json")


@app.get("/sleep")
def sleep(s: float) -> PlainTextResponse:
    sync.sleep(s)
    return PlainTextResponse("slept")


@app.get("/cpu")
def cpu(n: int, x: int) -> PlainTextResponse:
    return PlainTextResponse(str(rounds.turn(n, x)))


@app.get("/model")
def model(x: int) -> JSONResponse:
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
def template(request: Request, n: int, token: str) -> HTMLResponse:
    return templates.TemplateResponse(request, "rows.html", {"rows": pages.rows(n, token)})


@app.get("/queries")
def queries(n: int) -> list[dict[str, int]]:
    return sync.rows(n)


@app.post("/updates")
def updates(n: int) -> list[dict[str, int]]:
    return sync.renew(n)


@app.post("/items", status_code=201)
def create(item: Item) -> dict[str, Any]:
    return sync.create(item.name, item.price)


@app.get("/items/{number}")
def read(number: int) -> Any:
    return sync.read(number) or missing()


@app.put("/items/{number}")
def change(number: int, item: Item) -> Any:
    return sync.change(number, item.name, item.price) or missing()


@app.delete("/items/{number}")
def remove(number: int) -> Response:
    return Response(status_code=204) if sync.remove(number) else missing()


@app.get("/redis")
def redis(key: str, value: str) -> dict[str, str]:
    return sync.remember(key, value)


@app.get("/file")
def file() -> Response:
    return Response(sync.file(), media_type="application/octet-stream")


@app.post("/upload")
def upload(body: Annotated[bytes, Depends(body)]) -> PlainTextResponse:
    return PlainTextResponse(rounds.digest(body))


@app.get("/sse")
def sse(n: int, every: float) -> StreamingResponse:
    return StreamingResponse(sync.events(n, every), media_type="text/event-stream")


@app.get("/stream")
def stream(n: int, size: int) -> StreamingResponse:
    return StreamingResponse(sync.pieces(n, size), media_type="application/octet-stream")


def missing() -> JSONResponse:
    return JSONResponse({"error": "no such item"}, status_code=404)
