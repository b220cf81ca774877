"""One measurement: a closed loop in one version of HTTP, from its start to the figures of a window.

Knows jobs and what the kernel says of this process. Must not know stacks, servers or results files.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from gatebench.errors import MachineError
from gatebench.streams.http1 import Http1Opener
from gatebench.streams.http2 import Http2Opener
from gatebench.streams.http3 import Http3Opener
from gatebench.streams.job import FORMAT, Job
from gatebench.streams.lane import Crew

OPENERS: dict[str, type[Http1Opener | Http2Opener | Http3Opener]] = {
    "h1": Http1Opener,
    "h2": Http2Opener,
    "h3": Http3Opener,
}
CONNECTIONS = 4  # that HTTP/2 and HTTP/3 share their requests among, as a browser or a proxy has few to a server
SPARE_FILES = 64
STUCK_S = 10.0  # beyond the sum of its parts, a measurement will not end by itself
TICK_S = 0.01
FEW_TICKS = 100  # of the loop's lateness: fewer have no p99


def measure(job: Job) -> dict[str, Any]:
    """Do the job and give its figures; MachineError where it cannot be done."""
    raise_open_files(job)
    faulthandler.dump_traceback_later(job.warmup_limit_s + job.window_s + STUCK_S, exit=True)
    gc.freeze()  # what is there now stays
    try:
        return asyncio.run(_measured(job))
    finally:
        faulthandler.cancel_dump_traceback_later()


async def _measured(job: Job) -> dict[str, Any]:
    lanes = job.load.size if job.load.kind == "h1" else CONNECTIONS
    crew = Crew(OPENERS[job.load.kind](job), size=job.load.size, lanes=lanes, timeout_s=job.timeout_s)
    crew.begin()
    warmup_s, settled = await crew.seen.warm_up(
        slice_s=job.warmup_slice_s, limit_s=job.warmup_limit_s, sleep=asyncio.sleep
    )
    async with _lateness() as lag:
        queued_s, cpu_s = run_queue_s(), process_time()
        crew.seen.open_window()
        await asyncio.sleep(job.window_s)
        figures = crew.seen.close_window(crew.in_flight_since())
        cpu_s, queued_now_s = process_time() - cpu_s, run_queue_s()
    crew.stop()
    return {
        "format": FORMAT,
        "warmup_s": warmup_s,
        "warmup_settled": settled,
        **figures,
        "cpu_s": cpu_s,
        "delay_s": None if queued_s is None or queued_now_s is None else queued_now_s - queued_s,
        "loop_lag_p99_s": float(np.percentile(lag, 99)) if len(lag) >= FEW_TICKS else None,
        "answered_by": {},
        "connections": None,
        "arrivals": None,
        "steps": None,
    }


@contextlib.asynccontextmanager
async def _lateness() -> AsyncIterator[list[float]]:
    """Write down how late the loop comes round, tick by tick."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            due_s = perf_counter() + TICK_S
            await asyncio.sleep(TICK_S)
            late.append(max(0.0, perf_counter() - due_s))

    ticking = asyncio.create_task(tick())
    try:
        yield late
    finally:
        ticking.cancel()


def run_queue_s() -> float | None:
    """Give the time that this process, of one thread, was ready to run and did not; None where nobody keeps it."""
    try:
        return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except OSError:
        return None


def raise_open_files(job: Job) -> None:
    """Raise this process's limit on open files to what the load needs; MachineError where that is not allowed."""
    need = job.load.size + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != hard < need:
        raise MachineError(
            f"{job.load} needs {need} open files and this machine allows the generator {hard}; "
            f"raise the hard limit (`ulimit -Hn {need}` as root) or take a smaller load"
        )
    if resource.RLIM_INFINITY != soft < need:
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))
