"""`python -m gatebench`, and `gatebench`: the command line, whose modules take most of a second to import."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; an impatient Ctrl-C while it is imported ends it as any other does."""
    try:
        from gatebench import cli  # noqa: PLC0415 - so that it can be interrupted
    except KeyboardInterrupt:
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
