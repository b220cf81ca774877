"""The contract on Pyramid: routes only. Knows Pyramid; what a request does is `work`."""

from __future__ import annotations

from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPNoContent
from pyramid.renderers import JSON
from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import view_config
from work import inference, pages, rounds, sync


class Answer(Response):
    """Pyramid's own response, with the charset written as the contract has it."""

    default_charset = "utf-8"


@view_config(route_name="plaintext", request_method="GET", renderer="string")
def plaintext(_: Request) -> str:
    return "Hello, World!"


@view_config(route_name="json", request_method="GET", renderer="json")
def json(request: Request) -> dict[str, Any]:
    return {"id": int(request.GET["id"]), "message": "Hello, World!"}


@view_config(route_name="db", request_method="GET", renderer="json")
def db(request: Request) -> dict[str, int]:
    return sync.row(int(request.GET["id"]))


@view_config(route_name="update", request_method="POST", renderer="json")
def update(request: Request) -> dict[str, int]:
    return sync.update(int(request.GET["id"]), int(request.GET["value"]))


@view_config(route_name="external", request_method="GET")
def external(request: Request) -> Response:
    return Response(sync.call(request.GET["token"]), content_type="application/json")


@view_config(route_name="sleep", request_method="GET", renderer="string")
def sleep(request: Request) -> str:
    sync.sleep(float(request.GET["s"]))
    return "slept"


@view_config(route_name="cpu", request_method="GET", renderer="string")
def cpu(request: Request) -> str:
    return str(rounds.turn(int(request.GET["n"]), int(request.GET["x"])))


@view_config(route_name="model", request_method="GET", renderer="json")
def model(request: Request) -> dict[str, int]:
    return inference.infer(int(request.GET["x"]))


@view_config(route_name="template", request_method="GET", renderer="rows.html")
def template(request: Request) -> dict[str, Any]:
    return {"rows": pages.rows(int(request.GET["n"]), request.GET["token"])}


@view_config(route_name="queries", request_method="GET", renderer="json")
def queries(request: Request) -> list[dict[str, int]]:
    return sync.rows(int(request.GET["n"]))


@view_config(route_name="updates", request_method="POST", renderer="json")
def updates(request: Request) -> list[dict[str, int]]:
    return sync.renew(int(request.GET["n"]))


@view_config(route_name="items", request_method="POST", renderer="json")
def create(request: Request) -> dict[str, Any]:
    item = request.json_body
    request.response.status_int = 201
    return sync.create(item["name"], item["price"])


@view_config(route_name="item", request_method="GET", renderer="json")
def read(request: Request) -> dict[str, Any]:
    return sync.read(int(request.matchdict["number"])) or missing(request)


@view_config(route_name="item", request_method="PUT", renderer="json")
def change(request: Request) -> dict[str, Any]:
    item = request.json_body
    return sync.change(int(request.matchdict["number"]), item["name"], item["price"]) or missing(request)


@view_config(route_name="item", request_method="DELETE", renderer="json")
def remove(request: Request) -> Response | dict[str, Any]:
    return HTTPNoContent() if sync.remove(int(request.matchdict["number"])) else missing(request)


def missing(request: Request) -> dict[str, Any]:
    request.response.status_int = 404
    return {"error": "no such item"}


@view_config(route_name="redis", request_method="GET", renderer="json")
def redis(request: Request) -> dict[str, str]:
    return sync.remember(request.GET["key"], request.GET["value"])


@view_config(route_name="file", request_method="GET")
def file(_: Request) -> Response:
    return Response(sync.file(), content_type="application/octet-stream")


@view_config(route_name="upload", request_method="POST", renderer="string")
def upload(request: Request) -> str:
    return rounds.digest(request.body)


@view_config(route_name="sse", request_method="GET")
def sse(request: Request) -> Response:
    events = sync.events(int(request.GET["n"]), float(request.GET["every"]))
    return Answer(app_iter=events, content_type="text/event-stream")


@view_config(route_name="stream", request_method="GET")
def stream(request: Request) -> Response:
    pieces = sync.pieces(int(request.GET["n"]), int(request.GET["size"]))
    return Response(app_iter=pieces, content_type="application/octet-stream")


def main() -> Any:
    with Configurator() as config:
        config.include("pyramid_jinja2")
        config.add_jinja2_renderer(".html")
        config.add_jinja2_search_path(str(pages.TEMPLATES), name=".html")
        config.add_renderer("json", JSON(separators=(",", ":")))
        config.set_response_factory(lambda _: Answer())
        config.add_route("plaintext", "/plaintext")
        config.add_route("json", "/json")
        config.add_route("db", "/db")
        config.add_route("update", "/update")
        config.add_route("external", "/external")
        config.add_route("sleep", "/sleep")
        config.add_route("cpu", "/cpu")
        config.add_route("model", "/model")
        config.add_route("template", "/template")
        config.add_route("queries", "/queries")
        config.add_route("updates", "/updates")
        config.add_route("items", "/items")
        config.add_route("item", r"/items/{number:\d+}")
        config.add_route("redis", "/redis")
        config.add_route("file", "/file")
        config.add_route("upload", "/upload")
        config.add_route("sse", "/sse")
        config.add_route("stream", "/stream")
        config.scan(__name__)
        return config.make_wsgi_app()


app = main()
