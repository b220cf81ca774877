"""HTTP/1.1 as bytes: requests rendered, answers parsed, however they are cut.

Knows the grammar of RFC 9112 and its bounds. Must not know sockets, gevent, Locust, or what a good answer is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

HEAD_LIMIT = 64 << 10  # bytes of a head, of a chunk's size line, of trailers
BODY_LIMIT = 256 << 20
REMEMBERED_HEADS = 1024
REMEMBERED_BYTES = 4096  # a longer head is parsed each time

NOT_HTTP = "answer is not HTTP/1.1"
LONG_HEAD = "head longer than 64 KiB"
LONG_BODY = "body longer than 256 MiB"
NO_SIZE = "chunk of a body without its size"
STRANGE_CODING = "transfer coding is not known"
CONTRADICTION = "lengths of the body contradict each other"
CLOSED_BEFORE = "connection closed before the answer"
CLOSED_WITHIN = "connection closed within the answer"

_LINE_END = b"\r\n"
_HEAD_END = b"\r\n\r\n"
_BEGINNING = b"HTTP/1."
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [\t -~\x80-\xff]*)?")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LENGTH = re.compile(r"[0-9]{1,20}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n\0]*)?")
_VISIBLE = re.compile(r"[!-~]+")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")


class WireError(Exception):
    """The peer broke the protocol; the text says how, in words that hold no value of this one exchange."""


class Head(NamedTuple):
    """The head of an answer, parsed."""

    status: int
    length: int | None  # of the body: by Content-Length, 0 where the status has none; None: in chunks or to the end
    chunked: bool
    keep_alive: bool  # may another request follow; never where the body runs to the end, nor after an upgrade
    raw: bytes  # with its empty line
    upgrade: bool  # what follows is no HTTP


# Heads repeat until their Date moves. What a whole answer of that head measures (None: the head alone does not tell),
# then what the parser needs of it, in a plain tuple: that unpacks quicker than a named one.
_Known: TypeAlias = tuple[int | None, int, int, bool, "Head | None"]
_UNKNOWN: _Known = (None, 0, 0, False, None)
_heads: dict[bytes, _Known] = {}


def fields(raw: bytes) -> list[tuple[str, str]]:
    """Give the fields of a raw head in their order, names in lower case; WireError where one is none."""
    if not raw.count(_LINE_END) == raw.count(b"\r") == raw.count(b"\n") or b"\0" in raw:
        raise WireError(NOT_HTTP)
    found = []
    for line in raw[:-4].decode("latin-1").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name):
            raise WireError(NOT_HTTP)
        found.append((name.lower(), value.strip(" \t")))
    return found


def elements(found: list[tuple[str, str]], name: str) -> list[str]:
    """Give the elements of a field that is a list, over all its lines, in lower case."""
    return [part.strip(" \t").lower() for key, value in found if key == name for part in value.split(",")]


def render(method: str, path: str, netloc: str, headers: Mapping[str, str] | None, body: bytes | None) -> bytes:
    """Give a request's bytes; ValueError where a part of it would not stay the part that it is."""
    if not _TOKEN.fullmatch(method):
        raise ValueError(f"the method of a request must be a plain word, not {method!r}")
    if not _VISIBLE.fullmatch(path):
        raise ValueError(f"the path of a request must be ASCII without blanks, so quote what else it holds: {path!r}")
    if not _VISIBLE.fullmatch(netloc):
        raise ValueError(f"the host of a request must be ASCII without blanks, not {netloc!r}")
    lines = {"host": ("Host", netloc), "user-agent": ("User-Agent", "gatebench")}
    for name, value in (headers or {}).items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"the name of a header must be a plain word, not {name!r}")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise ValueError(f"the header {name} must be one line of Latin-1 text, not {value!r}")
        lines[name.lower()] = (name, value)
    if not lines.keys().isdisjoint({"content-length", "transfer-encoding"}):
        raise ValueError("Content-Length and Transfer-Encoding follow from the body, so leave these headers out")
    if body is not None:
        lines["content-length"] = ("Content-Length", str(len(body)))
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.values())
    return f"{method} {path} HTTP/1.1\r\n{text}\r\n".encode("latin-1") + (body or b"")


def _parse(raw: bytes) -> Head:
    line = _STATUS_LINE.fullmatch(raw[: raw.index(_LINE_END)].decode("latin-1"))
    if line is None:
        raise WireError(NOT_HTTP)
    status = int(line[2])
    found = fields(raw)
    lengths = set()
    for value in elements(found, "content-length"):
        if not _LENGTH.fullmatch(value):
            raise WireError(NOT_HTTP)
        lengths.add(int(value))
    if len(lengths) > 1:
        raise WireError(CONTRADICTION)
    codings = elements(found, "transfer-encoding")
    if codings not in ([], ["chunked"]):
        raise WireError(STRANGE_CODING)
    keep_alive = _persistent(line[1], found) and status != 101 and not (codings and lengths)
    chunked, length = bool(codings), None if codings or not lengths else lengths.pop()
    if status < 200 or status in (204, 304):
        chunked, length = False, 0
    return Head(
        status=status,
        length=length,
        chunked=chunked,
        keep_alive=keep_alive and (chunked or length is not None),
        raw=raw,
        upgrade=status == 101,
    )


