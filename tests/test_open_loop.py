"""Arrivals by a clock on a server that stops for two seconds, beside stock Locust; and the search of a rate."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import psutil
import pytest
from driving import figures, job, script
from loadservers import http_server, reply

from gatebench import histogram
from gatebench.arrivals import ACHIEVED
from gatebench.model import Histogram

pytestmark = [pytest.mark.server, pytest.mark.slow]

RATE = 500
STOPPED_S = 2.0
BEFORE_S = 1.5  # the warm-up is over by then
LATE_S = 0.1
WINDOW_S = 6.0


@contextmanager
def nothing(*words: str) -> Iterator[tuple[str, int]]:
    """Serve nothing in a process of its own; give its URL and process id."""
    command = [sys.executable, "-m", "gatebench.nothing", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().split()[1]}", process.pid
        finally:
            os.kill(process.pid, signal.SIGCONT)
            process.terminate()


@dataclass(frozen=True)
class Stopped:
    """When a server stood still, by perf_counter, and what a generator saw of it."""

    began: float
    ended: float
    seen: Any

    @property
    def lasted_s(self) -> float:
        return self.ended - self.began


def asked(server: psutil.Process) -> bool:
    """Say whether anyone has connected."""
    return any(one.status == psutil.CONN_ESTABLISHED for one in server.net_connections("tcp"))


def through_a_stop(drive: Callable[[str], Any]) -> Stopped:
    """Stop a server for two seconds, within the window of the generator that has connected to it."""
    with nothing() as (host, pid), ThreadPoolExecutor(1) as pool:
        server = psutil.Process(pid)
        driven = pool.submit(drive, host)
        until = time.perf_counter() + 20
        while not asked(server) and time.perf_counter() < until:
            time.sleep(0.02)
        time.sleep(BEFORE_S)
        began = time.perf_counter()
        server.suspend()
        try:
            time.sleep(STOPPED_S)
        finally:
            server.resume()
        return Stopped(began, time.perf_counter(), driven.result())


def arriving(kind: str) -> Callable[[str], dict[str, Any]]:
    return lambda host: figures(host, load=(kind, RATE), window_s=WINDOW_S, warmup_slice_s=0.1, warmup_limit_s=0.2)


STOCK = """
import json, os
from collections import defaultdict
from pathlib import Path
from time import perf_counter
from locust import FastHttpUser, constant_throughput, events, task

times = defaultdict(list)

class Stock(FastHttpUser):
    wait_time = constant_throughput(10)
    @task
    def get(self):
        self.client.get("/plaintext")
    def context(self):
        return {"user": id(self)}

@events.request.add_listener
def hear(context, response_time, exception, **_):
    assert exception is None
    ended = perf_counter()
    times[context["user"]].append((ended - response_time / 1000, ended))

@events.quitting.add_listener
def tell(**_):
    Path(os.environ["TOLD"]).write_text(json.dumps(list(times.values())))
"""
USERS = RATE // 10
Spans: TypeAlias = list[list[tuple[float, float]]]  # of each user's requests, when they began and ended


def stock(folder: Path) -> Callable[[str], Spans]:
    """Give what drives stock Locust and gives each user's requests."""
    file, told = folder / "stock.py", folder / "told.json"
    file.write_text(STOCK, encoding="utf-8")
    words = ["--headless", "--only-summary", "-u", str(USERS), "-r", str(USERS), "-t", f"{WINDOW_S:.0f}s"]

    def drive(host: str) -> Spans:
        command = [sys.executable, "-m", "locust", "-f", str(file), "-H", host, *words]
        subprocess.run(command, env={**os.environ, "TOLD": str(told)}, capture_output=True, timeout=60, check=True)
        spans: Spans = json.loads(told.read_text(encoding="utf-8"))
        return spans

    return drive


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, hopeless: Future[dict[str, Any]]) -> dict[str, Stopped]:
    """Three generators side by side, each with a server of its own that stops."""
    drivers = {
        "open": arriving("open"),
        "poisson": arriving("poisson"),
        "stock": stock(tmp_path_factory.mktemp("stock")),
    }
    with ThreadPoolExecutor(len(drivers)) as pool:
        return dict(zip(drivers, pool.map(through_a_stop, drivers.values()), strict=True))


