"""Both user classes as a Locust user meets them: plain `locust -f`, its options, events, statistics and page.

Users here make a number of requests and then wait for longer than the test lasts: so all counts are exact.
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from loadservers import Seen, http_server, reply

from gatebench import histogram

pytestmark = [pytest.mark.server, pytest.mark.slow]

EACH = 40  # requests of every user that counts

HEAD = f"""
import json, os
from collections import Counter
from pathlib import Path
from locust import FastHttpUser, LoadTestShape, SequentialTaskSet, TaskSet, constant, events, task
from locust.exception import StopUser
from gatebench import histogram
from gatebench.swarm import Echo, EngineUser, Expect, Flow, HttpUser, Request

class Counting:
    made = 0
    def wait_time(self):
        self.made += 1
        return 0 if self.made < {EACH} else 60

@events.quitting.add_listener
def tell(environment, **_):
    runner = environment.runner
    document = {{
        "kind": type(runner).__name__,
        "requests": {{
            f"{{one.method}} {{one.name}}": [one.num_requests, one.num_failures]
            for one in environment.stats.entries.values()
        }},
        "total": [environment.stats.total.num_requests, environment.stats.total.num_failures],
        "times": sum(environment.stats.total.response_times.values()),
        "bytes": environment.stats.total.total_content_length,
        "errors": {{f"{{one.method}} {{one.name}}": one.occurrences for one in environment.stats.errors.values()}},
        "exceptions": [[one["msg"], one["count"]] for one in runner.exceptions.values()],
        "response": {{
            " ".join(key): histogram.to_json(one) for key, one in environment.gatebench.tally.response.items()
        }},
        **globals().get("MORE", {{}}),
    }}
    (Path(os.environ["TOLD"]) / f"{{os.getpid()}}.json").write_text(json.dumps(document))
"""


@dataclass
class Answers:
    """A server's behaviour that notes when each request came, and by how many connections until then."""

    delay_s: float = 0.0
    came: list[tuple[float, str, int]] = field(default_factory=list)
    finished: int = 0
    seen: Seen | None = None

    async def __call__(self, path: str) -> bytes:
        self.came.append((time.perf_counter(), path, self.seen.connections if self.seen else 0))
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        self.finished += 1
        return reply(b"Hello, World!")


@dataclass
class Done:
    """How a call of `locust` ended, what its processes told and what the server saw."""

    code: int
    out: str
    printed: str  # of that, what stood on standard output
    told: list[dict[str, Any]]
    asked: Counter[str]
    answers: Answers
    folder: Path

    @property
    def main(self) -> dict[str, Any]:
        found = [one for one in self.told if one["kind"] != "WorkerRunner"]
        assert len(found) == 1, self.out
        return found[0]

    @property
    def workers(self) -> list[dict[str, Any]]:
        return [one for one in self.told if one["kind"] == "WorkerRunner"]

    @property
    def requests(self) -> dict[str, int]:
        """Locust's count of each kind of request."""
        return {name: count for name, (count, _) in self.main["requests"].items()}


Runs: TypeAlias = Callable[[str], Done]


def command(file: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "locust", "-f", str(file), "--only-summary", *words]


def surroundings(folder: Path) -> dict[str, str]:
    return {**os.environ, "TOLD": str(folder)}


def written(folder: Path, code: str) -> Path:
    file = folder / "file.py"
    file.write_text(HEAD + code, encoding="utf-8")
    return file


