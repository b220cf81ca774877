"""A small app that keeps apps/CONTRACT.md, for the scenarios' tests, and can be made to break it in a named way.

It is the tests' own, and shares nothing with the apps but the file that they send. Must not import Locust.
"""

import functools
import hashlib
import html
import itertools
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from string import ascii_lowercase
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from loadservers import Pieces, contract_body, in_chunks, reply

FILE = Path(__file__).parent.parent / "apps" / "work" / "file.bin"
PREFIXES = re.compile("^/(admin|legacy|api/v2)(?=/)")


def same(body: bytes) -> bytes:
    return body


class App:
    """Answers as the contract has it; `spoil` is given each body, and what it makes of it is sent."""

    def __init__(self, spoil: Callable[[bytes], bytes] = same) -> None:
        self.asked: list[tuple[str, str]] = []
        self.items: dict[int, dict[str, Any]] = {}
        self.answered_by = {"wsgi": 0, "asgi": 0}
        self._ids = itertools.count(1)
        self._spoil = spoil

    def __call__(self, method: str, path: str, body: bytes) -> bytes | Pieces:
        parts = urlsplit(path)
        self.asked.append((method, parts.path))
        backend = "asgi" if len(self.asked) % 4 == 0 else "wsgi"
        self.answered_by[backend] += 1
        headers = f"X-Backend: {backend}\r\n"
        route, query = PREFIXES.sub("", parts.path), dict(parse_qsl(parts.query))
        if route.startswith("/items"):
            status, said = self._item(method, route, body)
            return reply(self._spoil(said), status=status, headers=headers) if said else no_content(status, headers)
        pieces = PIECES.get(route)
        if pieces is not None:
            return in_chunks([self._spoil(piece) for piece in pieces(query)], headers=headers)
        made = BODIES.get((method, route))
        return reply(
            self._spoil(made(query, body) if made else contract_body(f"{route}?{parts.query}")), headers=headers
        )

    def _item(self, method: str, route: str, body: bytes) -> tuple[int, bytes]:
        if method == "POST":
            assert route == "/items"
            number = next(self._ids)
            self.items[number] = {"id": number, **json.loads(body)}
            return 201, compact(self.items[number])
        number = int(route.removeprefix("/items/"))
        if number not in self.items:
            return 404, b'{"error":"no such item"}'
        if method == "DELETE":
            del self.items[number]
            return 204, b""
        if method == "PUT":
            self.items[number] = {"id": number, **json.loads(body)}
        return 200, compact(self.items[number])


def no_content(status: int, headers: str) -> bytes:
    return b"HTTP/1.1 %d X\r\n%b\r\n" % (status, headers.encode())


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def page(query: dict[str, str], _body: bytes) -> bytes:
    said = (
        f'<script>alert("{query["token"]}")</script> & row %d, it\'s ready' % i for i in range(1, int(query["n"]) + 1)
    )
    rows = (f"<tr><td>{number}</td><td>{html.escape(one)}</td></tr>\n" for number, one in enumerate(said, 1))
    head = "<!doctype html>\n<title>Rows</title><table><tr><th>id</th><th>message</th></tr>"
    return f"{head}{''.join(rows)}</table>".encode()


def rows(query: dict[str, str], _body: bytes) -> bytes:
    ids = sorted(random.sample(range(1, 10_001), int(query["n"])))
    return compact([{"id": one, "value": random.randint(10_000, 99_999)} for one in ids])


def pair(query: dict[str, str], _body: bytes) -> bytes:
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in query.values())
    return compact(query)


def guess(query: dict[str, str], _body: bytes) -> bytes:
    x = int(query["x"])
    label, score = best(x)
    return compact({"label": label, "score": score, "x": x})


@functools.cache
def best(x: int) -> tuple[int, int]:
    places = np.arange(768)
    weights = (places**2 + 3 * places * places[:, None] + 5 * places[:, None] ** 2) % 521 - 260
    scores = weights[:10] @ (weights @ ((x * places**2 + places) % 1009 - 504)).clip(min=0)
    return int(scores.argmax()), int(scores.max())


def events(query: dict[str, str]) -> list[bytes]:
    assert query["every"] == "0.01"
    return [b"data: %d\n\n" % number for number in range(1, int(query["n"]) + 1)]


def letters(query: dict[str, str]) -> list[bytes]:
    return [ascii_lowercase[number % 26].encode() * int(query["size"]) for number in range(int(query["n"]))]


BODIES: dict[tuple[str, str], Callable[[dict[str, str], bytes], bytes]] = {
    ("GET", "/model"): guess,
    ("GET", "/template"): page,
    ("GET", "/queries"): rows,
    ("POST", "/updates"): rows,
    ("GET", "/redis"): pair,
    ("GET", "/file"): lambda _query, _body: FILE.read_bytes(),
    ("POST", "/upload"): lambda _query, body: hashlib.sha256(body).hexdigest().encode(),
}
PIECES = {"/sse": events, "/stream": letters}
