"""A file of 64 KiB, read and sent: what the way from disk to client costs, by whichever means a stack has.

Runs under `gatebench run`, and under plain `locust -f scenarios/file.py -H URL`.
"""

import hashlib

from gatebench.swarm import EngineUser, Expect, Request

SCENARIO = {"version": 1, "title": "A file of 64 KiB", "routes": ["file"], "services": [], "error_limit": 0.001}

BYTES = 65_536
DIGEST = "9fbe14c57ffcfc2d613b308ed6e6440d35d42b323f31bb6bc451c125bc96de0a"  # of apps/work/file.bin


def is_file(body: bytes) -> bool:
    """Say whether a body is the file."""
    return hashlib.sha256(body).hexdigest() == DIGEST


class Reader(EngineUser):
    """Asks for the file again and again."""

    mix = (Request("/file", expect=Expect(length=BYTES, body=is_file)),)
