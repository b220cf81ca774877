"""`python -m gatebench`, and `gatebench`: the command line, whose modules take most of a second to import.

Knows what the streams may be that it is given. Must not know a verb.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Stream(io.FileIO):
    """Bytes to somebody who may be gone, as `head -1` is: the exit code is that of what was done."""

    def __init__(self, number: int, *, told: bool) -> None:
        """Take an open file; `told` says that nobody is to hear of what cannot be written."""
        super().__init__(number, "wb", closefd=False)
        self._told = told

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or let it be where nobody reads; a disk that is full is told once."""
        try:
            return super().write(data)
        except OSError as error:
            if not self._told and not isinstance(error, BrokenPipeError):
                self._told = True
                raise
            return memoryview(data).nbytes


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
            stream.flush()
            kept = io.BufferedWriter(_Stream(stream.fileno(), told=name == "stderr"))
            # What its encoding lacks is a question mark.
            patient = io.TextIOWrapper(kept, stream.encoding, "replace", line_buffering=stream.line_buffering)
            setattr(sys, name, patient)


if __name__ == "__main__":
    main()
