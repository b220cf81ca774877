"""The contract on Quart: routes only. Knows Quart; what a request does is `work`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from quart import Quart, Response, render_template, request, websocket
from quart.asgi import ASGIWebsocketConnection
from quart.json.provider import DefaultJSONProvider
from work import aio, inference, pages, rounds

Json = dict[str, Any]
BYTES = "application/octet-stream"


class Compact(DefaultJSONProvider):
    """Quart's own JSON without the line feed that it adds at the end."""

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Serialise as compactly as Quart does."""
        body = self.dumps(self._prepare_response_obj(args, kwargs), separators=(",", ":"))
        return Response(body, mimetype=self.mimetype)


class Connection(ASGIWebsocketConnection):
    """Quart's own, which looks for a text where a binary message is empty, and finds none."""

    async def handle_messages(self, receive: Callable[[], Awaitable[Json]]) -> None:
        """Give it the empty message as that text."""

        async def found() -> Json:
            event = await receive()
            return {**event, "text": b""} if event.get("bytes") == b"" else event

        await super().handle_messages(found)


app = Quart(__name__, template_folder=str(pages.TEMPLATES))
app.json = Compact(app)
app.asgi_websocket_class = Connection


def text(body: str) -> Response:
    return Response(body, mimetype="text/plain")


@app.get("/plaintext")
async def plaintext() -> Response:
    return text("Hello, World!")


@app.get("/json")
async def json() -> Json:
    return {"id": int(request.args["id"]), "message": "Hello, World!"}


@app.get("/db")
async def db() -> Json:
    return await aio.row(int(request.args["id"]))


@app.post("/update")
async def update() -> Json:
    return await aio.update(int(request.args["id"]), int(request.args["value"]))


@app.get("/external")
async def external() -> Response:
    return Response(await aio.call(request.args["token"]), mimetype="application/json")


@app.get("/sleep")
async def sleep() -> Response:
    await aio.sleep(float(request.args["s"]))
    return text("slept")


@app.get("/cpu")
async def cpu() -> Response:
    return text(str(rounds.turn(int(request.args["n"]), int(request.args["x"]))))


@app.get("/model")
async def model() -> dict[str, int]:
    return inference.infer(int(request.args["x"]))


@app.websocket("/ws")
async def ws() -> None:
    while True:
        await websocket.send(await websocket.receive())


@app.get("/template")
async def template() -> str:
    return await render_template("rows.html", rows=pages.rows(int(request.args["n"]), request.args["token"]))


@app.get("/queries")
async def queries() -> list[Json]:
    return await aio.rows(int(request.args["n"]))


@app.post("/updates")
async def updates() -> list[Json]:
    return await aio.renew(int(request.args["n"]))


@app.post("/items")
async def create() -> tuple[Json, int]:
    item = await request.get_json()
    return await aio.create(item["name"], item["price"]), 201


@app.get("/items/<int:number>")
async def read(number: int) -> Json | tuple[Json, int]:
    return await aio.read(number) or missing()


@app.put("/items/<int:number>")
async def change(number: int) -> Json | tuple[Json, int]:
    item = await request.get_json()
    return await aio.change(number, item["name"], item["price"]) or missing()


@app.delete("/items/<int:number>")
async def remove(number: int) -> tuple[str | Json, int]:
    return ("", 204) if await aio.remove(number) else missing()


@app.get("/redis")
async def redis() -> Json:
    return await aio.remember(request.args["key"], request.args["value"])


@app.get("/file")
async def file() -> Response:
    return Response(await aio.file(), mimetype=BYTES)


@app.post("/upload")
async def upload() -> Response:
    return text(rounds.digest(await request.get_data()))


@app.get("/sse")
async def sse() -> Response:
    return Response(aio.events(int(request.args["n"]), float(request.args["every"])), mimetype="text/event-stream")


@app.get("/stream")
async def stream() -> Response:
    return Response(aio.pieces(int(request.args["n"]), int(request.args["size"])), mimetype=BYTES)


def missing() -> tuple[Json, int]:
    return {"error": "no such item"}, 404


@app.after_serving
async def close() -> None:
    await aio.close()
