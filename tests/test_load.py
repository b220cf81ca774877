"""The generator as a process, against small real servers: good ones, and one for each way to be bad."""

import asyncio
import resource
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from driving import SCENARIOS, drive, figures, job, together
from loadservers import contract_body, echo_server, good, http_server, reply

from gatebench import histogram

pytestmark = pytest.mark.server


def test_a_good_server_gives_figures_without_errors() -> None:
    before = time.perf_counter()
    with http_server() as (host, asked):
        seen = figures(host)
    assert set(seen) == {
        *("format", "locust", "users", "warmup_s", "warmup_settled", "window_start_s", "window_end_s"),
        *("requests", "errors", "error_reasons", "response", "in_flight_mean", "answered_by"),
        *("bodies_checked", "retries", "cpu_s", "delay_s", "connections"),
        *("arrivals", "steps", "loop_lag_p99_s"),
    }
    assert (seen["users"], seen["errors"], seen["error_reasons"], seen["connections"]) == (4, 0, {}, None)
    assert histogram.from_json(seen["response"]).total == seen["requests"] > 0
    assert seen["requests"] < len(asked.requests), "warm-up is not counted"
    assert before < seen["window_start_s"] < seen["window_end_s"] < time.perf_counter(), "one clock for all processes"
    assert 0.3 <= seen["window_end_s"] - seen["window_start_s"] < 5
    assert 0 < seen["in_flight_mean"] <= 4
    assert seen["cpu_s"] > 0
    assert seen["delay_s"] is None or seen["delay_s"] >= 0
    assert (seen["arrivals"], seen["steps"]) == (None, None), "these are of open loops"
    assert seen["loop_lag_p99_s"] is None, "of 0.3 s there are too few ticks for it"
    assert asked.connections == 4, "a connection is kept for as long as the server keeps it"


def test_a_server_that_closes_every_connection_in_words_is_no_error() -> None:
    async def closing(path: str) -> bytes:
        return reply(b"Hello, World!", headers="Connection: close\r\n") if path else b""

    with http_server(closing, close_each=True) as (host, asked):
        seen = figures(host)
    assert (seen["errors"], seen["retries"]) == (0, 0)
    assert asked.connections >= seen["requests"] > 0


def test_a_server_that_closes_without_a_word_costs_a_second_try_and_no_error() -> None:
    with http_server(close_each=True) as (host, _):
        seen = figures(host)
    assert (seen["errors"], seen["error_reasons"]) == (0, {})
    assert seen["requests"] > 0
    assert seen["retries"] > 0


async def failing(_path: str) -> bytes:
    return reply(b"oh", status=500)


async def short(_path: str) -> bytes:
    return reply(b"Hello")


async def forged(_path: str) -> bytes:
    return reply(b"Hello, Wurst!")


async def garbled(_path: str) -> bytes:
    return b"220 smtp.example.invalid ready\r\n\r\n"


async def talkative(_path: str) -> bytes:
    return reply(b"Hello, World!") * 2


async def broken_off(_path: str) -> bytes:
    return reply(b"Hello, World!")[:-3]


async def silent(_path: str) -> None:
    return None


REASONS: dict[str, tuple[Any, bool]] = {
    "status 500 where 200 was expected": (failing, False),
    "body 8 bytes shorter than expected": (short, False),
    "answer is not HTTP/1.1": (garbled, False),
    "more bytes after the end of the answer": (talkative, False),
    "connection closed within the answer": (broken_off, True),
    "connection closed before the answer": (silent, False),
}


def test_an_answer_that_is_not_as_expected_is_an_error_with_its_reason() -> None:
    with ExitStack() as stack:
        hosts = [
            stack.enter_context(http_server(behaviour, close_each=close_each))[0]
            for behaviour, close_each in REASONS.values()
        ]
        answers = together(map(job, hosts))
    for reason, (code, seen) in zip(REASONS, answers, strict=True):
        assert (code, seen["requests"]) == (0, 0)
        assert seen["errors"] > 0
        assert seen["error_reasons"] == {reason: seen["errors"]}
        assert histogram.from_json(seen["response"]).total == 0


async def misspelt(path: str) -> bytes:
    return reply(contract_body(path).replace(b"Hello", b"Hallo"))


def test_a_wrong_body_of_the_right_length_is_found_by_the_sample() -> None:
    with http_server(misspelt) as (host, _):
        seen = figures(host, scenario=SCENARIOS / "json.py", load=("closed", 16), window_s=1.0)
    assert seen["requests"] > seen["errors"] == seen["bodies_checked"] > 0
    assert seen["error_reasons"] == {"body other than expected": seen["errors"]}


