from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from pathlib import Path

import pytest

from gatebench.limits import Bound, Limits, forbids, limit_of, limits

MIB = 2**20
USER = 1234
KERNEL = {
    "sys/kernel/threads-max": "100000\n",
    "sys/kernel/pid_max": "32768\n",
    "sys/vm/max_map_count": "65530\n",
    "sys/fs/nr_open": "1048576\n",
    "sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
    "sys/net/core/somaxconn": "4096\n",
    "loadavg": "0.10 0.20 0.30 2/768 12345\n",
    "meminfo": "MemTotal:       8388608 kB\nMemFree:        1000000 kB\nMemAvailable:   6291456 kB\n",
}


class Kernel:
    """A /proc and a /sys/fs/cgroup of a machine that is not this one."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.sys = folder / "proc", folder / "sys"
        self.keep(self.proc, KERNEL)
        for name in ("self", str(os.getpid())):
            self.keep(self.proc, {f"{name}/cgroup": "", f"{name}/mountinfo": ""})

    def keep(self, folder: Path, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="ascii")

    def group(self, path: str, files: Mapping[str, str]) -> None:
        self.keep(self.sys / path, {"cgroup.procs": "", **files})

    def v2(self, path: str) -> None:
        self.keep(self.proc / str(os.getpid()), {"cgroup": f"0::/{path}\n"})
        self.keep(self.proc / "self", {"mountinfo": f"31 23 0:28 / {self.sys} rw - cgroup2 cgroup2 rw\n"})
        self.group("", {})

    def v1(self, path: str) -> None:
        mounts = ""
        for number, name in enumerate(("pids", "memory")):
            mounts += f"3{number} 23 0:28 / {self.sys}/{name} rw - cgroup cgroup rw,{name}\n"
            self.group(name, {})
        self.keep(self.proc / str(os.getpid()), {"cgroup": f"2:pids:/{path}\n3:memory:/{path}\n0::/\n"})
        self.keep(self.proc / "self", {"mountinfo": mounts})


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def bounds(found: tuple[Bound, ...]) -> dict[str, tuple[int, int]]:
    return {bound.name: (bound.most, bound.used) for bound in found}


def test_what_the_kernel_allows_is_read_with_what_is_taken_of_it(kernel: Kernel) -> None:
    found = limits(proc=kernel.proc, user=0)
    assert bounds(found.tasks) == {"kernel.pid_max": (32768, 768), "kernel.threads-max": (100_000, 768)}
    assert found.tasks[0].name == "kernel.pid_max"
    assert found.maps == Bound("vm.max_map_count", 65530)
    assert found.ports == Bound("net.ipv4.ip_local_port_range", 28232)
    assert found.backlog == Bound("net.core.somaxconn", 4096)
    assert [(bound.most, bound.left) for bound in found.memory] == [(8192 * MIB, 6144 * MIB)]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert found.open_files is not None
    assert found.open_files.most == (1048576 if hard == resource.RLIM_INFINITY else hard)


def test_the_limit_of_a_user_counts_all_its_threads_and_does_not_hold_for_root(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (500, 1000))
    for pid, (user, threads) in {"10": (USER, 30), "11": (USER, 4), "12": (0, 50)}.items():
        kernel.keep(kernel.proc / pid, {"status": f"Name:\tx\nUid:\t{user}\t0\t0\t0\nThreads:\t{threads}\n"})
    assert bounds(limits(proc=kernel.proc, user=USER).tasks)["ulimit -u"] == (500, 34)
    assert "ulimit -u" not in bounds(limits(proc=kernel.proc, user=0).tasks)


def test_of_a_group_of_version_2_each_level_that_limits_counts(kernel: Kernel) -> None:
    kernel.v2("outer/inner")
    kernel.group("outer/inner", {"pids.max": "9000\n", "pids.current": "37\n", "memory.max": "max\n"})
    kernel.group("outer", {"pids.max": "4096\n", "pids.current": "96\n"})
    kernel.keep(kernel.sys / "outer/inner", {"memory.current": f"{MIB}\n"})
    stat = f"anon 5\nactive_file {100 * MIB}\ninactive_file {50 * MIB}\nfile 7\n"
    kernel.keep(
        kernel.sys / "outer",
        {"memory.max": f"{512 * MIB}\n", "memory.current": f"{200 * MIB}\n", "memory.stat": stat},
    )
    found = limits(proc=kernel.proc, user=0)
    assert bounds(found.tasks[:2]) == {
        "pids.max of a control group above this one": (4096, 96),
        "pids.max of this control group": (9000, 37),
    }
    # Cached files make room for what needs it.
    assert found.memory[0] == Bound("memory.max of a control group above this one", 512 * MIB, 50 * MIB, bytes=True)
    assert len(found.memory) == 2


def test_of_groups_of_version_1_each_hierarchy_has_its_limit(kernel: Kernel) -> None:
    kernel.v1("docker/abc")
    kernel.group("pids/docker/abc", {"pids.max": "100\n", "pids.current": "7\n"})
    kernel.group("pids/docker", {"pids.max": "max\n", "pids.current": "8\n"})
    kernel.group(
        "memory/docker/abc",
        {"memory.limit_in_bytes": f"{64 * MIB}\n", "memory.usage_in_bytes": f"{4 * MIB}\n"},
    )
    # The number that says "none".
    kernel.group(
        "memory/docker",
        {"memory.limit_in_bytes": "9223372036854771712\n", "memory.usage_in_bytes": f"{5 * MIB}\n"},
    )
    found = limits(proc=kernel.proc, user=0)
    assert found.tasks[0] == Bound("pids.max of this control group", 100, 7)
    assert len(found.tasks) == 3
    assert found.memory[0] == Bound("memory.limit_in_bytes of this control group", 64 * MIB, 4 * MIB, bytes=True)
    assert len(found.memory) == 2


def test_a_machine_that_tells_nothing_is_not_known_to_forbid_anything(tmp_path: Path) -> None:
    found = limits(proc=tmp_path, user=0)
    assert (found.tasks, found.maps, found.memory, found.ports, found.backlog) == ((), None, (), None, None)
    assert forbids(Limits(), threads=10**6, connections=10**6) is None


def test_this_very_machine_can_be_asked() -> None:
    found = limits()
    assert found.open_files is not None
    assert found.open_files.most > 0
    assert found.tasks
    assert forbids(found, threads=1, connections=1) is None


ROOMY = {
    "tasks": (Bound("kernel.pid_max", 4_000_000),),
    "maps": Bound("vm.max_map_count", 65530),
    "memory": (Bound("this machine's memory", 8192 * MIB, 2048 * MIB, bytes=True),),
    "open_files": Bound("ulimit -Hn", 20_000),
    "ports": Bound("net.ipv4.ip_local_port_range", 100),
}


@pytest.mark.parametrize(
    ("change", "threads", "connections", "said"),
    [
        ({}, 10_000, 10_000, None),
        ({}, None, 19_900, None),
        (
            {"tasks": (Bound("pids.max of this control group", 4096, 37), Bound("kernel.pid_max", 10**6))},
            10_000,
            10_000,
            (
                "10,000 threads need 10,000 places among processes and threads, and pids.max of this control group "
                "allows 4,096 (37 are in use)."
            ),
        ),
        ({}, 33_000, 10, "33,000 threads need 66,100 memory maps, and vm.max_map_count allows 65,530."),
        (
            {"memory": (Bound("memory.max of this control group", 256 * MIB, 10 * MIB, bytes=True),)},
            10_000,
            10_000,
            (
                "10,000 threads need 312 MiB of memory, and memory.max of this control group allows 256 MiB "
                "(10 MiB are in use)."
            ),
        ),
        ({}, 16, 20_000, "20,000 connections need 20,100 open files, and ulimit -Hn allows 20,000."),
        ({}, None, 20_000, "20,000 connections need 20,100 open files, and ulimit -Hn allows 20,000."),
        ({"tasks": (Bound("pids.max of this control group", 4096, 37),)}, None, 10_000, None),
    ],
)
def test_the_limit_that_forbids_it_is_named_with_its_numbers(
    change: Mapping[str, object], threads: int | None, connections: int, said: str | None
) -> None:
    found = Limits(**{**ROOMY, **change})  # type: ignore[arg-type]
    assert forbids(found, threads=threads, connections=connections) == said


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (
            "RuntimeError: can't start new thread",
            (
                "no further thread or process could be started; kernel.pid_max allows 4,000,000 and vm.max_map_count "
                "allows 65,530"
            ),
        ),
        (
            "  File 'x.py' in start | os.fork() | BlockingIOError: [Errno 11] Resource temporarily unavailable",
            (
                "no further thread or process could be started; kernel.pid_max allows 4,000,000 and vm.max_map_count "
                "allows 65,530"
            ),
        ),
        (
            "accept() failed: OSError: [Errno 24] Too many open files",
            "no further file or connection could be opened; ulimit -Hn allows 20,000",
        ),
        (
            "OSError: [Errno 12] Cannot allocate memory",
            (
                "no further memory was to be had; this machine's memory allows 8,192 MiB (2,048 MiB are in use) and "
                "vm.max_map_count allows 65,530"
            ),
        ),
        (
            "connect() failed (99: Cannot assign requested address) while connecting to upstream",
            "no local port was left for a further connection; net.ipv4.ip_local_port_range allows 100",
        ),
        ("sock.recv | BlockingIOError: [Errno 11] Resource temporarily unavailable", None),
        ("Listening at: http://127.0.0.1:8000 | Booting worker with pid: 7", None),
        ("", None),
    ],
)
def test_what_a_log_says_of_a_limit_is_put_in_our_words(log: str, said: str | None) -> None:
    assert limit_of(log, Limits(**ROOMY)) == said  # type: ignore[arg-type]


def test_a_limit_whose_number_is_not_known_is_named_all_the_same() -> None:
    assert limit_of("Too many open files", Limits()) == "no further file or connection could be opened"
