"""The command line: verbs, exit codes, and all that is printed. No other room prints or exits.

Exit codes: 0 done, 1 a regression or a failed contract, 2 wrong usage, declaration or unreadable file, 3 not to be
trusted (no valid trial, or a gate that is unsure), 4 the machine or a service failed, 130 interrupted (the results so
far are kept).
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from gatebench import __version__
from gatebench.cli import checks, containers, gates, listing, past, reports, runs
from gatebench.cli.terms import app
from gatebench.errors import GatebenchError, Interrupted

__all__ = ["app", "checks", "containers", "gates", "listing", "main", "past", "reports", "runs"]


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


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Stop once: what cleans up must not be interrupted in its turn."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise Interrupted("Interrupted; what was measured so far is kept.")


def _say(text: str) -> None:
    Console(stderr=True, soft_wrap=True).print(f"gatebench: {text}", markup=False, highlight=False)


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
