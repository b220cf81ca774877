"""Mutants of the routes that need no service: pages, files, uploads, events and streams."""

from __future__ import annotations

import functools
import html
import itertools
import re
import socket
from collections.abc import Iterable, Iterator

from mutants.stack import BYTES, EVENTS, Query, Response, Stack

# template


class RawPage(Stack):
    def escaped(self, message: str) -> str:
        return message


class HalfEscapedPage(Stack):
    """Forgets the ampersand."""

    def escaped(self, message: str) -> str:
        return message.replace("<", "&lt;").replace(">", "&gt;")


class TwiceEscapedPage(Stack):
    def escaped(self, message: str) -> str:
        return html.escape(html.escape(message))


class EscapedByNumbers(Stack):
    """No fault: another way to escape."""

    def escaped(self, message: str) -> str:
        return re.sub(r"[^a-z ]", lambda letter: f"&#x{ord(letter[0]):X};", message)


class ShortPage(Stack):
    def template(self, query: Query) -> Response:
        return super().template({**query, "n": str(min(int(query["n"]), 999))})


class CannedPage(Stack):
    @functools.cache  # noqa: B019 - the fault in question
    def page(self, count: str) -> Response:
        return super().template({"n": count, "token": "0" * 16})

    def template(self, query: Query) -> Response:
        return self.page(query["n"])


class NoTitle(Stack):
    def template(self, query: Query) -> Response:
        page = super().template(query)
        return Response(page.body.replace(b"<title>Rows</title>", b""), page.kind)


class NoPage(Stack):
    def template(self, query: Query) -> Response:
        return Response(b"<![garbage[ <!doctype html <table", "text/html; charset=utf-8")


# file and upload


class ShortFile(Stack):
    def file(self, query: Query) -> Response:
        return Response(super().file(query).body[:-1], BYTES)


class OtherFile(Stack):
    def file(self, query: Query) -> Response:
        return Response(super().file(query).body[::-1], BYTES)


class FileAsText(Stack):
    def file(self, query: Query) -> Response:
        return Response(super().file(query).body)


class WrongDigest(Stack):
    def upload(self, body: bytes) -> Response:
        return super().upload(body + b"\n")


class FirstPacketsDigest(Stack):
    """Takes what has come so far for the whole body."""

    def body(self, client: socket.socket, head: bytes) -> bytes:
        length = re.search(rb"content-length: *([0-9]+)", head, re.IGNORECASE)
        return client.recv(int(length[1])) if length and int(length[1]) else b""

    def stays_open(self) -> bool:
        return False


class LargeRefused(Stack):
    """Answers, and leaves, without reading what is larger than it likes."""

    def body(self, client: socket.socket, head: bytes) -> bytes:
        if b"1048576" in head:
            client.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            raise ConnectionResetError
        return super().body(client, head)


class EmptyRefused(Stack):
    def upload(self, body: bytes) -> Response:
        return super().upload(body) if body else Response(b"nothing came", status="400 Bad Request")


# events and streams


class BufferedEvents(Stack):
    """Makes all events, then sends them."""

    def sse(self, query: Query) -> Response:
        return Response(b"", EVENTS, pieces=list(super().sse(query).pieces or ()))


class BufferedPairs(Stack):
    """Sends when two events are there."""

    def sse(self, query: Query) -> Response:
        return Response(b"", EVENTS, pieces=self.joined(super().sse(query).pieces or ()))

    def joined(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        events = iter(pieces)
        for event in events:
            yield event + next(events, b"")


class HurriedEvents(Stack):
    def events(self, count: int, every_s: float) -> Iterator[bytes]:
        return super().events(count, 0)


class UnendedEvents(Stack):
    def events(self, count: int, every_s: float) -> Iterator[bytes]:
        return (event[:-1] for event in super().events(count, every_s))


class EventsAsText(Stack):
    def sse(self, query: Query) -> Response:
        return Response(b"", pieces=super().sse(query).pieces)


class StreamWithLength(Stack):
    def stream(self, query: Query) -> Response:
        return Response(b"".join(super().stream(query).pieces or ()), BYTES)


class OneLetter(Stack):
    def letters(self, count: int, size: int) -> Iterator[bytes]:
        return itertools.repeat(b"a" * size, count)


class EndlessAlphabet(Stack):
    """Does not begin anew after z."""

    def letters(self, count: int, size: int) -> Iterator[bytes]:
        return (bytes([97 + number % 256 if number < 150 else 97]) * size for number in range(count))


class CutStream(Stack):
    def send_pieces(self, client: socket.socket, pieces: Iterable[bytes]) -> None:
        super().send_pieces(client, list(pieces)[:-1])


class UnendedStream(Stack):
    """Forgets the last chunk, and leaves."""

    def send_pieces(self, client: socket.socket, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            client.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        raise ConnectionResetError


class StreamUntilClose(Stack):
    """No fault: the end of the connection is the end of the body."""

    def framing(self, response: Response) -> dict[str, str]:
        return {} if response.pieces is not None else super().framing(response)

    def send_pieces(self, client: socket.socket, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            client.sendall(piece)
        raise ConnectionResetError
