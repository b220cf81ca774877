"""Sanic's own server, whose command line has no word for its backlog. Knows Sanic. Must not know any app."""

from __future__ import annotations

import argparse

from sanic import Sanic
from sanic.worker.loader import AppLoader


def main() -> None:
    """Serve until the process is told to end."""
    options = argparse.ArgumentParser()
    options.add_argument("target")
    options.add_argument("--host", required=True)
    for name in ("port", "workers", "backlog"):
        options.add_argument(f"--{name}", type=int, required=True)
    given = options.parse_args()
    loader = AppLoader(given.target)  # a worker is a new interpreter, and loads the app anew
    app = loader.load()
    app.prepare(
        host=given.host,
        port=given.port,
        workers=given.workers,
        backlog=given.backlog,
        access_log=False,
        motd=False,
    )
    Sanic.serve(primary=app, app_loader=loader)


if __name__ == "__main__":
    main()
