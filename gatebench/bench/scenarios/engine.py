"""The contract's plaintext, asked for by the engine."""

from gatebench.swarm import EngineUser, Expect, Request


class Reader(EngineUser):
    """Asks for the text again and again."""

    mix = (Request("/plaintext", expect=Expect(length=13, body=b"Hello, World!")),)
