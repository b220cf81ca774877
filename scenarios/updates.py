"""Five rows, each read and then set to a new value: what a request that writes costs.

Five and no more, since what is to be seen is the stack and not rows that wait for each other: with 64 users, at most
320 of the 10,000 rows are being changed at a time. The database does not wait for its disk (its file says so).
Runs under `gatebench run`, and under plain `locust -f scenarios/updates.py -H URL`.
"""

import re

from gatebench.swarm import EngineUser, Expect, Request

SCENARIO = {
    "version": 1,
    "title": "Five database rows updated",
    "routes": ["updates"],
    "services": ["postgres"],
    "error_limit": 0.001,
}

ROWS = 5
LARGEST_ID = 10_000
ROW = rb'\{"id":([1-9]\d{0,4}),"value":[1-9]\d{4}\}'
FORM = re.compile(rb"\[" + b",".join([ROW] * ROWS) + rb"\]")


def is_list(body: bytes) -> bool:
    """Say whether a body is a list of rows whose ids ascend."""
    found = FORM.fullmatch(body)
    if found is None:
        return False
    ids = [*map(int, found.groups())]
    return ids == sorted(set(ids)) and ids[-1] <= LARGEST_ID


class Writer(EngineUser):
    """Has other random rows changed every time."""

    mix = (Request(f"/updates?n={ROWS}", method="POST", body="", name="/updates", expect=Expect(body=is_list)),)
