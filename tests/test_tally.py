"""What is counted in batches is what Locust would have counted one by one, whoever listens and whatever is reset.

Each test runs a program, since Locust patches the process that imports it. Nothing is sent and no time passes.
"""

from typing import Any

import numpy as np
import pytest
from driving import script

from gatebench import histogram

# A clock that stands, for Locust and for us; an environment with a runner; and somebody whose requests they are.
HEAD = """
import json, sys
from types import SimpleNamespace
import locust.stats
from gatebench import histogram
from gatebench.swarm.users import Shared
from gatebench.swarm import tally as module
from locust.env import Environment

class Clock:
    at = 0.0

    def time(self):
        return 1_700_000_000 + self.at

    def perf_counter(self):
        return 5_000 + self.at

clock = Clock()
locust.stats.time = clock
module.time, module.perf_counter = clock.time, clock.perf_counter
user = SimpleNamespace(context=lambda: {"who": "me"})

class Counted:
    def __init__(self, **settings):
        self.environment = Environment(**settings)
        self.tally = Shared.of(self.environment).tally
        self.runner = self.environment.create_local_runner()
        self.events, self.stats = self.environment.events, self.environment.stats
        self.lane = self.tally.lane("GET", "/")

    def answered(self, *took, length=10):
        for one in took:
            self.tally.answered(self.lane, clock.perf_counter() - one, one, length, user)

    def histogram(self):
        return {" ".join(key): histogram.to_json(one) for key, one in self.tally.response.items()}

def entry(one):
    return {
        "requests": one.num_requests,
        "failures": one.num_failures,
        "none": one.num_none_requests,
        "times": sorted(one.response_times.items()),
        "min": one.min_response_time,
        "max": one.max_response_time,
        "total": one.total_response_time,
        "length": one.total_content_length,
        "per_second": sorted(one.num_reqs_per_sec.items()),
        "last": one.last_request_timestamp,
        "median": one.median_response_time,
    }

def entries(stats):
    named = {" ".join(reversed(key)): entry(one) for key, one in stats.entries.items()}
    return {"total": entry(stats.total), **named}

given = json.load(sys.stdin)
"""


def told(program: str, given: Any = None) -> Any:
    return script(HEAD + program, given)


BOTH_WAYS = """
ours, theirs = Counted(), locust.stats.RequestStats()
ours.tally.lane("GET", "/alike").each = 10
for batch in given:
    for name, at, took, length in batch:
        clock.at = at
        ours.lane = ours.tally.lane("GET", name)
        ours.answered(took, length=length)
        theirs.log_request("GET", name, took * 1000, length)
    clock.at += 0.125
    ours.tally.fold()
print(json.dumps([entries(ours.stats), entries(theirs)]))
"""
ROUNDED_S = [0.0, 0.0005, 0.0015, 0.0994, 0.0995, 0.0996, 0.1, 0.104, 0.105, 0.145, 0.155, 0.994, 0.995, 0.996]
ROUNDED_S += [1.0, 1.05, 1.15, 9.94, 9.95, 9.96, 10.0, 10.5, 11.5, 147.0, 3600.0]


def drawn(seed: int) -> list[list[tuple[str, float, float, int]]]:
    """Draw batches of requests: name, when each ended, how long it took, bytes."""
    rng = np.random.default_rng(seed)
    batches, at = [], 0.0
    for size in [1, len(ROUNDED_S), *rng.integers(1, 200, 10)]:
        took = ROUNDED_S if size == len(ROUNDED_S) else rng.lognormal(-4, 3, size)
        batch = []
        for one in took:
            name = str(rng.choice(["/", "/alike", "/other"]))
            at += float(rng.integers(1, 40)) / 1024
            length = 10 if name == "/alike" else int(rng.integers(0, 5000))
            batch.append((name, at + 1 / 4096, float(one), length))  # no request ends at a second's very turn
        batches.append(batch)
        at += 0.125
    return batches


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_batch_leaves_the_entry_that_locusts_own_log_would_have_left(seed: int) -> None:
    ours, theirs = told(BOTH_WAYS, drawn(seed))
    assert ours.keys() == theirs.keys() == {"total", "GET /", "GET /alike", "GET /other"}
    for name, expected in theirs.items():
        approximate = {key: pytest.approx(expected[key], rel=1e-12) for key in ("total", "last")}
        assert ours[name] == expected | approximate, name


