"""The mutants: each is the good stack with one fault."""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import json
import socket
import threading

import psycopg
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from mutants.stack import JSON, Query, Response, Stack, compact

# answers


class CannedAnswer(Stack):
    def json(self, query: Query) -> Response:
        return super().json({"id": "1"})


class SpacedJson(Stack):
    def json(self, query: Query) -> Response:
        return Response(json.dumps({"id": int(query["id"]), "message": "Hello, World!"}).encode(), JSON)


class LineFeed(Stack):
    def json(self, query: Query) -> Response:
        return Response(super().json(query).body + b"\n", JSON)


class WrongType(Stack):
    def plaintext(self, query: Query) -> Response:
        return Response(super().plaintext(query).body, "text/html")


class WrongSum(Stack):
    def cpu(self, query: Query) -> Response:
        return super().cpu({**query, "n": str(int(query["n"]) - 1)})


class SameGuess(Stack):
    def scores(self, x: int) -> list[int]:
        return super().scores(7)


class NextLabel(Stack):
    def model(self, query: Query) -> Response:
        said = json.loads(super().model(query).body)
        return compact({**said, "label": (said["label"] + 1) % 10})


class Linear(Stack):
    """Leaves out that hidden places are never below 0."""

    def scores(self, x: int) -> list[int]:
        given = [(x * i * i + i) % 1009 - 504 for i in range(768)]
        return [self.score([self.score(given, place) for place in range(768)], label) for label in range(10)]


class NoSleep(Stack):
    def sleep(self, query: Query) -> Response:
        return Response(b"slept")


class WrongStatus(Stack):
    def status(self) -> str:
        return "500 Oh no"


class Compressed(Stack):
    def plaintext(self, query: Query) -> Response:
        return Response(gzip.compress(super().plaintext(query).body))

    def headers(self, response: Response) -> dict[str, str]:
        return {**super().headers(response), "Content-Encoding": "gzip"}


class Cookie(Stack):
    def headers(self, response: Response) -> dict[str, str]:
        return {**super().headers(response), "Set-Cookie": "visit=1"}


# services


class CachedRow(Stack):
    @functools.cache  # noqa: B019 - the fault in question
    def read(self, number: int) -> int:
        return super().read(number)


class InventedRow(Stack):
    def read(self, number: int) -> int:
        return 10_000 + number


class LostUpdate(Stack):
    def write(self, number: int, value: int) -> None:
        pass


class NeighbourUpdate(Stack):
    def write(self, number: int, value: int) -> None:
        super().write(number % 10_000 + 1, value)


class UncommittedUpdate(Stack):
    """Answers while its transaction is open; it is rolled back by the next one, or when the connection goes."""

    open: psycopg.Connection | None = None

    def write(self, number: int, value: int) -> None:
        self.roll_back()
        self.open = psycopg.connect(self.database_url)
        self.open.execute("update world set value = %s where id = %s", (value, number))

    def serve(self, client: socket.socket) -> None:
        try:
            super().serve(client)
        finally:
            self.roll_back()

    def roll_back(self) -> None:
        if self.open is not None:
            self.open.close()
            self.open = None


class LockedTable(UncommittedUpdate):
    """Leaves a lock behind that not even a reader passes."""

    def write(self, number: int, value: int) -> None:
        super().write(number, value)
        assert self.open is not None
        self.open.execute("lock table world in access exclusive mode")


class FabricatedDigest(Stack):
    def call(self, token: str) -> bytes:
        threading.Event().wait(0.06)
        digest = hashlib.sha256(token.encode()).hexdigest()
        return json.dumps({"token": token, "digest": digest}, separators=(",", ":")).encode()


class CachedDigest(Stack):
    @functools.cached_property
    def first(self) -> str:
        return str(json.loads(super().call("0" * 16))["digest"])

    def call(self, token: str) -> bytes:
        threading.Event().wait(0.06)
        return json.dumps({"token": token, "digest": self.first}, separators=(",", ":")).encode()


class ForgedDigest(Stack):
    def call(self, token: str) -> bytes:
        digest = str(json.loads(super().call(token))["digest"])
        return json.dumps({"token": token, "digest": digest[::-1]}, separators=(",", ":")).encode()


class DoubleCall(Stack):
    def call(self, token: str) -> bytes:
        super().call(token)
        return super().call(token)


# the wire


class LongLength(Stack):
    def length(self, body: bytes) -> int:
        return len(body) + 1


