"""Each scenario is a Locust file that anybody can run, and says of itself what the harness needs to know."""

import ast
import html
import itertools
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from contractapp import FILE, App, compact
from driving import SCENARIOS, figures, job, together
from loadservers import Pieces, echo_server, events, http_server, in_a_stream, reply

ROOT = Path(__file__).parent.parent
PATHS = sorted((ROOT / "scenarios").glob("*.py"))
NAMES = [path.stem for path in PATHS]


def literal(path: Path) -> dict[str, object]:
    """The scenario's word on itself, read without running it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SCENARIO":
            said: dict[str, object] = ast.literal_eval(node.value)
            return said
    raise AssertionError(f"{path} has no SCENARIO")


@dataclass(frozen=True)
class Ended:
    """A run of plain Locust: its exit code, its log, and its own totals by the requests' names."""

    code: int
    log: str
    requests: dict[str, int]
    kinds: list[str]  # "METHOD name" of each, in the order in which Locust met them
    failures: int


def locust(path: Path, host: str, *options: str, run_time: str = "1s", folder: Path = ROOT) -> Ended:
    """Run plain Locust on a scenario, with no web page."""
    program = Path(sys.executable).with_name("locust")
    done = subprocess.run(
        [program, "-f", path, "-H", host, "--headless", "-u", "4", "-r", "4", "-t", run_time, "--json", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=folder,
    )
    entries = json.loads(done.stdout.replace("[]\n", "") or "[]")  # a worker's own list is empty
    return Ended(
        code=done.returncode,
        log=done.stderr,
        requests={entry["name"]: entry["num_requests"] for entry in entries},
        kinds=[f"{entry['method']} {entry['name']}" for entry in entries],
        failures=sum(entry["num_failures"] for entry in entries),
    )


async def push(path: str) -> Pieces:
    assert path == "/sse?n=3600&every=1"
    return in_a_stream(events(3600, 1.0))


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, str]]:
    with http_server(full=App()) as (http, _), echo_server() as echo, http_server(push) as (pushing, _):
        yield {name: {"websocket": echo, "push": pushing}.get(name, http) for name in NAMES}


KINDS = {
    "cpu": {"GET /cpu"},
    "crud": {"POST /items", "GET /items/{id}", "PUT /items/{id}", "DELETE /items/{id}"},
    "db": {"GET /db"},
    "external": {"GET /external"},
    "file": {"GET /file"},
    "idle": {"GET /plaintext"},
    "json": {"GET /json"},
    "mixed": {
        *("GET /plaintext", "GET /admin/plaintext", "GET /json", "GET /api/v2/json", "GET /db", "GET /legacy/db"),
        *("GET /external", "GET /template", "POST /items", "GET /items/{id}", "DELETE /items/{id}"),
    },
    "model": {"GET /model"},
    "plain": {"GET /plaintext"},
    "push": {"SSE /sse"},
    "queries": {"GET /queries"},
    "redis": {"GET /redis"},
    "sse": {"GET /sse"},
    "stream": {"GET /stream"},
    "template": {"GET /template"},
    "updates": {"POST /updates"},
    "upload": {"POST /upload"},
    "wait": {"GET /sleep"},
    "wait_2s": {"GET /sleep"},
    "websocket": {"WS /ws"},
}


def test_the_scenarios_are_there() -> None:
    assert list(KINDS) == NAMES


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_a_scenario_says_what_it_is_without_being_run(path: Path) -> None:
    said = literal(path)
    assert set(said) - {"front", "holds", "waits_s"} == {"version", "title", "routes", "services", "error_limit"}
    contract = (ROOT / "apps" / "CONTRACT.md").read_text(encoding="utf-8")
    routes = said["routes"]
    assert isinstance(routes, list)
    assert routes
    assert all(f"| `{route}` |" in contract for route in routes)


@pytest.mark.slow
@pytest.mark.server
def test_every_scenario_runs_under_plain_locust(hosts: dict[str, str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda path: locust(path, hosts[path.stem], run_time="3s"), PATHS))
    for run in runs:
        assert run.code == 0, run.log
        assert "Traceback" not in run.log
        assert run.failures == 0
    assert {name: set(run.kinds) for name, run in zip(NAMES, runs, strict=True)} == KINDS, "whatever the parameters"
    assert all(sum(run.requests.values()) > 0 for run in runs)