def test_where_all_answers_are_to_be_the_same_every_one_that_is_not_is_found_soon() -> None:
    asked = 0

    async def turning(path: str) -> bytes:
        nonlocal asked
        asked += 1
        return await (good(path) if asked < 2000 else forged(path))

    with http_server(forged) as (wrong, _), http_server(turning) as (turned, _):
        (_, always), (_, later) = together([job(wrong), job(turned, window_s=1.5)])
    assert (always["requests"], always["error_reasons"]) == (0, {"body other than expected": always["errors"]})
    assert always["errors"] == always["bodies_checked"] > 0
    assert later["errors"] > later["requests"]


def test_users_wait_as_long_as_the_server_does_and_little_s_law_holds() -> None:
    async def slow(path: str) -> bytes:
        await asyncio.sleep(0.1)
        return await good(path)

    with http_server(slow) as (host, _):
        seen = figures(host, load=("closed", 16), window_s=1.0)
    window_s = seen["window_end_s"] - seen["window_start_s"]
    mean_s = histogram.mean(histogram.from_json(seen["response"]))
    assert mean_s is not None
    assert mean_s >= 0.1
    assert seen["in_flight_mean"] == pytest.approx(16, rel=0.1)
    assert mean_s * seen["requests"] / window_s == pytest.approx(seen["in_flight_mean"], rel=0.15)


async def hanging(_path: str) -> bytes:
    await asyncio.sleep(60)
    return b""


def test_a_server_that_hangs_does_not_hold_the_generator() -> None:
    begun = time.perf_counter()
    with http_server(hanging) as (host, _):
        (_, waiting), (_, late) = together([job(host), job(host, timeout_s=0.1)])
    assert time.perf_counter() - begun < 10
    assert (waiting["requests"], waiting["errors"], waiting["warmup_settled"]) == (0, 0, False)
    assert waiting["in_flight_mean"] == pytest.approx(4, rel=0.05), "what waits is in flight"
    assert late["errors"] > 0
    assert late["error_reasons"] == {"no answer within 0.1 s": late["errors"]}


def test_a_server_that_dies_midway_is_seen() -> None:
    left = [300]

    async def dying(path: str) -> bytes | None:
        left[0] -= 1
        return await good(path) if left[0] > 0 else None

    with http_server(dying) as (host, _):
        seen = figures(host)
    assert seen["errors"] > 0
    assert seen["error_reasons"] == {"connection closed before the answer": seen["errors"]}


def test_nobody_listening_is_an_error_of_every_request() -> None:
    with http_server() as (host, _):
        pass
    seen = figures(host)
    assert seen["error_reasons"] == {"connection refused": seen["errors"]}


def test_equal_seeds_ask_for_the_same_and_others_do_not() -> None:
    with ExitStack() as stack:
        hosts, servers = zip(*(stack.enter_context(http_server()) for _ in range(3)), strict=True)
        one, seeds = partial(job, scenario=SCENARIOS / "json.py", load=("closed", 1)), (1, 1, 2)
        together(one(host, seed=seed) for host, seed in zip(hosts, seeds, strict=True))
    first, again, other = ([head.split(" ")[1] for head in server.requests[:50]] for server in servers)
    assert len(first) == 50
    assert first == again != other


BROKEN = {
    "def broken(:\n": "SyntaxError",
    "import nothing_of_this_name\n": "ModuleNotFoundError",
    "raise SystemExit(3)\n": "SystemExit",
    "TEXT = 'no user here'\n": "no user class",
    "from gatebench.swarm import HttpUser\n\n\nclass Idle(HttpUser):\n    pass\n": "@task",
}


def test_a_broken_scenario_is_the_user_s_to_mend(tmp_path: Path) -> None:
    paths = [tmp_path / f"broken{number}.py" for number in range(len(BROKEN))]
    for path, source in zip(paths, BROKEN, strict=True):
        path.write_text(source)
    answers = together(job("http://127.0.0.1:9", scenario=path) for path in paths)
    for path, told, (code, answer) in zip(paths, BROKEN.values(), answers, strict=True):
        assert (code, answer["who"]) == (2, "user")
        assert told in answer["error"]
        assert str(path) in answer["error"]
        assert "\n" not in answer["error"]


