"""The do-nothing server gives the contract's plaintext to whatever it is asked, and ends with whoever started it."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

pytestmark = pytest.mark.server

REQUEST = b"GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def nothing(*options: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Start the server; give its process and its port."""
    command = [sys.executable, "-m", "gatebench.nothing", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        word, port = process.stdout.readline().split()
        assert word == b"port"
        yield process, int(port)
        process.stdin.close()
        assert process.wait(10) in {0, -signal.SIGTERM}


def answer(connection: socket.socket) -> bytes:
    connection.sendall(REQUEST)
    got = b""
    while not got.endswith(b"Hello, World!"):
        part = connection.recv(65536)
        assert part
        got += part
    return got


def test_a_connection_is_kept_and_every_answer_is_the_contract_s() -> None:
    with nothing() as (_, port), socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for _ in range(3):
            head, body = answer(connection).split(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"Content-Type: text/plain; charset=utf-8" in head
            assert b"Content-Length: 13" in head
            assert body == b"Hello, World!"


def test_a_connection_is_closed_after_its_answer_where_that_is_asked_for() -> None:
    with nothing("--close") as (_, port):
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                assert b"Connection: close\r\n" in answer(connection)
                assert connection.recv(1) == b""


def test_many_connections_are_served_at_once_and_a_rude_one_harms_nobody() -> None:
    with nothing() as (_, port):
        held = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(50)]
        held.pop().close()
        for connection in held:
            assert answer(connection)
            connection.close()


def test_it_ends_at_a_signal_too() -> None:
    with nothing() as (process, _):
        process.terminate()
        assert process.wait(10) == -signal.SIGTERM
