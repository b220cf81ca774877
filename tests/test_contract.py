"""The independent client: it passes the good stack, and finds and names every single fault."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pymysql
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutants import behind, bodies, faults, versions
from mutants.stack import FILE, Response, Stack, serving

from gatebench import declare
from gatebench.backends.process import starter
from gatebench.backends.programs import scratch_folder
from gatebench.backends.services import running
from gatebench.contract import Outcome, check, check_paths
from gatebench.contract.rows import LockedError, Rows
from gatebench.errors import MachineError, UsageError
from gatebench.machine import usable_cpus

ALONE = ("plaintext", "json", "sleep", "cpu", "model", "ws")  # routes that need no service
BODIES = ("template", "file", "upload", "sse", "stream")  # and these, that need none either
TABLES = ("queries", "updates", "crud")
NOWHERE = "postgresql://nobody@127.0.0.1:9/none"


def checked(
    stack: Stack,
    routes: Sequence[str] = ALONE,
    *,
    keep_alive_s: float = 5,
    since: str | None = None,
    deadline_s: float = 20,
    lacks: Sequence[str] = (),
    tls: bool = False,
    protocols: Sequence[str] = (),
) -> Outcome:
    with serving(stack) as port:
        return check(
            host="127.0.0.1",
            port=port,
            routes=routes,
            keep_alive_s=keep_alive_s,
            database_url=stack.database_url or None,
            upstream_url=stack.upstream_url or None,
            seed=1,
            since=since,
            deadline_s=deadline_s,
            redis_url=stack.redis_url or None,
            lacks=lacks,
            tls=tls,
            protocols=protocols,
            file=FILE,
        )


def first_fault(outcome: Outcome) -> tuple[str, str]:
    broken = next(finding for finding in outcome.findings if not finding.ok)
    return broken.route, broken.rule


@pytest.fixture(scope="module")
def redis_url(root: Path) -> Iterator[str]:
    yield from started(root, "redis", "redis-server")


@pytest.fixture(scope="module")
def mariadb_url(root: Path) -> Iterator[str]:
    yield from started(root, "mariadb", "mariadbd")


def started(root: Path, name: str, program: str) -> Iterator[str]:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    with (
        scratch_folder() as scratch,
        running([declare.services(root)[name]], starter(root, scratch, usable_cpus())) as up,
    ):
        yield up.urls[name]


def connected(url: str) -> Any:
    """A transaction of somebody else's."""
    where = urlsplit(url)
    if where.scheme == "mysql":
        return pymysql.connect(
            host=where.hostname, port=where.port or 0, user=where.username, database=where.path[1:]
        )
    return psycopg.connect(url)


def splice(at: int, data: bytes) -> bytes:
    """A good answer with other bytes in one place."""
    good = Stack().written(Response(b"Hello, World!"))
    return good[:at] + data + good[at + len(data) :]


def ago(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) - timedelta(seconds=seconds), usegmt=True)


def test_the_good_stack_passes() -> None:
    outcome = checked(Stack())
    assert outcome.passed, outcome.reason
    assert outcome.reason is None
    assert {finding.route for finding in outcome.findings} == set(ALONE)


def test_a_stack_that_closes_every_connection_passes_where_its_server_declares_it() -> None:
    outcome = checked(faults.Closing(), keep_alive_s=0)
    assert outcome.passed, outcome.reason


@pytest.mark.server
def test_the_good_stack_passes_on_the_routes_with_services(postgres_url: str, upstream_url: str) -> None:
    outcome = checked(Stack(postgres_url, upstream_url), ("db", "update", "external"))
    assert outcome.passed, outcome.reason


