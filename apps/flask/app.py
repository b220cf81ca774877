"""The contract on Flask: routes only. Knows Flask; what a request does is `work`."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, render_template, request
from flask.json.provider import DefaultJSONProvider
from flask_sock import Sock
from work import inference, pages, rounds, sync


class Compact(DefaultJSONProvider):
    """Flask's own JSON without the line feed that it adds at the end."""

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Serialise as compactly as Flask does."""
        body = self.dumps(self._prepare_response_obj(args, kwargs), separators=(",", ":"))
        return Response(body, mimetype=self.mimetype)


app = Flask(__name__, template_folder=pages.TEMPLATES)
app.json = Compact(app)
sock = Sock(app)
MISSING = {"error": "no such item"}, 404


def text(body: str) -> Response:
    return Response(body, mimetype="text/plain")


@app.get("/plaintext")
def plaintext() -> Response:
    return text("Hello, World!")


@app.get("/json")
def json() -> dict[str, Any]:
    return {"id": int(request.args["id"]), "message": "Hello, World!"}


@app.get("/db")
def db() -> dict[str, int]:
    return sync.row(int(request.args["id"]))


@app.post("/update")
def update() -> dict[str, int]:
    return sync.update(int(request.args["id"]), int(request.args["value"]))


@app.get("/external")
def external() -> Response:
    return Response(sync.call(request.args["token"]), mimetype="application/json")


@app.get("/sleep")
def sleep() -> Response:
    sync.sleep(float(request.args["s"]))
    return text("slept")


@app.get("/cpu")
def cpu() -> Response:
    return text(str(rounds.turn(int(request.args["n"]), int(request.args["x"]))))


@app.get("/model")
def model() -> dict[str, int]:
    return inference.infer(int(request.args["x"]))


@sock.route("/ws")
def ws(socket: Any) -> None:
    while True:
        socket.send(socket.receive())


@app.get("/template")
def template() -> str:
    return render_template("rows.html", rows=pages.rows(int(request.args["n"]), request.args["token"]))


@app.get("/queries")
def queries() -> list[dict[str, int]]:
    return sync.rows(int(request.args["n"]))


@app.post("/updates")
def updates() -> list[dict[str, int]]:
    return sync.renew(int(request.args["n"]))


@app.post("/items")
def create() -> tuple[dict[str, Any], int]:
    item = request.get_json()
    return sync.create(item["name"], item["price"]), 201


@app.get("/items/<int:number>")
def read(number: int) -> Any:
    return sync.read(number) or MISSING


@app.put("/items/<int:number>")
def change(number: int) -> Any:
    item = request.get_json()
    return sync.change(number, item["name"], item["price"]) or MISSING


@app.delete("/items/<int:number>")
def remove(number: int) -> Any:
    return ("", 204) if sync.remove(number) else MISSING


@app.get("/redis")
def redis() -> dict[str, str]:
    return sync.remember(request.args["key"], request.args["value"])


@app.get("/file")
def file() -> Response:
    return Response(sync.file(), mimetype="application/octet-stream")


@app.post("/upload")
def upload() -> Response:
    return text(rounds.digest(request.get_data()))


@app.get("/sse")
def sse() -> Response:
    events = sync.events(int(request.args["n"]), float(request.args["every"]))
    return Response(events, mimetype="text/event-stream")


@app.get("/stream")
def stream() -> Response:
    pieces = sync.pieces(int(request.args["n"]), int(request.args["size"]))
    return Response(pieces, mimetype="application/octet-stream")