def locust(
    folder: Path, code: str, *words: str, delay_s: float = 0.0, host: str | None = None, name: str = "127.0.0.1"
) -> Done:
    """Run a file headless against a server of its own, or against the host that is given; '' gives none."""
    with ExitStack() as stack:
        answers = Answers(delay_s)
        if host is None:
            host, answers.seen = stack.enter_context(http_server(answers))
            host = host.replace("127.0.0.1", name)
        where = ["-H", host] if host else []
        done = subprocess.run(
            command(written(folder, code), "--headless", *where, *words),
            cwd=folder,
            env=surroundings(folder),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    return ended(folder, done.returncode, done.stdout + done.stderr, answers, done.stdout)


def ended(folder: Path, code: int, out: str, answers: Answers, printed: str = "") -> Done:
    told = [json.loads(one.read_text(encoding="utf-8")) for one in sorted(folder.glob("[0-9]*.json"))]
    heads = answers.seen.requests if answers.seen else []
    asked = Counter(" ".join(head.split(" ")[:2]) for head in heads)
    return Done(code, out, printed, told, asked, answers, folder)


MIXED = """
@events.request.add_listener
def hear(**told):
    heard.append(told)

heard = []
MORE = {}

@events.quitting.add_listener
def tell_of_the_heard(**_):
    key = lambda one: f"{one['request_type']} {one['name']}"
    MORE["heard"] = Counter(map(key, heard))
    MORE["heard_failing"] = Counter(key(one) for one in heard if one["exception"] is not None)
    MORE["reasons"] = sorted({str(one["exception"]) for one in heard if one["exception"] is not None})
    MORE["contexts"] = sorted({f"{one['name']} {one['context']}" for one in heard})
    MORE["first"] = {key(one): {name: repr(value) for name, value in one.items()} for one in reversed(heard)}
    MORE["lengths"] = sum(one["response_length"] for one in heard)
    MORE["times_s"] = [min(one["response_time"] for one in heard), max(one["response_time"] for one in heard)]
    MORE["starts"] = [min(one["start_time"] for one in heard), max(one["start_time"] for one in heard)]
    tell(**_)

class Engine(Counting, EngineUser):
    mix = (
        Request("/good", weight=3, expect=Expect(body="Hello, World!")),
        Request("/bad?x=1", name="/bad", expect=Expect(status=201)),
    )
    def context(self):
        return {"who": "engine"}

class Hand(Counting, HttpUser):
    turn = 0
    @task(3)
    def get(self):
        self.turn += 1
        if self.turn in (5, 7):
            raise ValueError("no such luck")
        self.client.get("/get", expect=Expect(body=b"Hello, World!"))
    @task
    def post(self):
        assert self.client.post("/post", json={"a": 1}, expect=Expect(length=3)) is None
    def context(self):
        return {"who": "hand"}

class Stock(Counting, FastHttpUser):
    turn = 0
    @task
    def get(self):
        self.turn += 1
        if self.turn in (5, 7):
            raise ValueError("no such luck")
        self.client.get("/stock")
"""
USERS = 2  # of each class of MIXED


PAIR = """
class Engine(EngineUser):
    mix = (Request("/engine", expect=Expect(body="Hello, World!")),)

class Hand(HttpUser):
    @task
    def get(self):
        self.client.get("/hand")
"""
COMING = """
class Engine(EngineUser):
    wait_time = constant(0.1)
    mix = (Request("/engine"),)

class Hand(HttpUser):
    wait_time = constant(0.1)
    @task
    def get(self):
        self.client.get("/hand")

class Shape(LoadTestShape):
    def tick(self):
        passed = self.get_run_time()
        return (8, 4) if passed < 2.5 else (2, 100) if passed < 4.5 else None
"""
LATE = """
heard = []
MORE = {"heard": 0}

def hear(**_):
    MORE["heard"] += 1

@events.test_start.add_listener
def begin(environment, **_):
    import gevent
    gevent.spawn_later(0.5, environment.events.request.add_listener, hear)
    gevent.spawn_later(1.0, environment.events.request.remove_listener, hear)
"""
JOURNEY = """
class Steps(SequentialTaskSet):
    @task
    def first(self):
        self.client.get("/first")
    @task
    def second(self):
        self.client.post("/second", data="x")
    @task
    class Inner(TaskSet):
        @task
        def third(self):
            self.client.get("/third")
            self.interrupt()
    @task
    def last(self):
        raise StopUser

class Hand(HttpUser):
    tasks = [Steps]
    def on_start(self):
        self.client.get("/on_start")
    def on_stop(self):
        self.client.get("/on_stop")

class Engine(Counting, EngineUser):
    mix = (Request("/engine"),)
    def on_start(self):
        began.append(self)
    def on_stop(self):
        ended.append(self)
        MORE["began_ended"] = [len(began), len(ended)]

began, ended, MORE = [], [], {}
"""
RESET = """
class Engine(EngineUser):
    wait_time = constant(0.05)
    mix = (Request("/engine"),)

class Hand(HttpUser):
    wait_time = constant(0.05)
    @task
    def get(self):
        self.client.get("/hand")
"""
FAILING = """
class Failing(EngineUser):
    mix = (Request("/failing", expect=Expect(length=1)),)
"""
RAISING = """
class Waiting:
    made = 0
    def wait_time(self):
        self.made += 1
        if self.made == 3:
            raise ValueError("no wait")
        return 0.01 if self.made < 10 else 60

class Engine(Waiting, EngineUser):
    mix = (Request("/engine"),)

class Hand(Waiting, HttpUser):
    @task
    def get(self):
        self.client.get("/hand")

class Stock(Waiting, FastHttpUser):
    @task
    def get(self):
        self.client.get("/stock")
"""
OPEN = """
class Arriving(EngineUser):
    rate = 50
    mix = (Request("/engine"),)
"""
ENGINE = """
class Only(Counting, EngineUser):
    mix = (Request("/"),)
"""
HAND = """
class Only(Counting, HttpUser):
    @task
    def get(self):
        self.client.get("/")
"""
NO_MIX = """
class Only(EngineUser):
    pass
"""
WRONG = """
class Only(EngineUser):
    mix = [Request("/", expect=Expect(body=5))]
"""
NEVER = """
class Only(EngineUser):
    mix = [Request("/")]
    rate = float("nan")
"""
SPLIT = """
class Only(EngineUser):
    mix = Echo("/w s")
"""
NOWHERE = "http://127.0.0.1:1"
MUST = "the host must be http://NAME:PORT"
EMPTY_FLOW = """
class Only(EngineUser):
    mix = [Flow(())]
"""
COUNTED_ECHO = """
class Only(EngineUser):
    mix = Echo("/ws")
    counted = "X-Backend"
"""
REFUSED: Sequence[tuple[str, str, str]] = (
    (ENGINE, "", "no host is given"),
    (HAND, "", "no host is given"),
    (ENGINE, "127.0.0.1:80", MUST),
    (HAND, "ftp://127.0.0.1", MUST),
    (HAND, "http://127.0.0.1:99999", MUST),
    (NO_MIX, NOWHERE, "Only has no mix"),
    (WRONG, NOWHERE, "the mix of Only cannot be sent: a text is a string, a value, or a list of these, not 5"),
    (NEVER, NOWHERE, "Only has a rate that is no number above 0 and up to 100,000 arrivals a second: nan"),
    (SPLIT, NOWHERE, "the mix of Only cannot be sent: the path of a request must be ASCII without blanks"),
    (EMPTY_FLOW, NOWHERE, "Only has a mix that is no Echo, no Events and no list of Requests and Flows of some"),
    (COUNTED_ECHO, NOWHERE, "Only has something counted that is no header of an answer: 'X-Backend'"),
    (ENGINE, "http://name.invalid:80", "the host 'name.invalid' is not known here"),
    (HAND, "http://name.invalid:80", "the host 'name.invalid' is not known here"),
)
CALM = ("--stop-timeout", "10")


def run(code: str, users: int, seconds: int, *words: str, **where: Any) -> Callable[[Path], Done]:
    """Make a run of so many users that all come at once."""
    size = ("-u", str(users), "-r", "100", "-t", f"{seconds}s")
    return lambda folder: locust(folder, code, *size, *words, **where)


def in_two_processes(folder: Path) -> Done:
    """Have a master and two workers that meet on loopback, at a port of their own."""
    port = str(free_port())
    at = ("--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port)
    return run(PAIR + FAILING, 8, 3, "--processes", "2", *at, *CALM, delay_s=0.002)(folder)


RUNS: dict[str, Callable[[Path], Done]] = {
    # Users of three classes in one process; the CSV files are last written in the second before its end.
    "mixed": run(MIXED, 3 * USERS, 4, "--csv", "all", "--json", "--exit-code-on-error", "7"),
    "coming": lambda folder: locust(folder, COMING),
    "let to end": run(PAIR, 8, 1, *CALM, delay_s=0.4),
    "free": run(PAIR, 8, 2, *CALM, delay_s=0.002),
    "cut": run(PAIR, 8, 1, delay_s=0.002),
    "late": run(PAIR + LATE, 4, 2, *CALM),
    "journey": run(JOURNEY, 2, 1),
    "raising": run(RAISING, 3, 2),
    "reset": lambda folder: locust(folder, RESET, "-u", "4", "-r", "2", "-t", "3s", "--reset-stats", *CALM),
    "processes": in_two_processes,
    "arriving": run(OPEN, 4, 2, *CALM, delay_s=0.01),
    **{
        f"{what} at {where['name' if 'name' in where else 'host']}": run(code, 2, 2, *CALM, **where)
        for what, code in (("arriving", OPEN), ("engine", ENGINE), ("hand", HAND))
        for where in ({"name": "localhost"}, {"host": NOWHERE})
    },
    **{sentence + host + code: run(code, 3, 2, host=host) for code, host, sentence in REFUSED},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Give each run by its name; they go side by side, since most of each is a process that starts, or waits."""
    with ThreadPoolExecutor(4) as pool:
        begun = {name: pool.submit(one, tmp_path_factory.mktemp("run")) for name, one in RUNS.items()}
        yield lambda name: begun[name].result()
        pool.shutdown(cancel_futures=True)


@pytest.fixture
def mixed(runs: Runs) -> Done:
    return runs("mixed")


def test_users_of_both_classes_and_of_locusts_own_are_counted_as_the_server_counts_them(mixed: Done) -> None:
    asked = Counter({name.replace("?x=1", ""): count for name, count in mixed.asked.items()})
    assert mixed.requests == asked
    assert asked["GET /good"] + asked["GET /bad"] == USERS * EACH
    assert asked["GET /get"] + asked["POST /post"] == USERS * (EACH - 2) or asked["POST /post"]
    assert asked["GET /stock"] == USERS * (EACH - 2)
    assert mixed.main["total"][0] == mixed.main["times"] == asked.total()
    assert mixed.main["bytes"] == 13 * asked.total()
    assert asked["GET /good"] > asked["GET /bad"] > 0, "the weights are 3 to 1"


def test_failures_are_counted_as_failures_and_name_their_reason(mixed: Done) -> None:
    failures = {name: failed for name, (_, failed) in mixed.main["requests"].items() if failed}
    assert failures == {name: mixed.requests[name] for name in ("GET /bad", "POST /post")} == mixed.main["errors"]
    assert mixed.main["total"][1] == sum(failures.values())
    assert mixed.main["reasons"] == ["body 10 bytes longer than expected", "status 200 where 201 was expected"]
    assert mixed.code == 7, "as --exit-code-on-error has it"


def test_the_successes_are_in_the_histograms(mixed: Done) -> None:
    counts = {name: histogram.from_json(one).total for name, one in mixed.main["response"].items()}
    assert counts == {name: mixed.requests[name] for name in ("GET /good", "GET /get", "GET /stock")}


def test_a_listener_to_requests_hears_each_once(mixed: Done) -> None:
    assert mixed.main["heard"] == mixed.requests
    assert mixed.main["heard_failing"] == mixed.main["errors"]
    assert mixed.main["lengths"] == mixed.main["bytes"]


def test_a_listener_hears_what_locusts_own_users_tell(mixed: Done) -> None:
    first: dict[str, dict[str, str]] = mixed.main["first"]
    for name, fields in first.items():
        assert fields.keys() >= first["GET /stock"].keys(), name
    least_ms, most_ms = mixed.main["times_s"]
    assert 0 < least_ms < most_ms < 10_000
    earliest, latest = mixed.main["starts"]
    assert time.time() - 600 < earliest < latest < time.time()
    assert mixed.main["contexts"] == [
        "/bad {'who': 'engine'}",
        "/get {'who': 'hand'}",
        "/good {'who': 'engine'}",
        "/post {'who': 'hand'}",
        "/stock {}",
    ]


def test_an_exception_in_a_task_counts_as_it_does_with_locusts_own_user(mixed: Done) -> None:
    assert mixed.main["exceptions"] == [["no such luck", 2 * USERS]] * 2, "one for each class"
    with (mixed.folder / "all_exceptions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["Count"]), row["Message"]) for row in rows] == [(2 * USERS, "no such luck")] * 2


def test_an_exception_in_a_wait_time_counts_as_it_does_with_locusts_own_user(runs: Runs) -> None:
    done = runs("raising")
    assert sum(count for _, count in done.main["exceptions"]) == 3, "one for each class"
    assert {message for message, _ in done.main["exceptions"]} == {"no wait"}
    assert done.out.count("in wait_time\n    raise ValueError") == 3, "each says where"
    assert done.requests == done.asked == {"GET /engine": 9, "GET /hand": 9, "GET /stock": 9}


def test_the_csv_files_agree_with_the_json(mixed: Done) -> None:
    entries = json.loads(mixed.printed)
    known = {f"{one['method']} {one['name']}": (one["num_requests"], one["num_failures"]) for one in entries}
    assert known == {name: tuple(counts) for name, counts in mixed.main["requests"].items()}
    with (mixed.folder / "all_stats.csv").open(encoding="utf-8") as rows:
        stats = {f"{row['Type']} {row['Name']}": row for row in csv.DictReader(rows)}
    total = stats.pop(" Aggregated")
    assert {n: (int(row["Request Count"]), int(row["Failure Count"])) for n, row in stats.items()} == known
    assert [int(total["Request Count"]), int(total["Failure Count"])] == mixed.main["total"]
    for entry in entries:
        row = stats[f"{entry['method']} {entry['name']}"]
        assert float(row["Max Response Time"]) == pytest.approx(entry["max_response_time"])
        assert float(row["Min Response Time"]) == pytest.approx(entry["min_response_time"])
        mean = entry["total_response_time"] / entry["num_requests"]
        assert float(row["Average Response Time"]) == pytest.approx(mean)
    with (mixed.folder / "all_failures.csv").open(encoding="utf-8") as rows:
        failures = {f"{row['Method']} {row['Name']}": int(row["Occurrences"]) for row in csv.DictReader(rows)}
    assert failures == mixed.main["errors"]
    with (mixed.folder / "all_stats_history.csv").open(encoding="utf-8") as rows:
        last = list(csv.DictReader(rows))[-1]
    assert [int(last["Total Request Count"]), int(last["Total Failure Count"])] == mixed.main["total"]


def times(done: Done, path: str) -> list[float]:
    return [at for at, came, _ in done.answers.came if came == path]


def most(users: int, span_s: float) -> float:
    """How often users that wait 0.1 s can ask in a time."""
    return users * (1 + span_s / 0.1)


@pytest.mark.parametrize("path", ["/engine", "/hand"])
def test_users_wait_as_their_wait_time_has_it(runs: Runs, path: str) -> None:
    at = times(runs("coming"), path)
    start = at[0] + 1.3  # all have come
    inside = [one for one in at if start <= one < start + 1]
    assert most(4, 1) / 3 < len(inside) <= most(4, 1)


def test_users_come_at_the_spawn_rate(runs: Runs) -> None:
    came = runs("coming").answers.came
    assert max(connections for at, _, connections in came if at < came[0][0] + 0.8) <= 4
    assert came[-1][2] == 8


@pytest.mark.parametrize("path", ["/engine", "/hand"])
def test_users_that_have_gone_ask_nothing_more(runs: Runs, path: str) -> None:
    at = times(runs("coming"), path)
    late = [one for one in at if one > at[0] + 3.2]
    assert 2 < len(late) <= most(1, late[-1] - late[0])


@pytest.mark.parametrize("name", ["let to end", "free"])
def test_a_stop_timeout_lets_what_is_in_flight_end(runs: Runs, name: str) -> None:
    done = runs(name)
    assert done.requests == done.asked, "nothing was in flight at the end"
    assert all(count >= 8 for count in done.asked.values())
    assert done.answers.finished == done.asked.total()
    assert done.code == 0, "nothing has failed"


def test_without_a_stop_timeout_at_most_one_request_a_user_is_cut_off(runs: Runs) -> None:
    done = runs("cut")
    for name, count in done.asked.items():
        assert count - 4 <= done.requests[name] <= count
    assert (done.code, done.main["errors"]) == (0, {}), "what is cut off is no failure"


def test_totals_are_right_when_a_listener_comes_in_the_middle_and_goes(runs: Runs) -> None:
    done = runs("late")
    assert done.requests == done.asked
    assert {name: histogram.from_json(one).total for name, one in done.main["response"].items()} == done.asked
    assert 0 < done.main["heard"] < done.asked.total()


def test_tasks_nest_and_users_start_and_stop_as_locust_has_it(runs: Runs) -> None:
    done = runs("journey")
    paths = [path for _, path, _ in done.answers.came if path != "/engine"]
    assert paths == ["/on_start", "/first", "/second", "/third", "/on_stop"]
    assert done.requests == done.asked
    assert done.main["began_ended"] == [1, 1]


def test_statistics_are_reset_when_all_users_have_come(runs: Runs) -> None:
    done = runs("reset")
    counts = {name: histogram.from_json(one).total for name, one in done.main["response"].items()}
    assert done.requests == counts, "Locust and the histograms forget the same"
    before = done.asked.total() - done.main["total"][0]
    start = done.answers.came[0][0]
    assert before >= sum(at < start + 0.5 for at, _, _ in done.answers.came) > 0
    assert done.main["total"][0] > 0


def test_users_come_at_the_rate_of_the_command_line(runs: Runs) -> None:
    came = runs("reset").answers.came
    assert max(connections for at, _, connections in came if at < came[0][0] + 0.8) <= 2
    assert came[-1][2] == 4


def test_processes_of_one_call_add_up(runs: Runs) -> None:
    done = runs("processes")
    assert len(done.workers) == 2
    assert_adds_up(done)
    assert done.code == 1, "there were failures"


def assert_adds_up(done: Done) -> None:
    """The master's statistics are what the server saw, and its histograms are the sum of its workers'."""
    assert done.main["kind"] == "MasterRunner"
    assert done.requests == done.asked
    assert done.main["total"] == [done.asked.total(), done.asked["GET /failing"]]
    assert done.main["errors"] == {"GET /failing": done.asked["GET /failing"]}
    for name, one in done.main["response"].items():
        parts = [histogram.from_json(worker["response"][name]) for worker in done.workers]
        assert all(part.total for part in parts), "every worker had its share"
        merged = histogram.merge(parts)
        whole = histogram.from_json(one)
        assert (whole.counts, whole.total) == (merged.counts, merged.total)
        assert whole.sum_us == pytest.approx(merged.sum_us)
        assert merged.total == done.asked[name]
    assert done.main["response"].keys() == done.asked.keys() - {"GET /failing"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port


def started(file: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(file, *words),
        cwd=file.parent,
        env=surroundings(file.parent),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def running() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Locust as often as is asked; end what still runs."""
    processes: list[subprocess.Popen[str]] = []

    def start(file: Path, *words: str) -> subprocess.Popen[str]:
        processes.append(started(file, *words))
        return processes[-1]

    yield start
    for one in processes:
        if one.poll() is None:
            one.send_signal(signal.SIGKILL)
        one.communicate()


def test_workers_add_up_on_their_master(tmp_path: Path, running: Callable[..., subprocess.Popen[str]]) -> None:
    counting = PAIR.replace("(EngineUser)", "(Counting, EngineUser)").replace("(HttpUser)", "(Counting, HttpUser)")
    file = written(tmp_path, counting + FAILING.replace("(EngineUser)", "(Counting, EngineUser)"))
    answers = Answers()
    port = str(free_port())
    users = 12
    with http_server(answers) as (host, answers.seen):
        at = ("--headless", "-H", host, "-u", str(users), "-r", "100", "-t", "4s", "--expect-workers", "2")
        master = running(file, "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, *at)
        workers = [running(file, "--worker", "--master-host", "127.0.0.1", "--master-port", port) for _ in range(2)]
        out, _ = master.communicate(timeout=60)
        for worker in workers:
            worker.communicate(timeout=30)
    done = ended(tmp_path, master.returncode, out, answers)
    assert done.asked.total() == users * EACH
    assert_adds_up(done)
    assert done.code == 1


def test_a_test_is_started_read_and_stopped_from_the_page_and_again(
    tmp_path: Path, running: Callable[..., subprocess.Popen[str]]
) -> None:
    file = written(tmp_path, RESET)
    answers = Answers()
    users = 4
    with http_server(answers) as (host, answers.seen):
        page = f"http://127.0.0.1:{(port := free_port())}"
        process = running(file, "--web-host", "127.0.0.1", "--web-port", str(port))
        until(lambda: reachable(page))
        asked_before = 0
        for _ in range(2):
            form = urllib.parse.urlencode({"user_count": users, "spawn_rate": 100, "host": host}).encode()
            assert read(f"{page}/swarm", form)["success"]
            until(lambda: (now := shown(page))["state"] == "running" and total(now) >= 40)
            read(f"{page}/stop", b"")
            until(lambda: shown(page)["state"] == "stopped")
            last = shown(page)
            asked = len(answers.came) - asked_before
            assert asked - users <= total(last) <= asked, "of this test alone"
            assert sorted(one["name"] for one in last["stats"]) == ["/engine", "/hand", "Aggregated"]
            asked_before = len(answers.came)
        process.terminate()
        assert process.wait(20) == 0


def until(true: Callable[[], bool], limit_s: float = 20.0) -> None:
    end = time.perf_counter() + limit_s
    while not true():
        assert time.perf_counter() < end
        time.sleep(0.05)


def reachable(page: str) -> bool:
    try:
        with urllib.request.urlopen(page, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def read(url: str, form: bytes | None = None) -> Any:
    with urllib.request.urlopen(url, form, timeout=5) as answer:
        return json.load(answer)


def shown(page: str) -> dict[str, Any]:
    """What the page shows: of now, or of two seconds ago, since Locust remembers it."""
    found: dict[str, Any] = read(f"{page}/stats/requests")
    return found


def total(found: dict[str, Any]) -> int:
    """The last row's count."""
    row = found["stats"][-1]
    assert row["name"] == "Aggregated"
    return int(row["num_requests"])


@pytest.mark.parametrize(("code", "host", "sentence"), REFUSED)
def test_what_cannot_be_run_is_said_in_one_sentence(runs: Runs, code: str, host: str, sentence: str) -> None:
    done = runs(sentence + host + code)
    assert "Traceback" not in done.out
    assert done.out.count(sentence) == 1, done.out
    assert done.code == 2
    assert not any(one["total"][0] for one in done.told)


@pytest.mark.parametrize("what", ["arriving", "engine", "hand"])
def test_a_server_may_be_named(runs: Runs, what: str) -> None:
    done = runs(f"{what} at localhost")
    assert (done.code, done.main["errors"]) == (0, {})
    assert done.requests == done.asked
    assert done.asked.total() >= 2 * EACH


@pytest.mark.parametrize("what", ["arriving", "engine", "hand"])
def test_a_server_that_is_not_there_is_a_failure_of_every_request(runs: Runs, what: str) -> None:
    done = runs(f"{what} at {NOWHERE}")
    requests, failures = done.main["total"]
    assert requests == failures >= 2 * EACH
    assert requests == 2 * EACH or what == "arriving"
    assert "connection refused" in done.out
    assert "Traceback" not in done.out
    assert done.code == 1


def test_users_with_a_rate_ask_at_that_rate_together(runs: Runs) -> None:
    done = runs("arriving")
    at = times(done, "/engine")
    assert done.requests == done.asked
    assert len(at) <= 4 * 50 * (at[-1] - at[0]) + 1.5
    assert len(at) > 200
    assert max(later - earlier for earlier, later in pairwise(at)) < 1
