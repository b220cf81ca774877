"""Whether a server answered as many requests as arrived by the clock.

Pure arithmetic, for the generator that searches and for the judge of its trials. Must not know runs.
"""

from __future__ import annotations

import math

ACHIEVED = 0.01  # by so much of the offered rate the achieved one may miss it
EDGES = 3.0  # standard deviations of that difference are borne, and three requests at least


def missed(due: int, ended: int, in_flight_mean: float | None) -> bool:
    """Say whether other than so many requests ended as were due, by more than their share and more than chance."""
    by_chance = EDGES * max(1.0, math.sqrt(2 * (in_flight_mean or 0.0)))
    return abs(ended - due) > max(ACHIEVED * due, by_chance)
