"""One call to another service that takes its time: what waiting for somebody else costs.

Runs under `gatebench run`, and under plain `locust -f scenarios/external.py -H URL`.
"""

import re
from functools import partial

from gatebench.load import Expect, HttpUser, task

SCENARIO = {
    "version": 1,
    "title": "One call to another service",
    "routes": ["external"],
    "services": ["upstream"],
    "error_limit": 0.001,
}

TOKEN_DIGITS = 16
DIGEST_DIGITS = 64
LENGTH = len('{"token":"","digest":""}') + TOKEN_DIGITS + DIGEST_DIGITS


def is_answer(token: str, body: bytes) -> bool:
    """Say whether a body is the upstream's answer to that token; the digest itself only the contract can check."""
    return (
        re.fullmatch(rb'\{"token":"%b","digest":"[0-9a-f]{%d}"\}' % (token.encode(), DIGEST_DIGITS), body) is not None
    )


class Caller(HttpUser):
    """Has the upstream called with a random token every time."""

    @task
    def external(self) -> None:
        """Ask for what the upstream says to a token."""
        token = f"{self.random.getrandbits(4 * TOKEN_DIGITS):0{TOKEN_DIGITS}x}"
        expect = Expect(length=LENGTH, body=partial(is_answer, token))
        self.client.get(f"/external?token={token}", name="/external", expect=expect)
