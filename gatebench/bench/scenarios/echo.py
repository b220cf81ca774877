"""Messages of 32 random bytes and their echoes over WebSockets, by the engine."""

from gatebench.swarm import Echo, EngineUser, Hex


class Talker(EngineUser):
    """Sends a text and wants it back."""

    mix = Echo("/ws", message=Hex(32))