@pytest.mark.parametrize(
    ("mutant", "route", "rule"),
    [
        (faults.CannedAnswer, "json", "bytes"),
        (faults.SpacedJson, "json", "bytes"),
        (faults.LineFeed, "json", "bytes"),
        (faults.WrongType, "plaintext", "type"),
        (faults.WrongSum, "cpu", "bytes"),
        (faults.SameGuess, "model", "bytes"),
        (faults.NextLabel, "model", "bytes"),
        (faults.Linear, "model", "bytes"),
        (faults.NoSleep, "sleep", "wait"),
        (faults.WrongStatus, "plaintext", "status"),
        (faults.Compressed, "plaintext", "compression"),
        (faults.Cookie, "plaintext", "cookies"),
        (faults.ShortLength, "plaintext", "length"),
        (faults.NoLength, "plaintext", "length"),
        (faults.HalfAnswer, "plaintext", "length"),
        (faults.OnePacket, "plaintext", "packets"),
        (faults.StrangeDate, "plaintext", "date"),
        (faults.Closing, "plaintext", "keep-alive"),
        (faults.ClosingSilently, "plaintext", "keep-alive"),
        (faults.Garbage, "plaintext", "answer"),
        (faults.EarlyClose, "plaintext", "answer"),
        (faults.Flooding, "plaintext", "length"),
        (faults.CutFrame, "ws", "frame"),
        (faults.ChangedFrame, "ws", "frame"),
        (faults.OtherKind, "ws", "frame"),
        (faults.HangingUp, "ws", "frame"),
        (faults.UnaskedDeflate, "ws", "compression"),
        (faults.NoSocket, "ws", "handshake"),
        (faults.SocketGarbage, "ws", "handshake"),
    ],
)
def test_a_single_fault_is_found_and_named(mutant: type[Stack], route: str, rule: str) -> None:
    outcome = checked(mutant())
    assert first_fault(outcome) == (route, rule), outcome.reason


@pytest.mark.parametrize(
    ("mutant", "route", "rule"),
    [
        (faults.LongLength, "plaintext", "length"),
        (faults.Hanging, "plaintext", "answer"),
        (faults.Trickling, "plaintext", "answer"),
        (faults.DroppedFrame, "ws", "frame"),
        (faults.DroppedEmptyFrame, "ws", "frame"),
        (faults.ForgetsBurst, "ws", "burst"),
        (faults.PingingForEver, "ws", "frame"),
    ],
)
def test_a_server_that_keeps_us_waiting_is_left_at_the_deadline(mutant: type[Stack], route: str, rule: str) -> None:
    begin = time.monotonic()
    outcome = checked(mutant(), (route,), deadline_s=0.5)
    assert first_fault(outcome) == (route, rule), outcome.reason
    assert time.monotonic() - begin < 3


@pytest.mark.parametrize(
    "mutant", [Stack, faults.ClosingSilently, faults.SaysCloseAndStays], ids=lambda mutant: str(mutant.__name__)
)
def test_keep_alive_is_found_out_where_the_server_declares_that_it_closes(mutant: type[Stack]) -> None:
    outcome = checked(mutant(), ("plaintext",), keep_alive_s=0)
    assert first_fault(outcome) == ("plaintext", "keep-alive"), outcome.reason


@pytest.mark.server
@pytest.mark.parametrize(
    ("mutant", "route", "rule"),
    [
        (faults.CachedRow, "db", "row"),
        (faults.InventedRow, "db", "row"),
        (faults.LostUpdate, "update", "row"),
        (faults.NeighbourUpdate, "update", "row"),
        (faults.UncommittedUpdate, "update", "row"),
        (faults.LockedTable, "update", "commit"),
        (faults.FabricatedDigest, "external", "upstream"),
        (faults.CachedDigest, "external", "upstream"),
        (faults.ForgedDigest, "external", "digest"),
        (faults.DoubleCall, "external", "upstream"),
    ],
)
def test_a_fault_behind_the_server_is_found_and_named(
    postgres_url: str, upstream_url: str, mutant: type[Stack], route: str, rule: str
) -> None:
    outcome = checked(mutant(postgres_url, upstream_url), ("db", "update", "external"))
    assert first_fault(outcome) == (route, rule), outcome.reason
    assert {finding.route for finding in outcome.findings if not finding.ok} == {route}


def test_a_date_that_has_advanced_since_the_earlier_check_is_good() -> None:
    outcome = checked(Stack(), ("plaintext",), since=ago(10))
    assert outcome.passed, outcome.reason
    assert outcome.date is not None


def test_a_date_that_stands_still_is_found() -> None:
    earlier = checked(faults.StaleDate(), ("plaintext",))
    assert earlier.passed, earlier.reason
    later = checked(faults.StaleDate(), ("plaintext",), since=earlier.date)
    assert first_fault(later) == ("plaintext", "date")


def test_a_server_without_dates_is_not_blamed_for_their_not_advancing() -> None:
    outcome = checked(faults.NoDate(), ("plaintext",), since=ago(10))
    assert outcome.passed, outcome.reason
    assert outcome.date is None


