"""Connections that ask once, lie idle, and ask again: how many a stack keeps alive, and what each costs.

Under `hold(N)` connections are opened by a request each until the server takes no more, and each asks once more in
the window, over the same connection: one that the server has closed meanwhile is not kept, and nothing is sent again.
Runs under `gatebench run`, and under plain `locust -f scenarios/idle.py -H URL`, there asking every five seconds.
"""

from locust import constant

from gatebench.swarm import EngineUser, Expect, Request

SCENARIO = {
    "version": 1,
    "title": "Idle connections",
    "routes": ["plaintext"],
    "services": [],
    "holds": True,
    "error_limit": 0.001,
}


class Keeper(EngineUser):
    """Asks for the text now and then."""

    wait_time = constant(5)  # of plain Locust's users: where connections are held, each has a time of its own
    mix = (Request("/plaintext", expect=Expect(body="Hello, World!")),)
