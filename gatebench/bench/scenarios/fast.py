"""The contract's plaintext, asked for by Locust's FastHttpUser; Locust itself checks the status only."""

from locust import FastHttpUser, task


class Reader(FastHttpUser):
    """Asks for the text again and again."""

    @task
    def plaintext(self) -> None:
        """Ask for the text."""
        self.client.get("/plaintext")
