"""The verbs about containers: clean, compose, base-image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gatebench.backends.containers import compose as composed
from gatebench.backends.containers import debian, engine
from gatebench.cli.terms import Root, app, out, telling
from gatebench.errors import MachineError
from gatebench.session import Tree


@app.command()
def clean(
    images: Annotated[
        bool,
        typer.Option("--images", help="All images of gatebench too, the base included: not while a session runs."),
    ] = False,
) -> None:
    """Remove from the Docker engine what earlier sessions left behind; only what carries gatebench's label."""
    found = engine.find()
    things = engine.leftovers(found)
    if images:
        things += engine.images(found)
    kept = []
    for thing in things:
        try:
            engine.remove(found, thing)
        except MachineError as error:
            kept.append(str(error))
        else:
            out.print(f"removed {thing}", highlight=False, markup=False)
    if not things:
        out.print("Nothing was left behind.")
    if kept:
        raise MachineError("Not all of it could be removed: " + " ".join(kept))


@app.command()
def compose(
    stack: Annotated[str, typer.Argument(help="A stack, app+server.", show_default=False)], root: Root = Path()
) -> None:
    """Print the compose file that starts one stack with its services by hand, to look at and not to measure.

    compose/compose.yaml is one of them. Write another beside it, since paths in it start from there.
    """
    tree = Tree.load(root.resolve())
    typer.echo(composed.render(tree.stacks.one(stack), tree.services), nl=False)


@app.command("base-image")
def base_image() -> None:
    """Make the base of all images from Debian's packages, for where none can be pulled."""
    found = engine.find()
    with out.status("starting") as status:
        made = debian.base_image(found.client, telling(status))
    out.print(f"{made} is there.", highlight=False, markup=False)
