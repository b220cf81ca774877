"""The route `ws`: every message comes back as it was, whatever its size and kind.

Knows the WebSocket's rules. Must not know sockets or other routes.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from gatebench.contract.finding import Finding
from gatebench.contract.frames import BrokenError, Message, WebSocket
from gatebench.contract.wire import Server

SIZES = (0, 125, 126, 65_536)  # the last of each way to write a length, and the first of the next
BURST = 3


def visited(server: Server, inputs: Random) -> Iterator[Finding]:
    """Open one connection, send messages of every size and kind, then several at once."""
    try:
        socket = WebSocket(server, "/ws")
    except BrokenError as error:
        yield Finding("ws", "handshake", ok=False, expected="status 101", found=str(error))
        return
    try:
        yield from _opened(socket)
        if socket.fault is None:
            yield from _echoes(socket, inputs)
    finally:
        socket.close()


def _opened(socket: WebSocket) -> Iterator[Finding]:
    extension = socket.response.headers.get("Sec-WebSocket-Extensions")
    yield Finding("ws", "compression", extension is None, "no extension, as none was offered", extension or "none")
    found = str(socket.fault or f"status {socket.response.status_code}")
    yield Finding("ws", "handshake", socket.fault is None, "status 101", found)


def _echoes(socket: WebSocket, inputs: Random) -> Iterator[Finding]:
    messages = [message for size in SIZES for message in (_text(size, inputs), inputs.randbytes(size))]
    for message in messages:
        finding = _echo(socket, [message], "frame")
        yield finding
        if not finding.ok:  # later messages would be taken for this one
            return
    yield _echo(socket, [_text(10 + turn, inputs) for turn in range(BURST)], "burst")


def _echo(socket: WebSocket, messages: list[Message], rule: str) -> Finding:
    expected = " and ".join(_described(message) for message in messages)
    try:
        socket.send(*messages)
        for message in messages:
            back = socket.receive()
            if back != message:
                found = f"{_described(back)}{', but others' if _described(back) == _described(message) else ''}"
                return Finding("ws", rule, ok=False, expected=f"{expected} back", found=found)
    except BrokenError as error:
        return Finding("ws", rule, ok=False, expected=f"{expected} back", found=str(error))
    return Finding("ws", rule, ok=True, expected=f"{expected} back", found="the same")


def _text(size: int, inputs: Random) -> str:
    return "".join(inputs.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=size))


def _described(message: Message) -> str:
    return f"{len(message)} {'characters of text' if isinstance(message, str) else 'bytes'}"
