"""The client of three protocols: what it asks, counts, sends again and gives up, against real servers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from loadservers import http_server, own_certificate, reply
from streamservers import Manner, http2_server, http3_server

from gatebench import generator, histogram
from gatebench.errors import UsageError
from gatebench.generator.streams import Streams
from gatebench.machine import usable_cpus
from gatebench.model import Load, LoadKind, Placement
from gatebench.streams.driver import measure
from gatebench.streams.http1 import Answer, parsed
from gatebench.streams.job import parse
from gatebench.streams.seen import Seen

pytestmark = pytest.mark.server

STREAMED = pytest.mark.parametrize("kind", ["h1", "h2", "h3"])


@contextmanager
def http1_server(manner: Manner, folder: Path) -> Iterator[str]:
    served = 0

    def full(_method: str, path: str, _body: bytes) -> list[bytes | float | None]:
        nonlocal served
        served += 1
        manner.paths.add(path)
        if manner.silent:
            return [30.0]
        leaves = manner.requests_each is not None and served % manner.requests_each == 0
        return [reply(manner.body, status=manner.status), *([None] if leaves else [])]

    with http_server(full=full, tls=own_certificate(folder)) as (url, seen):
        yield url
        manner.connections = seen.connections


SERVERS: dict[str, Callable[[Manner, Path], AbstractContextManager[str]]] = {
    "h1": http1_server,
    "h2": http2_server,
    "h3": http3_server,
}


def document(host: str, kind: str, size: int, **changes: Any) -> bytes:
    times = {"warmup_slice_s": 0.1, "warmup_limit_s": 0.3, "window_s": 0.5, "timeout_s": 5.0}
    made = {"format": 1, "scenario": "scenarios/plain.py", "host": host, "load": {"kind": kind, "size": size}}
    return json.dumps({**made, "error_limit": 0.001, "seed": 1, **times, **changes}).encode()


def measured(kind: str, manner: Manner, folder: Path, *, size: int = 8, **changes: Any) -> dict[str, Any]:
    with SERVERS[kind](manner, folder) as host:
        return measure(parse(document(host, kind, size, **changes)))


@STREAMED
def test_a_good_server_is_asked_by_so_many_at_a_time_and_nothing_is_an_error(tmp_path: Path, kind: str) -> None:
    manner = Manner()
    figures = measured(kind, manner, tmp_path)
    assert (figures["errors"], figures["error_reasons"], figures["retries"]) == (0, {}, 0)
    assert 0 < figures["requests"] == figures["bodies_checked"]
    assert manner.paths == {"/plaintext"}
    assert manner.connections == (8 if kind == "h1" else 4)
    assert figures["in_flight_mean"] == pytest.approx(8, rel=0.05)
    assert histogram.from_json(figures["response"]).total == figures["requests"]
    assert figures["window_end_s"] - figures["window_start_s"] >= 0.5


@STREAMED
def test_fewer_requests_than_connections_take_no_more_connections_than_that(tmp_path: Path, kind: str) -> None:
    manner = Manner()
    figures = measured(kind, manner, tmp_path, size=2)
    assert manner.connections == 2
    assert figures["in_flight_mean"] == pytest.approx(2, rel=0.05)


@STREAMED
@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        (Manner(status=503), "status 503 instead of 200"),
        (Manner(body=b"Hello, Moon!!"), "the body is not the expected one"),
        (Manner(body=b""), "the body is not the expected one"),
        (Manner(body=b"x" * 10_000), "the body is not the expected one"),
    ],
    ids=["status", "body", "empty", "long"],
)
def test_a_wrong_answer_is_an_error(tmp_path: Path, kind: str, manner: Manner, reason: str) -> None:
    figures = measured(kind, replace(manner), tmp_path)
    assert figures["requests"] == 0
    assert figures["errors"] > 0
    assert set(figures["error_reasons"]) == {reason}


@STREAMED
def test_a_server_that_never_answers_is_given_up_after_the_jobs_time(tmp_path: Path, kind: str) -> None:
    figures = measured(kind, Manner(silent=True), tmp_path, timeout_s=0.1)
    assert figures["requests"] == 0
    assert set(figures["error_reasons"]) <= {"no answer within 0.1 s", "no connection within 0.1 s"}
    assert 0 < figures["errors"] <= 8 * 10
    assert not figures["warmup_settled"]


@STREAMED
def test_where_nobody_listens_every_request_is_an_error_and_the_client_does_not_spin(kind: str) -> None:
    with http_server() as (host, _):
        pass
    figures = measure(parse(document(host.replace("http:", "https:"), kind, 8)))
    assert figures["requests"] == 0
    assert len(figures["error_reasons"]) == 1
    assert "Connection refused" in next(iter(figures["error_reasons"]))
    assert figures["errors"] <= 8 * 10


@STREAMED
def test_a_connection_that_ends_after_ten_requests_is_opened_again_and_no_request_is_lost(
    tmp_path: Path, kind: str
) -> None:
    manner = Manner(requests_each=10)
    figures = measured(kind, manner, tmp_path, size=32)
    assert (figures["errors"], figures["error_reasons"]) == (0, {})
    assert figures["requests"] > 0
    assert manner.connections > 32 / 8
    assert figures["in_flight_mean"] == pytest.approx(32, rel=0.05)


@pytest.mark.parametrize("kind", ["h2", "h3"])
def test_requests_that_the_server_has_refused_are_sent_again_and_counted(tmp_path: Path, kind: str) -> None:
    figures = measured(kind, Manner(requests_each=5), tmp_path, size=32)  # 8 a connection: 3 too many
    assert figures["errors"] == 0
    assert figures["retries"] > 0


@pytest.mark.parametrize(("kind", "code"), [("h2", 7), ("h3", 0x10B)])
def test_a_server_that_refuses_whatever_is_sent_again_is_an_error_in_the_end(
    tmp_path: Path, kind: str, code: int
) -> None:
    figures = measured(kind, Manner(reset=code), tmp_path)
    assert figures["requests"] == 0
    assert set(figures["error_reasons"]) == {"refused 4 times"}


@pytest.mark.parametrize(("kind", "code"), [("h2", 2), ("h3", 0x102)])
def test_a_stream_that_is_reset_is_an_error(tmp_path: Path, kind: str, code: int) -> None:
    figures = measured(kind, Manner(reset=code), tmp_path)
    assert figures["requests"] == figures["retries"] == 0
    assert set(figures["error_reasons"]) == {f"the stream was reset ({code})"}


def test_no_more_streams_are_opened_than_the_server_allows(tmp_path: Path) -> None:
    manner = Manner(streams=3)
    figures = measured("h2", manner, tmp_path, size=40)
    assert figures["errors"] == 0
    assert manner.busiest <= 3
    assert figures["in_flight_mean"] == pytest.approx(40, rel=0.05)  # those that wait for their turn, too


def test_a_server_without_http2_is_said_to_have_none(tmp_path: Path) -> None:
    with http1_server(Manner(), tmp_path) as host:
        figures = measure(parse(document(host, "h2", 4)))
    assert set(figures["error_reasons"]) == {"no connection (the server chose nothing, not h2)"}


def test_a_server_that_speaks_no_http2_after_all_is_an_error_and_no_exception(tmp_path: Path) -> None:
    tls = own_certificate(tmp_path)
    tls.set_alpn_protocols(["h2"])
    with http_server(tls=tls, greeting=b"220 mail is here, and has been for a long time\r\n" * 400) as (host, _):
        figures = measure(parse(document(host, "h2", 4)))
    assert set(figures["error_reasons"]) <= {"no connection (no HTTP/2 (ValueError))"}
    assert figures["errors"] > 0


@STREAMED
def test_the_harness_starts_it_as_a_program_of_its_own_and_reads_its_figures(
    tmp_path: Path, root: Path, kind: LoadKind
) -> None:
    job = generator.Job(
        scenario=root / "scenarios" / "plain.py",
        host="",
        load=Load(kind=kind, size=4),
        error_limit=0.001,
        seed=1,
        warmup_slice_s=0.1,
        warmup_limit_s=0.3,
        window_s=0.3,
    )
    placement = Placement(server=(), generator=usable_cpus()[-1:], services=())
    driver = Streams(scratch=tmp_path)
    with SERVERS[kind](Manner(), tmp_path) as host, driver.start(placement) as started:
        figures = started.measure(replace(job, host=host))
    assert driver.name == "streams"
    assert (figures.errors, figures.offered) == (0, None)
    assert figures.requests == figures.response.total > 0
    assert (figures.arrivals, figures.steps, figures.answered_by) == (None, (), {})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scenario": "scenarios/db.py"}, "asks for the scenario 'plain' only"),
        ({"load": {"kind": "closed", "size": 4}}, "it must be h1"),
        ({"load": {"kind": "h2", "size": 0}}, "it must be h1"),
        ({"host": "http://127.0.0.1:80"}, "goes over TLS"),
        ({"host": "https://192.0.2.1:443"}, "is refused"),
        ({"host": "https://example.org"}, "no address of this machine"),
        ({"window_s": -1}, "window_s"),
        ({"format": 2}, "format"),
    ],
)
def test_a_job_that_it_does_not_serve_is_refused_in_one_sentence(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(document(**{"host": "https://127.0.0.1:443", "kind": "h2", "size": 4, **changes}))


def test_a_refusal_is_a_document_too() -> None:
    asked = document("https://127.0.0.1:443", "h2", 4, scenario="scenarios/db.py")
    done = subprocess.run(
        [sys.executable, "-m", "gatebench.streams"], input=asked, capture_output=True, check=False, timeout=60
    )
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["who"], done.stderr) == (2, "user", b"")
    with pytest.raises(UsageError, match="only"):
        generator.read(answer)


def test_an_answer_is_read_in_parts_and_in_every_framing() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n0\r\n\r\n"
    assert parsed(chunked) == Answer(200, b"Hello", kept=True)
    assert all(parsed(chunked[:length]) is None for length in range(1, len(chunked)))
    assert parsed(b"HTTP/1.1 100 Continue\r\n\r\n" + reply(b"x")) == Answer(200, b"x", kept=True)
    assert parsed(reply(b"x", headers="Connection: close\r\n")) == Answer(200, b"x", kept=False)
    assert parsed(reply(b"x") + b"more") == Answer(200, b"x", kept=False)
    assert parsed(b"HTTP/1.1 200 OK\r\n\r\nto the end", ended=True) == Answer(200, b"to the end", kept=False)


def test_the_window_holds_what_ends_in_it_and_in_flight_is_the_mean_over_its_time() -> None:
    now = 10.0
    seen = Seen(clock=lambda: now)
    seen.answered(8.0, 9.5)
    seen.open_window()
    seen.answered(9.0, 11.0)
    seen.failed(10.0, 12.0, "why")
    now = 14.0
    figures = seen.close_window([12.0])
    assert (figures["requests"], figures["errors"], figures["error_reasons"]) == (1, 1, {"why": 1})
    assert figures["in_flight_mean"] == pytest.approx((1 + 2 + 2) / 4)
    assert histogram.from_json(figures["response"]).sum_us == pytest.approx(2e6)


def test_reasons_are_kept_apart_up_to_ten() -> None:
    seen = Seen()
    seen.open_window()
    for number in range(20):
        seen.failed(0.0, 1.0, f"reason {number}")
    reasons = seen.close_window([])["error_reasons"]
    assert len(reasons) == 10
    assert reasons["other reasons"] == 11
