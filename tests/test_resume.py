"""Going on with a session: only where all that it rests on is as it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sessions
from typer.testing import CliRunner

from gatebench import plan, resume, store
from gatebench.cli import app
from gatebench.errors import UsageError
from gatebench.model import Session
from gatebench.session import Tree

BEFORE = sessions.session(measures=("plain closed(64)",), blocks=1)
RUN = ["run", "--plan", "quick", "--backend", "fake"]


def test_a_session_on_the_same_machine_with_the_same_versions_goes_on() -> None:
    resume.check(BEFORE, replace(BEFORE, name="another", started_at="2026-02-01T12:00:00Z", commit="x", ceilings={}))


CHANGES: dict[str, tuple[Callable[[Session], Session], str]] = {
    "machine": (
        lambda made: replace(made, machine=replace(made.machine, identity="000000000000")),
        r"machine identity \(was 9f2c51d0aa34, is 000000000000\)",
    ),
    "kernel": (lambda made: replace(made, machine=replace(made.machine, kernel="6.2.0")), "machine kernel"),
    "version": (
        lambda made: replace(
            made,
            stacks={
                **made.stacks,
                sessions.FASTAPI: {**made.stacks[sessions.FASTAPI], "versions": {"fastapi": "0.1"}},
            },
        ),
        r"stacks fastapi\+uvicorn versions fastapi \(was 0.120.0, is 0.1\)",
    ),
    "declaration": (lambda made: replace(made, declared={"app flask": "0123"}), "declared app flask .was nothing"),
    "seed": (lambda made: replace(made, plan=replace(made.plan, seed=9)), r"plan seed \(was 1, is 9\)"),
    "service": (lambda made: replace(made, services={}), "services postgres"),
    "placement": (
        lambda made: replace(made, placement=replace(made.placement, server=(1,))),
        r"placement server \(was \[3\], is \[1\]\)",
    ),
    "backend": (lambda made: replace(made, backend="container"), "backend .was process, is container"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_differs_is_named_with_what_it_was_and_is(name: str) -> None:
    change, said = CHANGES[name]
    with pytest.raises(UsageError, match=said):
        resume.check(BEFORE, change(BEFORE))


def test_a_digest_changes_with_any_file_of_what_is_declared_and_with_no_other(root: Path, tmp_path: Path) -> None:
    for name in ("apps", "compose", "scenarios"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))

    def digests() -> dict[str, str]:
        tree = Tree.load(tmp_path)
        stacks = [tree.stacks[name] for name in ("flask+gunicorn-sync", "fastapi+uvicorn")]
        return resume.digests(
            tmp_path, plan.load(tmp_path, "quick"), stacks, [tree.scenarios["plain"]], [tree.services["postgres"]]
        )

    first = digests()
    assert {"app flask", "server uvicorn", "scenario plain", "service postgres", "work"} <= first.keys()
    for name in (
        "apps/flask/app.py",
        "apps/django/app.py",
        "scenarios/plans/quick.toml",
        "scenarios/plans/full.toml",
    ):
        with (tmp_path / name).open("a", encoding="utf-8") as file:
            file.write("# changed\n")
    second = digests()
    assert {name for name in first if first[name] != second[name]} == {"app flask", "plan quick"}


def ran(root: Path, folder: Path, *words: str) -> tuple[int, str]:
    out = [] if "--resume" in words else ["--out", str(folder)]
    done = CliRunner().invoke(app, [*words, "--root", str(root), *out])
    said = f"{done.exception}" if done.exception else done.output
    return done.exit_code, said


def test_a_session_that_was_given_too_few_minutes_goes_on_to_its_end(root: Path, tmp_path: Path) -> None:
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert ran(root, whole, *RUN, "--session", "s")[0] == 0
    (file,) = whole.glob("*.jsonl")
    every = store.read(file)
    lines = file.read_bytes().splitlines(keepends=True)
    parted.mkdir()
    path = parted / "s.jsonl"
    path.write_bytes(b"".join(lines[:8]) + lines[8][:30])
    code, said = ran(root, parted, "run", "--resume", str(path))
    assert code == 0, said
    found = store.read(path)
    assert [(run.number, run.seed, run.stack) for run in found.runs] == [
        (run.number, run.seed, run.stack) for run in every.runs
    ]
    assert (len(found.resumed), found.notices) == (1, ())


def test_blocks_are_as_many_as_asked_for(root: Path, tmp_path: Path) -> None:
    code, said = ran(root, tmp_path, *RUN, "--session", "s", "--blocks", "1")
    assert code == 0, said
    assert {run.block for run in store.read(tmp_path / "s.jsonl").runs} == {0}


def test_minutes_end_a_session_between_trials_and_say_how_to_go_on(root: Path, tmp_path: Path) -> None:
    code, said = ran(root, tmp_path, *RUN, "--session", "s", "--minutes", "0.1")
    assert code == 0, said  # invented trials take no time, so all are made
    assert not store.read(tmp_path / "s.jsonl").interrupted


def test_a_whole_session_has_nothing_to_go_on_with_and_is_left_as_it_is(root: Path, tmp_path: Path) -> None:
    ran(root, tmp_path, *RUN, "--session", "s")
    before = (tmp_path / "s.jsonl").read_bytes()
    code, said = ran(root, tmp_path, "run", "--resume", str(tmp_path / "s.jsonl"))
    assert code == 0
    assert "nothing to go on with" in said
    assert (tmp_path / "s.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "named"),
    [(["--plan", "quick"], "--plan"), (["--backend", "process"], "--backend"), (["--out", "x"], "--out")],
)
def test_what_to_measure_and_how_is_not_said_anew(root: Path, tmp_path: Path, words: list[str], named: str) -> None:
    code, said = ran(root, tmp_path, "run", *words, "--resume", str(tmp_path / "s.jsonl"))
    assert code != 0
    assert said == f"--resume goes on with what its file says; leave out {named}."


def test_a_line_that_was_lost_from_the_middle_is_refused(root: Path, tmp_path: Path) -> None:
    ran(root, tmp_path, *RUN, "--session", "s")
    path = tmp_path / "s.jsonl"
    header, _, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([header, *others]))
    done = CliRunner().invoke(app, ["run", "--resume", str(path), "--root", str(root)])
    assert isinstance(done.exception, UsageError)
    assert "line 2: number is 1, expected 0: a line was lost" in str(done.exception)
