"""What process trees use of the machine, sampled from a thread while a trial runs.

Knows Linux's /proc, the clock of each process and a party's control group. Must not know servers, loads or results.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from gatebench.backends import cgroups
from gatebench.model import ControlGroup, Placement, Usage

T = TypeVar("T")

LIGHT_S = 0.05  # CPU clocks and control groups: a few system calls
HEAVY_S = 0.5  # memory, threads and context switches: the kernel walks each process's pages
TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def tree(pid: int) -> list[int]:
    """List a process and all its descendants, as far as they are alive."""
    found, queue = [], [pid]
    while queue:
        one = queue.pop()
        with contextlib.suppress(OSError):
            tasks = list((PROC / str(one) / "task").iterdir())
            found.append(one)
            for task in tasks:
                # A thread that ends just now takes none of its siblings with it.
                with contextlib.suppress(OSError):
                    queue += map(int, (task / "children").read_text().split())
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
    usage: Mapping[str, Usage]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was used between two moments."""

    usage: Mapping[str, Usage]  # party -> what its tree used
    busy_share: Mapping[str, float | None]  # party -> share of its CPUs' time in which anything ran on them
    steal_share: float | None
    vanished: tuple[int, ...]  # processes of the server that ended while it was watched
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
        self._heavy: list[_Heavy] = []
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

    def __enter__(self) -> Self:
        self._sample(heavy=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        due = time.perf_counter()
        for turn in range(1, 1_000_000):
            due += LIGHT_S
            if self._stop.wait(max(0.0, due - time.perf_counter())):
                break
            self._sample(heavy=turn % round(HEAVY_S / LIGHT_S) == 0)
        self._sample(heavy=True)

    def _sample(self, *, heavy: bool) -> None:
        if heavy:
            for party, pids in self._parties.items():
                known = self._trees.get(party, [])
                self._trees[party] = list(dict.fromkeys([*known, *(p for pid in pids for p in tree(pid))]))
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
        self._light.append(_Light(at, clocks, _cpu_times(), groups))
        if heavy:
            self._heavy.append(_Heavy(at, {party: _usage(pids) for party, pids in self._trees.items()}))

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
            groups={party: self._group(party, start, end) for party in self._groups},
        )

    def _usage(self, party: str, start: float, end: float) -> Usage:
        if not self._parties[party]:
            return Usage()
        inside = _inside([(sample.at, sample.usage[party]) for sample in self._heavy], start, end)
        rss, pss = _known(u.rss_peak_bytes for u in inside), _known(u.pss_peak_bytes for u in inside)
        clocks = [sample.cpu_s[party] for sample in self._light]
        all_usage = [sample.usage[party] for sample in self._heavy]
        times = [sample.at for sample in self._heavy]
        return Usage(
            cpu_s=_growth([sample.at for sample in self._light], clocks, start, end),
            rss_mean_bytes=sum(rss) / len(rss) if rss else None,
            rss_peak_bytes=max(rss, default=None),
            pss_mean_bytes=sum(pss) / len(pss) if pss else None,
            pss_peak_bytes=max(pss, default=None),
            processes=max(u.processes or 0 for u in inside) or None,
            threads=max(u.threads or 0 for u in inside) or None,
            switches_voluntary=round(_growth(times, [u.switches_voluntary or 0 for u in all_usage], start, end)),
            switches_involuntary=round(_growth(times, [u.switches_involuntary or 0 for u in all_usage], start, end)),
        )

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


def at_rest(pids: Iterable[int]) -> float | None:
    """Give the proportional memory of these processes and their descendants now, in bytes; None where untold."""
    return _usage([one for pid in pids for one in tree(pid)]).pss_peak_bytes


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


def _usage(pids: Iterable[int]) -> Usage:
    rss: list[float] = []
    pss: list[float] = []
    threads = voluntary = involuntary = processes = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            tasks = [_status(task / "status") for task in (PROC / str(pid) / "task").iterdir()]
            processes += 1
            threads += len(tasks)
            voluntary += sum(task.get("voluntary_ctxt_switches", 0) for task in tasks)
            involuntary += sum(task.get("nonvoluntary_ctxt_switches", 0) for task in tasks)
            rollup = _status(PROC / str(pid) / "smaps_rollup")
            rss += [rollup["Rss"] * 1024] if "Rss" in rollup else []
            pss += [rollup["Pss"] * 1024] if "Pss" in rollup else []
    return Usage(
        rss_peak_bytes=sum(rss) if len(rss) == processes and rss else None,
        pss_peak_bytes=sum(pss) if len(pss) == processes and pss else None,
        processes=processes,
        threads=threads,
        switches_voluntary=voluntary,
        switches_involuntary=involuntary,
    )


def _status(path: Path) -> dict[str, int]:
    found = {}
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            number = value.split()
            if number and number[0].isdigit():
                found[key] = int(number[0])
    return found
