"""Thirteen bytes of text: what a server and a framework cost when the application does nothing.

Runs under `gatebench run`, and under plain `locust -f scenarios/plain.py -H URL`.
"""

from gatebench.load import Expect, HttpUser, task

SCENARIO = {"version": 1, "title": "Plain text", "routes": ["plaintext"], "services": [], "error_limit": 0.001}

HELLO = Expect(length=13, body=b"Hello, World!")


class Reader(HttpUser):
    """Asks for the text again and again."""

    @task
    def plaintext(self) -> None:
        """Ask for the text."""
        self.client.get("/plaintext", expect=HELLO)
