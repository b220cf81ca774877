"""The fits of a whole recording: how each variant's blocks scatter, and whether what is drawn from that is like it.

Knows recordings and the arithmetic of scatter. Must not know gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from gatebench.errors import UntrustedError
from gatebench.power.noise import Scatter, fitted, of_windows, shared
from gatebench.power.pieces import CONDITIONS, METRICS, Recording
from gatebench.power.variants import TWIN

MEANS = 20  # blocks whose means the fit is held against
DRAWN = 2000  # of such means

Key = tuple[str, str]  # variant and condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """How far means of neighbouring blocks scatter, recorded and as the fit draws them: whether the fit holds."""

    condition: str
    metric: str
    windows: int
    recorded: float
    drawn: float


def scatters(recording: Recording, level: float | None = None) -> dict[Key, Scatter]:
    """Fit every variant that has blocks enough; offset and drift of whole pieces over all variants of a condition.

    With a `level`, those two are the upper ends of their intervals.
    """
    alone = {}
    for key, one in recording.found.items():
        try:
            alone[key] = fitted(one.by_piece)
        except UntrustedError:
            continue
    found: dict[Key, Scatter] = {}
    for condition in CONDITIONS:
        fits = {key: fit for key, fit in alone.items() if key[1] == condition}
        if fits:
            between, drift = shared([recording.found[key].by_piece for key in fits], [*fits.values()], level)
            found |= {key: replace(fit, between=between, drift=drift) for key, fit in fits.items()}
    return found


def means(recording: Recording, fits: Mapping[Key, Scatter], chance: np.random.Generator) -> list[Means]:
    """Hold the twin's fit against the recording, where a gate's verdict rests on it: in means of many blocks."""
    found = []
    for (variant, condition), scatter in fits.items():
        if variant != TWIN:
            continue
        recorded, count = of_windows(recording.found[variant, condition].by_piece, MEANS)
        drawn = scatter.draw(DRAWN, MEANS, chance).mean(axis=1).std(axis=0, ddof=1)
        found += [
            Means(
                condition=condition,
                metric=name,
                windows=count,
                recorded=float(recorded[column]),
                drawn=float(drawn[column]),
            )
            for column, name in enumerate(METRICS)
            if not np.isnan(recorded[column] + drawn[column])
        ]
    return found
