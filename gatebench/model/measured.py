"""What was measured: the machine, a run's figures, a session of runs. Missing is `None`, never 0 or -1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gatebench.model.declared import AnyInterface, Setting
from gatebench.model.planned import Gate, Placement, Plan

Status = Literal["ok", "void", "failed"]
# Of a failed run what failed; of a void one "broke": its server kept the contract, and did not keep it under load.
Fault = Literal["contract", "machine", "impossible", "broke"]
Answer = Literal["yes", "no", "untried"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Facts about the host, as far as they decide a comparison; `identity` names no one."""

    identity: str  # digest of the machine's id and hardware; equal only on one machine
    cpu: str
    cpus: int  # usable by this process
    memory_bytes: int
    kernel: str
    system: str
    python: str
    open_files: int  # the limit that children get


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Counts over log-linear buckets of microseconds; gatebench.histogram does the arithmetic."""

    counts: Mapping[int, int]  # bucket -> count, sparse
    total: int
    sum_us: float  # exact sum, so that the mean has no bucket error


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A rate that a search tried, and what came of it."""

    rate_rps: float  # arrivals
    p99_s: float | None  # of the response times
    errors_share: float  # of the arrivals
    achieved_share: float  # answers a second, of the arrivals a second
    held: bool  # whether all of them were within their limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a party used of the machine during the window."""

    cpu_s: float | None = None
    rss_mean_bytes: float | None = None
    rss_peak_bytes: float | None = None
    pss_mean_bytes: float | None = None
    pss_peak_bytes: float | None = None
    processes: int | None = None
    threads: int | None = None
    switches_voluntary: int | None = None
    switches_involuntary: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlGroup:
    """What a container's control group counted in the window; its memory holds page cache."""

    cpu_s: float | None = None
    memory_mean_bytes: float | None = None
    memory_peak_bytes: float | None = None
    throttled_s: float | None = None
    pids: int | None = None  # the most at a time: processes and threads


@dataclass(frozen=True, slots=True, kw_only=True)
class Connects:
    """Fresh connections, opened and asked once each; timed from the first SYN to the first byte of the answer."""

    asked: int
    refused: int
    unanswered: int  # for as long as they were waited for
    times: Histogram  # of those not refused; who was not answered counts with as long as was waited


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """Whether a stack speaks a protocol, found by speaking it."""

    protocol: str  # an entry of gatebench.protocols
    answer: Answer
    why: str  # what was seen
    figure: float | None = None  # where the protocol has one, such as the streams that a worker keeps
    transcript: str | None = None  # what was sent and what came, where the answer is "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One trial as it came out: one JSON line. docs/results.md documents every field."""

    # which trial
    session: str
    number: int
    block: int
    stack: str
    interface: AnyInterface
    profile: str
    scenario: str
    scenario_version: int
    load: str
    backend: str
    seed: int
    started_at: str  # UTC, ISO 8601
    elapsed_s: float | None = None  # the whole trial, start of the server to its end
    placement: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    part: str | None = None  # of the plan; cells are compared within it
    # what became of it
    status: Status = "failed"
    reason: str | None = None  # why it is void or failed
    fault: Fault | None = None  # what kind of failure, where it failed or broke
    warnings: tuple[str, ...] = ()
    limit: str | None = None  # what kept the rate from being higher
    log: str | None = None  # last lines of the server's log, where it failed
    # what the generator saw in the window
    warmup_s: float | None = None
    window_s: float | None = None
    requests: int | None = None  # answered as expected, within the window
    errors: int | None = None
    error_reasons: Mapping[str, int] = field(default_factory=dict)
    bodies_checked: int | None = None
    response: Histogram | None = None
    in_flight_mean: float | None = None  # time average of requests in flight
    overloaded: bool = False  # window shorter than twice the mean response time: times are lower bounds
    answered_by: Mapping[str, int] = field(default_factory=dict)  # of those answered as expected, by whom
    connections_offered: int | None = None
    connections_opened: int | None = None
    connections_kept: int | None = None  # they answered within a second
    connections_late: int | None = None  # they answered later than that
    unopened_reasons: Mapping[str, int] = field(default_factory=dict)  # why connections did not open
    connect_at_rest: Connects | None = None  # fresh connections before the load
    connect_under_load: Connects | None = None  # and in the window, beside it
    capabilities: tuple[Capability, ...] = ()
    # what it saw of arrivals by a clock; the figures above are then of those due within the window
    arrivals_due: int | None = None
    arrivals_ended: int | None = None  # answers, good or bad, that came within the window
    arrivals_overrun: int | None = None  # found no free connection and had to wait for one
    arrivals_unanswered: int | None = None  # errors too
    service: Histogram | None = None  # as response, but from the real send
    search_steps: tuple[Step, ...] = ()  # in the order in which they were tried
    # what it cost
    ready_s: float | None = None  # from start to the first good answer
    server_at_rest: Usage = Usage()  # after the first contract, before the load
    server: Usage = Usage()
    server_group: ControlGroup = ControlGroup()
    generator: Usage = Usage()
    services: Usage = Usage()
    # whether it may be believed; shares of 1
    server_cpu_share: float | None = None  # of its CPUs, by its process tree
    server_busy_share: float | None = None  # of its CPUs, by anything, interrupts included
    server_beside_share: float | None = None  # of its CPUs, by the other arm that was measured at the same time
    generator_cpu_share: float | None = None
    generator_busy_share: float | None = None  # of its CPUs, by anything
    generator_delay_share: float | None = None  # time it was ready to run and did not
    generator_ceiling_share: float | None = None  # of the rate it reaches on a do-nothing server
    generator_send_lag_s: float | None = None  # p99, from the intended send to the real one
    generator_loop_lag_s: float | None = None  # p99, how late its event loop came round
    steal_share: float | None = None  # taken by the hypervisor, over all CPUs placed


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Another session, of which a part of this one's runs are."""

    name: str
    started_at: str
    seed: int
    commit: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One results file: its header and its runs."""

    format_version: int
    name: str
    started_at: str
    plan: Plan
    machine: Machine
    placement: Placement
    backend: str
    commit: str | None  # of the tree that was measured, with "+changes" where it was not clean
    tools: Mapping[str, str]  # tool -> version
    stacks: Mapping[str, Mapping[str, Mapping[str, Setting]]]  # stack -> {"settings": …, "versions": …, "image": …}
    services: Mapping[str, Mapping[str, Setting]]  # service -> settings and version
    ceilings: Mapping[str, float]  # "keep-alive", "close", "websocket" -> requests/s on a do-nothing server
    surroundings: Mapping[str, Setting] = field(default_factory=dict)  # why this backend; engine, network, limits
    scenarios: Mapping[str, str] = field(default_factory=dict)  # scenario -> its title
    waits: Mapping[str, float] = field(default_factory=dict)  # scenario -> seconds that a request waits by design
    declared: Mapping[str, str] = field(default_factory=dict)  # what was declared -> digest of its files
    gate: Gate | None = None  # what was declared, where it is a gate's
    runs: tuple[Run, ...] = ()
    ended_at: str | None = None  # None where the session was killed
    interrupted: bool = False  # stopped by its user, or by the time it was given, before all trials were made
    resumed: tuple[str, ...] = ()  # when it was gone on with, and at which commit
    notices: tuple[str, ...] = ()  # what was found wrong with the file and worked around
    base_from: Origin | None = None  # the session that a gate's base is of, where head is of another
