"""Where on the page a verdict's evidence is: cells, curves, rankings, what was spoken.

Knows verdicts and the page's anchors. Must not know how a page looks, nor judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gatebench.claims import SILENT, in_parts
from gatebench.model import Claim, Verdict
from gatebench.report.curves import heading
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.tables import Cell

SPOKEN, RANKING = "protocols", "choose"  # sections of the page
MOST = 4  # cells that are linked one by one
SWEPT = ("gain", "no_gain")  # judges of whole sweeps, whatever load a verdict names besides

Drawn = Mapping[str, str]  # a curve's title -> its anchor


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A place on the page, and what it is called."""

    anchor: str
    text: str
    where: tuple[str, ...] = ()  # scenario, load and part: what tells it from another of the same text


def settled(claim: Claim, claims: Sequence[Claim]) -> Claim:
    """Give the row that settles a row: itself, or the one that it follows."""
    followed = (each for each in claims if claim.see in (each.name, each.table))
    return claim if claim.see is None else settled(next(followed, claim), claims)


def links(found: Found, verdict: Verdict, drawn: Drawn, say: Language) -> tuple[Link, ...]:
    """Give the places that a verdict rests on, each once."""
    made = _links(found, verdict, settled(verdict.claim, found.claims), drawn, say)
    return apart([*{each.anchor: each for each in made}.values()])


def apart(found: Sequence[Link]) -> tuple[Link, ...]:
    """Add to texts that several links have as much of where each is as tells them apart, the scenario first."""
    added: list[tuple[str, ...]] = [()] * len(found)
    for place in range(3):
        alike: dict[tuple[str, tuple[str, ...]], set[str]] = {}
        for each, more in zip(found, added, strict=True):
            alike.setdefault((each.text, more), set()).update(each.where[place : place + 1])
        added = [
            (*more, each.where[place]) if each.where and len(alike[each.text, more]) > 1 else more
            for each, more in zip(found, added, strict=True)
        ]
    return tuple(
        replace(each, text=f"{each.text} ({', '.join(more)})") if more else each
        for each, more in zip(found, added, strict=True)
    )


def _links(found: Found, verdict: Verdict, claim: Claim, drawn: Drawn, say: Language) -> Iterator[Link]:
    if verdict.word in SILENT:
        return
    if claim.protocols:
        if any(run.capabilities for run in found.session.runs):
            yield Link(anchor=SPOKEN, text=say("what was spoken"))
    elif each := verdict.comparison:
        for side, stack in (("WSGI", each.wsgi), ("ASGI", each.asgi)):
            if (anchor := found.anchors.get((each.part, stack, each.scenario, each.load))) is not None:
                yield Link(anchor=anchor, text=side)
    else:
        if claim.how == "ranked":
            yield Link(anchor=RANKING, text=say("ranking"))
        yield from _of_cells(found, _cells(found, verdict, claim), drawn, say)


def _of_cells(found: Found, cells: Sequence[Cell], drawn: Drawn, say: Language) -> Iterator[Link]:
    """Give the curve that a part's many cells make, else the cells."""
    by_curve: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        by_curve.setdefault((cell.key.part, cell.key.scenario), []).append(cell)
    for (part, scenario), held in by_curve.items():
        title = heading(found, scenario, part, say)
        if len({cell.key.load for cell in held}) > 1 and title in drawn:
            yield Link(anchor=drawn[title], text=say("load curve"), where=(scenario, "", part))
            continue
        for cell in held[:MOST]:
            where = cell.key.scenario, cell.key.load, cell.key.part
            yield Link(anchor=found.anchors[tuple(cell.key)], text=cell.key.stack, where=where)


def _cells(found: Found, verdict: Verdict, claim: Claim) -> list[Cell]:
    """Give the cells of a row's parts that its verdict names; all of them where it names none."""
    cells = [
        cell
        for cell in found.cells
        if in_parts(claim, cell.key.part) and (not claim.scenarios or cell.key.scenario in claim.scenarios)
    ]
    text = f"{verdict.wsgi} {verdict.asgi} {verdict.why}"
    if claim.how == "ranked":
        server = (verdict.wsgi or verdict.asgi).partition(":")[0]
        named = [cell for cell in cells if cell.key.stack.partition("+")[2] == server]
    elif claim.how == "runs":
        named = [cell for cell in cells if cell.key.stack.partition("+")[0] in claim.names]
    elif claim.how == "bridges":
        named = [cell for cell in cells if any(f"bridge={name}" in cell.key.stack for name in claim.names)]
    else:
        named = [cell for cell in cells if _names(text, cell.key.stack)]
        here = [cell for cell in named if re.search(rf"(^|: | on ){re.escape(cell.key.scenario)}\b", verdict.why)]
        exact = [cell for cell in here if cell.key.load in verdict.why and claim.how not in SWEPT]
        named = exact or here or named
    if claim.how == "stages":
        named = [cell for cell in cells if verdict.why.startswith(cell.key.stack)]
    return named or cells


def _names(text: str, stack: str) -> bool:
    """Tell whether a text has a stack's whole name, not the beginning of a longer one."""
    return re.search(rf"(?<![\w+.-]){re.escape(stack)}(?![\w\[@+-])", text) is not None
