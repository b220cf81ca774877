"""Cheroot, which has no option for its backlog and for how many waiting connections it keeps.

Knows Cheroot. Must not know any app.
"""

from __future__ import annotations

import argparse
import signal
from typing import Any

from cheroot.wsgi import Server
from loading import load


def main() -> None:
    """Serve until the process is told to end."""
    options = argparse.ArgumentParser()
    options.add_argument("target")
    options.add_argument("--host", required=True)
    for name in ("port", "threads", "kept", "keep-alive", "backlog"):
        options.add_argument(f"--{name}", type=int, required=True)
    given = options.parse_args()
    server = Server(
        (given.host, given.port),
        load(given.target),
        numthreads=given.threads,
        max=given.threads,
        request_queue_size=given.backlog,
        timeout=given.keep_alive,
    )
    server.keep_alive_conn_limit = given.kept

    def end(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    server.safe_start()


if __name__ == "__main__":
    main()
