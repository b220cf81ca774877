"""Uvicorn's worker for Gunicorn with its loop, parser and WebSocket implementation named.

uvicorn-worker takes whatever it finds installed; this one takes what the server's file says, by the variables that
Uvicorn's own command line would read. Must not know any app.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker


class Named(UvicornWorker):
    """The worker, told what to use."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": os.environ["UVICORN_LOOP"],
        "http": os.environ["UVICORN_HTTP"],
        "ws": os.environ["UVICORN_WS"],
        "ws_per_message_deflate": os.environ["UVICORN_WS_PER_MESSAGE_DEFLATE"] == "true",
        "ws_ping_interval": float(os.environ["UVICORN_WS_PING_INTERVAL"]),
        "access_log": False,
    }
