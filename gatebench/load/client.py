"""One user's HTTP/1.1 connection: a request out, its answer in, checked, and told to Locust's request event.

Knows bytes, sockets and the parser that comes with Locust. Must not know windows, histograms or jobs: who listens to
Locust's event counts. No TLS, cookies, redirects or compression: a scenario that needs them uses Locust's own users.
"""

from __future__ import annotations

import json as standard_json
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random
from time import perf_counter, time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from geventhttpclient._parser import HTTPParseError, HTTPResponseParser
from locust import User
from locust.exception import CatchResponseError, StopTest

BODIES_CHECKED = 0.01  # share of answers whose bytes are compared, beside each user's first
RECEIVE_BYTES = 65536


class Expect(NamedTuple):
    """What an answer must be; anything else is a failure."""

    status: int = 200
    length: int | None = None  # exact length of the body in bytes; None takes any
    body: bytes | Callable[[bytes], bool] | None = None  # the bytes, or what says yes to them; None takes any


OK = Expect()


class Target:
    """Where a base URL points: looked up once, since every lookup costs a thread."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise StopTest(f"the host must be http://NAME:PORT, not {url!r}; TLS needs Locust's own users")
        self.netloc = parts.netloc.rpartition("@")[2]
        self.prefix = parts.path.rstrip("/")
        self._name = (parts.hostname, parts.port or 80)
        self._family: int | None = None
        self._address: Any = None

    def connect(self, timeout_s: float) -> socket.socket:
        """Open a connection within the time, or raise OSError (TimeoutError among them); it reads without limit."""
        if self._family is None:
            connection = socket.create_connection(self._name, timeout=timeout_s)
            self._family, self._address = connection.family, connection.getpeername()
        else:
            connection = socket.socket(self._family, socket.SOCK_STREAM)
            try:
                connection.settimeout(timeout_s)
                connection.connect(self._address)
            except BaseException:  # the end of a user included
                connection.close()
                raise
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(None)  # a timer for every read costs a third of the rate; Shared.watch looks after it
        return connection


class Answers(HTTPResponseParser):
    """The answers of one connection, one after another; its callbacks are called by the parser."""

    def __init__(self) -> None:
        super().__init__()
        self.body = b""
        self.begun = False
        self.complete = False
        self.surplus = False  # more came than was asked for

    def expect_another(self) -> None:
        """Forget the last answer, before the next request."""
        self.begun = self.complete = False

    def _on_message_begin(self) -> None:
        self.surplus = self.complete
        self.begun = True
        self.body = b""

    def _on_body(self, part: bytes) -> None:
        self.body = self.body + part if self.body else bytes(part)

    def _on_message_complete(self) -> None:
        self.complete = self.get_code() >= 200  # "100 Continue" and its like come before an answer

    def _on_headers_complete(self) -> bool:
        return False  # a body may follow

    def _on_status(self, _text: str) -> None: ...

    def _on_header_field(self, _text: str) -> None: ...

    def _on_header_value(self, _text: str) -> None: ...


class Client:
    """What a scenario calls as `self.client`: each call is one request, one answer, one event."""

    in_flight_since: float | None = None  # perf_counter of the request that waits for its answer

    def __init__(self, user: User, target: Target, *, timeout_s: float, random: Random) -> None:
        self.bodies_checked = 0
        self.retries = 0  # requests sent again, since the server had closed the idle connection
        self._user = user
        self._target = target
        self._timeout_s = timeout_s
        self._random = random
        self._fire = user.environment.events.request.fire
        self._head = f" HTTP/1.1\r\nHost: {target.netloc}\r\nUser-Agent: gatebench\r\n"
        self._connection: socket.socket | None = None
        self._answers = Answers()
        self._late = False

    def get(
        self, path: str, *, name: str | None = None, headers: Mapping[str, str] | None = None, expect: Expect = OK
    ) -> bytes | None:
        """Send a GET; give the body, or None where the answer was not as expected."""
        return self._request("GET", path, name=name, lines=self._lines(headers), expect=expect)

    def post(
        self,
        path: str,
        *,
        json: Any = None,
        data: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        name: str | None = None,
        expect: Expect = OK,
    ) -> bytes | None:
        """Send a POST with JSON, with data or with an empty body; give the body as `get` does."""
        if json is not None:
            data = standard_json.dumps(json, separators=(",", ":"))
            headers = {"Content-Type": "application/json", **(headers or {})}
        body = data.encode() if isinstance(data, str) else data or b""
        lines = f"{self._lines(headers)[:-2]}Content-Length: {len(body)}\r\n\r\n"
        return self._request("POST", path, name=name, lines=lines, expect=expect, body=body)

    def give_up(self) -> None:
        """Fail the request in flight for its lateness: shutting the connection wakes who reads from it."""
        if self._connection is not None:
            self._late = True
            shut(self._connection)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._late = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @staticmethod
    def _lines(headers: Mapping[str, str] | None) -> str:
        return "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n" if headers else "\r\n"

    def _request(
        self, method: str, path: str, *, name: str | None, lines: str, expect: Expect, body: bytes = b""
    ) -> bytes | None:
        request = f"{method} {self._target.prefix}{path}{self._head}{lines}".encode("ascii") + body
        began = time()
        self.in_flight_since = start = perf_counter()
        try:
            self._exchange(request)
        except (OSError, EOFError, HTTPParseError) as error:
            reason = f"no answer within {self._timeout_s:g} s" if self._late else reason_of(error)
            self.close()
        else:
            reason = ""
        took_s = perf_counter() - start
        self.in_flight_since = None
        answer = b"" if reason else self._answers.body
        reason = reason or self._mismatch(expect, answer)
        self._fire(
            request_type=method,
            name=name or path,
            response_time=took_s * 1000,
            response_length=len(answer),
            response=None,
            context=self._user.context(),
            exception=CatchResponseError(reason) if reason else None,
            start_time=began,
            url=path,
        )
        return None if reason else answer

    def _exchange(self, request: bytes) -> None:
        kept = self._connection
        if kept is not None:
            try:
                self._round_trip(kept, request)
            except (ConnectionError, EOFError):
                if self._answers.begun or self._late:
                    raise
                # The server may close a connection that lies idle; that this request met it is nobody's error.
                self.close()
                self.retries += 1
            else:
                return
        self._connection = self._target.connect(self._timeout_s)
        self._answers = Answers()
        self._round_trip(self._connection, request)

    def _round_trip(self, connection: socket.socket, request: bytes) -> None:
        answers = self._answers
        answers.expect_another()
        connection.sendall(request)
        while not answers.complete:
            part = connection.recv(RECEIVE_BYTES)
            answers.feed(part)  # nothing ends a body that came without a length; elsewhere it is HTTPParseError
            if not part and not answers.complete:
                raise EOFError
        if answers.surplus or not answers.should_keep_alive():
            self.close()

    def _mismatch(self, expect: Expect, body: bytes) -> str:
        """Say what of the answer is not as expected, without any value that another request would not have."""
        status = self._answers.get_code()
        if status != expect.status:
            return f"status {status} where {expect.status} was expected"
        if expect.length is not None and len(body) != expect.length:
            more = len(body) - expect.length
            return f"body {abs(more)} bytes {'longer' if more > 0 else 'shorter'} than expected"
        if self._answers.surplus:
            return "more bytes after the end of the answer"
        if expect.body is not None and (not self.bodies_checked or self._random.random() < BODIES_CHECKED):
            self.bodies_checked += 1
            if not (expect.body(body) if callable(expect.body) else body == expect.body):
                return "body other than expected"
        return ""


def shut(connection: socket.socket) -> None:
    """Shut a connection both ways, whatever has become of it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def reason_of(error: Exception) -> str:
    """Say why an exchange failed, without any value that another exchange would not have."""
    if isinstance(error, TimeoutError):
        return "connection not opened in time"
    if isinstance(error, HTTPParseError):
        return "connection closed within the answer" if "Incomplete" in str(error) else "answer is not HTTP/1.1"
    if isinstance(error, EOFError | ConnectionResetError | BrokenPipeError):
        return "connection closed before the answer"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
