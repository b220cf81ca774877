"""Exchanges end to end: all that HTTP/1.1 allows a server, and what it does not, for both classes of users.

The users run in processes of their own, since Locust patches them; the servers are threads of this one.
"""

import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from driving import script
from loadservers import Pieces, Seen, http_server, own_certificate, reply

pytestmark = [pytest.mark.server, pytest.mark.slow]

USERS, ENOUGH = 2, 12  # of each case: how many ask, and for how many answers

# Each case is asked by one class of users, in an environment of its own, until there are answers enough.
ASK = """
import json, sys
from time import perf_counter
import gevent
from locust import constant
from locust.env import Environment
from locust.exception import StopUser
from gatebench.swarm import EngineUser, Expect, HttpUser, Request, task
from gatebench.swarm.users import Shared

def user_class(case):
    expect = Expect(case["status"], case["length"], case["body"] and case["body"].encode())
    waiting = {} if case["wait_s"] is None else {"wait_time": constant(case["wait_s"])}
    posted = case["posted"]

    class Engine(EngineUser):
        mix = [Request(case["path"], method=case["method"], body=posted, name="it", expect=expect)]
        locals().update(waiting)

    class Http(HttpUser):
        locals().update(waiting)

        @task
        def one(self):
            self.client.request(case["method"], case["path"], data=posted, name="it", expect=expect)

    return Engine if case["engine"] else Http

def ask(case):
    environment = Environment(user_classes=[user_class(case)], host=case["host"])
    shared = Shared.of(environment, timeout_s=case["timeout_s"])
    runner = environment.create_local_runner()
    runner.start(case["users"], spawn_rate=case["users"])
    until = perf_counter() + 5
    while environment.stats.total.num_requests < case["enough"] and perf_counter() < until:
        gevent.sleep(0.005)
        shared.tally.fold()
    checked, retries = shared.counts
    runner.quit()
    shared.tally.fold()
    shared.engine.close()  # it would tick beside those that follow
    errors = {str(one.error): one.occurrences for one in environment.stats.errors.values()}
    total = environment.stats.total
    good = total.num_requests - total.num_failures
    length = total.total_content_length
    return {"good": good, "errors": errors, "checked": checked, "retries": retries, "bytes": length}

print(json.dumps([ask(case) for case in json.load(sys.stdin)]))
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a server sends, and what is to become of it."""

    sent: Pieces
    method: str = "GET"
    status: int = 200
    body: str | None = "Hello, World!"
    length: int | None = None
    reason: str = ""  # of every failure, where it is to be one
    kept: bool = True  # the connection may be used again
    asked: dict[str, Any] = field(default_factory=dict)  # how it is asked for, else as usual

    def ask(self, host: str, path: str, *, engine: bool) -> dict[str, Any]:
        usual = {
            "host": host,
            "path": path,
            "engine": engine,
            "method": self.method,
            "status": self.status,
            "body": self.body,
            "length": self.length,
            "posted": None,
            "wait_s": None,
            "timeout_s": 5.0,
            "users": USERS,
            "enough": ENOUGH,
        }
        return usual | self.asked


TEXT = b"Hello, World!"
HELLO = reply(TEXT)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b'5;a="b"\r\nHello\r\n8\r\n, World!\r\n000\r\nX-Sum: 1\r\n\r\n'
TO_THE_END = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nHello, World!"
MANY = b"x" * 1_000_000


def single(data: bytes) -> list[bytes | float | None]:
    """Every byte by itself."""
    return [data[at : at + 1] for at in range(len(data))]


