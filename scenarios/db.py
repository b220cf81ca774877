"""One row of ten thousand, by its random number, from a real database: what a request that waits for one costs.

Reads only: an update would measure the disk of whoever runs this. The contract's check does update.
Runs under `gatebench run`, and under plain `locust -f scenarios/db.py -H URL`.
"""

import re
from functools import partial

from gatebench.load import Expect, HttpUser, task

SCENARIO = {
    "version": 1,
    "title": "One database row",
    "routes": ["db"],
    "services": ["postgres"],
    "error_limit": 0.001,
}

ROWS = 10_000
VALUE_DIGITS = 5


def is_row(number: int, body: bytes) -> bool:
    """Say whether a body is that row with a value of five digits."""
    return re.fullmatch(rb'\{"id":%d,"value":[1-9]\d{%d}\}' % (number, VALUE_DIGITS - 1), body) is not None


class Reader(HttpUser):
    """Asks for a random row every time."""

    @task
    def db(self) -> None:
        """Ask for a row."""
        number = self.random.randint(1, ROWS)
        length = len(f'{{"id":{number},"value":}}') + VALUE_DIGITS
        self.client.get(f"/db?id={number}", name="/db", expect=Expect(length=length, body=partial(is_row, number)))
