"""The harness's side of knocking: starts the process on its CPUs, and gives what fresh connections met with.

Knows the process and its channel. Must not know stacks, loads or plans.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gatebench import histogram
from gatebench.backends.programs import last_lines, stop, surroundings, uninterrupted
from gatebench.errors import MachineError
from gatebench.knocking.asking import Job, Tally, loopback
from gatebench.machine import pinned
from gatebench.model import Connects

REST_COUNT, REST_S, REST_WAIT_S = 1000, 1.5, 0.5
LOAD_RATE, LOAD_WAIT_S = 200.0, 3.0
SPARE_S = 5.0  # for the process to start and to write its answer


@dataclass(slots=True)
class Knocks:
    """What came of knocking beside a load; known once it has ended."""

    wait_s: float = LOAD_WAIT_S
    _tally: Tally | None = None
    _problem: str = "Nobody has knocked yet."

    def between(self, start_s: float, end_s: float) -> Connects:
        """Give the knocks that were due between two readings of perf_counter; MachineError where they were lost."""
        if self._tally is None:
            raise MachineError(self._problem)
        due = self._tally.due_s
        counts = {key: sum(start_s <= at < end_s for at in due[key]) for key in due}
        took = [s for at, s in zip(due["answered"], self._tally.took_s, strict=True) if start_s <= at < end_s]
        # What was not answered took at least as long as it was waited for; without it a slow server would look fast.
        return Connects(
            asked=sum(counts.values()),
            refused=counts["refused"],
            unanswered=counts["unanswered"],
            times=histogram.of_seconds([*took, *[self.wait_s] * counts["unanswered"]]),
        )

    def take(self, process: subprocess.Popen[bytes], log: Path, limit_s: float) -> None:
        """Have the process end, and read its answer."""
        try:
            answer, _ = process.communicate(timeout=limit_s)
            self._tally = Tally.parse(answer)
        except subprocess.TimeoutExpired:
            self._problem = f"The process that knocks did not end within {limit_s:.0f} s: {last_lines(log)}"
        except (ValueError, KeyError, TypeError):
            self._problem = f"The process that knocks ended with exit code {process.returncode}: {last_lines(log)}"


@dataclass(slots=True)
class Knocker:
    """Starts `python -m gatebench.knocking`, a process for each time it is asked to."""

    scratch: Path
    _log: Path = field(init=False)

    def __post_init__(self) -> None:
        self._log = self.scratch / "knocking.log"

    def at_rest(self, url: str, cpus: Sequence[int]) -> Connects:
        """Knock one after the other, for two seconds at most, and give what came of it.

        UsageError where the address is not this machine's own; MachineError where this machine did not let us knock.
        """
        job = Job(url=url, count=REST_COUNT, seconds=REST_S, wait_s=REST_WAIT_S)
        with self._started(job, cpus) as process:
            knocks = Knocks(wait_s=REST_WAIT_S)
            knocks.take(process, self._log, REST_S + REST_WAIT_S + SPARE_S)
        return knocks.between(-math.inf, math.inf)

    @contextlib.contextmanager
    def beside(self, url: str, cpus: Sequence[int], *, seconds: float) -> Iterator[Knocks]:
        """Knock at a fixed rate until left, or for so many seconds; what came of it is known after that.

        Leaving waits for the answers that are still due. Left by an error, the process is killed. UsageError where
        the address is not this machine's own.
        """
        knocks = Knocks()
        with self._started(Job(url=url, rate=LOAD_RATE, seconds=seconds, wait_s=LOAD_WAIT_S), cpus) as process:
            yield knocks
            knocks.take(process, self._log, LOAD_WAIT_S + SPARE_S)

    @contextlib.contextmanager
    def _started(self, job: Job, cpus: Sequence[int]) -> Iterator[subprocess.Popen[bytes]]:
        loopback(job.url)
        with contextlib.ExitStack() as cleanup:
            with uninterrupted(), self._log.open("wb") as errors, pinned(tuple(cpus)):
                process = subprocess.Popen(
                    [sys.executable, "-m", "gatebench.knocking", job.document()],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=surroundings(),
                    start_new_session=True,
                )
                cleanup.callback(stop, process)
            yield process
