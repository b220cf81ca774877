"""What all figures share: their width, the looks of series, how long a name may be.

Must not know what is drawn.
"""

from __future__ import annotations

from matplotlib.axes import Axes

from gatebench.report.drawing import svg

WIDTH_IN = 4.8  # narrow enough for a telephone to show its text at a readable size
LONGEST = 50  # characters of a name that fit above a row
MARKERS = "oDs^vP"


def look(series: int) -> tuple[str, str]:
    """Give colour and marker of a series: either alone tells them apart."""
    return svg.SERIES[series % len(svg.SERIES)], MARKERS[series % len(MARKERS)]


def fit(text: str) -> str:
    """Make a name fit a row: one line, not too long, nothing a page could not show."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if len(plain) <= LONGEST else plain[: LONGEST - 1] + "…"


def plain(axes: Axes, grid: str) -> None:
    """Leave of an axes' frame what helps reading: a faint grid along `grid` ("x" or "y"), and numbers."""
    axes.spines[["left", "right", "top", "bottom"]].set_visible(False)
    axes.tick_params(which="both", color=svg.RULE, labelcolor=svg.MUTED, length=0)
    axes.grid(axis=grid, which="major", color=svg.RULE, linewidth=0.5)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