def test_a_job_that_cannot_be_taken_is_answered_with_the_reason() -> None:
    told = {
        b"": "no JSON",
        job("http://192.0.2.1:80"): "refused",
        job("http://127.0.0.1:9", scenario=SCENARIOS / "none.py"): "cannot be loaded",
        job("http://127.0.0.1:9", scenario=SCENARIOS / "crud.py", load=("hold", 5)): "EngineUser, with an Echo",
        job("http://127.0.0.1:9", load=("h2", 5)): "must be closed(USERS)",
    }
    for reason, (code, answer) in zip(told.values(), together(told), strict=True):
        assert (code, answer["who"]) == (2, "user")
        assert reason in answer["error"]


def test_a_limit_on_open_files_is_raised_where_that_is_allowed_and_else_named() -> None:
    def limit(soft: int, hard: int) -> Callable[[], None]:
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    with echo_server() as host:
        asked = job(host, scenario=SCENARIOS / "websocket.py", load=("hold", 100))
        code, seen = drive(asked, prepare=limit(64, 256))
        assert (code, seen["connections"]["kept"]) == (0, 100)
        code, answer = drive(asked, prepare=limit(64, 128))
    assert (code, answer["who"]) == (4, "machine")
    assert "hold(100) needs 164 open files" in answer["error"]
    assert "ulimit" in answer["error"]


FAULTY = """
from gatebench.swarm import HttpUser, task


class Faulty(HttpUser):
    @task
    def one(self):
        print("not among the figures")
        1 / 0
"""

LEAVING = """
from locust.exception import StopUser

from gatebench.swarm import HttpUser, task


class Leaving(HttpUser):
    @task
    def one(self):
        raise StopUser
"""


def test_a_scenario_that_fails_or_ends_by_itself_is_an_error_of_the_window(tmp_path: Path) -> None:
    paths = [tmp_path / "faulty.py", tmp_path / "leaving.py"]
    for path, source in zip(paths, (FAULTY, LEAVING), strict=True):
        path.write_text(source)
    (_, faulty), (_, leaving) = together(job("http://127.0.0.1:9", scenario=path) for path in paths)
    assert faulty["errors"] > 0
    assert faulty["error_reasons"] == {"ZeroDivisionError in the scenario": faulty["errors"]}
    assert leaving["error_reasons"] == {"user ended before the window did": 4}


MIXED = """
from locust import FastHttpUser

from gatebench.swarm import Expect, HttpUser, task


class Poster(HttpUser):
    @task
    def one(self):
        assert self.client.post("/a", json={"n": 1}, expect=Expect(body=b"ok")) == b"ok"


class Stock(FastHttpUser):
    @task
    def one(self):
        self.client.get("/b")
"""


def test_a_post_and_locust_s_own_users_are_measured_as_well(tmp_path: Path) -> None:
    scenario = tmp_path / "mixed.py"
    scenario.write_text(MIXED)

    async def ok(_path: str) -> bytes:
        return reply(b"ok")

    with http_server(ok) as (host, asked):
        seen = figures(host, scenario=scenario, load=("closed", 2))
    assert seen["errors"] == 0
    posts = [head for head in asked.requests if head.startswith("POST /a ")]
    assert posts
    assert "Content-Type: application/json\r\n" in posts[0]
    assert "Content-Length: 7\r\n" in posts[0]
    assert any(head.startswith("GET /b ") for head in asked.requests)


METHODS = """
from gatebench.swarm import Expect, HttpUser, task

OK = Expect(body=b"ok")


class Keeper(HttpUser):
    @task
    def one(self):
        assert self.client.put("/put", json={"n": 1}, name="/named", expect=OK) == b"ok"
        assert self.client.put("/empty", expect=OK) == b"ok"
        assert self.client.patch("/patch", data="abc", headers={"X-A": "b"}, expect=OK) == b"ok"
        assert self.client.delete("/delete", headers={"X-A": "c"}, expect=OK) == b"ok"
"""


def test_an_object_is_put_patched_and_deleted(tmp_path: Path) -> None:
    scenario = tmp_path / "methods.py"
    scenario.write_text(METHODS)
    came: list[tuple[str, str, bytes]] = []

    def ok(method: str, path: str, body: bytes) -> bytes:
        came.append((method, path, body))
        return reply(b"ok")

    with http_server(full=ok) as (host, asked):
        seen = figures(host, scenario=scenario, load=("closed", 1))
    assert (seen["errors"], seen["error_reasons"]) == (0, {})
    assert came[:4] == [
        ("PUT", "/put", b'{"n":1}'),
        ("PUT", "/empty", b""),
        ("PATCH", "/patch", b"abc"),
        ("DELETE", "/delete", b""),
    ]
    heads = asked.requests[:4]
    assert ["Content-Length" in head for head in heads] == [True, True, True, False]
    assert "Content-Type: application/json\r\n" in heads[0]
    assert ["X-A: b" in heads[2], "X-A: c" in heads[3]] == [True, True]


