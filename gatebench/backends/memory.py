"""What processes hold in memory, as the kernel adds it up over their pages.

Knows smaps_rollup and the status of processes in Linux's /proc. Must not know parties, windows or when to look.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from gatebench.model import Usage

PROC = Path("/proc")


def memory(pids: Iterable[int]) -> tuple[Usage, float]:
    """Add up what processes hold in memory, and say for how long at most one of them was held up for it."""
    rss: list[float | None] = []
    pss: list[float | None] = []
    longest_s = 0.0
    for pid in pids:
        if "VmRSS" in status(PROC / str(pid) / "status"):  # what has ended holds none
            begin = time.perf_counter()
            rollup = status(PROC / str(pid) / "smaps_rollup")
            longest_s = max(longest_s, time.perf_counter() - begin)
            rss.append(rollup["Rss"] * 1024 if "Rss" in rollup else None)
            pss.append(rollup["Pss"] * 1024 if "Pss" in rollup else None)
    rss_bytes, pss_bytes = _total(rss), _total(pss)
    usage = Usage(
        rss_mean_bytes=rss_bytes, rss_peak_bytes=rss_bytes, pss_mean_bytes=pss_bytes, pss_peak_bytes=pss_bytes
    )
    return usage, longest_s


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def status(path: Path) -> dict[str, int]:
    """Read a file of lines like `Key: 12 kB`: those that begin with a number; none where it cannot be read."""
    found = {}
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            number = value.split()
            if number and number[0].isdigit():
                found[key] = int(number[0])
    return found
