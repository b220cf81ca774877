"""The command line as a user meets it: what it prints, what it leaves, what it exits with."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
import pytest
from trees import APP, PLAN, app, front, plan, scenario, server, small

from gatebench import catalogue, cli, store
from gatebench.checking import Checked
from gatebench.contract.routes import ROUTES
from gatebench.errors import MachineError
from gatebench.session import Tree

FAKE = {"GATEBENCH_BACKEND": "fake"}


@dataclass
class Done:
    """How a call of the command line ended."""

    returncode: int
    stdout: str
    stderr: str


class Gatebench(Protocol):
    def __call__(self, *words: str, cwd: Path, env: Mapping[str, str] = {}) -> Done: ...


@pytest.fixture
def gatebench(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Gatebench:
    """The command line in this process: a second quicker than in one of its own."""

    def call(*words: str, cwd: Path, env: Mapping[str, str] = {}) -> Done:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        code = 0
        with monkeypatch.context() as changed:
            changed.chdir(cwd)
            changed.setattr(sys, "argv", ["gatebench", *words])
            for name, value in env.items():
                changed.setenv(name, value)
            try:
                cli.main()
            except SystemExit as ended:
                code = int(ended.code or 0)
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        said = capfd.readouterr()
        return Done(code, said.out, said.err)

    return call


def apart(*words: str, cwd: Path, env: Mapping[str, str] = {}) -> Done:
    """The command line as a process of its own."""
    command = [sys.executable, "-m", "gatebench", *words]
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=100, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_the_command_and_the_module_are_the_same(root: Path) -> None:
    words = ["run", "--plan", "flagshp"]
    script = subprocess.run([Path(sys.executable).with_name("gatebench"), *words], capture_output=True, check=False)
    module = apart(*words, cwd=root)
    assert script.returncode == module.returncode == 2
    assert script.stderr.decode() == module.stderr


def assert_one_sentence(done: Done) -> None:
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stderr.count("\n") <= 3, done.stderr


def test_every_verb_has_help_worth_reading(gatebench: Gatebench, root: Path) -> None:
    top = gatebench("--help", cwd=root)
    assert top.returncode == 0
    for verb in ("list", "check", "run", "report", "gate", "history", "doctor"):
        assert verb in top.stdout
        said = gatebench(verb, "--help", cwd=root)
        assert said.returncode == 0
        assert len(said.stdout) > 300


def test_list_names_stacks_scenarios_and_why_a_pair_cannot_run(gatebench: Gatebench, root: Path) -> None:
    listed = json.loads(gatebench("list", "--json", cwd=root).stdout)
    stacks = {stack["name"]: stack for stack in listed["stacks"]}
    assert stacks["flask+gunicorn-sync"]["settings"]["workers"] == 1
    assert "no ws" in stacks["raw_wsgi+gunicorn-sync"]["cannot_run"]["websocket"]
    assert {"plain", "websocket"} <= {scenario["name"] for scenario in listed["scenarios"]}
    assert "flask+gunicorn-sync" in gatebench("list", cwd=root).stdout


def test_list_names_axes_services_and_what_this_machine_lacks(gatebench: Gatebench, root: Path) -> None:
    listed = json.loads(gatebench("list", "--json", cwd=root).stdout)
    assert listed["axes"]["flask"]["db"][0] == "psycopg"
    assert listed["axes"]["fastapi"]["views"] == ["async", "def"]
    assert {"postgres", "mariadb", "redis", "upstream"} <= set(listed["services"])
    assert {"flagship", "quick"} <= {plan["name"] for plan in listed["plans"]}
    stacks = {stack["name"]: stack for stack in listed["stacks"]}
    assert stacks["flask+gunicorn-sync"]["missing"] == []
    cannot = [stack for stack in listed["stacks"] if "" in stack["cannot_run"]]
    assert cannot, "a pair that cannot run at all is listed too"


TITLES = {
    "stacks": "Stacks",
    "servers": "Servers",
    "axes": "Axes",
    "scenarios": "Scenarios",
    "plans": "Plans",
    "services": "Services",
}


@pytest.mark.parametrize("kinds", [["stacks"], ["servers"], ["axes"], ["plans", "services"], ["scenarios"], []])
def test_list_shows_the_kinds_that_are_asked_for_and_all_where_none_is(
    gatebench: Gatebench, tmp_path: Path, kinds: list[str]
) -> None:
    said = gatebench("list", *kinds, cwd=small(tmp_path))
    assert said.returncode == 0, said.stderr
    shown = {kind for kind, title in TITLES.items() if re.search(rf"^ *{title}\b", said.stdout, re.MULTILINE)}
    assert shown == set(kinds or TITLES)


def test_list_tells_every_axis_with_its_values_the_default_first(gatebench: Gatebench, root: Path) -> None:
    said = gatebench("list", "axes", cwd=root).stdout
    assert "app+server[axis=value,…]" in said, "how to ask for one"
    for row in (r"db\b.*psycopg, psycopg2, pymysql", r"views\b.*async, def.*fastapi", r"bridge\b.*own\b", r"a2wsgi"):
        assert re.search(row, said), row


def test_list_tells_the_versions_that_the_lock_gives_and_what_is_not_in_it(
    gatebench: Gatebench, root: Path, tmp_path: Path
) -> None:
    said = gatebench("list", "--versions", cwd=root).stdout
    assert re.search(r"\bflask\b.*flask==\d", said)
    assert re.search(r"\buvicorn\b.*uvicorn==\d", said)
    assert "not in requirements" not in said
    (small(tmp_path) / "apps" / "hello" / "requirements.txt").write_text("mine\n", encoding="utf-8")
    said = gatebench("list", "--versions", cwd=tmp_path).stdout
    assert re.search(r"\bhello\b.*not in requirements/stacks.txt; resolved when first needed", said)


def test_list_writes_the_page_of_stacks(gatebench: Gatebench, tmp_path: Path) -> None:
    small(tmp_path)
    tree = Tree.load(tmp_path)
    assert gatebench("list", "--markdown", cwd=tmp_path).stdout == catalogue.markdown(tree.stacks, tree.services)


def test_doctor_gives_one_command_for_all_that_debian_has(gatebench: Gatebench, tmp_path: Path) -> None:
    small(tmp_path)
    assert json.loads(gatebench("doctor", "--json", cwd=tmp_path).stdout)["install_all"] is None
    server(tmp_path, "needy", more='[needs]\nno-such-program = "its-package"\nno-such-tool = "its-package"\n')
    front(tmp_path, "proxy", needs={"no-such-proxy": "a-proxy"})
    said = json.loads(gatebench("doctor", "--json", cwd=tmp_path).stdout)
    assert said["install_all"] == "apt-get install -y a-proxy its-package"
    assert "apt-get install -y a-proxy its-package" in gatebench("doctor", cwd=tmp_path).stdout


def test_doctor_speaks_json_and_english(gatebench: Gatebench, root: Path) -> None:
    said = json.loads(gatebench("doctor", "--json", cwd=root).stdout)
    assert said["cpus"] >= 1
    assert set(said["placement"]) == {"server", "generator", "services"}
    assert "placement" in gatebench("doctor", cwd=root).stdout


def test_a_run_and_its_report_from_the_fake_backend(gatebench: Gatebench, root: Path, tmp_path: Path) -> None:
    done = gatebench(
        "run",
        "--plan",
        "quick",
        "--out",
        str(tmp_path),
        "--session",
        "s",
        "--root",
        str(root),
        cwd=tmp_path,
        env=FAKE,
    )
    assert done.returncode == 0, done.stderr
    assert "24/24" in done.stdout
    assert "min left" in done.stdout, "one line a trial where there is no terminal"
    assert "24 trials are valid, 0 void, 0 failed" in done.stdout
    session = store.read(tmp_path / "s.jsonl")
    assert len(session.runs) == 24
    assert session.ended_at is not None
    made = gatebench("report", str(tmp_path / "s.jsonl"), "--out", str(tmp_path / "page"), cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert str(tmp_path / "page" / "index.html") in made.stdout
    assert "Simple request" in made.stdout


def test_a_run_takes_the_stacks_and_scenarios_it_is_given(gatebench: Gatebench, root: Path, tmp_path: Path) -> None:
    words = ["run", "--stack", "raw_asgi+uvicorn", "--scenario", "json", "--plan", "quick", "--session", "s"]
    assert gatebench(*words, "--out", str(tmp_path), "--root", str(root), cwd=tmp_path, env=FAKE).returncode == 0
    runs = store.read(tmp_path / "s.jsonl").runs
    assert {(run.stack, run.scenario) for run in runs} == {("raw_asgi+uvicorn", "json")}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--stack", "flsk+gunicorn-sync"], "Did you mean flask+gunicorn-sync"),
        (["run", "--scenario", "plian"], "Did you mean plain"),
        (["run", "--plan", "flagshp"], "Did you mean flagship"),
        (["run", "--backend", "cloud"], "Known are: auto, container, fake, process"),
        (["run", "--generator", "thread"], "Known are: container, process"),
        (["run", "--backend", "process", "--generator", "container"], "add --backend container"),
        (["run", "--backend", "auto", "--network", "token-ring"], "expected host or bridge"),
        (["run", "--backend", "process", "--network", "bridge"], "--network is for containers"),
        (["check", "--stack", "nothing"], "no stack named 'nothing'"),
        (["check", "--stack", "flask+gunicorn-sync[db=psycop]"], "Did you mean psycopg"),
        (["check", "--stack", "channels+hypercorn-h3"], "channels+hypercorn-h3 cannot run: "),
        (["check", "--cover", "--all"], "each say which stacks; choose one"),
        (["check", "--cover", "--stack", "flask+gunicorn-sync"], "each say which stacks; choose one"),
        (["check", "--all", "--stack", "flask+gunicorn-sync"], "each say which stacks; choose one"),
        (["check", "--at-once", "0", "--cover"], "--at-once"),
        (["check", "--app", "no-such-folder"], "no-such-folder"),
        (["run", "--stack", "channels+hypercorn-h3"], "channels+hypercorn-h3 cannot run: "),
        (["run", "--stack", "flask+gunicorn-sync[db=psycopg]"], "its one name is 'flask+gunicorn-sync'"),
        (["list", "stakcs"], "stakcs"),
        (["report", "no-such-file.jsonl"], "no-such-file.jsonl"),
        (["rnu"], "No such command 'rnu'. Did you mean 'run'? (see gatebench --help)"),
        (["list", "zzz"], "(see gatebench list --help)"),
        (["compose"], "Missing argument 'stack' (see gatebench compose --help)"),
        (["report", "--format", "pdf"], "'pdf' is not one of 'terminal', 'md', 'csv', 'json' (see gatebench report"),
        (["report", "--out"], "'--out' requires an argument (see gatebench report --help)"),
        (["run", "--plan", ""], "There is nothing after --plan: say what is meant, or leave it out."),
        (["check", "--stack="], "There is nothing after --stack: "),
        (["report", ""], "There is nothing after report: "),
        (["run", "--session", "../evil"], "--session takes up to 100 letters"),
        (["run", "--session", "x" * 300], "--session takes up to 100 letters"),
        (
            ["run", "--plna", "quick"],
            "No such option: --plna. Did you mean --plan or --part? (see gatebench run --help)",
        ),
    ],
)
def test_a_wrong_word_exits_2_with_what_helps(
    gatebench: Gatebench, root: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    extra = ["--root", str(root)] if words[0] in ("run", "check", "list") else []
    done = gatebench(*words, *extra, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("gatebench: ")
    assert done.stderr.count("\n") == 1


def failing(error: Exception) -> Callable[..., Tree]:
    def load(*_: object) -> Tree:
        raise error

    return load


def test_a_fault_of_its_own_exits_4_with_where_it_lies_and_never_1(
    gatebench: Gatebench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tree, "load", failing(KeyError("no such\nthing")))
    done = gatebench("list", cwd=tmp_path)
    assert done.returncode == 4
    *lines, last = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert any("in load" in line for line in lines)
    fault = "this is a fault of gatebench's own (KeyError: 'no such\\nthing')"
    assert last == f"gatebench: {fault}; please report it with the lines above."


@pytest.mark.parametrize(
    ("number", "path", "code", "said"),
    [
        (errno.EACCES, "private/x", 2, "private/x cannot be used (Permission denied)"),
        (errno.ENAMETOOLONG, "x" * 5000, 2, "x… cannot be used (File name too long)"),
        (errno.ENOSPC, "full", 4, "The machine gives no more at full (No space left on device)"),
        (errno.EMFILE, None, 4, "The machine gives no more (Too many open files)"),
    ],
)
def test_a_path_that_cannot_be_used_is_no_fault_of_its_own(  # noqa: PLR0917 - fixtures and parameters
    gatebench: Gatebench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    path: str | None,
    code: int,
    said: str,
) -> None:
    monkeypatch.setattr(Tree, "load", failing(OSError(number, os.strerror(number), path)))
    done = gatebench("list", cwd=tmp_path)
    assert done.returncode == code
    assert said in done.stderr
    assert len(done.stderr) < 1000
    assert_one_sentence(done)


def test_an_os_error_that_is_of_no_path_is_a_fault_of_its_own(
    gatebench: Gatebench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tree, "load", failing(OSError(errno.EACCES, "Permission denied")))
    done = gatebench("list", cwd=tmp_path)
    assert done.returncode == 4
    assert "fault of gatebench's own (PermissionError: [Errno 13] Permission denied)" in done.stderr


def test_a_name_that_spells_an_emoji_is_told_as_it_is(gatebench: Gatebench, tmp_path: Path) -> None:
    done = gatebench("gate", "--base", "nope:x", "--head", ".", "--reports", "r", cwd=small(tmp_path))
    assert done.returncode == 2
    assert "--base nope:x: " in done.stderr


def test_a_root_that_is_too_long_for_a_path_exits_2(gatebench: Gatebench, tmp_path: Path) -> None:
    done = gatebench("list", "--root", "x" * 5000, cwd=tmp_path)
    assert done.returncode == 2
    assert "File name too long" in done.stderr
    assert_one_sentence(done)


def test_a_folder_without_declarations_exits_2(gatebench: Gatebench, tmp_path: Path) -> None:
    done = gatebench("list", cwd=tmp_path)
    assert done.returncode == 2
    assert "no folder 'apps'" in done.stderr
    assert_one_sentence(done)


def test_a_malformed_plan_exits_2_with_file_key_and_what_is_expected(gatebench: Gatebench, tmp_path: Path) -> None:
    small(tmp_path)
    plan(tmp_path, "odd", 'title = "T"\nblock = 2\n')
    done = gatebench("run", "--plan", "odd", cwd=tmp_path)
    assert done.returncode == 2
    assert "scenarios/plans/odd.toml: the key 'stacks' is missing" in done.stderr
    assert_one_sentence(done)


def test_results_are_never_written_over(gatebench: Gatebench, root: Path, tmp_path: Path) -> None:
    words = ["run", "--plan", "quick", "--out", str(tmp_path), "--session", "s", "--root", str(root)]
    words += ["--stack", "raw_asgi+uvicorn", "--scenario", "json"]
    assert gatebench(*words, cwd=tmp_path, env=FAKE).returncode == 0
    again = gatebench(*words, cwd=tmp_path, env=FAKE)
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_no_valid_trial_exits_3(gatebench: Gatebench, root: Path, tmp_path: Path) -> None:
    words = ["run", "--stack", "raw_wsgi+gunicorn-sync", "--scenario", "websocket", "--plan", "quick"]
    done = gatebench(*words, "--out", str(tmp_path), "--session", "s", "--root", str(root), cwd=tmp_path, env=FAKE)
    assert done.returncode == 3
    assert "offers no ws" in done.stderr
    made = gatebench("report", str(tmp_path / "s.jsonl"), "--out", str(tmp_path / "page"), cwd=tmp_path)
    assert made.returncode == 3
    assert (tmp_path / "page" / "index.html").exists(), "the page is there, and says why"


@pytest.fixture
def no_process_left() -> Iterator[None]:
    yield
    mine = psutil.Process()
    assert [child.cmdline() for child in mine.children(recursive=True)] == []


@pytest.mark.server
@pytest.mark.usefixtures("no_process_left")
def test_a_server_that_dies_at_once_exits_4_with_the_last_lines_of_its_log(
    gatebench: Gatebench, tmp_path: Path
) -> None:
    small(tmp_path)
    server(tmp_path, "stdlib", code="raise SystemExit('the database is on fire')")
    done = gatebench("run", cwd=tmp_path)
    assert done.returncode == 4
    assert "ended with exit code 1 before it answered: the database is on fire" in done.stderr
    assert_one_sentence(done)
    (results,) = (tmp_path / "results").glob("*.jsonl")
    assert store.read(results).runs[0].fault == "machine", "and the trial keeps its row"


@pytest.mark.server
@pytest.mark.usefixtures("no_process_left")
def test_an_app_that_breaks_its_contract_exits_1_and_is_never_timed(gatebench: Gatebench, tmp_path: Path) -> None:
    small(tmp_path)
    app(tmp_path, "liar", code=APP.replace("Hello, World!", "Hello, world!"))
    done = gatebench("run", "--stack", "liar+stdlib", cwd=tmp_path)
    assert done.returncode == 1
    assert "plaintext" in done.stderr
    (results,) = (tmp_path / "results").glob("*.jsonl")
    run = store.read(results).runs[0]
    assert run.fault == "contract"
    assert run.requests is None
    checked = gatebench("check", "--json", cwd=tmp_path)
    assert checked.returncode == 1
    assert {one["stack"]: one["passed"] for one in json.loads(checked.stdout)} == {
        "hello+stdlib": True,
        "liar+stdlib": False,
    }


JSON = APP.replace("ANSWERS = {", 'ANSWERS = {"/json": None, ').replace(
    "    status, body = ANSWERS",
    """    if environ["PATH_INFO"] == "/json":
        body = b'{"id":%d,"message":"Hello, World!"}' % int(environ["QUERY_STRING"].removeprefix("id="))
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]
    status, body = ANSWERS""",
)


@pytest.mark.server
@pytest.mark.usefixtures("no_process_left")
def test_a_check_tells_of_each_stack_what_it_kept_what_it_broke_and_what_it_needs(
    gatebench: Gatebench, tmp_path: Path
) -> None:
    small(tmp_path)
    app(tmp_path, "liar", code=APP.replace("Hello, World!", "Hello, world!"))
    app(tmp_path, "modest", code=JSON)
    server(tmp_path, "dead", code="raise SystemExit('the database is on fire')")
    server(tmp_path, "needy", more='[needs]\nno-such-program = "its-package"\n')
    names = [f"{one}+stdlib" for one in ("hello", "liar", "modest")]
    words = ["check", "--json", "--at-once", "4", "--stack", "hello+dead"]
    done = gatebench(*words, *(word for name in names for word in ("--stack", name)), cwd=tmp_path)
    assert done.returncode == 4, "a stack that cannot be started weighs more than one that breaks a rule"
    assert done.stdout, done.stderr
    found = {one["stack"]: one for one in json.loads(done.stdout)}
    assert list(found) == ["hello+dead", *names], "in the order in which they were asked for"
    assert {name: one["passed"] for name, one in found.items()} == {
        "hello+dead": False,
        "hello+stdlib": True,
        "liar+stdlib": False,
        "modest+stdlib": False,
    }
    assert "the database is on fire" in found["hello+dead"]["problem"]
    good = found["hello+stdlib"]
    assert 0 < good["ready_s"] < 60
    assert good["memory_bytes"] > 2**20
    assert set(good["lacks"]) == set(ROUTES) - {"plaintext"}
    assert {"db", "external", "redis"} <= set(good["unasked"]), "there is no such service in this tree"
    broken = {(one["route"], one["rule"]) for one in found["liar+stdlib"]["findings"] if not one["ok"]}
    assert broken == {("plaintext", "bytes")}
    works = [one for one in found["modest+stdlib"]["findings"] if not one["ok"]]
    assert [(one["route"], one["rule"], one["found"]) for one in works] == [("json", "lack", "one that works")]


@pytest.mark.parametrize("error", [MachineError("The disk is full."), ZeroDivisionError("no rows")], ids=type)
def test_a_check_that_cannot_go_on_tells_what_it_found_before(
    gatebench: Gatebench, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: object, **__: object) -> Iterator[Checked]:
        yield Checked(stack="flask+gunicorn-sync", ready_s=0.25, problem="It ended at once.")
        raise error

    monkeypatch.setattr(cli.checks, "checks", broken)
    words = ["check", "--backend", "fake", "--stack", "flask+gunicorn-sync", "--root", str(root)]
    done = gatebench(*words, cwd=tmp_path)
    assert done.returncode == 4
    assert "failed flask+gunicorn-sync: It ended at once." in done.stdout
    assert "0 of 1 stacks" in done.stdout
    assert str(error) in done.stderr
    (found,) = json.loads(gatebench(*words, "--json", cwd=tmp_path).stdout)
    assert found["ready_s"] == 0.25


@pytest.mark.server
@pytest.mark.usefixtures("no_process_left")
def test_a_missing_program_is_no_failure_unless_its_stack_was_named(gatebench: Gatebench, tmp_path: Path) -> None:
    small(tmp_path)
    server(tmp_path, "needy", more='[needs]\nno-such-program = "its-package"\n')
    done = gatebench("check", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not run: hello+needy needs its-package: apt-get install -y its-package" in done.stdout
    assert re.search(r"1 of 1 stacks kept the contract \(\d+ rules\)", done.stdout)
    row = next(line.split() for line in done.stdout.splitlines() if line.strip().startswith("hello+stdlib"))
    assert row[3] == "ok", row
    assert set(row[4:]) == {"-", "?"}, row
    assert len(row) == 3 + len(ROUTES), "stack, ready, memory, and each route"
    assert "routes not asked: there is no service 'postgres'" in done.stdout
    named = gatebench("check", "--stack", "hello+needy", cwd=tmp_path)
    assert named.returncode == 4
    assert "hello+needy needs its-package: apt-get install -y its-package" in named.stderr
    run = gatebench("run", "--stack", "hello+needy", cwd=tmp_path)
    assert run.returncode == 4
    assert "hello+needy needs its-package" in run.stderr


@pytest.mark.server
@pytest.mark.usefixtures("no_process_left")
def test_a_plan_may_name_what_this_machine_lacks_and_the_rest_of_it_is_measured(
    gatebench: Gatebench, tmp_path: Path
) -> None:
    small(tmp_path)
    server(tmp_path, "needy", more='[needs]\nno-such-program = "its-package"\n')
    plan(tmp_path, "both", PLAN.replace('["hello+stdlib"]', '["hello+stdlib", "hello+needy"]'))
    done = gatebench("run", "--plan", "both", "--session", "s", cwd=tmp_path)
    assert done.returncode in (0, 3), done.stderr
    runs = {run.stack: run for run in store.read(tmp_path / "results" / "s.jsonl").runs}
    assert "needs its-package" in (runs["hello+needy"].reason or "")
    assert runs["hello+needy"].requests is None
    assert runs["hello+stdlib"].requests


@pytest.mark.server
@pytest.mark.usefixtures("no_process_left")
def test_an_app_of_somebodys_own_is_visited_on_every_server_of_its_interface(
    gatebench: Gatebench, tmp_path: Path
) -> None:
    tree, mine = small(tmp_path / "tree"), tmp_path / "mine"
    app(tmp_path / "elsewhere", "mine")
    (tmp_path / "elsewhere" / "apps" / "mine").rename(mine)
    (mine / "app.toml").write_text(
        'interface = "wsgi"\ntarget = "app:app"\n[[paths]]\npath = "/plaintext"\n'
        '[[paths]]\npath = "/gone"\nstatus = 404\n',
        encoding="utf-8",
    )
    done = gatebench("check", "--app", str(mine), "--json", "--root", str(tree), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (checked,) = json.loads(done.stdout)
    assert (checked["stack"], checked["lacks"], checked["unasked"]) == ("mine+stdlib", {}, {})
    assert {"/plaintext", "/gone"} <= {one["route"].split()[-1] for one in checked["findings"]}
    (mine / "app.toml").write_text(
        'interface = "wsgi"\ntarget = "app:app"\n[[paths]]\npath = "/plaintext"\n[[paths]]\npath = "/gone"\n',
        encoding="utf-8",
    )
    assert gatebench("check", "--app", str(mine), "--root", str(tree), cwd=tmp_path).returncode == 1


@pytest.mark.server
def test_an_interrupted_check_ends_soon_and_leaves_no_process(tmp_path: Path) -> None:
    small(tmp_path)
    for number in range(60):  # each takes two seconds at least: a date has to advance
        app(tmp_path, f"more{number}")
    with tempfile.TemporaryFile() as said:
        command = [sys.executable, "-m", "gatebench", "check", "--at-once", "2", "--backend", "process"]
        with subprocess.Popen(command, cwd=tmp_path, stdout=said, stderr=said) as process:
            until = time.monotonic() + 60
            while not any("serve_forever" in words for words in processes_of(tmp_path)) and time.monotonic() < until:
                assert process.poll() is None
            begun = time.monotonic()
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
        assert time.monotonic() - begun < 30, "it does not go on with the others"
        said.seek(0)
        assert b"Interrupted" in said.read()
    assert process.returncode == 130
    assert processes_of(tmp_path) == []


@pytest.mark.server
def test_a_tree_of_the_users_own_is_measured_for_real(gatebench: Gatebench, tmp_path: Path) -> None:
    small(tmp_path)
    done = gatebench("run", "--session", "s", cwd=tmp_path)
    assert done.returncode in (0, 3), done.stderr  # void is possible on a busy machine, a failure is not
    (run,) = store.read(tmp_path / "results" / "s.jsonl").runs
    assert run.status in ("ok", "void")
    assert run.requests
    assert run.errors == 0, run.error_reasons
    assert run.response is not None
    assert run.response.total == run.requests
    assert "of the time was spent in measuring windows" in done.stdout
    assert run.server.cpu_s is not None
    assert run.server.pss_peak_bytes is not None


@pytest.mark.server
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_within_3_s_keeps_its_trials_and_leaves_no_process(
    tmp_path: Path, number: signal.Signals
) -> None:
    small(tmp_path)
    plan(tmp_path, "long", "".join(open_ended()))
    command = [sys.executable, "-m", "gatebench", "run", "--plan", "long", "--session", "s"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("1/50"):
                break
        begun = time.monotonic()
        process.send_signal(number)
        said = process.communicate(timeout=20)[1]
    assert time.monotonic() - begun < 3
    assert process.returncode == 130
    assert "Interrupted" in said
    assert processes_of(tmp_path) == []
    session = store.read(tmp_path / "results" / "s.jsonl")
    assert len(session.runs) >= 1
    assert session.interrupted


def processes_of(folder: Path) -> list[str]:
    """Every process that was started in a folder or with its files."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = [process.cwd(), *process.cmdline()]
            if any(str(folder) in word for word in words):
                found.append(" ".join(words))
    return found