LISTENERS = """
one, heard, sunk = Counted(), [], []
one.tally.listen(lambda began, took, by: sunk.extend(zip(began.tolist(), took.tolist())))
steps = []

def step(*took):
    one.answered(*took)
    one.tally.fold()
    steps.append([one.stats.total.num_requests, one.stats.get("/", "GET").num_requests, len(heard), one.tally.each])

def listener(**what):
    heard.append({key: what[key] for key in sorted(what)})

clock.at = 100.0
step(0.25, 0.5)
one.answered(0.5)
one.events.request.add_listener(listener)
step(0.5)  # it came since the last fold
step(0.125, 0.25, 0.5)
one.events.request.remove_listener(listener)
step(0.125)
step(0.125)
print(json.dumps({
    "steps": steps, "heard": heard, "sunk": sunk, "entries": entries(one.stats), "response": one.histogram()
}))
"""


def test_a_foreign_listener_hears_each_success_and_totals_are_right_before_with_and_after_it() -> None:
    done = told(LISTENERS)
    # The listener is seen at the end of a batch: until then nothing is told, and what is told is not counted twice.
    assert done["steps"] == [[2, 2, 0, False], [4, 4, 0, True], [7, 7, 3, True], [8, 8, 3, False], [9, 9, 3, False]]
    assert [one["response_time"] for one in done["heard"]] == [125.0, 250.0, 500.0]
    for one, took_s in zip(done["heard"], [0.125, 0.25, 0.5], strict=True):
        assert one == {
            "request_type": "GET",
            "name": "/",
            "url": "/",
            "response": None,
            "response_time": took_s * 1000,
            "response_length": 10,
            "start_time": 1_700_000_100 - took_s,
            "context": {"who": "me"},
            "exception": None,
            "counted": True,
        }
    took = [0.25, 0.5, 0.5, 0.5, 0.125, 0.25, 0.5, 0.125, 0.125]
    assert done["sunk"] == [[5100 - one, one] for one in took]
    assert done["response"] == {"GET /": histogram.to_json(histogram.of_seconds(took))}
    assert done["entries"]["total"]["length"] == 10 * len(took)
    assert done["entries"]["total"]["total"] == 1000 * sum(took)
    assert done["entries"]["GET /"]["times"] == [[120, 3], [250, 2], [500, 4]]


FAILURES = """
one, heard, sunk = Counted(), [], []
one.tally.listen(lambda began, took, by: sunk.extend(took.tolist()))
one.events.request.add_listener(lambda exception, counted, **_: heard.append([exception and str(exception), counted]))
one.answered(0.25)
for reason in ("status 503 where 200 was expected", "connection refused", "connection refused"):
    one.tally.failed(one.lane, 0.5, 3, reason, user)
one.tally.fold()
print(json.dumps({
    "heard": heard, "sunk": sunk, "entries": entries(one.stats), "response": one.histogram(),
    "errors": {str(error.error): error.occurrences for error in one.stats.errors.values()},
}))
"""


def test_a_failure_goes_through_locusts_request_event_and_into_no_histogram() -> None:
    done = told(FAILURES)
    refused, status = "connection refused", "status 503 where 200 was expected"
    assert done["heard"] == [[status, False], [refused, False], [refused, False]]
    assert done["errors"] == {status: 1, refused: 2}
    assert done["sunk"] == [0.25]
    assert done["response"] == {"GET /": histogram.to_json(histogram.of_seconds([0.25]))}
    for name in ("total", "GET /"):
        assert (done["entries"][name]["requests"], done["entries"][name]["failures"]) == (4, 3)
        assert done["entries"][name]["times"] == [[250, 1], [500, 3]]
        assert done["entries"][name]["length"] == 10 + 3 * 3


