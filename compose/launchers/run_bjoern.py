"""Bjoern, which has no command line. Knows Bjoern. Must not know any app."""

from __future__ import annotations

import argparse

import bjoern
from loading import load


def main() -> None:
    """Serve until the process is told to end."""
    options = argparse.ArgumentParser()
    options.add_argument("target")
    options.add_argument("--host", required=True)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--backlog", type=int, required=True)
    given = options.parse_args()
    bjoern.run(load(given.target), given.host, given.port, listen_backlog=given.backlog)


if __name__ == "__main__":
    main()
