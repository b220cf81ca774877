"""An answer of 64 KiB in sixteen pieces, whose length nobody knows when it begins: what it costs to hand out parts.

Runs under `gatebench run`, and under plain `locust -f scenarios/stream.py -H URL`.
"""

from string import ascii_lowercase

from gatebench.swarm import EngineUser, Expect, Request

SCENARIO = {
    "version": 1,
    "title": "An answer in sixteen pieces",
    "routes": ["stream"],
    "services": [],
    "error_limit": 0.001,
}

PIECES, SIZE = 16, 4096
BODY = "".join(ascii_lowercase[number % 26] * SIZE for number in range(PIECES))


class Reader(EngineUser):
    """Asks for the pieces again and again."""

    mix = (Request(f"/stream?n={PIECES}&size={SIZE}", name="/stream", expect=Expect(body=BODY)),)