def test_a_refused_connection_is_a_finding_on_every_route() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = check(
        host="127.0.0.1", port=port, routes=ALONE, keep_alive_s=5, database_url=None, upstream_url=None, seed=1
    )
    assert {finding.route for finding in outcome.findings if not finding.ok} == set(ALONE)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300) | st.builds(splice, st.integers(0, 140), st.binary(min_size=1, max_size=8)))
def test_whatever_bytes_a_server_sends_there_is_an_outcome(data: bytes) -> None:
    class Saying(Stack):
        def serve(self, client: socket.socket) -> None:
            self.head(client)
            client.sendall(data)

    outcome = checked(Saying(), ("plaintext", "ws"), deadline_s=0.5)
    assert not outcome.passed
    assert outcome.reason


def test_two_checks_with_one_seed_ask_different_questions() -> None:
    asked: list[str] = []

    class Listening(Stack):
        def head(self, client: socket.socket) -> bytes:
            head = super().head(client)
            asked.append(head.split(b"\r\n")[0].decode())
            return head

    assert checked(Listening(), ("json",)).passed
    half = len(asked)
    assert checked(Listening(), ("json",)).passed
    questions = {line for line in asked if line}
    assert len(questions) == len([line for line in asked[:half] if line]) * 2


def test_the_reason_is_one_sentence_with_route_rule_expected_and_found() -> None:
    outcome = checked(faults.LineFeed(), ("json",))
    assert outcome.reason is not None
    assert outcome.reason.startswith("json breaks the rule 'bytes': expected {\"id\":")
    assert 'Hello, World!"}\\n' in outcome.reason
    assert outcome.reason.endswith(").")
    assert "\n" not in outcome.reason


def test_a_route_that_the_contract_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match="no route 'fortunes'"):
        checked(Stack(), ("fortunes",))


def test_a_route_whose_service_is_not_named_is_refused() -> None:
    with pytest.raises(UsageError, match="'external' cannot be checked without upstream_url"):
        checked(Stack(), ("external",))


def test_a_database_that_fails_us_is_not_blamed_on_the_stack() -> None:
    with pytest.raises(MachineError, match=r"The database at 127\.0\.0\.1:9 failed"):
        checked(Stack(database_url=NOWHERE), ("db",))


def test_an_upstream_that_fails_us_is_not_blamed_on_the_stack() -> None:
    with pytest.raises(MachineError, match="gave no account of its calls"):
        checked(Stack(upstream_url="http://127.0.0.1:9"), ("external",))


# pages, files, uploads, events and streams


@pytest.mark.parametrize("stack", [Stack, bodies.EscapedByNumbers, bodies.StreamUntilClose])
def test_a_good_stack_passes_on_the_routes_with_bodies(stack: type[Stack]) -> None:
    outcome = checked(stack(), BODIES)
    assert outcome.passed, outcome.reason
    assert {finding.route for finding in outcome.findings} == set(BODIES)


def test_a_stack_that_closes_every_connection_passes_on_the_routes_with_bodies() -> None:
    outcome = checked(faults.Closing(), ("upload", "stream"), keep_alive_s=0)
    assert outcome.passed, outcome.reason


@pytest.mark.parametrize(
    ("mutant", "route", "rule"),
    [
        (bodies.RawPage, "template", "escaping"),
        (bodies.HalfEscapedPage, "template", "escaping"),
        (bodies.TwiceEscapedPage, "template", "rows"),
        (bodies.ShortPage, "template", "rows"),
        (bodies.CannedPage, "template", "rows"),
        (bodies.NoTitle, "template", "bytes"),
        (bodies.NoPage, "template", "bytes"),
        (bodies.ShortFile, "file", "bytes"),
        (bodies.OtherFile, "file", "bytes"),
        (bodies.FileAsText, "file", "type"),
        (bodies.WrongDigest, "upload", "bytes"),
        (bodies.FirstPacketsDigest, "upload", "bytes"),
        (bodies.LargeRefused, "upload", "status"),
        (bodies.EmptyRefused, "upload", "status"),
        (bodies.BufferedEvents, "sse", "delivery"),
        (bodies.BufferedPairs, "sse", "delivery"),
        (bodies.HurriedEvents, "sse", "wait"),
        (bodies.UnendedEvents, "sse", "bytes"),
        (bodies.EventsAsText, "sse", "type"),
        (bodies.StreamWithLength, "stream", "length"),
        (bodies.OneLetter, "stream", "bytes"),
        (bodies.EndlessAlphabet, "stream", "bytes"),
        (bodies.CutStream, "stream", "bytes"),
        (bodies.UnendedStream, "stream", "length"),
    ],
)
def test_a_fault_of_a_route_with_bodies_is_found_and_named(mutant: type[Stack], route: str, rule: str) -> None:
    outcome = checked(mutant(), (route,))
    assert first_fault(outcome) == (route, rule), outcome.reason