class ShortLength(Stack):
    def length(self, body: bytes) -> int:
        return len(body) - 1


class NoLength(Stack):
    keep_alive = False

    def headers(self, response: Response) -> dict[str, str]:
        return {name: value for name, value in super().headers(response).items() if name != "Content-Length"}


class StaleDate(Stack):
    def date(self) -> str:
        return "Sun, 06 Nov 1994 08:49:37 GMT"


class NoDate(Stack):
    def headers(self, response: Response) -> dict[str, str]:
        return {name: value for name, value in super().headers(response).items() if name != "Date"}


class StrangeDate(Stack):
    def date(self) -> str:
        return "yesterday"


class OnePacket(Stack):
    """Takes what comes with the first packet for the whole request."""

    def head(self, client: socket.socket) -> bytes:
        head = client.recv(65536)
        return head if head.endswith(b"\r\n\r\n") else b""


class Closing(Stack):
    """Closes each connection, and says so."""

    keep_alive = False


class ClosingSilently(Stack):
    def stays_open(self) -> bool:
        return False


class SaysCloseAndStays(Stack):
    keep_alive = False

    def stays_open(self) -> bool:
        return True


class Garbage(Stack):
    def written(self, response: Response) -> bytes:
        return b"\x00\x01 this is no HTTP \xff\xfe\r\n\r\n" * 9


class Hanging(Stack):
    def serve(self, client: socket.socket) -> None:
        while client.recv(65536):
            pass


class Trickling(Stack):
    """Sends a head that never ends, byte by byte: something always comes, and never an answer."""

    def send(self, client: socket.socket, data: bytes) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        tick = threading.Event()
        while not tick.wait(0.02):
            client.sendall(b"x")


class EarlyClose(Stack):
    def serve(self, client: socket.socket) -> None:
        self.head(client)


class HalfAnswer(Stack):
    def written(self, response: Response) -> bytes:
        return super().written(response)[:-5]

    def stays_open(self) -> bool:
        return False


class Flooding(Stack):
    """Sends a body without an end."""

    def send(self, client: socket.socket, data: bytes) -> None:
        client.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        while True:
            client.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")


# WebSocket


class DroppedFrame(Stack):
    def echo(self, message: Frame) -> Frame | None:
        return None if len(message.data) == 126 else message


class DroppedEmptyFrame(Stack):
    def echo(self, message: Frame) -> Frame | None:
        return message if message.data else None


class CutFrame(Stack):
    def echo(self, message: Frame) -> Frame | None:
        return Frame(message.opcode, bytes(message.data[:65_535]))


class ChangedFrame(Stack):
    def echo(self, message: Frame) -> Frame | None:
        return Frame(message.opcode, bytes(message.data).replace(b"a", b"b"))


class OtherKind(Stack):
    def echo(self, message: Frame) -> Frame | None:
        return Frame(Opcode.TEXT, b"x") if message.opcode is Opcode.BINARY else message


class ForgetsBurst(Stack):
    """Loses a message that comes close behind another."""

    count = 0

    def echo(self, message: Frame) -> Frame | None:
        self.count += 1
        return None if self.count == 10 else message


class HangingUp(Stack):
    """Says goodbye in the packet of its first answer."""

    def echoed(self, protocol: ServerProtocol, message: Frame) -> None:
        super().echoed(protocol, message)
        protocol.send_close(1000)


class UnaskedDeflate(Stack):
    def extensions(self) -> str | None:
        return "permessage-deflate"


class NoSocket(Stack):
    def serve_socket(self, client: socket.socket, head: bytes) -> None:
        client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


class SocketGarbage(Stack):
    def serve_socket(self, client: socket.socket, head: bytes) -> None:
        client.sendall(b"\x00\xff" * 400)


class PingingForEver(Stack):
    """Never echoes, but never lets the line fall silent either."""

    def echo(self, message: Frame) -> Frame | None:
        return None

    def serve_socket(self, client: socket.socket, head: bytes) -> None:
        self.client = client
        ping = threading.Thread(target=self.ping)
        ping.start()
        super().serve_socket(client, head)
        client.shutdown(socket.SHUT_RDWR)
        ping.join()

    def ping(self) -> None:
        tick = threading.Event()
        with contextlib.suppress(OSError):
            while not tick.wait(0.05):
                self.client.sendall(b"\x89\x00")
