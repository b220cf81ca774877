"""The contract on Starlette: routes only. Knows Starlette; what a request does is `work`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.templating import Jinja2Templates
from starlette.websockets import WebSocket
from work import aio, inference, pages, rounds

BYTES = "application/octet-stream"
templates = Jinja2Templates(directory=pages.TEMPLATES)


async def plaintext(_: Request) -> Response:
    return PlainTextResponse("Hello, World!")


async def json(request: Request) -> Response:
    return JSONResponse({"id": int(request.query_params["id"]), "message": "Hello, World!"})


async def db(request: Request) -> Response:
    return JSONResponse(await aio.row(int(request.query_params["id"])))


async def update(request: Request) -> Response:
    return JSONResponse(await aio.update(int(request.query_params["id"]), int(request.query_params["value"])))


async def external(request: Request) -> Response:
    return Response(await aio.call(request.query_params["token"]), media_type="application/json")


async def sleep(request: Request) -> Response:
    await aio.sleep(float(request.query_params["s"]))
    return PlainTextResponse("slept")


async def cpu(request: Request) -> Response:
    return PlainTextResponse(str(rounds.turn(int(request.query_params["n"]), int(request.query_params["x"]))))


async def model(request: Request) -> Response:
    return JSONResponse(inference.infer(int(request.query_params["x"])))


async def ws(socket: WebSocket) -> None:
    await socket.accept()
    while (message := await socket.receive())["type"] == "websocket.receive":
        if (text := message.get("text")) is not None:
            await socket.send_text(text)
        else:
            await socket.send_bytes(message["bytes"])


async def template(request: Request) -> Response:
    rows = pages.rows(int(request.query_params["n"]), request.query_params["token"])
    return templates.TemplateResponse(request, "rows.html", {"rows": rows})


async def queries(request: Request) -> Response:
    return JSONResponse(await aio.rows(int(request.query_params["n"])))


async def updates(request: Request) -> Response:
    return JSONResponse(await aio.renew(int(request.query_params["n"])))


async def create(request: Request) -> Response:
    item = await request.json()
    return JSONResponse(await aio.create(item["name"], item["price"]), status_code=201)


async def read(request: Request) -> Response:
    item = await aio.read(request.path_params["number"])
    return JSONResponse(item) if item else missing()


async def change(request: Request) -> Response:
    item = await request.json()
    changed = await aio.change(request.path_params["number"], item["name"], item["price"])
    return JSONResponse(changed) if changed else missing()


async def remove(request: Request) -> Response:
    removed = await aio.remove(request.path_params["number"])
    return Response(status_code=204) if removed else missing()


async def redis(request: Request) -> Response:
    return JSONResponse(await aio.remember(request.query_params["key"], request.query_params["value"]))


async def file(_: Request) -> Response:
    return Response(await aio.file(), media_type=BYTES)


async def upload(request: Request) -> Response:
    return PlainTextResponse(rounds.digest(await request.body()))


async def sse(request: Request) -> Response:
    events = aio.events(int(request.query_params["n"]), float(request.query_params["every"]))
    return StreamingResponse(events, media_type="text/event-stream")


async def stream(request: Request) -> Response:
    pieces = aio.pieces(int(request.query_params["n"]), int(request.query_params["size"]))
    return StreamingResponse(pieces, media_type=BYTES)


def missing() -> Response:
    return JSONResponse({"error": "no such item"}, status_code=404)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    yield
    await aio.close()


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/plaintext", plaintext),
        Route("/json", json),
        Route("/db", db),
        Route("/update", update, methods=["POST"]),
        Route("/external", external),
        Route("/sleep", sleep),
        Route("/cpu", cpu),
        Route("/model", model),
        WebSocketRoute("/ws", ws),
        Route("/template", template),
        Route("/queries", queries),
        Route("/updates", updates, methods=["POST"]),
        Route("/items", create, methods=["POST"]),
        Route("/items/{number:int}", read),
        Route("/items/{number:int}", change, methods=["PUT"]),
        Route("/items/{number:int}", remove, methods=["DELETE"]),
        Route("/redis", redis),
        Route("/file", file),
        Route("/upload", upload, methods=["POST"]),
        Route("/sse", sse),
        Route("/stream", stream),
    ],
)
