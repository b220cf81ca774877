"""The gate as its user meets it: what it prints, which files it leaves, what it exits with."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import log
from pathlib import Path

import pytest
import sessions
from gates import BASE, HEAD, flat, gate_session
from pages import Page

from gatebench import cli, fake, store
from gatebench.contract import Finding, Outcome
from gatebench.generator import Figures, Job
from gatebench.model import Run, Session
from gatebench.parties import Parties

FILES = {"bencher.json", "gate.html", "gate.json", "gate.md", "github-action-benchmark.json", "junit.xml"}
SAME = ("--base", ".", "--head", "threads=32", "--blocks", "18")
SLOWER = ("--base", "stack:fastapi+uvicorn", "--head", "flask+gunicorn-gthread", "--blocks", "12")


@dataclass
class Done:
    """How a call of the command line ended."""

    code: int
    stdout: str
    stderr: str
    reports: Path

    @property
    def files(self) -> set[str]:
        return {path.name for path in self.reports.iterdir()} if self.reports.is_dir() else set()

    @property
    def judged(self) -> dict[str, object]:
        found: dict[str, dict[str, object]] = json.loads((self.reports / "gate.json").read_text(encoding="utf-8"))
        return found["judgement"]

    def refused(self, *words: str) -> bool:
        """Whether it said no in one sentence with these words, and left no judgement."""
        missing = [word for word in words if word not in self.stderr]
        assert not missing, self.stderr
        assert "Traceback" not in self.stdout + self.stderr
        assert self.stderr.count("\n") <= 1
        return self.code == 2 and not self.files


Gate = Callable[..., Done]


@pytest.fixture
def gate(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Gate:
    """`gatebench gate` in this process, in a folder of its own, with the declarations of this tree."""

    def call(*words: str | Path, env: Mapping[str, str] = {}) -> Done:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        code = 0
        with monkeypatch.context() as changed:
            changed.chdir(tmp_path)
            changed.setenv("GATEBENCH_BACKEND", "fake")
            changed.setattr(sys, "argv", ["gatebench", "gate", f"--root={root}", *map(str, words)])
            try:
                cli.main()
            except SystemExit as ended:
                code = int(ended.code or 0)
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        said = capfd.readouterr()
        return Done(code, said.out, said.err, tmp_path / "reports" / "gate")

    return call


def results(folder: Path) -> Path:
    (path,) = (folder / "results").glob("*.jsonl")
    return path


def test_two_arms_that_are_the_same_pass_and_leave_every_file(gate: Gate, tmp_path: Path) -> None:
    done = gate(*SAME)
    assert done.code == 0
    assert not done.stderr
    assert done.files == FILES
    assert done.judged["word"] == "pass"
    assert str(done.judged["sentence"]) in done.stdout
    assert results(tmp_path).name.startswith("gate-")
    assert str(results(tmp_path).relative_to(tmp_path)) in done.stdout


def test_the_terminal_shows_findings_margins_the_base_beside_itself_and_what_can_be_told(gate: Gate) -> None:
    lines = [" ".join(line.split()) for line in gate(*SAME).stdout.splitlines()]
    assert "scenario metric base head change interval margin blocks" in lines
    assert any(line.startswith("plain closed(64) cpu 9") and "+2.5 % 14 pass" in line for line in lines)
    assert any(line.startswith("plain closed(64) rate") and "-4.76 % 14 pass" in line for line in lines)
    assert "The base beside itself, where nothing should be found" in lines
    assert any(line.startswith("14 blocks, decided at look 1 of 2") for line in lines)
    assert any(line.startswith("Smallest change that could be told here: CPU per request ") for line in lines)
    assert "These figures are invented: the fake backend measures nothing." in lines


def test_each_block_says_how_the_leading_metric_does_so_far(gate: Gate) -> None:
    lines = gate(*SAME).stdout.splitlines()
    told = [line for line in lines if "Base beside head, block" in line]
    assert [line.split(" block ")[1].split(":")[0] for line in told] == [str(block) for block in range(14)]
    assert "so far" not in told[0]
    assert all("so far" in line and " to " in line for line in told[5:])


def test_a_slower_head_is_a_regression_once_fresh_blocks_say_the_same(gate: Gate, tmp_path: Path) -> None:
    done = gate(*SLOWER)
    assert done.code == 1
    assert done.files == FILES
    assert done.judged["word"] == "fail"
    sentence = str(done.judged["sentence"])
    assert done.stderr == f"gatebench: {sentence}\n"
    assert sentence not in done.stdout
    assert "fresh blocks said the same" in sentence
    assert "The same in fresh blocks" in done.stdout
    assert "gate.confirm" in {run.part for run in store.read(results(tmp_path)).runs}


def test_without_confirmation_no_fresh_blocks_are_measured(gate: Gate, tmp_path: Path) -> None:
    assert gate(*SLOWER, "--no-confirm").code == 1
    assert "gate.confirm" not in {run.part for run in store.read(results(tmp_path)).runs}


def test_what_nobody_can_tell_is_no_pass(gate: Gate, tmp_path: Path) -> None:
    few = gate_session(flat(0.0, 4), looks=(12,))
    done = gate(sessions.write(tmp_path, few))
    assert done.code == 3
    assert done.judged["word"] == "unsure"
    assert done.stderr == f"gatebench: {done.judged['sentence']}\n"


def test_nothing_but_void_trials_is_no_pass_and_the_reason_is_told(gate: Gate, tmp_path: Path) -> None:
    void = gate_session(flat(0.0, 12), spoil=lambda run: sessions.make_void(run, "4.0 % errors"))
    done = gate(sessions.write(tmp_path, void))
    assert done.code == 3
    assert "4.0 % errors" in done.stderr


def test_a_results_file_is_judged_as_it_was_live(gate: Gate, tmp_path: Path) -> None:
    live = gate(*SLOWER)
    before = (live.reports / "gate.json").read_bytes()
    page = (live.reports / "gate.html").read_bytes()
    shutil.rmtree(live.reports)
    again = gate(results(tmp_path))
    assert (again.code, again.stderr) == (1, live.stderr)
    assert (again.reports / "gate.json").read_bytes() == before
    assert (again.reports / "gate.html").read_bytes() == page


def test_json_is_all_that_a_script_reads(gate: Gate) -> None:
    done = gate(*SLOWER, "--json")
    assert done.code == 1
    assert json.loads(done.stdout)["judgement"] == done.judged
    assert "results go to" in done.stderr
    assert done.stderr.count(str(done.judged["sentence"])) == 1
    assert json.loads(gate(*SAME, "--json").stdout)["judgement"]["word"] == "pass"


def test_the_page_says_that_nothing_was_measured(gate: Gate) -> None:
    done = gate(*SAME)
    assert "The figures of this page are invented" in Page((done.reports / "gate.html").read_text("utf-8")).text


def test_invented_figures_are_called_so_in_the_verdict_itself(gate: Gate) -> None:
    done = gate(*SLOWER)
    assert done.code == 1
    assert "Regression, of invented figures, since the fake backend measures nothing: CPU per request" in done.stderr
    for name in ("gate.md", "junit.xml"):
        assert "Regression, of invented figures, since " in (done.reports / name).read_text("utf-8")


def test_a_line_of_a_stack_that_the_header_does_not_have_is_refused_and_never_passed(
    gate: Gate, tmp_path: Path
) -> None:
    made = gate_session(flat(0.0, 20))
    stray = replace(made.runs[2], stack="head:flask+waitress")
    file = sessions.write(tmp_path, replace(made, runs=(*made.runs[:2], stray, *made.runs[3:])))
    done = gate(file)
    assert done.refused(f"{file}, line 4: stack is 'head:flask+waitress'", "a stack of the part gate")


def test_two_stacks_of_a_session_are_judged_as_they_were_measured(gate: Gate, tmp_path: Path) -> None:
    file = sessions.write(tmp_path, sessions.session(blocks=12))
    done = gate(
        file, "--base", sessions.GTHREAD, "--head", sessions.FASTAPI, "--scenario", "json", "--metric", "rate"
    )
    assert done.code == 0
    assert "the rate of requests of head is" in done.stdout
    assert not (tmp_path / "results").exists()
    done = gate(
        file, "--base", sessions.FASTAPI, "--head", sessions.GTHREAD, "--scenario", "json", "--metric", "rate"
    )
    assert done.code == 1


def test_two_files_are_judged_together_where_they_compare(gate: Gate, tmp_path: Path) -> None:
    one = sessions.session(blocks=12, measures=("plain closed(64)",))
    base = sessions.write(tmp_path / "base", one)
    two = replace(one, started_at="2026-01-30T12:00:00+00:00")
    head = sessions.write(tmp_path / "head", two)
    done = gate(base, head, "--base", sessions.SYNC)
    assert done.code == 0
    assert "from two sessions" in done.stdout
    assert "base and head were measured at different times" in str(done.judged["sentence"])

    other = replace(two, machine=replace(one.machine, identity="another"))
    done = gate(base, sessions.write(tmp_path / "other", other), "--base", sessions.SYNC)
    assert done.refused("do not compare", "machine", "another")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--margin", "0.025"), ["--margin '0.025'", "2.5%"]),
        (("--margin", "2.5"), ["--margin '2.5'", "2.5%"]),
        (("--margin", "0%"), ["--margin '0%'"]),
        (("--margin", "-1%"), ["--margin '-1%'"]),
        (("--margin", "100.1%"), ["--margin '100.1%'", "at most 100%, which is twice as bad"]),
        (("--margin", "p99=999%"), ["--margin 'p99=999%'", "at most 100%"]),
        (("--margin", "cpi=2%"), ["There is no metric", "cpi", "cpu"]),
        (("--margin", "p50=2%"), ["p50 is not judged", "--metric p50"]),
        (("--margin", "2%", "--margin", "cpu=3%"), ["of cpu twice"]),
        (("--metric", "p50"), ["no margin for p50", "--margin p50="]),
        (("--metric", "speed"), ["There is no metric named 'speed'"]),
        (("--budget", "5"), ["--budget '5'", "90s, 5m or 1h"]),
        (("--budget", "5min"), ["--budget '5min'"]),
        (("--budget", "0s"), ["--budget '0s'"]),
        (("--budget", "25h"), ["--budget '25h'", "up to a day"]),
        (("--budget", "1m"), ["--budget and --blocks", "choose one"]),
        (("--session", "../x"), ["--session takes up to 100"]),
        (("--blocks", "9"), ["--blocks", "10", "(see gatebench gate --help)"]),
        (("--blocks", "10.5"), ["--blocks", "integer", "(see gatebench gate --help)"]),
        (("--blok", "3"), ["No such option: --blok. Did you mean --blocks? (see gatebench gate --help)"]),
        (("--base",), ["'--base' requires an argument (see gatebench gate --help)"]),
        (("--stack", ""), ["There is nothing after --stack: "]),
        (("--stack=",), ["There is nothing after --stack: "]),
        (("--reports", ""), ["There is nothing after --reports: "]),
        (("--out=",), ["There is nothing after --out: "]),
        (("--scenario=",), ["There is nothing after --scenario: "]),
        (("--base", "folder:/nonexist"), ["--base folder:/nonexist: there is no such folder"]),
        (("--scenario", "plane"), ["plane", "plain"]),
        (("--stack", "flaks+gunicorn-gthread"), ["flaks", "flask"]),
        (("--head", "thread=3"), ["--head thread=3", "named 'thread'"]),
        (("--base", "no-such-branch"), ["--base no-such-branch"]),
    ],
)
def test_what_cannot_be_asked_for_is_one_sentence(
    gate: Gate, tmp_path: Path, words: list[str], said: list[str]
) -> None:
    assert gate(*SAME, *words).refused(*said)
    assert not (tmp_path / "results").exists()


def test_a_gate_wants_both_of_its_arms(gate: Gate) -> None:
    assert gate().refused("name both", "--base HEAD~1 --head .")
    assert gate("--base", ".").refused("name both")


OF_MEASURING = {
    "--app": "shop",
    "--stack": "flask+gunicorn-sync",
    "--budget": "five",
    "--blocks": "12",
    "--confirm": None,
    "--no-confirm": None,
    "--backend": "cloud",
    "--out": "elsewhere",
    "--session": "../x",
}
OF_JUDGING = {
    "--base": "HEAD~1",
    "--head": ".",
    "--scenario": "plane",
    "--metric": "p50",
    "--margin": "half",
}


def spelled(option: str, value: str | None) -> tuple[str, ...]:
    return (option,) if value is None else (option, value)


@pytest.mark.parametrize("kind", ["a gate's", "another", "two"])
@pytest.mark.parametrize("option", OF_MEASURING)
def test_an_option_of_measuring_is_named_where_results_are_judged_whatever_it_says(
    gate: Gate, tmp_path: Path, kind: str, option: str
) -> None:
    made = gate_session(flat(0.0, 12)) if kind == "a gate's" else sessions.session(blocks=6)
    files = [sessions.write(tmp_path, made)] * (2 if kind == "two" else 1)
    done = gate(*files, *spelled(option, OF_MEASURING[option]), "--margin", "half")
    assert done.refused(f"Results are judged as they were measured; leave out {option}.")


@pytest.mark.parametrize("option", OF_JUDGING)
def test_a_gates_own_file_says_itself_what_it_is_judged_by_whatever_an_option_says(
    gate: Gate, tmp_path: Path, option: str
) -> None:
    file = sessions.write(tmp_path, gate_session(flat(0.0, 12)))
    done = gate(file, *spelled(option, OF_JUDGING[option]))
    assert done.refused(f"{file} says what it is judged by, declared before it was measured: leave out {option}.")


def test_a_gates_own_file_is_judged_alone(gate: Gate, tmp_path: Path) -> None:
    own = sessions.write(tmp_path / "own", gate_session(flat(0.0, 12)))
    other = sessions.write(tmp_path / "other", sessions.session(blocks=6))
    for both in ((own, other), (other, own), (own, own)):
        assert gate(*both).refused(f"{own} is a gate's own", f"judge it alone, by `gatebench gate {own}`.")
    assert gate(own).code == 0


def test_results_files_are_one_or_two_and_of_one_two_stacks_are_named(gate: Gate, tmp_path: Path) -> None:
    plain = sessions.write(tmp_path, sessions.session(blocks=6))
    assert gate(plain, plain, plain).refused("not 3")
    for words in ((), ("--base", sessions.SYNC), ("--head", sessions.SYNC)):
        assert gate(plain, *words).refused("--base and --head", sessions.SYNC)
    assert gate(plain, "--base", ".", "--head", sessions.SYNC).refused("--base .: ", "no such stack", sessions.SYNC)
    assert gate(plain, "--metric", "p50").refused("no margin for p50", "--margin p50=10%")


def test_the_command_that_judges_again_names_the_file_that_was_read(gate: Gate, tmp_path: Path) -> None:
    file = sessions.write(tmp_path, gate_session(flat(0.0, 12))).rename(tmp_path / "my file.jsonl")
    done = gate(file)
    command = f"gatebench gate '{file}'"
    assert f"`{command}` judges the same again." in done.stdout
    assert f"- To judge the same blocks again: `{command}`." in (done.reports / "gate.md").read_text("utf-8")


def test_the_command_that_judges_again_names_the_file_that_was_written(gate: Gate, tmp_path: Path) -> None:
    done = gate(*SAME, "--out", "kept", "--session", "mine")
    again = "gatebench gate kept/mine.jsonl"
    assert f"`{again}` judges the same again." in done.stdout
    markdown = (done.reports / "gate.md").read_text("utf-8")
    assert f"- To judge the same blocks again: `{again}`." in markdown
    assert gate(*again.split()[2:]).code == 0
    assert (done.reports / "gate.md").read_text("utf-8") == markdown


def test_a_file_that_goes_along_with_the_report_is_named_as_seen_from_there(gate: Gate, tmp_path: Path) -> None:
    done = gate(*SAME, "--reports", "reports/gate", "--out", tmp_path / "reports" / "gate" / "results")
    (file,) = (done.reports / "results").iterdir()
    told = f"`gatebench gate results/{file.name}` in the folder of this report."
    assert told in (done.reports / "gate.md").read_text("utf-8")


def test_the_command_that_judges_two_files_again_says_what_of_them(gate: Gate, tmp_path: Path) -> None:
    one = sessions.session(blocks=12, measures=("plain closed(64)",))
    base = sessions.write(tmp_path / "base", one)
    head = sessions.write(tmp_path / "head", replace(one, started_at="2026-01-30T12:00:00+00:00"))
    words = ("--base", sessions.SYNC, "--metric", "rate", "--margin", "rate=30%")
    done = gate(base, head, *words)
    assert f"`gatebench gate {base} {head} {' '.join(words)}` judges the same again." in done.stdout


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: "", "is empty"),
        (lambda text: text[:300], "line 1"),
        (lambda text: text.replace('"window_s":1000.0', '"window_s":NaN'), "NaN is no number"),
        (
            lambda text: text.replace('"format_version":1', '"format_version":99', 1),
            "a newer gatebench wrote this file",
        ),
        (lambda text: text[:-40], "is cut short"),
        (lambda text: text[: len(text) // 2], "is cut short"),
        (lambda text: text.rsplit("\n", 2)[0] + "\n", "is cut short"),
    ],
    ids=["empty", "header cut", "NaN", "newer", "end cut", "trial cut", "no end"],
)
def test_a_file_that_cannot_be_read_is_never_a_pass(
    gate: Gate, tmp_path: Path, spoil: Callable[[str], str], said: str
) -> None:
    file = sessions.write(tmp_path, gate_session(flat(0.0, 12)))
    file.write_text(spoil(file.read_text(encoding="utf-8")), encoding="utf-8")
    assert gate(file).refused(said)


def test_an_earlier_judgement_never_stands_for_one_that_was_not_made(gate: Gate, tmp_path: Path) -> None:
    assert gate(*SAME).files == FILES
    assert gate(tmp_path / "nothing.jsonl").refused("cannot be read")
    assert gate(*SAME).files == FILES
    assert gate(*SAME, "--head", "no-such-branch").refused("no-such-branch")


def test_files_in_the_folder_of_reports_that_are_somebody_elses_stay(gate: Gate, tmp_path: Path) -> None:
    reports = tmp_path / "tests"
    reports.mkdir()
    (reports / "junit.xml").write_text("of other tests", encoding="utf-8")
    gate(tmp_path / "nothing.jsonl", "--reports", reports)
    assert (reports / "junit.xml").read_text(encoding="utf-8") == "of other tests"


def test_a_wrong_option_leaves_no_earlier_judgement_either(gate: Gate) -> None:
    assert gate(*SAME).files == FILES
    assert gate(*SAME, "--margin", "0%").refused("is no margin")


def test_a_name_that_is_taken_is_told_before_anything_is_measured(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mine.jsonl").write_text("", encoding="utf-8")
    assert gate(*SAME, "--session", "mine").refused("mine.jsonl exists already")


def test_reports_that_cannot_be_written_are_told_of_before_anything_is_measured(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    assert gate(*SAME, "--reports", tmp_path / "taken").refused("taken cannot be written", "--reports")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("option", "place"), [("--reports", "/proc"), ("--out", "/proc/results")])
def test_a_folder_that_is_there_and_takes_no_file_is_told_of_before_anything_is_measured(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, place: str
) -> None:
    with monkeypatch.context() as changed:
        with_parties(changed, unreachable)
        done = gate(*SAME, option, place)
    assert done.refused(f"{place} cannot be written", f"give another folder with {option}.")


def test_a_report_that_is_a_folder_is_told_of_before_anything_is_measured(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine" / "gate.md").mkdir(parents=True)
    with monkeypatch.context() as changed:
        with_parties(changed, unreachable)
        assert gate(*SAME, "--reports", "mine").refused("mine/gate.md is a folder", "--reports")


def unreachable() -> Parties:
    raise AssertionError("it was to be told before anything is measured")


@dataclass
class Spoiling(fake.FakeDriver):
    """A driver in whose midst the folder of reports is lost: a file stands in its place."""

    reports: Path = field(kw_only=True)

    def measure(self, job: Job) -> Figures:
        if self.reports.is_dir():
            self.reports.rmdir()
            self.reports.write_text("taken", encoding="utf-8")
        return super().measure(job)


def test_reports_that_cannot_be_written_once_it_is_measured_lose_nothing(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, given = fake.FakeBackend(), fake.parties
    reports = tmp_path / "reports" / "gate"
    with monkeypatch.context() as changed:
        with_parties(changed, lambda: given(backend=backend, driver=Spoiling(backend=backend, reports=reports)))
        done = gate(*SAME)
    file = results(tmp_path).relative_to(tmp_path)
    assert done.code == 2
    assert "Gate: pass" in done.stdout
    assert "No regression, of invented figures" in done.stdout
    assert "reports/gate could not be written (" in done.stderr
    assert f"nothing that was measured is lost: `gatebench gate {file} --reports FOLDER`" in done.stderr
    assert done.stderr.count("\n") == 1
    again = gate(file, "--reports", "elsewhere")
    assert again.code == 0
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == FILES


def test_a_disk_that_is_full_is_its_owners_turn_and_leaves_no_half_of_a_report(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No disk is filled: there is no room for the third file."""
    moved, count = Path.replace, iter(range(99))

    def full(path: Path, target: Path) -> Path:
        if next(count) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        return moved(path, target)

    file = sessions.write(tmp_path, gate_session(flat(0.0, 12)))
    with monkeypatch.context() as changed:
        changed.setattr(Path, "replace", full)
        done = gate(file)
    assert (done.code, done.files) == (4, set())
    assert f"(No space left on device), but nothing that was measured is lost: `gatebench gate {file}" in done.stderr


