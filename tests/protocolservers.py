"""Small servers that speak a protocol as it should be, but for the faults that they are given."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import h11
import wsproto
import wsproto.connection
import wsproto.events
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent

CLIENTS_FAULTS = (h11.RemoteProtocolError, h2.exceptions.H2Error, wsproto.utilities.ProtocolError)
TRAILER = ("x-gatebench-trailer", "it followed")


@dataclass(slots=True)
class Fake:
    """One server of HTTP/1, HTTP/2 and WebSocket; `faults` are the words looked for below."""

    faults: frozenset[str]
    context: ssl.SSLContext | None
    listening: socket.socket
    nonsense: bytes | None = None  # what it says to everybody
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1000))  # who may stream

    @property
    def port(self) -> int:
        port: int = self.listening.getsockname()[1]
        return port

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self.listening.accept()
                if "one thread" in self.faults:
                    self.serve(plain)
                else:
                    threading.Thread(target=self.serve, args=(plain,), daemon=True).start()

    def serve(self, plain: socket.socket) -> None:
        with plain, contextlib.suppress(OSError, *CLIENTS_FAULTS):
            plain.settimeout(10)
            if self.nonsense is not None:
                plain.recv(65536)
                plain.sendall(self.nonsense)
                return
            if "silence" in self.faults:
                plain.recv(65536)
                plain.recv(65536)
                return
            line = self.context.wrap_socket(plain, server_side=True) if self.context else plain
            with line:
                first = line.recv(65536)
                if first.startswith(b"PRI * "):
                    Http2(self, line).run(first)
                elif b"upgrade: h2c" in first.lower() and "no upgrade" not in self.faults:
                    Http2(self, line).upgraded(first)
                elif b"upgrade: websocket" in first.lower() and "no websocket" not in self.faults:
                    self.echo(line, first)
                elif first:
                    self.http1(line, first)

    def echo(self, line: socket.socket, data: bytes) -> None:
        talk = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        while data:
            talk.receive_data(data)
            for event in talk.events():
                if isinstance(event, wsproto.events.Request):
                    line.sendall(talk.send(wsproto.events.AcceptConnection()))
                elif isinstance(event, wsproto.events.TextMessage):
                    said = "who?" if "parrot" in self.faults else event.data
                    line.sendall(talk.send(wsproto.events.TextMessage(said)))
                elif isinstance(event, wsproto.events.CloseConnection):
                    return
            data = line.recv(65536)

    def http1(self, line: socket.socket, data: bytes) -> None:
        talk, asked, body = h11.Connection(h11.SERVER), None, b""
        talk.receive_data(data)
        while True:
            event = talk.next_event()
            if event is h11.NEED_DATA:
                if talk.they_are_waiting_for_100_continue and "no 100" not in self.faults:
                    line.sendall(talk.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
                talk.receive_data(line.recv(65536))
            elif isinstance(event, h11.Request):
                asked, body = event, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert asked is not None
                if not self.answer(line, talk, asked, body, bool(event.headers)):
                    return
                talk.start_next_cycle()
            else:
                return

    def answer(
        self, line: socket.socket, talk: h11.Connection, asked: h11.Request, body: bytes, trailed: bool
    ) -> bool:
        """Answer; False where the connection ends."""
        target, status, faults = asked.target.decode(), 200, self.faults
        chunked = any(name == b"transfer-encoding" for name, _ in asked.headers)
        if (asked.http_version == b"1.0" and "no 1.0" in faults) or (trailed and "no trailers" in faults):
            status = 400
        if target.startswith(("/sse", "/stream")):
            return self.flow(line, talk, target)
        if chunked and "no chunks" in faults:
            body = b""
        content = self.content(target, body)
        extra = [("connection", "keep-alive" if asked.http_version == b"1.0" else "close")] * ("closes" in faults)
        trailers = target == "/trailers" and "no trailers out" not in faults
        if target == "/trailers" and "no route" in faults:
            status = 404
        headers = [*extra, *([] if trailers else [("content-length", str(len(content)))])]
        if "closes" in faults:
            headers[0] = ("connection", "close")
        out = talk.send(h11.Response(status_code=status, headers=headers)) or b""
        if "old" in faults:
            out = out.replace(b"HTTP/1.1", b"HTTP/1.0")
        out += talk.send(h11.Data(content)) or b""
        out += talk.send(h11.EndOfMessage(headers=[TRAILER] if trailers else [])) or b""
        if asked.http_version == b"1.0" and "keeps 1.0" in faults:  # h11 itself never keeps one
            line.sendall(out.replace(b"close", b"keep-alive"))
            return self.again(line)
        line.sendall(out)
        return talk.our_state is not h11.MUST_CLOSE

    def again(self, line: socket.socket) -> bool:
        while line.recv(65536):
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        return False

    def content(self, target: str, body: bytes) -> bytes:
        if target.startswith("/json"):
            number = int(target.partition("=")[2])
            return json.dumps({"id": 204 - number if "disorder" in self.faults else number, "m": 1}).encode()
        if target == "/upload":
            return hashlib.sha256(body).hexdigest().encode()
        if target == "/openapi.json":
            return b"[]" if "undescribed" in self.faults else b'{"paths":{"/plaintext":{},"/json":{}}}'
        if target.startswith("/sleep"):
            time.sleep(float(target.partition("=")[2]))
            return b"slept"
        return b"Hello, World!"

    def flow(self, line: socket.socket, talk: h11.Connection, target: str) -> bool:
        """Answer with a body whose length nobody knows."""
        if target.startswith("/stream"):
            parts, every = [letter * 64 for letter in (b"a", b"b", b"c", b"d")], 0.0
        else:
            asked = dict(pair.split("=") for pair in target.partition("?")[2].split("&"))
            parts = [b"data: %d\n\n" % (turn + 1) for turn in range(int(asked["n"]))]
            every = float(asked["every"])
        if "unframed" in self.faults:
            line.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"".join(parts))
            return False
        with self.turn:
            head = talk.send(h11.Response(status_code=200, headers=[])) or b""
            line.sendall(head)
            held = b""
            for turn, part in enumerate(parts):
                time.sleep(every if turn else 0)
                held += talk.send(h11.Data(part)) or b""
                if "holds back" not in self.faults:
                    line.sendall(held)
                    held = b""
            line.sendall(held + (talk.send(h11.EndOfMessage()) or b""))
        return True


class Http2:
    """One connection of HTTP/2."""

    def __init__(self, fake: Fake, line: socket.socket) -> None:
        self.fake, self.line = fake, line
        self.due: list[tuple[float, int]] = []  # moments, and the streams that are answered then
        self.talk = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        if "no connect" not in fake.faults:
            offered = {h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}
            self.talk.local_settings = h2.settings.Settings(client=False, initial_values=offered)
        self.tunnels: dict[int, wsproto.connection.Connection] = {}

    def upgraded(self, data: bytes) -> None:
        head, _, rest = data.partition(b"\r\n\r\n")
        settings = next(one for one in head.split(b"\r\n") if one.lower().startswith(b"http2-settings:"))
        base64.urlsafe_b64decode(settings.split(b": ")[1] + b"==")
        self.line.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        self.talk.initiate_upgrade_connection(settings.split(b": ")[1])
        self.flush()
        self.answer(1, "/plaintext")
        self.run(rest or self.line.recv(65536), begun=True)

    def run(self, data: bytes, *, begun: bool = False) -> None:
        if "no prior knowledge" in self.fake.faults and not begun and not self.fake.context:
            self.line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        if not begun:
            self.talk.initiate_connection()
        while data:
            for event in self.talk.receive_data(data):
                self.take(event)
            self.flush()
            data = self.received()

    def received(self) -> bytes:
        """Wait for more, and meanwhile answer what is due."""
        while self.due:
            moment, stream = min(self.due)
            self.line.settimeout(max(moment - time.monotonic(), 0.001))
            try:
                return self.line.recv(65536)
            except TimeoutError:
                self.due.remove((moment, stream))
                self.answer(stream, "/plaintext")
        self.line.settimeout(10)
        return self.line.recv(65536)

    def take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            asked = {str(name): str(value) for name, value in event.headers or ()}
            if asked[":method"] == "CONNECT":
                self.talk.send_headers(event.stream_id, [(":status", "200")])
                self.tunnels[event.stream_id] = wsproto.connection.Connection(wsproto.ConnectionType.SERVER)
            elif asked[":path"].startswith("/sleep"):
                now = time.monotonic()
                begin = max([now, *(moment for moment, _ in self.due)]) if "in a row" in self.fake.faults else now
                self.due.append((begin + float(asked[":path"].partition("=")[2]), event.stream_id))
            else:
                self.answer(event.stream_id, asked[":path"])
        elif isinstance(event, h2.events.DataReceived) and event.stream_id in self.tunnels:
            tunnel = self.tunnels[event.stream_id]
            tunnel.receive_data(event.data)
            for message in tunnel.events():
                if isinstance(message, wsproto.events.TextMessage):
                    self.talk.send_data(event.stream_id, tunnel.send(wsproto.events.TextMessage(message.data)))

    def answer(self, stream: int, target: str) -> None:
        content = self.fake.content(target, b"")
        trailers = target == "/trailers" and "no trailers out of h2" not in self.fake.faults
        self.talk.send_headers(stream, [(":status", "503" if "no h2" in self.fake.faults else "200")])
        self.talk.send_data(stream, content, end_stream=not trailers)
        if trailers:
            self.talk.send_headers(stream, [TRAILER], end_stream=True)
        self.flush()

    def flush(self) -> None:
        self.line.sendall(self.talk.data_to_send())


@contextlib.contextmanager
def faking(
    *faults: str, certificate: tuple[Path, Path] | None = None, streams: int = 1000, nonsense: bytes | None = None
) -> Iterator[int]:
    """Start a server with these faults, over TLS where there is a key and a certificate; give its port."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate[1], certificate[0])
        context.set_alpn_protocols(["http/1.1"] if "no alpn" in faults else ["h2", "http/1.1"])
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        fake = Fake(frozenset(faults), context, listening, nonsense, threading.Semaphore(streams))
        thread = threading.Thread(target=fake.run, daemon=True)
        thread.start()
        yield fake.port
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