def late(times: Histogram) -> tuple[int, float]:
    """How many took longer than LATE_S, and their mean in seconds, by the middles of their buckets."""
    found = [(histogram.middle_us(one) / 1e6, count) for one, count in times.counts.items()]
    kept = [(value, count) for value, count in found if value > LATE_S]
    total = sum(count for _, count in kept)
    return total, sum(value * count for value, count in kept) / max(1, total)


def standing_still(one: Stopped) -> tuple[float, float]:
    """How many should be late, and by how much on average: arrivals are even, and all are answered at the end."""
    return RATE * (one.lasted_s - LATE_S), (one.lasted_s + LATE_S) / 2


def assert_within_the_window(one: Stopped) -> None:
    assert one.seen["window_start_s"] < one.began
    assert one.ended < one.seen["window_end_s"] - 0.3


def test_arrivals_at_a_stopped_server_are_as_late_as_theory_has_it(stopped: dict[str, Stopped]) -> None:
    one = stopped["open"]
    assert_within_the_window(one)
    count, mean_s = late(histogram.from_json(one.seen["response"]))
    many, wait_s = standing_still(one)
    assert count == pytest.approx(many, rel=0.10)
    assert mean_s == pytest.approx(wait_s, rel=0.10)


def test_poisson_arrivals_are_so_too_but_for_chance(stopped: dict[str, Stopped]) -> None:
    one = stopped["poisson"]
    assert_within_the_window(one)
    count, mean_s = late(histogram.from_json(one.seen["response"]))
    many, wait_s = standing_still(one)
    # Three standard deviations: of a Poisson count, and of the mean of so many even numbers.
    assert abs(count - many) <= 0.10 * many + 3 * math.sqrt(many)
    assert abs(mean_s - wait_s) <= 0.10 * wait_s + 3 * (one.lasted_s / math.sqrt(12)) / math.sqrt(many)
    due, window_s = one.seen["arrivals"]["due"], one.seen["window_end_s"] - one.seen["window_start_s"]
    assert abs(due - RATE * window_s) <= 4 * math.sqrt(RATE * window_s)


@pytest.mark.parametrize("kind", ["open", "poisson"])
def test_no_arrival_is_dropped_and_overrun_is_reported(stopped: dict[str, Stopped], kind: str) -> None:
    seen = stopped[kind].seen
    arrivals = seen["arrivals"]
    assert arrivals["due"] == seen["requests"] + seen["errors"]
    assert (seen["errors"], seen["error_reasons"], arrivals["unanswered"]) == (0, {}, 0)
    assert histogram.from_json(seen["response"]).total == seen["requests"]
    connections = seen["users"]
    assert 0 < connections < RATE
    assert arrivals["overrun"] == pytest.approx(RATE * stopped[kind].lasted_s - connections, rel=0.15)


def test_constant_arrivals_come_at_their_rate_whatever_becomes_of_them(stopped: dict[str, Stopped]) -> None:
    seen = stopped["open"].seen
    window_s = seen["window_end_s"] - seen["window_start_s"]
    assert abs(seen["arrivals"]["due"] - RATE * window_s) <= 2


@pytest.mark.parametrize("kind", ["open", "poisson"])
def test_service_time_counts_from_the_real_send(stopped: dict[str, Stopped], kind: str) -> None:
    seen = stopped[kind].seen
    response, service = (histogram.from_json(one) for one in (seen["response"], seen["arrivals"]["service"]))
    # What was due before the window and sent within it is in the one and not in the other.
    assert response.total <= service.total <= response.total + RATE * LATE_S
    assert 0 < late(service)[0] <= seen["users"], "no more than one for each connection"
    assert service.sum_us < response.sum_us


def test_stock_locust_sees_one_late_request_a_user_at_most(stopped: dict[str, Stopped]) -> None:
    one = stopped["stock"]
    users: Spans = one.seen
    assert len(users) == USERS
    counts = [
        sum(end - begin > LATE_S and begin < one.ended and end > one.began for begin, end in spans) for spans in users
    ]
    assert set(counts) <= {0, 1}
    assert sum(counts) > USERS / 2, "the stop was within the test"