RESETS = """
def counts(one):
    report = {}
    one.events.report_to_master.fire(client_id="me", data=report)
    unreported = sum(sum(document["counts"]) for *_, document in report["gatebench"])
    return [one.stats.total.num_requests, sum(kept.total for kept in one.tally.response.values()), unreported]

def came(**settings):
    one = Counted(**settings)
    one.answered(0.25)
    one.tally.fold()
    one.answered(0.25, 0.25)
    return one

def after(one):
    one.tally.fold()
    found = counts(one)
    one.answered(0.5, 0.5, 0.5)
    one.tally.fold()
    return [found, counts(one)]

kept = came()
kept.events.spawning_complete.fire(user_count=2)
spawned = came(reset_stats=True)
spawned.events.spawning_complete.fire(user_count=2)
asked = came()
asked.events.reset_stats.fire()  # as the page does
asked.stats.reset_all()
begun = came()
begun.tally.fold()
begun.stats.clear_all()  # as runners do
begun.events.test_start.fire(environment=begun.environment)
stopped = came()
stopped.events.test_stop.fire(environment=stopped.environment)
print(json.dumps({
    "kept": after(kept), "spawned": after(spawned), "asked": after(asked), "begun": after(begun),
    "stopped": counts(stopped),
}))
"""


def test_what_came_before_a_reset_is_forgotten_by_locust_and_by_us_alike() -> None:
    done = told(RESETS)
    assert done["kept"] == [[3, 3, 3], [6, 6, 3]], "no reset was asked for"
    for name in ("spawned", "asked", "begun"):
        assert done[name] == [[0, 0, 0], [3, 3, 3]], name
    assert done["stopped"] == [3, 3, 3], "the end of a test leaves nothing to be counted"


REPORTS = """
import msgpack

def carried(data):
    return msgpack.loads(msgpack.dumps(data), strict_map_key=False)  # as between Locust's processes

master, workers = Counted(), [Counted() for _ in given]
for one in (master, *workers):
    locust.stats.setup_distributed_stats_event_listeners(one.events, one.stats)
for number in range(len(given[0])):
    for name, worker, reports in zip("ab", workers, given):
        clock.at += 1
        for path, took in reports[number]:
            worker.lane = worker.tally.lane("GET", path)
            worker.answered(took)
        worker.tally.fold()
        data = {}
        worker.events.report_to_master.fire(client_id=name, data=data)
        master.events.worker_report.fire(client_id=name, data=carried(data))
silent = {"stats": [], "errors": {}, "stats_total": locust.stats.RequestStats().total.serialize()}
master.events.worker_report.fire(client_id="of stock Locust", data=silent)
print(json.dumps({
    "master": master.histogram(), "workers": [one.histogram() for one in workers], "entries": entries(master.stats)
}))
"""


def test_what_workers_report_adds_up_on_their_master_without_loss() -> None:
    rng = np.random.default_rng(4)
    given = [
        [
            [(str(rng.choice(["/", "/other"])), float(took)) for took in rng.lognormal(-4, 2, size)]
            for size in (50, 0, 1, 500)
        ]
        for _ in range(2)
    ]
    done = told(REPORTS, given)
    by_path: dict[str, list[float]] = {}
    for reports in given:
        for path, took in (one for report in reports for one in report):
            by_path.setdefault(path, []).append(took)
    assert done["master"].keys() == {f"GET {path}" for path in by_path}
    for path, times in by_path.items():
        found = histogram.from_json(done["master"][f"GET {path}"])
        by_hand = histogram.merge(histogram.from_json(worker[f"GET {path}"]) for worker in done["workers"])
        assert found.counts == by_hand.counts == histogram.of_seconds(times).counts
        assert found.total == done["entries"][f"GET {path}"]["requests"] == len(times)
        assert found.sum_us == pytest.approx(1e6 * sum(times))
    assert done["entries"]["total"]["requests"] == sum(map(len, by_path.values()))


MANY_ANSWERERS = """
one, sunk = Counted(), []
one.tally.listen(lambda began, took, by: sunk.append([by, len(took)]))
for by in ["", *(f"backend {number}" for number in range(20)), "backend 3"]:
    lane = one.tally.lane("GET", "/", by)
    one.tally.answered(lane, clock.perf_counter() - 0.25, 0.25, 10, user)
one.tally.fold()
print(json.dumps([sunk, one.stats.get("/", "GET").num_requests, one.stats.total.num_requests]))
"""


def test_requests_are_handed_on_by_who_answered_and_are_one_kind_to_locust() -> None:
    sunk, kind, total = told(MANY_ANSWERERS)
    assert (kind, total) == (22, 22)
    first = {f"backend {number}": 1 for number in range(16)}
    assert dict(sunk) == {"": 1, **first, "backend 3": 2, "other": 4}, "only so many are told apart"
