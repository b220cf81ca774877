"""The front: its configuration, and nginx's routing between two tiny servers."""

from __future__ import annotations

import contextlib
import http.client
import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from websockets.http11 import Request, Response
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from gatebench import declare
from gatebench.backends import fronts
from gatebench.backends.programs import HOST, answers, scratch_folder, started, surroundings
from gatebench.backends.serving import SYSTEM, missing, needed
from gatebench.errors import UsageError
from gatebench.machine import usable_cpus

DEALT = 600  # requests; a share of 25 % is then within 10 % of itself in all but one run of millions


def rendered(root: Path, share: float = 40.0, scratch: str = "/scratch") -> str:
    template = declare.fronts(root)["nginx"].template
    return fronts.render(
        template, host=HOST, port=1001, wsgi_port=1002, asgi_port=1003, wsgi_share=share, scratch=scratch
    )


def test_the_template_is_filled_and_nothing_is_left_over(root: Path) -> None:
    made = rendered(root)
    assert not re.search(r"\{[a-z_]+\}|#", made)
    assert f"listen {HOST}:1001 " in made
    assert re.search(rf"upstream wsgi \{{\s+server {HOST}:1002;", made)
    assert re.search(rf"upstream asgi \{{\s+server {HOST}:1003;", made)
    assert made.count("{") == made.count("}")


def test_what_it_writes_lies_in_its_scratch_folder(root: Path) -> None:
    written = re.findall(r"^\s*(?:pid|\w+_temp_path)\s+(\S+);", rendered(root, scratch="/some where"), re.MULTILINE)
    assert len(re.findall(r'"/some where/\w+(?:\.pid)?";', rendered(root, scratch="/some where"))) == 6
    assert all(path.startswith('"/some') for path in written)


@pytest.mark.parametrize(("share", "line"), [(5, "5.00% wsgi;"), (33.333, "33.33% wsgi;"), (100, "100.00% wsgi;")])
def test_a_share_has_two_decimals(root: Path, share: float, line: str) -> None:
    assert line in rendered(root, share)


@pytest.mark.parametrize("share", [0, 0.001])
def test_a_share_of_nothing_is_left_out(root: Path, share: float) -> None:
    assert "% wsgi" not in rendered(root, share)
    assert "* asgi;" in rendered(root, share)


@pytest.mark.parametrize("share", [-1, 100.01, float("nan")])
def test_what_is_no_share_is_refused(root: Path, share: float) -> None:
    with pytest.raises(UsageError, match="expected percent"):
        rendered(root, share)


def test_a_placeholder_that_nobody_fills_is_told() -> None:
    with pytest.raises(UsageError, match=r"\{strange\}.*known are \{host\}"):
        fronts.render(
            "listen {strange};", host=HOST, port=1, wsgi_port=2, asgi_port=3, wsgi_share=50, scratch=Path("/scratch")
        )


# ---- nginx ----


