"""What all figures share: their width, the looks of series, how long a name may be.

Must not know what is drawn.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from gatebench.report.drawing import svg

WIDTH_IN = 4.8  # narrow enough for a telephone to show its text at a readable size
LONGEST = 50  # characters of a name that fit above a row
ABSURD = 400  # characters of a name that is no stack's
MARKERS = "oDs^vP"


DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", (0, (5, 2)), (0, (1, 1)), (0, (5, 2, 1, 2)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a series is drawn."""

    colour: str
    marker: str
    dashes: str | tuple[int, tuple[int, ...]]  # of its lines


def look(series: int) -> tuple[str, str]:
    """Give colour and marker of a series: either alone tells them apart."""
    return svg.SERIES[series % len(svg.SERIES)], MARKERS[series % len(MARKERS)]


def looks(names: Iterable[str], figures: Iterable[Iterable[str]] = ()) -> dict[str, Look]:
    """Give each name its look all over a page; `figures` are the names that each figure draws together.

    In the order of names, each gets the first look of which neither colour nor marker is taken in a figure it is in;
    where there are more names than that, colour and marker together are no other's, and at last the dashes are not.
    """
    beside: dict[str, set[str]] = {name: set() for name in names}
    for figure in [*figures] or [[*beside]]:
        together = [*dict.fromkeys(figure)]
        for name in together:
            beside.setdefault(name, set()).update(together)
    given: dict[str, Look] = {}
    anywhere: Counter[Look] = Counter()
    for name, others in beside.items():
        taken = [given[other] for other in others if other in given]
        given[name] = _least_like(taken, anywhere)
        anywhere[given[name]] += 1
    return given


def _least_like(taken: Sequence[Look], anywhere: Mapping[Look, int]) -> Look:
    """Give the look that is best told from those beside it, at all and by its colour, and then from any other."""
    same = Counter(taken)
    colours = Counter(each.colour for each in taken)
    markers = Counter(each.marker for each in taken)
    return min(
        _ALL,
        key=lambda each: (same[each], colours[each.colour], anywhere.get(each, 0), markers[each.marker]),
    )


def _combined() -> Iterator[Look]:
    """Give all looks: the first ones differ in colour and marker, all of them in one of the three."""
    for dashes in DASHES:
        for turn in range(len(MARKERS)):
            for place, colour in enumerate(svg.SERIES):
                yield Look(colour=colour, marker=MARKERS[(place + turn) % len(MARKERS)], dashes=dashes)


_ALL = tuple(_combined())


def fit(text: str) -> str:
    """Make a name fit a row: one line, not too long, nothing a page could not show.

    A stack's settings are left out first, the last ones before the others: app and server are what it is known by.
    """
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    while LONGEST < len(plain) <= ABSURD and (shorter := _with_a_setting_less(plain)) is not None:
        plain = shorter
    if len(plain) <= LONGEST:
        return plain
    return f"{plain[: LONGEST // 2]}…{plain[len(plain) - (LONGEST - LONGEST // 2 - 1) :]}"


def _with_a_setting_less(text: str) -> str | None:
    """Leave out the last setting of the longest list in brackets; None where there is none to leave out."""
    lists = [found for found in re.finditer(r"\[([^\[\]]+)\]", text) if found[1] != "…"]
    if not lists:
        return None
    longest = max(lists, key=lambda found: len(found[1]))
    kept = [each for each in longest[1].split(",") if each != "…"][:-1]
    return f"{text[: longest.start(1)]}{','.join([*kept, '…'])}{text[longest.end(1) :]}"


def plain(axes: Axes, grid: str) -> None:
    """Leave of an axes' frame what helps reading: a faint grid along `grid` ("x" or "y"), and numbers."""
    axes.spines[["left", "right", "top", "bottom"]].set_visible(False)
    axes.tick_params(which="both", color=svg.RULE, labelcolor=svg.MUTED, length=0)
    axes.grid(axis=grid, which="major", color=svg.RULE, linewidth=0.5)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