def _persistent(minor: str, found: list[tuple[str, str]]) -> bool:
    options = elements(found, "connection")
    if minor == "0" and elements(found, "transfer-encoding"):
        return False  # HTTP/1.0 has no chunks: who sends them does not know where its answers end
    return "close" not in options and (minor == "1" or "keep-alive" in options)


def _reusable(head: Head) -> bool:
    """Say whether a connection outlives a head after which no body comes, whatever the head says of one."""
    to_the_end = head.length is None and not head.chunked
    return to_the_end and _persistent(chr(head.raw[len(_BEGINNING)]), fields(head.raw))


def _head(raw: bytes) -> Head:
    known = _heads.get(raw)
    if known is not None and known[4] is not None:
        return known[4]
    head = _parse(raw)
    if len(raw) <= REMEMBERED_BYTES:
        if len(_heads) >= REMEMBERED_HEADS:
            _heads.clear()
        whole = None if head.length is None or head.status < 200 else len(raw) + head.length
        _heads[raw] = (whole, head.status, head.length or 0, head.keep_alive, head)
    return head


class Parser:
    """The answers of one connection, one after another: `begin`, then `feed` until it says True.

    An answer that came in one piece leaves `begun` False, and needs no `begin` after it but for the answer to a HEAD.
    After a WireError only `begin` is of use, and the connection of none.
    """

    __slots__ = (
        "_at",
        "_bodiless",
        "_buffer",
        "_left",
        "_rest",
        "_seen",
        "_step",
        "begun",
        "data",
        "head",
        "keep_alive",
        "length",
        "raw",
        "status",
        "surplus",
        "whole",
    )

    status: int  # of the final head; tells nothing while `head` is None
    length: int  # bytes of the body that have come
    keep_alive: bool  # the answer is complete and another request may follow
    surplus: bool  # more came than the answer
    begun: bool  # an answer came, or comes, in more than one step: the next needs `begin`
    head: Head | None  # the final one
    whole: int | None  # bytes of the last answer, where it came in one piece and more may follow
    raw: bytes  # of that answer, the head: what is as long and begins so is as good, and becomes `data`
    data: bytes | bytearray  # holds the body
    _bodiless: bool
    _step: Callable[[Parser], bool] | None  # takes what is buffered; None before the first byte and after the last
    _buffer: bytearray  # came and is not understood yet, or is the body by itself
    _seen: int  # bytes of the buffer in which the line's or head's end is not
    _left: int  # bytes of the body or chunk to come
    _at: int  # where in it
    _rest: bytes

    def __init__(self) -> None:
        self.data = b""
        self._buffer = bytearray()
        self._at = self._seen = self._left = 0
        self.raw = b""
        self.begin()

    def begin(self, *, bodiless: bool = False) -> None:
        """Make ready for the answer to the next request; `bodiless` where that is a HEAD."""
        self.begun = self.surplus = self.keep_alive = False
        self.status = self.length = 0
        self.head = self._step = None
        self._bodiless = bodiless
        self._rest = b""
        self.whole = None

    def feed(self, data: bytes) -> bool:
        """Take in what came, which is not empty; True once the answer is complete."""
        if not self.begun:
            # Most answers have the head of the last one: to compare is cheaper than to look it up.
            if len(data) == self.whole and data.startswith(self.raw):
                self.data = data
                return True
            if not self._bodiless and self._take_known(data):
                return True
        return self._take(data)

    def _take_known(self, data: bytes) -> bool:
        """Take an answer in one piece, whose head is known; False where it is none."""
        at = data.find(_HEAD_END) + len(_HEAD_END)
        whole, status, length, keep_alive, head = _heads.get(data[:at], _UNKNOWN)
        if whole != len(data) or head is None:
            return False
        self.status, self.length, self.keep_alive, self.head = status, length, keep_alive, head
        self.whole, self.raw = whole if keep_alive else None, head.raw
        self.data, self._at = data, at
        return True

    def end(self) -> bool:
        """Hear that the peer closed: True where this, or what came before, completes the answer; else WireError."""
        if not self.begun:
            raise WireError(CLOSED_BEFORE)
        if self._step is Parser._take_all:
            self._step = None
        if self._step is not None:
            raise WireError(CLOSED_WITHIN)
        return True

    def answer(self) -> bytes:
        """Give all bytes of an answer that came in one piece."""
        return bytes(self.data)

    def body(self) -> bytes:
        """Give the body of the complete answer."""
        body = self.data[self._at : self._at + self.length]
        return body if isinstance(body, bytes) else bytes(body)

    def drain(self) -> bytes:
        """Give what has come of a body whose length nobody knows, and forget it: it may never end."""
        if self.head is None or self.head.length is not None or not isinstance(self.data, bytearray):
            return b""
        came = bytes(self.data)
        self.data.clear()
        self.length = 0
        return came

    def rest(self) -> bytes:
        """Give what came after the complete answer."""
        return self._rest

    def _take(self, data: bytes) -> bool:
        if not self.begun:
            self.begin(bodiless=self._bodiless)
            self.begun = True
            self._buffer = bytearray(data)
            self.data, self._at, self._seen = b"", 0, 0
            self._step = Parser._take_head
        elif self._step is None:
            self._rest += data
            self._conclude()
        else:
            self._buffer += data
        while self._step is not None and self._step(self):
            pass
        return self._step is None

    def _finish(self, end: int) -> bool:
        self._step, self._rest = None, bytes(self._buffer[end:])
        del self._buffer[end:]
        self._conclude()
        return False

    def _conclude(self) -> None:
        head = self.head
        if head is not None:
            self.surplus = bool(self._rest) and not head.upgrade
            self.keep_alive = not self.surplus and (head.keep_alive or (self._bodiless and _reusable(head)))

    # Each step takes what it can from the front of the buffer; True: on with the next one, False: wait or be done.

    def _take_head(self) -> bool:
        if not _BEGINNING.startswith(self._buffer[: len(_BEGINNING)]):
            raise WireError(NOT_HTTP)
        raw = self._cut(_HEAD_END, long=LONG_HEAD, bare=NOT_HTTP)
        if raw is None:
            return False
        head = _head(raw)
        if head.status < 200 and not head.upgrade:
            return True
        self.head, self.status = head, head.status
        self.data = self._buffer
        if self._bodiless:
            self._left, self._step = 0, Parser._take_counted
        elif head.chunked:
            self.data, self._step = bytearray(), Parser._take_size
        elif head.length is None:
            self._step = Parser._take_all
        elif head.length > BODY_LIMIT:
            raise WireError(LONG_BODY)
        else:
            self._left, self._step = head.length, Parser._take_counted
        return True

    def _take_counted(self) -> bool:
        buffer = self._buffer
        self.length = min(len(buffer), self._left)
        return len(buffer) >= self._left and self._finish(self._left)

    def _take_all(self) -> bool:
        self.length = len(self._buffer)
        if self.length > BODY_LIMIT:
            raise WireError(LONG_BODY)
        return False

    def _take_size(self) -> bool:
        line = self._cut(_LINE_END, long=NO_SIZE, bare=NO_SIZE)
        if line is None:
            return False
        size = _CHUNK_SIZE.fullmatch(line[:-2])
        if size is None:
            raise WireError(NO_SIZE)
        self._left = int(size[1], 16)
        if self.length + self._left > BODY_LIMIT:
            raise WireError(LONG_BODY)
        if not self._left:
            self._buffer[:0] = _LINE_END  # so that trailers end with an empty line even where there are none
        self._step = Parser._take_chunk if self._left else Parser._take_trailers
        return True

    def _take_chunk(self) -> bool:
        part = self._buffer[: self._left]
        del self._buffer[: self._left]
        self.data += part
        self.length += len(part)
        self._left -= len(part)
        if self._left:
            return False
        self._step = Parser._take_chunk_end
        return True

    def _take_chunk_end(self) -> bool:
        if not _LINE_END.startswith(self._buffer[:2]):
            raise WireError(NO_SIZE)
        if len(self._buffer) < 2:
            return False
        del self._buffer[:2]
        self._step = Parser._take_size
        return True

    def _take_trailers(self) -> bool:
        raw = self._cut(_HEAD_END, long=LONG_HEAD, bare=NOT_HTTP)
        if raw is None:
            return False
        fields(raw)
        return self._finish(0)

    def _cut(self, mark: bytes, *, long: str, bare: str) -> bytes | None:
        """Take what ends with the mark from the buffer; None where the mark has not come."""
        buffer = self._buffer
        found = buffer.find(mark, max(self._seen - len(mark) + 1, 0))
        size = len(buffer) if found < 0 else found + len(mark)
        if size > HEAD_LIMIT:
            raise WireError(long)
        if found < 0:
            line = buffer.find(b"\n")
            if line >= 0 and buffer[line - 1 : line] != b"\r":
                raise WireError(bare)  # else a server that ends its lines with LF alone would be waited for
            self._seen = size
            return None
        self._seen = 0
        raw = bytes(buffer[:size])
        del buffer[:size]
        return raw
