"""How the page writes figures: shares with their counts, changes with their intervals, tables, files.

Knows Markdown and numbers. Must not know experiments.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence

from gatebench.model import Estimate
from gatebench.power.trying import Share

NONE = "—"
WIDTH = 119
GLUE = "\x00"


def flowed(text: str) -> str:
    """Break prose and lists into lines of one width, whatever was put into them; all else stays as it is."""
    return "\n\n".join(_flowed(part) for part in text.split("\n\n"))


def _flowed(part: str) -> str:
    if part.startswith(("|", "#", "!")):
        return part
    items: list[str] = []
    for line in part.splitlines():
        if line.startswith("- ") or not items:
            items.append(line)
        else:
            items[-1] += f" {line.strip()}"
    return "\n".join(_filled(item) for item in items)


def _filled(item: str) -> str:
    indent = "  " if item.startswith("- ") else ""
    whole = item.replace(" %", f"{GLUE}%")  # a figure keeps its unit
    told = textwrap.fill(whole, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return told.replace(GLUE, " ")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def files(names: Iterable[str]) -> str:
    """Name the files that something came from."""
    named = [f"`{name}`" for name in names]
    return f"From: {', '.join(named)}." if named else "From: no file."


def percent(share: float, digits: int = 1, sign: str = "") -> str:
    """Write a share; what is not known is a dash."""
    if not math.isfinite(share):
        return NONE
    rounded = round(100 * share, digits)
    return f"{rounded or 0.0:{sign if rounded else ''}.{digits}f} %"  # nothing has no sign


def interval(share: Share) -> str:
    """Write a share and its interval."""
    low, high = share.interval
    return f"{percent(share.value)} ({percent(low)} to {percent(high)})"


def counted(share: Share) -> str:
    """Write how many of how many, the share and its interval."""
    return f"{share.count:.0f} of {share.tried:.0f}: {interval(share)}"


def at_most(share: Share) -> str:
    """Write how many of how many, and what the share is at most."""
    return f"{share.count:.0f} of {share.tried:.0f} (at most {percent(share.interval[1])})"


def change(estimate: Estimate | None) -> str:
    """Write a change with its interval; a dash where it has none."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return NONE
    value, low, high = (percent(each - 1, sign="+") for each in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"
