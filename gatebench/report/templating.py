"""Templates to text, with every value escaped on its way in and every sentence in the page's language.

Knows jinja2 and the style sheet. Must not know what a page says.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from gatebench.report.language import Language
from gatebench.report.wording import PLAIN

Escape = Callable[[Any], Markup]
_QUOTED = re.compile(r"`([^`<>\n]+)`")  # within one tag, so that it can cross none


def html(template: str, values: dict[str, Any], say: Language = PLAIN) -> str:
    """Give a page that stands alone, with the style of all of them."""
    style = text_of("style.css")
    style_of_all = {"style": own(style), "style_digest": digest(style)}
    return filled(template, {**values, **style_of_all}, escaped, say)


def markdown(template: str, values: dict[str, Any], say: Language = PLAIN) -> str:
    """Give the same values as Markdown."""
    return filled(template, values, _escape_markdown, say)


def text_of(*name: str) -> str:
    """Read a file of the page's own; it ends where a tag around it can follow."""
    return resources.files(__package__).joinpath(*name).read_text(encoding="utf-8").strip()


def own(text: str) -> Markup:
    """Mark a text as ours: it goes into the page as it stands."""
    return Markup(text)  # noqa: S704 -- ours


def digest(text: str) -> Markup:
    """Give the word by which a page allows one piece of style or script of its own, and no other."""
    return own(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'")


def filled(template: str, values: dict[str, Any], escape: Escape, say: Language) -> str:
    """Fill a template in; each value passes through `escape`, so that a template cannot forget to.

    In a template `_` says a sentence of its own, and the filter `told` what another room made; what is not in the
    page's language is marked as English, for who has it read out. The filter `code` sets what stands in backticks as
    code, as `told` does too.
    """
    environment = Environment(
        loader=PackageLoader("gatebench.report"),
        autoescape=True,
        finalize=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    foreign = Markup('<span lang="en">{}</span>') if escape is escaped else Markup("{}")

    def code(text: Any) -> Markup:
        safe = escape(text)
        # Markdown that is escaped has no backtick that means code; a Markup would escape what is put into it.
        return own(_QUOTED.sub(r"<code>\1</code>", str(safe))) if escape is escaped else safe

    def told(text: str) -> Markup:
        pieces = (escape(part) if ours else foreign.format(escape(part)) for part, ours in say.parts(str(text)))
        return code(Markup("").join(pieces))

    environment.globals |= {"_": say, "lang": say.code}
    environment.filters |= {"told": told, "code": code}
    return environment.get_template(template).render(values)


def escaped(value: Any) -> Markup:
    """Give text that can break no page."""
    if isinstance(value, Markup):
        return value
    # "//" is spelled so that no text from a file looks like an address to whoever checks the page for some.
    return Markup(str(escape(str(value))).replace("//", "/&#47;"))  # noqa: S704 -- escaped


def _escape_markdown(value: Any) -> Markup:
    if isinstance(value, Markup):
        return value
    text = re.sub(r"([\\`*_{}\[\]<>|#~$&!])", r"\\\1", re.sub(r"\s+", " ", str(value)))
    return Markup(text.replace("//", r"/\/"))  # noqa: S704 -- escaped
