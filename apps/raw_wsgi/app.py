"""The contract without a framework, the floor of WSGI: routes only. What a request does is `work`."""

from __future__ import annotations

import json as serial
from collections.abc import Callable, Iterable
from typing import Any

from work import rounds, sync

Query = dict[str, str]
Answer = tuple[str, bytes]  # content type, body
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


def plaintext(_: Query) -> Answer:
    return TEXT, b"Hello, World!"


def json(query: Query) -> Answer:
    return compact({"id": int(query["id"]), "message": "Hello, World!"})


def db(query: Query) -> Answer:
    return compact(sync.row(int(query["id"])))


def update(query: Query) -> Answer:
    return compact(sync.update(int(query["id"]), int(query["value"])))


def external(query: Query) -> Answer:
    return JSON, sync.call(query["token"])


def sleep(query: Query) -> Answer:
    sync.sleep(float(query["s"]))
    return TEXT, b"slept"


def cpu(query: Query) -> Answer:
    return TEXT, str(rounds.turn(int(query["n"]), int(query["x"]))).encode()


ROUTES: dict[tuple[str, str], Callable[[Query], Answer]] = {
    ("GET", "/plaintext"): plaintext,
    ("GET", "/json"): json,
    ("GET", "/db"): db,
    ("POST", "/update"): update,
    ("GET", "/external"): external,
    ("GET", "/sleep"): sleep,
    ("GET", "/cpu"): cpu,
}


def compact(value: dict[str, Any]) -> Answer:
    return JSON, serial.dumps(value, separators=(",", ":")).encode()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    route = ROUTES.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
    if route is None:
        start_response("404 Not Found", [("Content-Length", "0")])
        return []
    # the contract's values need no unquoting, so the floor pays for none
    query = dict(pair.split("=", 1) for pair in environ["QUERY_STRING"].split("&") if pair)
    kind, body = route(query)
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]
