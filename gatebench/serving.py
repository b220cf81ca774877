"""A session's figures on a local page while it runs: two addresses on loopback, a page and its data.

Knows HTTP and a results file. Must not judge, nor listen anywhere but on loopback.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gatebench import store
from gatebench.errors import GatebenchError, MachineError
from gatebench.report import live

HOST = "127.0.0.1"
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


class Watched:
    """A results file that grows: what it says now, read again only when it has changed."""

    def __init__(self, find: Callable[[], Path]) -> None:
        self._find = find
        self._seen: tuple[Path, int, int] | None = None
        self._text = b""

    def now(self) -> bytes:
        """Give the session as JSON; where it cannot be read, why."""
        try:
            path = self._find()
            state = path.stat()
            seen = path, state.st_mtime_ns, state.st_size
            if seen != self._seen:
                self._text = json.dumps(live.now(store.read(path))).encode()
                self._seen = seen
        except (GatebenchError, OSError) as error:
            return json.dumps({"problem": str(error)}).encode()
        return self._text


class Patient(ThreadingHTTPServer):
    """A server that says nothing of who leaves before the answer."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of what is our own fault."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def server(find: Callable[[], Path], port: int) -> ThreadingHTTPServer:
    """Give a server that is ready to `serve_forever`; MachineError where the port is taken.

    `find` names the results file anew for each question, so that the newest can be followed.
    """
    watched, page = Watched(find), live.page().encode()

    class Answers(BaseHTTPRequestHandler):
        """Two addresses, for who asks for this host by its own name: no other page may read them."""

        def do_GET(self) -> None:
            own = {f"{name}:{self.connection.getsockname()[1]}" for name in (HOST, "localhost")}
            if self.headers.get("Host") not in own:
                self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"Ask for http://127.0.0.1 or http://localhost.\n")
            elif self.path == "/":
                self._answer(HTTPStatus.OK, "text/html; charset=utf-8", page)
            elif self.path == "/now.json":
                self._answer(HTTPStatus.OK, "application/json", watched.now())
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"There is / and /now.json.\n")

        def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
            self.send_response(status)
            for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: the page asks every two seconds."""

    try:
        return Patient((HOST, port), Answers)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MachineError(
            f"Port {port} of {HOST} cannot be listened on ({reason}): give another with --port."
        ) from None