def test_without_a_file_of_our_own_the_route_is_held_against_its_length() -> None:
    def asked(stack: Stack) -> Outcome:
        with serving(stack) as port:
            return check(
                host="127.0.0.1",
                port=port,
                routes=("file",),
                keep_alive_s=5,
                database_url=None,
                upstream_url=None,
                seed=1,
            )

    assert asked(Stack()).passed
    assert first_fault(asked(bodies.ShortFile())) == ("file", "bytes")


# services


@pytest.mark.server
def test_the_good_stack_passes_on_lists_of_rows_and_items(postgres_url: str) -> None:
    outcome = checked(Stack(postgres_url), TABLES)
    assert outcome.passed, outcome.reason


@pytest.mark.server
def test_the_good_stack_passes_with_mariadb(mariadb_url: str) -> None:
    outcome = checked(Stack(mariadb_url), ("db", "update", *TABLES))
    assert outcome.passed, outcome.reason


@pytest.mark.server
def test_the_good_stack_passes_with_redis(redis_url: str) -> None:
    outcome = checked(Stack(redis_url=redis_url), ("redis",))
    assert outcome.passed, outcome.reason


@pytest.mark.server
@pytest.mark.parametrize(
    ("mutant", "route", "rule"),
    [
        (behind.RememberedTable, "queries", "row"),
        (behind.SameRows, "queries", "random"),
        (behind.RowsTwice, "queries", "ids"),
        (behind.RowTooMany, "queries", "bytes"),
        (behind.SpacedRows, "queries", "bytes"),
        (behind.SameRows, "updates", "random"),
        (behind.UnsortedUpdates, "updates", "order"),
        (behind.LostUpdates, "updates", "row"),
        (faults.UncommittedUpdate, "updates", "row"),
        (behind.StandingUpdates, "updates", "change"),
        (behind.SpreadingUpdates, "updates", "change"),
        (behind.OneValue, "updates", "random"),
        (behind.CreatedWith200, "crud", "status"),
        (behind.CreatedNowhere, "crud", "made"),
        (behind.MangledNames, "crud", "made"),
        (behind.OtherOrder, "crud", "bytes"),
        (behind.PriceAsText, "crud", "bytes"),
        (behind.RememberedItem, "crud", "bytes"),
        (behind.LostChange, "crud", "changed"),
        (behind.NothingToChange, "crud", "status"),
        (behind.MissingIs200, "crud", "status"),
        (behind.MissingInOtherWords, "crud", "bytes"),
        (behind.KeptItem, "crud", "removed"),
        (behind.RemovesAll, "crud", "removed"),
        (behind.RemovedWith200, "crud", "status"),
        (behind.RemovedWithBody, "crud", "length"),
    ],
)
def test_a_fault_of_lists_of_rows_and_items_is_found_and_named(
    postgres_url: str, mutant: type[Stack], route: str, rule: str
) -> None:
    outcome = checked(mutant(postgres_url), (route,))
    assert first_fault(outcome) == (route, rule), outcome.reason


@pytest.mark.server
@pytest.mark.parametrize(
    ("mutant", "rule"),
    [
        (behind.RememberedNowhere, "key"),
        (behind.OtherKey, "key"),
        (behind.RememberedForEver, "expiry"),
        (behind.RememberedForAnHour, "expiry"),
        (behind.FirstValue, "bytes"),
    ],
)
def test_a_fault_with_redis_is_found_and_named(redis_url: str, mutant: type[Stack], rule: str) -> None:
    outcome = checked(mutant(redis_url=redis_url), ("redis",))
    assert first_fault(outcome) == ("redis", rule), outcome.reason


@pytest.mark.server
def test_a_check_leaves_no_item_behind(postgres_url: str) -> None:
    stack = behind.KeptItem(postgres_url)
    with closing(connected(postgres_url)) as ours:
        before = ours.execute("select count(*) from item").fetchone()
        ours.rollback()
        assert not checked(stack, ("crud",)).passed
        assert ours.execute("select count(*) from item").fetchone() == before


