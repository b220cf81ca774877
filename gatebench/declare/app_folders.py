"""The apps of the tree, and the axes of the work that they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gatebench.declare.places import NONE, folder_of, lines_of, name_of, named, settings_of
from gatebench.errors import UsageError
from gatebench.model import (
    App,
    Choice,
    Interface,
    Side,
)
from gatebench.toml import (
    Table,
    interface,
    load_toml,
    table,
    text,
    texts,
    texts_by_name,
)

RESERVED = ("bridge", "stage", "asgi", "wsgi")  # what stands in a stack's brackets beside axes
READY = "plaintext"  # the route that every app offers


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What apps/work/axes.toml declares: who may do the work of apps."""

    requirements: tuple[str, ...] = ()  # of all who use it
    axes: Mapping[Side, Mapping[str, tuple[Choice, ...]]] = field(default_factory=dict)  # the default first


def work(root: Path) -> Work | None:
    """Read apps/work/axes.toml; None in a tree whose apps do their work themselves."""
    path = root / "apps" / "work" / "axes.toml"
    if not path.is_file():
        return None
    declared, place = load_toml(path, root), str(path.relative_to(root))
    requirements = declared.take("requirements", "a list of requirements", texts, default=NONE)
    sides: dict[Side, Mapping[str, tuple[Choice, ...]]] = {}
    for side in ("sync", "aio"):
        sides[side] = _axes(declared.take(side, "a table of axes", table, default={}), f"{place} [{side}]")
    declared.done()
    return Work(requirements=requirements, axes=sides)


def _axes(axes: Mapping[str, Any], place: str) -> dict[str, tuple[Choice, ...]]:
    """Read axes, each a table of its values; the first value is the default."""
    read: dict[str, tuple[Choice, ...]] = {}
    for axis, values in axes.items():
        if axis in RESERVED or name_of(axis) is None or not isinstance(values, dict) or not values:
            raise UsageError(
                f"{place}: the axis '{axis}' holds {values!r}; expected a table of its values, under a name of a-z, "
                f"0-9, '_' and '-' that is none of {', '.join(RESERVED)}."
            )
        read[axis] = tuple(_choices(axis, values, f"{place} {axis}"))
    return read


def _choices(axis: str, values: Mapping[str, Any], place: str) -> Iterator[Choice]:
    for number, (value, given) in enumerate(values.items()):
        if name_of(value) is None or not isinstance(given, dict):
            raise UsageError(
                f"{place}: the value '{value}' holds {given!r}; expected a table under a name of a-z, 0-9, '_', '-'."
            )
        declared = Table(f"{place}.{value}", given)
        yield Choice(
            axis=axis,
            value=value,
            default=number == 0,
            requirements=declared.take("requirements", "a list of requirements", texts, default=()),
            target=declared.take("target", 'an import path such as "app:app"', text, default=None),
            work=declared.take("work", '"sync" or "aio"', _side, default=None),
            settings=settings_of(declared, f"{place}.{value}", default={}),
            instead=declared.take("instead", "a table of services", texts_by_name, default={}),
            lacks=declared.take("lacks", "a table of routes with reasons", texts_by_name, default={}),
        )
        declared.done()


def _side(value: Any) -> Side | None:
    return value if value in ("sync", "aio") else None


def apps(root: Path) -> dict[str, App]:
    """Find every folder of apps/ that holds an app.toml."""
    shared = work(root)
    return {path.parent.name: _app(path, root, shared) for path in sorted(folder_of(root, "apps").glob("*/app.toml"))}


def _app(path: Path, root: Path, shared: Work | None) -> App:
    declared, place = load_toml(path, root), str(path.relative_to(root))
    spoken: Interface = declared.take("interface", '"wsgi" or "asgi"', interface)
    usual: Side = "sync" if spoken == "wsgi" else "aio"
    app = App(
        name=named(path.parent, root),
        interface=spoken,
        target=declared.take("target", 'an import path such as "app:app"', text),
        folder=path.parent,
        requirements=lines_of(path.parent / "requirements.txt", root) + (shared.requirements if shared else ()),
        lacks=declared.take("lacks", "a table of routes with reasons", texts_by_name, default={}),
        work=declared.take("work", '"sync" or "aio"', _side, default=usual) if shared else None,
        axes=_axes(declared.take("axes", "a table of axes", table, default={}), f"{place} [axes]"),
    )
    declared.done()
    if READY in app.lacks:
        raise UsageError(f"{place}: the route '{READY}' may not be lacking: it tells who is ready.")
    for axis in app.axes:
        if shared and any(axis in axes for axes in shared.axes.values()):
            raise UsageError(
                f"{place} [axes]: the axis '{axis}' is one of apps/work/axes.toml; expected another name."
            )
    return app
