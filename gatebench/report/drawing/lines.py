"""Figures of lines: a metric against the size of a load, one line a stack, in one panel a metric.

Knows estimates and how to draw them. Must not know files, claims or the page around.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gatebench.model import Estimate
from gatebench.report.drawing import svg
from gatebench.report.drawing.axes import labelled, ticks, with_room, written
from gatebench.report.drawing.looks import WIDTH_IN, Look, fit, looks, plain

PANEL_IN, HEAD_IN, FOOT_IN, KEY_IN = 1.7, 0.32, 0.42, 0.2
FAR = 3.0  # so many times beyond all values an interval is followed
FAR_LABEL = 1.6  # marks that reach so many times beyond all sizes have a label of their own there
STRIP_IN, BAND_IN, BAR_IN = 0.18, 0.19, 0.08  # for marks above the data, for a band's name, for a bar below the data

# What became of a size without a figure: it could not be kept, or it gave too few answers, or it was not measured.
Missing = Literal["ended", "few", "unmeasured"]
MARKS: Mapping[Missing, str] = {"ended": "x", "few": "_", "unmeasured": "o"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """One point of a line; without an estimate it was tried, and `missing` says what became of it."""

    size: float
    estimate: Estimate | None
    blocks: Sequence[float] = ()  # what the estimate was made of
    missing: Missing = "unmeasured"
    hollow: bool = False  # it holds less than its size says


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One stack's figures by rising size."""

    label: str
    spots: Sequence[Spot]
    marked: tuple[float, float] | None = None  # between which sizes something begins, such as a capacity
    joined: bool = True  # two points are no curve


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One metric."""

    title: str
    unit: str
    lines: Sequence[Line]
    limit: float | None = None  # of the metric, drawn across
    crossings: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # label -> where another crosses it

    @property
    def above_in(self) -> float:
        """How much room the marks above the data need."""
        missing = any(spot.estimate is None for line in self.lines for spot in line.spots)
        return STRIP_IN * missing + BAND_IN * len(self.crossings)

    @property
    def below_in(self) -> float:
        """How much room the bars below the data need."""
        return BAR_IN * (1 + sum(line.marked is not None for line in self.lines))

    @property
    def height_in(self) -> float:
        """Its height without its title."""
        return PANEL_IN + self.above_in + self.below_in


def lines(
    name: str, panels: Sequence[Panel], sizes: str, description: str, given: Mapping[str, Look] | None = None
) -> Markup:
    """Draw panels above each other on one axis of sizes, both axes logarithmic; `sizes` says what they are.

    What belongs to one label is of the class "series", numbered in the order of labels, so that a page can hide it.
    `given` has the look of each label all over the page.
    """
    labels = list(dict.fromkeys(line.label for panel in panels for line in panel.lines))
    seen = given or looks(labels)
    with svg.drawing():
        keys_in = KEY_IN * len(labels)
        height = keys_in + sum(HEAD_IN + panel.height_in for panel in panels) + FOOT_IN
        figure = Figure(figsize=(WIDTH_IN, height), facecolor="none")
        _keys(figure, labels, seen, height)
        found = sorted({spot.size for panel in panels for line in panel.lines for spot in line.spots})
        marked = [line.marked[1] for panel in panels for line in panel.lines if line.marked]
        until = max(found[-1], min(max(marked, default=found[-1]), found[-1] * FAR))
        bottom = height - keys_in
        for number, panel in enumerate(panels, start=1):
            bottom -= HEAD_IN + panel.height_in
            place = (0.155, bottom / height, 0.82, panel.height_in / height)
            axes = figure.add_axes(place, facecolor="none")
            _panel(axes, panel, (found, until), {label: (seen[label], at) for at, label in enumerate(labels)})
            axes.tick_params(labelbottom=number == len(panels))
        axes.set_xlabel(sizes, color=svg.MUTED)
        return svg.inline(figure, name, description)


def _keys(figure: Figure, labels: Sequence[str], seen: Mapping[str, Look], height: float) -> None:
    axes = figure.add_axes((0, 1 - KEY_IN * len(labels) / height, 1, KEY_IN * len(labels) / height), facecolor="none")
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(len(labels), 0)
    for place, label in enumerate(labels):
        look, gid, at = seen[label], svg.series(place), place + 0.5
        axes.plot([0.005, 0.045], [at] * 2, color=look.colour, linewidth=1.3, linestyle=look.dashes, gid=gid)
        axes.plot([0.025], [at], look.marker, color=look.colour, markersize=5, gid=gid)
        axes.text(0.06, at, fit(label), va="center", color=svg.INK, gid=gid)


def _panel(
    axes: Axes, panel: Panel, sizes: tuple[Sequence[float], float], seen: Mapping[str, tuple[Look, int]]
) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain(axes, "y")
    _sizes(axes, *sizes)
    low, high = _extent(panel)
    above, below = panel.above_in / panel.height_in, panel.below_in / panel.height_in
    axes.set_ylim(*with_room(low, high, below=below + 0.03, above=above + 0.05))
    found = ticks(*with_room(low, high, below=0.03, above=0.05), panel.unit)
    spelled = written(found, panel.unit)
    axes.set_yticks(found, [spelled(value) for value in found])
    axes.set_yticks([], minor=True)
    _bands(axes, panel, seen)
    if panel.limit is not None:
        axes.axhline(panel.limit, color=svg.INK, linewidth=1.1, linestyle=(0, (4, 2)))
    bars = 0
    for line in panel.lines:
        look, place = seen[line.label]
        _line(axes, line, look, place, len(seen))
        row = 0.28 + 0.44 * (place % 2) if len(seen) > 1 else 0.5  # two rows, so that marks do not hide each other
        _missing(axes, line, look, (place, len(seen)), 1 - row * STRIP_IN / panel.height_in)
        if line.marked is not None:
            bars += 1
            up = bars * BAR_IN / panel.height_in
            across = axes.get_xaxis_transform()
            gid = svg.series(place)
            within = [min(end, axes.get_xlim()[1]) for end in line.marked]
            for colour, wide in (
                (svg.PAPER, 4.5),
                (look.colour, 2.4),
            ):  # intervals that go down so far do not hide it
                axes.plot(within, [up] * 2, color=colour, linewidth=wide, zorder=4, transform=across, gid=gid)
            middle = math.sqrt(math.prod(within))
            axes.plot(
                [middle], [up], look.marker, color=look.colour, markersize=4, zorder=5, transform=across, gid=gid
            )
    axes.text(0, 1.0 + 0.09 / panel.height_in, fit(panel.title), transform=axes.transAxes, va="bottom", color=svg.INK)


def _sizes(axes: Axes, sizes: Sequence[float], until: float) -> None:
    """Make the axis of sizes; `until` is how far marks reach, which may be beyond what was measured."""
    axes.set_xlim(sizes[0] / 1.25, until * 1.25)
    shown = labelled(sizes)
    if until > FAR_LABEL * sizes[-1]:
        shown = [*shown, max(ticks(sizes[-1] * FAR_LABEL**0.5, until), default=until)]
    axes.set_xticks(shown, [f"{float(f'{size:.2g}') if size not in sizes else size:,g}" for size in shown])
    axes.set_xticks([size for size in sizes if size not in shown], minor=True)
    axes.set_xticklabels([], minor=True)
    axes.tick_params(axis="x", which="both", length=3)


def _extent(panel: Panel) -> tuple[float, float]:
    """Give from where to where the data go; intervals that tell next to nothing do not stretch the axis."""
    found = [(spot, spot.estimate) for line in panel.lines for spot in line.spots if spot.estimate is not None]
    values = [value for spot, estimate in found for value in (estimate.value, *spot.blocks) if value > 0]
    low, high = min(values) / FAR, max(values) * FAR
    ends = [min(max(end, low), high) for _, estimate in found for end in _ends(estimate)]
    limit = [] if panel.limit is None else [panel.limit]
    return min(*values, *ends, *limit), max(*values, *ends, *limit)


def _bands(axes: Axes, panel: Panel, seen: Mapping[str, tuple[Look, int]]) -> None:
    """Draw where lines are crossed: bands, and above the data a bar for each with the name of its line."""
    left, right = map(math.log, axes.get_xlim())
    behind = {"facecolor": svg.PAPER, "edgecolor": "none", "pad": 0.6}
    top = 1 - (panel.above_in - BAND_IN * len(panel.crossings)) / panel.height_in
    for row, (label, between) in enumerate(panel.crossings.items()):
        look, place = seen[label]
        gid = svg.series(place)
        across = axes.get_xaxis_transform()
        up = top - (row + 0.5) * BAND_IN / panel.height_in
        axes.axvspan(*between, color=look.colour, alpha=0.13, linewidth=0, gid=gid)
        axes.plot(list(between), [up] * 2, color=look.colour, linewidth=2.4, transform=across, gid=gid)
        axes.plot([math.sqrt(math.prod(between))], [up], look.marker, color=look.colour, transform=across, gid=gid)
        begins, ends = ((math.log(each) - left) / (right - left) for each in between)
        before = begins > 1 - ends  # the side with more room
        at, side = (begins - 0.015, "right") if before else (ends + 0.015, "left")
        axes.text(
            at,
            up,
            fit(label),
            transform=axes.transAxes,
            fontsize=7.5,
            va="center",
            ha=side,
            color=svg.INK,
            bbox=behind,
            gid=gid,
        )


def _line(axes: Axes, line: Line, look: Look, place: int, of: int) -> None:
    colour, gid, beside = look.colour, svg.series(place), _beside(place, of)
    dots = [(spot.size * beside, value) for spot in line.spots if spot.estimate for value in spot.blocks if value > 0]
    if dots:
        across, up = zip(*dots, strict=True)
        axes.plot(across, up, ".", color=colour, markersize=4, alpha=0.35, markeredgewidth=0, gid=gid)
    spots = [(spot.size * beside, spot.estimate) for spot in line.spots if spot.estimate is not None]
    if line.joined and len(spots) > 1:
        # A size without a figure interrupts the line.
        whole = [(spot.size * beside, spot.estimate.value if spot.estimate else math.nan) for spot in line.spots]
        across, up = zip(*whole, strict=True)
        axes.plot(across, up, color=colour, linewidth=1.3, linestyle=look.dashes, gid=gid)
    for size, estimate in spots:
        axes.plot([size] * 2, list(_ends(estimate)), color=colour, linewidth=1, alpha=0.7, gid=gid)
    for hollow in (False, True):
        found = [
            (spot.size * beside, spot.estimate.value)
            for spot in line.spots
            if spot.estimate and spot.hollow is hollow
        ]
        if found:
            across, up = zip(*found, strict=True)
            inside = svg.PAPER if hollow else colour
            axes.plot(across, up, look.marker, color=colour, markerfacecolor=inside, markersize=4.5, gid=gid)


def _missing(axes: Axes, line: Line, look: Look, place: tuple[int, int], up: float) -> None:
    """Mark sizes without a figure, each kind with its own; what was not measured is no stack's doing, and grey."""
    for kind, mark in MARKS.items():
        found = [spot.size * _beside(*place) for spot in line.spots if not spot.estimate and spot.missing == kind]
        if found:
            colour = svg.MUTED if kind == "unmeasured" else look.colour
            axes.plot(
                found,
                [up] * len(found),
                mark,
                color=colour,
                markerfacecolor="none",
                markersize=5,
                clip_on=False,
                transform=axes.get_xaxis_transform(),
                gid=svg.series(place[0]),
            )


def _beside(place: int, of: int) -> float:
    """Set lines a little apart, so that the intervals of one do not hide those of another."""
    return 1 + 0.035 * (place - (of - 1) / 2)


def _ends(estimate: Estimate) -> tuple[float, float]:
    """Give an interval's ends as far as a logarithmic axis has a place for them."""
    low = estimate.low if estimate.low is not None and estimate.low > 0 else estimate.value
    return low, estimate.value if estimate.high is None else estimate.high
