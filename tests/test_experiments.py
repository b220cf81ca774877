"""Experiments as a user runs them: one real trial of each kind, of a stack that the plans name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gatebench import store
from gatebench.model import Run

UVICORN, GTHREAD = (
    "fastapi+uvicorn[keep_alive_s=300]",
    "flask+gunicorn-gthread[keep_alive_s=300,worker_connections=2000]",
)


def measured(root: Path, folder: Path, plan: str, part: str, stack: str, *more: str) -> list[Run]:
    words = ["run", "--plan", plan, "--part", f"{plan}.{part}", "--stack", stack, "--blocks", "1", "--session", "s"]
    done = subprocess.run(
        [sys.executable, "-m", "gatebench", *words, *more, "--root", str(root), "--out", str(folder)],
        env={**os.environ, "GATEBENCH_BACKEND": "process"},
        capture_output=True,
        text=True,
        check=False,
    )
    runs = [*store.read(folder / "s.jsonl").runs]
    # A busy machine may make trials void; what was measured is in them all the same.
    assert {run.status for run in runs} <= {"ok", "void"}, done.stderr
    assert {run.part for run in runs} == {f"{plan}.{part}"}
    return runs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "stack"), [("idle_1000", GTHREAD), ("sse_1000", UVICORN), ("ws_1000", UVICORN)], ids=str
)
def test_a_thousand_connections_are_held_and_fresh_ones_are_timed_beside_them(
    root: Path, tmp_path: Path, part: str, stack: str
) -> None:
    (run,) = measured(root, tmp_path, "connections", part, stack)
    assert run.connections_opened == run.connections_offered == 1000
    rest, peak = run.server_at_rest.pss_peak_bytes, run.server.pss_peak_bytes
    assert rest is not None
    assert peak is not None
    assert peak > rest
    for connects in (run.connect_at_rest, run.connect_under_load):
        assert connects is not None
        assert connects.times.total > 100


@pytest.mark.slow
def test_a_thousand_requests_that_wait_are_served_at_once_by_one_event_loop(root: Path, tmp_path: Path) -> None:
    (run,) = measured(root, tmp_path, "connections", "waiting_1000", UVICORN)
    assert run.requests is not None
    assert run.requests > 1000
    assert (run.server.threads or 0) < 20


@pytest.mark.slow
def test_protocols_are_spoken_in_a_session(root: Path, tmp_path: Path) -> None:
    (run,) = measured(root, tmp_path, "protocols", "spoken", "raw_asgi+uvicorn")
    answers = {one.protocol: one.answer for one in run.capabilities}
    assert (answers["http/1.1"], answers["websocket"], answers["h2"]) == ("yes", "yes", "no")
    assert all(one.transcript for one in run.capabilities if one.answer == "no")


@pytest.mark.slow
def test_three_versions_of_http_are_measured_by_one_client(root: Path, tmp_path: Path) -> None:
    stack = "raw_asgi+hypercorn-h3[requests_per_connection=1000000]"
    runs = measured(root, tmp_path, "protocols", "throughput", stack)
    assert {run.load for run in runs} == {"h1(64)", "h2(64)", "h3(64)"}
    assert all(run.requests for run in runs)
