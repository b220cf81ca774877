"""What each framework adds on each server: one table of many ladders, those of parts that have one server each.

Knows ladders. Must not know cells or how a page looks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from gatebench.attribution import SERVER, above_server
from gatebench.claims import LIKES
from gatebench.model import Estimate, Ladder
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.wording import Grid, Shown, line, load_said, shown

UNIT = "µs"
HEADLINE = {side: stack.partition("+")[0] for side, stack in zip(("wsgi", "asgi"), LIKES[1], strict=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Across:
    """The frameworks of one interface on its servers, under one scenario and load."""

    title: str
    sentence: str
    grid: Grid
    notes: tuple[str, ...]  # what is missing, and which trials have warnings
    parts: frozenset[str]  # whose ladders these are


def across(found: Found, say: Language) -> tuple[Across, ...]:
    """Give a table for each interface, scenario and load of which two servers or more have a figure."""
    alone = {part.name for part in found.session.plan.parts if len({*map(_server, part.stacks)}) == 1}
    groups: dict[tuple[str, str, str], list[Ladder]] = {}
    for each in found.ladders:
        if each.part in alone:
            groups.setdefault((each.scenario, each.load, each.side), []).append(each)
    return tuple(
        _across(found, ladders, say)
        for ladders in groups.values()
        if len({_server(each.stack) for each in ladders if above_server(each)}) > 1
    )


def _server(stack: str) -> str:
    return stack.partition("+")[2]


def _app(stack: str) -> str:
    return stack.partition("+")[0]


def _across(found: Found, ladders: Sequence[Ladder], say: Language) -> Across:
    like, side = ladders[0], ladders[0].side.upper()
    bare, added = _bare(ladders), {each.stack: above_server(each) for each in ladders}
    apps = sorted({_app(stack) for stack in added}, key=lambda app: _middle(added, app))
    title = say(
        "{scenario}, {load}: what each framework adds, by {side} server",
        scenario=say.told(found.scenario(like.scenario)),
        load=load_said(like.load, say),
        side=side,
    )

    def cell(app: str, server: str) -> Shown:
        stack = f"{app}+{server}"
        return shown(added[stack], UNIT, say) if stack in added else Shown(value="")

    return Across(
        title=title,
        parts=frozenset(each.part for each in ladders),
        sentence=say.sentences(_said(bare, added, HEADLINE.get(like.side, ""), say)),
        notes=tuple(_notes(found, ladders, apps, say)),
        grid=Grid(
            title=say("{title}: CPU a request", title=title),
            corner=say("Server"),
            heads=(say.told(SERVER), *apps),
            rows=tuple(
                (server, (shown(bare[server], UNIT, say), *(cell(app, server) for app in apps))) for server in bare
            ),
        ),
    )


def _bare(ladders: Sequence[Ladder]) -> dict[str, Estimate | None]:
    """Give what each server takes by itself, the least first, and last those of which that is not known."""
    found: dict[str, Estimate | None] = {_server(each.stack): None for each in ladders}
    # A bare callable has a figure of each ladder, over the blocks in which all of it is valid: the last has the most.
    for each in sorted(ladders, key=lambda each: len(each.blocks)):
        if each.rungs and each.rungs[0].name == SERVER:
            found[_server(each.stack)] = each.rungs[0].cost_us
    return dict(sorted(found.items(), key=lambda each: each[1].value if each[1] else math.inf))


def _middle(added: Mapping[str, Estimate | None], app: str) -> float:
    """Give what an app adds on the server in the middle."""
    return median([cost.value for stack, cost in added.items() if _app(stack) == app and cost] or [math.inf])


def _said(
    bare: Mapping[str, Estimate | None], added: Mapping[str, Estimate | None], app: str, say: Language
) -> Iterator[str]:
    """Say on which servers an answer by itself takes least and most CPU, and what the headline's framework adds."""
    if ends := _ends({server: cost for server, cost in bare.items() if cost}, say):
        yield say(
            "Server and interface alone take least of a request's CPU on {least}; most on {most}.",
            least=ends[0],
            most=ends[1],
        )
    if ends := _ends({_server(stack): cost for stack, cost in added.items() if cost and _app(stack) == app}, say):
        yield say(
            "{framework} adds least to that on {least}; most on {most}.", framework=app, least=ends[0], most=ends[1]
        )


def _ends(costs: Mapping[str, Estimate], say: Language) -> tuple[str, str] | None:
    """Give the servers at either end, each with those not told from it but from the other; None where ends meet."""
    ranked = sorted(costs.items(), key=lambda each: each[1].value)
    if not ranked or _overlap(ranked[0][1], ranked[-1][1]):
        return None
    ends = ((ranked[0][1], ranked[-1][1]), (ranked[-1][1], ranked[0][1]))
    least, most = (
        say(", ").join(
            say("{stack} with {cost}", stack=server, cost=line(cost, UNIT, say))
            for server, cost in ranked
            if _overlap(cost, own) and not _overlap(cost, other)
        )
        for own, other in ends
    )
    return least, most


def _overlap(one: Estimate, other: Estimate) -> bool:
    """Tell whether two intervals meet; one that is missing tells nothing apart."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return True
    return one.low <= other.high and other.low <= one.high


def _notes(found: Found, ladders: Sequence[Ladder], apps: Sequence[str], say: Language) -> Iterator[str]:
    """Say what an empty cell and a dash mean, where there are any, and of which servers trials have warnings."""
    servers = {_server(each.stack) for each in ladders}
    if len(ladders) < len(servers) * len(apps):
        yield say("An empty cell: the plan does not have the pair, as where it cannot run; gatebench list says why.")
    if any(above_server(each) is None for each in ladders):
        yield say("A dash: too little is valid; the server's own table below says what.")
    parts = {each.part for each in ladders}
    runs = [run for run in found.session.runs if run.part in parts]
    all_ = Counter(_server(run.stack) for run in runs)
    warned = Counter(_server(run.stack) for run in runs if run.warnings)
    if warned:
        yield say(
            "Trials with warnings, which stand in their cells' details: {servers}.",
            servers=say(", ").join(
                say("{count} of {all} on {stack}", count=warned[server], all=all_[server], stack=server)
                for server in sorted(warned)
            ),
        )
