"""Texts that differ in their figures only, put as one: each figure that differs as the span of its values.

Knows texts. Must not know trials, nor what a text is about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_FIGURE = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?![\w.]*\d)")


def shape(text: str) -> str:
    """Give a text without its figures: texts of one shape can be put as one."""
    return _FIGURE.sub("#", text)


def spanned(texts: Sequence[str]) -> str:
    """Put texts of one shape as one: 'late by 1.3 ms' and 'late by 4.2 ms' are late by 1.3 to 4.2, with a dash."""
    columns = zip(*(_FIGURE.findall(text) for text in texts), strict=True)
    spans = iter([_span(column) for column in columns])
    return _FIGURE.sub(lambda _: next(spans), texts[0])


def _span(figures: Sequence[str]) -> str:
    rising = sorted(figures, key=lambda figure: float(figure.replace(",", "")))
    least, most = rising[0], rising[-1]
    return least if least == most else f"{least}\N{EN DASH}{most}"
