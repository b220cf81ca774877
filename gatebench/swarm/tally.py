"""What the users of one environment did, request by request, handed on in batches: to Locust's statistics and others.

Knows Locust's statistics and its events. Must not know sockets, users or windows.

A success costs two numbers in an array. Once a second, or when there are many, these become one StatsEntry for each
name, added to Locust's own by `StatsEntry.extend`, the call by which a master adds what its workers report. A failure
is told to Locust's request event as it happens, and so is each success where anyone but Locust listens to that event.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from time import perf_counter, time
from typing import Any, Protocol, TypeAlias

import gevent
import numpy as np
from locust.env import Environment
from locust.exception import CatchResponseError
from locust.stats import StatsEntry

from gatebench import histogram
from gatebench.model import Histogram

LOOK_S = 0.1
# To fold holds the engine up by a fraction of a millisecond: ten times a second, a quiet server's p99 would show it.
FOLD_S, FOLD_COUNT = 1.0, 1000
KEY = "gatebench"  # of what a worker's report carries
ANSWERERS = 16  # values of a header that is counted; the others are one
OTHER = "other"
OWN = ("locust.", "gatebench.")  # modules whose listeners need not hear of every success

Numbers: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.float64]]"
# When requests began, by perf_counter, how long they took, and what the header that is counted said in all of them.
Sink: TypeAlias = Callable[[Numbers, Numbers, str], None]


class Speaker(Protocol):
    """Whose request it was."""

    def context(self) -> dict[str, Any]:
        """Give what Locust's events are to carry."""


class Lane:
    """The successes of one kind of request since the last fold: (method, name), readings of perf_counter, bytes."""

    __slots__ = ("began", "by", "each", "length", "method", "name", "told_began", "told_took", "took")

    def __init__(self, method: str, name: str, by: str = "") -> None:
        self.method = method
        self.name = name
        self.by = by  # what a header said in all of them; empty where none is counted
        self.began = array("d")
        self.took = array("d")
        self.told_began = array("d")  # of those that Locust's event has been told of, one by one
        self.told_took = array("d")
        self.each: int | None = None  # bytes of every body, where it is known and all are alike
        self.length = 0  # else of all bodies together


