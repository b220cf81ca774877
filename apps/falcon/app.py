"""The contract on Falcon: routes only. Knows Falcon; what a request does is `work`."""

from __future__ import annotations

import json as serial
from functools import partial

import falcon
from falcon import Request, Response
from work import inference, pages, rounds, sync


class Plaintext:
    def on_get(self, _: Request, resp: Response) -> None:
        text(resp, "Hello, World!")


class Json:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.media = {"id": req.get_param_as_int("id", required=True), "message": "Hello, World!"}


class Db:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.media = sync.row(req.get_param_as_int("id", required=True))


class Update:
    def on_post(self, req: Request, resp: Response) -> None:
        number, value = req.get_param_as_int("id", required=True), req.get_param_as_int("value", required=True)
        resp.media = sync.update(number, value)


class External:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.data = sync.call(req.get_param("token", required=True))


class Sleep:
    def on_get(self, req: Request, resp: Response) -> None:
        sync.sleep(req.get_param_as_float("s", required=True))
        text(resp, "slept")


class Cpu:
    def on_get(self, req: Request, resp: Response) -> None:
        n, x = req.get_param_as_int("n", required=True), req.get_param_as_int("x", required=True)
        text(resp, str(rounds.turn(n, x)))


class Model:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.media = inference.infer(req.get_param_as_int("x", required=True))


class Template:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = falcon.MEDIA_HTML
        resp.text = pages.page(req.get_param_as_int("n", required=True), req.get_param("token", required=True))


class Queries:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.media = sync.rows(req.get_param_as_int("n", required=True))


class Updates:
    def on_post(self, req: Request, resp: Response) -> None:
        resp.media = sync.renew(req.get_param_as_int("n", required=True))


class Items:
    def on_post(self, req: Request, resp: Response) -> None:
        item = req.get_media()
        resp.status = falcon.HTTP_CREATED
        resp.media = sync.create(item["name"], item["price"])


class Item:
    def on_get(self, _: Request, resp: Response, number: int) -> None:
        resp.media = sync.read(number) or missing(resp)

    def on_put(self, req: Request, resp: Response, number: int) -> None:
        item = req.get_media()
        resp.media = sync.change(number, item["name"], item["price"]) or missing(resp)

    def on_delete(self, _: Request, resp: Response, number: int) -> None:
        if sync.remove(number):
            resp.status = falcon.HTTP_NO_CONTENT
        else:
            resp.media = missing(resp)


class Redis:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.media = sync.remember(req.get_param("key", required=True), req.get_param("value", required=True))


class File:
    def on_get(self, _: Request, resp: Response) -> None:
        resp.content_type = "application/octet-stream"
        resp.data = sync.file()


class Upload:
    def on_post(self, req: Request, resp: Response) -> None:
        text(resp, rounds.digest(req.bounded_stream.read()))


class Sse:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = "text/event-stream"
        resp.stream = sync.events(
            req.get_param_as_int("n", required=True), req.get_param_as_float("every", required=True)
        )


class Stream:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = "application/octet-stream"
        resp.stream = sync.pieces(
            req.get_param_as_int("n", required=True), req.get_param_as_int("size", required=True)
        )


def text(resp: Response, body: str) -> None:
    resp.content_type = falcon.MEDIA_TEXT
    resp.text = body


def missing(resp: Response) -> dict[str, str]:
    resp.status = falcon.HTTP_NOT_FOUND
    return {"error": "no such item"}


app = falcon.App()
app.resp_options.media_handlers[falcon.MEDIA_JSON] = falcon.media.JSONHandler(
    dumps=partial(serial.dumps, separators=(",", ":"))  # Falcon's own puts blanks between
)
app.add_route("/plaintext", Plaintext())
app.add_route("/json", Json())
app.add_route("/db", Db())
app.add_route("/update", Update())
app.add_route("/external", External())
app.add_route("/sleep", Sleep())
app.add_route("/cpu", Cpu())
app.add_route("/model", Model())
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
