from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from gatebench.backends.resources import Watch, cpu_clock, tree
from gatebench.machine import pinned, usable_cpus
from gatebench.model import Placement

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
    assert reading.busy_share["server"] > 0.5


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
