"""Small real servers for the generator's tests: good ones, and one for each way to be bad.

Each runs on a loop in a thread of its own, on a free port, until its `with` block ends. Must not import Locust.
"""

import asyncio
import re
import shutil
import ssl
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request


@dataclass
class Seen:
    """What a server was asked, and from how many connections."""

    connections: int = 0
    requests: list[str] = field(default_factory=list)
    over: list[int] = field(default_factory=list)  # of each request, the number of its connection

    def connections_of(self, path: str) -> set[int]:
        """Over which connections a path was asked for."""
        asked = zip(self.requests, self.over, strict=True)
        return {number for head, number in asked if head.split(" ")[1] == path}


# What is sent: bytes as they are, each piece by itself; after a pause of so many seconds; None closes.
Pieces: TypeAlias = Sequence[bytes | float | None]
Behaviour: TypeAlias = Callable[[str], Awaitable[bytes | Pieces | None]]  # path -> what is sent
Full: TypeAlias = Callable[[str, str, bytes], bytes | Pieces]  # the same of method, path and body


def reply(body: bytes, *, status: int = 200, headers: str = "") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), headers.encode(), body)


def own_certificate(folder: Path) -> ssl.SSLContext:
    """Settings of TLS with a certificate that nobody else has signed; the test is skipped where none can be made."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    made = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"), "-days", "2"]
    made += ["-subj", "/CN=gatebench.test"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(["openssl", "req", "-x509", *curve, *made], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def in_chunks(pieces: Sequence[bytes], *, headers: str = "") -> list[bytes]:
    """An answer in chunks, each sent by itself."""
    head = b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n%b\r\n" % headers.encode()
    return [head, *(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"]


def in_a_stream(pieces: Pieces, *, chunked: bool = True) -> list[bytes | float | None]:
    """An answer whose end nobody knows when it begins: in chunks, or until the connection is closed."""
    if not chunked:
        return [b"HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\n\r\n", *pieces, None]
    head, end = (
        b"HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\n\r\n",
    )
    return [head, *(b"%x\r\n%b\r\n" % (len(one), one) if isinstance(one, bytes) else one for one in pieces), end]


def events(count: int, every_s: float) -> list[bytes | float]:
    """The contract's events, with a pause before each but the first."""
    told: list[bytes | float] = [b"data: 1\n\n"]
    for number in range(2, count + 1):
        told += [every_s, b"data: %d\n\n" % number]
    return told


def contract_body(path: str) -> bytes:
    """What apps/CONTRACT.md has a good app answer to the routes of the scenarios."""
    parts = urlsplit(path)
    query = {key: values[0] for key, values in parse_qs(parts.query).items()}
    if parts.path == "/json":
        return f'{{"id":{query["id"]},"message":"Hello, World!"}}'.encode()
    if parts.path == "/db":
        return f'{{"id":{query["id"]},"value":{10000 + int(query["id"])}}}'.encode()
    if parts.path == "/external":
        assert re.fullmatch("[0-9a-f]{16}", query["token"])
        return f'{{"token":"{query["token"]}","digest":"{"0a" * 32}"}}'.encode()
    if parts.path == "/sleep":
        return b"slept"
    if parts.path == "/cpu":
        x = int(query["x"])
        for _ in range(int(query["n"])):
            x = (x * 1103515245 + 12345) % 2147483648
        return str(x).encode()
    assert parts.path == "/plaintext"
    return b"Hello, World!"


async def good(path: str) -> bytes:
    return reply(contract_body(path))