# What a careless app could send where status and, as far as it is known, length are as they should be.
SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "cpu": lambda body: body[:-1] + b"%d" % ((body[-1] + 1) % 10),
    "crud": lambda body: re.sub(rb'"name":".', b'"name":"x', body),
    "file": lambda body: body[1:] + body[:1],
    "mixed": lambda body: body[:-1] + b"~",
    "model": lambda body: body.replace(b'"label":', b'"label":1'),
    "queries": lambda body: re.sub(rb'"id":\d+', b'"id":7', body),
    "redis": lambda body: re.sub(rb'"value":".', b'"value":"x', body),
    "sse": lambda body: body.replace(b"data: 3", b"data: 4"),
    "stream": lambda body: body.replace(b"p" * 4096, b"p" * 4095 + b"q"),
    "template": lambda body: html.unescape(body.decode()).encode(),
    "updates": lambda body: compact([*reversed(json.loads(body))]),
    "upload": lambda body: body[1:] + b"0",
}


@pytest.mark.slow
@pytest.mark.server
def test_a_wrong_answer_is_found_by_each_scenario() -> None:
    names = list(SPOILT)
    with ExitStack() as stack:
        hosts = [stack.enter_context(http_server(full=App(SPOILT[name])))[0] for name in names]
        # Where one body in a hundred is compared, a slow machine needs its time for enough of them.
        jobs = (
            job(host, scenario=SCENARIOS / f"{name}.py", window_s=3.0)
            for name, host in zip(names, hosts, strict=True)
        )
        answers = together(jobs)
    for name, (code, seen) in zip(names, answers, strict=True):
        assert code == 0, seen
        assert seen["errors"] > 0, name
        assert set(seen["error_reasons"]) == {"body other than expected"}, (name, seen["error_reasons"])


@pytest.mark.server
def test_a_page_that_is_escaped_twice_is_wrong_as_well() -> None:
    with http_server(full=App(lambda body: body.replace(b"&", b"&amp;"))) as (host, _):
        seen = figures(host, scenario=SCENARIOS / "template.py")
    assert set(seen["error_reasons"]) == {"body other than expected"}


@pytest.mark.server
def test_an_answer_that_ends_too_soon_is_found_every_time() -> None:
    shorter = ("file", "redis", "sse", "stream")
    with ExitStack() as stack:
        hosts = [stack.enter_context(http_server(full=App(lambda body: body[:-1])))[0] for _ in shorter]
        answers = together(
            job(host, scenario=SCENARIOS / f"{name}.py") for name, host in zip(shorter, hosts, strict=True)
        )
    for _, seen in answers:
        assert seen["requests"] == 0 < seen["errors"]


@pytest.mark.server
def test_objects_are_made_read_changed_and_deleted_in_this_order_and_none_is_left_but_those_in_hand() -> None:
    app = App()
    with http_server(full=app) as (host, _):
        seen = figures(host, scenario=SCENARIOS / "crud.py", load=("closed", 1))
    assert (seen["errors"], seen["error_reasons"]) == (0, {})
    assert seen["requests"] > 8
    assert [method for method, _ in app.asked[:8]] == ["POST", "GET", "PUT", "DELETE"] * 2
    assert [path for _, path in app.asked[:8]] == [*["/items"], *["/items/1"] * 3, *["/items"], *["/items/2"] * 3]
    assert len(app.items) <= 1


@pytest.mark.server
def test_the_mix_counts_who_answered_and_asks_as_often_as_it_says() -> None:
    app = App()
    with http_server(full=app) as (host, _):
        seen = figures(host, scenario=SCENARIOS / "mixed.py", window_s=1.5)
    assert (seen["errors"], seen["error_reasons"]) == (0, {})
    assert set(seen["answered_by"]) == {"wsgi", "asgi"}
    assert sum(seen["answered_by"].values()) == seen["requests"]
    assert seen["answered_by"]["asgi"] == pytest.approx(seen["requests"] / 4, rel=0.1, abs=8)
    paths = [path for _, path in app.asked]
    for share, prefix in (
        (0.38, "/plaintext"),
        (0.02, "/admin/"),
        (0.05, "/legacy/"),
        (0.05, "/api/v2/"),
        (0.06, "/items"),
    ):
        assert sum(path.startswith(prefix) for path in paths) / len(paths) == pytest.approx(share, abs=0.05)


