"""A connection to a server, every wait bounded, and a record of what went over it.

Knows sockets and TLS. Must not know any protocol above them.
"""

from __future__ import annotations

import functools
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field
from typing import Self

TOLD_CHARACTERS = 600  # of each side, in a transcript
CLOSING_S = 0.3  # within which a connection that is to end must end


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a server is, what is asked of it, and how long it is waited for."""

    host: str
    port: int
    tls: bool
    path: str = "/plaintext"
    websocket_path: str = "/ws"
    patience_s: float = 1.0

    @property
    def authority(self) -> str:
        """Give host and port as requests name them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def until(self, more_s: float = 0.0) -> float:
        """Give the moment of perf_counter up to which an answer is waited for, from now on."""
        return time.perf_counter() + self.patience_s + more_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of a protocol that is spoken."""

    why: str
    figure: float | None = None


class RefusedError(Exception):
    """A server did not speak what it was asked for: what it did instead, and a figure where there is one."""

    def __init__(self, why: str, *, figure: float | None = None) -> None:
        super().__init__(why)
        self.figure = figure


@dataclass(slots=True)
class Record:
    """What was said, turn by turn; as text, the first few hundred characters of each side, bytes escaped."""

    _turns: list[tuple[str, bytearray]] = field(default_factory=list)

    def note(self, told: str) -> None:
        """Write down what is not bytes."""
        self._turns.append(("-", bytearray(told.encode())))

    def sent(self, data: bytes) -> None:
        """Write down what went out."""
        self._add(">", data)

    def came(self, data: bytes) -> None:
        """Write down what came in."""
        self._add("<", data)

    def _add(self, side: str, data: bytes) -> None:
        if self._turns and self._turns[-1][0] == side:
            self._turns[-1][1].extend(data)
        else:
            self._turns.append((side, bytearray(data)))

    def __str__(self) -> str:
        left = {">": TOLD_CHARACTERS, "<": TOLD_CHARACTERS}
        lines = []
        for side, data in self._turns:
            if side == "-":
                lines.append(f"- {data.decode()}")
                continue
            left_before = left[side]
            text = bytes(data[:left_before]).decode("latin-1").encode("unicode_escape").decode()
            told = text[:left_before]
            left[side] -= len(told)
            cut = told != text or len(data) > left_before
            lines.append(f"{side} {told}" + f" … ({len(data)} bytes)" * cut)
        return "\n".join(lines)


class Wire:
    """One connection: bytes that came and are not taken yet are in `left`."""

    def __init__(self, place: Place, record: Record, *, tls: bool | None = None, alpn: str = "http/1.1") -> None:
        """Connect, over TLS where the server has it or where it is said; OSError where that fails."""
        self.left = b""
        self.ended = False
        self._record = record
        self._tls: ssl.SSLObject | None = None
        try:
            self._socket = socket.create_connection((place.host, place.port), timeout=place.patience_s)
        except OSError as error:
            record.note(f"no connection to {place.authority}: {error.strerror or error}")
            raise
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if place.tls if tls is None else tls:
            try:
                self._handshake(place, alpn)
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alpn(self) -> str | None:
        """Give the protocol that the server chose in the handshake."""
        return self._tls.selected_alpn_protocol() if self._tls else None

    def send(self, data: bytes) -> None:
        """Send bytes; OSError where that fails."""
        self._record.sent(data)
        if self._tls is None:
            self._socket.sendall(data)
            return
        self._tls.write(data)
        self._socket.sendall(self._outgoing.read())

    def receive(self, until: float) -> bytes:
        """Take what comes next, b"" at the end; TimeoutError where nothing does."""
        if self.left:
            data, self.left = self.left, b""
            return data
        while not self.ended:
            data = self._opened(self._tls, until) if self._tls else self._raw(until)
            self.ended = self.ended or (not self._tls and not data)
            if data:
                self._record.came(data)
                return data
        self._record.note("the server closed")
        return b""

    def ends(self, within_s: float = CLOSING_S) -> bool:
        """Say whether the server closes within this time, whatever else it sends."""
        until = time.perf_counter() + within_s
        try:
            while self.receive(until):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    def close(self, *, reset: bool = False) -> None:
        """Close this side; with a reset, the server need not answer what it has not begun."""
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _handshake(self, place: Place, alpn: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = _context(alpn).wrap_bio(self._incoming, self._outgoing, server_hostname=place.host)
        raw, until = Record(), place.until()
        try:
            while True:
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    self._exchange(raw, until)
                else:
                    break
            self._socket.sendall(self._outgoing.read())
        except OSError:
            for side, data in raw._turns:  # noqa: SLF001 - its own kind
                self._record._add(side, bytes(data))  # noqa: SLF001
            raise
        self._tls = tls
        self._record.note(f"{tls.version()}, ALPN {tls.selected_alpn_protocol() or 'not answered'}")

    def _exchange(self, raw: Record, until: float) -> None:
        hello = self._outgoing.read()
        if hello:
            raw.sent(hello)
            self._socket.sendall(hello)
        data = self._raw(until)
        raw.came(data)
        if not data:
            raise ConnectionResetError("the server closed in the middle of a TLS handshake")
        self._incoming.write(data)

    def _opened(self, tls: ssl.SSLObject, until: float) -> bytes:
        """Take what a record of TLS holds; b"" where there is none yet, or no more."""
        try:
            data = tls.read(65536)
            self.ended = not data  # that is how it tells that the server said goodbye
        except ssl.SSLWantReadError:
            raw, data = self._raw(until), b""
            self.ended = not raw
            self._incoming.write(raw)
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self.ended, data = True, b""
        return data

    def _raw(self, until: float) -> bytes:
        left = until - time.perf_counter()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        try:
            return self._socket.recv(65536)
        except TimeoutError:
            raise TimeoutError from None


@functools.cache  # making one takes longer than a handshake
def _context(alpn: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # nobody's certificate is verified: it was made a moment ago
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    return context
