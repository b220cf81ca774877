"""Hypercorn with TLS: makes a certificate of its own for an address, and runs Hypercorn with it.

Called with a folder, an address, how many requests a connection may bring (its command line has no word for it), and
Hypercorn's own options. Must not know any app.
"""

from __future__ import annotations

import sys
from pathlib import Path

from certifying import certify
from hypercorn.__main__ import main as hypercorn


def main() -> int:
    """Serve until the process is told to end."""
    folder, address, requests, *options = sys.argv[1:]
    key, certificate = certify(Path(folder), address)
    config = Path(folder) / "hypercorn.toml"
    config.write_text(f"keep_alive_max_requests = {int(requests)}\n", encoding="utf-8")
    return int(hypercorn(["--config", str(config), "--keyfile", str(key), "--certfile", str(certificate), *options]))


if __name__ == "__main__":  # its workers are new interpreters, which import this file
    sys.exit(main())
