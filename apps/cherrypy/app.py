"""The contract on CherryPy: routes only. Knows CherryPy; what a request does is `work`.

CherryPy is a WSGI application here: neither its engine nor its own server is ever started.
"""

from __future__ import annotations

import json as serial
import logging
from collections.abc import Iterator
from typing import Any

import cherrypy
from work import inference, pages, rounds, sync

EMPTY = {"request.process_request_body": False}  # else a POST without a body, and so without a length, is refused
STREAMED = {"response.stream": True}


def compact(*args: Any, **kwargs: Any) -> bytes:
    """Do what the handler of `json_out` does by default, without the blanks that it puts between."""
    value = cherrypy.serving.request._json_inner_handler(*args, **kwargs)  # noqa: SLF001 - the tool leaves it there
    return serial.dumps(value, separators=(",", ":")).encode()


def unsigned() -> None:
    """Leave `Date` and `Server` to the server: those that add their own regardless would send each twice."""
    for name in ("Date", "Server"):
        cherrypy.response.headers.pop(name, None)


def answer(kind: str, body: Any) -> Any:
    cherrypy.response.headers["Content-Type"] = kind
    return body


def text(body: str) -> bytes:
    return answer("text/plain; charset=utf-8", body.encode())


def missing() -> dict[str, Any]:
    cherrypy.response.status = 404
    return {"error": "no such item"}


@cherrypy.expose
class Items:
    """The route `crud`, dispatched by its methods."""

    @cherrypy.tools.json_in()
    @cherrypy.tools.json_out()
    def POST(self) -> dict[str, Any]:  # noqa: N802 - CherryPy dispatches by this name
        item = cherrypy.request.json
        cherrypy.response.status = 201
        return sync.create(item["name"], item["price"])

    @cherrypy.tools.json_out()
    def GET(self, number: str) -> dict[str, Any]:  # noqa: N802
        return sync.read(int(number)) or missing()

    @cherrypy.tools.json_in()
    @cherrypy.tools.json_out()
    def PUT(self, number: str) -> dict[str, Any]:  # noqa: N802
        item = cherrypy.request.json
        return sync.change(int(number), item["name"], item["price"]) or missing()

    @cherrypy.tools.json_out()
    def DELETE(self, number: str) -> dict[str, Any] | None:  # noqa: N802
        if not sync.remove(int(number)):
            return missing()
        cherrypy.response.status = 204
        return None


class Root:
    @cherrypy.expose
    def plaintext(self) -> bytes:
        return text("Hello, World!")

    @cherrypy.expose
    @cherrypy.tools.json_out()
    def json(self, id: str) -> dict[str, Any]:  # noqa: A002 - CherryPy gives parameters by name
        return {"id": int(id), "message": "Hello, World!"}

    @cherrypy.expose
    @cherrypy.tools.json_out()
    def db(self, id: str) -> dict[str, int]:  # noqa: A002
        return sync.row(int(id))

    @cherrypy.expose
    @cherrypy.config(**EMPTY)
    @cherrypy.tools.allow(methods=["POST"])
    @cherrypy.tools.json_out()
    def update(self, id: str, value: str) -> dict[str, int]:  # noqa: A002
        return sync.update(int(id), int(value))

    @cherrypy.expose
    def external(self, token: str) -> bytes:
        return answer("application/json", sync.call(token))

    @cherrypy.expose
    def sleep(self, s: str) -> bytes:
        sync.sleep(float(s))
        return text("slept")

    @cherrypy.expose
    def cpu(self, n: str, x: str) -> bytes:
        return text(str(rounds.turn(int(n), int(x))))

    @cherrypy.expose
    @cherrypy.tools.json_out()
    def model(self, x: str) -> dict[str, int]:
        return inference.infer(int(x))

    @cherrypy.expose
    def template(self, n: str, token: str) -> bytes:
        return answer("text/html; charset=utf-8", pages.page(int(n), token).encode())

    @cherrypy.expose
    @cherrypy.tools.json_out()
    def queries(self, n: str) -> list[dict[str, int]]:
        return sync.rows(int(n))

    @cherrypy.expose
    @cherrypy.config(**EMPTY)
    @cherrypy.tools.allow(methods=["POST"])
    @cherrypy.tools.json_out()
    def updates(self, n: str) -> list[dict[str, int]]:
        return sync.renew(int(n))

    items = Items()

    @cherrypy.expose
    @cherrypy.tools.json_out()
    def redis(self, key: str, value: str) -> dict[str, str]:
        return sync.remember(key, value)

    @cherrypy.expose
    def file(self) -> bytes:
        return answer("application/octet-stream", sync.file())

    @cherrypy.expose
    @cherrypy.tools.allow(methods=["POST"])
    def upload(self) -> bytes:
        return text(rounds.digest(cherrypy.request.body.read()))

    @cherrypy.expose
    @cherrypy.config(**STREAMED)
    def sse(self, n: str, every: str) -> Iterator[bytes]:
        return answer("text/event-stream", sync.events(int(n), float(every)))

    @cherrypy.expose
    @cherrypy.config(**STREAMED)
    def stream(self, n: str, size: str) -> Iterator[bytes]:
        return answer("application/octet-stream", sync.pieces(int(n), int(size)))


cherrypy.tools.unsigned = cherrypy.Tool("before_finalize", unsigned)
cherrypy.config.update({"environment": "production"})  # no reloader, no traceback to clients, no log on the screen
app = cherrypy.tree.mount(
    Root(),
    "/",
    {
        "/": {
            "tools.json_out.handler": compact,
            "tools.encode.add_charset": False,  # it would write the charset anew, without the blank before it
            "tools.unsigned.on": True,
            "log.wsgi": True,  # an exception is told on the server's stderr
        },
        "/items": {"request.dispatch": cherrypy.dispatch.MethodDispatcher()},
    },
)
app.log.access_log.setLevel(logging.WARNING)  # a server that sets up logging would print every request
