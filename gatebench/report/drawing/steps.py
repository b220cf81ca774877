"""Figures of steps: what each layer adds to a whole, one bar after the other.

Knows estimates and how to draw them. Must not know files, claims or the page around.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gatebench.metrics import show
from gatebench.model import AnyInterface, Estimate
from gatebench.report.drawing import svg
from gatebench.report.drawing.looks import WIDTH_IN, fit, plain

ROW_IN, HEAD_IN, FOOT_IN = 0.22, 0.26, 0.34


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one layer adds."""

    label: str
    cost: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Stair:
    """A whole and the steps that sum to it."""

    label: str
    interface: AnyInterface
    steps: Sequence[Step]
    total: Estimate


def stairs(name: str, found: Sequence[Stair], unit: str, whole: str, description: str) -> Markup:
    """Draw wholes below each other on one axis; each step begins where the last one ended.

    `whole` names the total.
    """
    rows = sum(len(stair.steps) + 1 for stair in found)
    height = rows * ROW_IN + len(found) * HEAD_IN + FOOT_IN
    with svg.drawing():
        figure = Figure(figsize=(WIDTH_IN, height), facecolor="none")
        axes = figure.add_axes((0.3, FOOT_IN / height, 0.54, 1 - FOOT_IN / height), facecolor="none")
        plain(axes, "x")
        axes.yaxis.set_visible(False)
        ends = [end for stair in found for end in _ends(stair)]
        room = 0.03 * (max(ends) - min(ends))
        axes.set_xlim(min(ends) - room * (min(ends) < 0), max(ends) + room * (max(ends) > 0))
        axes.xaxis.set_major_formatter(lambda value, _: show(value, unit) if value else "0")
        axes.locator_params(axis="x", nbins=4)
        axes.axvline(0, color=svg.MUTED, linewidth=1)
        top = 0.0
        for stair in found:
            top = _stair(axes, stair, top, unit, whole)
        axes.set_ylim(top, 0)
        return svg.inline(figure, name, description)


def _stair(axes: Axes, stair: Stair, top: float, unit: str, whole: str) -> float:
    colour = svg.ASGI if stair.interface == "asgi" else svg.WSGI
    place = axes.get_yaxis_transform()
    behind = {"facecolor": svg.PAPER, "edgecolor": "none", "pad": 0.8}
    axes.text(
        -0.54, top + HEAD_IN / 2 + 0.04, fit(stair.label), transform=place, va="center", color=svg.INK, bbox=behind
    )
    top += HEAD_IN
    begin = 0.0
    for step in (*stair.steps, Step(label=whole, cost=stair.total)):
        last = step.label is whole
        begin = 0.0 if last else begin
        end = begin + step.cost.value
        height = top + ROW_IN / 2
        axes.barh(height, step.cost.value, left=begin, height=0.15, color=colour, alpha=0.9 if last else 0.45)
        if step.cost.low is not None and step.cost.high is not None:
            between = [begin + step.cost.low, begin + step.cost.high]
            axes.plot(between, [height] * 2, color=svg.INK, linewidth=1.1, zorder=3)
        axes.text(-0.03, height, fit(step.label), transform=place, va="center", ha="right", color=svg.MUTED)
        axes.text(1.02, height, show(step.cost.value, unit), transform=place, va="center", color=svg.INK)
        begin, top = end, top + ROW_IN
    return top


def _ends(stair: Stair) -> list[float]:
    """Give all places that bars and intervals reach."""
    places, begin = [0.0], 0.0
    for step in stair.steps:
        places += [begin + (step.cost.low or 0.0), begin + (step.cost.high or 0.0), begin + step.cost.value]
        begin += step.cost.value
    return [*places, *(end for end in (stair.total.low, stair.total.high, stair.total.value) if end is not None)]
