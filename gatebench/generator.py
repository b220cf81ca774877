"""The load generator from outside: a process of its own, one JSON document in, one JSON document out.

Knows the job and the figures. Must not import Locust, which patches whoever imports it, nor know servers or results.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gatebench import histogram
from gatebench.backends.programs import last_lines, stop, surroundings, uninterrupted
from gatebench.errors import GatebenchError, MachineError, UsageError
from gatebench.machine import pinned, require_open_files
from gatebench.model import Histogram, Load, Placement, Plan, Scenario

TIMEOUT_S = 10.0  # of one request
SPARE_S = 30.0  # what a job may take beyond its warm-up and window: connecting, and ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the generator is asked to do."""

    scenario: Path
    host: str  # http://127.0.0.1:port
    load: Load
    seed: int
    warmup_slice_s: float
    warmup_limit_s: float
    window_s: float

    @classmethod
    def of(cls, plan: Plan, scenario: Scenario, load: Load, seed: int, host: str) -> Job:
        """Make the job of a trial."""
        return cls(
            scenario=scenario.path,
            host=host,
            load=load,
            seed=seed,
            warmup_slice_s=plan.warmup_slice_s,
            warmup_limit_s=plan.warmup_limit_s,
            window_s=plan.window_s,
        )

    def document(self) -> str:
        """Spell the job as the generator reads it."""
        return json.dumps(
            {
                "format": 1,
                "scenario": str(self.scenario.resolve()),
                "host": self.host,
                "load": {"kind": self.load.kind, "size": self.load.size},
                "seed": self.seed,
                "warmup_slice_s": self.warmup_slice_s,
                "warmup_limit_s": self.warmup_limit_s,
                "window_s": self.window_s,
                "timeout_s": TIMEOUT_S,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the generator saw; moments are readings of perf_counter, one clock for all processes."""

    warmup_s: float
    warmup_settled: bool
    start_s: float
    end_s: float
    requests: int
    errors: int
    error_reasons: Mapping[str, int]
    bodies_checked: int
    retries: int
    response: Histogram
    in_flight_mean: float
    delay_s: float | None  # run-queue delay in the window
    offered: int | None
    opened: int | None
    kept: int | None


class Generator(Protocol):
    """A generator that is started and waits for its job."""

    pid: int

    def measure(self, job: Job) -> Figures:
        """Do the job and give its figures; UsageError or MachineError where it cannot."""
        ...


class Driver(Protocol):
    """Starts generators."""

    name: str

    def start(self, placement: Placement) -> contextlib.AbstractContextManager[Generator]:
        """Start one on its CPUs; on leaving it is ended."""
        ...


@dataclass(slots=True)
class _Process:
    pid: int
    process: subprocess.Popen[bytes]
    log: Path

    def measure(self, job: Job) -> Figures:
        require_open_files(job.load.size)
        limit = job.warmup_limit_s + job.window_s + SPARE_S
        try:
            answer, _ = self.process.communicate(job.document().encode(), timeout=limit)
        except subprocess.TimeoutExpired as error:
            raise MachineError(
                f"The load generator did not end within {limit:.0f} s: {last_lines(self.log)}"
            ) from error
        try:
            document = json.loads(answer.splitlines()[-1])
        except (ValueError, IndexError) as error:
            raise MachineError(
                f"The load generator ended with exit code {self.process.returncode} and no figures: "
                f"{last_lines(self.log)}"
            ) from error
        return read(document)


@dataclass(slots=True)
class Locust:
    """Starts `python -m gatebench.load`."""

    scratch: Path
    name: str = "locust"

    @contextlib.contextmanager
    def start(self, placement: Placement) -> Iterator[Generator]:
        """Start the generator; it loads Locust while the server starts, and then waits for its job."""
        log = self.scratch / "generator.log"
        with contextlib.ExitStack() as cleanup:
            with uninterrupted(), log.open("wb") as errors, pinned(placement.generator):
                process = subprocess.Popen(
                    [sys.executable, "-m", "gatebench.load"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=surroundings(),
                    start_new_session=True,
                )
                cleanup.callback(stop, process)
            yield _Process(pid=process.pid, process=process, log=log)


def read(document: Mapping[str, Any]) -> Figures:
    """Read the generator's answer; its own refusal becomes the error it names."""
    if "error" in document:
        kind: type[GatebenchError] = UsageError if document.get("who") == "user" else MachineError
        raise kind(str(document["error"]))
    connections = document["connections"] or {}
    return Figures(
        warmup_s=document["warmup_s"],
        warmup_settled=document["warmup_settled"],
        start_s=document["window_start_s"],
        end_s=document["window_end_s"],
        requests=document["requests"],
        errors=document["errors"],
        error_reasons=document["error_reasons"],
        bodies_checked=document["bodies_checked"],
        retries=document.get("retries", 0),
        response=histogram.from_json(document["response"]),
        in_flight_mean=document["in_flight_mean"],
        delay_s=document["delay_s"],
        offered=connections.get("offered"),
        opened=connections.get("opened"),
        kept=connections.get("kept"),
    )
