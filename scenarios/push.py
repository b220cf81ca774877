"""An event a second to each of many listeners: how many streams a stack keeps going, and how late its events come.

Under `hold(N)` streams are opened until the server takes no more; each event in the window is counted as a request
that took as long as it came late, and a stream is kept that goes on until the window's end. The numbers of the events
must follow one another. A stream would last an hour, more than any trial.
Runs under `gatebench run`, and under plain `locust -f scenarios/push.py -H URL`, there with as many streams as users.
"""

from gatebench.swarm import EngineUser, Events

SCENARIO = {
    "version": 1,
    "title": "An event a second",
    "routes": ["sse"],
    "services": [],
    "holds": True,
    "error_limit": 0.001,
}


class Listener(EngineUser):
    """Listens."""

    mix = Events("/sse?n=3600&every=1", every_s=1.0, name="/sse")
