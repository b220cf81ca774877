"""`python -m gatebench`, and `gatebench`: the command line, whose modules take most of a second to import."""

from __future__ import annotations

import io
import os
import sys


def main() -> None:
    """Run the command line; an impatient Ctrl-C while it is imported ends it as any other does."""
    _open_streams()
    try:
        from gatebench import cli  # noqa: PLC0415 - so that it can be interrupted
    except KeyboardInterrupt:
        sys.exit(130)
    cli.main()


def _open_streams() -> None:
    """Make both streams fit to be written to, whatever they are: nobody's mistake is a lost result."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who called
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - as long as we run
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what its encoding lacks is a question mark


if __name__ == "__main__":
    main()
