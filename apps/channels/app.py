"""The contract on Channels: routes only. Knows Channels and Django; what a request does is `work`.

HTTP is Django's, with async views and the middleware of `django-admin startproject`; the WebSocket is a consumer.
"""

from __future__ import annotations

import json as serial
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST
from work import aio, inference, pages, rounds

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1", "localhost", "[::1]"],
    SECRET_KEY=secrets.token_hex(),  # nothing is signed that outlives the process
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    INSTALLED_APPS=[  # what that middleware imports from
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [Path(__file__).parent / "templates"],
        }
    ],
    LOGGING={  # an exception is told on stderr, and not mailed to nobody
        "version": 1,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "loggers": {"django": {"handlers": ["console"], "level": "ERROR"}},
    },
)

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@require_GET
async def plaintext(_: HttpRequest) -> HttpResponse:
    return answer("Hello, World!")


@require_GET
async def json(request: HttpRequest) -> HttpResponse:
    return compact({"id": int(request.GET["id"]), "message": "Hello, World!"})


@require_GET
async def db(request: HttpRequest) -> HttpResponse:
    return compact(await aio.row(int(request.GET["id"])))


@csrf_exempt
@require_POST
async def update(request: HttpRequest) -> HttpResponse:
    return compact(await aio.update(int(request.GET["id"]), int(request.GET["value"])))


@require_GET
async def external(request: HttpRequest) -> HttpResponse:
    return answer(await aio.call(request.GET["token"]), "application/json")


@require_GET
async def sleep(request: HttpRequest) -> HttpResponse:
    await aio.sleep(float(request.GET["s"]))
    return answer("slept")


@require_GET
async def cpu(request: HttpRequest) -> HttpResponse:
    return answer(str(rounds.turn(int(request.GET["n"]), int(request.GET["x"]))))


@require_GET
async def model(request: HttpRequest) -> HttpResponse:
    return compact(inference.infer(int(request.GET["x"])))


class Ws(AsyncWebsocketConsumer):
    """Each message comes back as it was."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data, bytes_data=bytes_data)


@require_GET
async def template(request: HttpRequest) -> HttpResponse:
    rows = pages.rows(int(request.GET["n"]), request.GET["token"])
    return render(request, "rows.html", {"rows": rows})


@require_GET
async def queries(request: HttpRequest) -> HttpResponse:
    return compact(await aio.rows(int(request.GET["n"])))


@csrf_exempt
@require_POST
async def updates(request: HttpRequest) -> HttpResponse:
    return compact(await aio.renew(int(request.GET["n"])))


@csrf_exempt
@require_POST
async def create(request: HttpRequest) -> HttpResponse:
    item = serial.loads(request.body)
    return compact(await aio.create(item["name"], item["price"]), status=201)


@method_decorator(csrf_exempt, name="dispatch")
class Item(View):
    """One item, by its number."""

    async def get(self, _: HttpRequest, number: int) -> HttpResponse:
        return found(await aio.read(number))

    async def put(self, request: HttpRequest, number: int) -> HttpResponse:
        item = serial.loads(request.body)
        return found(await aio.change(number, item["name"], item["price"]))

    async def delete(self, _: HttpRequest, number: int) -> HttpResponse:
        return HttpResponse(status=204) if await aio.remove(number) else found(None)


@require_GET
async def redis(request: HttpRequest) -> HttpResponse:
    return compact(await aio.remember(request.GET["key"], request.GET["value"]))


@require_GET
async def file(_: HttpRequest) -> HttpResponse:
    return answer(await aio.file(), BYTES)


@csrf_exempt
@require_POST
async def upload(request: HttpRequest) -> HttpResponse:
    return answer(rounds.digest(request.body))


@require_GET
async def sse(request: HttpRequest) -> HttpResponseBase:
    events = aio.events(int(request.GET["n"]), float(request.GET["every"]))
    return StreamingHttpResponse(events, content_type="text/event-stream")


@require_GET
async def stream(request: HttpRequest) -> HttpResponseBase:
    pieces = aio.pieces(int(request.GET["n"]), int(request.GET["size"]))
    return StreamingHttpResponse(pieces, content_type=BYTES)


urlpatterns = [
    path("plaintext", plaintext),
    path("json", json),
    path("db", db),
    path("update", update),
    path("external", external),
    path("sleep", sleep),
    path("cpu", cpu),
    path("model", model),
    path("template", template),
    path("queries", queries),
    path("updates", updates),
    path("items", create),
    path("items/<int:number>", Item.as_view()),
    path("redis", redis),
    path("file", file),
    path("upload", upload),
    path("sse", sse),
    path("stream", stream),
]


def answer(body: str | bytes, kind: str = TEXT) -> HttpResponse:
    return HttpResponse(body, content_type=kind)


def compact(value: Any, status: int = 200) -> HttpResponse:
    return JsonResponse(value, status=status, safe=False, json_dumps_params={"separators": (",", ":")})


def found(item: dict[str, Any] | None) -> HttpResponse:
    return compact(item) if item else compact({"error": "no such item"}, status=404)


async def lifespan(_: Message, receive: Receive, send: Send) -> None:
    """Close what is open when the server stops; neither Channels nor Django has a hook for it."""
    await receive()  # lifespan.startup
    await send({"type": "lifespan.startup.complete"})
    await receive()  # lifespan.shutdown
    await aio.close()
    await send({"type": "lifespan.shutdown.complete"})


app = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("ws", Ws.as_asgi())]),
        "lifespan": lifespan,
    }
)
