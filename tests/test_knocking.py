from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from loadservers import http_server, own_certificate, reply

from gatebench.errors import MachineError, UsageError
from gatebench.histogram import mean
from gatebench.knocking.asking import Asker, Job, Tally, _Knock
from gatebench.knocking.knocker import REST_COUNT, REST_WAIT_S, Knocker, Knocks
from gatebench.machine import usable_cpus

EVER = (-math.inf, math.inf)
CPUS = usable_cpus()[:1]
PROGRAM = [sys.executable, "-m", "gatebench.knocking"]
# Knocks with no more open files than a program needs to run.
FEW_FILES = """
import resource, runpy, sys
sys.argv = ["knocking", *sys.argv[1:]]
resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
runpy.run_module("gatebench.knocking", run_name="__main__")
"""


@pytest.fixture
def knocker(tmp_path: Path) -> Knocker:
    return Knocker(tmp_path)


async def hello(path: str) -> bytes:
    assert path == "/plaintext?x=1"
    return reply(b"Hello, World!", headers="Connection: close\r\n")


@contextlib.contextmanager
def silent() -> Iterator[tuple[str, socket.socket]]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", listening


def taken(listening: socket.socket) -> int:
    """How many connections it took."""
    listening.setblocking(False)
    for count in itertools.count():
        try:
            listening.accept()[0].close()
        except BlockingIOError:
            return count
    raise AssertionError


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    """An address where nobody listens, and nobody else will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def asked(url: str, *, seconds: float, wait_s: float, count: int | None = None, rate: float | None = None) -> Tally:
    async def ask() -> Tally:
        return await Asker(Job(url=url, seconds=seconds, wait_s=wait_s, count=count, rate=rate)).run()

    return asyncio.run(ask())


def counts(tally: Tally) -> tuple[int, int, int]:
    due = tally.due_s
    return len(due["answered"]), len(due["refused"]), len(due["unanswered"])


def test_at_rest_each_knock_is_a_fresh_connection_and_each_answer_is_timed(knocker: Knocker) -> None:
    with http_server(hello, close_each=True) as (url, seen):
        found = knocker.at_rest(f"{url}/plaintext?x=1", CPUS)
    assert 0 < found.asked <= REST_COUNT
    assert (found.refused, found.unanswered, found.times.total) == (0, 0, found.asked)
    assert seen.connections == len(seen.requests) == found.asked
    assert all("Connection: close" in head for head in seen.requests)


def test_where_nobody_listens_every_knock_is_refused(knocker: Knocker) -> None:
    with nobody() as url:
        found = knocker.at_rest(url, CPUS)
    assert (found.asked, found.refused, found.unanswered, found.times.total) == (REST_COUNT, REST_COUNT, 0, 0)


def test_who_is_not_answered_counts_with_as_long_as_was_waited(knocker: Knocker) -> None:
    with silent() as (url, _):
        found = knocker.at_rest(url, CPUS)
    assert found.asked == found.unanswered == found.times.total > 0
    assert mean(found.times) == pytest.approx(REST_WAIT_S, rel=0.01)


@pytest.mark.parametrize(
    "answer", [reply(b"", status=503), reply(b"", status=404), b"HTTP/1.1", b"no such protocol", None]
)
def test_another_answer_than_200_or_a_connection_closed_without_one_is_a_refusal(answer: bytes | None) -> None:
    async def refuse(_path: str) -> list[bytes | float | None]:
        return [answer, None]

    with http_server(refuse) as (url, _):
        assert counts(asked(url, count=3, seconds=60, wait_s=60)) == (0, 3, 0)


def test_a_server_that_never_answers_leaves_knocks_unanswered() -> None:
    with silent() as (url, listening):
        assert counts(asked(url, count=3, seconds=60, wait_s=0.05)) == (0, 0, 3)
        assert taken(listening) == 3


def test_a_server_that_does_not_close_is_not_waited_for_long() -> None:
    async def stay(_path: str) -> bytes:
        return reply(b"Hello")

    with http_server(stay) as (url, seen):
        assert counts(asked(url, count=2, seconds=60, wait_s=60)) == (2, 0, 0)
        assert seen.connections == 2


def test_by_the_clock_a_server_that_stalls_is_asked_as_often_as_any_other() -> None:
    with silent() as (url, listening):
        tally = asked(url, rate=100, seconds=0.2, wait_s=0.3)
        due = tally.due_s["unanswered"]
        assert counts(tally) == (0, 0, len(due))
        assert taken(listening) == len(due) == 20
    assert [later - sooner for sooner, later in itertools.pairwise(due)] == pytest.approx([0.01] * 19)


def test_a_knock_is_answered_by_the_first_bytes_though_the_last_never_come() -> None:
    async def halting(_path: str) -> list[bytes | float | None]:
        return [b"H", b"TTP/1.1 200 OK\r\n\r\nHello", math.inf]

    with http_server(halting) as (url, _):
        tally = asked(url, count=1, seconds=60, wait_s=60)
    assert counts(tally) == (1, 0, 0)
    assert tally.took_s[0] > 0


@pytest.mark.parametrize(("status", "good"), [(b"200 OK", True), (b"503", False), (b"20", None)])
def test_the_status_is_read_from_however_small_pieces(status: bytes, good: bool | None) -> None:
    async def fed() -> _Knock:
        knock = _Knock(b"")
        for byte in b"HTTP/1.1 " + status:
            knock.data_received(bytes([byte]))
        return knock

    knock = asyncio.run(fed())
    assert knock.first_at is not None
    assert knock.answered.done() == (good is not None)
    assert knock.head.endswith(b" 200") == bool(good)


def test_tls_is_spoken_where_the_address_says_so(knocker: Knocker, tmp_path: Path) -> None:
    with http_server(hello, close_each=True, tls=own_certificate(tmp_path)) as (url, _):
        found = knocker.at_rest(f"{url}/plaintext?x=1", CPUS)
    assert found.times.total == found.asked > 0


def test_the_other_loopback_is_knocked_at_too() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no ::1")
    with http_server(hello, close_each=True, host="::1") as (url, _):
        assert counts(asked(f"{url}/plaintext?x=1", count=1, seconds=60, wait_s=60)) == (1, 0, 0)


def test_beside_a_load_those_due_in_the_window_are_picked(knocker: Knocker) -> None:
    enough = threading.Event()
    seen_by_now = 0

    async def counting(_path: str) -> bytes:
        nonlocal seen_by_now
        seen_by_now += 1
        if seen_by_now == 20:
            enough.set()
        return reply(b"", headers="Connection: close\r\n")

    with http_server(counting, close_each=True) as (url, seen):
        with knocker.beside(url, CPUS, seconds=60) as knocks:
            assert enough.wait(20)
        whole = knocks.between(*EVER)
        assert whole.asked == whole.times.total == seen.connections >= 20
    assert knocks._tally is not None
    middle = knocks._tally.due_s["answered"][10]
    before, after = knocks.between(-math.inf, middle), knocks.between(middle, math.inf)
    assert (before.asked, before.times.total) == (10, 10)
    assert after.asked == whole.asked - 10
    assert knocks.between(middle, middle).asked == 0


def test_knocking_ends_by_itself_after_its_time() -> None:
    with nobody() as url, start(url, seconds=0.1) as process:
        assert process.wait(20) == 0  # while its input is open
        assert process.stdout is not None
        assert counts(Tally.parse(process.stdout.read())) == (0, 20, 0)


def youngest() -> psutil.Process:
    """The process that we started last."""
    return max(psutil.Process().children(), key=psutil.Process.create_time)


def test_left_by_an_error_the_process_is_ended_with_what_it_waits_for(knocker: Knocker) -> None:
    with silent() as (url, _):
        with contextlib.ExitStack() as left:
            left.enter_context(pytest.raises(ZeroDivisionError))
            knocks = left.enter_context(knocker.beside(url, CPUS, seconds=60))
            child = youngest()
            raise ZeroDivisionError
        assert not child.is_running()
    with pytest.raises(MachineError, match="Nobody has knocked"):
        knocks.between(*EVER)


def test_the_process_runs_on_its_cpus(knocker: Knocker) -> None:
    with nobody() as url, knocker.beside(url, CPUS, seconds=60):
        assert youngest().cpu_affinity() == list(CPUS)


def start(url: str, *, seconds: float = 60, program: list[str] = PROGRAM) -> subprocess.Popen[bytes]:
    words = [*program, Job(url=url, rate=200, seconds=seconds, wait_s=0.05).document()]
    return subprocess.Popen(words, stdin=-1, stdout=-1, stderr=-1, start_new_session=True)


def test_the_process_ends_as_its_input_is_closed_and_not_at_an_interrupt() -> None:
    asked_at_all = threading.Event()

    async def heard(_path: str) -> bytes:
        asked_at_all.set()
        return reply(b"", headers="Connection: close\r\n")

    with http_server(heard, close_each=True) as (url, _), start(url) as process:
        assert asked_at_all.wait(20)
        process.send_signal(signal.SIGINT)
        answer, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, b"")
    assert counts(Tally.parse(answer))[0] >= 1


def test_where_this_machine_does_not_let_us_knock_it_says_so_and_counts_nothing_as_refused() -> None:
    with silent() as (url, _), start(url, program=[sys.executable, "-c", FEW_FILES]) as process:
        answer, errors = process.communicate(timeout=20) if process.wait(20) else (b"", b"")
    assert (process.returncode, answer) == (4, b"")
    assert b"Too many open files" in errors
    assert b"Traceback" not in errors


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1:80",
        "http://localhost:80",
        "http://0.0.0.0:80",
        "http://127.0.0.1",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:80@192.0.2.1:80",
        "ftp://127.0.0.1:21",
        "",
    ],
)
def test_no_other_machine_is_knocked_at(url: str, knocker: Knocker) -> None:
    with pytest.raises(UsageError, match="is not knocked at"):
        knocker.at_rest(url, CPUS)
    with pytest.raises(UsageError, match="is not knocked at"), knocker.beside(url, CPUS, seconds=1):
        pass
    with pytest.raises(UsageError, match="is not knocked at"):
        Job.parse(Job(url=url, seconds=1, wait_s=1).document())


@pytest.mark.parametrize("document", ["", "{}", "[1]", '{"url": 1, "more": 2}'])
def test_what_is_no_job_is_refused_in_one_sentence(document: str) -> None:
    done = subprocess.run([*PROGRAM, document], capture_output=True, check=False, timeout=20)
    assert done.returncode == 2
    assert done.stderr.startswith(b"The job is none")
    assert len(done.stderr.splitlines()) == 1


def test_a_process_that_dies_loses_the_knocks_and_says_so_when_they_are_asked_for(knocker: Knocker) -> None:
    with nobody() as url, knocker.beside(url, CPUS, seconds=60) as knocks:
        youngest().kill()
    with pytest.raises(MachineError, match="ended with exit code -9"):
        knocks.between(*EVER)


def test_an_answer_that_is_cut_off_is_no_answer() -> None:
    tally = Tally()
    tally.add(1.0, "answered", 0.5)
    tally.add(2.0, "refused")
    whole = tally.document()
    assert counts(Tally.parse(whole.encode())) == (1, 1, 0)
    without = {**json.loads(whole), "took": []}
    for broken in (whole[:-5], json.dumps(without)):
        with pytest.raises(ValueError, match=r".+"):
            Tally.parse(broken.encode())


def test_knocks_that_nobody_made_are_not_made_up() -> None:
    with pytest.raises(MachineError):
        Knocks().between(0.0, 1.0)
