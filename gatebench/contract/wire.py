"""HTTP/1.1 over a plain socket, every wait bounded: what came, not what a kind client makes of it.

Knows sockets and the grammar of HTTP. Must not know routes or rules. No error leaves this module: what went wrong
stands in the answer.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field, replace

import h11

PATIENCE_S = 5.0  # no healthy server needs it, beyond what it was asked to wait
CLOSING_S = 0.5  # within which a connection that was announced to end must end
PAUSE_S = 0.001  # between the packets of a request in pieces, so that they travel apart
LIMIT_BYTES = 1 << 20  # no answer of the contract is longer


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


class Line:
    """One connection."""

    def __init__(self, host: str, port: int, *, until: float) -> None:
        """Connect, or OSError; past `until`, a moment of `perf_counter`, nothing is waited for."""
        self._until = until
        self._authority = f"{host}:{port}"
        self._socket = socket.create_connection((host, port), timeout=_left(until, PATIENCE_S))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._http = h11.Connection(h11.CLIENT)

    def ask(self, method: str, target: str, *, wait_s: float = 0.0, pieces: int = 1) -> Answer:
        """Send a request in so many packets and take its answer, which the server may delay by `wait_s`."""
        patience = _left(self._until, PATIENCE_S + wait_s)
        begin = time.perf_counter()
        parts = _Parts()
        fault = None
        try:
            self._send(method, target, pieces)
            self._take(parts, begin + patience)
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
        )

    def renew(self) -> bool:
        """Make ready for a further request; False where this connection takes none."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    def end(self) -> tuple[bool, bytes]:
        """Wait for the server to close; say whether it did, and what it sent before."""
        until = time.perf_counter() + _left(self._until, CLOSING_S)
        surplus = bytearray()
        try:
            while len(surplus) < LIMIT_BYTES:
                surplus += self.receive(until)
        except EOFError:
            return True, bytes(surplus)
        except OSError as error:
            return not isinstance(error, TimeoutError), bytes(surplus)
        return False, bytes(surplus)

    def send(self, data: bytes) -> None:
        """Send bytes; OSError where that fails."""
        self._socket.settimeout(_left(self._until, PATIENCE_S))
        self._socket.sendall(data)

    def receive(self, until: float) -> bytes:
        """Take what comes next; TimeoutError where nothing does, EOFError where the server closed."""
        left = min(until, self._until) - time.perf_counter()
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

    def _send(self, method: str, target: str, pieces: int) -> None:
        # The load generator offers compression as browsers do; so it is offered here, and must not be taken up.
        headers = [("Host", self._authority), ("Accept", "*/*"), ("Accept-Encoding", "gzip, deflate")]
        if method == "POST":
            headers.append(("Content-Length", "0"))
        data = self._http.send(h11.Request(method=method, target=target, headers=headers)) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        size = -(-len(data) // pieces)
        for start in range(0, len(data), size):
            if start:
                time.sleep(PAUSE_S)
            self.send(data[start : start + size])

    def _take(self, parts: _Parts, until: float) -> None:
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
                if len(parts.body) > LIMIT_BYTES:
                    raise h11.RemoteProtocolError(f"more than {LIMIT_BYTES} bytes")
            elif isinstance(event, h11.EndOfMessage):
                return
            elif not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError("a change of protocol that nobody asked for")

    def _feed(self, parts: _Parts, until: float) -> None:
        try:
            self._http.receive_data(self.receive(until))
        except EOFError:
            parts.ended = True
            if parts.status is None:
                raise
            self._http.receive_data(b"")  # with a length this is a fault, without one the end: h11 knows which


class Client:
    """Asks over one kept connection where the server lets it, else over a new one."""

    def __init__(self, host: str, port: int, *, until: float, closes: bool) -> None:
        """Aim at a server; `closes` where it declares that it closes every connection."""
        self._host, self._port, self._until, self._closes = host, port, until, closes
        self._line: Line | None = None

    def ask(self, method: str, target: str, *, wait_s: float = 0.0, pieces: int = 1) -> Answer:
        """Ask once; again on a new connection where the kept one had been closed without a word."""
        if self._line is not None:
            answer = self._ask(self._line, method, target, wait_s, pieces)
            if answer.status is not None or not answer.ended:
                return replace(answer, reused=True)
        try:
            line = Line(self._host, self._port, until=self._until)
        except OSError as error:
            return Answer(fault=f"no connection ({error.strerror or error})", ended=True)
        return self._ask(line, method, target, wait_s, pieces)

    def close(self) -> None:
        """Give the kept connection up."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _ask(self, line: Line, method: str, target: str, wait_s: float, pieces: int) -> Answer:
        self._line = None
        answer = line.ask(method, target, wait_s=wait_s, pieces=pieces)
        if self._closes and answer.fault is None:
            ended, surplus = line.end()
            answer = replace(answer, ended=ended, surplus=answer.surplus + surplus)
        if answer.fault is None and not self._closes and line.renew():
            self._line = line
        else:
            line.close()
        return answer


def _left(until: float, most: float) -> float:
    """Give the seconds to wait: what is left, at most so many, never the 0 that means for ever or not at all."""
    return max(min(until - time.perf_counter(), most), 0.001)


def _cut(parts: _Parts, how: str) -> str:
    if parts.status is None:
        return f"no answer, {how}"
    length = dict(parts.headers).get("content-length", "an unknown number of")
    return f"{len(parts.body)} of {length} bytes, {how}"
