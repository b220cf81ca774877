from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatebench.backends import cgroups
from gatebench.backends.cgroups import Group, Sample
from gatebench.backends.resources import Watch, _Light, cpu_clock, tree
from gatebench.machine import pinned, usable_cpus
from gatebench.model import ControlGroup, Placement

# Burns CPU until a second of its own clock is gone, then says so and waits for its standard input to close.
BURN = """
import sys, time
while time.process_time() < 1.0: pass
print("burnt", time.process_time(), flush=True)
sys.stdin.read()
"""
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])"


# Starts a child, says its pid, and kills it when told to.
KILLER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1)
print(child.pid, flush=True)
input()
child.kill()
child.wait()
print("dead", flush=True)
sys.stdin.read()
"""


# Starts and ends threads without a pause until its standard input closes; a child of it does nothing.
RESTLESS = """
import subprocess, sys, threading
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1)
print(child.pid, flush=True)
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
while not over.is_set():
    some = [threading.Thread(target=lambda: None) for _ in range(20)]
    [one.start() for one in some]
    [one.join() for one in some]
child.stdin.close()
child.wait()
"""


def everywhere() -> Placement:
    cpus = usable_cpus()
    return Placement(server=cpus[-1:], generator=cpus[:1], services=cpus[:1])


def spawn(code: str) -> subprocess.Popen[str]:
    with pinned(usable_cpus()[-1:]):
        return subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    with spawn(PARENT) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def burnt(process: subprocess.Popen[str]) -> float:
    assert process.stdout is not None
    return float(process.stdout.readline().split()[1])


def test_the_cpu_of_a_whole_tree_is_counted(parent: subprocess.Popen[str]) -> None:
    watch = Watch(everywhere())
    watch.add("server", [parent.pid])
    with watch:
        start = time.perf_counter()
        told = burnt(parent)
        end = time.perf_counter()
    reading = watch.read(start, end)
    spent = reading.usage["server"].cpu_s
    assert spent is not None
    # The parent's own start may fall before the first sample; the child burnt a second of its own.
    assert told * 0.9 < spent < told * 1.5
    assert reading.usage["server"].processes == 2
    assert reading.vanished == ()
    assert (reading.busy_share["server"] or 0) > 0.5


def test_memory_threads_and_switches_are_read_of_every_process(parent: subprocess.Popen[str]) -> None:
    watch = Watch(everywhere())
    watch.add("server", [parent.pid])
    with watch:
        start = time.perf_counter()
        burnt(parent)
        end = time.perf_counter()
    usage = watch.read(start, end).usage["server"]
    assert usage.rss_peak_bytes is not None
    assert usage.pss_peak_bytes is not None
    assert 2**20 < usage.pss_peak_bytes <= usage.rss_peak_bytes
    assert usage.threads == 2
    assert usage.switches_voluntary is not None


def test_a_process_that_ends_while_it_is_watched_is_named() -> None:
    with spawn(KILLER) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        child = int(process.stdout.readline())
        watch = Watch(everywhere())
        watch.add("server", [process.pid])
        with watch:
            start = time.perf_counter()
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "dead\n"
            end = time.perf_counter()
        process.stdin.close()
    assert watch.read(start, end).vanished == (child,)


def test_a_window_shorter_than_a_sample_is_read_all_the_same() -> None:
    watch = Watch(everywhere())
    watch.add("server", [os.getpid()])
    with watch:
        start = time.perf_counter()
    reading = watch.read(start, start + 0.001)
    assert reading.usage["server"].cpu_s is not None
    assert reading.usage["server"].pss_peak_bytes is not None


def test_the_clock_of_a_process_that_is_gone_is_none() -> None:
    with spawn("pass") as process:
        process.wait()
    assert cpu_clock(process.pid) is None
    assert tree(process.pid) == []


def test_our_own_clock_agrees_with_pythons() -> None:
    mine = cpu_clock(os.getpid())
    assert mine is not None
    assert abs(mine - time.process_time()) < 0.05


def test_threads_that_come_and_go_are_no_process_that_ended() -> None:
    with spawn(RESTLESS) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        child = int(process.stdout.readline())
        watch = Watch(everywhere())
        watch.add("server", [process.pid])
        with watch:
            start = time.perf_counter()
            for _ in range(300):
                assert sorted(tree(process.pid)) == sorted([process.pid, child])
            end = time.perf_counter()
        process.stdin.close()
    assert watch.read(start, end).vanished == ()


def watched(*samples: Sample | None, party: str = "server") -> Watch:
    """A watch over a party's control group that has ended: a sample at each full second, from 0."""
    watch = Watch(everywhere())
    watch.add("server", [])
    watch.add(party, [], Group(places={}))
    watch._light = [_Light(at, {}, {}, {party: sample or Sample()}) for at, sample in enumerate(samples)]
    return watch


