"""A wait of two seconds, for as many users as there are: how many of them a stack serves at once.

What is refused, comes late or not at all is the result here and voids nothing, hence the limit on errors.
Answers come in waves two seconds apart, so a window is best a multiple of that.
Runs under `gatebench run`, and under plain `locust -f scenarios/wait_2s.py -H URL`.
"""

from gatebench.swarm import EngineUser, Expect, Request

SCENARIO = {
    "version": 1,
    "title": "A wait of 2 s",
    "routes": ["sleep"],
    "services": [],
    "waits_s": 2.0,
    "error_limit": 0.99,
}


class Waiter(EngineUser):
    """Waits, and asks to wait again."""

    mix = (Request("/sleep?s=2", name="/sleep", expect=Expect(body="slept")),)
