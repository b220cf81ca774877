"""One call to another service that takes its time: what waiting for somebody else costs.

Runs under `gatebench run`, and under plain `locust -f scenarios/external.py -H URL`.
"""

from gatebench.swarm import EngineUser, Expect, Hex, Request

SCENARIO = {
    "version": 2,
    "title": "One call to another service",
    "routes": ["external"],
    "services": ["upstream"],
    "error_limit": 0.001,
}

TOKEN = Hex(16)
DIGEST = Hex(64)  # which one, only the upstream and the contract's check can tell


class Caller(EngineUser):
    """Has the upstream called with a random token every time."""

    mix = (
        Request(
            ("/external?token=", TOKEN),
            name="/external",
            expect=Expect(body=('{"token":"', TOKEN, '","digest":"', DIGEST, '"}')),
        ),
    )
