"""Messages of 32 bytes and their echoes over open WebSockets; and how many connections can be opened and kept.

Under `closed(N)` each of N users sends its next message when it has the echo of the last; under `hold(N)` connections
are opened until the server takes no more, and each speaks once in the window.
Runs under `gatebench run`, and under plain `locust -f scenarios/websocket.py -H URL`, there always as a closed loop.
"""

from gatebench.swarm import Echo, EngineUser, Hex

SCENARIO = {
    "version": 2,
    "title": "WebSocket echo",
    "routes": ["ws"],
    "services": [],
    "holds": True,
    "error_limit": 0.001,
}


class Talker(EngineUser):
    """Sends random text and wants it back."""

    mix = Echo("/ws", message=Hex(32))