class _Http3(QuicConnectionProtocol):
    """One connection of HTTP/3; `in_a_row` where waits do not overlap."""

    in_a_row = False
    status = b"200"

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.http: H3Connection | None = None
        self.free_at = 0.0

    def quic_event_received(self, event: QuicEvent) -> None:
        self.http = self.http or H3Connection(self._quic)
        for piece in self.http.handle_event(event):
            if isinstance(piece, HeadersReceived):
                target = dict(piece.headers)[b":path"].decode()
                wait = float(target.partition("=")[2]) if target.startswith("/sleep") else 0.0
                now = self._loop.time()
                begin = max(self.free_at, now) if self.in_a_row else now
                self.free_at = begin + wait
                self._loop.call_at(self.free_at, self.answer, piece.stream_id)

    def answer(self, stream: int) -> None:
        assert self.http is not None
        self.http.send_headers(stream, [(b":status", self.status)])
        self.http.send_data(stream, b"Hello, World!", end_stream=True)
        self.transmit()


@contextlib.contextmanager
def faking_h3(certificate: tuple[Path, Path], *, in_a_row: bool = False, status: str = "200") -> Iterator[int]:
    """Start a server of HTTP/3; give its port of UDP."""
    made: Callable[..., _Http3] = type("Made", (_Http3,), {"in_a_row": in_a_row, "status": status.encode()})
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    configuration.load_cert_chain(certificate[1], certificate[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(serve("127.0.0.1", port, configuration=configuration, create_protocol=made))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        server.close()
        loop.run_until_complete(asyncio.sleep(0))  # its socket closes in the next turn
        loop.close()
