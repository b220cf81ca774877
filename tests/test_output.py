"""Output as it leaves the process: to a reader who goes early, to nobody, to a full disk, in a poorer encoding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import log
from pathlib import Path

import pytest
import sessions
from gates import flat, gate_session
from rich.table import Table

from gatebench.cli.terms import NO_CHARACTER, Terminal

FAILS, PASSES, UNSURE = log(1.1), 0.0, 0.025
GATEBENCH = [sys.executable, "-m", "gatebench"]


@contextmanager
def nobody() -> Iterator[int]:
    """A pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


def around(env: Mapping[str, str] = {}) -> dict[str, str]:
    return {**os.environ, "COLUMNS": "100", **env}


def written(folder: Path, shift: float) -> Path:
    return sessions.write(folder, gate_session(flat(shift, 20), confirm=flat(shift, 20, seed=2)))


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "code"), [(PASSES, 0), (FAILS, 1), (UNSURE, 3)])
def test_a_reader_who_goes_after_a_line_changes_no_exit_code_and_no_report(
    tmp_path: Path, shift: float, code: int
) -> None:
    file = written(tmp_path, shift)
    words = [*GATEBENCH, "gate", str(file)]
    with subprocess.Popen(
        words, cwd=tmp_path, env=around(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        assert running.stdout.readline().startswith("Gate: ")
        running.stdout.close()
        assert running.stderr
        said = running.stderr.read()
    assert running.returncode == code
    assert said.count("\n") == (code > 0), said
    assert (tmp_path / "reports" / "gate" / "junit.xml").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True], ids=["stdout", "stdout and stderr"])
def test_a_reader_who_is_gone_at_once_changes_no_exit_code(tmp_path: Path, both: bool) -> None:
    file = written(tmp_path, UNSURE)  # 1 is what a crash ends with, too
    with nobody() as pipe:
        done = subprocess.run(
            [*GATEBENCH, "gate", str(file), *(["--json"] if both else [])],
            cwd=tmp_path,
            env=around(),
            stdout=pipe,
            stderr=pipe if both else subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 3
    if not both:
        assert done.stderr.startswith("gatebench: Unsure: ")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code"), [(["--help"], 0), (["list", "--json"], 0), (["--version"], 0), (["rnu"], 2)], ids=str
)
def test_help_and_lists_and_refusals_may_be_left_too(root: Path, words: list[str], code: int) -> None:
    with nobody() as pipe:
        done = subprocess.run([*GATEBENCH, *words], cwd=root, env=around(), stdout=pipe, stderr=pipe, check=False)
    assert done.returncode == code


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_change_no_exit_code(tmp_path: Path, closed: str) -> None:
    file = written(tmp_path, UNSURE)  # 1 is what a crash ends with, too
    done = subprocess.run(
        ["bash", "-c", f'"$@" {closed}', "bash", *GATEBENCH, "gate", str(file)],
        cwd=tmp_path,
        env=around(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "Traceback" not in done.stdout + done.stderr
    judged = json.loads((tmp_path / "reports" / "gate" / "gate.json").read_text("utf-8"))
    assert judged["judgement"]["word"] == "unsure"


def test_a_disk_that_takes_no_more_output_is_told_once_and_is_no_success(root: Path) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        words = [*GATEBENCH, "list", "--json"]
        done = subprocess.run(
            words, cwd=root, env=around(), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
        assert done.returncode == 4
        assert done.stderr == "gatebench: The machine gives no more (No space left on device).\n"
        assert subprocess.run([*GATEBENCH, "rnu"], env=around(), stderr=full, check=False).returncode == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoding", "unit"), [("ascii", "?s"), ("ascii:strict", "?s"), ("latin-1", "µs"), ("utf-8", "µs")]
)
def test_what_an_encoding_lacks_is_a_question_mark(tmp_path: Path, encoding: str, unit: str) -> None:
    file = written(tmp_path, PASSES)
    done = subprocess.run(
        [*GATEBENCH, "gate", str(file)],
        cwd=tmp_path,
        env=around({"PYTHONIOENCODING": encoding}),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"400 {unit}" in done.stdout.decode(encoding.partition(":")[0])
    assert "400 µs" in (tmp_path / "reports" / "gate" / "gate.html").read_text("utf-8")


@pytest.mark.parametrize("control", ["\x1b[31m", "\x1b]8;;file:///\x1b\\", "\x9b2J", "\u202e", "\x07", "\x7f"])
def test_no_text_can_act_on_a_terminal(capsys: pytest.CaptureFixture[str], control: str) -> None:
    table = Table(control)
    table.add_row(f"a{control}b")
    terminal = Terminal(force_terminal=True, width=60)
    terminal.print(f"a{control}b", markup=False)
    terminal.print(table)
    said = capsys.readouterr().out
    assert control not in said
    assert NO_CHARACTER in said or "ab" in said
    terminal.print("[red]c[/]")
    assert "\x1b[31mc" in capsys.readouterr().out
