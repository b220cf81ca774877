"""Twenty rows, read one after another: what a request that waits for its database again and again costs.

Runs under `gatebench run`, and under plain `locust -f scenarios/queries.py -H URL`.
"""

import re

from gatebench.swarm import EngineUser, Expect, Request

SCENARIO = {
    "version": 1,
    "title": "Twenty database rows",
    "routes": ["queries"],
    "services": ["postgres"],
    "error_limit": 0.001,
}

ROWS = 20
LARGEST_ID = 10_000
ROW = rb'\{"id":([1-9]\d{0,4}),"value":[1-9]\d{4}\}'
FORM = re.compile(rb"\[" + b",".join([ROW] * ROWS) + rb"\]")


def is_list(body: bytes) -> bool:
    """Say whether a body is a list of different rows; which ones, the app has chosen."""
    found = FORM.fullmatch(body)
    if found is None:
        return False
    ids = set(map(int, found.groups()))
    return len(ids) == ROWS and max(ids) <= LARGEST_ID


class Reader(EngineUser):
    """Asks for other random rows every time."""

    mix = (Request(f"/queries?n={ROWS}", name="/queries", expect=Expect(body=is_list)),)