class Tally:
    """Counts for one environment: a worker's, a master's or the only one."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._request: Any = environment.events.request
        self._lanes: dict[tuple[str, str, str], Lane] = {}
        self._answerers: set[str] = {""}
        self._sinks: list[Sink] = []
        self._folded_s = perf_counter()
        self.each = False  # somebody wants to hear of every success
        self.response: dict[tuple[str, str], Histogram] = {}  # of successes since the test began, here and on workers
        self._unreported: dict[tuple[str, str], Histogram] = {}
        events: Any = environment.events
        events.request.add_listener(self._heard)
        events.test_start.add_listener(self._start)
        events.test_stop.add_listener(self._stop)
        events.reset_stats.add_listener(self._reset)
        events.spawning_complete.add_listener(self._spawned)
        events.report_to_master.add_listener(self._report)
        events.worker_report.add_listener(self._reported)
        gevent.spawn(self._fold_for_ever)

    def lane(self, method: str, name: str, by: str = "") -> Lane:
        """Give the lane of requests of this kind; of those `by` whom they were answered, where that is counted."""
        if by not in self._answerers:
            if len(self._answerers) > ANSWERERS:  # the empty one is among them
                by = OTHER
            else:
                self._answerers.add(by)
        key = (method, name, by)
        if key not in self._lanes:
            self._lanes[key] = Lane(*key)
        return self._lanes[key]

    def listen(self, sink: Sink) -> None:
        """Have every batch of successes handed to `sink` as well."""
        self._sinks.append(sink)

    def answered(self, lane: Lane, began: float, took_s: float, length: int, user: Speaker) -> None:
        """Count one success, and tell whoever wants to hear of each."""
        if self.each:
            lane.told_began.append(began)
            lane.told_took.append(took_s)
            self._fire(lane, took_s, length, user, None)
        else:
            lane.began.append(began)
            lane.took.append(took_s)
            if lane.each is None:
                lane.length += length

    def failed(self, lane: Lane, took_s: float, length: int, reason: str, user: Speaker) -> None:
        """Tell Locust of one failure."""
        self._fire(lane, took_s, length, user, CatchResponseError(reason))

    def fold(self) -> None:
        """Hand on what has come since the last time."""
        self._empty()
        self._folded_s = perf_counter()
        self._look()

    def _empty(self, *, to_locust: bool = True) -> None:
        for lane in self._lanes.values():
            if lane.took:
                length, lane.length = lane.length + (lane.each or 0) * len(lane.took), 0
                batch = self._hand_on(lane, lane.began, lane.took)
                if to_locust:
                    self._tell_locust(lane, *batch, length)
            if lane.told_took:
                self._hand_on(lane, lane.told_began, lane.told_took)

    def _hand_on(self, lane: Lane, began: array[float], took: array[float]) -> tuple[Numbers, Numbers]:
        """Empty the arrays and give what was in them to everyone but Locust."""
        batch = np.array(began), np.array(took)
        del began[:], took[:]
        for sink in self._sinks:
            sink(*batch, lane.by)
        key = (lane.method, lane.name)
        counted = histogram.of_seconds(np.maximum(batch[1], 0.0))
        for kept in (self.response, self._unreported):
            kept[key] = histogram.merge((kept[key], counted)) if key in kept else counted
        return batch

    def _tell_locust(self, lane: Lane, began: Numbers, took: Numbers, length: int) -> None:
        stats = self._environment.stats
        entry = entry_of(stats, (lane.method, lane.name), began, took, length)
        stats.get(lane.name, lane.method).extend(entry)
        stats.total.extend(entry)

    def _look(self) -> None:
        """See whether anyone but Locust and us listens to its event."""
        listeners = self._request._handlers  # noqa: SLF001 - Locust offers no other way to ask
        self.each = any(not str(listener.__module__).startswith(OWN) for listener in listeners)

    def _fire(self, lane: Lane, took_s: float, length: int, user: Speaker, error: Exception | None) -> None:
        self._request.fire(
            request_type=lane.method,
            name=lane.name,
            response_time=took_s * 1000,
            response_length=length,
            response=None,
            context=user.context(),
            exception=error,
            start_time=time() - took_s,
            url=lane.name,
            counted=error is None,  # for our own listeners: it has been counted here
        )

    def _heard(  # of a success that Locust's own users have had
        self,
        request_type: str,
        name: str,
        response_time: float,
        exception: BaseException | None = None,
        counted: bool = False,
        **_told: Any,
    ) -> None:
        if exception is None and not counted:
            lane, took_s = self.lane(request_type, name), response_time / 1000
            lane.told_began.append(perf_counter() - took_s)
            lane.told_took.append(took_s)

    def _fold_for_ever(self) -> None:
        while True:
            gevent.sleep(LOOK_S)
            waiting = sum(len(lane.took) + len(lane.told_took) for lane in self._lanes.values())
            if waiting >= FOLD_COUNT or perf_counter() - self._folded_s >= FOLD_S:
                self.fold()
            else:
                self._look()

    def _forget(self) -> None:
        self.response.clear()
        self._unreported.clear()

    def _start(self, **_told: Any) -> None:
        self._forget()
        self._look()

    def _stop(self, **_told: Any) -> None:
        self.fold()  # a worker's last report comes after this

    def _reset(self, **_told: Any) -> None:
        self.fold()
        self._forget()

    def _spawned(self, **_told: Any) -> None:
        if self._environment.reset_stats:  # and Locust has forgotten all by now
            self._empty(to_locust=False)
            self._forget()

    def _report(self, data: dict[str, Any], **_told: Any) -> None:
        """Add to a worker's report what has not been reported yet."""
        data[KEY] = [(*key, histogram.to_json(one)) for key, one in self._unreported.items()]
        self._unreported.clear()

    def _reported(self, data: dict[str, Any], **_told: Any) -> None:
        """Take a worker's report."""
        for method, name, document in data.get(KEY, ()):
            key, one = (method, name), histogram.from_json(document)
            self.response[key] = histogram.merge((self.response[key], one)) if key in self.response else one


def entry_of(stats: Any, key: tuple[str, str], began: Numbers, took: Numbers, length: int) -> Any:
    """Make the StatsEntry of a batch, as if each request had been logged by itself when it ended."""
    method, name = key
    entry: Any = StatsEntry(stats, name, method)  # typed as if response times were whole
    ended = began + took
    now = time()
    ms = took * 1000
    entry.num_requests = len(took)
    entry.total_response_time = float(ms.sum())
    entry.min_response_time, entry.max_response_time = float(ms.min()), float(ms.max())
    entry.total_content_length = length
    entry.last_request_timestamp = now - (perf_counter() - float(ended.max()))
    entry.start_time = now
    seconds = np.floor(ended + (now - perf_counter()))
    entry.num_reqs_per_sec.update(_counts(seconds))
    entry.response_times.update(_counts(rounded(ms)))
    return entry


def rounded(ms: Numbers) -> Numbers:
    """Round milliseconds as Locust's bucket_response_time does: to whole ones, tens, hundreds, thousands."""
    step = np.select([ms < 100, ms < 1000, ms < 10000], [1.0, 10.0, 100.0], 1000.0)
    return np.asarray(np.rint(ms / step) * step)


def _counts(values: Numbers) -> dict[int, int]:
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.astype(int).tolist(), counts.tolist(), strict=True))
