"""The README is run: its files are written where they say, its console blocks typed in their order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

STAMP = "installed"  # the Makefile's, in .venv
FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """Copy the tree as git has it, with the environment that is installed already.

    The copy has a stamp of its own, newer than all that `make` compares it with: so that `make` never installs the
    copy, which is gone tomorrow, into the environment that it shares with the tree.
    """
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=root, text=True)
    for name in listed.splitlines():
        if (root / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, tmp_path / name)
    (tmp_path / ".venv").mkdir()
    for one in (root / ".venv").iterdir():
        if one.name != STAMP:
            (tmp_path / ".venv" / one.name).symlink_to(one)
    (tmp_path / ".venv" / STAMP).touch()
    assert make_installs(tmp_path) is False
    return tmp_path


def make_installs(folder: Path) -> bool:
    """Say whether `make` finds the environment out of date."""
    command, alone = ["make", "--question", "install"], {**os.environ, "MAKEFLAGS": ""}
    done = subprocess.run(command, cwd=folder, env=alone, capture_output=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 1


@pytest.mark.slow
def test_every_console_block_of_the_readme_works_as_it_stands(copy: Path) -> None:
    """Long ones with the fake backend: what is tried here is that the words are right."""
    ran = 0
    for language, title, text in FENCE.findall((copy / "README.md").read_text(encoding="utf-8")):
        if title:
            (copy / title).parent.mkdir(parents=True, exist_ok=True)
            (copy / title).write_text(text, encoding="utf-8")
        if language != "console":
            continue
        for line in text.splitlines():
            assert line.startswith("$ "), line
            done = subprocess.run(
                ["bash", "-c", line.removeprefix("$ ")],
                cwd=copy,
                env={**os.environ, "GATEBENCH_BACKEND": "fake", "MAKEFLAGS": ""},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            ran += 1
    assert ran >= 8


def test_every_link_of_the_documents_leads_somewhere(root: Path) -> None:
    for path in [root / "README.md", *(root / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert "://" in target or (path.parent / target).exists(), f"{path.name}: {target}"


def test_make_help_lists_every_target(root: Path) -> None:
    said = subprocess.check_output(["make", "help"], cwd=root, text=True)
    for target in (
        "install",
        "bench",
        "base-image",
        "quick",
        "report",
        "test",
        "test-container",
        "lint",
        "check",
        "pins",
        "wheel",
        "clean",
    ):
        assert f"make {target} " in said
