"""A server that does nothing: every request is answered with the contract's plaintext, to find a generator's ceiling.

Knows the bytes of that answer and epoll. Must not know Locust, nor read what it is asked: a request is taken to
arrive in one piece, as a generator on the same machine sends it. Ends when its standard input does, or by SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import sys
from contextlib import suppress

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n"
BODY = b"Hello, World!"
EVENTS = 256  # taken from epoll at a time
REQUEST_BYTES = 65536


def serve(listener: socket.socket, *, close: bool) -> None:
    """Answer whatever arrives until standard input ends; close each connection after its answer if asked to."""
    answer = HEAD + (b"Connection: close\r\n\r\n" if close else b"\r\n") + BODY
    listener.setblocking(False)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    with suppress(PermissionError):  # standard input may be a file or /dev/null, which nobody closes
        epoll.register(sys.stdin, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    while True:
        for fd, _ in epoll.poll(maxevents=EVENTS):
            if fd in connections:
                if not _answered(connections[fd], answer) or close:
                    connections.pop(fd).close()
            elif fd == sys.stdin.fileno():
                if not os.read(fd, REQUEST_BYTES):
                    return
            else:
                connection = _accepted(listener)
                if connection is not None:
                    connections[connection.fileno()] = connection
                    epoll.register(connection, select.EPOLLIN)


def _answered(connection: socket.socket, answer: bytes) -> bool:
    try:
        return bool(connection.recv(REQUEST_BYTES)) and connection.send(answer) == len(answer)
    except OSError:
        return False


def _accepted(listener: socket.socket) -> socket.socket | None:
    try:
        connection, _ = listener.accept()
    except OSError:  # it left before it was let in, or there is no file left for it
        return None
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def main() -> None:
    """Listen on a free port of the loopback, say `port N` in one line, and serve."""
    parser = argparse.ArgumentParser(prog="python -m gatebench.nothing", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--close", action="store_true", help="close every connection after its answer")
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", options.port), backlog=1024) as listener:
        sys.stdout.write(f"port {listener.getsockname()[1]}\n")
        sys.stdout.flush()
        serve(listener, close=options.close)


if __name__ == "__main__":
    main()
