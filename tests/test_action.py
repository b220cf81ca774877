"""The scripts of the action: what they ask of the gate, what of git, and what they tell GitHub."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
from repositories import commit, git
from ruamel.yaml import YAML

from gatebench.cli import app

ACTION = Path(__file__).parent.parent / "action.yml"
SCRIPTS = ACTION.parent / ".github" / "scripts"

# ---- gate.py -------------------------------------------------------------------------------------------------------

GATEBENCH = """#!{python}
import json, os, pathlib, sys
said = dict(word[2:].split("=", 1) for word in sys.argv[2:] if "=" in word)
json.dump(sys.argv[1:], open("{words}", "w"))
code, word = int(os.environ["WANTED_CODE"]), os.environ["WANTED_WORD"]
if word:
    folder = pathlib.Path(said["reports"])
    (folder / "gate.json").write_text(json.dumps({{"judgement": {{"word": word, "sentence": "2 % more."}}}}))
    (folder / "gate.md").write_text("<!-- gatebench-gate -->\\n## Gate\\n")
if code not in (0, 1, 3) or not word:
    print(os.environ.get("WANTED_SENTENCE", "gatebench: No such stack."), file=sys.stderr)
sys.exit(code)
"""


class Runner:
    """A runner of GitHub's, as far as the script sees one: its files, and a gatebench that says what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.work = folder, folder / "work"
        self.words, self.output, self.summary = folder / "words.json", folder / "output", folder / "summary.md"
        scripts, bin_ = folder / "action" / ".github" / "scripts", folder / "action" / ".venv" / "bin"
        for one in (scripts, bin_, self.work):
            one.mkdir(parents=True)
        shutil.copy(SCRIPTS / "gate.py", scripts)
        (bin_ / "gatebench").write_text(GATEBENCH.format(python=sys.executable, words=self.words), encoding="utf-8")
        (bin_ / "gatebench").chmod(0o755)

    def run(
        self, *, code: int = 0, word: str | None = None, where: Path | None = None, **inputs: str
    ) -> subprocess.CompletedProcess[str]:
        """Let the gate end with a code, and judge with a word: "" where it leaves no judgement."""
        word = {0: "pass", 1: "fail", 3: "unsure"}.get(code, "") if word is None else word
        env = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "GATE_"))}
        env |= {"RUNNER_TEMP": str(self.folder / "temp"), "WANTED_CODE": str(code), "WANTED_WORD": word}
        env |= {"GITHUB_OUTPUT": str(self.output), "GITHUB_STEP_SUMMARY": str(self.summary)}
        env |= {name if name.isupper() else f"GATE_{name.upper()}": value for name, value in inputs.items()}
        script = self.folder / "action" / ".github" / "scripts" / "gate.py"
        return subprocess.run(
            [sys.executable, str(script)],
            cwd=where or self.work,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )

    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.output.read_text("utf-8").splitlines())

    def asked(self) -> list[str]:
        return list(json.loads(self.words.read_text("utf-8")))


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.mark.parametrize(
    ("code", "verdict", "kind"),
    [
        (0, "pass", "notice"),
        (1, "fail", "error"),
        (3, "unsure", "warning"),
        (2, "error", "error"),
        (4, "error", "error"),
    ],
)
def test_each_exit_code_becomes_a_verdict_a_summary_and_an_annotation(
    runner: Runner, code: int, verdict: str, kind: str
) -> None:
    done = runner.run(code=code, base="HEAD~1")
    assert done.returncode == 0, done.stderr
    outputs = runner.outputs()
    assert (outputs["verdict"], outputs["exit-code"]) == (verdict, str(code))
    report = (Path(outputs["reports"]) / "gate.md").read_text("utf-8")
    assert report in runner.summary.read_text("utf-8")
    sentence = "No such stack." if verdict == "error" else "2 %25 more."
    assert f"::{kind} title=gatebench::{sentence}\n" in done.stdout
    assert ("No such stack." in report) == (verdict == "error")


