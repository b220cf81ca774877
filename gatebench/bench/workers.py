"""How the rate grows with Locust's workers: plain `locust --processes`, one worker against as many as have a core.

Knows Locust's command line and its statistics as JSON. Must not import Locust.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass

import psutil

from gatebench.backends.programs import free_port, last_lines, stop, surroundings, uninterrupted
from gatebench.bench.outcome import Outcome, Settings, at_least, ratios, spread
from gatebench.bench.parties import SCENARIOS, SPARE_S, Server, shared
from gatebench.errors import MachineError
from gatebench.machine import pinned

USERS = 64  # of each worker
LEAST_EACH = 0.9
EDGE_S = 2  # at the start and end of a run, whose seconds are not whole or not at full load
FORK_S = 20.0  # in which Locust must have made its workers


@dataclass(frozen=True, slots=True)
class Cores:
    """Who has which CPUs."""

    servers: tuple[int, ...]
    workers: tuple[int, ...]  # a single one has to do for two workers


def cores(cpus: tuple[int, ...]) -> Cores:
    """Give half of the CPUs to the workers, the rest to as many servers, so that these are not the limit."""
    half = max(1, len(cpus) // 2)
    return Cores(servers=cpus[half:], workers=cpus[:half])


def workers(settings: Settings) -> Outcome:
    """Run Locust with one worker and with several, in turn."""
    if len(settings.cpus) < 2:
        raise MachineError("One CPU is not enough to compare workers: the server would share it with them.")
    who = cores(settings.cpus)
    several = max(2, len(who.workers))
    found = Outcome(
        title=f"Locust's workers: one against {several}, on {len(who.workers)} core(s), plain locust --processes",
        headings=("workers", "cores", "requests/s", "of one worker"),
    )
    rates: dict[int, list[float]] = defaultdict(list)
    with shared(who.servers) as server:
        for turn in range(settings.rounds):
            for count in (1, several):
                settings.told(f"{count} worker(s), round {turn + 1}")
                rate = locust(settings, server, count, who.workers)
                rates[count].append(rate)
                found.records.append({"part": "workers", "workers": count, "round": turn, "rate_rps": rate})
    growth = ratios(rates[several], rates[1])
    found.rows.append(("1", "1", spread(rates[1], ",.0f"), "1"))
    found.rows.append((str(several), str(len(who.workers)), spread(rates[several], ",.0f"), spread(growth)))
    found.notes.append(
        f"{len(who.servers)} do-nothing server(s) on one port, a core each; {USERS} users of EngineUser a worker; "
        "whole seconds from Locust's own statistics"
    )
    if len(who.workers) == 1:
        found.targets.append(at_least("two workers on one core, of one worker", LEAST_EACH, growth, ""))
    else:
        each = [one / several for one in growth]
        found.targets.append(at_least(f"growth with {several} workers, for each", LEAST_EACH, each, ""))
    return found


def locust(settings: Settings, server: Server, count: int, cpus: tuple[int, ...]) -> float:
    """Run plain Locust with so many workers, each on its core; give the requests of a second at full load."""
    log, port, users = settings.scratch / "locust.log", str(free_port()), str(USERS * count)
    seconds = 2 * EDGE_S + max(2, round(settings.seconds))
    command = [sys.executable, "-m", "locust", "-f", str(SCENARIOS / "engine.py"), "-H", server.url, "--headless"]
    command += ["-u", users, "-r", users, "-t", f"{seconds}s", "--processes", str(count)]
    command += ["--master-port", port, "--master-bind-port", port, "--json", "--only-summary"]
    with contextlib.ExitStack() as cleanup, log.open("wb") as errors:
        with uninterrupted(), pinned(cpus):
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=surroundings(),
                start_new_session=True,
            )
            cleanup.callback(stop, process)
        _place(process.pid, count, cpus)
        try:
            said, _ = process.communicate(timeout=seconds + SPARE_S)
        except subprocess.TimeoutExpired as error:
            raise MachineError(f"Locust did not end within {seconds + SPARE_S:.0f} s: {last_lines(log)}") from error
    try:
        entries = json.loads(said.replace(b"[]\n", b""))  # each worker writes what it has after reporting: nothing
        failed = sum(entry["num_failures"] for entry in entries)
        each = _seconds(entries)
    except (ValueError, KeyError, TypeError) as error:
        raise MachineError(f"Locust with {count} worker(s) gave no statistics: {last_lines(log)}") from error
    if failed or not each:
        raise MachineError(f"Locust with {count} worker(s) saw {failed} failures, {len(each)} whole seconds.")
    return sum(each) / len(each)


def _seconds(entries: list[dict[str, dict[str, int]]]) -> list[int]:
    """Give the requests of each whole second, without the first and last ones."""
    counts: dict[int, int] = defaultdict(int)
    for entry in entries:
        for second, number in entry["num_reqs_per_sec"].items():
            counts[int(second)] += number
    return [counts[second] for second in sorted(counts)][EDGE_S:-EDGE_S]


def _place(pid: int, count: int, cpus: tuple[int, ...]) -> None:
    """Give each worker its core once Locust has forked it."""
    until = time.perf_counter() + FORK_S
    with contextlib.suppress(psutil.Error):
        children = psutil.Process(pid).children()
        while len(children) < count and time.perf_counter() < until:
            time.sleep(0.01)
            children = psutil.Process(pid).children()
        for place, child in enumerate(children):
            child.cpu_affinity([cpus[place % len(cpus)]])
