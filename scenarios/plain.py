"""Thirteen bytes of text: what a server and a framework cost when the application does nothing.

Runs under `gatebench run`, and under plain `locust -f scenarios/plain.py -H URL`.
"""

from gatebench.swarm import EngineUser, Expect, Request

SCENARIO = {"version": 2, "title": "Plain text", "routes": ["plaintext"], "services": [], "error_limit": 0.001}


class Reader(EngineUser):
    """Asks for the text again and again."""

    mix = (Request("/plaintext", expect=Expect(body="Hello, World!")),)
