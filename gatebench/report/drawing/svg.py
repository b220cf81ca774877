"""Matplotlib figures as SVG fit to stand inside the page: no outside address, no clash of names, the page's colours.

Knows matplotlib's output. Must not know what is drawn.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Colours are drawn as these and become the style sheet's variables, so that a figure follows the page into the dark.
INK, MUTED, RULE, PAPER = "#010101", "#020202", "#030303", "#040404"
WSGI, ASGI = "#050505", "#060606"
SERIES = ("#0a0a01", "#0a0a02", "#0a0a03", "#0a0a04", "#0a0a05", "#0a0a06")
_VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "paper", WSGI: "wsgi", ASGI: "asgi"} | {
    colour: f"series-{number}" for number, colour in enumerate(SERIES)
}

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: smaller, searchable, in the reader's font
    "svg.hashsalt": "gatebench",  # names of clip paths follow from the drawing, not from chance
    "text.parse_math": False,  # a stack may be named $\frac{
    "axes.unicode_minus": False,
    "font.size": 9.0,
    "text.color": INK,
}


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Draw as the page wants it, whatever this user's matplotlib is set to."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def series(number: int) -> str:
    """Give the name of what belongs to one of a figure's series, so that a page can find it."""
    return f"series:{number}"


def inline(figure: Figure, name: str, description: str) -> Markup:
    """Give a figure as an `svg` element; `name` is unique on the page, `description` is read out in its stead."""
    FigureCanvasSVG(figure)
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # The browser's fonts decide what can be shown, and they have more glyphs than matplotlib's.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    for pattern, new in (
        (r"<metadata>.*?</metadata>", ""),
        (r"<style[^>]*>.*?</style>", ""),  # it would style the whole page; style.css has the same for figures
        (r'<g id="[^"]*"\s*/>', ""),  # what was drawn of nothing
        (r'<g id="series:(\d+)"\s*>', r'<g class="series" data-series="\1">'),
        (r'<g id="[^"]*"\s*>', "<g>"),
        (r' id="([^"]*)"', rf' id="{name}-\1"'),
        (r"url\(#", f"url(#{name}-"),
        (r'xlink:href="#', f'href="#{name}-'),
        (r" font-family: [^;\"]*;", ""),  # the page's
        (r' transform="rotate\(-0 [^"]*"', ""),  # that of all level text
        (r"[ \t]*\n\s*", "\n"),
        (r"//", "/&#47;"),
    ):
        body = re.sub(pattern, new, body, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    width, height = (72 * inches for inches in figure.get_size_inches())
    # The body is matplotlib's own, which escapes all text it is given.
    return Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">').format(
        width, height, description
    ) + Markup(body)  # noqa: S704 -- the same
