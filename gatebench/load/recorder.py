"""What a generator saw, in perf_counter seconds: when warm-up ends, and what fell into the window.

Pure arithmetic over a clock that may be any. Must not know Locust, sockets or what a request is.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter

from gatebench import histogram
from gatebench.model import Histogram

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


class Window:
    """An open window: what ends while it is open belongs to it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._start_s = clock()
        self._took_s = array("d")
        self._in_flight_s = 0.0  # integral of the requests in flight since the start
        self._reasons: Counter[str] = Counter()

    def answered(self, took_s: float) -> None:
        """Take in a request that ends now, as expected."""
        self._took_s.append(took_s)
        self._in_flight_s += min(took_s, self._clock() - self._start_s)

    def failed(self, took_s: float, reason: str) -> None:
        """Take in a request that ends now, with an error."""
        self._in_flight_s += min(took_s, self._clock() - self._start_s)
        reason = reason[:REASON_CHARACTERS]
        if reason not in self._reasons and len(self._reasons) >= REASONS - 1:
            reason = OTHERS
        self._reasons[reason] += 1

    def close(self, in_flight_since: Iterable[float]) -> Seen:
        """End the window now; requests still in flight, given by their starts, count with their age."""
        end_s = self._clock()
        waiting_s = sum(end_s - max(start, self._start_s) for start in in_flight_since)
        return Seen(
            start_s=self._start_s,
            end_s=end_s,
            requests=len(self._took_s),
            errors=self._reasons.total(),
            error_reasons=dict(self._reasons),
            response=histogram.of_seconds(self._took_s),
            in_flight_mean=(self._in_flight_s + waiting_s) / (end_s - self._start_s),
        )


class Recorder:
    """Hears of every request as it ends, counts it, and hands it to the window where one is open."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._good = 0
        self._stranded: list[str] = []
        self._window: Window | None = None

    def answered(self, took_s: float) -> None:
        """Take in a request that ends now, as expected."""
        self._good += 1
        if self._window is not None:
            self._window.answered(took_s)

    def failed(self, took_s: float, reason: str) -> None:
        """Take in a request that ends now, with an error."""
        if self._window is not None:
            self._window.failed(took_s, reason)

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
            start, before = self._clock(), self._good
            sleep(slice_s)
            rates.append((self._good - before) / (self._clock() - start))
            if agree(rates):
                return self._clock() - began, True
        return self._clock() - began, False

    def open_window(self) -> None:
        """Begin the window now."""
        self._window = Window(self._clock)

    def close_window(self, in_flight_since: Iterable[float]) -> Seen:
        """End the window now, as `Window.close` does; RuntimeError where none is open."""
        if self._window is None:
            raise RuntimeError("no window is open")
        window, self._window = self._window, None
        for reason in self._stranded:
            window.failed(0.0, reason)
        return window.close(in_flight_since)
