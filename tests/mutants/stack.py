"""A whole stack in this process that keeps the contract: a server of threads over plain sockets, and its app.

Every part that can be done wrongly is a method of its own; a mutant overrides exactly one of them. Knows the contract
as an app does; shares no code with gatebench.contract.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import html
import http.client
import json
import operator
import random
import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import psycopg
import pymysql
from redis import Redis
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.server import ServerProtocol

Query = dict[str, str]
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"
BYTES = "application/octet-stream"
EVENTS = "text/event-stream"
FILE = Path(__file__).parents[2] / "apps" / "work" / "file.bin"


@dataclass(frozen=True, slots=True)
class Response:
    """What a route answers."""

    body: bytes
    kind: str | None = TEXT
    status: str | None = None  # where it is not the stack's own
    pieces: Iterable[bytes] | None = None  # of a body without a length


def compact(value: object, status: str | None = None) -> Response:
    """Answer as JSON."""
    return Response(json.dumps(value, separators=(",", ":")).encode(), JSON, status)


@functools.cache
def weights(j: int) -> list[int]:
    """The weights of the route `model` that lead to one place."""
    return [(i * i + 3 * i * j + 5 * j * j) % 521 - 260 for i in range(768)]


class Stack:
    """The good stack."""

    keep_alive = True

    def __init__(self, database_url: str = "", upstream_url: str = "", redis_url: str = "") -> None:
        """Know the services; nothing is opened before it is needed."""
        self.database_url, self.upstream_url, self.redis_url = database_url, upstream_url, redis_url
        self.opened: dict[int, Any] = {}  # by thread, its connection to the database

    # what a request does

    def plaintext(self, _: Query) -> Response:
        return Response(b"Hello, World!")

    def json(self, query: Query) -> Response:
        return compact({"id": int(query["id"]), "message": "Hello, World!"})

    def db(self, query: Query) -> Response:
        return compact({"id": int(query["id"]), "value": self.read(int(query["id"]))})

    def update(self, query: Query) -> Response:
        self.write(int(query["id"]), int(query["value"]))
        return compact({"id": int(query["id"]), "value": int(query["value"])})

    def external(self, query: Query) -> Response:
        return Response(self.call(query["token"]), JSON)

    def sleep(self, query: Query) -> Response:
        time.sleep(float(query["s"]))
        return Response(b"slept")

    def cpu(self, query: Query) -> Response:
        x = int(query["x"])
        for _ in range(int(query["n"])):
            x = (x * 1103515245 + 12345) % 2147483648
        return Response(str(x).encode())

    def model(self, query: Query) -> Response:
        scores = self.scores(int(query["x"]))
        return compact({"label": scores.index(max(scores)), "score": max(scores), "x": int(query["x"])})

    def scores(self, x: int) -> list[int]:
        given = [(x * i * i + i) % 1009 - 504 for i in range(768)]
        hidden = [max(0, self.score(given, place)) for place in range(768)]
        return [self.score(hidden, label) for label in range(10)]

    def score(self, figures: list[int], j: int) -> int:
        return sum(map(operator.mul, figures, weights(j)))

    def queries(self, query: Query) -> Response:
        return compact([{"id": number, "value": self.read(number)} for number in self.draw(int(query["n"]))])

    def updates(self, query: Query) -> Response:
        rows = []
        for number in sorted(self.draw(int(query["n"]))):
            self.read(number)
            rows.append({"id": number, "value": self.value()})
            self.write(number, int(rows[-1]["value"]))
        return compact(rows)

    def redis(self, query: Query) -> Response:
        return compact({"key": query["key"], "value": self.remember(query["key"], query["value"])})

    def template(self, query: Query) -> Response:
        rows = [(str(number), self.message(number, query["token"])) for number in range(1, int(query["n"]) + 1)]
        cells = "".join(f"<tr><td>{number}</td>\n<td>{self.escaped(message)}</td></tr>\n" for number, message in rows)
        head = "<!DOCTYPE html>\n<html><head><title>Rows</title></head><body>"
        table = f"<table>\n<tr><th>id</th><th>message</th></tr>\n{cells}</table>"
        return Response(f"{head}{table}</body></html>".encode(), HTML)

    def file(self, _: Query) -> Response:
        return Response(FILE.read_bytes(), BYTES)

    def upload(self, body: bytes) -> Response:
        return Response(hashlib.sha256(body).hexdigest().encode())

    def sse(self, query: Query) -> Response:
        return Response(b"", EVENTS, pieces=self.events(int(query["n"]), float(query["every"])))

    def stream(self, query: Query) -> Response:
        return Response(b"", BYTES, pieces=self.letters(int(query["n"]), int(query["size"])))

    def items(self, method: str, number: int | None, body: bytes) -> Response:
        if method == "POST":
            return compact(self.create(**json.loads(body)), "201 Created")
        assert number is not None
        if method == "DELETE":
            return Response(b"", None, "204 No Content") if self.remove(number) else self.missing()
        item = self.change(number, **json.loads(body)) if method == "PUT" else self.item(number)
        return self.missing() if item is None else compact(item)

    def missing(self) -> Response:
        return compact({"error": "no such item"}, "404 Not Found")

    def draw(self, count: int) -> list[int]:
        return random.sample(range(1, 10_001), count)

    def value(self) -> int:
        return random.randint(10_000, 99_999)

    def message(self, number: int, token: str) -> str:
        return f'<script>alert("{token}")</script> & row {number}, it\'s ready'

    def escaped(self, message: str) -> str:
        return html.escape(message)

    def events(self, count: int, every_s: float) -> Iterator[bytes]:
        for number in range(1, count + 1):
            if number > 1:
                time.sleep(every_s)
            yield f"data: {number}\n\n".encode()

    def letters(self, count: int, size: int) -> Iterator[bytes]:
        for number in range(count):
            yield bytes([ord("a") + number % 26]) * size

    def run(self, statement: str, *parameters: object) -> list[Any]:
        """Run one statement, in autocommit, over this thread's connection."""
        if (thread := threading.get_ident()) not in self.opened:
            self.opened[thread] = self.connected()
        with self.opened[thread].cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall()) if cursor.description else []

    def leave(self) -> None:
        """Close this thread's connection."""
        if (opened := self.opened.pop(threading.get_ident(), None)) is not None:
            opened.close()

    def connected(self) -> Any:
        where = urlsplit(self.database_url)
        if where.scheme == "mysql":
            address: dict[str, Any] = {"host": where.hostname, "port": where.port, "user": where.username}
            return pymysql.connect(**address, database=where.path[1:], charset="utf8mb4", autocommit=True)
        return psycopg.connect(self.database_url, autocommit=True)

    def read(self, number: int) -> int:
        return int(self.run("select value from world where id = %s", number)[0][0])

    def write(self, number: int, value: int) -> None:
        self.run("update world set value = %s where id = %s", value, number)

    def create(self, name: str, price: int) -> dict[str, Any]:
        number = self.run("insert into item (name, price) values (%s, %s) returning id", name, price)[0][0]
        return {"id": number, "name": name, "price": price}

    def item(self, number: int) -> dict[str, Any] | None:
        found = self.run("select id, name, price from item where id = %s", number)
        return dict(zip(("id", "name", "price"), found[0], strict=True)) if found else None

    def change(self, number: int, name: str, price: int) -> dict[str, Any] | None:
        self.run("update item set name = %s, price = %s where id = %s", name, price, number)
        return Stack.item(self, number)

    def remove(self, number: int) -> bool:
        there = Stack.item(self, number) is not None
        self.run("delete from item where id = %s", number)
        return there

    def remember(self, key: str, value: str) -> str:
        with contextlib.closing(Redis.from_url(self.redis_url)) as redis:
            redis.set(f"gatebench:{key}", value, ex=60)
            found = redis.get(f"gatebench:{key}")
        assert isinstance(found, bytes)
        return found.decode()

    def call(self, token: str) -> bytes:
        with contextlib.closing(http.client.HTTPConnection(urlsplit(self.upstream_url).netloc)) as connection:
            connection.request("GET", f"/call?token={token}")
            return connection.getresponse().read()

    def echo(self, message: Frame) -> Frame | None:
        return message

    def echoed(self, protocol: ServerProtocol, message: Frame) -> None:
        back = self.echo(message)
        if back is not None:
            send = protocol.send_text if back.opcode is Opcode.TEXT else protocol.send_binary
            send(back.data)

    # how it is put on the wire

    def date(self) -> str:
        return format_datetime(datetime.now(UTC), usegmt=True)

    def length(self, body: bytes) -> int:
        return len(body)

    def headers(self, response: Response) -> dict[str, str]:
        kept = {} if self.keep_alive else {"Connection": "close"}
        kind = {"Content-Type": response.kind} if response.kind else {}
        return {"Date": self.date(), **kind, **self.framing(response), **kept}

    def framing(self, response: Response) -> dict[str, str]:
        if response.pieces is not None:
            return {"Transfer-Encoding": "chunked"}
        return {} if response.status == "204 No Content" else {"Content-Length": str(self.length(response.body))}

    def status(self) -> str:
        return "200 OK"

    def written(self, response: Response) -> bytes:
        lines = [
            f"HTTP/1.1 {response.status or self.status()}",
            *(f"{name}: {value}" for name, value in self.headers(response).items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + response.body

    def send(self, client: socket.socket, data: bytes) -> None:
        client.sendall(data)

    def stays_open(self) -> bool:
        return self.keep_alive

    def extensions(self) -> str | None:
        return None

    # the server

    def head(self, client: socket.socket) -> bytes:
        """Read one request's head, and nothing that comes behind it; nothing where the client has left."""
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            if not (more := client.recv(1)):
                return b""
            data += more
        return data

    def body(self, client: socket.socket, head: bytes) -> bytes:
        """Read one request's body."""
        length = re.search(rb"content-length: *([0-9]+)", head, re.IGNORECASE)
        left, data = int(length[1]) if length else 0, bytearray()
        while len(data) < left:
            if not (more := client.recv(left - len(data))):
                raise ConnectionResetError
            data += more
        return bytes(data)

    def answer(self, method: str, target: str, body: bytes) -> Response:
        """Find the route and what it answers."""
        where = urlsplit(target)
        name, _, rest = where.path.removeprefix("/").partition("/")
        if name == "items":
            return self.items(method, int(rest) if rest else None, body)
        if name == "upload":
            return self.upload(body)
        answer: Response = getattr(self, name)(dict(parse_qsl(where.query)))
        return answer

    def send_pieces(self, client: socket.socket, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self.send(client, f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.send(client, b"0\r\n\r\n")

    def serve(self, client: socket.socket) -> None:
        """Serve one connection to its end."""
        while head := self.head(client):
            if b"upgrade: websocket" in head.lower():
                self.serve_socket(client, head)
                return
            method, target = head.decode().split()[:2]
            response = self.answer(method, target, self.body(client, head))
            self.send(client, self.written(response))
            if response.pieces is not None:
                self.send_pieces(client, response.pieces)
            if not self.stays_open():
                return

    def serve_socket(self, client: socket.socket, head: bytes) -> None:
        """Serve one WebSocket to its end."""
        protocol = ServerProtocol(max_size=None)
        data = head
        while data:
            protocol.receive_data(data)
            for event in protocol.events_received():
                if isinstance(event, Handshake):
                    answer = protocol.accept(event)
                    if (extensions := self.extensions()) is not None:
                        answer.headers["Sec-WebSocket-Extensions"] = extensions
                    protocol.send_response(answer)
                elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY):
                    self.echoed(protocol, event)
            for out in protocol.data_to_send():
                client.sendall(out)
            if protocol.close_expected():
                return
            data = client.recv(65536)


@contextlib.contextmanager
def serving(stack: Stack) -> Iterator[int]:
    """Serve a stack on a free port; on leaving, no connection and no thread is left."""
    listener = socket.create_server(("127.0.0.1", 0))
    clients: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def one(client: socket.socket) -> None:
        # A client that leaves early, or the end of the test, is no failure of the server.
        with client, contextlib.suppress(OSError):
            try:
                stack.serve(client)
            finally:
                stack.leave()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                clients.append(client)
                threads.append(threading.Thread(target=one, args=(client,)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        _end(listener)
        accepting.join()
        for client in clients:
            _end(client)
        for thread in threads:
            thread.join()


def _end(opened: socket.socket) -> None:
    """Wake whoever waits for it, and close."""
    with contextlib.suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)
    opened.close()