CASES = {
    "content-length": Case(sent=[HELLO]),
    "chunked": Case(sent=[CHUNKED + CHUNKS]),
    "chunked-in-pieces": Case(sent=[CHUNKED, CHUNKS[:3], 0.001, CHUNKS[3:12], 0.001, CHUNKS[12:-1], 0.001, b"\n"]),
    "empty": Case(sent=[reply(b"")], body=""),
    "204": Case(sent=[b"HTTP/1.1 204 No Content\r\n\r\n"], status=204, body="", length=0),
    "304": Case(sent=[b"HTTP/1.1 304 Not Modified\r\nContent-Length: 13\r\n\r\n"], status=304, body="", length=0),
    "head": Case(sent=[b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n"], method="HEAD", body="", length=0),
    "head-without-length": Case(sent=[b"HTTP/1.1 200 OK\r\n\r\n"], method="HEAD", body="", length=0),
    "to-the-end": Case(sent=[TO_THE_END, None], kept=False),
    "to-the-end-in-pieces": Case(sent=[TO_THE_END[:-5], 0.001, TO_THE_END[-5:], 0.001, None], kept=False),
    "http-1.0": Case(sent=[TO_THE_END.replace(b"1.1", b"1.0"), None], kept=False),
    "connection-close": Case(sent=[reply(TEXT, headers="Connection: close\r\n"), None], kept=False),
    "100": Case(sent=[b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO]),
    "103-by-itself": Case(sent=[b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 0.001, HELLO]),
    "byte-by-byte": Case(sent=single(b"HTTP/1.1 103 Early Hints\r\n\r\n" + HELLO)),
    "chunks-byte-by-byte": Case(sent=single(CHUNKED + CHUNKS)),
    "head-in-two": Case(sent=[HELLO[:20], 0.002, HELLO[20:]]),
    "many-bytes": Case(sent=[reply(MANY)], body=MANY.decode(), length=len(MANY)),
    "put": Case(sent=[HELLO], method="PUT", asked={"posted": "a" * 3_000_000}),
    # and what is not to be
    "leftovers": Case(sent=[HELLO + HELLO], reason="more bytes after the end of the answer", kept=False),
    "leftovers-of-head": Case(sent=[HELLO], method="HEAD", body="", reason="more bytes after the end of the answer"),
    "leftovers-of-chunks": Case(
        sent=[CHUNKED + CHUNKS + b"0"], reason="more bytes after the end of the answer", kept=False
    ),
    "cut-in-the-head": Case(sent=[HELLO[:20], None], reason="connection closed within the answer", kept=False),
    "cut-in-the-body": Case(sent=[HELLO[:-1], None], reason="connection closed within the answer", kept=False),
    "cut-in-a-chunk": Case(sent=[CHUNKED + CHUNKS[:-2], None], reason="connection closed within the answer"),
    "no-word": Case(sent=[None], reason="connection closed before the answer", kept=False),
    "no-http": Case(sent=[b"220 smtp.example.invalid ready\r\n\r\n"], reason="answer is not HTTP/1.1", kept=False),
    "hang": Case(sent=[60.0], reason="no answer within 0.5 s", asked={"timeout_s": 0.5, "enough": 2}),
    "hang-within": Case(
        sent=[HELLO[:-1], 60.0], reason="no answer within 0.5 s", asked={"timeout_s": 0.5, "enough": 2}
    ),
    "wrong-status": Case(sent=[reply(TEXT, status=503)], reason="status 503 where 200 was expected"),
    "wrong-length": Case(sent=[reply(b"Hi")], length=13, reason="body 11 bytes shorter than expected"),
}
EVERYWHERE = ["content-length", "chunked-in-pieces", "to-the-end", "byte-by-byte", "many-bytes", "put"]
EVERYWHERE += ["connection-close", "leftovers", "cut-in-the-body", "no-word", "hang"]


async def by_case(path: str) -> Pieces:
    return CASES[path.removeprefix("/")].sent


def check(name: str, engine: bool, seen: Seen, told: dict[str, Any]) -> None:
    case, who = CASES[name], f"{name} by {'EngineUser' if engine else 'HttpUser'}: {told}"
    enough = case.asked.get("enough", ENOUGH)
    if case.reason:
        assert told["good"] == 0, who
        assert list(told["errors"]) == [case.reason], who
        assert told["errors"][case.reason] >= enough, who
    else:
        assert told["errors"] == {}, who
        assert told["good"] >= enough, who
        assert told["bytes"] == told["good"] * len(case.body or ""), who
        assert told["checked"] >= USERS, who
    assert told["retries"] == 0, who


def asked_for(names: list[str], host: str) -> list[tuple[str, bool, dict[str, Any]]]:
    asked = [(name, engine) for name in names for engine in (True, False)]
    told = script(ASK, [CASES[name].ask(host, f"/{name}", engine=engine) for name, engine in asked])
    return [(name, engine, one) for (name, engine), one in zip(asked, told, strict=True)]


def test_both_classes_read_all_that_http_allows_and_refuse_with_a_reason_what_it_does_not() -> None:
    with http_server(by_case) as (host, seen):
        told = asked_for(list(CASES), host)
    for name, engine, one in told:
        check(name, engine, seen, one)
    for name, case in CASES.items():
        over = len(seen.connections_of(f"/{name}"))
        if case.kept and not case.reason:
            assert over == 2 * USERS, f"{name}: a connection is kept for as long as it may be"
        elif not case.kept:
            assert over >= 2 * ENOUGH, f"{name}: a connection is used for nothing after it"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return own_certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("where", ["tls", "tls-1.2", "unix", "ipv6"])
def test_it_is_the_same_over_every_kind_of_connection(where: str, tls: ssl.SSLContext, tmp_path: Path) -> None:
    settings: dict[str, dict[str, Any]] = {
        "tls": {"tls": tls},
        "tls-1.2": {"tls": tls},
        "unix": {"unix": tmp_path / "server.sock"},
        "ipv6": {"host": "::1"},
    }
    tls.maximum_version = ssl.TLSVersion.TLSv1_2 if where == "tls-1.2" else ssl.TLSVersion.MAXIMUM_SUPPORTED
    with http_server(by_case, **settings[where]) as (host, seen):
        told = asked_for(EVERYWHERE, host)
    for name, engine, one in told:
        check(name, engine, seen, one)
    assert len(seen.connections_of("/content-length")) == 2 * USERS
    name = "localhost" if where == "unix" else host.partition("//")[2]
    assert {head.split("Host: ")[1].split("\r\n")[0] for head in seen.requests} == {name}


def both(host: str, path: str = "/", **changes: Any) -> list[dict[str, Any]]:
    """Ask as EngineUser, then as HttpUser."""
    case = Case(sent=[], **changes)
    told: list[dict[str, Any]] = script(ASK, [case.ask(host, path, engine=engine) for engine in (True, False)])
    return told


def test_a_server_that_is_none_is_told_of_with_the_reason(tls: ssl.SSLContext, tmp_path: Path) -> None:
    few = {"enough": 4}
    with http_server(greeting=b"220 smtp.example.invalid ready\r\n") as (host, _):
        plain = both(host.replace("http:", "https:"), asked=few)
    gone = both(host, asked=few)
    nowhere = both("http+unix://" + str(tmp_path / "none").replace("/", "%2F"), asked=few)
    for told, reason in ((plain, "TLS not agreed on"), (gone, "connection refused")):
        assert [(one["good"], list(one["errors"])) for one in told] == [(0, [reason])] * 2
    assert [(one["good"], list(one["errors"])) for one in nowhere] == [(0, ["no such file or directory"])] * 2


def test_bytes_that_nobody_had_asked_for_are_an_error_and_the_user_goes_on() -> None:
    async def chatty(_path: str) -> Pieces:
        return [HELLO, 0.02, b"and one more thing"]

    with http_server(chatty) as (host, seen):
        told = both(host, asked={"wait_s": 0.6, "enough": 6})  # time for the bytes to come, however busy the CPUs
    for one in told:
        assert list(one["errors"]) == ["bytes that nobody had asked for"], one
        assert one["good"] >= 3, one
        assert abs(one["good"] - one["errors"]["bytes that nobody had asked for"]) <= USERS, one
    assert len(seen.connections_of("/")) == len(seen.requests), "such a connection is used no more"


def test_a_connection_closed_while_idle_costs_a_second_try_that_is_counted_and_no_error() -> None:
    asked = 0

    async def tired(_path: str) -> Pieces:
        nonlocal asked
        asked += 1
        return [HELLO, None] if asked % 3 == 0 else [HELLO]

    with http_server(tired) as (host, seen):
        told = both(host)
    for one in told:
        assert (one["errors"], one["good"] >= ENOUGH) == ({}, True), one
        assert one["retries"] > 0, one
    assert seen.connections > 2 * USERS


def test_a_second_try_is_the_last() -> None:
    over: dict[int, int] = {}

    async def once(_path: str) -> Pieces:
        number = seen.over[-1]
        over[number] = over.get(number, 0) + 1
        return [HELLO] if number <= USERS and over[number] == 1 else [None]

    told = []
    for engine in (True, False):
        over.clear()
        with http_server(once) as (host, seen):
            told += script(ASK, [Case(sent=[], asked={"enough": 8}).ask(host, "/", engine=engine)])
    for one in told:
        assert one["good"] == USERS, one
        assert list(one["errors"]) == ["connection closed before the answer"], one
        assert one["retries"] == USERS, one


def test_a_server_that_ends_a_tls_connection_in_form_is_understood(tls: ssl.SSLContext) -> None:
    async def ending(_path: str) -> Pieces:
        return [TO_THE_END, None]

    with http_server(ending, tls=tls) as (host, _):
        told = both(host)
    for one in told:
        assert (one["errors"], one["good"] >= ENOUGH) == ({}, True), one


def test_who_is_hung_up_on_before_tls_is_agreed_on_is_told_so_and_given_no_answer_of_before(
    tls: ssl.SSLContext,
) -> None:
    async def in_pieces(_path: str) -> Pieces:
        return [HELLO[:20], 0.001, HELLO[20:], None]

    told = []
    for engine in (True, False):
        with http_server(in_pieces, tls=tls, handshakes=USERS) as (host, _):
            told += script(ASK, [Case(sent=[], asked={"enough": 8}).ask(host, "/", engine=engine)])
    for one in told:
        assert one["good"] == USERS, one
        assert list(one["errors"]) == ["connection closed before the answer"], one
        assert one["errors"]["connection closed before the answer"] >= 8 - USERS, one


# The peer resets the connection while the loop does not run: to send fails at once, and reading tells of it too.
RESET = """
import json, struct
from time import perf_counter
import gevent
from gevent.monkey import get_original
from gatebench.swarm.connection import Connection
from gatebench.swarm.engine import Engine
from gatebench.swarm.target import Target
import socket

class Owner:
    told = []

    def done(self, reason, now):
        self.told.append(reason)

def until(true):
    end = perf_counter() + 5
    while not true() and perf_counter() < end:
        gevent.sleep(0.001)

def answer():
    until(lambda: select([peer], [], [], 0)[0])
    peer.recv(65536)
    peer.send(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")

select = get_original("select", "select")
listener = get_original("socket", "socket")()
listener.bind(("127.0.0.1", 0))
listener.listen()
host = "http://127.0.0.1:%d" % listener.getsockname()[1]
owner = Owner()
connection = Connection(Engine(), Target(host), owner, 5.0)
connection.ask(b"GET / HTTP/1.1\\r\\n\\r\\n")
peer = listener.accept()[0]
answer()
until(lambda: owner.told)
peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
peer.close()
connection.ask(b"GET / HTTP/1.1\\r\\n\\r\\n")
until(lambda: select([listener], [], [], 0)[0])
peer = listener.accept()[0]
answer()
until(lambda: len(owner.told) == 2)
print(json.dumps({"told": owner.told, "retries": connection.retries}))
"""


def test_a_connection_found_broken_in_two_ways_at_once_is_replaced_once() -> None:
    assert script(RESET) == {"told": ["", ""], "retries": 1}


def test_a_unix_socket_whose_line_is_full_is_waited_for(tmp_path: Path) -> None:
    with http_server(unix=tmp_path / "few.sock", backlog=1) as (host, _):
        told = both(host, "/plaintext", asked={"users": 40, "enough": 400})
    for one in told:
        assert (one["errors"], one["good"] >= 400) == ({}, True), one


SOURCES = """
import json, socket, sys
from gatebench.swarm import target
target.CONNECTIONS_EACH = 3
with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
    one = target.Target(f"http://127.0.0.1:{listener.getsockname()[1]}")
    connections = [one.connect() for _ in range(9)]
    print(json.dumps([connection.getsockname()[0] for connection in connections]))
"""


def test_many_connections_come_from_several_addresses_before_ports_run_out() -> None:
    assert script(SOURCES) == ["127.0.0.1"] * 3 + ["127.0.0.2"] * 3 + ["127.0.0.3"] * 3


# A network of its own, where there are ten ports to connect from.
FEW_PORTS = """
import fcntl, json, pathlib, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    fcntl.ioctl(one, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up, running

from driving import script
from loadservers import http_server

given = json.load(sys.stdin)
told = []
for name in given["where"]:
    with http_server(host=name) as (host, seen):
        pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40009")
        for case in given["cases"]:
            told.append(script(given["ask"], [{**case, "host": host}], timeout_s=40)[0])
        pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("32768 60999")
    told.append({"sources": len(seen.connections_of("/plaintext"))})
print(json.dumps(told))
"""


@contextmanager
def alone() -> Iterator[tuple[str, ...]]:
    """Give what a program is started by in a network of its own."""
    wrapped = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--net", "--map-root-user")
    try:
        tried = subprocess.run([*wrapped, "true"], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if tried.returncode:
        pytest.skip(f"no network of its own is allowed here: {tried.stderr.strip()}")
    yield wrapped


def test_where_ports_run_out_connections_come_from_further_addresses() -> None:
    case = Case(sent=[], asked={"users": 30, "enough": 600})
    cases = [case.ask("", "/plaintext", engine=engine) for engine in (True, False)]
    with alone() as wrapped:
        told = script(FEW_PORTS, {"ask": ASK, "cases": cases, "where": ["127.0.0.1", "::1"]}, before=wrapped)
    for one in told[:2]:
        assert (one["errors"], one["good"] >= 600) == ({}, True), one
    assert told[2]["sources"] >= 60
    for one in told[3:5]:
        assert list(one["errors"]) == ["no free port left to connect from"], one
        assert one["good"] > 0, one
