"""The verb that judges: report."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from gatebench.cli.terms import app, out
from gatebench.errors import UntrustedError, UsageError

if TYPE_CHECKING:
    from gatebench.report import Built

Format = Literal["terminal", "md", "csv", "json"]


@app.command()
def report(  # noqa: PLR0917 - options, which typer gives by name
    results: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A results file; or several of one machine, whose parts make one page.",
            show_default="the newest in results/",
        ),
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Where the page goes.")] = Path("reports"),
    lang: Annotated[str, typer.Option(help="The page's language: en or zh-Hant.")] = "en",
    form: Annotated[
        Format, typer.Option("--format", help="What is printed: the headline, all of it as Markdown, the cells.")
    ] = "terminal",
    see: Annotated[
        list[str] | None,
        typer.Option(
            help="A page beside this one to link to: TITLE=PATH; a language's code may be TITLE.",
            show_default=False,
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Make index.html, report.md and tables/*.csv from a results file alone."""
    from gatebench import report as reports  # noqa: PLC0415 - matplotlib and pandas cost a second

    paths = results or [newest()]
    for path in paths:
        if _is_gates(path):
            raise UsageError(f"{path} is a gate's, which has a page of its own: `gatebench gate {path}` judges it.")
    built = reports.build(paths, folder, lang, see or ())
    _print(built, form, lang)
    if show:
        webbrowser.open(built.page.resolve().as_uri())
    # One without a valid trial is nothing to trust, whereas a session need not settle any row.
    if not built.valid:
        raise UntrustedError(f"The page {built.page} holds no figure: no trial is valid; it says why.")


def _print(built: Built, form: Format, lang: str) -> None:
    if form == "md":
        typer.echo(built.markdown.rstrip("\n"))  # as it is: a console would make spaces of tabs
    elif form == "csv":
        typer.echo(built.tables["cells"].rstrip("\n"))
    elif form == "json":
        typer.echo(json.dumps(built.judged, ensure_ascii=False, indent=2, allow_nan=False))
    else:
        if built.headline:
            out.print(_table(built, lang))
        out.print(str(built.page), soft_wrap=True, highlight=False, markup=False)


def _table(built: Built, lang: str) -> Table:
    from gatebench.report.language import language  # noqa: PLC0415 - as above

    say = language(lang)
    table = Table(title=say.told("The published comparison, measured here"))
    for heading in ("Row", "Claimed", "WSGI", "ASGI", "Factor", "Verdict"):
        table.add_column(say.told(heading), overflow="fold")  # two stacks may differ in their last letters only
    for row in built.headline:
        said = (row.label, row.claimed, row.wsgi, row.asgi, row.factor, say.told(row.verdict))
        table.add_row(*map(escape, said))
    return table


def newest() -> Path:
    """Give the newest results file that is no gate's; UsageError where there is none."""
    found = sorted(Path("results").glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UsageError("There is no results file in results/; run `gatebench run` first, or name a file.")
    for path in reversed(found):
        if not _is_gates(path):
            return path
    raise UsageError(
        "All results files in results/ are gates': `gatebench gate FILE` judges one; "
        "for a report run `gatebench run` first, or name a file."
    )


def _is_gates(path: Path) -> bool:
    """Tell from its first line alone whether a file is a gate's; what is no results file is told by its reader."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.readline())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(header, dict) and header.get("gate") is not None
