"""The users a scenario derives from: Locust users whose requests are checked as the contract wants it.

Knows what the users of one environment share: seed, time limit, and how connections are held. Must not know jobs,
windows or figures; under plain `locust -f` all of it works with its defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from time import perf_counter
from typing import Any, Protocol

import gevent
from locust import User, task
from locust.exception import StopTest

from gatebench.load.client import Client, Expect, Target
from gatebench.load.echo import EchoClient, Hold, NotOpenedError

__all__ = ["Expect", "HttpUser", "WebSocketUser", "task"]

FOR_GOOD_S = 3600.0
NO_HOST = "no host is given; name the server with -H http://127.0.0.1:PORT"

# Locust's `-t 1s` counts from when gevent's loop last looked at the clock, which was before all these imports.
gevent.get_hub().loop.update_now()


class Waiting(Protocol):
    """What the clients of both kinds of user have in common."""

    in_flight_since: float | None
    bodies_checked: int
    retries: int

    def give_up(self) -> None:
        """Fail the request in flight for its lateness."""


@dataclass(slots=True, kw_only=True)
class Shared:
    """What the users of one environment share."""

    seed: int | None = None  # None: other random parameters every time
    timeout_s: float = 10.0
    hold: Hold | None = None  # None: a closed loop
    target: Target | None = None
    clients: list[Waiting] = field(default_factory=list)
    opening: int = 0  # users that still wait for their connection, where they need one to begin

    @classmethod
    def of(cls, environment: Any) -> Shared:
        """Give the environment's own, made on first use."""
        shared: Shared = vars(environment).setdefault("gatebench", cls())
        return shared

    def enter(self, host: str | None) -> tuple[Target, Random]:
        """Give a new user its target and its random parameters, the same for the same seed and place in the row."""
        if host is None:
            raise StopTest(NO_HOST)
        if self.target is None:
            self.target = Target(host)
            gevent.spawn(self.watch)
        seed = None if self.seed is None else f"{self.seed}/{len(self.clients)}"
        return self.target, Random(seed)  # noqa: S311 - parameters of requests, no secrets

    def watch(self) -> None:
        """Fail requests that are late, for ever."""
        while True:
            gevent.sleep(min(0.5, self.timeout_s / 10))
            late = perf_counter() - self.timeout_s
            for client in self.clients:
                if client.in_flight_since is not None and client.in_flight_since < late:
                    client.give_up()


class HttpUser(User):
    """A user that sends HTTP requests one after another, without a pause, over one connection."""

    abstract = True

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        shared = Shared.of(environment)
        target, self.random = shared.enter(self.host)
        self.client = Client(self, target, timeout_s=shared.timeout_s, random=self.random)
        shared.clients.append(self.client)

    def on_stop(self) -> None:
        """Close the connection."""
        self.client.close()


class WebSocketUser(User):
    """A user that opens one WebSocket and sends messages over it, each after the echo of the last.

    Where connections are held, it opens its connection when it is let, waits until all are open, and then runs its
    task once in a window, at a time of its own.
    """

    abstract = True
    path = "/ws"

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._shared = Shared.of(environment)
        target, self.random = self._shared.enter(self.host)
        self.client = EchoClient(self, target, self.path, hold=self._shared.hold, timeout_s=self._shared.timeout_s)
        self._shared.clients.append(self.client)
        self._shared.opening += 1

    def wait_time(self) -> float:
        """Wait for nothing, or for good where connections are held: each speaks once."""
        return 0.0 if self._shared.hold is None else FOR_GOOD_S

    def on_start(self) -> None:
        """Open the connection; a user that gets none ends."""
        hold, place = self._shared.hold, 0
        try:
            if hold is None:
                self.client.open()
            else:
                place = hold.admit(self.client)
        except NotOpenedError:
            raise gevent.GreenletExit from None  # not StopUser, which Locust logs here with its traceback
        finally:
            self._shared.opening -= 1
        if hold is not None:
            hold.wait_turn(place)

    def on_stop(self) -> None:
        """Close the connection."""
        self.client.close()
