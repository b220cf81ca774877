"""The contract on Django: routes only. Knows Django; what a request does is `work`.

The axis `middleware` chooses between what `django-admin startproject` puts in and none at all.
"""

from __future__ import annotations

import json as serial
import os
import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST
from work import inference, pages, rounds, sync

MIDDLEWARE = {
    "default": [
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    "none": [],
}

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1", "localhost", "[::1]"],
    SECRET_KEY=secrets.token_hex(),  # nothing is signed that outlives the process
    MIDDLEWARE=MIDDLEWARE[os.environ.get("GATEBENCH_MIDDLEWARE") or "default"],
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


def sized(response: HttpResponse) -> HttpResponse:
    """Tell the length, as CommonMiddleware does where it is there."""
    response.headers["Content-Length"] = str(len(response.content))
    return response


def text(body: str) -> HttpResponse:
    return sized(HttpResponse(body, content_type="text/plain; charset=utf-8"))


def compact(value: Any, status: int = 200) -> HttpResponse:
    return sized(JsonResponse(value, status=status, safe=False, json_dumps_params={"separators": (",", ":")}))


@require_GET
def plaintext(_: HttpRequest) -> HttpResponse:
    return text("Hello, World!")


@require_GET
def json(request: HttpRequest) -> HttpResponse:
    return compact({"id": int(request.GET["id"]), "message": "Hello, World!"})


@require_GET
def db(request: HttpRequest) -> HttpResponse:
    return compact(sync.row(int(request.GET["id"])))


@csrf_exempt
@require_POST
def update(request: HttpRequest) -> HttpResponse:
    return compact(sync.update(int(request.GET["id"]), int(request.GET["value"])))


@require_GET
def external(request: HttpRequest) -> HttpResponse:
    return sized(HttpResponse(sync.call(request.GET["token"]), content_type="application/json"))


@require_GET
def sleep(request: HttpRequest) -> HttpResponse:
    sync.sleep(float(request.GET["s"]))
    return text("slept")


@require_GET
def cpu(request: HttpRequest) -> HttpResponse:
    return text(str(rounds.turn(int(request.GET["n"]), int(request.GET["x"]))))


@require_GET
def model(request: HttpRequest) -> HttpResponse:
    return compact(inference.infer(int(request.GET["x"])))


@require_GET
def template(request: HttpRequest) -> HttpResponse:
    rows = pages.rows(int(request.GET["n"]), request.GET["token"])
    return sized(render(request, "rows.html", {"rows": rows}))


@require_GET
def queries(request: HttpRequest) -> HttpResponse:
    return compact(sync.rows(int(request.GET["n"])))


@csrf_exempt
@require_POST
def updates(request: HttpRequest) -> HttpResponse:
    return compact(sync.renew(int(request.GET["n"])))


@csrf_exempt
@require_POST
def items(request: HttpRequest) -> HttpResponse:
    item = serial.loads(request.body)
    return compact(sync.create(item["name"], item["price"]), status=201)


@method_decorator(csrf_exempt, name="dispatch")
class Item(View):
    def get(self, _: HttpRequest, number: int) -> HttpResponse:
        item = sync.read(number)
        return compact(item) if item else missing()

    def put(self, request: HttpRequest, number: int) -> HttpResponse:
        sent = serial.loads(request.body)
        item = sync.change(number, sent["name"], sent["price"])
        return compact(item) if item else missing()

    def delete(self, _: HttpRequest, number: int) -> HttpResponse:
        return HttpResponse(status=204) if sync.remove(number) else missing()


def missing() -> HttpResponse:
    return compact({"error": "no such item"}, status=404)


@require_GET
def redis(request: HttpRequest) -> HttpResponse:
    return compact(sync.remember(request.GET["key"], request.GET["value"]))


@require_GET
def file(_: HttpRequest) -> HttpResponse:
    return sized(HttpResponse(sync.file(), content_type="application/octet-stream"))


@csrf_exempt
@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    return text(rounds.digest(request.body))


@require_GET
def sse(request: HttpRequest) -> StreamingHttpResponse:
    events = sync.events(int(request.GET["n"]), float(request.GET["every"]))
    return StreamingHttpResponse(events, content_type="text/event-stream")


@require_GET
def stream(request: HttpRequest) -> StreamingHttpResponse:
    pieces = sync.pieces(int(request.GET["n"]), int(request.GET["size"]))
    return StreamingHttpResponse(pieces, content_type="application/octet-stream")


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
    path("items", items),
    path("items/<int:number>", Item.as_view()),
    path("redis", redis),
    path("file", file),
    path("upload", upload),
    path("sse", sse),
    path("stream", stream),
]

app = get_wsgi_application()