async def slow(_path: str) -> bytes:
    await asyncio.sleep(0.03)
    return reply(b"Hello, World!")


CAPACITY = 1000  # of a server that is busy for 1 ms with every answer
LIMIT_MS = 30  # in a second at 1024/s such a server falls behind by more


def search(host: str, limit_ms: int) -> dict[str, Any]:
    return figures(host, load=("search", limit_ms), window_s=0.5, warmup_slice_s=0.1, warmup_limit_s=0.2)


@pytest.fixture(scope="module")
def hopeless() -> Iterator[Future[dict[str, Any]]]:
    """Search on a server that never answers in time, beside all else: the lowest rate takes the longest window."""
    with http_server(slow) as (host, _), ThreadPoolExecutor(1) as pool:
        yield pool.submit(search, host, 5)


@pytest.fixture(scope="module")
def searched(stopped: dict[str, Stopped]) -> dict[str, Any]:
    """Search on a server of known capacity, when the stops are over."""
    with nothing("--work-us", str(1_000_000 // CAPACITY)) as (host, _):
        return search(host, LIMIT_MS)


def test_a_search_ends_below_the_servers_capacity_and_above_half_of_it(searched: dict[str, Any]) -> None:
    steps = searched["steps"]
    last = steps[-1]
    assert last["held"]
    assert CAPACITY / 2 < last["rate"] < CAPACITY
    window_s = searched["window_end_s"] - searched["window_start_s"]
    due = searched["arrivals"]["due"]
    assert due == pytest.approx(last["rate"] * window_s, rel=0.02), "the figures are the last's"


def test_a_search_lists_every_step_and_confirms_the_last(searched: dict[str, Any]) -> None:
    steps = searched["steps"]
    assert all(one.keys() == {"rate", "p99_s", "errors_share", "achieved_share", "held"} for one in steps)
    for one in steps:
        in_time = one["p99_s"] is not None and one["p99_s"] < LIMIT_MS / 1000 and one["errors_share"] <= 0.001
        if one["held"] or not in_time:
            assert one["held"] == in_time
        else:
            assert abs(one["achieved_share"] - 1) > ACHIEVED, "all were in time, but not all were answered"
    rates = [one["rate"] for one in steps]
    best = max(one["rate"] for one in steps[:-1] if one["held"])
    again = steps[rates.index(best) + 1 :]
    assert best in [one["rate"] for one in again], "it was tried a second time"
    assert rates[-1] == best or not any(one["held"] for one in again if one["rate"] >= best), "or one a step down"
    failed = [one["rate"] for one in steps if not one["held"]]
    assert failed
    assert max(failed) > rates[-1]


def test_a_server_that_never_holds_ends_a_search_with_nothing_found(hopeless: Future[dict[str, Any]]) -> None:
    seen = hopeless.result()
    assert 0 < len(seen["steps"]) < 10
    assert not any(one["held"] for one in seen["steps"])
    rates = [one["rate"] for one in seen["steps"]]
    assert rates == sorted(rates, reverse=True), "ever lower"


SLOW_COUNTING = """
import json, sys, time
from gatebench.swarm import driver
from gatebench.swarm.job import parse

spent = driver.Costs.spent


def slowly(costs):
    until = time.perf_counter() + 0.3
    while time.perf_counter() < until:
        pass
    return spent(costs)


driver.Costs.spent = slowly
print(json.dumps(driver.measure(parse(json.load(sys.stdin).encode()))["arrivals"]))
"""


def test_what_comes_due_while_costs_are_counted_is_not_sent_late() -> None:
    with nothing() as (host, _):
        asked_for = job(host, load=("open", RATE), window_s=2.2)  # a p99 takes a thousand arrivals
        arrivals = script(SLOW_COUNTING, asked_for.decode())
    assert arrivals["send_lag_p99_s"] < LATE_S, "a third of a second without a turn of the loop is not of the window"
