"""What all verbs share: the application, its console, its common options, and how some of them are read.

Knows typer and rich. Must not know what a verb does.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from gatebench.errors import UsageError

WIDE = 160  # columns where no terminal says how many it has

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Measure Python web stacks, WSGI against ASGI, and say how sure the figures are.",
    epilog="Exit codes: 0 done; 1 a regression or a failed contract; 2 wrong usage or unreadable file; "
    "3 no valid trial, or a gate that is unsure; 4 the machine, a service or gatebench itself failed; "
    "130 interrupted, results so far kept.",
)


class Terminal(Console):
    """A console that whoever reads it may leave early: the exit code is that of what was done."""

    def on_broken_pipe(self) -> None:
        """Say no more, and let the verb come to its end."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


out = Terminal(emoji=False, width=None if sys.stdout.isatty() else WIDE)

Root = Annotated[
    Path, typer.Option("--root", help="The folder with apps/, compose/ and scenarios/.", show_default="here")
]
Stacks = Annotated[list[str] | None, typer.Option("--stack", help="A stack, app+server; may be given again.")]
Backend = Annotated[
    str,
    typer.Option(
        "--backend",
        envvar="GATEBENCH_BACKEND",
        help="container or process; auto: containers where a Docker engine answers; fake: nothing is measured.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
App = Annotated[
    Path | None,
    typer.Option("--app", help="A folder of your own with an app.toml, see docs/own-app.md.", show_default=False),
]


def telling(status: Status) -> Callable[[str], None]:
    """Give what shows in a few words what is being done."""
    return lambda text: status.update(escape(text))


def given(ctx: typer.Context) -> dict[str, str]:
    """Give the options that the command line has, not those of the environment: by name, as they are spelled."""
    found = {}
    for param in ctx.command.params:
        source = ctx.get_parameter_source(param.name or "")
        if param.name and source is not None and source.name == "COMMANDLINE":
            found[param.name] = param.opts[0]
    return found


def check_name(session: str | None) -> None:
    """Refuse a name that no results file can have."""
    if session is not None and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", session):
        raise UsageError("--session takes up to 100 letters, digits, '.', '_' and '-'; the folder is for --out.")
