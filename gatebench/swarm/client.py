"""What a task of an HttpUser calls as `self.client`: each call is one request, one answer, checked and counted.

Knows a user's greenlet, which waits while the engine works, and one connection. Must not know windows or jobs.
"""

from __future__ import annotations

import json as standard_json
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Any

from greenlet import getcurrent, greenlet
from locust import User

from gatebench.swarm.connection import UNASKED, Connection
from gatebench.swarm.engine import Engine
from gatebench.swarm.mix import BODIES_CHECKED, OK, OTHER_BODY, Expect, judged, mismatch
from gatebench.swarm.tally import Lane, Tally
from gatebench.swarm.target import Target
from gatebench.swarm.wire import fields, render

RENDERED = 1024  # requests whose bytes are remembered
switch = greenlet.switch  # gevent's own does more, for others to look on


class Client:
    """One user's client, over one connection that is kept."""

    def __init__(
        self, user: User, engine: Engine, target: Target, tally: Tally, *, timeout_s: float, random: Random
    ) -> None:
        self.bodies_checked = 0
        self.asked = False  # since the user last let others have their turn
        self.connection = Connection(engine, target, self, timeout_s)
        self._user = user
        self._hub = engine.hub
        self._target = target
        self._tally = tally
        self._random = random.random
        self._gets: dict[str, tuple[bytes, Lane, str | None]] = {}  # path -> what is sent, counted, and the name
        self._expect: Expect | None = None  # the last one, and what it comes to
        self._length: int | None = None
        self._fits: Callable[[bytes], bool] | None = None
        self._same = self._body = b""  # the last answer that was checked as a whole, and its body
        self._greenlet: Any = None  # which waits for the answer
        self._lane: Lane | None = None  # of the last request

    @property
    def status(self) -> int:
        """Give the last answer's status."""
        return self.connection.parser.status

    @property
    def headers(self) -> dict[str, str]:
        """Give the last answer's headers, names in lower case; of several with one name, the last."""
        head = self.connection.parser.head
        return {} if head is None else dict(fields(head.raw))

    @property
    def in_flight_since(self) -> float | None:
        """Give when what is in flight began; None where nothing is."""
        return self.connection.began if self.connection.busy else None

    def get(
        self, path: str, *, name: str | None = None, headers: Mapping[str, str] | None = None, expect: Expect = OK
    ) -> bytes | None:
        """Send a GET; give the body, or None where the answer was not as expected."""
        known = self._gets.get(path) if headers is None else None
        if known is None or known[2] != name:
            known = self._render("GET", path, None, headers), self._tally.lane("GET", name or path), name
            if headers is None:
                if len(self._gets) >= RENDERED:
                    self._gets.clear()
                self._gets[path] = known
        return self._exchange(known[0], known[1], expect)

    def post(
        self,
        path: str,
        *,
        json: Any = None,
        data: bytes | str | None = None,
        name: str | None = None,
        headers: Mapping[str, str] | None = None,
        expect: Expect = OK,
    ) -> bytes | None:
        """Send a POST with JSON, with data or with an empty body; give the body as `get` does."""
        empty = b"" if data is None else data
        return self.request("POST", path, json=json, data=empty, name=name, headers=headers, expect=expect)

    def put(
        self,
        path: str,
        *,
        json: Any = None,
        data: bytes | str | None = None,
        name: str | None = None,
        headers: Mapping[str, str] | None = None,
        expect: Expect = OK,
    ) -> bytes | None:
        """Send a PUT, as `post` does a POST."""
        empty = b"" if data is None else data
        return self.request("PUT", path, json=json, data=empty, name=name, headers=headers, expect=expect)

    def patch(
        self,
        path: str,
        *,
        json: Any = None,
        data: bytes | str | None = None,
        name: str | None = None,
        headers: Mapping[str, str] | None = None,
        expect: Expect = OK,
    ) -> bytes | None:
        """Send a PATCH, as `post` does a POST."""
        empty = b"" if data is None else data
        return self.request("PATCH", path, json=json, data=empty, name=name, headers=headers, expect=expect)

    def delete(
        self, path: str, *, name: str | None = None, headers: Mapping[str, str] | None = None, expect: Expect = OK
    ) -> bytes | None:
        """Send a DELETE without a body; give the answer's as `get` does."""
        return self.request("DELETE", path, name=name, headers=headers, expect=expect)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: bytes | str | None = None,
        name: str | None = None,
        headers: Mapping[str, str] | None = None,
        expect: Expect = OK,
    ) -> bytes | None:
        """Send a request of any method; give the body as `get` does. ValueError where it cannot be spelled."""
        if json is not None:
            data = standard_json.dumps(json, separators=(",", ":"))
            headers = {"Content-Type": "application/json", **(headers or {})}
        body = data.encode() if isinstance(data, str) else data
        wire = self._render(method, path, body, headers)
        return self._exchange(wire, self._tally.lane(method, name or path), expect, method == "HEAD")

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self.connection.close()

    def done(self, reason: str, now: float) -> None:
        """Wake the user; `_exchange` puts what does so in the place of this."""

    def unasked(self) -> None:
        """Count a failure of the last request, after whose answer more came."""
        if self._lane is not None:
            self._tally.failed(self._lane, 0.0, 0, UNASKED, self._user)

    def _render(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None) -> bytes:
        return render(method, self._target.prefix + path, self._target.netloc, headers, body)

    def _exchange(self, wire: bytes, lane: Lane, expect: Expect, bodiless: bool = False) -> bytes | None:
        connection = self.connection
        if connection.busy:
            raise RuntimeError("this user waits for an answer already; one user sends one request at a time")
        self.asked = True
        self._lane = lane
        greenlet = getcurrent()
        if greenlet is not self._greenlet:
            self._greenlet, connection.done = greenlet, partial(switch, greenlet)
        connection.ask(wire, bodiless)
        try:
            reason, now = switch(self._hub)
        except BaseException:  # the user's end, or a limit on time that its task has set
            connection.close()
            raise
        began, parser = connection.began, connection.parser
        body = self._body
        # An answer that equals a checked one, byte for byte, is as good.
        if reason or expect is not self._expect or parser.data != self._same or parser.begun:
            body = b"" if reason else parser.body()
            reason = reason or self._mismatch(expect, body)
            if reason:
                self._tally.failed(lane, now - began, len(body), reason, self._user)
                return None
        if self._tally.each:
            self._tally.answered(lane, began, now - began, len(body), self._user)
        else:  # the same, for the many
            lane.began.append(began)
            lane.took.append(now - began)
            lane.length += len(body)
        return body

    def _mismatch(self, expect: Expect, body: bytes) -> str:
        """Say what of an answer is not as expected."""
        parser = self.connection.parser
        if expect is not self._expect:
            self._expect, self._same = expect, b""
            self._length, self._fits = judged(expect)
        if parser.status != expect.status or parser.length != self._length:
            reason = mismatch(expect.status, self._length, parser.status, parser.length)
            if reason:
                return reason
        if self._fits is not None:
            alike = not callable(expect.body)
            if not alike and self.bodies_checked and self._random() >= BODIES_CHECKED:
                return ""
            self.bodies_checked += 1
            if not self._fits(body):
                return OTHER_BODY
            if alike and not parser.begun:
                self._same, self._body = parser.answer(), body
        return ""