def open_ended() -> Iterator[str]:
    yield 'title = "Long"\nstacks = ["hello+stdlib"]\nblocks = 50\nseed = 1\nwindow_s = 1.0\n'
    yield 'warmup_slice_s = 0.1\nwarmup_limit_s = 0.3\n[measures]\none = ["closed(4)"]\n'


@pytest.mark.server
def test_two_runs_side_by_side_do_not_collide(gatebench: Gatebench, tmp_path: Path) -> None:
    small(tmp_path)
    assert gatebench("check", cwd=tmp_path).returncode == 0, "the environment is there"
    command = [sys.executable, "-m", "gatebench", "run", "--session"]
    both = [
        subprocess.Popen([*command, name], cwd=tmp_path, stdout=-1, stderr=-1, text=True) for name in ("one", "two")
    ]
    for process in both:
        _, said = process.communicate(timeout=60)
        assert process.returncode in (0, 3), said
    for name in ("one", "two"):
        (run,) = store.read(tmp_path / "results" / f"{name}.jsonl").runs
        assert run.fault is None, run.reason


def test_one_of_each_added_in_one_place_makes_new_trials(gatebench: Gatebench, tmp_path: Path) -> None:
    """The extension story: a framework one folder, a server one file, a scenario one file, a plan one file."""
    small(tmp_path)
    before = json.loads(gatebench("list", "--json", cwd=tmp_path).stdout)
    assert [stack["name"] for stack in before["stacks"]] == ["hello+stdlib"]
    app(tmp_path, "mine")
    server(tmp_path, "quick")
    scenario(tmp_path, "two")
    listed = json.loads(gatebench("list", "--json", cwd=tmp_path).stdout)
    names = [stack["name"] for stack in listed["stacks"]]
    assert names == ["hello+quick", "hello+stdlib", "mine+quick", "mine+stdlib"]
    words = ["run", "--stack", "mine+quick", "--scenario", "two", "--session", "s"]
    assert gatebench(*words, cwd=tmp_path, env=FAKE).returncode == 0
    (run,) = store.read(tmp_path / "results" / "s.jsonl").runs
    assert (run.stack, run.scenario) == ("mine+quick", "two")


