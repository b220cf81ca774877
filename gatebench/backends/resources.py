"""What process trees use of the machine, sampled from a thread while a trial runs.

Knows Linux's /proc, the clock of each process and a party's control group. Must not know servers, loads or results.
Looking costs, most of all at servers of many threads: what is dear is looked at the less often the longer it takes.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from gatebench.backends import cgroups
from gatebench.backends.memory import memory, status
from gatebench.backends.switches import Switches
from gatebench.model import ControlGroup, Placement, Usage

T = TypeVar("T")

LIGHT_S = 0.05  # CPU clocks and control groups: a few system calls
HEAVY_S = 0.5  # threads and memory, at most so often
THREADS_SHARE = 0.1  # of our time that reading each thread may take: some 10 us a thread
# The kernel keeps a process from mapping memory while it walks its pages, 12 ms where it has 10,000 threads: the
# share of the time in which a server may be held up so must be well below what a p99 shows.
MEMORY_SHARE = 0.005
TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def tree(*pids: int, parents: Mapping[int, int] | None = None) -> list[int]:
    """List processes and all their descendants, as far as they are there; `parents` is a look taken before."""
    parents = _parents() if parents is None else parents
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found: dict[int, None] = {}
    queue = [pid for pid in pids if pid in parents]
    while queue:
        one = queue.pop()
        if one not in found:
            found[one] = None
            queue += children.get(one, ())
    return list(found)


def _parents() -> dict[int, int]:
    """Give every process's parent; threads, of which a process may have 10,000, are not looked at."""
    found = {}
    for entry in os.listdir(PROC):  # noqa: PTH208 - names, and many of them
        if entry.isdecimal():
            with contextlib.suppress(OSError):
                # The name of the program, in brackets, may itself hold brackets and blanks (proc_pid_stat(5)).
                found[int(entry)] = int((PROC / entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
    return found


def cpu_clock(pid: int) -> float | None:
    """Read the CPU-seconds of a process, all its threads, ended ones too, to the nanosecond; None if it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # what clock_getcpuclockid(3) gives
    except OSError:
        return None


@dataclass(frozen=True, slots=True)
class _Light:
    at: float
    cpu_s: Mapping[str, float]  # party -> CPU-seconds of its tree
    cpus: Mapping[int, tuple[float, float]]  # CPU -> idle seconds, stolen seconds
    groups: Mapping[str, cgroups.Sample]  # party -> what its control group says


@dataclass(frozen=True, slots=True)
class _Heavy:
    at: float
    usage: Mapping[str, Usage]  # party, if it was looked at -> its memory, or its threads and switches so far


@dataclass(slots=True)
class _Pace:
    """When to look again: the later, the longer the last look took."""

    share: float  # of the time that looking may take
    due: float = -math.inf

    def took(self, begin: float, took_s: float) -> None:
        self.due = begin + max(HEAVY_S, took_s / self.share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was used between two moments."""

    usage: Mapping[str, Usage]  # party -> what its tree used
    busy_share: Mapping[str, float | None]  # party -> share of its CPUs' time in which anything ran on them
    steal_share: float | None
    vanished: tuple[int, ...]  # processes of the server that ended while it was watched
    threads_ended: int = 0  # of the server, of those seen: where they are many, its switches are a lower bound
    groups: Mapping[str, ControlGroup] = field(default_factory=dict)  # parties with a control group only


class Watch:
    """Watches parties from `__enter__` to `__exit__`; `read` gives what they used between two moments."""

    def __init__(self, placement: Placement) -> None:
        self._parties: dict[str, list[int]] = {}
        self._cpus = {"server": placement.server, "generator": placement.generator, "services": placement.services}
        self._groups: dict[str, cgroups.Group] = {}
        self._trees: dict[str, list[int]] = {}
        self._clocks: dict[str, dict[int, float]] = {}
        self._light: list[_Light] = []
        self._threads: list[_Heavy] = []
        self._memory: list[_Heavy] = []
        self._switches: dict[str, Switches] = {}
        self._threads_pace = _Pace(THREADS_SHARE)
        self._memory_paces: dict[str, _Pace] = {}
        self._vanished: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def add(self, party: str, pids: Iterable[int], group: cgroups.Group | None = None) -> None:
        """Count these processes and their descendants to a party; before the watch starts.

        A party has one control group: the one given last.
        """
        if group is not None:
            self._groups[party] = group
        self._parties.setdefault(party, []).extend(pids)
        self._clocks.setdefault(party, {})
        self._switches.setdefault(party, Switches())
        self._memory_paces.setdefault(party, _Pace(MEMORY_SHARE))

    def __enter__(self) -> Self:
        self._sample(whole=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        due = time.perf_counter()
        while True:
            due = max(due + LIGHT_S, time.perf_counter())  # after a long look, none is made up for
            if self._stop.wait(max(0.0, due - time.perf_counter())):
                break
            self._sample()
        self._sample(whole=True)

    def _sample(self, *, whole: bool = False) -> None:
        """Take a light sample, and of the heavy ones what is due, or all."""
        begin = time.perf_counter()
        threads = whole or self._threads_pace.due <= begin
        walked = [party for party, pace in self._memory_paces.items() if whole or pace.due <= begin]
        if threads or walked:
            parents = _parents()
            for party, pids in self._parties.items():
                now = tree(*pids, parents=parents)
                self._trees[party] = list(dict.fromkeys([*self._trees.get(party, []), *now]))
        self._light.append(self._look())
        if threads:
            self._threads.append(self._look_at_threads())
            self._threads_pace.took(begin, time.perf_counter() - begin)
        for party in walked:
            usage, longest_s = memory(self._trees[party])
            self._memory.append(_Heavy(time.perf_counter(), {party: usage}))
            self._memory_paces[party].took(begin, longest_s)

    def _look(self) -> _Light:
        at = time.perf_counter()
        for party, pids in self._trees.items():
            for pid in pids:
                clock = cpu_clock(pid)
                if clock is not None:
                    self._clocks[party][pid] = clock
                elif party == "server":
                    self._vanished.add(pid)
        clocks = {party: sum(each.values()) for party, each in self._clocks.items()}
        groups = {party: group.read() for party, group in self._groups.items()}
        return _Light(at, clocks, _cpu_times(), groups)

    def _look_at_threads(self) -> _Heavy:
        begin, usage = time.perf_counter(), {}
        for party, pids in self._trees.items():
            switches = self._switches[party]
            switches.look(pids)
            usage[party] = Usage(
                processes=switches.processes,
                threads=switches.threads,
                switches_voluntary=switches.voluntary if switches.told else None,
                switches_involuntary=switches.involuntary if switches.told else None,
            )
        # The threads were read one after the other: on average, in the middle of it.
        return _Heavy((begin + time.perf_counter()) / 2, usage)

    def read(self, start: float, end: float) -> Reading:
        """Give what was used between two readings of perf_counter; after the watch has ended."""
        times = [sample.at for sample in self._light]

        def growth(cpus: Iterable[int], field: int) -> float:
            values = [sum(s.cpus.get(cpu, (0.0, 0.0))[field] for cpu in cpus) for s in self._light]
            return _growth(times, values, start, end)

        busy, placed = {}, {cpu for cpus in self._cpus.values() for cpu in cpus}
        for party, cpus in self._cpus.items():
            idle = growth(cpus, 0) + growth(cpus, 1)
            busy[party] = min(1.0, max(0.0, 1 - idle / (end - start) / len(cpus)))
        return Reading(
            usage={party: self._usage(party, start, end) for party in self._parties},
            busy_share=busy,
            steal_share=growth(placed, 1) / (end - start) / len(placed),
            vanished=tuple(sorted(self._vanished)),
            threads_ended=self._switches["server"].ended if "server" in self._switches else 0,
            groups={party: self._group(party, start, end) for party in self._groups},
        )

    def _usage(self, party: str, start: float, end: float) -> Usage:
        if not self._parties[party]:
            return Usage()
        threads, held = (
            _inside([(sample.at, sample.usage[party]) for sample in samples if party in sample.usage], start, end)
            for samples in (self._threads, self._memory)
        )
        rss, pss = _known(u.rss_peak_bytes for u in held), _known(u.pss_peak_bytes for u in held)
        clocks = [sample.cpu_s[party] for sample in self._light]
        return Usage(
            cpu_s=_growth([sample.at for sample in self._light], clocks, start, end),
            rss_mean_bytes=sum(rss) / len(rss) if rss else None,
            rss_peak_bytes=max(rss, default=None),
            pss_mean_bytes=sum(pss) / len(pss) if pss else None,
            pss_peak_bytes=max(pss, default=None),
            processes=max(u.processes or 0 for u in threads) or None,
            threads=max(u.threads or 0 for u in threads) or None,
            switches_voluntary=self._switched(party, lambda usage: usage.switches_voluntary, start, end),
            switches_involuntary=self._switched(party, lambda usage: usage.switches_involuntary, start, end),
        )

    def _switched(self, party: str, count: Callable[[Usage], int | None], start: float, end: float) -> int | None:
        samples = [(sample.at, count(sample.usage[party])) for sample in self._threads]
        growth = _growth_known([(at, value) for at, value in samples if value is not None], start, end)
        return None if growth is None else round(growth)

    def _group(self, party: str, start: float, end: float) -> ControlGroup:
        memory = _inside(self._said(party, lambda sample: sample.memory_bytes), start, end)
        pids = _inside(self._said(party, lambda sample: sample.pids), start, end)
        return ControlGroup(
            cpu_s=_growth_known(self._said(party, lambda sample: sample.cpu_s), start, end),
            memory_mean_bytes=sum(memory) / len(memory) if memory else None,
            memory_peak_bytes=max(memory, default=None),
            throttled_s=_growth_known(self._said(party, lambda sample: sample.throttled_s), start, end),
            pids=max(pids, default=None),
        )

    def _said(self, party: str, figure: Callable[[cgroups.Sample], T | None]) -> list[tuple[float, T]]:
        # A group that vanished as its container ended has no figures from then on: those before it count.
        found = [(light.at, figure(light.groups[party])) for light in self._light]
        return [(at, value) for at, value in found if value is not None]


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def usage_now(pids: Iterable[int]) -> Usage:
    """Give what these processes and their descendants hold now: memory in bytes, threads and processes.

    Means and peaks are the same, of this one moment. What is untold is None, memory as soon as one does not tell.
    """
    family = tree(*pids)
    threads = [found["Threads"] for pid in family if "Threads" in (found := status(PROC / str(pid) / "status"))]
    held, _ = memory(family)
    return replace(held, threads=sum(threads) or None, processes=len(threads) or None)


def at_rest(pids: Iterable[int]) -> float | None:
    """Give the proportional memory of these processes and their descendants now, in bytes; None where untold."""
    return usage_now(pids).pss_peak_bytes


class Unseen:
    """Stands for a watch where parties run on another kernel, and this one's figures would say nothing of them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def read(self, start: float, end: float) -> Reading:  # noqa: ARG002 - as a watch is read
        """Say of every party that nothing is known."""
        parties = ("server", "generator", "services")
        return Reading(
            usage=dict.fromkeys(parties, Usage()),
            busy_share=dict.fromkeys(parties),
            steal_share=None,
            vanished=(),
        )


def _inside(samples: Sequence[tuple[float, T]], start: float, end: float) -> list[T]:
    """Give the samples between two moments; where there is none, as in a short window, the nearest stands for it."""
    inside = [value for at, value in samples if start <= at <= end]
    nearest = sorted(samples, key=lambda sample: abs(sample[0] - (start + end) / 2))[:1]
    return inside or [value for _, value in nearest]


def _growth_known(samples: Sequence[tuple[float, float]], start: float, end: float) -> float | None:
    """Give a counter's growth as `_growth` does; None where fewer than two samples leave it unknown."""
    if len(samples) < 2:
        return None
    return _growth([at for at, _ in samples], [value for _, value in samples], start, end)


def _growth(times: Sequence[float], values: Sequence[float], start: float, end: float) -> float:
    """Give the growth of a counter between two moments, interpolated between its samples."""
    low, high = np.interp((start, end), times, values)
    return max(0.0, float(high - low))


def _cpu_times() -> dict[int, tuple[float, float]]:
    """Read each CPU's idle and stolen seconds from /proc/stat (proc(5)).

    Idle time is kept exactly, busy time by ticks: so what is not idle is taken as busy, interrupts included.
    """
    found = {}
    for line in (PROC / "stat").read_text(encoding="ascii").splitlines():
        if line.startswith("cpu") and line[3].isdigit():
            name, *ticks = line.split()
            _user, _nice, _system, idle, iowait, _irq, _softirq, steal, *_ = map(int, ticks)
            found[int(name[3:])] = ((idle + iowait) / TICKS, steal / TICKS)
    return found