COUNTED = """
from gatebench.swarm import EngineUser, Expect, Request


class Reader(EngineUser):
    counted = "x-backend"
    mix = (Request("/plaintext", expect=Expect(body="Hello, World!")),)
"""


@pytest.mark.parametrize("load", [("closed", 4), ("open", 400)])
def test_every_answer_is_counted_by_what_a_header_of_it_says(tmp_path: Path, load: tuple[str, int]) -> None:
    scenario = tmp_path / "counted.py"
    scenario.write_text(COUNTED)
    asked = 0

    async def answering(_path: str) -> bytes:
        nonlocal asked
        asked += 1
        status = 500 if asked % 5 == 0 else 200
        return reply(
            b"Hello, World!", status=status, headers=("", "X-Backend: one\r\n", "x-backend:two\r\n")[asked % 3]
        )

    with http_server(answering) as (host, _):
        seen = figures(host, scenario=scenario, load=load, window_s=0.6)
    counts = seen["answered_by"]
    assert set(counts) == {"one", "two", "none"}
    assert sum(counts.values()) == seen["requests"], "those that failed are not among them"
    assert seen["errors"] > 0
    for count in counts.values():
        assert count == pytest.approx(seen["requests"] / 3, abs=6)


def test_where_nothing_is_counted_nobody_has_answered() -> None:
    async def answering(path: str) -> bytes:
        return reply(contract_body(path), headers="X-Backend: one\r\n")

    with http_server(answering) as (host, _):
        assert figures(host)["answered_by"] == {}


FLOWING = """
from gatebench.swarm import EngineUser, Expect, Flow, Hex, Request

KEY = Hex(4)


class Keeper(EngineUser):
    mix = (
        Flow(
            (
                Request("/first", expect=Expect(body=("<", KEY, ">"))),
                Request(("/second/", KEY), name="second", expect=Expect(body=(KEY, "!"))),
                Request(("/third/", KEY), name="third", expect=Expect(status=204)),
            )
        ),
        Request("/alone", weight=0),
    )
"""


@pytest.mark.parametrize("load", [("closed", 1), ("open", 300)])
def test_a_flow_goes_on_only_after_a_good_answer_and_begins_anew_after_any_other(
    tmp_path: Path, load: tuple[str, int]
) -> None:
    scenario = tmp_path / "flowing.py"
    scenario.write_text(FLOWING)
    came: list[str] = []

    def answering(_method: str, path: str, _body: bytes) -> bytes:
        came.append(path)
        if path == "/first":
            number = sum(one == "/first" for one in came)
            return reply(b"<%04x>" % number if number % 3 else b"<zzzz>")
        key = path[-4:]
        if path.startswith("/second"):
            return reply(key.encode() + b"!", status=200 if int(key, 16) % 2 else 404)
        return b"HTTP/1.1 204 X\r\n\r\n"

    with http_server(full=answering) as (host, _):
        seen = figures(host, scenario=scenario, load=load)
    assert set(seen["error_reasons"]) == {"body other than expected", "status 404 where 200 was expected"}
    begun = range(1, sum(one == "/first" for one in came) + 1)
    told = {f"{number:04x}" for number in begun if number % 3}
    good = {one for one in told if int(one, 16) % 2}
    second = {path[-4:] for path in came if path.startswith("/second")}
    third = {path[-4:] for path in came if path.startswith("/third")}
    assert second <= told, "the key is the one that was told"
    assert third <= good
    if load[0] == "closed":  # by a clock, a seat that waits for its next arrival waits with its flow
        assert (len(told - second), len(good - third)) in {(0, 0), (0, 1), (1, 0), (1, 1)}, "but for the last one"
    else:
        assert third


def test_a_judge_of_alike_requests_is_asked_of_a_sample_and_length_of_every_answer(tmp_path: Path) -> None:
    scenario = tmp_path / "judged.py"
    scenario.write_text(JUDGED)
    with http_server() as (host, _):
        seen = figures(host, scenario=scenario, window_s=1.0)
    assert (seen["errors"], seen["error_reasons"]) == (0, {})
    assert seen["bodies_checked"] < seen["requests"] / 10


JUDGED = """
from gatebench.swarm import EngineUser, Expect, Request


class Reader(EngineUser):
    mix = (Request("/plaintext", expect=Expect(length=13, body=lambda body: body.startswith(b"Hello"))),)
"""
