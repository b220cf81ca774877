"""The independent client: it passes the good stack, and finds and names every single fault."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutants import faults
from mutants.stack import Response, Stack, serving

from gatebench.contract import Outcome, check
from gatebench.errors import MachineError, UsageError

ALONE = ("plaintext", "json", "sleep", "cpu", "ws")  # routes that need no service
NOWHERE = "postgresql://nobody@127.0.0.1:9/none"


def checked(
    stack: Stack,
    routes: Sequence[str] = ALONE,
    *,
    keep_alive_s: float = 5,
    since: str | None = None,
    deadline_s: float = 20,
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
        )


def first_fault(outcome: Outcome) -> tuple[str, str]:
    broken = next(finding for finding in outcome.findings if not finding.ok)
    return broken.route, broken.rule


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
