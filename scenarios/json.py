"""A small object with the caller's number in it, serialised per request: the framework's own JSON path.

Runs under `gatebench run`, and under plain `locust -f scenarios/json.py -H URL`.
"""

from gatebench.load import Expect, HttpUser, task

SCENARIO = {"version": 1, "title": "JSON", "routes": ["json"], "services": [], "error_limit": 0.001}


class Reader(HttpUser):
    """Asks with a random number every time."""

    @task
    def number(self) -> None:
        """Ask for the object with a number."""
        number = self.random.randint(1, 1_000_000)
        body = b'{"id":%d,"message":"Hello, World!"}' % number
        self.client.get(f"/json?id={number}", name="/json", expect=Expect(length=len(body), body=body))