@dataclass
class Stopping(fake.FakeDriver):
    """A driver in whose midst the user presses Ctrl-C, at the given trial."""

    trials: int = 0
    at: int = 14

    def measure(self, job: Job) -> Figures:
        self.trials += job.load.size == 64
        if self.trials == self.at:
            os.kill(os.getpid(), signal.SIGINT)
        return super().measure(job)


def with_parties(monkeypatch: pytest.MonkeyPatch, made: Callable[[], Parties]) -> None:
    monkeypatch.setattr(fake, "parties", made)


def test_an_interrupted_gate_keeps_what_it_measured_and_judges_nothing(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, given = fake.FakeBackend(), fake.parties
    with monkeypatch.context() as changed:
        with_parties(changed, lambda: given(backend=backend, driver=Stopping(backend=backend)))
        done = gate(*SAME)
    assert done.code == 130
    assert not done.files
    file = results(tmp_path)
    assert f"`gatebench gate {file.relative_to(tmp_path)}` judges it" in done.stderr
    kept = store.read(file)
    assert kept.interrupted
    assert 2 <= len(kept.runs) < 12
    again = gate(file)
    assert again.code == 3
    assert again.files == FILES


@dataclass
class Breaking:
    """A contract that is kept for a while."""

    kept: int
    asked: int = field(default=0)

    def __call__(self, **_asked: object) -> Outcome:
        self.asked += 1
        held = self.asked <= self.kept
        return Outcome(findings=(Finding("plaintext", "bytes", held, "Hello", "Bye"),), date=None)


@pytest.mark.parametrize("kept", [0, 40], ids=["from the start", "in the midst"])
def test_an_arm_that_breaks_its_contract_is_named_and_fails(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    given = fake.parties
    with monkeypatch.context() as changed:
        with_parties(changed, lambda: given(contract=Breaking(kept=kept)))
        done = gate(*SAME)
    assert done.code == 1
    assert "plaintext breaks the rule 'bytes'" in done.stderr
    arms = [f"{arm}:flask+gunicorn-gthread" for arm in ("base", "head", "again")]
    assert any(said in done.stderr for said in ("Both arms failed the contract, base in 1 of 1 trials", *arms))
    assert done.files == FILES
    if kept:
        assert done.judged["word"] == "fail"
        assert gate(results(tmp_path)).stderr == done.stderr


def test_an_arm_that_never_came_up_is_the_machines_owners_turn(gate: Gate, tmp_path: Path) -> None:
    def dead(run: Run) -> Run:
        return replace(run, status="failed", fault="machine", reason="it ended at once") if run.stack == HEAD else run

    done = gate(sessions.write(tmp_path, gate_session(flat(0.0, 12), spoil=dead)))
    assert done.code == 4
    assert f"{HEAD} (the working tree) could not be measured" in done.stderr


def test_a_single_failure_does_not_spoil_a_gate(gate: Gate, tmp_path: Path) -> None:
    def once(run: Run) -> Run:
        first = run.stack == HEAD and run.block == 3
        return replace(run, status="failed", fault="machine", reason="it ended at once") if first else run

    done = gate(sessions.write(tmp_path, gate_session(flat(0.0, 24), spoil=once)))
    assert done.code == 0
    assert "it ended at once" in done.stdout


def test_what_was_measured_before_an_arm_stopped_starting_is_no_pass(gate: Gate, tmp_path: Path) -> None:
    def at_last(run: Run) -> Run:
        last = run.stack == HEAD and run.block == 23
        return (
            replace(run, status="failed", fault="machine", reason="it ended at once", ready_s=None) if last else run
        )

    done = gate(sessions.write(tmp_path, gate_session(flat(0.0, 24), spoil=at_last)))
    assert done.code == 4
    assert done.judged["word"] == "unsure"
    assert "it ended at once" in str(done.judged["sentence"])


def test_an_app_of_ones_own_is_gated_between_two_commits(gate: Gate, root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(root / "examples" / "flask_shop", folder)

    def git(*words: str) -> None:
        around = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "PATH": os.environ["PATH"]}
        told = ["git", "-C", str(folder), "-c", "user.name=A", "-c", "user.email=a@example.org", *words]
        subprocess.run(told, check=True, capture_output=True, env=around)

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "one")
    (folder / "more.py").write_text("MORE = 1\n", encoding="utf-8")
    done = gate("--app", folder, "--base", "HEAD", "--head", ".", "--blocks", "12")
    assert done.code == 0, done.stderr
    session = store.read(results(tmp_path))
    assert session.gate is not None
    assert [*session.scenarios] == ["own"]
    assert all("shop" in stack for stack in session.gate.arms)
    assert str(tmp_path) not in results(tmp_path).read_text(encoding="utf-8")


def test_a_gate_of_several_scenarios_has_a_finding_of_each(gate: Gate, tmp_path: Path) -> None:
    done = gate(*SAME, "--scenario", "plain", "--scenario", "json", "--metric", "cpu", "--margin", "4%")
    assert done.code == 0
    session = store.read(results(tmp_path))
    assert session.gate is not None
    assert session.gate.margins == {"cpu_us_per_request": 0.04}
    told = [line for line in done.stdout.splitlines() if "Base beside head, block 3:" in line]
    assert "plain cpu" in told[0]
    assert "json cpu" in told[0]
    assert [line.split()[:3] for line in done.stdout.splitlines() if line.strip().endswith(" pass")][-2:] == [
        ["plain", "closed(64)", "cpu"],
        ["json", "closed(64)", "cpu"],
    ]


def test_a_gate_is_told_how_long_it_may_measure(gate: Gate, tmp_path: Path) -> None:
    assert gate("--base", ".", "--head", "@tuned", "--budget", "90s", "--metric", "rate", "--margin", "30%").code == 0
    session: Session = store.read(results(tmp_path))
    assert session.gate is not None
    assert (session.gate.budget_s, session.gate.leading) == (90.0, "rate_rps")
    assert BASE in session.gate.arms


def test_a_faster_head_passes_however_much_faster(gate: Gate, tmp_path: Path) -> None:
    done = gate(sessions.write(tmp_path, gate_session(flat(log(0.5), 20))))
    assert done.code == 0
    assert "50 % lower" in done.stdout
