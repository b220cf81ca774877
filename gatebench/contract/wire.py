"""HTTP/1.1 over a plain socket, every wait bounded: what came, not what a kind client makes of it.

Knows sockets and the grammar of HTTP. Must not know routes or rules. No error leaves this module: what went wrong
stands in the answer.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from dataclasses import dataclass, field, replace

import h11

PATIENCE_S = 5.0  # no healthy server needs it, beyond what it was asked to wait
CLOSING_S = 0.5  # within which a connection that was announced to end must end
PAUSE_S = 0.003  # between the packets of a request in pieces, so that they travel apart
LIMIT_BYTES = 1 << 20  # no answer of the contract is longer
BODIED = ("POST", "PUT", "PATCH")  # methods that say a length even where there is no body


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where a server is, and how long it is waited for."""

    host: str
    port: int
    until: float  # moment of perf_counter past which nothing is waited for
    tls: bool = False
    patience_s: float = PATIENCE_S
    limit_bytes: int = LIMIT_BYTES

    @property
    def authority(self) -> str:
        """Give host and port as requests name them."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it goes out."""

    target: str
    method: str = "GET"
    body: bytes | None = None
    content_type: str | None = None
    wait_s: float = 0.0  # by which the server may delay its answer, beyond our patience
    pieces: int = 1  # packets that it is sent in


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back for one request."""

    status: int | None = None  # None: no head came
    headers: tuple[tuple[str, str], ...] = ()  # names in lower case
    body: bytes = b""
    surplus: bytes = b""  # came after the end of the body
    fault: str | None = None  # why the answer is not whole
    ended: bool = False  # the server closed the connection, as far as one looked
    reused: bool = False  # came over a connection that had answered before
    elapsed_s: float = 0.0
    arrivals: tuple[tuple[float, int], ...] = ()  # after how many seconds so many bytes of the body were there

    def header(self, name: str) -> str | None:
        """Give a header, its repetitions joined; None where it is missing."""
        values = [value for key, value in self.headers if key == name]
        return ", ".join(values) if values else None


@dataclass(slots=True)
class _Parts:
    """An answer as it comes in."""

    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False
    arrivals: list[tuple[float, int]] = field(default_factory=list)


class Line:
    """One connection."""

    def __init__(self, server: Server, *, alpn: str = "http/1.1") -> None:
        """Connect, or OSError."""
        self._server = server
        self._socket = connected(server, alpn)
        self._http = h11.Connection(h11.CLIENT)
        self._ended = False  # the server closed, which may be how it ended a good answer

    def ask(self, asked: Asked) -> Answer:
        """Send a request and take its answer."""
        patience = _left(self._server.until, self._server.patience_s + asked.wait_s)
        begin = time.perf_counter()
        parts = _Parts()
        fault = None
        try:
            # A server may answer, and close, before it has read a whole body: what it said is what counts.
            with contextlib.suppress(ConnectionError):
                self._send(asked)
            self._take(parts, begin, begin + patience)
        except TimeoutError:
            fault = _cut(parts, f"nothing more within {patience:.1f} s")
        except EOFError:
            fault = _cut(parts, "the connection ended")
        except h11.RemoteProtocolError as error:
            fault = f"no HTTP/1.1 ({error})"
        except OSError as error:
            parts.ended = True
            fault = _cut(parts, f"the connection broke ({error.strerror or error})")
        return Answer(
            status=parts.status,
            headers=parts.headers,
            body=bytes(parts.body),
            surplus=self._http.trailing_data[0],
            fault=fault,
            ended=parts.ended,
            elapsed_s=time.perf_counter() - begin,
            arrivals=tuple(parts.arrivals),
        )

    def renew(self) -> bool:
        """Make ready for a further request; False where this connection takes none."""
        if self._ended or self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    def end(self) -> tuple[bool, bytes]:
        """Wait for the server to close; say whether it did, and what it sent before."""
        until = time.perf_counter() + _left(self._server.until, CLOSING_S)
        surplus = bytearray()
        try:
            while len(surplus) < self._server.limit_bytes:
                surplus += self.receive(until)
        except EOFError:
            return True, bytes(surplus)
        except OSError as error:
            return not isinstance(error, TimeoutError), bytes(surplus)
        return False, bytes(surplus)

    def send(self, data: bytes) -> None:
        """Send bytes; OSError where that fails."""
        self._socket.settimeout(_left(self._server.until, self._server.patience_s))
        self._socket.sendall(data)

    def receive(self, until: float) -> bytes:
        """Take what comes next; TimeoutError where nothing does, EOFError where the server closed."""
        left = min(until, self._server.until) - time.perf_counter()
        if left <= 0:  # a server that trickles is out of time, too
            raise TimeoutError
        self._socket.settimeout(left)
        data = self._socket.recv(65536)
        if not data:
            raise EOFError
        return data

    def close(self) -> None:
        """Close this side."""
        self._socket.close()

    def _send(self, asked: Asked) -> None:
        data = self._http.send(head(self._server.authority, asked)) or b""
        if asked.body:
            data += self._http.send(h11.Data(asked.body)) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        size = -(-len(data) // asked.pieces)
        for start in range(0, len(data), size):
            if start:
                time.sleep(PAUSE_S)
            self.send(data[start : start + size])

    def _take(self, parts: _Parts, begin: float, until: float) -> None:
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._feed(parts, until)
            elif isinstance(event, h11.Response):
                parts.status = event.status_code
                parts.headers = tuple(
                    (name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers
                )
            elif isinstance(event, h11.Data):
                parts.body += event.data
                parts.arrivals.append((time.perf_counter() - begin, len(parts.body)))
                if len(parts.body) > self._server.limit_bytes:
                    raise h11.RemoteProtocolError(f"more than {self._server.limit_bytes} bytes")
            elif isinstance(event, h11.EndOfMessage):
                return
            elif not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError("a change of protocol that nobody asked for")

    def _feed(self, parts: _Parts, until: float) -> None:
        try:
            self._http.receive_data(self.receive(until))
        except EOFError:
            parts.ended = self._ended = True
            if parts.status is None:
                raise
            self._http.receive_data(b"")  # with a length this is a fault, without one the end: h11 knows which


class Client:
    """Asks over one kept connection where the server lets it, else over a new one."""

    def __init__(self, server: Server, *, closes: bool) -> None:
        """Aim at a server; `closes` where it declares that it closes every connection."""
        self._server, self._closes = server, closes
        self._line: Line | None = None

    def ask(self, asked: Asked) -> Answer:
        """Ask once; again on a new connection where the kept one had been closed without a word."""
        if self._line is not None:
            answer = self._ask(self._line, asked)
            if answer.status is not None or not answer.ended:
                return replace(answer, reused=True)
        try:
            line = Line(self._server)
        except OSError as error:
            return Answer(fault=f"no connection ({error.strerror or error})", ended=True)
        return self._ask(line, asked)

    def close(self) -> None:
        """Give the kept connection up."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _ask(self, line: Line, asked: Asked) -> Answer:
        self._line = None
        answer = line.ask(asked)
        if self._closes and answer.fault is None:
            ended, surplus = line.end()
            answer = replace(answer, ended=ended, surplus=answer.surplus + surplus)
        if answer.fault is None and not self._closes and line.renew():
            self._line = line
        else:
            line.close()
        return answer