class Wsgi(BaseHTTPRequestHandler):
    """Says what it was asked for; /sse sends its second event only once it is let."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    let = threading.Event()
    opened: ClassVar[Counter[tuple[str, int]]] = Counter()

    def do_GET(self) -> None:
        self.opened[self.client_address] += 1
        if self.path != "/sse":
            self.answer(f"{self.path} {self.headers['Host']}".encode())
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"data: 1\n\n")
        if self.let.wait(30):
            self.wfile.write(b"data: 2\n\n")

    def do_POST(self) -> None:
        self.answer(str(len(self.rfile.read(int(self.headers["Content-Length"])))).encode())

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@dataclass(frozen=True)
class Front:
    """nginx before the two servers."""

    port: int
    scratch: Path
    client: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "client", http.client.HTTPConnection(HOST, self.port, timeout=20))

    def ask(self, path: str, method: str = "GET", body: bytes | None = None) -> tuple[str | None, str]:
        """Give who answered, and what."""
        self.client.request(method, path, body=body)
        with self.client.getresponse() as response:
            said = response.read().decode()
            return response.getheader(fronts.HEADER), said if response.status == 200 else str(response.status)


@contextlib.contextmanager
def serving() -> Iterator[tuple[int, int]]:
    """Serve a tiny server of HTTP, and one of WebSockets that answers plain requests too."""

    def echo(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    def plain(connection: ServerConnection, request: Request) -> Response | None:
        if "Upgrade" in request.headers:
            return None if request.path == "/ws" else connection.respond(404, "")
        return connection.respond(200, request.path)

    wsgi = ThreadingHTTPServer((HOST, 0), Wsgi)
    asgi = serve(echo, HOST, 0, process_request=plain, compression=None)
    threads = [threading.Thread(target=one.serve_forever) for one in (wsgi, asgi)]
    for thread in threads:
        thread.start()
    try:
        yield wsgi.server_address[1], asgi.socket.getsockname()[1]
    finally:
        wsgi.shutdown()
        wsgi.server_close()
        asgi.shutdown()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module")
def front(root: Path) -> Iterator[Front]:
    if lacking := missing(declare.fronts(root)["nginx"].needs):
        pytest.skip(needed("the front", lacking))
    template = declare.fronts(root)["nginx"].template
    with scratch_folder() as scratch, serving() as (wsgi_port, asgi_port):
        config = scratch / "nginx.conf"

        def command(port: int) -> list[str]:
            ports = {"port": port, "wsgi_port": wsgi_port, "asgi_port": asgi_port}
            config.write_text(fronts.render(template, host=HOST, **ports, wsgi_share=25, scratch=scratch), "utf-8")
            return fronts.command(config)

        with started(
            "front",
            command,
            ready=lambda port: answers(f"http://{HOST}:{port}/plaintext"),
            cpus=usable_cpus(),
            variables={**surroundings(), "PATH": SYSTEM},
            folder=scratch,
            logs=scratch,
        ) as running:
            found = Front(running.port, scratch)
            yield found
            found.client.close()


pytestmark = pytest.mark.server


@pytest.mark.parametrize(
    ("path", "who", "asked"),
    [
        ("/admin", "wsgi", "/"),
        ("/admin/json?id=7", "wsgi", "/json?id=7"),
        ("/legacy/plaintext", "wsgi", "/plaintext"),
        ("/legacy", "wsgi", "/"),
        ("/api/v2/json?id=7", "asgi", "/json?id=7"),
        ("/api/v2/items/7", "asgi", "/items/7"),
        ("/ws", "asgi", "/ws"),
        ("/ws/x", "asgi", "/ws"),
    ],
)
def test_a_published_route_goes_to_its_stack_without_its_prefix(
    front: Front, path: str, who: str, asked: str
) -> None:
    found, said = front.ask(path)
    assert (found, said.split()[0]) == (who, asked)


def test_all_other_paths_are_dealt_out_by_weight_and_kept_as_they_are(front: Front) -> None:
    found = [front.ask("/json?id=7") for _ in range(DEALT)]
    assert {said.split()[0] for _, said in found} == {"/json?id=7"}
    assert 0.15 < Counter(who for who, _ in found)["wsgi"] / DEALT < 0.35


def test_a_stack_learns_who_was_asked(front: Front) -> None:
    assert front.ask("/legacy/x")[1] == f"/x {HOST}:{front.port}"


def test_connections_to_a_stack_are_kept(front: Front) -> None:
    Wsgi.opened.clear()
    for _ in range(10):
        front.ask("/legacy/plaintext")
    assert max(Wsgi.opened.values()) == 10


@pytest.mark.parametrize("path", ["/ws", "/ws/x"])
def test_a_websocket_goes_through(front: Front, path: str) -> None:
    with connect(f"ws://{HOST}:{front.port}{path}", compression=None) as socket:
        socket.send("text")
        assert socket.recv() == "text"
        socket.send(b"\x00bytes")
        assert socket.recv() == b"\x00bytes"
        assert socket.response is not None
        assert socket.response.headers[fronts.HEADER] == "asgi"


def test_an_event_goes_on_as_it_comes(front: Front) -> None:
    Wsgi.let.clear()
    front.client.request("GET", "/legacy/sse")
    with front.client.getresponse() as response:
        assert response.readline() == b"data: 1\n", "the second one has not been sent"
        Wsgi.let.set()
        assert response.read() == b"\ndata: 2\n\n"


def test_a_body_of_a_mebibyte_goes_through(front: Front) -> None:
    assert front.ask("/legacy/upload", "POST", bytes(1 << 20)) == ("wsgi", str(1 << 20))


def test_it_writes_nowhere_else(front: Front) -> None:
    assert {"nginx.pid", "body", "proxy"} <= {path.name for path in front.scratch.iterdir()}
    assert "[" not in next(front.scratch.glob("front-*.log")).read_text(encoding="utf-8"), "it complained"
