"""Figures of lines: a metric against the size of a load, one line a stack, in one panel a metric.

Knows estimates and how to draw them. Must not know files, claims or the page around.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gatebench.metrics import show
from gatebench.model import Estimate
from gatebench.report.drawing import svg
from gatebench.report.drawing.looks import WIDTH_IN, fit, look, plain

PANEL_IN, HEAD_IN, FOOT_IN, KEY_IN = 1.7, 0.32, 0.42, 0.2
TICKS = 7  # on an axis of sizes, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """One point of a line; without an estimate it was tried, and gave no figure."""

    size: float
    estimate: Estimate | None
    blocks: Sequence[float] = ()  # what the estimate was made of


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One stack's figures by rising size."""

    label: str
    spots: Sequence[Spot]
    marked: tuple[float, float] | None = None  # between which sizes something begins, such as a capacity


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One metric."""

    title: str
    unit: str
    lines: Sequence[Line]
    limit: float | None = None  # of the metric, drawn across
    crossings: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # label -> where another crosses it


def lines(name: str, panels: Sequence[Panel], sizes: str, description: str) -> Markup:
    """Draw panels above each other on one axis of sizes, both axes logarithmic; `sizes` says what they are.

    What belongs to one label is of the class "series", numbered in the order of labels, so that a page can hide it.
    """
    labels = list(dict.fromkeys(line.label for panel in panels for line in panel.lines))
    with svg.drawing():
        keys_in = KEY_IN * len(labels)
        height = keys_in + len(panels) * (HEAD_IN + PANEL_IN) + FOOT_IN
        figure = Figure(figsize=(WIDTH_IN, height), facecolor="none")
        _keys(figure, labels, height)
        found = sorted({spot.size for panel in panels for line in panel.lines for spot in line.spots})
        for number, panel in enumerate(panels, start=1):
            bottom = height - keys_in - number * (HEAD_IN + PANEL_IN)
            axes = figure.add_axes((0.155, bottom / height, 0.82, PANEL_IN / height), facecolor="none")
            _panel(axes, panel, found, labels)
            axes.tick_params(labelbottom=number == len(panels))
        axes.set_xlabel(sizes, color=svg.MUTED)
        return svg.inline(figure, name, description)


def _keys(figure: Figure, labels: Sequence[str], height: float) -> None:
    axes = figure.add_axes((0, 1 - KEY_IN * len(labels) / height, 1, KEY_IN * len(labels) / height), facecolor="none")
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(len(labels), 0)
    for place, label in enumerate(labels):
        colour, marker = look(place)
        axes.plot([0.02], [place + 0.5], marker, color=colour, markersize=5, gid=svg.series(place))
        axes.text(0.045, place + 0.5, fit(label), va="center", color=svg.INK, gid=svg.series(place))


def _panel(axes: Axes, panel: Panel, sizes: Sequence[float], labels: Sequence[str]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain(axes, "y")
    axes.set_xlim(sizes[0] / 1.25, sizes[-1] * 1.25)
    shown = _spread(sizes)
    axes.set_xticks(shown, [f"{size:,g}" for size in shown])
    axes.set_xticks([], minor=True)
    ends = [end for line in panel.lines for spot in line.spots if spot.estimate for end in _ends(spot.estimate)]
    low, high = min([*ends, panel.limit or ends[0]]), max([*ends, panel.limit or ends[0]])
    axes.set_ylim(low / 1.3, high * 1.45)
    axes.set_yticks(_decades(low / 1.3, high * 1.45, 2.0**20 if panel.unit == "B" else 1.0))
    axes.yaxis.set_major_formatter(_shown(panel.unit))
    axes.set_yticks([], minor=True)
    for label, between in panel.crossings.items():
        place = labels.index(label)
        axes.axvspan(*between, color=look(place)[0], alpha=0.13, linewidth=0, gid=svg.series(place))
    if panel.limit is not None:
        axes.axhline(panel.limit, color=svg.INK, linewidth=1.1, linestyle=(0, (4, 2)))
    for line in panel.lines:
        _line(axes, line, labels.index(line.label), len(labels))
    axes.text(0, 1.05, fit(panel.title), transform=axes.transAxes, va="bottom", color=svg.INK)


def _line(axes: Axes, line: Line, place: int, of: int) -> None:
    colour, marker = look(place)
    beside = 1 + 0.035 * (place - (of - 1) / 2)  # so that intervals of several lines do not hide each other
    spots = [(spot.size * beside, spot.estimate) for spot in line.spots if spot.estimate is not None]
    gid = svg.series(place)
    dots = [(spot.size * beside, value) for spot in line.spots if spot.estimate for value in spot.blocks if value > 0]
    across, up = [size for size, _ in dots], [value for _, value in dots]
    axes.plot(across, up, ".", color=colour, markersize=4, alpha=0.35, markeredgewidth=0, gid=gid)
    values = [estimate.value for _, estimate in spots]
    axes.plot([size for size, _ in spots], values, marker + "-", color=colour, markersize=4, linewidth=1.3, gid=gid)
    for size, estimate in spots:
        axes.plot([size] * 2, list(_ends(estimate)), color=colour, linewidth=1, alpha=0.7, gid=gid)
    top = axes.get_xaxis_transform()
    lost = [spot.size * beside for spot in line.spots if spot.estimate is None]
    axes.plot(lost, [0.97] * len(lost), "x", color=colour, markersize=5, transform=top, clip_on=False, gid=gid)
    if line.marked is not None:
        axes.plot(list(line.marked), [0.02 + 0.03 * place] * 2, color=colour, linewidth=2.4, transform=top, gid=gid)


def _ends(estimate: Estimate) -> tuple[float, float]:
    """Give an interval's ends as far as a logarithmic axis has a place for them."""
    low = estimate.low if estimate.low is not None and estimate.low > 0 else estimate.value
    return low, estimate.value if estimate.high is None else estimate.high


def _spread(sizes: Sequence[float]) -> list[float]:
    """Leave out sizes whose labels would touch others on a logarithmic axis; the ends stay."""
    span = (sizes[-1] / sizes[0]) ** (1 / TICKS)
    kept = [sizes[0]]
    for size in sizes[1:]:
        if size >= kept[-1] * span:
            kept.append(size)
    if kept[-1] != sizes[-1]:
        kept[-1:] = [sizes[-1]] if len(kept) > 1 else [kept[-1], sizes[-1]]
    return kept


def _decades(low: float, high: float, unit: float) -> list[float]:
    """Give values that are round in a unit, for a logarithmic axis: more of them where it spans less."""
    steps = (1, 2, 5) if high / low < 60 else (1, 3) if high / low < 1000 else (1,)
    powers = range(-7, 13)
    found = (step * 10.0**power * unit for power in powers for step in steps)
    return [value for value in found if low <= value <= high]


def _shown(unit: str) -> Callable[[float, float], str]:
    return lambda value, _: show(value, unit)
