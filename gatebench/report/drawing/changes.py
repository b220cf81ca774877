"""The figure of a gate: two arms' changes block by block.

Knows estimates and how to draw them. Must not know files, claims or the page around.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gatebench.model import Estimate
from gatebench.report.drawing import svg
from gatebench.report.drawing.looks import WIDTH_IN, fit, look

PANEL_IN, GAP_IN = 1.25, 0.5  # a panel's height, and what its title and the blocks' numbers take


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One metric of two arms block by block, as factors of the second over the first."""

    title: str
    blocks: Mapping[int, float]
    estimate: Estimate | None
    margin: float | None = None  # the factor from which on it is worse than it may be


def changes(name: str, panels: Sequence[Panel], description: str) -> Markup:
    """Draw each block's change in per cent, the interval as a band and the margin as a line, a panel a metric."""
    with svg.drawing():
        height = len(panels) * (PANEL_IN + GAP_IN) + 0.1
        figure = Figure(figsize=(WIDTH_IN, height), facecolor="none")
        for number, panel in enumerate(panels):
            bottom = height - (number + 1) * (PANEL_IN + GAP_IN) + 0.5 * GAP_IN
            axes = figure.add_axes((0.12, bottom / height, 0.86, PANEL_IN / height), facecolor="none")
            _change_panel(axes, panel, number)
        return svg.inline(figure, name, description)


def _change_panel(axes: Axes, panel: Panel, series: int) -> None:
    colour, marker = look(series)
    axes.spines[["left", "right", "top", "bottom"]].set_visible(False)
    axes.tick_params(color=svg.RULE, labelcolor=svg.MUTED, length=0)
    axes.grid(axis="y", which="major", color=svg.RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:+,g} %" if value else "0 %")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.locator_params(axis="y", nbins=4)
    axes.axhline(0, color=svg.MUTED, linewidth=1)
    found = panel.estimate
    if found is not None:
        if found.low is not None and found.high is not None:
            axes.axhspan(_percent(found.low), _percent(found.high), color=colour, alpha=0.16, linewidth=0)
        axes.axhline(_percent(found.value), color=colour, linewidth=1.4)
    if panel.margin is not None:
        axes.axhline(_percent(panel.margin), color=svg.INK, linewidth=1.2, linestyle=(0, (4, 2)))
    heights = [_percent(factor) for factor in panel.blocks.values()]
    axes.scatter(list(panel.blocks), heights, s=11, marker=marker, color=colour, alpha=0.75, linewidth=0, zorder=3)
    axes.set_xlim(-0.7, max(panel.blocks, default=0) + 0.7)
    axes.text(0, 1.06, fit(panel.title), transform=axes.transAxes, va="bottom", color=svg.INK)


def _percent(factor: float) -> float:
    return 100 * (factor - 1)
