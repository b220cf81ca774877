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
from collections.abc import Sequence
from itertools import pairwise
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from gatebench import __version__
from gatebench.cli import checks, containers, gates, listing, past, reports, runs, serving
from gatebench.cli.terms import OF_THE_MACHINE, app, aside
from gatebench.errors import GatebenchError, Interrupted, MachineError, UsageError

__all__ = ["app", "checks", "containers", "gates", "listing", "main", "past", "reports", "runs", "serving"]

OF_A_PLACE = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR)
LONGEST = 300  # characters of a path that are told


def main() -> None:
    """Run the command line; a user's mistake is one sentence and an exit code, never a traceback."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        _check_words(sys.argv[1:])
        sys.exit(app(prog_name="gatebench", standalone_mode=False))
    except TyperException as error:
        if said := " ".join(error.format_message().split()):  # else the help has been shown instead
            _say(_misspelled(error, said))
        sys.exit(UsageError.exit_code)
    except (GatebenchError, Interrupted) as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001 - Python would end with 1, which says that there is a regression
        sys.exit(_unexpected(error))


def _check_words(words: Sequence[str]) -> None:
    """Refuse a word with nothing in it, which is what an unset variable of a script leaves."""
    for before, word in pairwise(("gatebench", *words)):
        option, equals, value = word.partition("=")
        if not word or (option.startswith("--") and equals and not value):
            raise UsageError(f"There is nothing after {option or before}: say what is meant, or leave it out.")


def _misspelled(error: TyperException, said: str) -> str:
    """Say in a sentence what the command line's parser says of a word that it does not know."""
    if close := getattr(error, "possibilities", None):
        said = f"{said.partition(' (')[0]}. Did you mean {' or '.join(close)}?"
    verb = next((f" {word}" for word in sys.argv[1:2] if not word.startswith("-")), "")
    asked = getattr(getattr(error, "ctx", None), "command_path", f"gatebench{verb}")
    return f"{said.replace(': Value error, ', ': ').rstrip('.')} (see {asked} --help)"


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
    raise Interrupted("Interrupted.")


def _say(text: str) -> None:
    aside.print(f"gatebench: {text}", soft_wrap=True, markup=False, highlight=False)


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
