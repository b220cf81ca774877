"""One row of ten thousand, by its random number, from a real database: what a request that waits for one costs.

Reads only: an update would measure the disk of whoever runs this. The contract's check does update.
Runs under `gatebench run`, and under plain `locust -f scenarios/db.py -H URL`.
"""

from gatebench.swarm import Digits, EngineUser, Expect, Request, Whole

SCENARIO = {
    "version": 2,
    "title": "One database row",
    "routes": ["db"],
    "services": ["postgres"],
    "error_limit": 0.001,
}

ROW = Whole(1, 10_000)
VALUE = Digits(5)  # which one, only the database knows


class Reader(EngineUser):
    """Asks for a random row every time."""

    mix = (
        Request(
            ("/db?id=", ROW),
            name="/db",
            expect=Expect(body=('{"id":', ROW, ',"value":', VALUE, "}")),
        ),
    )
