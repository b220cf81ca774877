"""Each scenario is a Locust file that anybody can run, and says of itself what the harness needs to know."""

import ast
import itertools
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from loadservers import echo_server, http_server, reply

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
        failures=sum(entry["num_failures"] for entry in entries),
    )


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, str]]:
    with http_server() as (http, _), echo_server() as echo:
        yield {name: echo if name == "websocket" else http for name in NAMES}


def test_the_five_scenarios_are_there() -> None:
    assert NAMES == ["db", "external", "json", "plain", "websocket"]


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_a_scenario_says_what_it_is_without_being_run(path: Path) -> None:
    said = literal(path)
    assert set(said) == {"version", "title", "routes", "services", "error_limit"}
    contract = (ROOT / "apps" / "CONTRACT.md").read_text(encoding="utf-8")
    routes = said["routes"]
    assert isinstance(routes, list)
    assert routes
    assert all(f"| `{route}` |" in contract for route in routes)


@pytest.mark.server
def test_every_scenario_runs_under_plain_locust(hosts: dict[str, str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda path: locust(path, hosts[path.stem]), PATHS))
    for run in runs:
        assert run.code == 0, run.log
        assert "Traceback" not in run.log
        assert run.failures == 0
    names = [list(run.requests) for run in runs]
    assert names == [["/db"], ["/external"], ["/json"], ["/plaintext"], ["/ws"]], "one name, whatever the parameters"
    assert all(sum(run.requests.values()) > 0 for run in runs)


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
from gatebench.load import HttpUser, task


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
