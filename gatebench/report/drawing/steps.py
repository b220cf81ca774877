"""Figures of steps: what each layer adds to a whole, one bar after the other.

Knows estimates and how to draw them. Must not know files, claims or the page around.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from gatebench.metrics import show, show_estimate
from gatebench.model import AnyInterface, Estimate
from gatebench.report.drawing import svg
from gatebench.report.drawing.looks import WIDTH_IN, fit, plain

ROW_IN, HEAD_IN, FOOT_IN = 0.22, 0.26, 0.34
WHOLE, PART = 0.9, 0.45  # how solid a bar is
FAR = 3.0  # what reaches this many times as far as the middle one is cut off, so that the others can be read

_Line = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one layer adds."""

    label: str
    cost: Estimate
    blocks: Mapping[int, float] = field(default_factory=dict)  # what it was made of, drawn as dots


@dataclass(frozen=True, slots=True, kw_only=True)
class Stair:
    """A whole and the steps that sum to it; a whole may stand alone."""

    label: str
    interface: AnyInterface
    steps: Sequence[Step]
    total: Step


def stairs(name: str, found: Sequence[Stair], unit: str, description: str) -> Markup:
    """Draw wholes below each other on one axis; each step begins where the last one ended.

    What lies far beyond the others is cut off, and marked so: its figure stands beside it.
    """
    rows = sum(len(stair.steps) + 1 for stair in found)
    height = rows * ROW_IN + len(found) * HEAD_IN + FOOT_IN
    with svg.drawing():
        figure = Figure(figsize=(WIDTH_IN, height), facecolor="none")
        axes = figure.add_axes((0.3, FOOT_IN / height, 0.54, 1 - FOOT_IN / height), facecolor="none")
        plain(axes, "x")
        axes.yaxis.set_visible(False)
        reached = [(min(ends), max(ends)) for ends in map(_ends, found)]
        low, high = min(low for low, _ in reached), seen_to([high for _, high in reached])
        room = 0.03 * (high - low)
        axes.set_xlim(low - room * (low < 0), high + room * (high > 0))
        axes.xaxis.set_major_formatter(lambda value, _: show(value, unit) if value else "0")
        axes.locator_params(axis="x", nbins=4)
        axes.axvline(0, color=svg.MUTED, linewidth=1)
        top = 0.0
        for stair in found:
            _names(axes, stair, top, unit)
            top += HEAD_IN + (len(stair.steps) + 1) * ROW_IN
        _draw(axes, found)
        axes.set_ylim(top, 0)
        return svg.inline(figure, name, description)


def seen_to(reached: Sequence[float]) -> float:
    """Give how far an axis goes, that ends may be cut off that lie far beyond the others."""
    near = FAR * median(reached) or max(reached)
    return max([each for each in reached if each <= near], default=max(reached))


def _names(axes: Axes, stair: Stair, top: float, unit: str) -> None:
    """Write what a stair and its steps are called, and what they come to."""
    place = axes.get_yaxis_transform()
    behind = {"facecolor": svg.PAPER, "edgecolor": "none", "pad": 0.8}
    axes.text(
        -0.54, top + HEAD_IN / 2 + 0.04, fit(stair.label), transform=place, va="center", color=svg.INK, bbox=behind
    )
    for number, (step, _) in enumerate(_placed(stair)):
        height = top + HEAD_IN + (number + 0.5) * ROW_IN
        axes.text(-0.03, height, fit(step.label), transform=place, va="center", ha="right", color=svg.MUTED)
        figure = show_estimate(step.cost, unit)[0]
        axes.text(1.02, height, figure, transform=place, va="center", color=svg.INK)


def _draw(axes: Axes, found: Sequence[Stair]) -> None:
    """Draw all bars, intervals and dots: those of one look as one path, since a page has thousands of them."""
    bars: dict[tuple[str, float], list[Path]] = {}
    intervals: list[_Line] = []
    dots: list[_Line] = []
    cuts: list[_Line] = []
    (low, edge), top = axes.get_xlim(), 0.0
    for stair in found:
        colour = svg.ASGI if stair.interface == "asgi" else svg.WSGI
        top += HEAD_IN
        for step, begin in _placed(stair):
            middle, end = top + ROW_IN / 2, begin + step.cost.value
            look = colour, WHOLE if step is stair.total else PART
            bars.setdefault(look, []).append(_bar(begin, end, middle))
            if step.cost.low is not None and step.cost.high is not None:
                height = middle - 0.025
                intervals.append(((begin + step.cost.low, height), (begin + step.cost.high, height)))
            # A stroke of next to no length with round ends is a dot.
            places = [(begin + value, middle + 0.03) for value in step.blocks.values()]
            dots += [((at, height), (at + (edge - low) / 5000, height)) for at, height in places]
            if end > edge:
                cuts += [((edge * at, middle + 0.09), (edge * (at + 0.012), middle - 0.09)) for at in (0.955, 0.975)]
            top += ROW_IN
    for (colour, alpha), paths in bars.items():
        axes.add_patch(PathPatch(Path.make_compound_path(*paths), facecolor=colour, edgecolor="none", alpha=alpha))
    _strokes(axes, intervals, edgecolor=svg.INK, linewidth=1.1)
    _strokes(axes, dots, edgecolor=svg.INK, linewidth=2.2, capstyle="round", alpha=0.6)
    _strokes(axes, cuts, edgecolor=svg.PAPER, linewidth=1.6)


def _bar(begin: float, end: float, middle: float) -> Path:
    low, high = middle - 0.075, middle + 0.075
    corners = [(begin, low), (end, low), (end, high), (begin, high), (begin, low)]
    return Path(corners, closed=True)


def _strokes(axes: Axes, lines: Sequence[_Line], **looks: Any) -> None:
    if lines:
        path = Path([end for line in lines for end in line], [Path.MOVETO, Path.LINETO] * len(lines))
        axes.add_patch(PathPatch(path, fill=False, snap=False, zorder=3, **looks))


def _placed(stair: Stair) -> list[tuple[Step, float]]:
    """Give all bars of a stair with where they begin."""
    placed, begin = [], 0.0
    for step in stair.steps:
        placed.append((step, begin))
        begin += step.cost.value
    return [*placed, (stair.total, 0.0)]


def _ends(stair: Stair) -> list[float]:
    """Give all places that bars, intervals and dots reach."""
    ends = [0.0]
    for step, begin in _placed(stair):
        own = (step.cost.low or 0.0, step.cost.high or 0.0, step.cost.value, *step.blocks.values())
        ends += [begin + each for each in own]
    return ends
