"""The contract without a framework, the floor of WSGI: routes only. What a request does is `work`."""

from __future__ import annotations

import json as serial
from collections.abc import Callable, Iterable
from typing import Any

from work import inference, pages, rounds, sync

Environ = dict[str, Any]
Answer = tuple[str, str, bytes | Iterable[bytes]]  # status, content type, body
OK = "200 OK"
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
BYTES = "application/octet-stream"


def plaintext(_: Environ) -> Answer:
    return OK, TEXT, b"Hello, World!"


def json(environ: Environ) -> Answer:
    return compact({"id": int(query(environ)["id"]), "message": "Hello, World!"})


def db(environ: Environ) -> Answer:
    return compact(sync.row(int(query(environ)["id"])))


def update(environ: Environ) -> Answer:
    asked = query(environ)
    return compact(sync.update(int(asked["id"]), int(asked["value"])))


def external(environ: Environ) -> Answer:
    return OK, JSON, sync.call(query(environ)["token"])


def sleep(environ: Environ) -> Answer:
    sync.sleep(float(query(environ)["s"]))
    return OK, TEXT, b"slept"


def cpu(environ: Environ) -> Answer:
    asked = query(environ)
    return OK, TEXT, str(rounds.turn(int(asked["n"]), int(asked["x"]))).encode()


def model(environ: Environ) -> Answer:
    return compact(inference.infer(int(query(environ)["x"])))


def template(environ: Environ) -> Answer:
    asked = query(environ)
    return OK, "text/html; charset=utf-8", pages.page(int(asked["n"]), asked["token"]).encode()


def queries(environ: Environ) -> Answer:
    return compact(sync.rows(int(query(environ)["n"])))


def updates(environ: Environ) -> Answer:
    return compact(sync.renew(int(query(environ)["n"])))


def create(environ: Environ) -> Answer:
    item = serial.loads(body(environ))
    return compact(sync.create(item["name"], item["price"]), "201 Created")


def read(environ: Environ) -> Answer:
    return found(sync.read(number(environ)))


def change(environ: Environ) -> Answer:
    item = serial.loads(body(environ))
    return found(sync.change(number(environ), item["name"], item["price"]))


def remove(environ: Environ) -> Answer:
    return ("204 No Content", "", b"") if sync.remove(number(environ)) else found(None)


def redis(environ: Environ) -> Answer:
    asked = query(environ)
    return compact(sync.remember(asked["key"], asked["value"]))


def file(_: Environ) -> Answer:
    return OK, BYTES, sync.file()


def upload(environ: Environ) -> Answer:
    return OK, TEXT, rounds.digest(body(environ)).encode()


def sse(environ: Environ) -> Answer:
    asked = query(environ)
    return OK, "text/event-stream", sync.events(int(asked["n"]), float(asked["every"]))


def stream(environ: Environ) -> Answer:
    asked = query(environ)
    return OK, BYTES, sync.pieces(int(asked["n"]), int(asked["size"]))


ROUTES: dict[tuple[str, str], Callable[[Environ], Answer]] = {
    ("GET", "/plaintext"): plaintext,
    ("GET", "/json"): json,
    ("GET", "/db"): db,
    ("POST", "/update"): update,
    ("GET", "/external"): external,
    ("GET", "/sleep"): sleep,
    ("GET", "/cpu"): cpu,
    ("GET", "/model"): model,
    ("GET", "/template"): template,
    ("GET", "/queries"): queries,
    ("POST", "/updates"): updates,
    ("POST", "/items"): create,
    ("GET", "/items/"): read,
    ("PUT", "/items/"): change,
    ("DELETE", "/items/"): remove,
    ("GET", "/redis"): redis,
    ("GET", "/file"): file,
    ("POST", "/upload"): upload,
    ("GET", "/sse"): sse,
    ("GET", "/stream"): stream,
}


def query(environ: Environ) -> dict[str, str]:
    # the contract's values need no unquoting, so the floor pays for none
    return dict(pair.split("=", 1) for pair in environ["QUERY_STRING"].split("&"))


def body(environ: Environ) -> bytes:
    length = environ.get("CONTENT_LENGTH")  # a body in chunks has none: then the server says that it ends the input
    if not length and not environ.get("wsgi.input_terminated"):
        return b""
    return environ["wsgi.input"].read(*([int(length)] if length else []))


def number(environ: Environ) -> int:
    return int(environ["PATH_INFO"].removeprefix("/items/"))


def compact(value: Any, status: str = OK) -> Answer:
    return status, JSON, serial.dumps(value, separators=(",", ":")).encode()


def found(item: dict[str, Any] | None) -> Answer:
    return compact({"error": "no such item"}, "404 Not Found") if item is None else compact(item)


def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    route = ROUTES.get((environ["REQUEST_METHOD"], "/items/" if path.startswith("/items/") else path))
    status, kind, content = route(environ) if route else ("404 Not Found", TEXT, b"")
    headers = [("Content-Type", kind)] if kind else []
    if not isinstance(content, bytes):
        start_response(status, headers)
        return content
    if kind:  # an answer without a body (204) has no length either
        headers.append(("Content-Length", str(len(content))))
    start_response(status, headers)
    return [content]
