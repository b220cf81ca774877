"""HTTP/3: a connection over UDP has as many requests at a time as are asked.

Knows, by aioquic, QUIC and the grammar; aioquic itself holds back what is beyond the server's limit on streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Any

from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, QuicEvent, StreamReset

from gatebench.streams.http2 import Stream, headers
from gatebench.streams.job import Job
from gatebench.streams.lane import LONGEST_BODY, Lane, Line, OpeningError, Turn, why

DATAGRAM_BYTES = 65536
READS = 64  # at a time: then what is due is sent
BUFFER_BYTES = 4 << 20  # a burst of answers must not be lost in the kernel


class Http3:
    """A connection and its streams."""

    def __init__(self, opened: socket.socket, lane: Lane, job: Job) -> None:
        self._socket = opened
        self._lane = lane
        self._loop = asyncio.get_running_loop()
        self.greeted: asyncio.Future[None] = self._loop.create_future()  # the handshake is done
        self._headers = headers(job)
        self._address = opened.getpeername()
        configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE)
        self._quic = QuicConnection(configuration=configuration)
        self._http: H3Connection | None = None
        self._streams: dict[int, Stream] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._retired = False
        self._closed = False
        self._loop.add_reader(opened.fileno(), self._readable)
        self._quic.connect(self._address, now=self._loop.time())

    @property
    def room(self) -> bool:
        """Whether it takes requests."""
        return not self._retired

    def ask(self, turn: Turn) -> None:
        """Open a stream for a request."""
        if self._http is not None:
            number = self._quic.get_next_available_stream_id()
            self._http.send_headers(number, self._headers, end_stream=True)
            self._streams[number] = Stream(turn)

    def flush(self) -> None:
        """Send all datagrams that are due, and wake when others are."""
        if self._closed:
            return
        now = self._loop.time()
        with contextlib.suppress(OSError):  # what is lost is sent again, and reading tells of a server that has left
            for data, _ in self._quic.datagrams_to_send(now=now):
                self._socket.send(data)
        due = self._quic.get_timer()
        if due != self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None if due is None else self._loop.call_at(due, self._late)
            self._due = due

    def give_up(self, turn: Turn) -> None:
        """Forget a request's stream."""
        self._streams = {number: stream for number, stream in self._streams.items() if stream.turn is not turn}

    def retire(self) -> None:
        """Take no more requests, and close when the last one has its answer."""
        self._retired = True
        self._lane.retired(self)
        if not self._streams:
            self.close()

    def close(self) -> None:
        """Close at once, and say so."""
        if self._closed:
            return
        self._quic.close()
        self.flush()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._lane.closed(self)

    def _late(self) -> None:
        """Do what is due by the clock: what may be lost is sent again."""
        due, self._timer, self._due = self._due, None, None
        self._quic.handle_timer(now=max(due or 0.0, self._loop.time()))
        self._heed()

    def _readable(self) -> None:
        """Take in all that is there, then send what is to be sent next."""
        end = None
        try:
            for _ in range(READS):
                data = self._socket.recv(DATAGRAM_BYTES)
                self._quic.receive_datagram(data, self._address, now=self._loop.time())
        except BlockingIOError:
            pass
        except OSError as error:
            end = f"the connection broke ({why(error)})"
        self._heed(end)

    def _heed(self, end: str | None = None) -> None:
        try:
            while (event := self._quic.next_event()) is not None:
                if isinstance(event, ConnectionTerminated):
                    end = f"the connection ended ({event.reason_phrase or f'code {event.error_code}'})"
                self._take(event)
        except (ValueError, AssertionError) as error:
            end = f"no HTTP/3 ({error})"
        if end is not None:
            self._ended(end)
        if self._retired and not self._streams:
            self.close()
        self.flush()
        self._lane.pump()

    def _take(self, event: QuicEvent) -> None:
        if isinstance(event, HandshakeCompleted):
            self._http = H3Connection(self._quic)
            if not self.greeted.done():
                self.greeted.set_result(None)
        elif isinstance(event, StreamReset) and (stream := self._streams.pop(event.stream_id, None)) is not None:
            if event.error_code == ErrorCode.H3_REQUEST_REJECTED:
                self._lane.refused(stream.turn)
                self.retire()
            else:
                self._lane.failed(stream.turn, f"the stream was reset ({event.error_code})")
        elif self._http is not None:
            for piece in self._http.handle_event(event):
                self._hear(piece)

    def _hear(self, event: H3Event) -> None:
        if not isinstance(event, HeadersReceived | DataReceived):
            return
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        if isinstance(event, DataReceived):
            if len(stream.body) <= LONGEST_BODY:
                stream.body += event.data
        elif event.headers and event.headers[0][0] == b":status":  # trailers have none
            stream.status = int(event.headers[0][1])
        if event.stream_ended:
            del self._streams[event.stream_id]
            self._lane.answered(stream.turn, stream.status, stream.body)

    def _ended(self, reason: str) -> None:
        """Count all open streams as errors."""
        if not self.greeted.done():
            self.greeted.set_exception(OpeningError(reason))
        streams, self._streams = self._streams, {}
        self.retire()
        for stream in streams.values():
            self._lane.failed(stream.turn, reason)


class Http3Opener:
    """Opens connections that speak HTTP/3."""

    def __init__(self, job: Job) -> None:
        self._job = job

    async def __call__(self, lane: Lane) -> Line:
        """Open one; OSError or OpeningError where that fails."""
        address: Any = (str(self._job.address), self._job.port)
        opened = socket.socket(
            socket.AF_INET6 if self._job.address.version == 6 else socket.AF_INET, socket.SOCK_DGRAM
        )
        try:
            opened.setblocking(False)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            opened.connect(address)
            line = Http3(opened, lane, self._job)
        except BaseException:
            opened.close()
            raise
        try:
            line.flush()
            await line.greeted
        except BaseException:
            line.close()
            raise
        return line
