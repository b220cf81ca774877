"""What is planned: loads, placements, containments, plans, their parts and trials. Knows no figures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self, get_args

Network = Literal["host", "bridge"]
LoadKind = Literal["closed", "hold", "open", "poisson", "search", "h1", "h2", "h3", "speak"]

LOAD_KINDS: tuple[LoadKind, ...] = get_args(LoadKind)
LARGEST_LOAD = 999_999  # users, connections, arrivals a second or milliseconds
STREAMED: tuple[LoadKind, ...] = ("h1", "h2", "h3")  # closed loops of the generator that speaks all three
OPEN_CONNECTIONS = 256  # the most that an open loop uses; an arrival that finds none free waits, and is counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How hard a scenario presses.

    `closed(users)`: each sends the next request when the last one was answered; `hold(connections)`: offered, and
    kept; `open(rate)` and `poisson(rate)`: arrivals a second by a clock, evenly or at random; `search(50ms)`: the
    highest rate of even arrivals whose p99 stays below that; `h1(requests)`, `h2(requests)`, `h3(requests)`: a closed
    loop of so many requests at a time over TLS, in that version of HTTP; `speak(1)`: no load, but each protocol once.
    """

    kind: LoadKind
    size: int  # users, connections offered, arrivals a second, or the limit on p99 in milliseconds

    def __str__(self) -> str:
        """Give the load's one spelling, as results and plans have it: `closed(64)`, `search(50ms)`."""
        return f"{self.kind}({self.size}{'ms' if self.kind == 'search' else ''})"

    @classmethod
    def parse(cls, text: str) -> Load:
        """Read `closed(64)`, `open(500)` or `search(50ms)`; ValueError otherwise."""
        match = re.fullmatch(r"([a-z][a-z0-9]*)\(([1-9][0-9]{0,5})(?:ms)?\)", text)
        loads = (cls(kind=kind, size=int(match[2])) for kind in LOAD_KINDS if match and match[1] == kind)
        load = next(loads, None)
        if load is None or str(load) != text:
            raise ValueError(text)
        return load

    @property
    def paced(self) -> bool:
        """Whether requests are sent by a clock, however slow the answers are: an open loop."""
        return self.kind in ("open", "poisson", "search")

    @property
    def looped(self) -> bool:
        """Whether each request waits for an answer to the one before it: a closed loop."""
        return self.kind == "closed" or self.streamed

    @property
    def streamed(self) -> bool:
        """Whether the generator that speaks every version of HTTP drives it."""
        return self.kind in STREAMED

    @property
    def held(self) -> bool:
        """Whether connections are opened and kept."""
        return self.kind == "hold"

    @property
    def connections(self) -> int:
        """How many connections it uses at most."""
        return OPEN_CONNECTIONS if self.paced else self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Which CPUs each party has; disjoint wherever there are two or more."""

    server: tuple[int, ...]
    generator: tuple[int, ...]
    services: tuple[int, ...]  # database, upstream and the harness itself

    @property
    def shared(self) -> str | None:
        """Say who shares CPUs with whom, or None where all are apart."""
        if set(self.server) & set(self.generator):
            return "server, generator and services share every CPU"
        if set(self.generator) & set(self.services):
            return "services run beside the generator"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One line of a plan: a scenario under a load."""

    scenario: str
    load: Load


@dataclass(frozen=True, slots=True, kw_only=True)
class Containment:
    """How a plan's containers are made and what they may use; nothing of it concerns plain processes."""

    base: str | None = None  # the image that all are built on; python:VERSION-slim where none is named
    network: Network = "host"
    memory_mib: int = 2048
    pids: int = 4096  # processes and threads


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Cells that are compared with each other: every stack under every measure, block by block."""

    name: str  # the plan's, or the plan's and its own: "connections.idle_1000"
    title: str
    stacks: tuple[str, ...]
    measures: tuple[Measure, ...]
    blocks: int
    window_s: float
    warmup_slice_s: float  # warm-up ends when the rates of two successive slices agree
    warmup_limit_s: float
    stage: int = 0  # parts of one stage are interleaved block by block; stages follow each other
    server_cpus: int = 1  # as far as the machine has them
    knock: bool = False  # fresh connections are opened beside the load, and timed


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which cells are measured, how often, and for how long."""

    name: str  # the file's name
    title: str
    parts: tuple[Part, ...]
    seed: int
    python: str | None = None  # the version that stacks run on, "3.13"; None: the harness's own
    container: Containment = Containment()

    @classmethod
    def alone(
        cls,
        *,
        name: str,
        title: str,
        stacks: tuple[str, ...],
        measures: tuple[Measure, ...],
        blocks: int,
        seed: int,
        window_s: float,
        warmup_slice_s: float,
        warmup_limit_s: float,
    ) -> Self:
        """Make a plan of one part, which has its name."""
        part = Part(
            name=name,
            title=title,
            stacks=stacks,
            measures=measures,
            blocks=blocks,
            window_s=window_s,
            warmup_slice_s=warmup_slice_s,
            warmup_limit_s=warmup_limit_s,
        )
        return cls(name=name, title=title, parts=(part,), seed=seed)

    @property
    def stacks(self) -> tuple[str, ...]:
        """Name the stacks of all parts, each once."""
        return tuple(dict.fromkeys(stack for part in self.parts for stack in part.stacks))

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Give the measures of all parts, each once."""
        return tuple(dict.fromkeys(measure for part in self.parts for measure in part.measures))

    @property
    def blocks(self) -> int:
        """Give the largest number of blocks of a part."""
        return max(part.blocks for part in self.parts)

    @property
    def server_cpus(self) -> int:
        """Give the largest number of CPUs that a part wants for its servers."""
        return max(part.server_cpus for part in self.parts)

    def part(self, name: str) -> Part:
        """Give the part of a name; KeyError where there is none."""
        return {part.name: part for part in self.parts}[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A cell to be measured once, on a freshly started server."""

    number: int  # order in the session, from 0
    block: int  # from 0
    part: str  # the name of one of the plan's
    stack: str
    scenario: str
    load: Load
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a gate declares before it measures: its arms, its margins, and how often it looks."""

    base: str  # stack, as runs name it: "base:flask+gunicorn-gthread"
    head: str
    again: str | None  # the base once more, measured beside the base; None where it is not
    arms: Mapping[str, str]  # each of these stacks, in words: "commit 1a2b3c4d5e6f", "threads=32"
    leading: str  # the metric that the gate is about
    margins: Mapping[str, float]  # metric -> share by which it may get worse: 0.025
    looks: tuple[int, ...]  # after how many blocks it is judged; the last is the most there will be
    errors: tuple[float, ...]  # spent on each side at each look; 0.025 in all
    beside: bool  # base and head run at the same time on the same CPUs
    budget_s: float  # for measuring; a confirmation has as much again
    confirm: bool  # a fail counts only where fresh blocks say the same
