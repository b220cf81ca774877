"""HTTP/3 over one connection of QUIC, every wait bounded.

Knows sockets and, by `aioquic`, the grammar. Must not know routes. No error leaves this module.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import replace

from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, QuicEvent, StreamReset

from gatebench.contract.wire import Answer, Server

DATAGRAM_BYTES = 65536


def ask(server: Server, targets: Sequence[str]) -> list[Answer]:
    """Send GETs all at once and take their answers, in the same order."""
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(found[0], socket.SOCK_DGRAM) as opened:
            opened.connect(found[4])
            return _Conversation(server, opened, found[4]).asked(targets)
    except OSError as error:
        return [Answer(fault=f"no connection ({error.strerror or error})") for _ in targets]


class _EndedError(Exception):
    """The server left."""


class _Conversation:
    """One connection, while it lasts."""

    def __init__(self, server: Server, opened: socket.socket, address: object) -> None:
        self._server = server
        self._socket = opened
        self._address = address
        configuration = QuicConfiguration(
            is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE, server_name=server.host
        )
        self._quic = QuicConnection(configuration=configuration)
        self._http: H3Connection | None = None
        self._answers: dict[int, Answer] = {}
        self._open: set[int] = set()

    def asked(self, targets: Sequence[str]) -> list[Answer]:
        fault = f"no whole answer within {self._server.patience_s:.1f} s"
        until = min(self._server.until, time.perf_counter() + self._server.patience_s)
        try:
            self._quic.connect(self._address, now=time.monotonic())
            while (self._http is None or self._open) and time.perf_counter() < until:
                self._exchange(until)
                while (event := self._quic.next_event()) is not None:
                    self._heed(event, targets)
            self._quic.close()
            self._flush()
        except _EndedError as error:
            fault = f"the connection ended ({error})"
        except OSError as error:
            fault = f"the connection broke ({error.strerror or error})"
        except (ValueError, AssertionError) as error:
            fault = f"no HTTP/3 ({error})"
        answers = [(number, self._answers.get(number, Answer())) for number in self._numbers(targets)]
        return [
            replace(answer, fault=answer.fault or fault) if number in self._open or answer.status is None else answer
            for number, answer in answers
        ]

    def _exchange(self, until: float) -> None:
        """Send what is due and wait for the next datagram, or for the moment when something is due again."""
        self._flush()
        timer, now = self._quic.get_timer(), time.monotonic()
        left = until - time.perf_counter()
        self._socket.settimeout(max(min(left, timer - now if timer is not None else left), 0.001))
        try:
            data = self._socket.recv(DATAGRAM_BYTES)
        except TimeoutError:
            if timer is not None and time.monotonic() >= timer:
                self._quic.handle_timer(now=time.monotonic())
        else:
            self._quic.receive_datagram(data, self._address, now=time.monotonic())

    def _flush(self) -> None:
        for data, _ in self._quic.datagrams_to_send(now=time.monotonic()):
            self._socket.send(data)

    def _heed(self, event: QuicEvent, targets: Sequence[str]) -> None:
        if isinstance(event, ConnectionTerminated):
            raise _EndedError(event.reason_phrase or f"code {event.error_code}")
        if isinstance(event, HandshakeCompleted):
            self._send(targets)
        elif isinstance(event, StreamReset) and event.stream_id in self._open:
            self._change(event.stream_id, fault=f"the stream was reset ({event.error_code})")
            self._open.discard(event.stream_id)
        if self._http is not None:
            for piece in self._http.handle_event(event):
                self._take(piece)

    def _send(self, targets: Sequence[str]) -> None:
        self._http = H3Connection(self._quic)
        for number, target in zip(self._numbers(targets), targets, strict=True):
            headers = {":method": "GET", ":scheme": "https", ":authority": self._server.authority, ":path": target}
            told = [(name.encode(), value.encode()) for name, value in {**headers, "accept": "*/*"}.items()]
            self._http.send_headers(number, told, end_stream=True)
            self._open.add(number)
            self._answers[number] = Answer()

    def _take(self, event: H3Event) -> None:
        if not isinstance(event, HeadersReceived | DataReceived) or event.stream_id not in self._open:
            return
        before = self._answers[event.stream_id]
        if isinstance(event, HeadersReceived):
            headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers)
            status = before.status or int(dict(headers).get(":status", "0"))  # trailers have none
            self._answers[event.stream_id] = replace(before, status=status, headers=before.headers + headers)
        else:
            self._answers[event.stream_id] = replace(before, body=before.body + event.data)
            if len(before.body) > self._server.limit_bytes:
                raise ValueError(f"more than {self._server.limit_bytes} bytes")
        if event.stream_ended:
            self._open.discard(event.stream_id)

    def _change(self, stream: int, *, fault: str) -> None:
        self._answers[stream] = replace(self._answers[stream], fault=fault)

    @staticmethod
    def _numbers(targets: Sequence[str]) -> list[int]:
        return [4 * turn for turn in range(len(targets))]  # streams as clients number them
