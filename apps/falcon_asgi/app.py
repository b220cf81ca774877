"""The contract on Falcon, its ASGI side: routes only. Knows Falcon; what a request does is `work`."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from typing import Any

import falcon
import falcon.asgi
from falcon import media
from falcon.asgi import Request, Response, WebSocket
from work import aio, inference, pages, rounds

BYTES = "application/octet-stream"


class Plaintext:
    async def on_get(self, _: Request, response: Response) -> None:
        text(response, "Hello, World!")


class Json:
    async def on_get(self, request: Request, response: Response) -> None:
        response.media = {"id": request.get_param_as_int("id"), "message": "Hello, World!"}


class Db:
    async def on_get(self, request: Request, response: Response) -> None:
        response.media = await aio.row(request.get_param_as_int("id"))


class Update:
    async def on_post(self, request: Request, response: Response) -> None:
        response.media = await aio.update(request.get_param_as_int("id"), request.get_param_as_int("value"))


class External:
    async def on_get(self, request: Request, response: Response) -> None:
        response.data = await aio.call(request.get_param("token"))


class Sleep:
    async def on_get(self, request: Request, response: Response) -> None:
        await aio.sleep(request.get_param_as_float("s"))
        text(response, "slept")


class Cpu:
    async def on_get(self, request: Request, response: Response) -> None:
        text(response, str(rounds.turn(request.get_param_as_int("n"), request.get_param_as_int("x"))))


class Model:
    async def on_get(self, request: Request, response: Response) -> None:
        response.media = inference.infer(request.get_param_as_int("x"))


class Ws:
    async def on_websocket(self, _: Request, socket: WebSocket) -> None:
        await socket.accept()
        with suppress(falcon.WebSocketDisconnected):
            while True:
                message = await socket.receive_media()
                send = socket.send_text if isinstance(message, str) else socket.send_data
                await send(message)


class Template:
    async def on_get(self, request: Request, response: Response) -> None:
        response.content_type = falcon.MEDIA_HTML
        response.text = pages.page(request.get_param_as_int("n"), request.get_param("token"))


class Queries:
    async def on_get(self, request: Request, response: Response) -> None:
        response.media = await aio.rows(request.get_param_as_int("n"))


class Updates:
    async def on_post(self, request: Request, response: Response) -> None:
        response.media = await aio.renew(request.get_param_as_int("n"))


class Items:
    async def on_post(self, request: Request, response: Response) -> None:
        item = await request.get_media()
        response.status = falcon.HTTP_201
        response.media = await aio.create(item["name"], item["price"])


class Item:
    async def on_get(self, _: Request, response: Response, number: int) -> None:
        answer(response, await aio.read(number))

    async def on_put(self, request: Request, response: Response, number: int) -> None:
        item = await request.get_media()
        answer(response, await aio.change(number, item["name"], item["price"]))

    async def on_delete(self, _: Request, response: Response, number: int) -> None:
        if await aio.remove(number):
            response.status = falcon.HTTP_204
        else:
            answer(response, None)


class Redis:
    async def on_get(self, request: Request, response: Response) -> None:
        response.media = await aio.remember(request.get_param("key"), request.get_param("value"))


class File:
    async def on_get(self, _: Request, response: Response) -> None:
        response.content_type = BYTES
        response.data = await aio.file()


class Upload:
    async def on_post(self, request: Request, response: Response) -> None:
        text(response, rounds.digest(await request.stream.read()))


class Sse:
    async def on_get(self, request: Request, response: Response) -> None:
        response.content_type = "text/event-stream"
        response.stream = aio.events(request.get_param_as_int("n"), request.get_param_as_float("every"))


class Stream:
    async def on_get(self, request: Request, response: Response) -> None:
        response.content_type = BYTES
        response.stream = aio.pieces(request.get_param_as_int("n"), request.get_param_as_int("size"))


class AsItIs(media.TextBaseHandlerWS, media.BinaryBaseHandlerWS):
    """A message as it came: Falcon's own handlers would read it as JSON or MessagePack."""

    def deserialize(self, payload: Any) -> Any:
        """Leave it."""
        return payload


class Closing:
    """Falcon's way to do something when the server stops."""

    async def process_shutdown(self, _scope: object, _event: object) -> None:
        await aio.close()


def text(response: Response, body: str) -> None:
    response.content_type = falcon.MEDIA_TEXT
    response.text = body


def answer(response: Response, item: dict[str, Any] | None) -> None:
    response.status = falcon.HTTP_200 if item else falcon.HTTP_404
    response.media = item or {"error": "no such item"}


app = falcon.asgi.App(middleware=[Closing()])
compact = media.JSONHandler(dumps=partial(json.dumps, separators=(",", ":")))  # as most frameworks write it
app.resp_options.media_handlers[falcon.MEDIA_JSON] = compact
app.ws_options.media_handlers[falcon.WebSocketPayloadType.TEXT] = AsItIs()
app.ws_options.media_handlers[falcon.WebSocketPayloadType.BINARY] = AsItIs()
app.add_route("/plaintext", Plaintext())
app.add_route("/json", Json())
app.add_route("/db", Db())
app.add_route("/update", Update())
app.add_route("/external", External())
app.add_route("/sleep", Sleep())
app.add_route("/cpu", Cpu())
app.add_route("/model", Model())
app.add_route("/ws", Ws())
app.add_route("/template", Template())
app.add_route("/queries", Queries())
app.add_route("/updates", Updates())
app.add_route("/items", Items())
app.add_route("/items/{number:int}", Item())
app.add_route("/redis", Redis())
app.add_route("/file", File())
app.add_route("/upload", Upload())
app.add_route("/sse", Sse())
app.add_route("/stream", Stream())
