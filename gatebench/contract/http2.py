"""HTTP/2 over one connection, every wait bounded; in clear, with prior knowledge, where the server has no TLS.

Knows sockets and, by `h2`, the grammar. Must not know routes. No error leaves this module.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import replace

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from gatebench.contract.wire import Answer, Server, connected


def ask(server: Server, targets: Sequence[str]) -> list[Answer]:
    """Send GETs all at once and take their answers, in the same order."""
    try:
        opened = connected(server, "h2")
    except OSError as error:
        return [Answer(fault=f"no connection ({error.strerror or error})") for _ in targets]
    with contextlib.closing(opened):
        if isinstance(opened, ssl.SSLSocket) and (chosen := opened.selected_alpn_protocol()) != "h2":
            return [Answer(fault=f"the server chose {chosen or 'nothing'}, not h2") for _ in targets]
        return _Conversation(server, opened).asked(targets)


class _Conversation:
    """One connection, while it lasts."""

    def __init__(self, server: Server, opened: socket.socket) -> None:
        self._server = server
        self._socket = opened
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self._answers: dict[int, Answer] = {}
        self._open: set[int] = set()

    def asked(self, targets: Sequence[str]) -> list[Answer]:
        fault = "no answer, the connection ended"
        try:
            self._send(targets)
            while self._open:
                data = self._received()
                if not data:
                    break
                for event in self._http.receive_data(data):
                    self._take(event)
                self._socket.sendall(self._http.data_to_send())
        except TimeoutError:
            fault = f"no whole answer within {self._server.patience_s:.1f} s"
        except OSError as error:
            fault = f"the connection broke ({error.strerror or error})"
        except (h2.exceptions.H2Error, ValueError) as error:  # a ValueError where a header is no text
            fault = f"no HTTP/2 ({error})"
        numbers = [2 * turn + 1 for turn in range(len(targets))]  # streams as clients number them
        answers = [self._answers.get(number, Answer()) for number in numbers]
        return [
            replace(answer, fault=answer.fault or fault) if number in self._open or answer.status is None else answer
            for number, answer in zip(numbers, answers, strict=True)
        ]

    def _send(self, targets: Sequence[str]) -> None:
        self._until = min(self._server.until, time.perf_counter() + self._server.patience_s)
        self._http.initiate_connection()
        scheme = "https" if self._server.tls else "http"
        for turn, target in enumerate(targets):
            stream = 2 * turn + 1
            headers = [
                (":method", "GET"),
                (":scheme", scheme),
                (":authority", self._server.authority),
                (":path", target),
            ]
            self._http.send_headers(stream, [*headers, ("accept", "*/*")], end_stream=True)
            self._open.add(stream)
            self._answers[stream] = Answer()
        self._socket.settimeout(max(self._until - time.perf_counter(), 0.001))
        self._socket.sendall(self._http.data_to_send())

    def _received(self) -> bytes:
        left = self._until - time.perf_counter()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        return self._socket.recv(65536)

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            headers = tuple((str(name), str(value)) for name, value in event.headers or ())
            status = int(dict(headers).get(":status", "0"))
            self._change(event.stream_id, status=status, headers=headers)
        elif isinstance(event, h2.events.DataReceived):
            stream = event.stream_id
            body = self._answers[stream].body + event.data
            if len(body) > self._server.limit_bytes:
                raise ValueError(f"more than {self._server.limit_bytes} bytes")
            self._change(stream, body=body)
            self._http.acknowledge_received_data(event.flow_controlled_length, stream)
        elif isinstance(event, h2.events.StreamEnded):
            self._open.discard(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self._change(event.stream_id, fault=f"the stream was reset ({event.error_code})")
            self._open.discard(event.stream_id)
        elif isinstance(event, h2.events.ConnectionTerminated):
            raise ConnectionResetError(f"the server left with code {event.error_code}")

    def _change(self, stream: int, **changes: object) -> None:
        self._answers[stream] = replace(self._answers[stream], **changes)  # type: ignore[arg-type]
