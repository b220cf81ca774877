"""The loop that drives all connections of a worker: one epoll of its own, looked after from gevent's.

Knows file descriptors, due times and how many connections are being opened. Must not know HTTP, WebSocket or Locust.

It runs in gevent's hub, as the callback of one watcher on the epoll: what it calls may switch to a greenlet, which
comes back here when it waits. It stays for at most SLICE_S, so that Locust's own greenlets have their turn.
"""

from __future__ import annotations

import ctypes
import heapq
import os
import select
import struct
from array import array
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Protocol

import gevent
from gevent.monkey import get_original

epoll = get_original("select", "epoll")  # gevent takes it out of `select`
EVENTS = 64  # taken from epoll at a time
DUE = 1024  # and of what is due: arrivals may be due faster than they can be looked at
SLICE_S = 0.005
WAIT_S = 0.001  # the least that epoll can wait
DOORS = 128  # connections being opened at once: a server's backlog is often no longer
WATCH_S = 0.5  # how often late exchanges are looked for
TICK_S = 0.01  # how often the loop's own lateness is seen
READ = 1  # of gevent's watchers


class Timed(Protocol):
    """What may be late."""

    def expire(self, now: float) -> None:
        """Fail what has waited too long."""


class Leaving(Protocol):
    """What has something to send."""

    def go(self) -> None:
        """Send it."""


class Engine:
    """Connections' events and due times, and whom to tell of them."""

    def __init__(self, watch_s: float = WATCH_S) -> None:
        self.lag = array("d")  # of a tick each TICK_S, in seconds: how late the loop comes to what is due
        self.handlers: dict[int, Callable[[int, float], None]] = {}  # fd -> (events, now)
        self.watched: dict[Timed, None] = {}
        self.leaving: list[Leaving] = []  # at the end of what is being taken in
        self.turning = False  # something is: `leaving` will be looked at
        self._epoll = epoll()
        self._poll = self._epoll.poll
        self._clock = Clock()
        self.register(self._clock.fd, self._clock.rang)
        self._due: list[tuple[float, int, Callable[[float, float], None]]] = []
        self._count = 0
        self._line: deque[Callable[[], None]] = deque()
        self._opening = 0
        self.hub = gevent.get_hub()
        self._watcher = self.hub.loop.io(self._epoll.fileno(), READ)
        self._watcher.start(self._turn)
        self._watch_s = watch_s
        self.at(perf_counter() + watch_s, self._watch)
        self.at(perf_counter() + TICK_S, self._tick)

    def register(self, fd: int, handler: Callable[[int, float], None], events: int = select.EPOLLIN) -> None:
        """Have `handler(events, now)` called when something happens to this file."""
        self.handlers[fd] = handler
        self._epoll.register(fd, events)

    def modify(self, fd: int, events: int) -> None:
        """Wait for other events of this file."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Wait for nothing of this file any more, which is about to be closed."""
        if self.handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def at(self, due: float, call: Callable[[float, float], None]) -> None:
        """Have `call(due, now)` called at that reading of perf_counter, or as soon after it as can be."""
        self._count += 1
        heapq.heappush(self._due, (due, self._count, call))
        if not self.turning:  # else at the turn's end
            self._clock.set(self._due[0][0])

    def soon(self, call: Callable[[float, float], None]) -> None:
        """Have `call(due, now)` called, but after what is due already: it may well ask for the same again."""
        self.at(perf_counter(), call)

    def enter(self, call: Callable[[], None]) -> None:
        """Have `call()` called when there is a door free; who was called gives it back by `leave`."""
        if self._opening < DOORS:
            self._opening += 1
            call()
        else:
            self._line.append(call)

    def leave(self) -> None:
        """Give a door back."""
        if self._line:
            # Not at once: whoever fails at once would call the next in line, and that one the next.
            call = self._line.popleft()
            self.soon(lambda _due, _now: call())
        else:
            self._opening -= 1

    def close(self) -> None:
        """Stop for good."""
        self._watcher.stop()
        self._watcher.close()
        self._clock.close()
        self._epoll.close()

    def _turn(self) -> None:
        self.turning = True
        try:
            self._slice()
        finally:
            self._send_off()  # where something has failed
            self.turning = False
            self._clock.set(self._due[0][0])

    def _slice(self) -> None:
        poll, handlers, due = self._poll, self.handlers, self._due
        now = perf_counter()
        until = now + SLICE_S
        while now < until:
            # To wait here for answers is cheaper than by way of gevent's loop and back, and lets more come together.
            self._clock.set(due[0][0])
            events = poll(WAIT_S, EVENTS)
            now = perf_counter()
            for fd, event in events:
                handler = handlers.get(fd)
                if handler is not None:
                    handler(event, now)
            for _ in range(DUE):
                if due[0][0] > now:
                    break
                at, _, call = heapq.heappop(due)
                call(at, now)
            if not self._send_off():
                return

    def _send_off(self) -> bool:
        """Send what is to be sent; say whether anything was, and answers may be near.

        To send wakes a server that sleeps, which costs more than to send; one that is awake takes the next without.
        So all that has come is taken in first, and then everything is sent.
        """
        leaving = self.leaving
        if not leaving:
            return False
        for one in leaving:
            one.go()
        leaving.clear()
        return True

    def _watch(self, _due: float, now: float) -> None:
        self._send_off()  # what is to be sent has not begun to wait
        for one in list(self.watched):
            one.expire(now)
        self.at(now + self._watch_s, self._watch)

    def _tick(self, due: float, now: float) -> None:
        self.lag.append(perf_counter() - due)
        self.at(max(due, now) + TICK_S, self._tick)


class Clock:
    """A timer of the kernel that an epoll can wait for: gevent's own are rounded up to a millisecond."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = self._libc.timerfd_create(1, os.O_NONBLOCK | os.O_CLOEXEC)  # 1: CLOCK_MONOTONIC
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._set: float | None = None

    def set(self, due: float) -> None:
        """Ring at that reading of perf_counter, at once where it has passed."""
        if due != self._set:
            self._set = due
            ns = max(1, int(due * 1e9))  # 0 would disarm it
            self._libc.timerfd_settime(self.fd, 1, struct.pack("qqqq", 0, 0, *divmod(ns, 10**9)), None)

    def rang(self, _events: int, _now: float) -> None:
        """Fall silent."""
        self._set = None
        with suppress(BlockingIOError):  # it may have been set anew meanwhile
            os.read(self.fd, 8)

    def close(self) -> None:
        """Give the file back."""
        os.close(self.fd)
