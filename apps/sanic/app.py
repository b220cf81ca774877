"""The contract on Sanic: routes only. Knows Sanic; what a request does is `work`.

The same module is an ASGI app and what Sanic's own server runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sanic import Request, Sanic, response
from sanic.response import HTTPResponse, empty
from work import aio, inference, pages, rounds

Message = dict[str, Any]


class Whole(Sanic):
    """Sanic, which as an ASGI app loses a binary message where its server gives None as the text beside it."""

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        """Leave out what is None."""

        async def given() -> Message:
            return {key: value for key, value in (await receive()).items() if value is not None}

        await super().__call__(scope, given if scope["type"] == "websocket" else receive, send)


app = Whole("gatebench")


def sized(answer: HTTPResponse) -> HTTPResponse:
    """Tell the length, as Sanic's own server would; as an ASGI app, Sanic leaves it out."""
    answer.headers["content-length"] = str(len(answer.body))
    return answer


def text(body: str) -> HTTPResponse:
    return sized(response.text(body))


def compact(value: Any, status: int = 200) -> HTTPResponse:
    return sized(response.json(value, status=status))


@app.get("/plaintext")
async def plaintext(_: Request) -> HTTPResponse:
    return text("Hello, World!")


@app.get("/json")
async def json(request: Request) -> HTTPResponse:
    return compact({"id": int(request.args.get("id")), "message": "Hello, World!"})


@app.get("/db")
async def db(request: Request) -> HTTPResponse:
    return compact(await aio.row(int(request.args.get("id"))))


@app.post("/update")
async def update(request: Request) -> HTTPResponse:
    return compact(await aio.update(int(request.args.get("id")), int(request.args.get("value"))))


@app.get("/external")
async def external(request: Request) -> HTTPResponse:
    return sized(response.raw(await aio.call(request.args.get("token")), content_type="application/json"))


@app.get("/sleep")
async def sleep(request: Request) -> HTTPResponse:
    await aio.sleep(float(request.args.get("s")))
    return text("slept")


@app.get("/cpu")
async def cpu(request: Request) -> HTTPResponse:
    return text(str(rounds.turn(int(request.args.get("n")), int(request.args.get("x")))))


@app.get("/model")
async def model(request: Request) -> HTTPResponse:
    return compact(inference.infer(int(request.args.get("x"))))


@app.websocket("/ws")
async def ws(_: Request, socket: Any) -> None:
    # not `async for`: as an ASGI app, Sanic gives a socket that cannot, and that says None at the end
    while (message := await socket.recv()) is not None:
        await socket.send(message)


@app.get("/template")
async def template(request: Request) -> HTTPResponse:
    return sized(response.html(pages.page(int(request.args.get("n")), request.args.get("token"))))


@app.get("/queries")
async def queries(request: Request) -> HTTPResponse:
    return compact(await aio.rows(int(request.args.get("n"))))


@app.post("/updates")
async def updates(request: Request) -> HTTPResponse:
    return compact(await aio.renew(int(request.args.get("n"))))


@app.post("/items")
async def create(request: Request) -> HTTPResponse:
    return compact(await aio.create(request.json["name"], request.json["price"]), status=201)


@app.get("/items/<number:int>")
async def read(_: Request, number: int) -> HTTPResponse:
    item = await aio.read(number)
    return compact(item) if item else missing()


@app.put("/items/<number:int>")
async def change(request: Request, number: int) -> HTTPResponse:
    item = await aio.change(number, request.json["name"], request.json["price"])
    return compact(item) if item else missing()


@app.delete("/items/<number:int>")
async def remove(_: Request, number: int) -> HTTPResponse:
    return empty() if await aio.remove(number) else missing()


@app.get("/redis")
async def redis(request: Request) -> HTTPResponse:
    return compact(await aio.remember(request.args.get("key"), request.args.get("value")))


@app.get("/file")
async def file(_: Request) -> HTTPResponse:
    return sized(response.raw(await aio.file()))


@app.post("/upload")
async def upload(request: Request) -> HTTPResponse:
    return text(rounds.digest(request.body))


@app.get("/sse")
async def sse(request: Request) -> None:
    answer = await request.respond(content_type="text/event-stream; charset=utf-8")
    async for event in aio.events(int(request.args.get("n")), float(request.args.get("every"))):
        await answer.send(event)


@app.get("/stream")
async def stream(request: Request) -> None:
    answer = await request.respond(content_type="application/octet-stream")
    async for piece in aio.pieces(int(request.args.get("n")), int(request.args.get("size"))):
        await answer.send(piece)


def missing() -> HTTPResponse:
    return compact({"error": "no such item"}, status=404)


@app.after_server_stop
async def close(_: Sanic) -> None:
    await aio.close()
