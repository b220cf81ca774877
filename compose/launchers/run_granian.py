"""Granian with TLS: makes a certificate of its own for an address, and becomes Granian with it.

Called with a folder, an address, and Granian's own options. Must not know any app.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from certifying import certify


def main() -> None:
    """Become Granian."""
    folder, address, *options = sys.argv[1:]
    key, certificate = certify(Path(folder), address)
    files = ["--ssl-keyfile", str(key), "--ssl-certificate", str(certificate)]
    os.execv(sys.executable, [sys.executable, "-m", "granian", *files, *options])  # noqa: S606 - no shell is meant


if __name__ == "__main__":
    main()
