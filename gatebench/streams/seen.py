"""What came of the requests, in perf_counter seconds: when warm-up ends, and what fell into the window.

Arithmetic over a clock. Must not know sockets or what a request is.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from gatebench import histogram

AGREEMENT = 0.10  # two rates agree where they differ by no more of the larger one
REASONS = 10  # distinct ones kept, the last being all others
REASON_CHARACTERS = 120
OTHERS = "other reasons"


def agree(rates: Sequence[float]) -> bool:
    """Say whether the last two rates agree; a rate of nothing agrees with none."""
    if len(rates) < 2 or not rates[-1]:
        return False
    before, after = rates[-2:]
    return abs(before - after) <= AGREEMENT * max(before, after)


class Ended:
    """Requests that have ended: when each began, and how long it took."""

    def __init__(self) -> None:
        self.began = array("d")
        self.took = array("d")

    def add(self, began_s: float, took_s: float) -> None:
        """Take one in."""
        self.began.append(began_s)
        self.took.append(took_s)

    def within_s(self, start_s: float, end_s: float) -> float:
        """Give the seconds that they were in flight between two moments, summed."""
        began = np.array(self.began)
        inside = np.minimum(began + np.array(self.took), end_s) - np.maximum(began, start_s)
        return float(np.maximum(inside, 0).sum())


class Seen:
    """Counts all requests, and keeps those that end while a window is open."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._good = 0
        self._retries = 0
        self._start_s: float | None = None

    def answered(self, began_s: float, now_s: float) -> None:
        """Take in a request that was answered as expected."""
        self._good += 1
        if self._start_s is not None:
            self._answered.add(began_s, now_s - began_s)

    def failed(self, began_s: float, now_s: float, reason: str) -> None:
        """Take in a request that was not."""
        if self._start_s is not None:
            reason = reason[:REASON_CHARACTERS]
            if reason not in self._reasons and len(self._reasons) >= REASONS - 1:
                reason = OTHERS
            self._reasons[reason] += 1
            self._failed.add(began_s, now_s - began_s)

    def again(self) -> None:
        """Take in that a request, which the server has not heard, is sent again."""
        self._retries += 1

    async def warm_up(
        self, *, slice_s: float, limit_s: float, sleep: Callable[[float], Awaitable[None]]
    ) -> tuple[float, bool]:
        """Wait until the rates of two successive slices agree or none is left; give the time, and which it was."""
        began_s = self._clock()
        rates: list[float] = []
        for _ in range(max(1, int(limit_s / slice_s + 1e-9))):  # 0.3 / 0.1 is below 3
            start_s, before = self._clock(), self._good
            await sleep(slice_s)
            rates.append((self._good - before) / (self._clock() - start_s))
            if agree(rates):
                return self._clock() - began_s, True
        return self._clock() - began_s, False

    def open_window(self) -> None:
        """Begin the window now."""
        self._answered, self._failed = Ended(), Ended()
        self._reasons: Counter[str] = Counter()
        self._retries = 0
        self._start_s = self._clock()

    def close_window(self, in_flight_since: Iterable[float]) -> dict[str, Any]:
        """End the window now and give its figures; RuntimeError where none is open."""
        if self._start_s is None:
            raise RuntimeError("no window is open")
        start_s, end_s = self._start_s, self._clock()
        self._start_s = None
        waiting_s = sum(max(0.0, end_s - max(began_s, start_s)) for began_s in in_flight_since)
        in_flight_s = waiting_s + sum(ended.within_s(start_s, end_s) for ended in (self._answered, self._failed))
        requests = len(self._answered.took)
        return {
            "window_start_s": start_s,
            "window_end_s": end_s,
            "requests": requests,
            "errors": self._reasons.total(),
            "error_reasons": dict(self._reasons),
            "bodies_checked": requests,  # all of them
            "retries": self._retries,
            "response": histogram.to_json(histogram.of_seconds(np.array(self._answered.took))),
            "in_flight_mean": in_flight_s / (end_s - start_s),
        }
