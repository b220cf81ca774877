"""Where a process's control groups lie and what they say: version 1, version 2, and both beside each other.

Knows the files of cgroups(7), proc(5) and the kernel's cgroup-v2 document. Must not know parties or windows.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PROC = Path("/proc")
ESCAPED = re.compile(rb"\\([0-7]{3})")  # how mountinfo has blanks and backslashes
UNIFIED = ""  # the hierarchy of version 2, where version 1 names its controllers


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a group says at a moment, times and kills since it was made; what it does not say is None."""

    cpu_s: float | None = None
    memory_bytes: int | None = None  # page cache included
    throttled_s: float | None = None
    pids: int | None = None  # processes and threads
    oom_kills: int | None = None


@dataclass(frozen=True, slots=True)
class _Figure:
    controller: str
    file: str
    key: str | None = None  # which line of the file; None where it is one number
    per_second: int = 1  # in what parts of a second a time is counted


V1 = {
    "cpu": _Figure("cpuacct", "cpuacct.usage", per_second=10**9),
    "memory": _Figure("memory", "memory.usage_in_bytes"),
    "throttled": _Figure("cpu", "cpu.stat", "throttled_time", per_second=10**9),
    "pids": _Figure("pids", "pids.current"),
    "oom_kills": _Figure("memory", "memory.oom_control", "oom_kill"),
}
V2 = {
    "cpu": _Figure(UNIFIED, "cpu.stat", "usage_usec", per_second=10**6),
    "memory": _Figure(UNIFIED, "memory.current"),
    "throttled": _Figure(UNIFIED, "cpu.stat", "throttled_usec", per_second=10**6),
    "pids": _Figure(UNIFIED, "pids.current"),
    "oom_kills": _Figure(UNIFIED, "memory.events", "oom_kill"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The control groups of a process, in however many hierarchies: found once, read again and again."""

    places: Mapping[str, tuple[Path, _Figure]]  # figure -> the folder of its hierarchy, and what is read there

    def read(self) -> Sample:
        """Read what the groups say now; one that has vanished says nothing."""
        return Sample(
            cpu_s=self._seconds("cpu"),
            memory_bytes=self._number("memory"),
            throttled_s=self._seconds("throttled"),
            pids=self._number("pids"),
            oom_kills=self._number("oom_kills"),
        )

    def _seconds(self, name: str) -> float | None:
        number = self._number(name)
        return None if number is None else number / self.places[name][1].per_second

    def _number(self, name: str) -> int | None:
        if name not in self.places:
            return None
        folder, figure = self.places[name]
        try:
            text = (folder / figure.file).read_text(encoding="ascii")
            if figure.key is None:
                return int(text)
            return next((int(line.split()[1]) for line in text.splitlines() if line.split()[0] == figure.key), None)
        except (OSError, ValueError, IndexError):
            return None


def of(pid: int, *, proc: Path = PROC) -> Group | None:
    """Find the control groups of a process; None where none can be seen from here.

    A process that nobody put into a group is in the root's, and that one counts the whole machine.
    """
    try:
        paths = dict(_paths(proc / str(pid) / "cgroup"))
        mounts = list(_mounts(proc / "self" / "mountinfo"))
    except OSError:
        return None
    places = {}
    for name, figure in V1.items():
        # A controller is bound to one hierarchy: where that is version 1's, version 2 counts nothing of it.
        kept = figure if figure.controller in paths else V2[name]
        folder = _folder(kept.controller, paths, mounts)
        if folder is not None:
            places[name] = (folder, kept)
    return Group(places=places) if places else None


@dataclass(frozen=True, slots=True)
class _Mount:
    controllers: tuple[str, ...]
    root: PurePosixPath  # what of the hierarchy is mounted
    point: Path


def _folder(controller: str, paths: Mapping[str, PurePosixPath], mounts: list[_Mount]) -> Path | None:
    for mount in mounts:
        path = paths.get(controller)
        if path is not None and controller in mount.controllers and path.is_relative_to(mount.root):
            inside = path.relative_to(mount.root)
            # Outside of our namespace paths begin with "..", which at the mount point would lead elsewhere.
            with contextlib.suppress(OSError):
                if ".." not in inside.parts and (mount.point / inside).is_dir():
                    return mount.point / inside
    return None


def _paths(file: Path) -> Iterator[tuple[str, PurePosixPath]]:
    """Give each controller's path from a process's own file: lines like `4:cpu,cpuacct:/path`, `0::/path`."""
    for line in os.fsdecode(file.read_bytes()).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number.isdecimal() and path.startswith("/"):
            yield from ((controller, PurePosixPath(path)) for controller in controllers.split(","))


def _mounts(file: Path) -> Iterator[_Mount]:
    """Give where control groups are mounted: lines like `36 31 0:33 /root /point rw - cgroup source rw,memory`."""
    for line in file.read_bytes().splitlines():
        before, _, after = line.partition(b" - ")
        fields, kind = before.split(), after.split()
        if len(fields) >= 5 and len(kind) >= 3 and kind[0] in (b"cgroup", b"cgroup2"):
            root, point = map(_unescaped, fields[3:5])
            controllers = os.fsdecode(kind[2]).split(",") if kind[0] == b"cgroup" else [UNIFIED]
            yield _Mount(tuple(controllers), PurePosixPath(root), Path(point))


def _unescaped(field: bytes) -> str:
    return os.fsdecode(ESCAPED.sub(lambda found: bytes([int(found[1], 8) & 0xFF]), field))
