"""How often the threads of processes were switched: voluntarily, to wait, and involuntarily, to let others run.

Knows the status of threads in Linux's /proc. Must not know parties, windows or what is done with the counts.

The kernel adds the switches of a process up for the process itself only (getrusage(2)); taskstats, which tells
others, is for the privileged. So each thread is read. What a thread did between the last look at it and its end is
lost, and a thread that came and went between two looks was never seen: where threads are short-lived the counts are
lower bounds, and `ended` says how many of those seen have gone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")
COUNTS = re.compile(rb"\nvoluntary_ctxt_switches:\s*(\d+)\nnonvoluntary_ctxt_switches:\s*(\d+)")
STATUS_BYTES = 8192  # more than a status has


class Switches:
    """Counts the switches of processes from look to look; each thread by itself, so that no sum falls as one ends."""

    def __init__(self, proc: Path = PROC) -> None:
        self.voluntary = 0  # since the first look
        self.involuntary = 0
        self.threads = 0  # at the last look, as far as they tell of themselves
        self.processes = 0
        self.ended = 0  # threads that were seen and have gone
        self.told = False  # whether this kernel counts switches for others to see
        self._proc = proc
        self._threads: dict[int, tuple[int, int]] = {}
        self._first = True

    def look(self, pids: Iterable[int]) -> None:
        """Read every thread of these processes; a thread not known before has had all its switches since."""
        seen: dict[int, tuple[int, int]] = {}
        self.processes = 0
        for pid in pids:
            found = self._read(pid)
            self.processes += found is not None
            seen |= found or {}
        for thread, (voluntary, involuntary) in seen.items():
            before = self._threads.get(thread, (voluntary, involuntary) if self._first else (0, 0))
            if before[0] > voluntary or before[1] > involuntary:  # its number was given to another
                before = (0, 0)
                self.ended += 1
            self.voluntary += voluntary - before[0]
            self.involuntary += involuntary - before[1]
        self.ended += len(self._threads.keys() - seen.keys())
        self.threads = len(seen)
        self.told = self.told or bool(seen)
        self._threads = seen
        self._first = False

    def _read(self, pid: int) -> dict[int, tuple[int, int]] | None:
        found = {}
        folder = f"{self._proc}/{pid}/task"
        try:
            threads = os.listdir(folder)  # noqa: PTH208 - 10,000 paths would cost more than what is read
        except OSError:
            return None
        for thread in threads:
            try:
                file = os.open(f"{folder}/{thread}/status", os.O_RDONLY)
            except OSError:
                continue
            try:
                counts = COUNTS.search(os.read(file, STATUS_BYTES))
            except OSError:  # it ended between the two
                continue
            finally:
                os.close(file)
            if counts:
                found[int(thread)] = (int(counts[1]), int(counts[2]))
        return found
