"""Rows that an order settles: servers by their stars, drivers and views beside each other, and a migration's stages.

Knows cells and comparisons. Must not know runs or pages.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from gatebench.claims.evidence import (
    Evidence,
    about,
    above,
    base,
    compared,
    has_interval,
    in_parts,
    joined,
    profile_of,
    said,
)
from gatebench.claims.ratios import factor_said
from gatebench.metrics import TABLE
from gatebench.model import Cell, Claim, Comparison, Verdict
from gatebench.sweeps import gain

TOLD_OF_STAGES = ("rate_rps", "response_p99_s", "cpu_us_per_request", "pss_bytes")


def ranked(claim: Claim, evidence: Evidence, rows: Sequence[Claim]) -> Iterator[Verdict]:
    """Hold a server's place among its interface's against the published stars of `rows`, ties named."""
    side = claim.key.split(".")[0]
    cells = {each.stack: each for each in _cells(claim, evidence) if each.interface == side and each.estimate}
    own = _of_server(claim, cells)
    if own is None:
        return
    figure = f"{_server(own.stack)}: {said(own.estimate, own.metric)}"
    wsgi, asgi = (figure if side == each else "" for each in ("wsgi", "asgi"))
    if not has_interval(own.estimate):
        yield Verdict(claim=claim, word="undecided", why="one block: no order is told", wsgi=wsgi, asgi=asgi)
        return
    untold = [_server(each.stack) for each in cells.values() if not has_interval(each.estimate)]
    order = sorted((each for each in cells.values() if has_interval(each.estimate)), key=_value, reverse=True)
    ties = [
        _server(each.stack) for each in order if each is not own and not _above(each, own) and not _above(own, each)
    ]
    others = [(row, _of_server(row, cells)) for row in rows if row.key.split(".")[0] == side]
    agree, open_, against = _against_stars(claim, own, others)
    first, last = 1 + sum(_above(each, own) for each in order), len(order) - sum(_above(own, each) for each in order)
    place = f"{first}" if first == last else f"{first}\N{EN DASH}{last}"  # all that the evidence leaves open
    texts = [f"place {place} of {len(order)}", *([f"tied with {joined(ties)}"] if ties else [])]
    texts.append(
        f"pairs with other stars: {len(agree)} as the stars say, {len(open_)} tied, {len(against)} against the stars"
    )
    texts += [f"against its {claim.stars} stars: {joined(against)}"] if against else []
    texts += [f"one block of {joined(untold)}: no order to it is told"] if untold else []
    yield Verdict(
        claim=claim,
        word="refuted" if against else "confirmed" if agree and not open_ else "undecided",
        why="; ".join(texts),
        wsgi=wsgi,
        asgi=asgi,
    )


def _against_stars(
    claim: Claim, own: Cell, others: Sequence[tuple[Claim, Cell | None]]
) -> tuple[list[str], list[str], list[str]]:
    """Name the servers with other stars: where the order is as the stars say, where it is open, and where against."""
    agree: list[str] = []
    open_: list[str] = []
    against: list[str] = []
    for row, other in others:
        if other is None or row.stars is None or claim.stars is None or row.stars == claim.stars:
            continue
        faster, slower = _above(own, other), _above(other, own)
        if not faster and not slower:
            open_.append(row.label)
        elif faster == (claim.stars > row.stars):
            agree.append(row.label)
        else:
            against.append(f"{'above' if faster else 'below'} {row.label}, which has {row.stars}")
    return agree, open_, against


def pairs(claim: Claim, evidence: Evidence) -> Iterator[Verdict]:
    """Say who is ahead, for each pair that was measured; what the row names is compared among itself alone."""
    for each in compared(claim, evidence):
        named = [any(f"={name}" in stack for name in claim.names) for stack in (each.wsgi, each.asgi)]
        if named[0] == named[1]:
            yield Verdict(claim=claim, word=_ahead(each), why=_pair(each), comparison=each)


def views(claim: Claim, evidence: Evidence) -> Iterator[Verdict]:
    """Set views of both kinds in one framework beside each other: in FastAPI, and in what serves both interfaces."""
    cells = [each for each in _cells(claim, evidence) if each.interface == "asgi" and each.estimate]
    for plain in (each for each in cells if "views=def" in each.stack):
        for other in cells:
            if base(other.stack) == base(plain.stack) and "views=" not in other.stack and _like(other, plain):
                word = "def ahead" if _above(plain, other) else "async ahead" if _above(other, plain) else "tied"
                if not (has_interval(plain.estimate) and has_interval(other.estimate)):
                    word = "undecided"
                yield Verdict(
                    claim=claim,
                    word=word,
                    why=f"{plain.stack} beside {other.stack} on {plain.scenario}, {plain.load}",
                    wsgi=f"def view(): {said(plain.estimate, plain.metric)}",
                    asgi=f"async def view(): {said(other.estimate, other.metric)}",
                )
    for each in pairs(claim, evidence):
        if each.comparison and _app(each.comparison.asgi) == f"{_app(each.comparison.wsgi)}_asgi":
            yield each


def stages(claim: Claim, evidence: Evidence) -> Iterator[Verdict]:
    """Give the figures of a stage of the migration; of the routes, whether both sides answered behind one front."""
    cells = [
        each
        for each in evidence.cells
        if in_parts(claim, each.part) and all(re.search(rf"[\[,]{name}[,\]]", each.stack) for name in claim.names)
    ]
    by_stack: dict[str, list[Cell]] = {}
    for each in cells:
        by_stack.setdefault(each.stack, []).append(each)
    if not claim.names and cells:
        good = [stack for stack, found in by_stack.items() if any(each.valid for each in found)]
        why = f"valid trials of {len(good)} of {len(by_stack)} stages behind one front"
        yield Verdict(claim=claim, word="runs" if good else "does not run", why=why)
        return
    for stack, found in by_stack.items():
        figures = {each.metric: said(each.estimate, each.metric) for each in found if each.estimate}
        told = [f"{TABLE[name][0].title} {figures[name]}" for name in TOLD_OF_STAGES if name in figures]
        word = "measured" if told else "void"
        yield Verdict(claim=claim, word=word, why=f"{stack}: {'; '.join(told) if told else found[0].reasons}")


def _cells(claim: Claim, evidence: Evidence) -> list[Cell]:
    return [each for each in evidence.cells if in_parts(claim, each.part) and about(claim, each)]


def _like(one: Cell, other: Cell) -> bool:
    return (one.part, one.scenario, one.load, one.metric) == (other.part, other.scenario, other.load, other.metric)


def _value(cell: Cell) -> float:
    return cell.estimate.value if cell.estimate else 0.0


def _above(one: Cell, other: Cell) -> bool:
    return above(one.estimate, other.estimate)


def _of_server(claim: Claim, cells: Mapping[str, Cell]) -> Cell | None:
    wanted = (each for each in cells.values() if _server(base(each.stack)) in claim.names)
    return next(wanted, None)


def _app(stack: str) -> str:
    return stack.partition("+")[0]


def _server(stack: str) -> str:
    return stack.partition("+")[2]


def _ahead(each: Comparison) -> str:
    ratio = gain(each)
    if ratio is None:
        return "undecided" if each.blocks else "void"
    if (ratio.low or 0.0) > 1:
        return "ASGI ahead"
    return "WSGI ahead" if (ratio.high or math.inf) < 1 else "tied"


def _pair(each: Comparison) -> str:
    ratio = gain(each)
    figure = (each.reason or "no reason was given") if ratio is None else f"ASGI / WSGI is {factor_said(ratio, 1)}"
    return f"{each.scenario}, {each.load}, {profile_of(each.asgi)}: {figure}"
