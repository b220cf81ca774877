"""Ten events, a hundredth of a second between them: what it costs to keep many answers going that are mostly waiting.

A request is over when all its events have come, so it takes 0.09 s at least.
Runs under `gatebench run`, and under plain `locust -f scenarios/sse.py -H URL`.
"""

from gatebench.swarm import EngineUser, Expect, Request

SCENARIO = {"version": 1, "title": "Ten server-sent events", "routes": ["sse"], "services": [], "error_limit": 0.001}

EVENTS = 10
BODY = "".join(f"data: {number}\n\n" for number in range(1, EVENTS + 1))


class Listener(EngineUser):
    """Hears all events, and asks for them again."""

    mix = (Request(f"/sse?n={EVENTS}&every=0.01", name="/sse", expect=Expect(body=BODY)),)