@pytest.mark.parametrize(("code", "word"), [(1, ""), (0, ""), (3, ""), (0, "fail"), (1, "unsure"), (2, "pass")])
def test_an_exit_code_without_the_judgement_that_it_stands_for_is_no_verdict(
    runner: Runner, code: int, word: str
) -> None:
    done = runner.run(code=code, word=word, base="HEAD~1", fails="false")
    assert runner.outputs()["verdict"] == "error"
    assert "::error title=gatebench::" in done.stdout
    assert "2 %25 more." not in done.stdout
    assert "judged nothing" in (Path(runner.outputs()["reports"]) / "gate.md").read_text("utf-8")


def test_the_gate_itself_is_called_in_its_words_and_its_sentence_is_found(tmp_path: Path) -> None:
    """On the fake backend, whose figures of two arms differ by chance alone."""
    env = {**os.environ, "RUNNER_TEMP": str(tmp_path), "GITHUB_OUTPUT": str(tmp_path / "output")}
    env |= {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"), "GATEBENCH_BACKEND": "fake"}
    env |= {
        "GATE_BASE": "threads=16",
        "GATE_HEAD": "threads=32",
        "GATE_MARGIN": "2.5 % p99=50%",
        "GATE_BUDGET": "20s",
    }
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "gate.py")], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "verdict=pass\nexit-code=0\n" in (tmp_path / "output").read_text("utf-8"), done.stdout + done.stderr
    assert "::notice title=gatebench::No regression, of invented figures" in done.stdout
    assert "No regression, of invented figures" in (tmp_path / "summary.md").read_text("utf-8")
    kept = {path.name for path in (tmp_path / "gatebench" / "gate").iterdir()}
    assert kept >= {"gate.html", "gate.md", "gate.json", "junit.xml", "results"}


def test_a_fail_that_a_second_runner_has_to_say_too_is_no_error_yet(runner: Runner) -> None:
    assert "::warning " in runner.run(code=1, base="HEAD~1", fails="false").stdout
    assert runner.outputs()["verdict"] == "fail"


def test_a_report_of_an_earlier_job_is_not_taken_for_this_ones(runner: Runner) -> None:
    runner.run(code=0, base="HEAD~1")
    runner.run(code=2, base="HEAD~1")
    assert "judged nothing" in (Path(runner.outputs()["reports"]) / "gate.md").read_text("utf-8")


def test_words_for_a_shell_reach_the_gate_as_they_are_and_start_nothing(runner: Runner) -> None:
    evil = "$(touch started); `touch started` & --out=/elsewhere"
    runner.run(base=evil, stack=evil, margin=evil)
    assert [f"--base={evil}", f"--stack={evil}"] == [
        word for word in runner.asked() if word[:6] in {"--base", "--stac"}
    ]
    assert not list(runner.folder.rglob("started"))


def test_scenarios_metrics_and_margins_are_as_many_as_the_input_has_words(runner: Runner) -> None:
    runner.run(base="main", scenario="plain db", metric="cpu\np99", margin="2.5 % p99=25%")
    given = [word for word in runner.asked() if word.startswith(("--scenario", "--metric", "--margin"))]
    assert given == [
        *("--scenario=plain", "--scenario=db", "--metric=cpu", "--metric=p99", "--margin=2.5%", "--margin=p99=25%")
    ]


def test_a_name_that_would_leave_the_folder_is_refused(runner: Runner) -> None:
    done = runner.run(base="HEAD~1", name="../../elsewhere")
    assert (done.returncode, runner.words.exists()) == (2, False)


@pytest.mark.parametrize("name", ["confirm", "fails", "comment"])
@pytest.mark.parametrize("value", ["maybe", "False", "yes", "", "true "])
def test_an_input_that_is_neither_true_nor_false_is_refused_before_anything_is_measured(
    runner: Runner, name: str, value: str
) -> None:
    inputs: dict[str, Any] = {name: value}
    done = runner.run(base="HEAD~1", **inputs)
    assert (done.returncode, runner.words.exists()) == (2, False)
    said = f"The input '{name}' is '{value}', where it is to be true or false."
    assert done.stdout == f"::error title=gatebench::{said}\n"
    assert (runner.outputs()["verdict"], runner.outputs()["exit-code"]) == ("error", "2")


