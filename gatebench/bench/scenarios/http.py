"""The contract's plaintext, asked for by the project's HttpUser."""

from gatebench.swarm import Expect, HttpUser, task

HELLO = Expect(length=13, body=b"Hello, World!")


class Reader(HttpUser):
    """Asks for the text again and again."""

    @task
    def plaintext(self) -> None:
        """Ask for the text."""
        self.client.get("/plaintext", expect=HELLO)
