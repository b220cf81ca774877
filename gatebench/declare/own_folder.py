"""Somebody's own app, wherever it lies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from gatebench.declare.places import MOST_LETTERS, NONE, lines_of, name_of
from gatebench.errors import UsageError
from gatebench.model import (
    App,
    Visit,
)
from gatebench.toml import (
    Table,
    interface,
    load_toml,
    texts,
)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def own(folder: Path) -> App:
    """Read somebody's own app, wherever it lies: what it is, what it requires, and which of its paths are visited."""
    path = _own_file(folder)
    declared = load_toml(path, folder)
    lines = lines_of(folder / "requirements.txt", folder) if (folder / "requirements.txt").exists() else NONE
    name = declared.take(
        "name",
        f"at most {MOST_LETTERS} of a-z, 0-9, '_' and '-', beginning with a letter or digit",
        name_of,
        default=name_of(folder.resolve().name),
    )
    if name is None:
        raise UsageError(
            f"app.toml: the folder's name '{folder.resolve().name}' cannot be the app's; add a key 'name'."
        )
    app = App(
        name=name,
        interface=declared.take("interface", '"wsgi" or "asgi"', interface),
        target=declared.take("target", 'an import path such as "app:app"', _target),
        folder=folder.resolve(),
        requirements=lines + declared.take("requirements", "a list of requirements", texts, default=NONE),
        visits=tuple(_visits(declared)),
        services=declared.take("services", "a list of services", texts, default=NONE),
    )
    declared.done()
    for line in app.requirements:
        _check_requirement(line, "requirements.txt" if line in lines else "app.toml")
    if not any(visit.method == "GET" and visit.status == 200 for visit in app.visits):
        raise UsageError(
            "app.toml: no path is answered with 200 to a GET; one of them has to tell that the app is up."
        )
    return app


def _own_file(folder: Path) -> Path:
    """Find the app.toml of somebody's own app, in a folder that can be imported from."""
    path = folder / "app.toml"
    try:
        found, is_folder, is_there = path.is_file(), folder.is_dir(), folder.exists()
    except OSError as error:
        raise UsageError(f"The folder {folder} cannot be looked into ({error.strerror}).") from error
    if not is_there:
        raise UsageError(f"There is no folder {folder}; --app takes the one that holds your app.toml.")
    if not is_folder:
        raise UsageError(f"{folder} is no folder; --app takes the one that holds your app.toml.")
    if not found:
        raise UsageError(f"There is no app.toml in {folder}; docs/own-app.md shows what stands in one.")
    if os.pathsep in str(folder.resolve()):
        raise UsageError(
            f"Python cannot import from {folder.resolve()}: there is a '{os.pathsep}' in it; move the app elsewhere."
        )
    return path


def _check_requirement(line: str, place: str) -> None:
    """Refuse what cannot be locked, before anything is built."""
    try:
        wanted = Requirement(line)
    except InvalidRequirement:
        wanted = None
    if wanted is None or wanted.url:
        raise UsageError(
            f"{place}: '{line}' cannot be locked; expected a package's name with or without versions, such as "
            '"flask>=3": no option, no file, no address.'
        )


def _target(value: Any) -> str | None:
    """Take module:callable, each of names with dots between them."""
    module, colon, attribute = value.partition(":") if isinstance(value, str) else ("", "", "")
    names = (*module.split("."), *attribute.split("."))
    return value if colon and all(map(str.isidentifier, names)) and not module.endswith(".py") else None


def _content_type(value: Any) -> str | None:
    sound = isinstance(value, str) and value.strip() and value.isascii() and value.isprintable()
    return value if sound else None


def _visits(declared: Table) -> Iterator[Visit]:
    for number, given in enumerate(
        declared.take("paths", "a list of tables [[paths]], each with a path", _tables), 1
    ):
        one = Table(f"app.toml [[paths]] {number}", given)
        yield Visit(
            path=one.take("path", 'a path such as "/items?page=1"', _path),
            method=one.take("method", f"one of {', '.join(METHODS)}", _method, default="GET"),
            status=one.take("status", "a status from 200 to 599", _status, default=200),
            body=one.take("body", "the request's body, a text", _any_text, default=None),
            content_type=one.take("content_type", "the body's kind, in ASCII", _content_type, default=None),
            weight=one.take("weight", "a number above 0: how often, beside the others", _weight, default=1.0),
        )
        one.done()


def _tables(value: Any) -> list[dict[str, Any]] | None:
    sound = isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
    return value if sound else None


def _path(value: Any) -> str | None:
    sound = (
        isinstance(value, str)
        and value.startswith("/")
        and value.isascii()
        and value.isprintable()
        and not set(value) & set(" #")
    )
    return value if sound else None


def _method(value: Any) -> str | None:
    return value if value in METHODS else None


def _status(value: Any) -> int | None:
    return value if type(value) is int and 200 <= value <= 599 else None


def _any_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _weight(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and 0 < value <= 1_000_000 else None
