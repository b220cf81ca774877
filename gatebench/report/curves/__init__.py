"""Load curves: response times against the rate, throughput against concurrency, memory against connections.

A module a kind; here they are put together and drawn. Knows measures and sweeps. Must not know verdicts or how a page
looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gatebench.claims import base
from gatebench.report.curves.concurrency import of_concurrency
from gatebench.report.curves.connections import of_connections
from gatebench.report.curves.made import Made, heading
from gatebench.report.curves.rates import of_rates
from gatebench.report.drawing.lines import lines
from gatebench.report.drawing.looks import Look, looks
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.wording import Grid, Picture

__all__ = ["Curve", "curves", "heading"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One figure, its values as tables, and what is to be said of it."""

    anchor: str
    title: str
    picture: Picture
    grids: tuple[Grid, ...]
    notes: tuple[str, ...]  # made by other rooms
    capacities: Grid | None = None


def curves(found: Found, say: Language) -> tuple[Curve, ...]:
    """Give the curves that the session has the loads for: by rate, by concurrency, by connections."""
    made = [*of_rates(found, say), *of_concurrency(found, say), *of_connections(found, say)]
    figures = [[_looks_as(line.label, each) for panel in each.panels for line in panel.lines] for each in made]
    order = (label for stack in found.session.plan.stacks for label in (stack, base(stack)))
    drawn = {label for labels in figures for label in labels}
    given = looks([label for label in dict.fromkeys(order) if label in drawn], figures)
    return tuple(_drawn(f"curve-{place}", each, given, say) for place, each in enumerate(made))


def _looks_as(label: str, made: Made) -> str:
    """Give whose look a line has: one app on one server looks the same whatever its settings for connections."""
    return base(label) if made.of_apps else label


def _drawn(anchor: str, made: Made, given: Mapping[str, Look], say: Language) -> Curve:
    caption = say("{title}. {text}", title=made.title, text=say.sentences(made.caption))
    own = {line.label: given[_looks_as(line.label, made)] for panel in made.panels for line in panel.lines}
    return Curve(
        anchor=anchor,
        title=made.title,
        picture=Picture(svg=lines(anchor, made.panels, made.sizes, caption, own), caption=caption),
        grids=tuple(made.grids),
        notes=tuple(dict.fromkeys(made.notes)),
        capacities=made.capacities,
    )