@pytest.mark.server
@pytest.mark.parametrize("database", ["postgres_url", "mariadb_url"])
def test_our_own_look_tells_a_locked_row(database: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(database)
    with closing(connected(url)) as holder, closing(Rows(url)) as rows:
        cursor = holder.cursor()
        cursor.execute("update world set value = 10000 where id = 17")
        with pytest.raises(LockedError):
            rows.write(17, 20_000)
        holder.rollback()
        rows.write(17, 20_000)
        assert rows.read(17) == 20_000


@pytest.mark.server
@pytest.mark.parametrize("database", ["postgres_url", "mariadb_url"])
def test_our_own_change_of_a_tenth_of_the_table_changes_that_tenth_alone(
    database: str, request: pytest.FixtureRequest
) -> None:
    with closing(Rows(request.getfixturevalue(database))) as rows:
        before = rows.every()
        rows.turn(3)
        after = rows.every()
    assert {number for number in after if after[number] != before[number]} == set(range(3, 10_001, 10))
    assert all(10_000 <= value <= 99_999 for value in after.values())


@pytest.mark.parametrize("url", ["mysql://nobody@127.0.0.1:9/none", NOWHERE])
def test_no_database_is_blamed_on_the_stack(url: str) -> None:
    with pytest.raises(MachineError, match=r"The database at 127\.0\.0\.1:9 failed"):
        checked(Stack(database_url=url), ("queries",))


def test_a_redis_that_fails_us_is_not_blamed_on_the_stack() -> None:
    class Remembering(Stack):
        def remember(self, key: str, value: str) -> str:
            return value

    with pytest.raises(MachineError, match=r"Redis at redis://127\.0\.0\.1:9/0 failed"):
        checked(Remembering(redis_url="redis://127.0.0.1:9/0"), ("redis",))


def test_a_route_whose_redis_is_not_named_is_refused() -> None:
    with pytest.raises(UsageError, match="'redis' cannot be checked without redis_url"):
        checked(Stack(), ("redis",))


# lacks


class Lacking(Stack):
    def sse(self, query: dict[str, str]) -> Response:
        return Response(b"not here", status="501 Not Implemented")

    def serve_socket(self, client: socket.socket, head: bytes) -> None:
        client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


def test_a_lack_that_is_one_is_a_single_good_finding() -> None:
    outcome = checked(Lacking(), ("plaintext",), lacks=("sse", "ws"))
    assert outcome.passed, outcome.reason
    lacks = [finding for finding in outcome.findings if finding.route != "plaintext"]
    assert [(finding.route, finding.rule) for finding in lacks] == [("sse", "lack"), ("ws", "lack")]


@pytest.mark.parametrize("route", ["json", "ws", "upload", "sse", "stream"])
def test_a_lack_that_works_is_found(route: str) -> None:
    outcome = checked(Stack(), ("plaintext",), lacks=(route,))
    assert first_fault(outcome) == (route, "lack")
    assert str(outcome.reason).endswith("as it is declared, found one that works.")


def test_a_lack_that_hangs_is_not_waited_for_long() -> None:
    begin = time.monotonic()
    assert checked(faults.Hanging(), (), lacks=("json",)).passed
    assert time.monotonic() - begin < 5


# TLS and newer versions


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return versions.certificate(tmp_path_factory.mktemp("tls"))


def test_a_stack_behind_tls_passes_and_its_http2_too(certificate: tuple[Path, Path]) -> None:
    outcome = checked(versions.Secured(*certificate), (*ALONE, "upload", "stream"), tls=True, protocols=("h2",))
    assert outcome.passed, outcome.reason
    assert [finding.route for finding in outcome.findings if finding.rule == "h2"] == ["plaintext"] * 2


def test_a_stack_that_does_not_take_http2_up_is_found(certificate: tuple[Path, Path]) -> None:
    outcome = checked(versions.SecuredWithoutH2(*certificate), ("json",), tls=True, protocols=("h2",))
    assert first_fault(outcome) == ("plaintext", "h2")
    assert "chose nothing, not h2" in str(outcome.reason)


def test_http2_is_spoken_in_clear_where_there_is_no_tls() -> None:
    outcome = checked(versions.ClearH2(), (), protocols=("h2",))
    assert outcome.passed, outcome.reason


class WrongH2(versions.ClearH2):
    def plaintext(self, _: dict[str, str]) -> Response:
        return Response(b"Hello, world!")


class FailingH2(versions.ClearH2):
    def status(self) -> str:
        return "500 Oh no"


class GarbageH2(versions.ClearH2):
    def serve(self, client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


class LeavingH2(versions.ClearH2):
    def serve(self, client: socket.socket) -> None:
        client.recv(65536)


@pytest.mark.parametrize("mutant", [WrongH2, FailingH2, GarbageH2, LeavingH2, versions.Silent])
def test_a_fault_over_http2_is_found(mutant: type[Stack]) -> None:
    outcome = checked(mutant(), (), protocols=("h2",), deadline_s=0.5)
    assert first_fault(outcome) == ("plaintext", "h2")


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200), greeted=st.booleans())
def test_whatever_bytes_come_over_http2_there_is_an_outcome(data: bytes, *, greeted: bool) -> None:
    class Saying(Stack):
        def serve(self, client: socket.socket) -> None:
            client.sendall((b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" if greeted else b"") + data)

    assert not checked(Saying(), (), protocols=("h2",), deadline_s=0.5).passed


def over_h3(stack: Stack, certificate: tuple[Path, Path]) -> Outcome:
    with versions.serving_h3(stack, *certificate) as port:
        return check(
            host="127.0.0.1",
            port=port,
            routes=(),
            keep_alive_s=5,
            database_url=None,
            upstream_url=None,
            seed=1,
            protocols=("http/1.1", "h3"),
        )


def test_a_stack_over_http3_passes(certificate: tuple[Path, Path]) -> None:
    outcome = over_h3(Stack(), certificate)
    assert outcome.passed, outcome.reason
    assert [finding.rule for finding in outcome.findings] == ["h3"] * 2


@pytest.mark.parametrize("mutant", [WrongH2, FailingH2])
def test_a_fault_over_http3_is_found(mutant: type[Stack], certificate: tuple[Path, Path]) -> None:
    assert first_fault(over_h3(mutant(), certificate)) == ("plaintext", "h3")


def test_a_server_without_http3_is_found() -> None:
    outcome = checked(Stack(), (), protocols=("h3",), deadline_s=1)
    assert first_fault(outcome) == ("plaintext", "h3")


# somebody's own app


@dataclass(frozen=True)
class Asked:
    path: str
    method: str = "GET"
    status: int = 200
    body: bytes | None = None
    content_type: str | None = None


def own(stack: Stack, *paths: Asked, deadline_s: float = 20) -> Outcome:
    with serving(stack) as port:
        return check_paths(host="127.0.0.1", port=port, paths=paths, deadline_s=deadline_s)


def test_an_app_of_ones_own_is_asked_twice_for_each_path() -> None:
    outcome = own(Stack(), Asked("/plaintext"), Asked("/upload", "POST", body=b"x", content_type="text/plain"))
    assert outcome.passed, outcome.reason
    assert [(finding.route, finding.rule) for finding in outcome.findings] == [
        *[("GET /plaintext", "answer"), ("GET /plaintext", "status")] * 2,
        *[("POST /upload", "answer"), ("POST /upload", "status")] * 2,
    ]


def test_another_status_than_the_expected_one_is_found() -> None:
    assert first_fault(own(Stack(), Asked("/plaintext", status=404))) == ("GET /plaintext", "status")


@pytest.mark.parametrize("mutant", [faults.HalfAnswer, faults.Hanging, faults.Garbage, faults.EarlyClose])
def test_an_answer_of_ones_own_app_that_is_not_whole_is_found(mutant: type[Stack]) -> None:
    outcome = own(mutant(), Asked("/plaintext"), deadline_s=0.5)
    assert first_fault(outcome) == ("GET /plaintext", "answer")


@pytest.mark.parametrize("path", ["/with space", "/ü"])
def test_a_path_that_nobody_could_ask_for_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="cannot be sent as a request"):
        own(Stack(), Asked(path))


def test_visits_are_all_that_is_asked_of_somebodys_own_app() -> None:
    with serving(Stack()) as port:
        outcome = check(
            host="127.0.0.1",
            port=port,
            routes=("redis",),
            keep_alive_s=0,
            database_url=None,
            upstream_url=None,
            seed=1,
            visits=(Asked("/plaintext"),),
        )
    assert outcome.passed, outcome.reason
    assert {finding.route for finding in outcome.findings} == {"GET /plaintext"}
