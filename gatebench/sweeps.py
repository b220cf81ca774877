"""Comparisons over rising loads: from which size on ASGI's gain is evident, and where it is not.

Knows comparisons and which way a metric is better. Must not know sessions, claims or pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gatebench.metrics import TABLE
from gatebench.model import Comparison, Estimate, Load, LoadKind, Point, Sweep
from gatebench.stats import inverse

EVIDENT = 1.1  # a gain is evident where its whole interval lies above
FEWEST = 3  # sizes; two ends tell nothing of where a gain begins


def sweeps(comparisons: Iterable[Comparison]) -> tuple[Sweep, ...]:
    """Give a sweep for every part, scenario, pair and metric with three sizes or more of one kind of load.

    Closed loops count, and arrivals at a given rate. In the order of the comparisons; points by rising size.
    """
    found: dict[tuple[str, str, LoadKind, str, str, str], list[Point]] = {}
    for each in comparisons:
        load = Load.parse(each.load)
        if load.looped or load.kind in ("open", "poisson"):
            key = (each.part, each.scenario, load.kind, each.wsgi, each.asgi, each.metric)
            found.setdefault(key, []).append(Point(size=load.size, comparison=each))
    return tuple(_sweep(points, key[2]) for key, points in found.items() if len(points) >= FEWEST)


def gain(comparison: Comparison) -> Estimate | None:
    """Give how many times better ASGI is, whichever way the metric is better; None where there is no ratio."""
    if comparison.ratio is None or TABLE[comparison.metric][0].better == "higher":
        return comparison.ratio
    return inverse(comparison.ratio)


def _sweep(found: Sequence[Point], kind: LoadKind) -> Sweep:
    points = tuple(sorted(found, key=lambda point: point.size))
    gains = {point.size: each for point in points if (each := gain(point.comparison)) is not None}
    evident = [size for size, each in gains.items() if each.low is not None and each.low > EVIDENT]
    loses = [size for size, each in gains.items() if each.high is not None and each.high < 1 / EVIDENT]
    not_yet = max((size for size in gains if size not in evident), default=None)
    lasting = [size for size in evident if not_yet is None or size > not_yet]
    like = points[0].comparison
    return Sweep(
        part=like.part,
        scenario=like.scenario,
        kind=kind,
        metric=like.metric,
        wsgi=like.wsgi,
        asgi=like.asgi,
        points=points,
        gains_from=min(lasting, default=None),
        gains_to=max(lasting, default=None),
        not_yet_at=not_yet if lasting else None,
        loses_at=tuple(loses),
        why="; ".join(_why(points, list(gains), evident, lasting, loses)),
    )


def _why(
    points: Sequence[Point],
    judged: Sequence[int],
    evident: Sequence[int],
    lasting: Sequence[int],
    loses: Sequence[int],
) -> list[str]:
    """Say where the gain begins and ends; `judged` are the sizes with a ratio, the others are among them."""
    if not judged:
        return ["no size has a valid pair"]
    said, what = [], f"a gain of more than {EVIDENT:g}"
    if lasting:
        before = [size for size in judged if size < lasting[0]][-1:]
        begins = f"between {before[0]:,} and {lasting[0]:,}" if before else f"at {lasting[0]:,} or below"
        said.append(f"{what} begins {begins}, and is evident up to {lasting[-1]:,}, the largest with a valid pair")
    if passing := [size for size in evident if size not in lasting]:
        after = next(size for size in judged if size > passing[-1])
        said.append(f"{what} is evident at {_listed(passing)}, and no longer at {after:,}")
    if not evident:
        said.append(f"{what} is evident at no size")
    if loses:
        said.append(f"WSGI's gain is evident at {_listed(loses)}")
    if unpaired := [point.size for point in points if point.size not in judged]:
        said.append(f"no valid pair at {_listed(unpaired)}")
    return said


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(f"{size:,}" for size in sizes)
