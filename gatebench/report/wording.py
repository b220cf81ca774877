"""Figures, factors and tables in words.

Knows estimates and how they are shown. Must not know sessions or how a page looks.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from markupsafe import Markup

from gatebench.metrics import TIMES, Bound, bare, show, show_estimate
from gatebench.model import Comparison, Estimate, Load
from gatebench.report.language import ENGLISH, Language


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A figure in words, with its interval below."""

    value: str
    interval: str = ""
    order: float | None = None  # what it is sorted by


NOTHING = Shown(value="—")
PLAIN = Language(ENGLISH)
OVER_TLS = {"h1": "HTTP/1.1", "h2": "HTTP/2", "h3": "HTTP/3"}  # kinds of loads, and what they speak


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure with its caption."""

    svg: Markup
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table: a name and a row of figures in words each."""

    title: str
    corner: str  # what the names are
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Shown, ...]], ...]
    notes: tuple[str, ...] = ()  # made by other rooms


def shown(estimate: Estimate | None, unit: str, say: Language = PLAIN, *, bound: Bound = "") -> Shown:
    """Put a figure and its interval in words, with no digit that the interval does not support."""
    if estimate is None:
        return NOTHING
    value, low, high = (say.told(text) for text in show_estimate(estimate, unit, bound=bound))
    if not low:
        return Shown(value=value, interval=say("no interval"), order=estimate.value)
    if estimate.low == estimate.high:
        return Shown(value=value, interval=say("the same in all blocks"), order=estimate.value)
    return Shown(value=value, interval=say("{low} to {high}", low=bare(low, high), high=high), order=estimate.value)


def figure(value: float | None, unit: str, say: Language) -> str:
    """Put a bare figure in words."""
    return say.told(show(value, unit))


def line(estimate: Estimate | None, unit: str, say: Language) -> str:
    """Put a figure and its interval in one line."""
    made = shown(estimate, unit, say)
    return f"{made.value} ({made.interval})" if made.interval else made.value


def bounded(estimate: Estimate | None, comparison: Comparison, say: Language) -> Shown:
    """Put a factor of connections in words: as a bound, where one side kept all that were offered."""
    if comparison.ratio is None or not (comparison.asgi_at_limit or comparison.wsgi_at_limit):
        return times(estimate, say)
    if comparison.asgi_at_limit and comparison.wsgi_at_limit:
        return NOTHING  # whatever it is, what was offered hides it
    bound: Bound = "≥" if comparison.asgi_at_limit else "≤"
    factor = shown(estimate, TIMES, say, bound=bound)
    return replace(factor, value=f"{bound} {factor.value}")


def times(estimate: Estimate | None, say: Language) -> Shown:
    """Put a factor in words."""
    return shown(estimate, TIMES, say)


def place(first: int, last: int) -> str:
    """Put a place in words, or the range of those that are left open."""
    return f"{first}" if first == last else f"{first}\N{EN DASH}{last}"


def shorter(stack: str) -> str:
    """Name a stack where there is no room for its settings."""
    return re.sub(r"\[.*\]", "[…]", stack)


def load_said(load: str, say: Language) -> str:
    """Put a load in words, as far as it is a number of users or connections."""
    parsed = Load.parse(load)
    if parsed.held:
        return say("{size} connections", size=f"{parsed.size:,}")
    if not parsed.looped:
        return load
    if parsed.kind in OVER_TLS:
        return say("{size} users over TLS, {version}", size=f"{parsed.size:,}", version=OVER_TLS[parsed.kind])
    return say("1 user") if parsed.size == 1 else say("{size} users", size=f"{parsed.size:,}")


def apart(estimate: Estimate | None) -> int:
    """Tell whether a factor lies above 1 (1), below (-1), or its interval leaves that open (0)."""
    if estimate is None:
        return 0
    return ((estimate.low or 0.0) > 1) - ((estimate.high or math.inf) < 1)
