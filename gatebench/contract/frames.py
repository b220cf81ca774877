"""A WebSocket over a plain socket, every wait bounded, no extension offered.

Knows the grammar of RFC 6455. Must not know rules. What the server does wrong comes out as a BrokenError.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque

from websockets.client import ClientProtocol
from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import Event
from websockets.uri import parse_uri

from gatebench.contract.wire import CLOSING_S, Line, Server

Message = str | bytes


class BrokenError(Exception):
    """The server did not do as a WebSocket does; the text says what it did."""


class WebSocket:
    """One connection; `response` is the server's answer to the handshake."""

    def __init__(self, server: Server, path: str) -> None:
        """Open; BrokenError where no answer comes, but any answer is taken for one."""
        scheme = "wss" if server.tls else "ws"
        address = parse_uri(f"{scheme}://{server.authority}{path}")
        self._patience_s = server.patience_s
        self._protocol = ClientProtocol(address, max_size=server.limit_bytes)
        self._events: deque[Event] = deque()
        try:
            self._line = Line(server)
        except OSError as error:
            raise BrokenError(f"no connection ({error.strerror or error})") from error
        try:
            self._protocol.send_request(self._protocol.connect())
            self._flush()
            first = self._next(time.perf_counter() + self._patience_s)
        except BrokenError:
            self._line.close()
            raise
        if not isinstance(first, Response):
            self._line.close()
            raise BrokenError("a frame before the handshake's answer")
        self.response = first
        self.fault = self._protocol.handshake_exc  # why the answer is no handshake; None where it is one

    def send(self, *messages: Message) -> None:
        """Send messages, all in one go."""
        try:
            for message in messages:
                if isinstance(message, str):
                    self._protocol.send_text(message.encode())
                else:
                    self._protocol.send_binary(message)
        except WebSocketException as error:
            raise BrokenError(f"a connection that the server closed ({error})") from error
        self._flush()

    def receive(self) -> Message:
        """Take the next message, whole."""
        until = time.perf_counter() + self._patience_s
        kind, data = Opcode.CONT, bytearray()
        while True:
            frame = self._next(until)
            if not isinstance(frame, Frame) or frame.opcode in (Opcode.PING, Opcode.PONG):
                continue
            if frame.opcode is Opcode.CLOSE:
                raise BrokenError("the connection being closed")
            kind = kind if frame.opcode is Opcode.CONT else frame.opcode
            data += frame.data
            if frame.fin:
                return data.decode("utf-8", "backslashreplace") if kind is Opcode.TEXT else bytes(data)

    def close(self) -> None:
        """Say goodbye and leave, whether or not it is answered."""
        until = time.perf_counter() + CLOSING_S
        with contextlib.suppress(BrokenError, WebSocketException):
            self._protocol.send_close(1000)
            self._flush()
            while True:
                self._next(until)
        self._line.close()

    def _flush(self) -> None:
        try:
            for data in self._protocol.data_to_send():
                if data:
                    self._line.send(data)
        except OSError as error:
            raise BrokenError(f"a connection that takes no more ({error.strerror or error})") from error

    def _next(self, until: float) -> Event:
        while not self._events:
            begin = time.perf_counter()
            try:
                self._protocol.receive_data(self._line.receive(until))
            except TimeoutError:
                raise BrokenError(f"nothing within {max(until - begin, 0):.1f} s") from None
            except (EOFError, OSError) as error:
                raise BrokenError("the connection ended") from error
            self._flush()
            self._events.extend(self._protocol.events_received())
            fault = self._protocol.handshake_exc or self._protocol.parser_exc
            if fault and not self._events:
                raise BrokenError(f"no WebSocket ({fault})")
        return self._events.popleft()
