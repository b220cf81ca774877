"""The parties of a measurement: do-nothing servers, the generator with its job, and what each used meanwhile.

Knows processes, CPUs and the generator's job. Must not know what is compared with what.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Self

from gatebench import histogram
from gatebench.backends.programs import HOST, last_lines, stop, surroundings, uninterrupted
from gatebench.backends.resources import Watch
from gatebench.bench.outcome import Settings
from gatebench.errors import MachineError
from gatebench.machine import pinned
from gatebench.model import Histogram, Usage

SCENARIOS = Path(__file__).parent / "scenarios"
WARMUP_SLICE_S, WARMUP_LIMIT_S = 0.25, 1.0
TIMEOUT_S = 10.0  # of a request
SPARE_S = 60.0  # what a job may take beyond its window: opening connections, and ending


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers, or some that share a port."""

    pids: tuple[int, ...]
    port: int

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self.port}"


@contextlib.contextmanager
def nothing(cpus: tuple[int, ...], *options: str) -> Iterator[Server]:
    """Start a do-nothing server on its CPUs; on leaving, let it end by itself, and else end it."""
    with contextlib.ExitStack() as cleanup:
        with uninterrupted(), pinned(cpus):
            process = subprocess.Popen(
                [sys.executable, "-m", "gatebench.nothing", *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=surroundings(),
                start_new_session=True,
            )
            cleanup.callback(stop, process)
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        assert process.stdout is not None  # noqa: S101
        words = process.stdout.readline().split()
        if len(words) != 2:
            raise MachineError(f"The do-nothing server did not start (options {' '.join(options) or 'none'}).")
        yield Server((process.pid,), int(words[1]))
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)


@contextlib.contextmanager
def shared(cpus: tuple[int, ...]) -> Iterator[Server]:
    """Start a do-nothing server on each of the CPUs, all on one port."""
    with contextlib.ExitStack() as cleanup:
        first = cleanup.enter_context(nothing(cpus[:1], "--shared"))
        port = "--shared", "--port", str(first.port)
        others = [cleanup.enter_context(nothing((cpu,), *port)) for cpu in cpus[1:]]
        yield Server((*first.pids, *(pid for other in others for pid in other.pids)), first.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a generator saw in its window, and what both sides used in it."""

    figures: Mapping[str, Any]  # the generator's own document
    window_s: float
    response: Histogram
    server: Usage
    generator: Usage
    warmup: Usage  # of the server, before the window: while connections are opened, where they are held

    @classmethod
    def of(cls, figures: Mapping[str, Any], watch: Watch) -> Self:
        """Put a generator's figures and the watch over it together."""
        start_s, end_s = figures["window_start_s"], figures["window_end_s"]
        usage = watch.read(start_s, end_s).usage
        return cls(
            figures=figures,
            window_s=end_s - start_s,
            response=histogram.from_json(figures["response"]),
            server=usage["server"],
            generator=usage["generator"],
            warmup=watch.read(start_s - figures["warmup_s"], start_s).usage["server"],
        )

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return float(self.figures["requests"] / self.window_s)

    @property
    def generator_share(self) -> float:
        """Share of one CPU's time that the generator used, by its own account."""
        return float(self.figures["cpu_s"] / self.window_s)

    @property
    def server_share(self) -> float | None:
        """Share of one CPU's time that the server used."""
        return share(self.server, self.window_s)

    def percentile_s(self, q: float) -> float | None:
        """Give a quantile of the response time; None of too few."""
        return histogram.percentile(self.response, q)


def drive(
    settings: Settings,
    scenario: str,
    server: Server,
    kind: str,
    size: int,
    *,
    window_s: float | None = None,
    warmup_slice_s: float = WARMUP_SLICE_S,
    warmup_limit_s: float = WARMUP_LIMIT_S,
    **load: int,
) -> Measured:
    """Give the generator a job on its CPUs and take its figures; MachineError where it has none."""
    job = {
        "format": 1,
        "scenario": str(SCENARIOS / f"{scenario}.py"),
        "host": server.url,
        "load": {"kind": kind, "size": size, **load},
        "seed": 1,
        "warmup_slice_s": warmup_slice_s,
        "warmup_limit_s": warmup_limit_s,
        "window_s": window_s or settings.seconds,
        "timeout_s": TIMEOUT_S,
    }
    command = [sys.executable, "-m", "gatebench.swarm"]
    limit_s = warmup_limit_s + (window_s or settings.seconds) + SPARE_S
    ran = run(
        settings,
        server,
        f"The generator with {scenario}.py",
        command,
        limit_s=limit_s,
        given=json.dumps(job).encode(),
    )
    try:
        figures = json.loads(ran.said.splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise MachineError(f"The generator with {scenario}.py gave no figures: {last_lines(ran.log)}") from error
    if "error" in figures:
        raise MachineError(f"The generator refused {scenario}.py: {figures['error']}")
    return Measured.of(figures, ran.watch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A generator that has ended, and the watch over it."""

    said: bytes
    log: Path
    begun_s: float
    ended_s: float
    watch: Watch


def run(
    settings: Settings, server: Server, name: str, command: Sequence[str], *, limit_s: float, given: bytes = b""
) -> Ran:
    """Run a generator, whosever it is, on the generator's CPUs to its end; MachineError where it takes too long."""
    log = settings.scratch / "generator.log"
    with contextlib.ExitStack() as cleanup:
        with log.open("wb") as errors, uninterrupted(), pinned(settings.placement.generator):
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=surroundings(),
                start_new_session=True,
            )
            cleanup.callback(stop, process)
        watch = Watch(settings.placement)
        watch.add("server", server.pids)
        watch.add("generator", [process.pid])
        begun_s = perf_counter()
        try:
            with watch:
                said, _ = process.communicate(given, timeout=limit_s)
                ended_s = perf_counter()
        except subprocess.TimeoutExpired as error:
            raise MachineError(f"{name} did not end within {limit_s:.0f} s: {last_lines(log)}") from error
    return Ran(said=said, log=log, begun_s=begun_s, ended_s=ended_s, watch=watch)


def share(usage: Usage, window_s: float) -> float | None:
    """Give the share of one CPU's time that was used in a window."""
    return None if usage.cpu_s is None else usage.cpu_s / window_s
