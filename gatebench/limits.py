"""What this machine allows a server: threads, memory maps, memory, open files, local ports.

Knows /proc, control groups and resource limits, and what programs log as they run into one. Must not know stacks,
loads or results.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gatebench.backends import cgroups

PROC = Path("/proc")
NO_LIMIT = 2**60  # version 1 of control groups has a number that says "none"
MAPS_A_THREAD = 2  # its stack and the page that guards it; its interpreter may well take more
THREAD_BYTES = 32 * 2**10  # the kernel's stack and the first pages of its own: no thread of Python's takes less
SPARE = 100  # what a server has besides: its program, libraries, files
MEMORY_LIMIT = {"memory.current": "memory.max", "memory.usage_in_bytes": "memory.limit_in_bytes"}

SAID = {
    "can't start new thread": "threads",
    "cannot start new thread": "threads",
    "failed to spawn thread": "threads",
    "pthread_create": "threads",
    "too many open files": "files",
    "cannot allocate memory": "memory",
    "memoryerror": "memory",
    "out of memory": "memory",
    "cannot assign requested address": "ports",
}
AGAIN = (
    "resource temporarily unavailable"  # said of what could not be started, but also of a socket with nothing to read
)
STARTING = ("fork", "thread", "spawn", "clone")


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit: whose, how much it allows, and how much of that is taken."""

    name: str
    most: int
    used: int = 0
    bytes: bool = False  # whether it is memory

    @property
    def left(self) -> int:
        """What may still be had."""
        return max(0, self.most - self.used)

    def amount(self, number: int) -> str:
        """Write a number of what is limited."""
        return f"{number / 2**20:,.0f} MiB" if self.bytes else f"{number:,}"

    def __str__(self) -> str:
        taken = f" ({self.amount(self.used)} are in use)" if self.used else ""
        return f"{self.name} allows {self.amount(self.most)}{taken}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a server may have here; what is not limited, or not told, is not in it."""

    tasks: tuple[Bound, ...] = ()  # processes and threads together, tightest first
    maps: Bound | None = None  # of one process
    memory: tuple[Bound, ...] = ()  # bytes, tightest first
    open_files: Bound | None = None  # of one process
    ports: Bound | None = None  # from which one address can connect to one other and its port
    backlog: Bound | None = None  # connections that wait to be accepted, of one socket


def limits(*, proc: Path = PROC, user: int | None = None) -> Limits:
    """Read the limits that a child of this process has, as of now; `user` is its number, ours by default.

    Limits on the number of processes do not hold for root. A container's own limits are not among them.
    """
    tasks = [*_tasks(proc, os.getuid() if user is None else user), *_group(proc, "pids")]
    memory = [*_memory(proc), *_group(proc, "memory")]
    low, high = _numbers(proc / "sys/net/ipv4/ip_local_port_range", 2) or (1, 0)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return Limits(
        tasks=tuple(sorted(tasks, key=lambda bound: bound.left)),
        maps=_sysctl(proc, "vm.max_map_count"),
        memory=tuple(sorted(memory, key=lambda bound: bound.left)),
        # "No limit" is the kernel's own limit.
        open_files=_sysctl(proc, "fs.nr_open") if hard == resource.RLIM_INFINITY else Bound("ulimit -Hn", hard),
        ports=Bound("net.ipv4.ip_local_port_range", high - low + 1) if high >= low else None,
        backlog=_sysctl(proc, "net.core.somaxconn"),
    )


def forbids(found: Limits, *, threads: int | None, connections: int) -> str | None:
    """Say in a sentence which limit keeps a server from so many threads or connections; None where none is known to.

    `threads` is None where their number is not bound to anything. A limit that is near may still be hit: only what
    cannot go is forbidden.
    """
    who = f"{connections:,} connections"
    # Local ports are not among them: each address that the generator sends from has its own.
    needs: list[tuple[str, int, str, Bound | None]] = [(who, connections + SPARE, "open files", found.open_files)]
    if threads is not None:
        who = f"{threads:,} threads"
        needs += [
            *((who, threads, "places among processes and threads", bound) for bound in found.tasks),
            (who, threads * MAPS_A_THREAD + SPARE, "memory maps", found.maps),
            *((who, threads * THREAD_BYTES, "of memory", bound) for bound in found.memory),
        ]
    for who, need, what, bound in needs:
        if bound is not None and bound.left < need:
            return f"{who} need {bound.amount(need)} {what}, and {bound}."
    return None


