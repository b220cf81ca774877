"""Opening fresh connections, asking each for one page, and timing the first byte of the answer.

Knows sockets, TLS and as much of HTTP/1.1 as a status line. Must not know the harness, windows or histograms.

A knock is timed from before connect() to the first byte. At a rate, knocks are due by the clock and wait for none
before them, so that a server that stalls is asked as often as any other. A knock was *refused* where the server
turned it away: no connection, one that was closed without an answer, or an answer other than 200 (a 503 is an answer
that refuses). It went *unanswered* where for as long as it was waited for nothing of all that came.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import math
import ssl
import time
from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from gatebench.errors import MachineError, UsageError

Outcome = Literal["answered", "refused", "unanswered"]
STATUS_BYTES = len(b"HTTP/1.1 200")
LINGER_S = 0.2  # for the server to close after its answer, as it was asked to, before we do
OURS = (errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE)  # refusals of this machine, not of the server


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """How to knock: one after the other, or where there is a rate, by the clock."""

    url: str
    seconds: float  # no knock begins later than this
    wait_s: float  # for an answer
    count: int | None = None  # as many at most, one after the other
    rate: float | None = None  # a second, by the clock

    def document(self) -> str:
        """Give the job as a program takes it."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Job:
        """Read a job, and refuse to knock anywhere but on this machine."""
        try:
            job = cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise UsageError(f"The job is none ({error}); gatebench/knocking/asking.py has its form.") from error
        loopback(job.url)
        return job


def loopback(url: str) -> tuple[str, int]:
    """Give the address and port of a URL; UsageError where it is not this machine's own."""
    with contextlib.suppress(ValueError):  # of a port that is no number, or a name in the place of an address
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.port and ip_address(parts.hostname or "").is_loopback:
            return str(parts.hostname), parts.port
    raise UsageError(
        f"{url!r} is not knocked at; give http or https, an address of 127.0.0.0/8 or [::1], and a port."
    )


@dataclass(slots=True)
class Tally:
    """What came of the knocks: when each was due, by perf_counter, and how long its answer took."""

    due_s: dict[Outcome, array[float]] = field(
        default_factory=lambda: {"answered": array("d"), "refused": array("d"), "unanswered": array("d")}
    )
    took_s: array[float] = field(default_factory=lambda: array("d"))  # of those answered, in the same order

    def add(self, due_s: float, outcome: Outcome, took_s: float | None = None) -> None:
        """Count a knock."""
        self.due_s[outcome].append(due_s)
        if took_s is not None:
            self.took_s.append(took_s)

    def document(self) -> str:
        """Give all of it as one line."""
        found: dict[str, list[float]] = {key: values.tolist() for key, values in self.due_s.items()}
        return json.dumps({**found, "took": self.took_s.tolist()}) + "\n"

    @classmethod
    def parse(cls, line: bytes) -> Tally:
        """Read what `document` gave; ValueError, KeyError or TypeError where it is none."""
        data: Mapping[str, Any] = json.loads(line)
        tally = cls(took_s=array("d", data["took"]))
        tally.due_s = {key: array("d", data[key]) for key in tally.due_s}
        if len(tally.took_s) != len(tally.due_s["answered"]):
            raise ValueError("as many times as answers are needed")
        return tally


class _Knock(asyncio.Protocol):
    """One connection: asks when it is open, stamps the first byte, and is over when the server closes."""

    def __init__(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[None] = loop.create_future()  # or it has become plain that it never will be
        self.closed: asyncio.Future[None] = loop.create_future()
        self.first_at: float | None = None
        self.head = b""
        self._request = request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.first_at is None:
            self.first_at = time.perf_counter()
        if len(self.head) < STATUS_BYTES:
            self.head = (self.head + data)[:STATUS_BYTES]
            if len(self.head) >= STATUS_BYTES and not self.answered.done():
                self.answered.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - closed is closed, however
        for future in (self.answered, self.closed):
            if not future.done():
                future.set_result(None)


class Asker:
    """Does one job; `stop` ends it early, and it then still waits for the answers that are due."""

    def __init__(self, job: Job) -> None:
        self.tally = Tally()
        self._job = job
        self._host, self._port = loopback(job.url)
        parts = urlsplit(job.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode()
        self._tls = _trusting() if parts.scheme == "https" else None
        self._stopped = asyncio.Event()
        self._problem: str | None = None  # of this machine

    def stop(self) -> None:
        """Begin no more knocks."""
        self._stopped.set()

    async def run(self) -> Tally:
        """Knock, and give what came of it; MachineError where this machine did not let us."""
        await (self._in_turn() if self._job.rate is None else self._by_the_clock(self._job.rate))
        if self._problem:
            raise MachineError(self._problem)
        return self.tally

    async def _in_turn(self) -> None:
        end, most = time.perf_counter() + self._job.seconds, self._job.count or math.inf
        knocks = 0
        while knocks < most and time.perf_counter() < end and not self._over():
            await self._knock(time.perf_counter())
            knocks += 1

    async def _by_the_clock(self, rate: float) -> None:
        begin, knocks = time.perf_counter(), 0
        async with asyncio.TaskGroup() as group:
            while knocks < rate * self._job.seconds and not self._over():
                due = begin + knocks / rate
                try:
                    async with asyncio.timeout(max(0.0, due - time.perf_counter())):
                        await self._stopped.wait()
                except TimeoutError:
                    group.create_task(self._knock(due))
                    knocks += 1

    def _over(self) -> bool:
        return self._stopped.is_set() or self._problem is not None

    async def _knock(self, due: float) -> None:
        knock, transport, begin = _Knock(self._request), None, time.perf_counter()
        try:
            async with asyncio.timeout(self._job.wait_s):
                loop = asyncio.get_running_loop()
                transport, _ = await loop.create_connection(lambda: knock, self._host, self._port, ssl=self._tls)
                await knock.answered
        except TimeoutError:
            self.tally.add(due, "unanswered")
        except OSError as error:  # that of TLS is one too
            if error.errno in OURS:
                self._problem = (
                    f"No more connections could be opened to knock with: {error.strerror}; lower the load."
                )
            else:
                self.tally.add(due, "refused")
        else:
            if knock.first_at is not None and knock.head.endswith(b" 200"):
                self.tally.add(due, "answered", knock.first_at - begin)
            else:
                self.tally.add(due, "refused")
            await asyncio.wait([knock.closed], timeout=LINGER_S)
        finally:
            if transport is not None:
                transport.abort()


def _trusting() -> ssl.SSLContext:
    """Take any certificate: the server is our own, on loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context
