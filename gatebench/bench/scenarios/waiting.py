"""A route that waits before it answers, asked for by the engine."""

from gatebench.swarm import EngineUser, Expect, Request


class Patient(EngineUser):
    """Asks, and waits for as long as it takes."""

    mix = (Request("/wait", expect=Expect(length=6, body=b"waited")),)
