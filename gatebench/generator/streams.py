"""The client of HTTP/1.1 over TLS, HTTP/2 and HTTP/3 as a process of this machine, started like the load generator.

Knows the program's name. Must not know protocols, nor what the figures mean.
"""

from __future__ import annotations

from dataclasses import dataclass

from gatebench.generator.process import Locust


@dataclass(slots=True)
class Streams(Locust):
    """Starts `python -m gatebench.streams`."""

    name: str = "streams"
    module: str = "gatebench.streams"
