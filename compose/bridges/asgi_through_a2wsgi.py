"""An ASGI app as a WSGI one, by a2wsgi, with an event loop in a thread of its own. Must not know app or server."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

from a2wsgi import ASGIMiddleware
from bridged import load

bridge = ASGIMiddleware(load())


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Hand a request on, and wait for its first part: only then is the head there, which Granian takes at once."""
    parts = iter(bridge(environ, start_response))
    return chain([next(parts)], parts)