def head(authority: str, asked: Asked) -> h11.Request:
    """Give the head of a request; h11.LocalProtocolError where nobody could send it."""
    # The load generator offers compression as browsers do; so it is offered here, and must not be taken up.
    headers = [("Host", authority), ("Accept", "*/*"), ("Accept-Encoding", "gzip, deflate")]
    if asked.content_type is not None:
        headers.append(("Content-Type", asked.content_type))
    if asked.body is not None or asked.method in BODIED:
        headers.append(("Content-Length", str(len(asked.body or b""))))
    return h11.Request(method=asked.method, target=asked.target, headers=headers)


def connected(server: Server, alpn: str) -> socket.socket:
    """Connect, over TLS where the server speaks it; OSError where that fails. Nobody's certificate is verified."""
    plain = socket.create_connection((server.host, server.port), timeout=_left(server.until, server.patience_s))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not server.tls:
        return plain
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    try:
        return context.wrap_socket(plain, server_hostname=server.host)
    except BaseException:
        plain.close()
        raise


def _left(until: float, most: float) -> float:
    """Give the seconds to wait: what is left, at most so many, never the 0 that means for ever or not at all."""
    return max(min(until - time.perf_counter(), most), 0.001)


def _cut(parts: _Parts, how: str) -> str:
    if parts.status is None:
        return f"no answer, {how}"
    length = dict(parts.headers).get("content-length", "an unknown number of")
    return f"{len(parts.body)} of {length} bytes, {how}"
