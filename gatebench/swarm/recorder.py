"""What a generator saw, in perf_counter seconds: when warm-up ends, and what fell into a window.

Pure arithmetic over a clock that may be any. Must not know Locust, sockets or what a request is.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TypeAlias

import numpy as np

from gatebench import histogram
from gatebench.model import Histogram

AGREEMENT = 0.10  # two rates agree where they differ by no more of the larger one
REASONS = 10  # distinct ones kept, the last being all others
REASON_CHARACTERS = 120
OTHERS = "other reasons"
UNANSWERED = "not answered while the generator waited for it"

Numbers: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.float64]]"
Which: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.bool_]]"


def agree(rates: Sequence[float]) -> bool:
    """Say whether the last two rates agree; a rate of nothing agrees with none."""
    if len(rates) < 2 or not rates[-1]:
        return False
    before, after = rates[-2:]
    return abs(before - after) <= AGREEMENT * max(before, after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What fell into a window."""

    start_s: float
    end_s: float
    requests: int  # answered as expected
    errors: int
    error_reasons: dict[str, int]
    response: Histogram  # of those answered as expected
    in_flight_mean: float  # time average of requests in flight
    ended: int  # answers, good or bad, that came within the window
    answered_by: dict[str, int]  # of those answered as expected, what a header said, where it is counted


class Window:
    """An open window: what ends while it is open belongs to it, or under an open loop what is due in it."""

    def __init__(self, start_s: float) -> None:
        self._start_s = start_s
        self._began: list[Numbers] = []
        self._took: list[Numbers] = []
        self._by: list[str] = []  # of each of these
        self._reasons: Counter[str] = Counter()
        self._stranded: Counter[str] = Counter()  # those of the reasons that have no time
        self._failed_began = array("d")
        self._failed_took = array("d")
        self._failed_reasons: list[str] = []

    def answered(self, began: Numbers, took: Numbers, by: str) -> None:
        """Take in requests that have ended as expected, in whatever order."""
        self._began.append(began)
        self._took.append(took)
        self._by.append(by)

    def failed(self, began: float, took_s: float, reason: str) -> None:
        """Take in a request that ends now, with an error."""
        self._failed_began.append(began)
        self._failed_took.append(took_s)
        self._failed_reasons.append(self._blame(reason))

    def stranded(self, reason: str) -> None:
        """Take in an error that took no time."""
        self._stranded[self._blame(reason)] += 1

    def _blame(self, reason: str) -> str:
        """Count a reason; give the one by which it is counted."""
        reason = reason[:REASON_CHARACTERS]
        if reason not in self._reasons and len(self._reasons) >= REASONS - 1:
            reason = OTHERS
        self._reasons[reason] += 1
        return reason

    def close(self, end_s: float, in_flight_since: Sequence[float]) -> Seen:
        """Give what ended in the window; requests in flight, given by their starts, count with their age."""
        began, took = _joined(self._began), _joined(self._took)
        within = self._within(began + took, end_s)
        return self._seen(
            end_s,
            within=within,
            response=took[within],
            reasons=self._reasons,
            waiting=np.array(in_flight_since, dtype=float),
        )

    def close_by_due(self, end_s: float, unanswered_since: Sequence[float], now: float) -> Seen:
        """Give what was due in the window; what was not answered by now is an error that took at least that long."""
        due, took = _joined(self._began), _joined(self._took)
        waiting = np.array(unanswered_since, dtype=float)
        within, left = self._within(due, end_s), waiting[self._within(waiting, end_s)]
        reasons = self._stranded + Counter({UNANSWERED: len(left)})
        for at, reason in zip(self._failed_began, self._failed_reasons, strict=True):
            reasons[reason] += self._start_s <= at < end_s
        return self._seen(
            end_s,
            within=within,
            response=np.concatenate([took[within], now - left]),
            reasons=+reasons,
            waiting=waiting,
        )

    def _seen(
        self, end_s: float, *, within: Which, response: Numbers, reasons: Counter[str], waiting: Numbers
    ) -> Seen:
        began, took = _joined(self._began), _joined(self._took)
        failed_began, failed_took = np.array(self._failed_began), np.array(self._failed_took)
        in_flight_s = (
            self._overlap(began, began + took, end_s)
            + self._overlap(failed_began, failed_began + failed_took, end_s)
            + self._overlap(waiting, np.full_like(waiting, end_s), end_s)
        )
        return Seen(
            start_s=self._start_s,
            end_s=end_s,
            requests=int(within.sum()),
            errors=reasons.total(),
            error_reasons=dict(reasons),
            response=histogram.of_seconds(response),
            in_flight_mean=in_flight_s / (end_s - self._start_s),
            ended=int(
                self._within(began + took, end_s).sum() + self._within(failed_began + failed_took, end_s).sum()
            ),
            answered_by=self._answered_by(within),
        )

    def _answered_by(self, within: Which) -> dict[str, int]:
        counts: Counter[str] = Counter()
        at = 0
        for by, took in zip(self._by, self._took, strict=True):
            if by:
                counts[by] += int(within[at : at + len(took)].sum())
            at += len(took)
        return dict(+counts)

    def _within(self, moments: Numbers, end_s: float) -> Which:
        return (moments >= self._start_s) & (moments < end_s)

    def _overlap(self, began: Numbers, ended: Numbers, end_s: float) -> float:
        """Give the seconds within the window, summed."""
        inside = np.minimum(ended, end_s) - np.maximum(began, self._start_s)
        return float(np.maximum(inside, 0).sum())


