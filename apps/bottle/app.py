"""The contract on Bottle: routes only. Knows Bottle; what a request does is `work`."""

from __future__ import annotations

import json as serial
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import bottle
from bottle import request, response
from work import inference, pages, rounds, sync

TEMPLATES = str(Path(__file__).parent / "templates")
compact = partial(serial.dumps, separators=(",", ":"))
app = bottle.Bottle(autojson=False)
app.install(bottle.JSONPlugin(json_dumps=compact))  # Bottle's own puts blanks between


def text(body: str) -> str:
    response.content_type = "text/plain; charset=utf-8"
    return body


@app.get("/plaintext")
def plaintext() -> str:
    return text("Hello, World!")


@app.get("/json")
def json() -> dict[str, Any]:
    return {"id": int(request.query["id"]), "message": "Hello, World!"}


@app.get("/db")
def db() -> dict[str, int]:
    return sync.row(int(request.query["id"]))


@app.post("/update")
def update() -> dict[str, int]:
    return sync.update(int(request.query["id"]), int(request.query["value"]))


@app.get("/external")
def external() -> bytes:
    response.content_type = "application/json"
    return sync.call(request.query["token"])


@app.get("/sleep")
def sleep() -> str:
    sync.sleep(float(request.query["s"]))
    return text("slept")


@app.get("/cpu")
def cpu() -> str:
    return text(str(rounds.turn(int(request.query["n"]), int(request.query["x"]))))


@app.get("/model")
def model() -> dict[str, int]:
    return inference.infer(int(request.query["x"]))


@app.get("/template")
def template() -> str:
    response.content_type = "text/html; charset=utf-8"
    rows = pages.rows(int(request.query["n"]), request.query["token"])
    return bottle.template("rows.html", rows=rows, template_lookup=[TEMPLATES])


@app.get("/queries")
def queries() -> str:
    return listed(sync.rows(int(request.query["n"])))


@app.post("/updates")
def updates() -> str:
    return listed(sync.renew(int(request.query["n"])))


def listed(rows: list[dict[str, int]]) -> str:
    response.content_type = "application/json"  # Bottle makes JSON of a dict by itself, and of nothing else
    return compact(rows)


@app.post("/items")
def create() -> dict[str, Any]:
    item = request.json
    response.status = 201
    return sync.create(item["name"], item["price"])


@app.get("/items/<number:int>")
def read(number: int) -> dict[str, Any]:
    return sync.read(number) or missing()


@app.put("/items/<number:int>")
def change(number: int) -> dict[str, Any]:
    item = request.json
    return sync.change(number, item["name"], item["price"]) or missing()


@app.delete("/items/<number:int>")
def remove(number: int) -> dict[str, Any] | None:
    if not sync.remove(number):
        return missing()
    response.status = 204
    return None


def missing() -> dict[str, Any]:
    response.status = 404
    return {"error": "no such item"}


@app.get("/redis")
def redis() -> dict[str, str]:
    return sync.remember(request.query["key"], request.query["value"])


@app.get("/file")
def file() -> bytes:
    response.content_type = "application/octet-stream"
    return sync.file()


@app.post("/upload")
def upload() -> str:
    return text(rounds.digest(request.body.read()))


@app.get("/sse")
def sse() -> Iterator[bytes]:
    response.content_type = "text/event-stream"
    return sync.events(int(request.query["n"]), float(request.query["every"]))


@app.get("/stream")
def stream() -> Iterator[bytes]:
    response.content_type = "application/octet-stream"
    return sync.pieces(int(request.query["n"]), int(request.query["size"]))