def limit_of(log: str, found: Limits | None = None) -> str | None:
    """Say which limit a server ran into, as its log has it, with this machine's numbers; None where it names none."""
    said = log.lower()
    about = next((about for words, about in SAID.items() if words in said), None)
    if about is None and AGAIN in said and any(word in said for word in STARTING):
        about = "threads"
    if about is None:
        return None
    found = limits() if found is None else found
    what, bounds = {
        "threads": ("no further thread or process could be started", (*found.tasks[:1], found.maps)),
        "files": ("no further file or connection could be opened", (found.open_files,)),
        "memory": ("no further memory was to be had", (*found.memory[:1], found.maps)),
        "ports": ("no local port was left for a further connection", (found.ports,)),
    }[about]
    told = " and ".join(str(bound) for bound in bounds if bound)
    return f"{what}; {told}" if told else what


def _tasks(proc: Path, user: int) -> Iterator[Bound]:
    everybody = _everybody(proc)
    for name in ("kernel.threads-max", "kernel.pid_max"):
        if bound := _sysctl(proc, name):
            yield Bound(name, bound.most, everybody)
    most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if user != 0 and most != resource.RLIM_INFINITY:
        yield Bound("ulimit -u", most, _of_user(proc, user))


def _everybody(proc: Path) -> int:
    """Count the tasks of the whole machine: the fourth figure of loadavg is `running/all`."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int((proc / "loadavg").read_text(encoding="ascii").split()[3].partition("/")[2])
    return 0


def _of_user(proc: Path, user: int) -> int:
    count = 0
    for entry in os.listdir(proc):  # noqa: PTH208 - names, and many of them
        if entry.isdecimal():
            with contextlib.suppress(OSError, KeyError, ValueError, IndexError):
                text = (proc / entry / "status").read_text(encoding="utf-8", errors="replace")
                status = dict(line.partition(":")[::2] for line in text.splitlines())
                count += int(status["Threads"]) if int(status["Uid"].split()[0]) == user else 0
    return count


def _memory(proc: Path) -> Iterator[Bound]:
    with contextlib.suppress(OSError, KeyError, ValueError, IndexError):
        text = (proc / "meminfo").read_text(encoding="ascii")
        told = {
            key: int(value.split()[0]) * 1024 for key, _, value in (line.partition(":") for line in text.splitlines())
        }
        yield Bound("this machine's memory", told["MemTotal"], told["MemTotal"] - told["MemAvailable"], bytes=True)


def _group(proc: Path, figure: str) -> Iterator[Bound]:
    """Give what our control group allows, and each above it as far as they can be seen: a child counts to all."""
    group = cgroups.of(os.getpid(), proc=proc)
    if group is None or figure not in group.places:
        return
    folder, kept = group.places[figure]
    file = MEMORY_LIMIT.get(kept.file, "pids.max")
    whose = "this control group"
    for one in (folder, *folder.parents):
        if not (one / "cgroup.procs").exists():
            return
        most, used = _numbers(one / file, 1), _numbers(one / kept.file, 1)
        if most and used and most[0] < NO_LIMIT:
            memory = figure == "memory"
            taken = used[0] - (_cached(one) if memory else 0)
            yield Bound(f"{file} of {whose}", most[0], max(0, taken), bytes=memory)
        whose = "a control group above this one"


def _cached(folder: Path) -> int:
    """Give the bytes of a group's memory that are cached files, which make room for what needs it."""
    with contextlib.suppress(OSError, ValueError):
        lines = (line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        return sum(int(line[1]) for line in lines if line[0] in ("active_file", "inactive_file"))
    return 0


def _sysctl(proc: Path, name: str) -> Bound | None:
    found = _numbers(proc / "sys" / name.replace(".", "/"), 1)
    return Bound(name, found[0]) if found else None


def _numbers(file: Path, count: int) -> tuple[int, ...] | None:
    """Read a file that is so many numbers; None where it is not, as where it says "max"."""
    with contextlib.suppress(OSError, ValueError):
        found = tuple(map(int, file.read_text(encoding="ascii").split()))
        return found if len(found) == count else None
    return None