@pytest.mark.server
def test_waits_are_those_that_are_asked_for_and_what_says_so_can_be_held(
    hosts: dict[str, str],
) -> None:
    for name, waits_s in (("wait", 0.1), ("wait_2s", 2.0)):
        said = literal(ROOT / "scenarios" / f"{name}.py")
        text = (ROOT / "scenarios" / f"{name}.py").read_text(encoding="utf-8")
        assert said["waits_s"] == waits_s
        assert f'"/sleep?s={waits_s:g}"' in text, "the time that it says is the one it asks for"
    held = {name for name in NAMES if literal(ROOT / "scenarios" / f"{name}.py").get("holds")}
    assert held == {"idle", "push", "websocket"}
    answers = together(
        job(hosts[name], scenario=SCENARIOS / f"{name}.py", load=("hold", 8), window_s=2.5) for name in sorted(held)
    )
    for code, seen in answers:
        assert code == 0, seen
        told = seen["connections"]
        assert (told["opened"], told["kept"], told["late"], told["unopened"]) == (8, 8, 0, {})
        assert (seen["errors"], seen["requests"] >= 8) == (0, True)


def test_the_file_s_digest_is_that_of_the_file() -> None:
    text = (ROOT / "scenarios" / "file.py").read_text(encoding="utf-8")
    assert f'"{sha256(FILE.read_bytes()).hexdigest()}"' in text


@pytest.mark.server
def test_a_failure_is_plain_locust_s_failure_too(tmp_path: Path) -> None:
    async def wrong(_path: str) -> bytes:
        return reply(b"Hello")

    with http_server(wrong) as (host, asked):
        run = locust(ROOT / "scenarios" / "plain.py", host, "--csv", str(tmp_path / "wrong"), run_time="3s")
    assert run.code == 1, run.log
    assert run.failures == run.requests["/plaintext"] > 0
    assert 0 <= len(asked.requests) - run.failures <= 4, "Locust has every request but those that its end cut off"
    assert "body 8 bytes shorter than expected" in (tmp_path / "wrong_failures.csv").read_text(encoding="utf-8")
    assert "/plaintext" in (tmp_path / "wrong_stats.csv").read_text(encoding="utf-8")


@pytest.mark.server
def test_plain_locust_runs_a_scenario_in_several_processes(hosts: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    channel = ("--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port)
    run = locust(ROOT / "scenarios" / "json.py", hosts["json"], "--processes", "2", *channel)
    assert run.code == 0, run.log
    assert run.requests["/json"] > 0
    assert run.failures == 0


SHADOW = """
from gatebench.swarm import HttpUser, task


class Reader(HttpUser):
    @task
    def read(self):
        import json
        import json.decoder
        import websocket

        assert json.loads("1") == 1
        assert json.JSONDecodeError is json.decoder.JSONDecodeError
        assert websocket.ABNF
        self.client.get("/plaintext")
"""


@pytest.mark.server
def test_a_scenario_takes_no_library_s_name_from_wherever_it_is_run(tmp_path: Path) -> None:
    cases = list(itertools.product(("json.py", "websocket.py"), (ROOT, tmp_path)))
    for name, _ in cases:
        (tmp_path / name).write_text(SHADOW)
    with http_server() as (host, _), ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda case: locust(tmp_path / case[0], host, folder=case[1]), cases))
    for run in runs:
        assert run.code == 0, run.log
        assert run.requests["/plaintext"] > 0


HOSTS = {
    "": "no host is given",
    "ftp://127.0.0.1:1": "the host must be http://NAME:PORT",
    "http://127.0.0.1:port": "the host must be http://NAME:PORT",
    "http://[::1": "the host must be http://NAME:PORT",
    "http://nowhere.invalid:1": "is not known here",
}


@pytest.mark.server
def test_a_host_that_cannot_be_used_ends_the_test_with_the_reason() -> None:
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda host: locust(ROOT / "scenarios" / "plain.py", host, run_time="30s"), HOSTS))
    for told, run in zip(HOSTS.values(), runs, strict=True):
        assert told in run.log
        assert "Traceback" not in run.log
        assert (run.code, run.requests) == (2, {})
