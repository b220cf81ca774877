"""WebSocket by its own handshake, over HTTP/1.1.

Knows, by `wsproto`, the grammar. Must not know HTTP/2: what goes over a stream of it is in `http2`.
"""

from __future__ import annotations

from typing import Protocol

import wsproto
from wsproto.connection import Connection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from gatebench.protocols.talk import Place, Record, RefusedError, Seen, Wire

MESSAGE = "is there anybody? …"


class _Way(Protocol):
    """Bytes to a server and from it."""

    def send(self, data: bytes) -> None: ...

    def receive(self, until: float) -> bytes: ...


def websocket(place: Place, record: Record) -> Seen:
    """Open a WebSocket and send a message: it comes back."""
    socket = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    with Wire(place, record) as wire:
        wire.send(socket.send(Request(host=place.authority, target=place.websocket_path)))
        until = place.until()
        while True:
            event = _next(socket, wire, until)
            if isinstance(event, RejectConnection):
                raise RefusedError(f"it answered {event.status_code} to the handshake")
            if isinstance(event, AcceptConnection):
                break
        echoed(socket, wire, until)
        return Seen(why="a message came back over HTTP/1.1's handshake")


def echoed(socket: wsproto.WSConnection | Connection, way: _Way, until: float) -> None:
    """Send a message and wait for it; RefusedError where another comes, or the end."""
    way.send(socket.send(TextMessage(data=MESSAGE)))
    came, whole = "", False
    while not whole:
        event = _next(socket, way, until)
        if isinstance(event, CloseConnection):
            raise RefusedError(f"it closed the WebSocket with code {event.code}")
        if isinstance(event, TextMessage):
            came, whole = came + event.data, event.message_finished
    if came != MESSAGE:
        raise RefusedError("another message came back than was sent")
    way.send(socket.send(CloseConnection(code=1000)))


def _next(socket: wsproto.WSConnection | Connection, way: _Way, until: float) -> Event:
    while True:
        for event in socket.events():
            if not isinstance(event, RejectData):
                return event
        data = way.receive(until)
        if not data:
            raise RefusedError("the server closed")
        socket.receive_data(data)
