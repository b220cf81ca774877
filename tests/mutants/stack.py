"""A whole stack in this process that keeps the contract: a server of threads over plain sockets, and its app.

Every part that can be done wrongly is a method of its own; a mutant overrides exactly one of them. Knows the contract
as an app does; shares no code with gatebench.contract.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qsl, urlsplit

import psycopg
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.server import ServerProtocol

Query = dict[str, str]
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Response:
    """What a route answers."""

    body: bytes
    kind: str = TEXT


def compact(value: object) -> Response:
    """Answer as JSON."""
    return Response(json.dumps(value, separators=(",", ":")).encode(), JSON)


class Stack:
    """The good stack."""

    keep_alive = True

    def __init__(self, database_url: str = "", upstream_url: str = "") -> None:
        """Know the services; nothing is opened before it is needed."""
        self.database_url, self.upstream_url = database_url, upstream_url

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

    def read(self, number: int) -> int:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            found = connection.execute("select value from world where id = %s", (number,)).fetchone()
        assert found is not None
        return int(found[0])

    def write(self, number: int, value: int) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute("update world set value = %s where id = %s", (value, number))

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
        length = {"Content-Length": str(self.length(response.body))}
        return {"Date": self.date(), "Content-Type": response.kind, **length, **kept}

    def status(self) -> str:
        return "200 OK"

    def written(self, response: Response) -> bytes:
        lines = [f"HTTP/1.1 {self.status()}", *(f"{name}: {value}" for name, value in self.headers(response).items())]
        return "\r\n".join([*lines, "", ""]).encode() + response.body

    def send(self, client: socket.socket, data: bytes) -> None:
        client.sendall(data)

    def stays_open(self) -> bool:
        return self.keep_alive

    def extensions(self) -> str | None:
        return None

    # the server

    def head(self, client: socket.socket) -> bytes:
        """Read one request, which has no body; nothing where the client has left."""
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            if not (more := client.recv(65536)):
                return b""
            data += more
        return data

    def serve(self, client: socket.socket) -> None:
        """Serve one connection to its end."""
        while head := self.head(client):
            if b"upgrade: websocket" in head.lower():
                self.serve_socket(client, head)
                return
            target = urlsplit(head.split()[1].decode())
            route = getattr(self, target.path.removeprefix("/"))
            self.send(client, self.written(route(dict(parse_qsl(target.query)))))
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
            stack.serve(client)

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
