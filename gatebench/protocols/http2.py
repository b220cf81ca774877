"""HTTP/2: by ALPN, with prior knowledge and by Upgrade; streams side by side; WebSocket over one of them.

Knows, by `h2`, the grammar. Must not know routes beyond those it asks for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
from wsproto import ConnectionType
from wsproto.connection import Connection

from gatebench.protocols import http1
from gatebench.protocols.talk import Place, Record, RefusedError, Seen, Wire
from gatebench.protocols.websocket import echoed

Way = Literal["ALPN", "prior knowledge", "Upgrade"]
STREAMS = 5
WAIT_S = 0.5  # what each of the streams waits by design
TOGETHER_S = 0.9  # within which streams that wait side by side have ended; two in a row take 1 s


@dataclass(slots=True)
class Stream:
    """One stream, as it comes in."""

    status: int = 0
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    ended: bool = False


class Conversation:
    """One connection of HTTP/2, opened one of its ways."""

    def __init__(self, place: Place, wire: Wire, way: Way) -> None:
        """Open it; RefusedError or OSError where the server does not speak it."""
        self._place, self._wire = place, wire
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.streams: dict[int, Stream] = {}
        self.settled = False  # the server's SETTINGS have come
        if way == "ALPN" and wire.alpn != "h2":
            raise RefusedError(f"in TLS the server chose {wire.alpn or 'no protocol'}, not h2")
        if way == "Upgrade":
            self._upgrade()
        else:
            self._http.initiate_connection()
        self._flush()

    @property
    def connects(self) -> bool:
        """Say whether the server's SETTINGS offer the extended CONNECT."""
        return self._http.remote_settings.enable_connect_protocol == 1

    def ask(self, target: str, *more: tuple[str, str], method: str = "GET", ends: bool = True) -> int:
        """Send a request; give the number of its stream."""
        number = self._http.get_next_available_stream_id()
        scheme = "https" if self._wire.alpn else "http"
        first = [(":method", method), (":scheme", scheme), (":authority", self._place.authority), (":path", target)]
        self.streams[number] = Stream()
        self._http.send_headers(number, [*first, *more], end_stream=ends)
        self._flush()
        return number

    def give(self, number: int, data: bytes) -> None:
        """Send bytes on a stream."""
        self._http.send_data(number, data)
        self._flush()

    def wait(self, until: float, done: Callable[[], bool]) -> None:
        """Take what comes until this is so; TimeoutError or RefusedError where it does not come to that."""
        while not done():
            data = self._wire.receive(until)
            if not data:
                raise RefusedError("the server closed")
            for event in self._http.receive_data(data):
                self._take(event)
            self._flush()

    def answered(self, number: int, until: float) -> Stream:
        """Wait for the end of a stream; RefusedError where its status is not 200."""
        stream = self.streams[number]
        self.wait(until, lambda: stream.ended)
        if stream.status != 200:
            raise RefusedError(f"it answered {stream.status}")
        return stream

    def _upgrade(self) -> None:
        settings = (self._http.initiate_upgrade_connection() or b"").decode()
        more = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", f"HTTP2-Settings: {settings}")
        self._wire.send(http1.head(self._place, self._place.path, *more))
        until, came = self._place.until(), b""
        while b"\r\n\r\n" not in came:
            data = self._wire.receive(until)
            if not data:
                raise RefusedError("the server closed when asked to upgrade")
            came += data
        start, _, rest = came.partition(b"\r\n\r\n")
        if not start.startswith(b"HTTP/1.1 101"):
            raise RefusedError(f"asked to upgrade, it answered {start[:12].decode('latin-1')}")
        self.streams[1] = Stream()
        self._wire.left = rest

    def _flush(self) -> None:
        if data := self._http.data_to_send():
            self._wire.send(data)

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.settled = True
        elif isinstance(event, h2.events.ConnectionTerminated):
            raise RefusedError(f"the server left with code {event.error_code}")
        elif isinstance(event, h2.events.StreamReset):
            raise RefusedError(f"stream {event.stream_id} was reset ({_name(event.error_code)})")
        number = getattr(event, "stream_id", None)
        if number not in self.streams:
            return
        stream = self.streams[number]
        if isinstance(event, h2.events.ResponseReceived):
            stream.status = int(dict(_texts(event.headers)).get(":status", "0"))
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            self._http.acknowledge_received_data(event.flow_controlled_length, number)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = dict(_texts(event.headers))
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True


def _texts(headers: object) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in headers or ()]  # type: ignore[attr-defined]


def _name(code: object) -> str:
    return code.name if isinstance(code, h2.errors.ErrorCodes) else str(code)


def _wire(place: Place, record: Record, way: Way) -> Wire:
    record.note(f"HTTP/2 by {way}, {'over TLS' if way == 'ALPN' else 'in clear'}")
    return Wire(place, record, tls=way == "ALPN", alpn="h2")


