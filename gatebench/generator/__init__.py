"""The load generator from outside: a program of its own, one JSON document in, one JSON document out.

Knows the job and the figures; `process` and `container` start it. Must not import Locust, which patches whoever
imports it, nor know servers or results.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gatebench import histogram
from gatebench.errors import GatebenchError, MachineError, UsageError
from gatebench.model import Histogram, Load, Part, Placement, Scenario, Step

TIMEOUT_S = 10.0  # of one request
SPARE_S = 30.0  # what a job may take beyond its warm-up and window: connecting, and ending
SEARCH_WINDOWS = 24  # the most that a search may take
SEARCH_STEP_S = 2.0  # what a step of a search may take beyond its window
OPENED_PER_S = 400.0  # connections to be held may be opened as slowly as this


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the generator is asked to do."""

    scenario: Path
    host: str  # http://127.0.0.1:port, or https://127.0.0.1:port, whose certificate may be anyone's
    load: Load
    error_limit: float  # share of requests that may fail: a search stays below it
    seed: int
    warmup_slice_s: float
    warmup_limit_s: float
    window_s: float
    window_at_s: float | None = None  # a reading of perf_counter before which the window does not begin

    @classmethod
    def of(cls, part: Part, scenario: Scenario, load: Load, seed: int, host: str) -> Job:
        """Make the job of a trial."""
        return cls(
            scenario=scenario.path,
            host=host,
            load=load,
            error_limit=scenario.error_limit,
            seed=seed,
            warmup_slice_s=part.warmup_slice_s,
            warmup_limit_s=part.warmup_limit_s,
            window_s=part.window_s,
        )

    @property
    def limit_s(self) -> float:
        """How long the generator may take before it is given up."""
        windows_s = self.window_s
        if self.load.kind == "search":
            windows_s = SEARCH_WINDOWS * (self.window_s + SEARCH_STEP_S)
        opening_s = self.load.size / OPENED_PER_S if self.load.kind == "hold" else 0.0
        return self.warmup_limit_s + windows_s + opening_s + SPARE_S

    def document(self) -> str:
        """Spell the job as the generator reads it."""
        return json.dumps(
            {
                "format": 1,
                "scenario": str(self.scenario.resolve()),
                "host": self.host,
                "load": {"kind": self.load.kind, "size": self.load.size},
                "error_limit": self.error_limit,
                "seed": self.seed,
                "warmup_slice_s": self.warmup_slice_s,
                "warmup_limit_s": self.warmup_limit_s,
                "window_s": self.window_s,
                "window_at_s": self.window_at_s,
                "timeout_s": TIMEOUT_S,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """What became of arrivals by a clock, of those that were due within the window."""

    due: int
    ended: int  # answers, good or bad, that came within the window, whenever they were due
    overrun: int  # found no free connection
    unanswered: int
    send_lag_p99_s: float | None
    service: Histogram  # response times from the real send


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
    arrivals: Arrivals | None  # under loads that are paced by a clock
    loop_lag_p99_s: float | None
    steps: tuple[Step, ...]  # of a search
    # Of the requests, by what their answers said in the header that the scenario has counted; empty without one.
    answered_by: Mapping[str, int] = field(default_factory=dict)
    # Of held connections: those that answered later than within a second, and why others did not open.
    late: int | None = None
    unopened: Mapping[str, int] = field(default_factory=dict)


class Generator(Protocol):
    """A generator that is started and waits for its job."""

    @property
    def pids(self) -> tuple[int, ...]:
        """The process from which all others of it descend; none where it cannot be seen from here."""
        ...

    def measure(self, job: Job) -> Figures:
        """Do the job and give its figures; UsageError or MachineError where it cannot."""
        ...


class Driver(Protocol):
    """Starts generators."""

    name: str

    def start(self, placement: Placement) -> contextlib.AbstractContextManager[Generator]:
        """Start one on its CPUs; on leaving it is ended."""
        ...


def answered(answer: bytes, how: str, log: str) -> Figures:
    """Read what a generator wrote before it ended, as `how` says; MachineError where it holds no figures."""
    try:
        document = json.loads(answer.splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise MachineError(f"The load generator {how} and gave no figures: {log}") from error
    return read(document)


def overdue(job: Job, log: str) -> MachineError:
    """Say that a job took longer than it may."""
    return MachineError(f"The load generator did not end within {job.limit_s:.0f} s: {log}")


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
        arrivals=_arrivals(document.get("arrivals")),
        loop_lag_p99_s=document.get("loop_lag_p99_s"),
        steps=tuple(_step(step) for step in document.get("steps") or ()),
        answered_by=document.get("answered_by") or {},
        late=connections.get("late"),
        unopened=connections.get("unopened") or {},
    )


def _arrivals(document: Mapping[str, Any] | None) -> Arrivals | None:
    if document is None:
        return None
    return Arrivals(
        due=document["due"],
        ended=document["ended"],
        overrun=document["overrun"],
        unanswered=document["unanswered"],
        send_lag_p99_s=document["send_lag_p99_s"],
        service=histogram.from_json(document["service"]),
    )


def _step(document: Mapping[str, Any]) -> Step:
    return Step(
        rate_rps=document["rate"],
        p99_s=document["p99_s"],
        errors_share=document["errors_share"],
        achieved_share=document["achieved_share"],
        held=document["held"],
    )
