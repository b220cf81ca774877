"""The command line: verbs, exit codes, and all that is printed. No other room prints or exits.

Exit codes: 0 done, 1 a regression or a failed contract, 2 wrong usage, declaration or unreadable file, 3 not to be
trusted (no valid trial, or a gate that is unsure), 4 the machine, a service or gatebench itself failed, 130
interrupted (the results so far are kept).
"""

from __future__ import annotations

import errno
import signal
import sys
import traceback
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from gatebench import __version__
from gatebench.cli import checks, containers, gates, listing, past, reports, runs, serving
from gatebench.cli.terms import app
from gatebench.errors import GatebenchError, Interrupted, MachineError, UsageError

__all__ = ["app", "checks", "containers", "gates", "listing", "main", "past", "reports", "runs", "serving"]

OF_A_PLACE = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR)
OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE)
LONGEST = 300  # characters of a path that are told


def main() -> None:
    """Run the command line; a user's mistake is one sentence and an exit code, never a traceback."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        app()
    except (GatebenchError, Interrupted) as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001 - Python would end with 1, which says that there is a regression
        sys.exit(_unexpected(error))


def _unexpected(error: Exception) -> int:
    """Tell an error that no room has put into a sentence, and give what to exit with."""
    told = _of_a_file(error) if isinstance(error, OSError) else None
    if told is not None:
        _say(str(told))
        return told.exit_code
    traceback.print_exception(error)
    what = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
    _say(f"this is a fault of gatebench's own ({what}); please report it with the lines above.")
    return MachineError.exit_code


def _of_a_file(error: OSError) -> GatebenchError | None:
    """Give the error of a path that cannot be used, or of a disk that is full; None where neither is at fault."""
    path, why = str(error.filename), error.strerror
    if len(path) > LONGEST:
        path = f"{path[:LONGEST]}…"
    if error.filename is not None and error.errno in OF_A_PLACE:
        return UsageError(f"{path} cannot be used ({why}): see that it is spelled right and that you may use it.")
    if error.errno in OF_THE_MACHINE:
        return MachineError(f"The machine gives no more{f' at {path}' if error.filename else ''} ({why}).")
    return None


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Stop once: what cleans up must not be interrupted in its turn."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise Interrupted("Interrupted; what was measured so far is kept.")


def _say(text: str) -> None:
    Console(stderr=True, soft_wrap=True, emoji=False).print(f"gatebench: {text}", markup=False, highlight=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gatebench {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hold the options that come before a verb."""
