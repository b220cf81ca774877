"""What all verbs share: the application, its console, its common options, and how some of them are read.

Knows typer and rich. Must not know what a verb does.
"""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.status import Status

from gatebench.errors import UsageError

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
NO_CHARACTER = "\ufffd"
OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE)  # its owner's turn
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
    """A console on which nothing that a file, a server or an address says can act: its control characters show."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Give what is printed; the colours are rich's own, and come later."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else CONTROL.sub(NO_CHARACTER, text), style, control)


out = Terminal(emoji=False, width=None if sys.stdout.isatty() else WIDE)
aside = Terminal(emoji=False, width=None if sys.stderr.isatty() else WIDE, stderr=True)  # where stdout is a script's

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
            turned_off = param.secondary_opts and ctx.params[param.name] is False
            found[param.name] = (param.secondary_opts if turned_off else param.opts)[0]
    return found


def check_name(session: str | None) -> None:
    """Refuse a name that no results file can have."""
    if session is not None and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", session):
        raise UsageError("--session takes up to 100 letters, digits, '.', '_' and '-'; the folder is for --out.")
