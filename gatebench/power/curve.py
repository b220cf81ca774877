"""The power curve: the share of gates that fail, by slowdown, quiet and noisy, with binomial intervals.

Knows shares and matplotlib. Must not know recordings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from gatebench.power.trying import Share

COLOURS = {"quiet": "#1f6f8b", "noisy": "#c0582b"}
MARKERS = {"quiet": "o", "noisy": "s"}
Points = Mapping[str, Sequence[tuple[float, Share]]]  # condition -> slowdown and share


def draw(path: Path, lines: Points, marks: Points, margin: float) -> None:
    """Draw the curve into a file: lines from drawn gates around any slowdown, marks at those that were recorded."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({"svg.hashsalt": "gatebench", "font.size": 9.0, "svg.fonttype": "none"})
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(100 * margin, color="#888888", linewidth=1, linestyle=(0, (3, 2)))
        axes.text(100 * margin + 0.1, 0.5, "margin", color="#666666", rotation=90, verticalalignment="center")
        for condition, points in lines.items():
            along = [100 * slowdown for slowdown, _ in points]
            low, high = zip(*(share.interval for _, share in points), strict=True)
            axes.fill_between(along, low, high, color=COLOURS[condition], alpha=0.2, linewidth=0)
            values = [share.value for _, share in points]
            axes.plot(along, values, color=COLOURS[condition], linewidth=1.4, label=f"{condition}, drawn")
        for condition, points in marks.items():
            for number, (slowdown, share) in enumerate(points):
                low_end, high_end = share.interval
                axes.errorbar(
                    [100 * slowdown],
                    [share.value],
                    yerr=[[share.value - low_end], [high_end - share.value]],
                    fmt=MARKERS[condition],
                    color=COLOURS[condition],
                    markersize=5,
                    capsize=2,
                    label=f"{condition}, recorded slowdowns" if not number else None,
                )
        axes.set_xlabel("slowdown, CPU per request, %")
        axes.set_ylabel("share of gates that fail")
        axes.set_ylim(-0.03, 1.03)
        axes.spines[["top", "right"]].set_visible(False)
        if lines or marks:
            axes.legend(frameon=False, loc="lower right")
        figure.savefig(path, metadata={"Date": None, "Creator": None})
