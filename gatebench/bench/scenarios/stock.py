"""The contract's plaintext, asked for by Locust's HttpUser; Locust itself checks the status only."""

from locust import HttpUser, task


class Reader(HttpUser):
    """Asks for the text again and again."""

    @task
    def plaintext(self) -> None:
        """Ask for the text."""
        self.client.get("/plaintext")
