"""The do-nothing server gives the contract's plaintext to whatever it is asked, and ends with whoever started it."""

import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

pytestmark = pytest.mark.server

REQUEST = b"GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n"


def loopback(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


@contextmanager
def websocket() -> Iterator[tuple[ClientConnection, int]]:
    """Start the server and open a WebSocket; give it, and the server's port."""
    with nothing("--websocket") as (_, port), connect(f"ws://127.0.0.1:{port}/ws", compression=None) as connection:
        yield connection, port


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
    with nothing() as (_, port), loopback(port) as connection:
        for _ in range(3):
            head, body = answer(connection).split(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"Content-Type: text/plain; charset=utf-8" in head
            assert b"Content-Length: 13" in head
            assert body == b"Hello, World!"


def test_a_connection_is_closed_after_its_answer_where_that_is_asked_for() -> None:
    with nothing("--close") as (_, port):
        for _ in range(3):
            with loopback(port) as connection:
                assert b"Connection: close\r\n" in answer(connection)
                assert connection.recv(1) == b""


def test_many_connections_are_served_at_once_and_a_rude_one_harms_nobody() -> None:
    with nothing() as (_, port):
        held = [loopback(port) for _ in range(50)]
        held.pop().close()
        for connection in held:
            assert answer(connection)
            connection.close()


def test_it_ends_at_a_signal_too() -> None:
    with nothing() as (process, _):
        process.terminate()
        assert process.wait(10) == -signal.SIGTERM


def test_it_takes_as_many_files_as_it_may() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with nothing() as (process, _):
        assert psutil.Process(process.pid).rlimit(psutil.RLIMIT_NOFILE) == (most, most)


def test_a_websocket_is_opened_and_small_frames_are_echoed_as_they_came() -> None:
    with websocket() as (connection, _):
        for message in ("", "a", "täglich", "x" * 125, b"", b"\x00\xff", bytes(range(125))):
            connection.send(message)
            assert connection.recv(timeout=10) == message


def test_a_websocket_that_says_goodbye_is_answered_and_closed() -> None:
    with websocket() as (connection, _):
        connection.close()
        assert (connection.close_code, connection.protocol.close_rcvd_then_sent) == (1005, False)


@pytest.mark.parametrize("payload", [b"x" * 126, b"x" * 65536])
def test_a_frame_it_does_not_know_ends_its_websocket_and_no_other(payload: bytes) -> None:
    with websocket() as (connection, port), connect(f"ws://127.0.0.1:{port}/ws", compression=None) as other:
        connection.send(payload)
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=10)
        other.send("still here")
        assert other.recv(timeout=10) == "still here"


STRANGE = {
    "ping": Frame(Opcode.PING, b"").serialize(mask=True),
    "continuation": Frame(Opcode.CONT, b"rest").serialize(mask=True),
    "fragment": Frame(Opcode.TEXT, b"first", fin=False).serialize(mask=True),
    "unmasked": Frame(Opcode.TEXT, b"bare").serialize(mask=False),
    "two at once": Frame(Opcode.TEXT, b"two").serialize(mask=True) * 2,
    "cut off": Frame(Opcode.TEXT, b"cut off").serialize(mask=True)[:-1],
    "one byte": b"\x81",
    "no frame": b"\xff" * 6,
}


@pytest.mark.parametrize("frame", STRANGE.values(), ids=STRANGE)
def test_what_is_no_small_whole_frame_is_closed_without_an_echo(frame: bytes) -> None:
    with nothing("--websocket") as (_, port), loopback(port) as connection:
        connection.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\nSEC-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in connection.recv(65536)  # RFC 6455
        connection.sendall(frame)
        assert connection.recv(65536) == b""


def test_a_server_of_websockets_answers_plain_requests_too() -> None:
    with nothing("--websocket") as (_, port), loopback(port) as connection:
        assert answer(connection).endswith(b"Hello, World!")
        assert answer(connection).endswith(b"Hello, World!")


def test_servers_that_share_a_port_each_get_some_of_the_connections_and_others_get_none_of_it() -> None:
    with (
        nothing("--shared") as (one, port),
        nothing("--shared", "--port", str(port)) as (other, same),
        ExitStack() as held,
    ):
        assert same == port
        for _ in range(64):
            assert answer(held.enter_context(loopback(port)))
        for process in (one, other):
            kept = psutil.Process(process.pid).net_connections("tcp")
            assert sum(connection.status == psutil.CONN_ESTABLISHED for connection in kept) > 0
        alone = subprocess.run(
            [sys.executable, "-m", "gatebench.nothing", "--port", str(port)],
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=10,
        )
        assert alone.returncode != 0


def test_a_server_that_is_told_to_work_is_busy_before_each_answer_and_so_has_a_known_most() -> None:
    with nothing("--work-us", "20000") as (process, port), loopback(port) as one, loopback(port) as other:
        before, begun = psutil.Process(process.pid).cpu_times(), perf_counter()
        for _ in range(5):
            for connection in (one, other):
                connection.sendall(REQUEST)
            for connection in (one, other):
                assert connection.recv(65536)
        took_s, after = perf_counter() - begun, psutil.Process(process.pid).cpu_times()
    assert took_s >= 0.2, "ten answers, one after another"
    assert after.user - before.user > 0.1, "it does not sleep meanwhile"


def test_at_its_end_it_tells_how_long_each_answer_took_it(tmp_path: Path) -> None:
    told = tmp_path / "times"
    with nothing("--work-us", "10000", "--times", str(told)) as (_, port), loopback(port) as connection:
        begun = perf_counter()
        for _ in range(3):
            answer(connection)
    took_s = perf_counter() - begun  # till its end: it tells of an answer when that has been read, perhaps
    times = [float(line) for line in told.read_text().splitlines()]
    assert len(times) == 3
    assert all(one >= 0.01 for one in times)
    assert sum(times) < took_s


def test_a_port_that_is_taken_is_said_in_a_sentence() -> None:
    with nothing() as (_, port):
        command = [sys.executable, "-m", "gatebench.nothing", "--port", str(port)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=20
        )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"port {port} of 127.0.0.1 cannot be had" in done.stderr