def ways(place: Place) -> tuple[Way, ...]:
    """Name the ways in which a server of this kind may speak HTTP/2."""
    return ("ALPN",) if place.tls else ("prior knowledge", "Upgrade")


def _first(place: Place, record: Record, way: Way) -> None:
    """Open a connection and have the first request answered."""
    with _wire(place, record, way) as wire:
        talk = Conversation(place, wire, way)
        number = 1 if way == "Upgrade" else talk.ask(place.path)
        talk.answered(number, place.until())


def h2_tls(place: Place, record: Record) -> Seen:
    """Ask over TLS, with h2 offered by ALPN."""
    _first(place, record, "ALPN")
    return Seen(why="chosen by ALPN, and a request answered")


def h2c(place: Place, record: Record) -> Seen:
    """Ask in clear, with prior knowledge and by an Upgrade."""
    spoken, told = [], []
    for way in ("prior knowledge", "Upgrade"):
        try:
            _first(place, record, way)
        except RefusedError as error:
            told.append(f"by {way}: {error}")
        except TimeoutError:
            told.append(f"by {way}: nothing within {place.patience_s:.1f} s")
        except OSError as error:
            told.append(f"by {way}: {error.strerror or error}")
        else:
            spoken.append(way)
    if not spoken:
        raise RefusedError("; ".join(told))
    return Seen(why="; ".join([f"a request in clear was answered by {' and by '.join(spoken)}", *told]))


def multiplexed(place: Place, record: Record) -> Seen:
    """Ask for answers that wait, on streams of one connection: they end together."""
    way = _working(place)
    with _wire(place, record, way) as wire:
        talk = Conversation(place, wire, way)
        if way == "Upgrade":
            talk.answered(1, place.until())
        begin = time.perf_counter()
        numbers = [talk.ask(f"/sleep?s={WAIT_S}") for _ in range(STREAMS)]
        until = place.until(STREAMS * WAIT_S)
        for number in numbers:
            talk.answered(number, until)
        return together(time.perf_counter() - begin)


def together(elapsed_s: float) -> Seen:
    """Judge how long streams that wait took in all."""
    why = f"{STREAMS} streams of one connection that wait {WAIT_S} s each took {elapsed_s:.2f} s"
    if elapsed_s > TOGETHER_S:
        raise RefusedError(why, figure=elapsed_s)
    return Seen(why=why, figure=elapsed_s)


def _working(place: Place) -> Way:
    """Find the way in which this server speaks HTTP/2."""
    *others, last = ways(place)
    for way in others:
        try:
            _first(place, Record(), way)
        except (RefusedError, OSError, ValueError):
            continue
        return way
    return last


class _Tunnel:
    """A stream of HTTP/2 as bytes in and out."""

    def __init__(self, talk: Conversation, number: int) -> None:
        self._talk, self._number, self._stream = talk, number, talk.streams[number]

    def send(self, data: bytes) -> None:
        self._talk.give(self._number, data)

    def receive(self, until: float) -> bytes:
        self._talk.wait(until, lambda: bool(self._stream.body) or self._stream.ended)
        data, self._stream.body = self._stream.body, b""
        return data


def websocket(place: Place, record: Record) -> Seen:
    """Open a WebSocket by an extended CONNECT (RFC 8441) and send a message: it comes back."""
    way = _working(place)
    with _wire(place, record, way) as wire:
        talk, until = Conversation(place, wire, way), place.until()
        talk.wait(until, lambda: talk.settled)
        if not talk.connects:
            raise RefusedError("its SETTINGS do not offer the extended CONNECT (RFC 8441)")
        more = ((":protocol", "websocket"), ("sec-websocket-version", "13"))
        number = talk.ask(place.websocket_path, *more, method="CONNECT", ends=False)
        stream = talk.streams[number]
        talk.wait(until, lambda: stream.status > 0 or stream.ended)
        if stream.status != 200:
            raise RefusedError(f"it answered {stream.status} to the extended CONNECT")
        echoed(Connection(ConnectionType.CLIENT), _Tunnel(talk, number), until)
        return Seen(why="a message came back over a stream opened by an extended CONNECT")


def trailers(place: Place, record: Record) -> Seen:
    """Ask an app for trailers over HTTP/2."""
    way = _working(place)
    with _wire(place, record, way) as wire:
        talk = Conversation(place, wire, way)
        stream = talk.answered(talk.ask("/trailers", ("te", "trailers")), place.until())
        if http1.TRAILER.decode() not in stream.trailers:
            raise RefusedError("the answer came without its trailer over HTTP/2, too")
        return Seen(why="the trailer came after the body, over HTTP/2 and not over HTTP/1.1")