def test_a_groups_counters_are_interpolated_at_the_windows_edges() -> None:
    watch = watched(*(Sample(cpu_s=10 + at, throttled_s=0.5 * at) for at in range(5)))
    group = watch.read(0.5, 3.25).groups["server"]
    assert (group.cpu_s, group.throttled_s) == pytest.approx((2.75, 1.375))


def test_a_groups_memory_and_pids_are_those_of_the_samples_within_the_window() -> None:
    watch = watched(
        *(Sample(memory_bytes=memory, pids=pids) for memory, pids in ((900, 9), (10, 1), (30, 3), (800, 8)))
    )
    assert watch.read(0.5, 2.5).groups == {
        "server": ControlGroup(memory_mean_bytes=20, memory_peak_bytes=30, pids=3),
    }


def test_the_nearest_sample_of_a_group_stands_for_a_window_that_holds_none() -> None:
    watch = watched(*(Sample(memory_bytes=memory, pids=memory) for memory in (1, 2, 3)))
    group = watch.read(1.6, 1.9).groups["server"]
    assert (group.memory_mean_bytes, group.memory_peak_bytes, group.pids) == (3, 3, 3)


def test_a_group_that_vanished_is_read_from_the_samples_before() -> None:
    whole = [Sample(cpu_s=at, throttled_s=0.0, memory_bytes=at, pids=at) for at in (1, 2, 3)]
    group = watched(*whole, None, None).read(0.0, 4.0).groups["server"]
    assert group == ControlGroup(cpu_s=2, throttled_s=0, memory_mean_bytes=2, memory_peak_bytes=3, pids=3)


def test_a_figure_that_no_sample_has_is_none_and_not_0() -> None:
    assert watched(Sample(), Sample()).read(0.0, 1.0).groups == {"server": ControlGroup()}


def test_one_sample_alone_does_not_say_how_a_counter_grew() -> None:
    group = watched(Sample(cpu_s=5, pids=2), None).read(0.0, 1.0).groups["server"]
    assert (group.cpu_s, group.pids) == (None, 2)


def test_a_party_without_a_group_has_none_in_the_reading() -> None:
    watch = Watch(everywhere())
    watch.add("server", [os.getpid()])
    with watch:
        start = time.perf_counter()
    reading = watch.read(start, start + 0.001)
    assert reading.groups == {}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A control group of version 2 for this very process, on a machine that is not this one."""
    (tmp_path / "group").mkdir()
    for path, text in (
        ("mountinfo", f"31 23 0:28 / {tmp_path}/group rw - cgroup2 cgroup2 rw\n"),
        ("cgroup", "0::/\n"),
        ("group/cpu.stat", "usage_usec 1000000\n"),
        ("group/memory.current", "4096\n"),
    ):
        (tmp_path / path).write_text(text, encoding="utf-8")
    for link in ("self", str(os.getpid())):
        (tmp_path / link).symlink_to(tmp_path)
    return tmp_path / "group"


def test_a_group_is_sampled_while_it_is_watched(folder: Path) -> None:
    watch = Watch(everywhere())
    watch.add("server", [os.getpid()], cgroups.of(os.getpid(), proc=folder.parent))
    with watch:
        start = time.perf_counter()
        (folder / "cpu.stat").write_text("usage_usec 4000000\n", encoding="utf-8")
    reading = watch.read(start - 60, start + 60)
    assert reading.groups["server"].cpu_s == 3
    assert reading.groups["server"].memory_peak_bytes == 4096


def test_a_group_that_vanishes_while_it_is_watched_breaks_nothing(folder: Path) -> None:
    watch = Watch(everywhere())
    watch.add("server", [os.getpid()], cgroups.of(os.getpid(), proc=folder.parent))
    with watch:
        start = time.perf_counter()
        shutil.rmtree(folder)
    reading = watch.read(start, start + 0.001)
    assert reading.groups["server"].memory_mean_bytes == 4096
    assert reading.usage["server"].cpu_s is not None
