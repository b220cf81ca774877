"""From a folder of recordings to the page and its figure.

Knows the experiments, the page and the curve. Must not know how any of them is made.
"""

from __future__ import annotations

import math
from pathlib import Path

from gatebench.gate import MARGINS
from gatebench.power import curve, experiments, fits, peers
from gatebench.power.experiments import Settings, Tried
from gatebench.power.found import Found
from gatebench.power.pages import page
from gatebench.power.pieces import METRICS, Recording, recording
from gatebench.power.trying import LEVEL, Share
from gatebench.power.variants import SHARES, TWIN

PAGE, FIGURE = "gate-power.md", "gate-power.svg"


def report(folder: Path, docs: Path, settings: Settings) -> tuple[Path, Path]:
    """Make every experiment on a folder's recordings, and write page and figure."""
    read = recording(folder)
    simulated = experiments.simulated(read, settings)
    scatters = fits.scatters(read)
    found = Found(
        recording=read,
        injected=experiments.injected(read),
        scatters=scatters,
        widest=fits.scatters(read, LEVEL),
        means=fits.means(read, scatters, experiments.chance_of(settings, "means")),
        simulated=simulated,
        apart=experiments.apart(read, settings),
        disjoint=experiments.disjoint(read, settings),
        bootstrapped=experiments.bootstrapped(read, settings),
        peers=experiments.compared(read),
        unpaired=_unpaired(read),
        small=experiments.small(read, settings),
        curve=experiments.curve(read, settings),
        settings=settings,
    )
    (docs / PAGE).write_text(page(found, FIGURE), encoding="utf-8")
    curve.draw(docs / FIGURE, found.curve, _marks(read, simulated), MARGINS[METRICS[0]])
    return docs / PAGE, docs / FIGURE


def _unpaired(read: Recording) -> dict[str, float]:
    found = {key[1]: peers.unpaired(one.pairs) for key, one in read.found.items() if key[0] == TWIN}
    return {condition: value for condition, value in found.items() if value is not None}


def _marks(read: Recording, simulated: list[Tried]) -> dict[str, list[tuple[float, Share]]]:
    """Put each recorded slowdown where its own blocks say that it lies."""
    costs = {(one.variant, one.condition): one.changes[METRICS[0]] for one in experiments.injected(read)}
    marks: dict[str, list[tuple[float, Share]]] = {}
    for one in simulated:
        change = costs[one.variant, one.condition]
        if one.variant in SHARES or one.variant == TWIN:
            at = 0.0 if one.variant == TWIN or change is None else change.value - 1
            if math.isfinite(at):
                marks.setdefault(one.condition, []).append((at, one.shares["fail"]))
    return marks