@pytest.mark.server
@pytest.mark.usefixtures("no_process_left")
def test_a_database_that_is_not_there_exits_4(gatebench: Gatebench, root: Path, tmp_path: Path) -> None:
    words = ["run", "--plan", "quick", "--scenario", "db", "--root", str(root)]
    done = gatebench(*words, cwd=tmp_path, env={"GATEBENCH_DATABASE_URL": "postgresql://x:hidden@127.0.0.1:1/none"})
    assert done.returncode == 4
    assert "The database at 127.0.0.1:1 could not be filled" in done.stderr
    assert "hidden" not in done.stderr + done.stdout
    assert_one_sentence(done)


def test_too_few_open_files_exit_4_before_anything_is_measured(root: Path, tmp_path: Path) -> None:
    command = f"ulimit -n 150; exec {sys.executable} -m gatebench run --plan flagship --root {root}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "64 connections need 164 open files and the limit here is 150; run `ulimit -n 164`" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_wheel_works_outside_the_tree_on_the_users_own_folders(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(root)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "installed")
    mine = small(tmp_path / "mine")
    installed = {"PYTHONPATH": str(tmp_path / "installed"), **FAKE}
    where = [sys.executable, "-c", "import gatebench; print(gatebench.__file__)"]
    found = subprocess.check_output(where, cwd=mine, env={**os.environ, **installed}, text=True)
    assert str(tmp_path) in found
    assert apart("run", "--session", "s", cwd=mine, env=installed).returncode == 0
    made = apart("report", "results/s.jsonl", cwd=mine, env=installed)
    assert made.returncode == 0, made.stderr
    assert (mine / "reports" / "index.html").stat().st_size > 1000
