"""The route `template`: its rows, its page, and Jinja for those frameworks that have no engine of their own.

Knows the page. Must not know any framework. Jinja is loaded by the first page that is rendered here, and so not at
all where a framework renders its own.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).parent / "templates"  # rows.html, in the language of Jinja


class Row(NamedTuple):
    """What one row of the page shows."""

    id: int
    message: str


def rows(count: int, token: str) -> list[Row]:
    """Make the rows of a page; their messages hold what HTML must not have as it is."""
    return [Row(i, f'<script>alert("{token}")</script> & row {i}, it\'s ready') for i in range(1, count + 1)]


def page(count: int, token: str) -> str:
    """Render the page with Jinja."""
    return _template().render(rows=rows(count, token))


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader  # noqa: PLC0415 - most frameworks have an engine of their own

    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True).get_template("rows.html")
