"""All that the experiments found, as the page gets it, and what variants are called there.

Knows the experiments' results. Must not know how they are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gatebench.gate import SHORT
from gatebench.power.experiments import Curve, Injected, OfPeer, Settings, Small, Tried
from gatebench.power.fits import Key, Means
from gatebench.power.noise import Scatter
from gatebench.power.pieces import CONDITIONS, Recording
from gatebench.power.variants import EVERY, SHARES, SLEEPY, TWIN, VARIANTS

NAMES = {TWIN: "none (A/A)", SLEEPY: f"sleep in 1 of {EVERY}"} | {
    name: f"{100 * share:.0f} %" for name, share in SHARES.items()
}
BRIEF = {name: short for short, name in SHORT.items()}  # metric -> as the command line has it
Row = TypeVar("Row", Injected, Tried)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that a page tells."""

    recording: Recording
    injected: Sequence[Injected]
    scatters: Mapping[Key, Scatter]
    widest: Mapping[Key, Scatter]  # the same, offset and drift at the upper ends of their intervals
    means: Sequence[Means]
    simulated: Sequence[Tried]
    apart: Sequence[Tried]  # drawn from the widest
    disjoint: Sequence[Tried]
    bootstrapped: Sequence[tuple[Tried, float]]
    peers: Sequence[OfPeer]
    unpaired: Mapping[str, float]  # condition -> scatter of a run of the twin beside the next
    small: Sequence[Small]
    curve: Curve
    settings: Settings

    def pieces(self, condition: str, variant: str = TWIN) -> int:
        """Say in how many pieces a variant was recorded."""
        one = self.recording.found.get((variant, condition))
        return len(one.by_piece) if one else 0


def ordered(rows: Iterable[Row]) -> list[Row]:
    """Put quiet before noisy, and variants in the order in which they are planned."""
    return sorted(rows, key=place)


def place(one: Injected | Tried) -> tuple[int, int]:
    """Say where a row belongs."""
    return CONDITIONS.index(one.condition), VARIANTS.index(one.variant)
