"""How the tests start the generator: a process, a job on its input, one document from its output."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SCENARIOS = ROOT / "scenarios"


def drive(job: bytes, *, prepare: Callable[[], None] | None = None) -> tuple[int, dict[str, Any]]:
    """Start a generator, give it a job, give its exit code and the one document it wrote."""
    done = subprocess.run(
        [sys.executable, "-m", "gatebench.swarm"],
        input=job,
        capture_output=True,
        check=False,
        timeout=60,
        preexec_fn=prepare,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stderr.decode()
    document: dict[str, Any] = json.loads(lines[0])
    assert document["format"] == 1
    return done.returncode, document


def job(
    host: str, *, scenario: Path = SCENARIOS / "plain.py", load: tuple[str, int] = ("closed", 4), **changes: Any
) -> bytes:
    values = {
        "format": 1,
        "scenario": str(scenario),
        "host": host,
        "load": {"kind": load[0], "size": load[1]},
        "seed": 7,
        "warmup_slice_s": 0.05,
        "warmup_limit_s": 0.15,
        "window_s": 0.3,
        "timeout_s": 10.0,
    }
    return json.dumps(values | changes).encode()


def script(source: str, given: Any = None, *, before: tuple[str, ...] = (), timeout_s: float = 90) -> Any:
    """Run a program that may import Locust; give it one JSON document, and what it printed last as such."""
    done = subprocess.run(
        [*before, sys.executable, "-c", source],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout else None


def together(jobs: Iterable[bytes]) -> list[tuple[int, dict[str, Any]]]:
    """Drive several at once: most of what a short job costs is the start of a process."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(drive, jobs))


def figures(host: str, **changes: Any) -> dict[str, Any]:
    code, document = drive(job(host, **changes))
    assert code == 0, document
    return document
