from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from gatebench.backends import cgroups
from gatebench.backends.cgroups import Sample
from gatebench.backends.resources import Watch
from gatebench.machine import pinned, usable_cpus
from gatebench.model import Placement

PID = 77
V1 = {
    "cpuacct": {"cpuacct.usage": "2500000000\n"},
    "cpu": {"cpu.stat": "nr_periods 8\nnr_throttled 2\nthrottled_time 750000000\n"},
    "memory": {
        "memory.usage_in_bytes": "4096\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    },
    "pids": {"pids.current": "5\n"},
}
V2 = {
    "cpu.stat": "usage_usec 1500000\nuser_usec 1\nnr_throttled 1\nthrottled_usec 250000\n",
    "memory.current": "8192\n",
    "memory.events": "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n",
    "pids.current": "6\n",
}
ALL_V1 = Sample(cpu_s=2.5, memory_bytes=4096, throttled_s=0.75, pids=5, oom_kills=3)
ALL_V2 = Sample(cpu_s=1.5, memory_bytes=8192, throttled_s=0.25, pids=6, oom_kills=1)

# Burns half a second of CPU and says so in one write, which that of another process cannot part.
CHILD = """
import os, sys, time
while time.process_time() < 0.5: pass
os.write(1, b"burnt\\n")
sys.stdin.read()
"""
# Waits for a line. Then it and a child of it burn half a second of CPU each, and wait for the end of their input.
BURN = f"""
import os, subprocess, sys, time
sys.stdin.readline() or sys.exit()
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}])
end = time.process_time() + 0.5
while time.process_time() < end: pass
os.write(1, b"burnt\\n")
child.wait()
"""


class Machine:
    """A /proc and a /sys/fs/cgroup of a machine that is not this one."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.sys = folder / "sys"
        self.mounts = [f"31 23 0:28 / {self.sys} rw,relatime shared:9 - tmpfs tmpfs rw,mode=755"]
        self.paths: list[str] = []

    def mount(self, name: str, options: str, *, root: str = "/", kind: str = "cgroup") -> None:
        point = str(self.sys / name).replace(" ", "\\040")
        self.mounts.append(f"32 31 0:29 {root} {point} rw,nosuid shared:1 master:2 - {kind} {kind} {options}")

    def keep(self, folder: str, files: Mapping[str, str]) -> Path:
        (self.sys / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (self.sys / folder / name).write_text(text, encoding="utf-8")
        return self.sys / folder

    def v1(self, path: str = "docker/abc") -> None:
        for number, (controller, files) in enumerate(V1.items(), start=2):
            self.mount(controller, f"rw,{controller}")
            self.paths.append(f"{number}:{controller}:/{path}")
            self.keep(f"{controller}/{path}", files)

    def v2(self, path: str = "system.slice/abc.scope", *, point: str = "", files: Mapping[str, str] = V2) -> None:
        self.mount(point, "rw,nsdelegate", kind="cgroup2")
        self.paths.append(f"0::/{path}")
        self.keep(f"{point}/{path}" if point else path, files)

    def of(self, pid: int = PID) -> cgroups.Group | None:
        for folder, file, lines in (("self", "mountinfo", self.mounts), (str(PID), "cgroup", self.paths)):
            (self.proc / folder).mkdir(parents=True, exist_ok=True)
            (self.proc / folder / file).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return cgroups.of(pid, proc=self.proc)

    def read(self) -> Sample:
        group = self.of()
        assert group is not None
        return group.read()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_each_controller_of_version_1_is_read_in_its_own_hierarchy(machine: Machine) -> None:
    machine.v1()
    machine.mount("systemd", "rw,name=systemd")
    machine.paths.append("9:name=systemd:/docker/abc")
    assert machine.read() == ALL_V1


def test_controllers_that_share_a_hierarchy_are_read_there(machine: Machine) -> None:
    machine.mount("cpu,cpuacct", "rw,cpu,cpuacct")
    machine.paths.append("4:cpu,cpuacct:/docker/abc")
    machine.keep("cpu,cpuacct/docker/abc", {**V1["cpu"], **V1["cpuacct"]})
    assert machine.read() == Sample(cpu_s=2.5, throttled_s=0.75)


def test_version_2_is_read_in_its_one_hierarchy(machine: Machine) -> None:
    machine.v2()
    assert machine.read() == ALL_V2


def test_a_controller_of_version_1_wins_over_version_2(machine: Machine) -> None:
    machine.v1()
    machine.v2("docker/abc", point="unified", files={"cpu.stat": "usage_usec 1\n", "pids.current": "1\n"})
    assert machine.read() == ALL_V1


def test_version_2_counts_what_no_controller_of_version_1_does(machine: Machine) -> None:
    machine.mount("memory", "rw,memory")
    machine.paths.append("4:memory:/docker/abc")
    machine.keep("memory/docker/abc", V1["memory"])
    machine.v2("docker/abc", point="unified")
    assert machine.read() == Sample(cpu_s=1.5, memory_bytes=4096, throttled_s=0.25, pids=6, oom_kills=3)


def test_version_2_does_not_stand_in_for_a_version_1_that_cannot_be_seen(machine: Machine) -> None:
    machine.paths.append("4:cpuacct:/docker/abc")
    machine.v2("", point="unified")
    assert machine.read().cpu_s is None


def test_only_what_is_mounted_of_a_hierarchy_is_below_its_mount_point(machine: Machine) -> None:
    machine.mount("memory", "rw,memory", root="/docker/abc")
    machine.paths.append("4:memory:/docker/abc/inner")
    machine.keep("memory/inner", V1["memory"])
    assert machine.read() == Sample(memory_bytes=4096, oom_kills=3)


def test_a_mount_that_does_not_hold_the_group_is_passed_over(machine: Machine) -> None:
    machine.mount("other", "rw,memory", root="/docker/ab")
    machine.mount("memory", "rw,memory")
    machine.paths.append("4:memory:/docker/abc")
    machine.keep("memory/docker/abc", V1["memory"])
    assert machine.read().memory_bytes == 4096


def test_a_group_outside_of_our_namespace_is_not_looked_for_beside_the_mount(machine: Machine) -> None:
    machine.mount("memory", "rw,memory")
    machine.keep("memory", {})
    machine.keep("abc", V1["memory"])
    machine.paths.append("4:memory:/../abc")
    assert machine.of() is None


def test_a_group_outside_of_our_namespace_is_found_where_it_is_mounted(machine: Machine) -> None:
    machine.mount("memory", "rw,memory", root="/..")
    machine.keep("memory/abc", V1["memory"])
    machine.paths.append("4:memory:/../abc")
    assert machine.read().memory_bytes == 4096


def test_blanks_in_a_mount_point_and_colons_in_a_path_are_no_separators(machine: Machine) -> None:
    machine.v2("a:b c", point="one two")
    assert machine.read() == ALL_V2


@pytest.mark.parametrize(
    ("file", "lost"),
    [
        ("cpuacct/docker/abc/cpuacct.usage", "cpu_s"),
        ("cpu/docker/abc/cpu.stat", "throttled_s"),
        ("memory/docker/abc/memory.usage_in_bytes", "memory_bytes"),
        ("memory/docker/abc/memory.oom_control", "oom_kills"),
        ("pids/docker/abc/pids.current", "pids"),
    ],
)
@pytest.mark.parametrize(
    "text", [None, "", "max\n", "\n\n", "oom_kill\nthrottled_time\n", "oom_kill x\n", "\xff\x00"]
)
def test_a_figure_that_is_missing_or_garbled_is_none_and_the_others_stay(
    machine: Machine, file: str, lost: str, text: str | None
) -> None:
    machine.v1()
    path = machine.sys / file
    path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    said = machine.read()
    expected = {name: getattr(ALL_V1, name) for name in Sample.__slots__}
    assert {name: getattr(said, name) for name in Sample.__slots__} == {**expected, lost: None}


def test_version_2_without_its_controllers_says_only_what_it_always_counts(machine: Machine) -> None:
    machine.v2(files={"cpu.stat": "usage_usec 1500000\nuser_usec 1\n"})
    assert machine.read() == Sample(cpu_s=1.5)


def test_garbage_among_the_lines_of_proc_is_passed_over(machine: Machine) -> None:
    machine.mounts += ["", "x", "1 2 3", "1 2 3 / - cgroup", "1 2 0:3 / /nowhere rw - cgroup", " - - "]
    machine.paths += ["", "x", "4", "4:memory", "x:pids:/docker/abc", "5:cpu:no/slash", "::"]
    machine.v2()
    assert machine.read() == ALL_V2


def test_a_process_that_is_gone_has_no_group(machine: Machine) -> None:
    machine.v1()
    assert machine.of(PID + 1) is None


def test_where_nothing_is_mounted_there_is_no_group(machine: Machine) -> None:
    machine.paths = ["4:memory:/docker/abc", "0::/docker/abc"]
    assert machine.of() is None


def test_a_group_that_was_removed_before_is_no_group(machine: Machine) -> None:
    machine.v2()
    machine.paths = ["0::/gone (deleted)"]
    assert machine.of() is None


def test_a_group_that_vanishes_says_nothing_any_more(machine: Machine) -> None:
    machine.v1()
    group = machine.of()
    assert group is not None
    assert group.read() == ALL_V1
    shutil.rmtree(machine.sys)
    assert group.read() == Sample()


def test_our_own_group_is_found_where_this_machine_has_any() -> None:
    group = cgroups.of(os.getpid())
    if group is None:
        pytest.skip("no control group of this process can be seen")
    said = group.read()
    assert said.cpu_s is None or said.cpu_s > 0
    assert said.memory_bytes is None or said.memory_bytes > 2**20


@pytest.fixture
def burner() -> Iterator[subprocess.Popen[str]]:
    """A process, not burning yet, in control groups of its own: below those the tests are in.

    Version 1's memory hierarchy is left alone. The tests may be in someone's group there, and neither its limit nor
    its removal is theirs to meddle with; that group's figures are read as they are.
    """
    with contextlib.ExitStack() as cleanup, pinned(usable_cpus()[-1:]):
        # The groups are removed last, when no process is in them.
        process = subprocess.Popen([sys.executable, "-c", BURN], stdin=-1, stdout=-1, text=True)
        groups = cleanup.enter_context(contextlib.ExitStack())
        cleanup.enter_context(process)
        own = cgroups.of(process.pid)
        if own is None:
            pytest.skip("no control group can be seen here")
        for parent in {folder for folder, figure in own.places.values() if figure.controller != "memory"}:
            child = parent / f"gatebench-test-{process.pid}"
            try:
                child.mkdir()
                groups.callback(child.rmdir)
                (child / "cgroup.procs").write_text(str(process.pid), encoding="ascii")
            except OSError as error:
                pytest.skip(f"no control group can be made here: {error}")
        yield process


@pytest.mark.server
def test_a_real_group_used_as_much_cpu_as_the_processes_in_it(burner: subprocess.Popen[str]) -> None:
    assert burner.stdin is not None
    assert burner.stdout is not None
    group = cgroups.of(burner.pid)
    cpus = usable_cpus()
    watch = Watch(Placement(server=cpus[-1:], generator=cpus[:1], services=cpus[:1]))
    watch.add("server", [burner.pid], group)
    with watch:
        start = time.perf_counter()
        burner.stdin.write("burn\n")
        burner.stdin.flush()
        assert [burner.stdout.readline() for _ in range(2)] == ["burnt\n"] * 2
        end = time.perf_counter()
    reading = watch.read(start, end)
    tree, counted = reading.usage["server"], reading.groups["server"]
    if counted.cpu_s is None:
        pytest.skip("nothing counts CPU-seconds of a group here")
    assert tree.cpu_s is not None
    assert tree.cpu_s > 0.9
    assert counted.cpu_s == pytest.approx(tree.cpu_s, rel=0.05)
    assert counted.pids in (2, None)
    assert counted.throttled_s in (0, None)
    assert counted.memory_peak_bytes is None or counted.memory_peak_bytes > 2**20
