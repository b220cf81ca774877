"""A small object with the caller's number in it, serialised per request: the framework's own JSON path.

Runs under `gatebench run`, and under plain `locust -f scenarios/json.py -H URL`.
"""

from gatebench.swarm import EngineUser, Expect, Request, Whole

SCENARIO = {"version": 2, "title": "JSON", "routes": ["json"], "services": [], "error_limit": 0.001}

NUMBER = Whole(1, 1_000_000)


class Reader(EngineUser):
    """Asks for the object with a random number every time."""

    mix = (
        Request(
            ("/json?id=", NUMBER),
            name="/json",
            expect=Expect(body=('{"id":', NUMBER, ',"message":"Hello, World!"}')),
        ),
    )
