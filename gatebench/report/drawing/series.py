"""The figure of a history: a cell's metrics over sessions, with intervals, levels and changes.

Knows series and how to draw them. Must not know files or the page around, nor look for changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gatebench.gate.words import percent
from gatebench.history import Series
from gatebench.metrics import TABLE, show
from gatebench.model import Estimate
from gatebench.report.drawing import svg
from gatebench.report.drawing.looks import WIDTH_IN

PANEL_IN, HEAD_IN, FOOT_IN = 1.2, 0.3, 0.3
DATES = 4  # below the sessions, so that they do not touch
ROOM = 0.3  # above and below them, as a share of their range
NARROWEST = 0.04  # share of a figure that an axis shows at least: what lies within looks steady, and is


def drawing(name: str, cell: Sequence[Series], description: str) -> Markup:
    """Draw a cell's series, a panel a metric, sessions evenly spaced in their order."""
    days = {point.session: (point.started_at, point.day[:10]) for series in cell for point in series.points}
    order = sorted(days, key=lambda session: (days[session][0], session))
    places = {session: place for place, session in enumerate(order)}
    with svg.drawing():
        height = len(cell) * (HEAD_IN + PANEL_IN) + FOOT_IN
        figure = Figure(figsize=(WIDTH_IN, height), facecolor="none")
        for number, series in enumerate(cell, start=1):
            bottom = height - number * (HEAD_IN + PANEL_IN)
            axes = figure.add_axes((0.15, bottom / height, 0.83, PANEL_IN / height), facecolor="none")
            _panel(axes, series, places)
        _dates(axes, [days[session][1] for session in order])
        return svg.inline(figure, name, description)


def _panel(axes: Axes, series: Series, places: Mapping[str, int]) -> None:
    metric = TABLE[series.metric][0]
    colour = svg.ASGI if series.interface == "asgi" else svg.WSGI
    axes.spines[["left", "right", "top", "bottom"]].set_visible(False)
    axes.tick_params(color=svg.RULE, labelcolor=svg.MUTED, length=0, labelbottom=False)
    axes.grid(axis="y", which="major", color=svg.RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter(lambda value, _: show(value, metric.unit))
    axes.locator_params(axis="y", nbins=4)
    axes.set_xlim(-0.7, len(places) - 0.3)
    axes.set_ylim(*_limits([point.estimate for point in series.points]))
    for point in series.points:
        if point.estimate.low is not None and point.estimate.high is not None:
            ends = [point.estimate.low, point.estimate.high]
            axes.plot([places[point.session]] * 2, ends, color=colour, linewidth=1, alpha=0.45)
    at = [places[point.session] for point in series.points]
    values = [point.estimate.value for point in series.points]
    axes.scatter(at, values, s=11, color=colour, linewidth=0, zorder=3)
    for level in series.levels:
        ends = [at[level.start] - 0.4, at[level.end - 1] + 0.4]
        axes.plot(ends, [level.value] * 2, color=svg.INK, linewidth=1.2, zorder=4)
    _changes(axes, series, at)
    axes.text(0, 1.06, metric.title, transform=axes.transAxes, va="bottom", color=svg.INK)


def _changes(axes: Axes, series: Series, at: Sequence[int]) -> None:
    for step in series.steps:
        between = (at[step.after.start - 1] + at[step.after.start]) / 2
        axes.axvline(between, color=svg.MUTED, linewidth=1, linestyle=(0, (3, 2)))
        said = "changed" if step.share is None else percent(1 + step.share)
        # On the side where there is more room.
        left = between < at[-1] / 2
        place: dict[str, Any] = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points", "va": "top"}
        side = "left" if left else "right"
        axes.annotate(said, (between, 1), (3 if left else -3, 0), ha=side, color=svg.INK, **place)


def _limits(found: Sequence[Estimate]) -> tuple[float, float]:
    """Give the ends of the axis: of all points and usual intervals, since few blocks have intervals of any width."""
    values = [each.value for each in found]
    low = min(*values, median(each.value if each.low is None else each.low for each in found))
    high = max(*values, median(each.value if each.high is None else each.high for each in found))
    span = max(high - low, NARROWEST * abs(high), 1e-12)
    return low - ROOM * span, high + ROOM * span


def _dates(axes: Axes, days: Sequence[str]) -> None:
    """Write some sessions' days below the last panel, the outer ones within its width."""
    shown = sorted({int(place) for place in np.linspace(0, len(days) - 1, min(DATES, len(days)))})
    axes.tick_params(axis="x", labelbottom=True)
    axes.set_xticks(shown, [days[place] for place in shown])
    if len(shown) > 1:
        labels = axes.get_xticklabels()
        labels[0].set_horizontalalignment("left")
        labels[-1].set_horizontalalignment("right")
