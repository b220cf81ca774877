"""A body of one mebibyte taken in, and its digest given back: what it costs to be sent much.

The bytes are random, and the same for all requests: to make others would be the generator's work.
Runs under `gatebench run`, and under plain `locust -f scenarios/upload.py -H URL`.
"""

import hashlib
from random import Random

from gatebench.swarm import EngineUser, Expect, Request

SCENARIO = {"version": 1, "title": "An upload of 1 MiB", "routes": ["upload"], "services": [], "error_limit": 0.001}

BODY = Random(1).randbytes(1 << 20)


class Sender(EngineUser):
    """Sends the bytes again and again."""

    mix = (
        Request(
            "/upload",
            method="POST",
            headers={"Content-Type": "application/octet-stream"},
            body=BODY,
            expect=Expect(body=hashlib.sha256(BODY).hexdigest()),
        ),
    )
