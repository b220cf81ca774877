"""The ratio of every ASGI stack to every WSGI stack, within a part and between like profiles.

Trials are paired by their block, never by their place. Must not know claims or pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from gatebench.metrics import TABLE, show
from gatebench.model import Comparison, Session
from gatebench.stats import ratio
from gatebench.tables.grouping import TIMES_OF_BLOCKS, Cell, grouped
from gatebench.tables.meaning import compared_of

MEMORY = ("pss_bytes", "rss_bytes")
UNLIKE = "the stacks kept different numbers of connections, so their memory does not compare"


def comparisons(session: Session) -> tuple[Comparison, ...]:
    """Compare every ASGI stack with every WSGI stack of its part and profile, on each scenario, load and metric.

    A stack that cannot run a scenario at all has no trials of it and is not compared on it.
    """
    found = []
    for beside in grouped(session).measures():
        for wsgi, asgi in _pairs(beside):
            found += [_compare(wsgi, asgi, metric) for metric in compared_of(wsgi.key.load, **wsgi.asks)]
    return tuple(found)


def _pairs(beside: list[Cell]) -> Iterator[tuple[Cell, Cell]]:
    possible = [cell for cell in beside if cell.possible]
    sides = ([cell for cell in possible if cell.interface == interface] for interface in ("wsgi", "asgi"))
    return ((wsgi, asgi) for wsgi, asgi in product(*sides) if wsgi.profile == asgi.profile)


def _compare(wsgi: Cell, asgi: Cell, metric: str) -> Comparison:
    theirs, ours = wsgi.values(metric), asgi.values(metric)
    unlike = metric in MEMORY and kept_differ(wsgi, asgi)
    blocks = [] if unlike else sorted(ours.keys() & theirs.keys())
    pairs = [(theirs[block], ours[block]) for block in blocks]
    estimate = ratio(pairs)
    return Comparison(
        part=wsgi.key.part,
        scenario=wsgi.key.scenario,
        load=wsgi.key.load,
        metric=metric,
        wsgi=wsgi.key.stack,
        asgi=asgi.key.stack,
        wsgi_value=wsgi.estimate(metric),
        asgi_value=asgi.estimate(metric),
        ratio=estimate,
        blocks=len(blocks),
        wsgi_at_limit=at_limit(wsgi, metric),
        asgi_at_limit=at_limit(asgi, metric),
        reason=UNLIKE if unlike else _no_ratio(wsgi, asgi, metric, pairs) if estimate is None else None,
        warnings=tuple(_warnings(wsgi, asgi, metric, len(blocks))),
    )


def _warnings(wsgi: Cell, asgi: Cell, metric: str, blocks: int) -> Iterator[str]:
    if 0 < blocks < wsgi.planned:
        yield "; ".join([f"{blocks} of {wsgi.planned} blocks have a valid pair", *_gaps(wsgi, asgi, metric)])
    for cell in (wsgi, asgi):
        yield from (f"{cell.key.stack}: {text}" for text in cell.warnings)


def _gaps(wsgi: Cell, asgi: Cell, metric: str) -> Iterator[str]:
    for cell in (wsgi, asgi):
        yield from (f"{cell.key.stack}: {text}" for text in cell.reasons(metric))


def kept_differ(wsgi: Cell, asgi: Cell) -> bool:
    """Tell whether two stacks kept different numbers of connections, by more than one in a hundred."""
    kept = [cell.estimate("connections") for cell in (wsgi, asgi)]
    values = sorted(each.value for each in kept if each is not None)
    return len(values) == 2 and values[0] < 0.99 * values[1]


def at_limit(cell: Cell, metric: str) -> bool:
    """Tell whether a stack kept all connections offered in some block: its figure is a lower bound then."""
    return metric == "connections" and any(
        run.status == "ok" and run.connections_kept is not None and run.connections_kept == run.connections_offered
        for run in cell.runs
    )


def _no_ratio(wsgi: Cell, asgi: Cell, metric: str, pairs: list[tuple[float, float]]) -> str:
    if len(pairs) > 1:
        return f"a figure {'below' if min(map(min, pairs)) < 0 else 'of'} zero has no ratio"
    above = [(cell, bound) for cell in (wsgi, asgi) if (bound := cell.above_s(metric)) is not None]
    if above:
        own = (f"{cell.key.stack} is above {bound:.2g} s in every valid trial" for cell, bound in above)
        known = (
            f"{cell.key.stack} at {show(found.value, TABLE[metric][0].unit)}"
            for cell in (wsgi, asgi)
            if (found := cell.estimate(metric))
        )
        start = f"a bound is no figure: {', '.join((*own, *known))}"
    elif metric.startswith(TIMES_OF_BLOCKS) and not pairs:
        start = "not every valid trial has this figure"
    else:
        start = "one block has a valid trial of both, no spread" if pairs else "no block has a valid trial of both"
    return "; ".join([start, *_gaps(wsgi, asgi, metric)])
