"""A wait of a tenth of a second and nothing else: how many requests a stack can keep waiting at a time.

What waits is the server's own clock and no other service, so nothing but the stack says how many wait at once.
Runs under `gatebench run`, and under plain `locust -f scenarios/wait.py -H URL`.
"""

from gatebench.swarm import EngineUser, Expect, Request

SCENARIO = {
    "version": 1,
    "title": "A wait of 0.1 s",
    "routes": ["sleep"],
    "services": [],
    "waits_s": 0.1,
    "error_limit": 0.001,
}


class Waiter(EngineUser):
    """Waits, and asks to wait again."""

    mix = (Request("/sleep?s=0.1", name="/sleep", expect=Expect(body="slept")),)
