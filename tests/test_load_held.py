"""The generator's held connections of plain requests: opened by an answer, idle, and asked once more."""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from driving import SCENARIOS, drive, figures, job
from loadservers import Pieces, contract_body, good, http_server, own_certificate, reply

pytestmark = pytest.mark.server

idle = partial(figures, scenario=SCENARIOS / "idle.py", load=("hold", 20))


def counts(seen: dict[str, Any]) -> tuple[int, ...]:
    """How many connections were opened and kept, and how many answered late."""
    told = seen["connections"]
    assert told["offered"] == told["opened"] + sum(told["unopened"].values())
    return tuple(told[key] for key in ("opened", "kept", "late"))


def first(number: int, then: Pieces) -> Callable[[str, str, bytes], bytes | Pieces]:
    """Answer so many requests well, and all others like that."""
    asked = Counter[str]()

    def answer(_method: str, path: str, _body: bytes) -> bytes | Pieces:
        asked[path] += 1
        return reply(contract_body(path)) if asked[path] <= number else then

    return answer


def test_a_connection_is_opened_by_one_answer_and_kept_by_another_over_the_same() -> None:
    with http_server() as (host, asked):
        seen = idle(host, load=("hold", 300))
    assert counts(seen) == (300, 300, 0)
    assert (seen["requests"], seen["errors"], seen["retries"]) == (300, 0, 0), "what opened them is not counted"
    assert seen["bodies_checked"] == 300
    assert Counter(asked.over) == dict.fromkeys(range(1, 301), 2)


def test_connections_are_held_over_tls_as_well(tmp_path: Path) -> None:
    with http_server(tls=own_certificate(tmp_path)) as (host, asked):
        seen = idle(host)
    assert (counts(seen), seen["requests"]) == ((20, 20, 0), 20)
    assert Counter(asked.over) == dict.fromkeys(range(1, 21), 2)


def test_a_connection_that_the_server_closes_while_it_is_idle_is_lost_and_no_other_is_opened() -> None:
    with http_server(idle_s=0.15) as (host, asked):
        seen = idle(host, window_s=2.0, load=("hold", 10))
    assert seen["connections"]["opened"] == 10
    assert seen["connections"]["kept"] == seen["requests"] < 10
    assert (seen["errors"], asked.connections) == (0, 10)


def test_a_server_that_closes_after_every_answer_keeps_nothing_open() -> None:
    async def closing(path: str) -> bytes:
        return reply(contract_body(path), headers="Connection: close\r\n")

    with http_server(closing, close_each=True) as (host, _):
        seen = idle(host)
    assert counts(seen) == (0, 0, 0)
    assert seen["connections"]["unopened"] == {"connection closed after the first answer": 20}
    assert (seen["requests"], seen["errors"]) == (0, 0)


def test_why_connections_did_not_open_is_counted_by_reason() -> None:
    with http_server(full=first(8, [reply(b"too many", status=503)])) as (host, _):
        seen = idle(host)
    assert seen["connections"]["opened"] == 8
    assert seen["connections"]["unopened"] == {"status 503 where 200 was expected": 12}


def test_where_nobody_listens_every_connection_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    seen = idle(f"http://127.0.0.1:{port}")
    assert counts(seen) == (0, 0, 0)
    assert seen["connections"]["unopened"] == {"connection refused": 20}


@pytest.mark.slow
def test_a_server_that_answers_few_is_soon_known_and_who_was_not_tried_is_told_from_who_was() -> None:
    with http_server(full=first(16, [60.0])) as (host, _):
        seen = idle(host, load=("hold", 500))
    reasons = seen["connections"]["unopened"]
    assert set(reasons) == {"connection not opened within 3 s", "given up, as none had opened for 4 s"}
    assert (seen["connections"]["opened"], sum(reasons.values())) == (16, 484)


def test_an_answer_that_comes_too_late_is_told_from_one_that_never_comes() -> None:
    with http_server(full=first(20, [1.2, reply(b"Hello, World!")])) as (host, _):
        seen = idle(host)
    assert counts(seen) == (20, 0, 20)


@pytest.mark.slow
def test_an_answer_that_never_comes_is_neither_kept_nor_late_nor_an_error() -> None:
    with http_server(full=first(20, [60.0])) as (host, _):
        seen = idle(host)
    assert (counts(seen), seen["errors"]) == ((20, 0, 0), 0)


def test_a_wrong_answer_over_a_held_connection_is_an_error_and_keeps_nothing() -> None:
    with http_server(full=first(20, [reply(b"Hello, Venus")])) as (host, _):
        seen = idle(host)
    assert counts(seen) == (20, 0, 0)
    assert seen["error_reasons"] == {"body 1 bytes shorter than expected": 20}


def test_bytes_that_nobody_asked_for_spoil_a_held_connection_and_are_no_error() -> None:
    timed_out = reply(b"", status=408, headers="Connection: close\r\n")

    async def hasty(path: str) -> Pieces:
        return [await good(path), 0.05, timed_out, None]

    with http_server(hasty) as (host, _):
        seen = idle(host, window_s=2.0)
    assert seen["connections"]["opened"] == 20
    assert seen["connections"]["kept"] < 20
    assert set(seen["error_reasons"]) <= {"status 408 where 200 was expected"}, "where it crossed a request"


FLOWS = """
from gatebench.swarm import EngineUser, Flow, Request


class Customer(EngineUser):
    mix = (Flow((Request("/plaintext"), Request("/plaintext"))),)
"""


def test_flows_cannot_be_held(tmp_path: Path) -> None:
    path = tmp_path / "flows.py"
    path.write_text(FLOWS)
    code, said = drive(job("http://127.0.0.1:9", scenario=path, load=("hold", 4)))
    assert code == 2
    assert "needs connections to hold" in said["error"]


@pytest.mark.slow
def test_refused_connections_are_told_from_answers_that_do_not_come() -> None:
    async def silent(_path: str) -> Pieces:
        await asyncio.sleep(60)
        return []

    with http_server(silent) as (host, _):
        waited = figures(host, timeout_s=0.5, window_s=1.0)
    refused = figures(host)
    assert waited["error_reasons"] == {"no answer within 0.5 s": waited["errors"]}
    assert refused["error_reasons"] == {"connection refused": refused["errors"]}
