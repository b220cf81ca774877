"""Facts about the host; the placement of CPUs; the limit on open files.

Knows Linux. Must not know plans, stacks or results.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil

from gatebench.errors import MachineError
from gatebench.model import Load, Machine, Placement

SPARE_FILES = 100  # open files beside those of connections


def usable_cpus() -> tuple[int, ...]:
    """Give the CPUs this process may use."""
    return tuple(sorted(os.sched_getaffinity(0)))


def place(cpus: tuple[int, ...], server_cpus: int = 1) -> Placement:
    """Give each party its CPUs: server and generator never share where there are two or more.

    The generator of one process has one CPU; services and the harness have the rest, or the generator's where
    nothing is left. The server has the last ones, since the first serves most interrupts: as many as it wants, as far
    as one is left for the generator and one for the others.
    """
    if len(cpus) == 1:
        return Placement(server=cpus, generator=cpus, services=cpus)
    wanted = max(1, min(server_cpus, len(cpus) - 2))
    server, rest = cpus[-wanted:], cpus[:-wanted]
    generator = rest[-1:]
    return Placement(server=server, generator=generator, services=rest[:-1] or generator)


@contextlib.contextmanager
def pinned(cpus: tuple[int, ...]) -> Iterator[None]:
    """Pin this thread, and what it starts meanwhile, to `cpus`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_open_files() -> int:
    """Raise the soft limit on open files to the hard one and give it; children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # "No limit" is the kernel's own limit.
    return hard if hard != resource.RLIM_INFINITY else int(Path("/proc/sys/fs/nr_open").read_text(encoding="ascii"))


def shortage(connections: int) -> str | None:
    """Say that so many connections do not fit under the limit on open files; None where they do."""
    limit, needed = raise_open_files(), connections + SPARE_FILES
    if limit >= needed:
        return None
    return (
        f"{connections} connections need {needed} open files and the limit here is {limit}; "
        f"run `ulimit -n {needed}` as a user who may raise it, or lower the load in the plan"
    )


def require_open_files(connections: int) -> None:
    """Refuse a load whose connections do not fit under the limit on open files."""
    if lack := shortage(connections):
        raise MachineError(f"{lack}.")


def fitting(load: Load) -> Load:
    """Give a load that holds no more connections than the limit on open files allows; others as they are."""
    most = raise_open_files() - 2 * SPARE_FILES  # the server has files of its own, too
    return replace(load, size=max(1, min(load.size, most))) if load.held else load


def facts() -> Machine:
    """Read what decides a comparison of this machine with itself."""
    cpu = _cpu_model()
    memory = psutil.virtual_memory().total
    known = "|".join((_machine_id(), cpu, str(psutil.cpu_count()), str(memory >> 28)))
    return Machine(
        identity=hashlib.sha256(known.encode()).hexdigest()[:12],
        cpu=cpu,
        cpus=len(usable_cpus()),
        memory_bytes=memory,
        kernel=platform.release(),
        system=_system(),
        python=platform.python_version(),
        open_files=raise_open_files(),
    )


def _machine_id() -> str:
    with contextlib.suppress(OSError):
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()
    return "unknown"


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.machine()


def _system() -> str:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    return "Linux"