def _joined(parts: list[Numbers]) -> Numbers:
    return np.concatenate(parts) if parts else np.empty(0)


class Recorder:
    """Hears of requests after they have ended, counts them, and hands them to the window where one is open.

    `flush` has everything handed in that has ended by now.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter, flush: Callable[[], None] = lambda: None) -> None:
        self._clock = clock
        self._flush = flush
        self._good = 0
        self._stranded: list[str] = []
        self._window: Window | None = None

    def answered(self, began: Numbers, took: Numbers, by: str = "") -> None:
        """Take in requests that have ended as expected: when each began, how long it took, what a header said."""
        self._good += len(took)
        if self._window is not None:
            self._window.answered(began, took, by)

    def failed(self, took_s: float, reason: str) -> None:
        """Take in a request that ends now, with an error."""
        if self._window is not None:
            self._window.failed(self._clock() - took_s, took_s, reason)

    def stranded(self, reason: str) -> None:
        """Take in a user that could not begin: an error of the window, however early the user gave up."""
        self._stranded.append(reason)

    @property
    def stranded_users(self) -> int:
        """How many users could not begin."""
        return len(self._stranded)

    def warm_up(self, *, slice_s: float, limit_s: float, sleep: Callable[[float], None]) -> tuple[float, bool]:
        """Wait until the rates of two successive slices agree or none is left; give the time, and which it was."""
        began = self._clock()
        rates: list[float] = []
        for _ in range(max(1, int(limit_s / slice_s + 1e-9))):  # 0.3 / 0.1 is below 3
            rates.append(self.rate(slice_s, sleep))
            if agree(rates):
                return self._clock() - began, True
        return self._clock() - began, False

    def rate(self, slice_s: float, sleep: Callable[[float], None]) -> float:
        """Give the requests/s of the next `slice_s` seconds."""
        self._flush()
        start, before = self._clock(), self._good
        sleep(slice_s)
        self._flush()
        return (self._good - before) / (self._clock() - start)

    def open_window(self) -> None:
        """Begin the window now."""
        self._flush()
        self._window = Window(self._clock())

    def close_window(self, in_flight_since: Callable[[], Sequence[float]] = list) -> Seen:
        """End the window now, as `Window.close` does; RuntimeError where none is open."""
        end_s = self._clock()
        waiting = in_flight_since()
        return self._closed().close(end_s, waiting)

    def close_window_by_due(self, end_s: float, in_flight_since: Callable[[], Sequence[float]] = list) -> Seen:
        """End a window that lasted until then, as `Window.close_by_due` does; RuntimeError where none is open."""
        now = self._clock()
        waiting = in_flight_since()
        return self._closed().close_by_due(end_s, waiting, now)

    def _closed(self) -> Window:
        if self._window is None:
            raise RuntimeError("no window is open")
        self._flush()
        window, self._window = self._window, None
        for reason in self._stranded:
            window.stranded(reason)
        return window
