"""A gate as a user meets it: an app of one's own, two commits, real servers, an exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from repositories import commit, git

from gatebench import store
from gatebench.gate import judge

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(420)]
APP = """
from flask import Flask

app = Flask(__name__)


@app.get("/")
def home():
    return "hello"


@app.get("/cart")
def cart():
    {work}
    return "nothing"
"""
DECLARED = """
interface = "wsgi"
target = "shop:app"

[[paths]]
path = "/"

[[paths]]
path = "/cart"
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    git(folder, "init", "--quiet", ".")
    (folder / "app.toml").write_text(DECLARED, encoding="utf-8")
    (folder / "requirements.txt").write_text("flask\n", encoding="utf-8")
    return folder


def change(shop: Path, work: str) -> None:
    (shop / "shop.py").write_text(APP.format(work=work), encoding="utf-8")
    git(shop, "add", "--all")
    commit(shop, work)


def gate(root: Path, shop: Path) -> subprocess.CompletedProcess[str]:
    asked = ("--app", str(shop), "--base", "HEAD~1", "--head", "HEAD", "--blocks", "10", "--metric", "cpu")
    kept = ("--out", str(shop.parent), "--session", "live", "--reports", str(shop.parent / "reports"))
    words = [sys.executable, "-m", "gatebench", "gate", *asked, *kept, "--root", str(root), "--backend", "process"]
    around = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(words, capture_output=True, text=True, env=around, check=False)


def test_a_commit_that_doubles_the_work_of_a_request_fails_and_the_file_says_the_same(root: Path, shop: Path) -> None:
    change(shop, "pass")
    change(shop, "sum(range(50_000))")
    done = gate(root, shop)
    assert done.returncode == 1, done.stderr
    assert "Regression: CPU per request of head is" in done.stderr
    assert "fresh blocks said the same" in done.stderr
    assert "Traceback" not in done.stderr
    session = store.read(shop.parent / "live.jsonl")
    assert {run.part for run in session.runs} == {"gate", "gate.again", "gate.confirm"}
    assert all(run.server_beside_share for run in session.runs if run.status == "ok")
    told = json.loads((shop.parent / "reports" / "gate.json").read_text(encoding="utf-8"))
    assert told["judgement"]["sentence"] == judge(session).sentence


def test_a_commit_that_breaks_a_path_is_a_broken_arm_and_no_slow_one(root: Path, shop: Path) -> None:
    change(shop, "pass")
    change(shop, "1 / 0")
    done = gate(root, shop)
    assert done.returncode == 1, done.stderr
    assert "head:shop+" in done.stderr
    assert "/cart" in done.stderr
    assert "500" in done.stderr
    assert "Traceback" not in done.stderr