def test_the_step_that_measures_is_given_every_input_that_it_looks_at() -> None:
    action = YAML(typ="safe", pure=True).load(ACTION)
    (step,) = [step for step in action["runs"]["steps"] if step.get("id") == "gate"]
    looked_at = set(re.findall(r'given\("(\w+)"\)', (SCRIPTS / "gate.py").read_text("utf-8")))
    looked_at |= {"confirm", "fails", "comment", "app", "stack", "budget", "scenario", "metric", "margin"}
    assert {f"GATE_{name.upper()}" for name in looked_at} <= set(step["env"])


def test_without_a_base_and_a_pull_request_the_gate_says_what_to_name(runner: Runner) -> None:
    assert "name the input 'base'" in runner.run().stdout
    assert runner.outputs()["exit-code"] == "2"


def test_the_action_asks_for_options_that_the_gate_has(runner: Runner) -> None:
    inputs = YAML(typ="safe", pure=True).load(ACTION)["inputs"]
    everything: dict[str, Any] = {name: "x" for name in inputs if name.isalpha() and name != "name"}
    everything |= {"fails": "true", "comment": "false"}
    command = typer.main.get_command(app)
    gate = command.commands["gate"]  # type: ignore[attr-defined] # a group of commands
    options = {option for param in gate.params for option in (*param.opts, *param.secondary_opts)}
    for confirm in ("true", "false"):
        everything["confirm"] = confirm
        runner.run(**everything)
        words = runner.asked()
        assert words[0] == "gate"
        assert {word.split("=")[0] for word in words[1:]} <= options


# ---- what a pull request is held against ---------------------------------------------------------------------------


@pytest.fixture
def pull_request(tmp_path: Path) -> Mapping[str, Any]:
    """A repository whose main went on after the pull request's event, with GitHub's merge of both checked out."""
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "--initial-branch=main")
    event = commit(folder, "as the event names it")
    git(folder, "checkout", "-b", "change")
    change = commit(folder, "the change")
    git(folder, "checkout", "main")
    newest = commit(folder, "somebody else's")
    git(folder, "checkout", "--detach")
    git(folder, "merge", "--no-ff", "--message", "merge", "change")
    return {
        "folder": folder,
        "event": event,
        "change": change,
        "newest": newest,
        "merge": git(folder, "rev-parse", "HEAD"),
    }


def held_against(runner: Runner, where: Path, event: str, sha: str) -> str:
    done = runner.run(where=where, event_base=event, GITHUB_SHA=sha)
    assert done.returncode == 0, done.stderr
    (word,) = [word for word in runner.asked() if word.startswith("--base=")]
    return word.removeprefix("--base=")


def test_a_merge_is_held_against_its_first_parent_so_that_others_work_is_in_both(
    runner: Runner, pull_request: Mapping[str, Any]
) -> None:
    found = held_against(runner, pull_request["folder"], pull_request["event"], pull_request["merge"])
    assert found == pull_request["newest"]


def test_a_branch_is_held_against_where_it_left_its_base(runner: Runner, pull_request: Mapping[str, Any]) -> None:
    git(pull_request["folder"], "checkout", "change")
    found = held_against(runner, pull_request["folder"], pull_request["newest"], pull_request["merge"])
    assert found == pull_request["event"]


def test_a_shallow_clone_gets_the_one_commit_that_it_lacks(
    runner: Runner, pull_request: Mapping[str, Any], tmp_path: Path
) -> None:
    git(pull_request["folder"], "config", "uploadpack.allowAnySHA1InWant", "true")
    git(pull_request["folder"], "branch", "merged")
    git(tmp_path, "clone", "--depth=1", "--branch=merged", f"file://{pull_request['folder']}", "shallow")
    found = held_against(runner, tmp_path / "shallow", pull_request["event"], pull_request["merge"])
    assert found == pull_request["event"]
    assert git(tmp_path / "shallow", "cat-file", "-t", found) == "commit"


# ---- comment.py ----------------------------------------------------------------------------------------------------


WORKFLOW = {"login": "github-actions[bot]", "type": "Bot"}
SOMEBODY = {"login": "somebody", "type": "User"}


