"""The contract on Werkzeug, which Flask is built on: routes only. Knows Werkzeug; what a request does is `work`.

Werkzeug has requests, responses and routing, and neither JSON's answers nor templates: those are `json` and Jinja.
"""

from __future__ import annotations

import json as serial
from typing import Any

from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response
from work import inference, pages, rounds, sync

BYTES = "application/octet-stream"


def plaintext(_: Request) -> Response:
    return Response("Hello, World!")


def json(request: Request) -> Response:
    return compact({"id": int(request.args["id"]), "message": "Hello, World!"})


def db(request: Request) -> Response:
    return compact(sync.row(int(request.args["id"])))


def update(request: Request) -> Response:
    return compact(sync.update(int(request.args["id"]), int(request.args["value"])))


def external(request: Request) -> Response:
    return Response(sync.call(request.args["token"]), mimetype="application/json")


def sleep(request: Request) -> Response:
    sync.sleep(float(request.args["s"]))
    return Response("slept")


def cpu(request: Request) -> Response:
    return Response(str(rounds.turn(int(request.args["n"]), int(request.args["x"]))))


def model(request: Request) -> Response:
    return compact(inference.infer(int(request.args["x"])))


def template(request: Request) -> Response:
    return Response(pages.page(int(request.args["n"]), request.args["token"]), mimetype="text/html")


def queries(request: Request) -> Response:
    return compact(sync.rows(int(request.args["n"])))


def updates(request: Request) -> Response:
    return compact(sync.renew(int(request.args["n"])))


def create(request: Request) -> Response:
    item = request.get_json()
    return compact(sync.create(item["name"], item["price"]), 201)


def read(_: Request, number: int) -> Response:
    return found(sync.read(number))


def change(request: Request, number: int) -> Response:
    item = request.get_json()
    return found(sync.change(number, item["name"], item["price"]))


def remove(_: Request, number: int) -> Response:
    return Response(status=204) if sync.remove(number) else found(None)


def redis(request: Request) -> Response:
    return compact(sync.remember(request.args["key"], request.args["value"]))


def file(_: Request) -> Response:
    return Response(sync.file(), mimetype=BYTES)


def upload(request: Request) -> Response:
    return Response(rounds.digest(request.get_data()))


def sse(request: Request) -> Response:
    events = sync.events(int(request.args["n"]), float(request.args["every"]))
    return Response(events, mimetype="text/event-stream")


def stream(request: Request) -> Response:
    pieces = sync.pieces(int(request.args["n"]), int(request.args["size"]))
    return Response(pieces, mimetype=BYTES)


def compact(value: Any, status: int = 200) -> Response:
    body = serial.dumps(value, separators=(",", ":"))
    return Response(body, status, mimetype="application/json")


def found(item: dict[str, Any] | None) -> Response:
    return compact({"error": "no such item"}, 404) if item is None else compact(item)


URLS = Map(
    [
        Rule("/plaintext", endpoint=plaintext, methods=["GET"]),
        Rule("/json", endpoint=json, methods=["GET"]),
        Rule("/db", endpoint=db, methods=["GET"]),
        Rule("/update", endpoint=update, methods=["POST"]),
        Rule("/external", endpoint=external, methods=["GET"]),
        Rule("/sleep", endpoint=sleep, methods=["GET"]),
        Rule("/cpu", endpoint=cpu, methods=["GET"]),
        Rule("/model", endpoint=model, methods=["GET"]),
        Rule("/template", endpoint=template, methods=["GET"]),
        Rule("/queries", endpoint=queries, methods=["GET"]),
        Rule("/updates", endpoint=updates, methods=["POST"]),
        Rule("/items", endpoint=create, methods=["POST"]),
        Rule("/items/<int:number>", endpoint=read, methods=["GET"]),
        Rule("/items/<int:number>", endpoint=change, methods=["PUT"]),
        Rule("/items/<int:number>", endpoint=remove, methods=["DELETE"]),
        Rule("/redis", endpoint=redis, methods=["GET"]),
        Rule("/file", endpoint=file, methods=["GET"]),
        Rule("/upload", endpoint=upload, methods=["POST"]),
        Rule("/sse", endpoint=sse, methods=["GET"]),
        Rule("/stream", endpoint=stream, methods=["GET"]),
    ]
)


@Request.application
def app(request: Request) -> Response:
    endpoint, given = URLS.bind_to_environ(request.environ).match()
    answer: Response = endpoint(request, **given)
    return answer
