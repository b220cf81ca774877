"""The load generator as a process of this machine, pinned to its CPUs.

Knows pipes and processes. Must not know containers, nor what the figures mean.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gatebench.backends.programs import last_lines, stop, surroundings, uninterrupted
from gatebench.generator import Figures, Generator, Job, answered, overdue
from gatebench.machine import pinned, require_open_files
from gatebench.model import Placement


@dataclass(slots=True)
class _Process:
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pids(self) -> tuple[int, ...]:
        return (self.process.pid,)

    def measure(self, job: Job) -> Figures:
        require_open_files(job.load.connections)
        try:
            answer, _ = self.process.communicate(job.document().encode(), timeout=job.limit_s)
        except subprocess.TimeoutExpired as error:
            raise overdue(job, last_lines(self.log)) from error
        return answered(answer, f"ended with exit code {self.process.returncode}", last_lines(self.log))


@dataclass(slots=True)
class Locust:
    """Starts `python -m gatebench.swarm`, or another program that takes the same jobs."""

    scratch: Path
    name: str = "locust"
    module: str = "gatebench.swarm"

    @contextlib.contextmanager
    def start(self, placement: Placement) -> Iterator[Generator]:
        """Start the generator; it imports all it needs while the server starts, and then waits for its job."""
        log = self.scratch / "generator.log"
        with contextlib.ExitStack() as cleanup:
            with uninterrupted(), log.open("wb") as errors, pinned(placement.generator):
                process = subprocess.Popen(
                    [sys.executable, "-m", self.module],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=surroundings(),
                    start_new_session=True,
                )
                cleanup.callback(stop, process)
            yield _Process(process=process, log=log)
