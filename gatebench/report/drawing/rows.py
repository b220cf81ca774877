"""Figures of rows: factors with their intervals, and what each stack reached; the blocks as dots.

Knows estimates and how to draw them. Must not know files, claims or the page around.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gatebench.metrics import TIMES, show, show_estimate
from gatebench.model import AnyInterface, Estimate
from gatebench.report.drawing import svg
from gatebench.report.drawing.looks import MARKERS, WIDTH_IN, fit, look

ROW_IN, FOOT_IN = 0.22, 0.3
SIDES_IN = 0.22  # for the line that says which side is better
HEAD = 1.05  # height of a heading, in rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One figure with its interval and the blocks it was made of."""

    label: str
    estimate: Estimate
    blocks: Mapping[int, float]
    series: int = 0  # its colour and marker, where several lines share a group
    interface: AnyInterface | None = None  # its colour, where a line is one stack's
    figure: str = ""  # in digits, where the estimate does not say it all


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Lines of one metric, with the published factor where there is one."""

    title: str
    lines: Sequence[Line]
    published: float | None = None


def factors(name: str, groups: Sequence[Group], description: str, say: Callable[[str], str] = str) -> Markup:
    """Draw how many times better ASGI is, metric by metric, on a logarithmic axis around 1."""
    with svg.drawing():
        keys = {line.series: line.label for group in groups for line in group.lines}
        rows = sum(len(group.lines) for group in groups)
        figure, axes = _canvas(rows, len(groups) + len(keys), FOOT_IN + SIDES_IN)
        _factor_axis(axes, [value for group in groups for value in _extent(group)], say)
        top = 0.0
        for series, label in sorted(keys.items()):
            colour, marker = look(series)
            place = axes.get_yaxis_transform()
            axes.plot([0.012], [top + 0.5], marker, color=colour, markersize=6, transform=place, clip_on=False)
            _text(axes, 0.035, top + 0.5, label, svg.MUTED)
            top += HEAD
        for group in groups:
            _text(axes, 0, top + 0.6, group.title)
            top += HEAD
            if group.published:
                height = [top - 0.05, top + len(group.lines) - 0.05]
                axes.plot([group.published] * 2, height, color=svg.MUTED, linewidth=1.4, linestyle=(0, (2, 1.5)))
            for line in group.lines:
                _line(axes, line, top + 0.4, look(line.series), line.figure or show_estimate(line.estimate, TIMES)[0])
                top += 1
        axes.set_ylim(top + 0.2, -0.1)
        return svg.inline(figure, name, description)


def values(name: str, lines: Sequence[Line], unit: str, description: str) -> Markup:
    """Draw what each stack reached, on an axis from zero."""
    with svg.drawing():
        figure, axes = _canvas(len(lines), len(lines), FOOT_IN)
        highest = max(max([line.estimate.high or 0.0, *line.blocks.values()]) for line in lines)
        axes.set_xlim(0, highest * 1.04 or 1.0)
        axes.xaxis.set_major_formatter(lambda value, _: show(value, unit) if value else "0")
        axes.locator_params(axis="x", nbins=4)
        top = 0.0
        for line in lines:
            _text(axes, 0, top + 0.6, line.label)
            top += HEAD
            colour = svg.ASGI if line.interface == "asgi" else svg.WSGI
            axes.barh(top + 0.5, line.estimate.value, height=0.9, color=colour, alpha=0.14, linewidth=0)
            _line(axes, line, top + 0.4, (colour, MARKERS[0]), show_estimate(line.estimate, unit)[0])
            top += 1
        axes.set_ylim(top + 0.2, -0.1)
        return svg.inline(figure, name, description)


def _canvas(rows: int, heads: int, foot_in: float) -> tuple[Figure, Axes]:
    height = (rows + HEAD * heads) * ROW_IN + foot_in
    figure = Figure(figsize=(WIDTH_IN, height), facecolor="none")
    # The right margin is for the figures in digits.
    axes = figure.add_axes((0.02, (foot_in - 0.04) / height, 0.82, 1 - foot_in / height), facecolor="none")
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.spines["bottom"].set_color(svg.RULE)
    axes.tick_params(axis="x", which="major", color=svg.RULE, labelcolor=svg.MUTED)
    axes.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    axes.yaxis.set_visible(False)
    axes.grid(axis="x", which="major", color=svg.RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    return figure, axes


def _line(axes: Axes, line: Line, height: float, look: tuple[str, str], text: str) -> None:
    estimate, (colour, marker) = line.estimate, look
    if estimate.low is not None and estimate.high is not None:
        axes.plot([estimate.low, estimate.high], [height] * 2, color=colour, linewidth=1.6, zorder=3)
    # Blocks stand below the interval, where they hide neither it nor each other's count.
    blocks = list(line.blocks.values())
    axes.scatter(blocks, [height + 0.36] * len(blocks), s=7, color=colour, alpha=0.5, linewidth=0, zorder=3)
    axes.plot([estimate.value], [height], marker, color=colour, markersize=6, markeredgecolor=svg.PAPER, zorder=4)
    _text(axes, 1.02, height + 0.05, text)


def _text(axes: Axes, x: float, height: float, text: str, colour: str = svg.INK) -> None:
    behind = {"facecolor": svg.PAPER, "edgecolor": "none", "pad": 0.8}  # the grid does not run through it
    place = axes.get_yaxis_transform()
    axes.text(x, height, fit(text), transform=place, va="center", color=colour, clip_on=False, bbox=behind)


def _extent(group: Group) -> list[float]:
    ends = [
        end for line in group.lines for end in (line.estimate.low, line.estimate.high, line.estimate.value) if end
    ]
    return [*ends, *(value for line in group.lines for value in line.blocks.values()), group.published or 1.0]


def _factor_axis(axes: Axes, values: Sequence[float], say: Callable[[str], str]) -> None:
    low, high = min(0.5, *values) / 1.15, max(2.0, *values) * 1.15
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 200 else (1,)
    skip = math.ceil(len(decades) / 6)
    ticks = [step * 10.0**decade for decade in decades if decade % skip == 0 for step in steps]
    axes.set_xticks([tick for tick in ticks if low <= tick <= high])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}{TIMES}")
    axes.axvline(1, color=svg.MUTED, linewidth=1)
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "color": svg.MUTED}
    axes.annotate(say("← WSGI better"), (0, 0), (0, -32), ha="left", **place)
    axes.annotate(say("ASGI better →"), (1, 0), (0, -32), ha="right", **place)
