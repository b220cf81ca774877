"""WebSocket frames as bytes, on the client's side: those to send made, those that came joined to messages.

Knows the grammar of RFC 6455 without extensions. Must not know sockets, gevent, Locust, or what a good answer is; a
text is bytes here, and whether these are UTF-8 is for its reader to find out.
"""

from __future__ import annotations

import base64
import hashlib
import struct

from gatebench.swarm.wire import Head, WireError, elements, fields, render

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MESSAGE_LIMIT = 64 << 20
SHORT = 125  # the longest payload whose length stands in the second byte, and the longest of a control frame
IN_TWO, IN_EIGHT = 126, 127  # the length stands in so many further bytes

MASKED = "frame of the server is masked"
RESERVED = "frame with reserved bits or a reserved opcode"
WRONG_CONTROL = "control frame in fragments or longer than 125 bytes"
STRAY = "continuation of no message"
NESTED = "message begun within another"
LONG_MESSAGE = "message longer than 64 MiB"

_OPCODES = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_WHOLE = {0x80 | TEXT: TEXT, 0x80 | BINARY: BINARY}  # first byte of a whole message
_SHORT = struct.Struct("!BBI")
_MEDIUM = struct.Struct("!BBHI")
_LONG = struct.Struct("!BBQI")
_ACCEPTED_WITH = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def handshake(path: str, netloc: str, key: str) -> bytes:
    """Give the request that opens a WebSocket; `key` is 16 random bytes in Base64."""
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Version": "13",
    }
    return render("GET", path, netloc, headers, None)


def accepted(head: Head, key: str) -> str:
    """Say why this answer to a handshake opens no WebSocket; nothing where it does."""
    if head.status != 101:
        return f"handshake answered with status {head.status}"
    found = fields(head.raw)
    digest = hashlib.sha1((key + _ACCEPTED_WITH).encode(), usedforsecurity=False).digest()
    good = (
        elements(found, "upgrade") == ["websocket"]
        and "upgrade" in elements(found, "connection")
        and [value for name, value in found if name == "sec-websocket-accept"] == [base64.b64encode(digest).decode()]
        and not {"sec-websocket-extensions", "sec-websocket-protocol"}
        & {name for name, _ in found}  # none was offered
    )
    return "" if good else "handshake not completed"


def frame(opcode: int, payload: bytes, mask: int) -> bytes:
    """Give a whole frame of the client; `mask` is 32 random bits."""
    size = len(payload)
    if size <= SHORT:
        start = _SHORT.pack(0x80 | opcode, 0x80 | size, mask)
    elif size < 1 << 16:
        start = _MEDIUM.pack(0x80 | opcode, 0x80 | IN_TWO, size, mask)
    else:
        start = _LONG.pack(0x80 | opcode, 0x80 | IN_EIGHT, size, mask)
    repeated = (mask.to_bytes(4, "big") * (size // 4 + 1))[:size]
    return start + (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


class Frames:
    """What one server sends over one connection; after a WireError of no more use."""

    __slots__ = ("_buffer", "_message", "_opcode")

    _buffer: bytearray | None  # came and is no whole frame; None while a connection idles: there may be thousands
    _message: bytearray | None  # the fragments so far of a message
    _opcode: int  # of that message

    def __init__(self) -> None:
        self._buffer = self._message = None
        self._opcode = CONTINUATION

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take in what came; give the messages and control frames that it completes, each as (opcode, payload)."""
        buffer = self._buffer
        if buffer is None:
            if self._message is None and len(data) > 1:
                opcode = _WHOLE.get(data[0])
                size = data[1]
                if opcode is not None and size <= SHORT and size == len(data) - 2:
                    return [(opcode, data[2:])]
            buffer = bytearray(data)
        else:
            buffer += data
        found: list[tuple[int, bytes]] = []
        at = 0
        while (end := self._next(buffer, at, found)) is not None:
            at = end
        del buffer[:at]
        self._buffer = buffer or None
        return found

    def _next(self, buffer: bytearray, at: int, found: list[tuple[int, bytes]]) -> int | None:
        """Take the frame that begins here and give its end; None where it is not whole."""
        start = at + 2
        if len(buffer) < start:
            return None
        first, size = buffer[at], buffer[at + 1]
        opcode, final = first & 0x0F, first >= 0x80
        self._check(first, size)
        if size > SHORT:
            width = 2 if size == IN_TWO else 8
            start += width
            if len(buffer) < start:
                return None
            size = int.from_bytes(buffer[start - width : start], "big")
        if opcode < CLOSE and len(self._message or b"") + size > MESSAGE_LIMIT:
            raise WireError(LONG_MESSAGE)
        end = start + size
        if len(buffer) < end:
            return None
        payload = bytes(buffer[start:end])
        if opcode >= CLOSE or (final and opcode != CONTINUATION):
            found.append((opcode, payload))
        else:
            self._join(opcode, payload)
            if final:
                found.append((self._opcode, bytes(self._message or b"")))
                self._message = None
        return end

    def _check(self, first: int, size: int) -> None:
        """Refuse what the first two bytes of a frame tell."""
        opcode = first & 0x0F
        if first & 0x70 or opcode not in _OPCODES:
            raise WireError(RESERVED)
        if size >= 0x80:
            raise WireError(MASKED)
        if opcode >= CLOSE:
            if first < 0x80 or size > SHORT:
                raise WireError(WRONG_CONTROL)
        elif (opcode == CONTINUATION) != (self._message is not None):
            raise WireError(STRAY if opcode == CONTINUATION else NESTED)

    def _join(self, opcode: int, payload: bytes) -> None:
        if self._message is None:
            self._opcode, self._message = opcode, bytearray()
        self._message += payload
