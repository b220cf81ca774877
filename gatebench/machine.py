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
from pathlib import Path

import psutil

from gatebench.errors import MachineError
from gatebench.model import Machine, Placement


def usable_cpus() -> tuple[int, ...]:
    """Give the CPUs this process may use."""
    return tuple(sorted(os.sched_getaffinity(0)))


def place(cpus: tuple[int, ...], server_cpus: int = 1) -> Placement:
    """Give each party its CPUs: server and generator never share where there are two or more.

    The generator of one process has one CPU; services and the harness have the rest, or the generator's where
    nothing is left. The server has the last ones: the first serves most interrupts.
    """
    if len(cpus) == 1:
        return Placement(server=cpus, generator=cpus, services=cpus)
    if server_cpus > len(cpus) - 1:
        raise MachineError(
            f"The plan gives the server {server_cpus} CPUs, and of this machine's {len(cpus)} one must be left for "
            "the generator; lower 'server_cpus' in the plan."
        )
    server, rest = cpus[-server_cpus:], cpus[:-server_cpus]
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


def require_open_files(connections: int, spare: int = 100) -> None:
    """Refuse a load whose connections do not fit under the limit on open files."""
    limit = raise_open_files()
    if limit < connections + spare:
        raise MachineError(
            f"{connections} connections need {connections + spare} open files and the limit here is {limit}; "
            f"run `ulimit -n {connections + spare}` as a user who may raise it, or lower the load in the plan."
        )


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
