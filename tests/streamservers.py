"""Small real servers of HTTP/2 and HTTP/3 over TLS: good ones, and one for each way to be bad.

Each runs on a loop in a thread of its own, on a free port, until its `with` block ends.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated, QuicEvent
from hyperframe.frame import GoAwayFrame
from loadservers import own_certificate


@dataclass
class Manner:
    """How a server behaves, and what it sees."""

    status: int = 200
    body: bytes = b"Hello, World!"
    silent: bool = False
    reset: int | None = None  # streams are ended by this code
    requests_each: int | None = None  # of a connection: then no more are taken, and the others are answered
    streams: int = 100  # at a time
    connections: int = 0
    paths: set[str] = field(default_factory=set)
    busiest: int = 0  # the most streams of a connection at a time


class Http2:
    """A connection of HTTP/2, whose answers to what came together go together."""

    def __init__(self, manner: Manner, writer: asyncio.StreamWriter) -> None:
        self.manner = manner
        self.transport = writer
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.open: list[int] = []
        self.taken = 0
        self.last: int | None = None  # of those that are answered, where others are not
        self.manner.connections += 1
        self.http.initiate_connection()
        self.http.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.manner.streams})
        self.transport.write(self.http.data_to_send())

    def received(self, data: bytes) -> None:
        for event in self.http.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self._asked(event)
        self._answer()

    def _asked(self, event: h2.events.RequestReceived) -> None:
        if self.last is not None:
            return
        self.manner.paths |= {str(value) for name, value in event.headers or () if str(name) == ":path"}
        self.open.append(event.stream_id)
        self.manner.busiest = max(self.manner.busiest, len(self.open))
        self.taken += 1
        if self.taken == self.manner.requests_each:  # by hand: the library would take no more answers to send
            self.last = event.stream_id
            self.transport.write(GoAwayFrame(0, last_stream_id=self.last).serialize())

    def _answer(self) -> None:
        numbers, self.open = self.open, []
        with suppress(h2.exceptions.ProtocolError):  # the client has left
            for number in numbers if not self.manner.silent else ():
                if self.manner.reset is not None:
                    self.http.reset_stream(number, self.manner.reset)
                    continue
                self.http.send_headers(number, [(":status", str(self.manner.status)), ("server", "test")])
                self.http.send_data(number, self.manner.body, end_stream=True)
        self.transport.write(self.http.data_to_send())


@contextmanager
def http2_server(manner: Manner, folder: Path) -> Iterator[str]:
    """Serve HTTP/2; give the server's URL."""
    context = own_certificate(folder)
    context.set_alpn_protocols(["h2"])

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.CancelledError):
                await writer.start_tls(context)
                connection = Http2(manner, writer)
                while data := await reader.read(65536):
                    connection.received(data)
        finally:
            writer.transport.abort()

    async def start(stack: AsyncExitStack) -> int:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        stack.callback(server.close)
        port: int = server.sockets[0].getsockname()[1]
        return port

    with _running(start) as port:
        yield f"https://127.0.0.1:{port}"


class Http3(QuicConnectionProtocol):
    """A connection of HTTP/3."""

    def __init__(self, manner: Manner, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.manner = manner
        self.http: H3Connection | None = None
        self.taken = 0
        manner.connections += 1

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self._quic)
        if self.http is None:
            return
        for heard in self.http.handle_event(event):
            if isinstance(heard, HeadersReceived):
                self._asked(heard)

    def _asked(self, event: HeadersReceived) -> None:
        assert self.http is not None
        self.manner.paths.add(dict(event.headers)[b":path"].decode())
        self.taken += 1
        refused = self.manner.requests_each is not None and self.taken > self.manner.requests_each
        reset = ErrorCode.H3_REQUEST_REJECTED if refused else self.manner.reset
        if reset is not None:
            self._quic.reset_stream(event.stream_id, reset)
        elif not self.manner.silent:
            self.http.send_headers(event.stream_id, [(b":status", str(self.manner.status).encode())])
            self.http.send_data(event.stream_id, self.manner.body, end_stream=True)


@contextmanager
def http3_server(manner: Manner, folder: Path) -> Iterator[str]:
    """Serve HTTP/3; give the server's URL."""
    own_certificate(folder)
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    configuration.load_cert_chain(folder / "cert.pem", folder / "key.pem")

    async def start(stack: AsyncExitStack) -> int:
        def protocol(*arguments: Any, **named: Any) -> Http3:
            return Http3(manner, *arguments, **named)

        server = await serve("127.0.0.1", 0, configuration=configuration, create_protocol=protocol)
        stack.callback(server.close)
        port: int = server._transport.get_extra_info("sockname")[1]  # type: ignore[union-attr]
        return port

    with _running(start) as port:
        yield f"https://127.0.0.1:{port}"


@contextmanager
def _running(start: Callable[[AsyncExitStack], Awaitable[int]]) -> Iterator[int]:
    """Run a server on a loop in a thread; give its port; in the end, wait until it has seen that its clients left."""
    ready, done = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    ports: list[int] = []

    async def life() -> None:
        async with AsyncExitStack() as stack:
            ports.append(await start(stack))
            ready.set()
            await done.wait()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(life())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
