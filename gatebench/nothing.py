"""A server that does nothing: every request is answered with the contract's plaintext, to find a generator's ceiling.

Knows the bytes of that answer and epoll, and of WebSocket what an echo of small frames takes. Must not know Locust,
nor read what it is asked: a request, or a frame, is taken to arrive in one piece, as a generator on the same machine
sends it. Ends when its standard input does, or by SIGTERM.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import re
import resource
import select
import socket
import sys
from array import array
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n"
BODY = b"Hello, World!"
EVENTS = 256  # taken from epoll at a time
REQUEST_BYTES = 65536
BACKLOG = 4096

KEY = re.compile(rb"\r\nsec-websocket-key:[ \t]*(\S+)", re.IGNORECASE)
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 has it so
SMALL_BYTES = 126  # a frame whose payload is shorter has its length in one byte
FIN, MASKED = 0x80, 0x80
TEXT, BINARY, CLOSE = FIN | 1, FIN | 2, FIN | 8

Answer = tuple[bytes, bool]  # what to send; is the connection closed then
GIVE_UP: Answer = b"", True


def plain(*, close: bool) -> Answer:
    """Give the contract's plaintext."""
    return HEAD + (b"Connection: close\r\n\r\n" if close else b"\r\n") + BODY, close


def websocket(request: bytes, otherwise: Answer) -> Answer:
    """Open a WebSocket, echo a small frame or say goodbye; a request that wants none of it has the other answer."""
    if request[:1].isalpha():  # no frame begins like a method
        key = KEY.search(request)
        return (_upgrade(key[1]), False) if key else otherwise
    opcode, length = request[0], len(request) - 6
    if opcode == CLOSE:
        return bytes((CLOSE, 0)), True
    if opcode not in (TEXT, BINARY) or not 0 <= length < SMALL_BYTES or request[1] != MASKED | length:
        return GIVE_UP
    mask = int.from_bytes((request[2:6] * (length // 4 + 1))[:length], "big")
    payload = int.from_bytes(request[6:], "big") ^ mask
    return bytes((opcode, length)) + payload.to_bytes(length, "big"), False


def _upgrade(key: bytes) -> bytes:
    accept = base64.b64encode(hashlib.sha1(key + MAGIC, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept
        + b"\r\n\r\n"
    )


def serve(
    listener: socket.socket,
    answer: Answer,
    *,
    talk: Callable[[bytes, Answer], Answer] | None,
    work_s: float,
    took_s: array[float] | None,
) -> None:
    """Answer whatever arrives until standard input ends: always the same, or what `talk` makes of a request.

    Where `took_s` is given, it gets the time that each request was here, from its reading to its answer's sending.
    """
    listener.setblocking(False)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by what it accepts
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    with suppress(PermissionError):  # standard input may be a file or /dev/null, which nobody closes
        epoll.register(sys.stdin, select.EPOLLIN)
    listening, stdin = listener.fileno(), sys.stdin.fileno()
    poll, read = epoll.poll, os.readv
    request = bytearray(REQUEST_BYTES)
    room = (request,)
    while True:
        # First all are read and then all are answered: an answer may wake the generator, which costs more than to
        # send it, and the fewer turns the two take, the more of both fits into a second.
        asked: list[tuple[int, Answer]] = []
        for fd, _ in poll(-1, EVENTS):
            if fd == listening:
                _accept_all(listener, epoll)
            elif fd == stdin:
                if not os.read(fd, REQUEST_BYTES):
                    return
            else:
                try:
                    got = read(fd, room)
                except OSError:
                    got = 0
                if got:
                    asked.append((fd, answer if talk is None else talk(bytes(request[:got]), answer)))
                else:
                    os.close(fd)
        _answer_all(asked, work_s, took_s)


def _answer_all(asked: list[tuple[int, Answer]], work_s: float, took_s: array[float] | None) -> None:
    write = os.write
    read_s = perf_counter()
    for fd, (answer, last) in asked:
        if work_s:
            until = perf_counter() + work_s
            while perf_counter() < until:
                pass
        try:
            gone = write(fd, answer) != len(answer)
        except OSError:
            gone = True
        if took_s is not None:
            took_s.append(perf_counter() - read_s)
        if last or gone:
            os.close(fd)


def _accept_all(listener: socket.socket, epoll: select.epoll) -> None:
    with suppress(OSError):  # nobody waits any more, or there is no file left for who does
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)
            epoll.register(connection, select.EPOLLIN)
            connection.detach()  # the loop knows it by its number


def main() -> None:
    """Listen on a free port of the loopback, say `port N` in one line, and serve."""
    parser = argparse.ArgumentParser(prog="python -m gatebench.nothing", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1", help="127.0.0.1, unless in a network of its own")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--close", action="store_true", help="close every connection after its answer")
    parser.add_argument("--websocket", action="store_true", help="open WebSockets too; echo frames below 126 bytes")
    parser.add_argument("--shared", action="store_true", help="share the port with others that are started so")
    parser.add_argument("--work-us", type=int, default=0, help="be busy for so many microseconds before each answer")
    parser.add_argument(
        "--times", type=Path, help="write there at the end, line by line, how many s each answer took"
    )
    options = parser.parse_args()
    took_s: array[float] | None = array("d") if options.times else None
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    try:
        bound = socket.create_server((options.host, options.port), backlog=BACKLOG, reuse_port=options.shared)
    except (OSError, OverflowError) as error:
        parser.error(
            f"port {options.port} of {options.host} cannot be had ({error}); take another, or 0 for any free one"
        )
    with bound as listener:
        sys.stdout.write(f"port {listener.getsockname()[1]}\n")
        sys.stdout.flush()
        talk = websocket if options.websocket else None
        serve(listener, plain(close=options.close), talk=talk, work_s=options.work_us / 1e6, took_s=took_s)
    if took_s is not None:
        options.times.write_text("".join(f"{one:.7f}\n" for one in took_s), encoding="ascii")


if __name__ == "__main__":
    main()
