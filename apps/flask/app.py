"""The contract on Flask: routes only. Knows Flask; what a request does is `work`."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, request
from flask.json.provider import DefaultJSONProvider
from flask_sock import Sock
from work import rounds, sync


class Compact(DefaultJSONProvider):
    """Flask's own JSON without the line feed that it adds at the end."""

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Serialise as compactly as Flask does."""
        body = self.dumps(self._prepare_response_obj(args, kwargs), separators=(",", ":"))
        return Response(body, mimetype=self.mimetype)


app = Flask(__name__)
app.json = Compact(app)
sock = Sock(app)


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


@sock.route("/ws")
def ws(socket: Any) -> None:
    while True:
        socket.send(socket.receive())
