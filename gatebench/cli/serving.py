"""The verb that shows results as they come: serve."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from gatebench.cli.reports import newest
from gatebench.cli.terms import app, out
from gatebench.errors import Interrupted

PORT = 8765


@app.command()
def serve(
    results: Annotated[
        Path | None, typer.Argument(help="A results file.", show_default="the newest in results/, whichever it is")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On this machine's loopback; 0: any free one.")] = PORT,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Show a session's figures on a local page while it runs; ctrl-C ends it, with exit code 0."""
    from gatebench import serving  # noqa: PLC0415 - pandas costs a second

    if results is not None:
        from gatebench import store  # noqa: PLC0415 - the same

        store.read(results)  # a name mistyped is told now, not on the page
    with serving.server(lambda: results or newest(), port) as server:
        address = f"http://{serving.HOST}:{server.server_address[1]}/"
        out.print(f"{address} shows the session; ctrl-C ends it.", soft_wrap=True, highlight=False, markup=False)
        if show:
            webbrowser.open(address)
        with suppress(Interrupted):  # so it is asked to end: nothing is cut short, which exits with 130
            server.serve_forever()
