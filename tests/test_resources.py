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
from gatebench.backends.resources import THREADS_SHARE, Watch, _Light, _Pace, at_rest, cpu_clock, tree, usage_now
from gatebench.backends.switches import Switches
from gatebench.machine import pinned, usable_cpus
from gatebench.model import ControlGroup, Placement, Usage

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


# Answers each line it reads, and starts a child from a thread that is not its first.
ANSWERING = """
import subprocess, sys, threading
children = []
start = lambda: children.append(subprocess.Popen([sys.executable, "-c", "__import__('sys').stdin.read()"], stdin=-1))
thread = threading.Thread(target=start)
thread.start()
thread.join()
waiting = [threading.Thread(target=children[0].wait) for _ in range(8)]
[one.start() for one in waiting]
print(children[0].pid, flush=True)
for line in sys.stdin:
    print(line.strip(), flush=True)
children[0].stdin.close()
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
            for _ in range(100):
                assert sorted(tree(process.pid)) == sorted([process.pid, child])
            end = time.perf_counter()
        process.stdin.close()
    assert watch.read(start, end).vanished == ()


@pytest.fixture
def answering() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process of nine threads, with a child, whose number stands beside it."""
    with spawn(ANSWERING) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.stdin.close()


def test_a_child_that_another_thread_started_belongs_to_the_tree(
    answering: tuple[subprocess.Popen[str], int],
) -> None:
    process, child = answering
    assert sorted(tree(process.pid)) == sorted([process.pid, child])
    assert sorted(tree(process.pid, child, process.pid)) == sorted([process.pid, child])


def test_each_time_a_process_waits_is_counted(answering: tuple[subprocess.Popen[str], int]) -> None:
    process, _ = answering
    assert process.stdin is not None
    assert process.stdout is not None
    watch = Watch(everywhere())
    watch.add("server", [process.pid])
    with watch:
        start = time.perf_counter()
        for _ in range(300):
            process.stdin.write("again\n")
            process.stdin.flush()
            assert process.stdout.readline() == "again\n"
    reading = watch.read(start - 60, start + 60)
    usage = reading.usage["server"]
    assert usage.switches_voluntary is not None
    assert usage.switches_voluntary >= 150  # a line may be there before it has waited for it
    assert (usage.threads, usage.processes, reading.threads_ended) == (10, 2, 0)


def test_what_a_tree_holds_now_is_told_without_a_watch(answering: tuple[subprocess.Popen[str], int]) -> None:
    process, child = answering
    usage = usage_now([process.pid])
    assert (usage.threads, usage.processes) == (10, 2)
    assert usage.rss_peak_bytes == usage.rss_mean_bytes
    assert usage.pss_peak_bytes == usage.pss_mean_bytes
    assert 2**20 < (usage.pss_peak_bytes or 0) <= (usage.rss_peak_bytes or 0)
    alone = at_rest([child])
    assert alone is not None
    assert 2**20 < alone < (usage.pss_peak_bytes or 0)


def test_of_what_is_gone_nothing_is_told() -> None:
    with spawn("pass") as process:
        process.wait()
    assert usage_now([process.pid]) == Usage()
    assert at_rest([process.pid]) is None
    assert usage_now([]) == Usage()


def test_what_takes_long_to_look_at_is_looked_at_less_often() -> None:
    pace = _Pace(THREADS_SHARE)
    assert pace.due <= 0
    pace.took(100.0, 0.001)
    assert pace.due == pytest.approx(100.5)
    pace.took(100.0, 0.13)
    assert pace.due == pytest.approx(101.3)


class Threads:
    """A /proc of one process, whose threads have been switched so and so often."""

    def __init__(self, proc: Path) -> None:
        self.proc = proc

    def are(self, **threads: tuple[int, int]) -> None:
        shutil.rmtree(self.proc / "7", ignore_errors=True)
        for name, (voluntary, involuntary) in threads.items():
            folder = self.proc / "7" / "task" / name.strip("t")
            folder.mkdir(parents=True)
            lines = f"Name:\tvoluntary_ctxt_switches:\t9\nvoluntary_ctxt_switches:\t{voluntary}\n"
            (folder / "status").write_text(f"{lines}nonvoluntary_ctxt_switches:\t{involuntary}\n", encoding="ascii")


def test_only_what_was_switched_since_the_first_look_counts(tmp_path: Path) -> None:
    threads, switches = Threads(tmp_path), Switches(tmp_path)
    threads.are(t7=(1000, 100), t8=(50, 5))
    switches.look([7])
    assert (switches.voluntary, switches.involuntary, switches.threads, switches.processes) == (0, 0, 2, 1)
    threads.are(t7=(1010, 101), t8=(52, 5))
    switches.look([7])
    assert (switches.voluntary, switches.involuntary, switches.ended) == (12, 1, 0)


def test_a_thread_that_ends_takes_nothing_with_it_and_is_told_of(tmp_path: Path) -> None:
    threads, switches = Threads(tmp_path), Switches(tmp_path)
    threads.are(t7=(10, 0), t8=(5000, 500))
    switches.look([7])
    threads.are(t7=(11, 0), t8=(5100, 501))
    switches.look([7])
    threads.are(t7=(13, 0))
    switches.look([7])
    assert (switches.voluntary, switches.involuntary) == (103, 1)
    assert (switches.threads, switches.ended) == (1, 1)


def test_all_that_a_new_thread_did_counts_also_under_the_number_of_one_that_ended(tmp_path: Path) -> None:
    threads, switches = Threads(tmp_path), Switches(tmp_path)
    threads.are(t7=(10, 0), t8=(5000, 500))
    switches.look([7])
    threads.are(t7=(10, 0), t8=(3, 1), t9=(4, 2))
    switches.look([7])
    assert (switches.voluntary, switches.involuntary, switches.ended) == (7, 3, 1)


def test_a_kernel_that_does_not_tell_of_switches_is_not_taken_for_one_that_has_none(tmp_path: Path) -> None:
    switches = Switches(tmp_path)
    switches.look([7])
    assert (switches.told, switches.processes) == (False, 0)
    (tmp_path / "7/task/7").mkdir(parents=True)
    (tmp_path / "7/task/7/status").write_text("Name:\tpython\nThreads:\t1\n", encoding="ascii")
    switches.look([7])
    assert (switches.told, switches.processes) == (False, 1)


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