@contextmanager
def http_server(
    behaviour: Behaviour = good,
    *,
    full: Full | None = None,
    close_each: bool = False,
    host: str = "127.0.0.1",
    unix: Path | None = None,
    tls: ssl.SSLContext | None = None,
    handshakes: int | None = None,
    greeting: bytes = b"",
    backlog: int = 512,
    idle_s: float | None = None,
) -> Iterator[tuple[str, Seen]]:
    """Serve HTTP as the behaviour has it; give the server's URL and what it sees.

    Of TLS, only so many `handshakes` are gone through; who comes later is hung up on. A connection that lies
    idle for `idle_s` is closed.
    """
    seen = Seen()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = seen.connections = seen.connections + 1
        quiet_ends = (
            asyncio.IncompleteReadError,
            ConnectionError,
            asyncio.CancelledError,
            ssl.SSLError,
            TimeoutError,
        )
        with suppress(*quiet_ends):
            if handshakes is not None and number > handshakes:
                writer.close()
                return
            if tls is not None:
                await writer.start_tls(tls)
            writer.write(greeting)
            while True:
                async with asyncio.timeout(idle_s):
                    head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"Content-Length: (\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                seen.requests.append(head)
                seen.over.append(number)
                method, path, _ = head.split(" ", 2)
                answer = await behaviour(path) if full is None else full(method, path, body)
                pieces = [answer] if answer is None or isinstance(answer, bytes) else answer
                if not await _send(writer, pieces) or close_each:
                    break
        writer.close()

    async def start(stack: AsyncExitStack) -> int:
        if unix is not None:
            local = await asyncio.start_unix_server(connected, unix, backlog=backlog)
            stack.callback(local.close)
            return 0
        server = await asyncio.start_server(connected, host, 0, backlog=backlog)
        stack.callback(server.close)
        port: int = server.sockets[0].getsockname()[1]
        return port

    with _running(start) as port:
        scheme, name = "https" if tls else "http", f"[{host}]" if ":" in host else host
        yield f"{scheme}://{name}:{port}" if unix is None else f"http+unix://{quote(str(unix), safe='')}", seen


async def _send(writer: asyncio.StreamWriter, pieces: Pieces) -> bool:
    """Send all pieces; False where the connection is to be closed."""
    for piece in pieces:
        if piece is None:
            return False
        if isinstance(piece, bytes):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        else:
            await asyncio.sleep(piece)
    return True


@contextmanager
def echo_server(
    *, at_a_time: int = 100_000, drop_each: int = 0, spoil: bool = False, greet: bool = False
) -> Iterator[str]:
    """Echo WebSocket messages, but open only so many at a time, drop or spoil messages, or speak first."""
    gates: list[asyncio.Semaphore] = []

    async def handshake(_connection: ServerConnection, request: Request) -> None:
        assert request.path == "/ws"
        assert "Sec-WebSocket-Extensions" not in request.headers
        await gates[0].acquire()

    async def connected(connection: ServerConnection) -> None:
        number = 0
        with suppress(ConnectionClosed):
            if greet:
                await connection.send("hello")
            async for message in connection:
                number += 1
                if not drop_each or number % drop_each:
                    await connection.send("spoilt" if spoil else message)
        gates[0].release()

    async def start(stack: AsyncExitStack) -> int:
        gates.append(asyncio.Semaphore(at_a_time))
        server = await stack.enter_async_context(
            serve(
                connected,
                "127.0.0.1",
                0,
                compression=None,
                process_request=handshake,
                open_timeout=None,
                ping_interval=None,
                close_timeout=0.1,
            )
        )
        port: int = next(iter(server.sockets)).getsockname()[1]
        return port

    with _running(start) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _running(start: Callable[[AsyncExitStack], Awaitable[int]]) -> Iterator[int]:
    """Run a server on a loop in a thread; give its port; end all its tasks when the block ends."""
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    done = asyncio.Event()
    ports: list[int] = []

    async def life() -> None:
        async with AsyncExitStack() as stack:
            ports.append(await start(stack))
            ready.set()
            await done.wait()
            for one in asyncio.all_tasks() - {asyncio.current_task()}:
                one.cancel()

    def complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # A client that resets at the server's very end may leave a future that nobody asks any more.
        if not isinstance(context.get("exception"), ConnectionError):
            loop.default_exception_handler(context)

    loop.set_exception_handler(complain)

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
        thread.join(20)
        assert not thread.is_alive()