class GitHub(ThreadingHTTPServer):
    """The part of GitHub's interface that keeps the comments of pull request 7."""

    def __init__(self, *, may_write: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.may_write = may_write
        self.account: dict[str, str] | None = None  # whose token it is; a workflow's own is nobody's
        self.comments: list[dict[str, Any]] = []

    def add(self, body: str, author: Mapping[str, str] | None) -> None:
        self.comments.append({"id": 100 + len(self.comments), "body": body, "user": author})


class Asked(BaseHTTPRequestHandler):
    server: GitHub

    def answer(self, code: int, value: object) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def body(self) -> str:
        return str(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"])

    def do_GET(self) -> None:
        if self.path == "/user":
            return self.answer(200 if self.server.account else 403, self.server.account)
        page = int(re.fullmatch(r"/repos/o/r/issues/7/comments\?per_page=100&page=(\d+)", self.path)[1])  # type: ignore[index]
        return self.answer(200, self.server.comments[100 * (page - 1) : 100 * page])

    def do_POST(self) -> None:
        text = self.body()
        if not self.server.may_write or self.path != "/repos/o/r/issues/7/comments":
            return self.answer(403, {})
        self.server.add(text, self.server.account or WORKFLOW)
        return self.answer(201, {})

    def do_PATCH(self) -> None:
        text = self.body()
        (found,) = [one for one in self.server.comments if self.path == f"/repos/o/r/issues/comments/{one['id']}"]
        found["body"] = text
        self.answer(200, {})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's own name
        """Say nothing."""


@pytest.fixture
def github() -> Iterator[GitHub]:
    with GitHub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def comment(github: GitHub, folder: Path, text: str, **more: str) -> str:
    (folder / "gate.md").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "comment.py"), str(folder / "gate.md")],
        env={
            **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            "GITHUB_API_URL": f"http://127.0.0.1:{github.server_port}",
            "GITHUB_REPOSITORY": "o/r",
            "GATE_TOKEN": "t",
            "GATE_PULL_REQUEST": "7",
            "GATE_NAME": "gate",
            **more,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_pull_request_has_one_comment_of_a_gate_which_is_renewed(github: GitHub, tmp_path: Path) -> None:
    for number in range(120):
        github.add(f"somebody's {number}, who quotes <!-- gatebench-gate gate -->", SOMEBODY)
    comment(github, tmp_path, "first")
    comment(github, tmp_path, "second", GATE_NOTE="Two runners.")
    comment(github, tmp_path, "of another app", GATE_NAME="other")
    assert [one["body"] for one in github.comments[120:]] == [
        "<!-- gatebench-gate gate -->\n\nTwo runners.\n\nsecond",
        "<!-- gatebench-gate other -->\n\nof another app",
    ]
    assert all(one["body"].startswith("somebody's") for one in github.comments[:120])


@pytest.mark.parametrize("account", [None, {"login": "gates", "type": "User"}])
def test_a_comment_that_somebody_else_put_there_is_left_as_it_is(
    github: GitHub, tmp_path: Path, account: dict[str, str] | None
) -> None:
    theirs = "<!-- gatebench-gate gate -->\n\n## Gate: no regression"
    for author in (SOMEBODY, {"login": "other[bot]", "type": "Bot"}, {**WORKFLOW, "type": "User"}, None):
        github.add(theirs, author)
    github.account = account
    comment(github, tmp_path, "first")
    comment(github, tmp_path, "second")
    assert [one["body"] for one in github.comments] == [theirs] * 4 + ["<!-- gatebench-gate gate -->\n\nsecond"]


def test_a_report_that_is_longer_than_a_comment_may_be_is_cut(github: GitHub, tmp_path: Path) -> None:
    comment(github, tmp_path, "x" * 100_000)
    assert 60_000 < len(github.comments[0]["body"]) <= 65_536


def test_a_token_that_may_not_write_is_a_warning_and_no_failure(github: GitHub, tmp_path: Path) -> None:
    github.may_write = False
    assert comment(github, tmp_path, "text").startswith("::warning ")
    assert github.comments == []
