"""A noisy neighbour: a process that keeps its CPU busy in bursts of random length, until its standard input closes.

Knows chance and the clock. Where it runs is up to who starts it.
"""

from __future__ import annotations

import contextlib
import random
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from gatebench.backends.programs import stop, uninterrupted
from gatebench.machine import pinned

BUSY_S, IDLE_S = 0.3, 0.6  # means of the exponential lengths


def described() -> str:
    """Say what it does."""
    return f"busy in bursts of {BUSY_S:g} s with {IDLE_S:g} s between, both exponential in mean, on the server's CPUs"


@contextlib.contextmanager
def beside(cpus: Sequence[int], seed: int) -> Iterator[None]:
    """Have one on each of these CPUs, from entering to leaving."""
    with contextlib.ExitStack() as cleanup:
        for number, cpu in enumerate(cpus):
            with uninterrupted(), pinned((cpu,)):
                process = subprocess.Popen(
                    [sys.executable, "-m", "gatebench.power.neighbour", str(seed + number)],
                    stdin=subprocess.PIPE,
                    start_new_session=True,
                )
                cleanup.callback(stop, process)
        yield


def disturb(seed: int) -> None:
    """Be busy and idle in turn until standard input closes."""
    chance = random.Random(seed)  # noqa: S311 - noise, no secret
    closed = False
    while not closed:
        until = time.perf_counter() + chance.expovariate(1 / BUSY_S)
        while time.perf_counter() < until:
            sum(range(20_000))
        closed = bool(select.select([sys.stdin], [], [], chance.expovariate(1 / IDLE_S))[0])


if __name__ == "__main__":
    disturb(int(sys.argv[1]))
