"""A TLS connection on the running loop: what HTTP/1.1 and HTTP/2 have in common.

Knows sockets and TLS. Must not know what is said. asyncio's own TLS does in Python what a socket does in C, and costs
more than all the rest: here the loop only tells when the socket is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable

from gatebench.streams.job import Job
from gatebench.streams.lane import Lane, OpeningError, Turn, why

READ_BYTES = 65536
READS = 64  # at a time: then others have their turn


def unverified(protocol: str) -> ssl.SSLContext:
    """Give settings of TLS that take any certificate: the server is one's own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context


async def connected(job: Job, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Open a connection and shake hands; OSError where that fails."""
    loop = asyncio.get_running_loop()
    plain = socket.socket(socket.AF_INET6 if job.address.version == 6 else socket.AF_INET)
    with contextlib.ExitStack() as undo:
        undo.callback(plain.close)
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(plain, (str(job.address), job.port))
        secured = context.wrap_socket(plain, do_handshake_on_connect=False)
        undo.callback(secured.close)
        while True:
            try:
                secured.do_handshake()
            except ssl.SSLWantReadError:
                await _ready(secured, loop.add_reader, loop.remove_reader)
            except ssl.SSLWantWriteError:
                await _ready(secured, loop.add_writer, loop.remove_writer)
            else:
                undo.pop_all()
                return secured


async def _ready(opened: socket.socket, add: Callable[..., None], remove: Callable[[int], object]) -> None:
    future = asyncio.get_running_loop().create_future()
    file = opened.fileno()

    def wake() -> None:
        if not future.done():
            future.set_result(None)

    add(file, wake)
    try:
        await future
    finally:
        remove(file)


class Secured(ABC):
    """A line over TLS, but for what the protocol makes of it."""

    def __init__(self, opened: ssl.SSLSocket, lane: Lane) -> None:
        self._socket = opened
        self._lane = lane
        self._loop = asyncio.get_running_loop()
        self._file = opened.fileno()
        self._out = bytearray()
        self._writing = False  # the kernel took not all of it
        self._closed = False
        self._retired = False
        self._loop.add_reader(self._file, self._readable)

    @property
    @abstractmethod
    def room(self) -> bool:
        """Whether it takes one more request now."""

    @abstractmethod
    def ask(self, turn: Turn) -> None:
        """Take a request, to be sent with the next `flush`."""

    @abstractmethod
    def give_up(self, turn: Turn) -> None:
        """Forget a request that is late."""

    @abstractmethod
    def busy(self) -> bool:
        """Say whether a request waits for its answer here."""

    @abstractmethod
    def received(self, data: bytes) -> None:
        """Take bytes in."""

    @abstractmethod
    def ended(self, reason: str) -> None:
        """Hear that no more bytes come; tell what becomes of the requests."""

    def retire(self) -> None:
        """Take no more requests, and close when the last one has its answer."""
        self._retired = True
        self._lane.retired(self)
        if not self.busy():
            self.close()

    def close(self) -> None:
        """Close at once."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._file)
            self._loop.remove_writer(self._file)
            self._socket.close()
            self._lane.closed(self)

    def flush(self) -> None:
        """Send what is to be sent; what the kernel does not take waits for it."""
        if not self._out or self._closed:
            return
        try:
            del self._out[: self._socket.send(self._out)]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError:
            return  # reading tells
        if self._out and not self._writing:
            self._loop.add_writer(self._file, self.flush)
        elif self._writing and not self._out:
            self._loop.remove_writer(self._file)
        self._writing = bool(self._out)

    def _readable(self) -> None:
        """Take in all that is there, then send what is to be sent next."""
        parts: list[bytes] = []
        end: str | None = None
        try:
            while len(parts) < READS:
                data = self._socket.recv(READ_BYTES)
                if not data:
                    end = "the connection ended"
                    break
                parts.append(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            end = f"the connection broke ({why(error)})"
        if parts:
            self.received(b"".join(parts))
        if end is not None and not self._closed:
            self._retired = True
            self._lane.retired(self)
            self.ended(end)
            self.close()
        if self._retired and not self.busy():
            self.close()
        self.flush()
        self._lane.pump()


def agreed(opened: ssl.SSLSocket, protocol: str, *, silence: bool) -> None:
    """See that the server speaks a protocol; OpeningError where it chose another, or none and silence means no."""
    chosen = opened.selected_alpn_protocol()
    if chosen != protocol and not (silence and chosen is None):
        opened.close()
        raise OpeningError(f"the server chose {chosen or 'nothing'}, not {protocol}")
