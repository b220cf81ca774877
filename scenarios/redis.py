"""A value set and got in Redis, by a random key: what two short calls to a store in memory cost.

Runs under `gatebench run`, and under plain `locust -f scenarios/redis.py -H URL`.
"""

from gatebench.swarm import EngineUser, Expect, Hex, Request

SCENARIO = {
    "version": 1,
    "title": "Set and got in Redis",
    "routes": ["redis"],
    "services": ["redis"],
    "error_limit": 0.001,
}

KEY, VALUE = Hex(16), Hex(16)


class Caller(EngineUser):
    """Has another value kept under another key every time."""

    mix = (
        Request(
            ("/redis?key=", KEY, "&value=", VALUE),
            name="/redis",
            expect=Expect(body=('{"key":"', KEY, '","value":"', VALUE, '"}')),
        ),
    )
