"""What each framework adds on each server: one table of many ladders, those of parts that have one server each.

Knows ladders. Must not know cells or how a page looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from gatebench.attribution import SERVER, above_server
from gatebench.claims import LIKES
from gatebench.model import Estimate, Ladder
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.wording import Grid, line, shown

UNIT = "µs"
HEADLINE = {side: stack.partition("+")[0] for side, stack in zip(("wsgi", "asgi"), LIKES[1], strict=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Across:
    """The frameworks of one interface on its servers, under one scenario and load."""

    title: str
    sentence: str
    grid: Grid
    parts: frozenset[str]  # whose ladders these are


def across(found: Found, say: Language) -> tuple[Across, ...]:
    """Give a table for each interface, scenario and load that has ladders on two servers or more."""
    alone = {
        part.name for part in found.session.plan.parts if len({stack.partition("+")[2] for stack in part.stacks}) == 1
    }
    groups: dict[tuple[str, str, str], list[Ladder]] = {}
    for each in found.ladders:
        if each.part in alone:
            groups.setdefault((each.scenario, each.load, each.side), []).append(each)
    return tuple(
        _across(found, ladders, say)
        for ladders in groups.values()
        if len({_server(each) for each in ladders if each.total_us}) > 1
    )


def _server(ladder: Ladder) -> str:
    return ladder.stack.partition("+")[2]


def _app(ladder: Ladder) -> str:
    return ladder.stack.partition("+")[0]


def _middle(added: Mapping[tuple[str, str], Estimate | None], app: str) -> float:
    """Give what an app adds on the server in the middle."""
    return median([cost.value for (name, _), cost in added.items() if name == app and cost] or [0.0])


def _across(found: Found, ladders: Sequence[Ladder], say: Language) -> Across:
    like = ladders[0]
    side = like.side.upper()
    # A bare callable has a figure of each ladder, over the blocks in which all of it is valid: the last has the most.
    whole = sorted((each for each in ladders if each.total_us), key=lambda each: len(each.blocks))
    bare = {_server(each): each.rungs[0].cost_us for each in whole if each.rungs[0].name == SERVER}
    added = {(_app(each), _server(each)): above_server(each) for each in whole}
    apps = sorted({_app(each) for each in whole}, key=lambda app: _middle(added, app))
    title = say(
        "{scenario}: what each framework adds, on every server of {side}",
        scenario=say.told(found.scenario(like.scenario)),
        side=side,
    )
    servers = sorted(bare, key=lambda server: cost.value if (cost := bare[server]) else 0.0)
    return Across(
        title=title,
        parts=frozenset(each.part for each in ladders),
        sentence=" ".join(_said(bare, added, HEADLINE.get(like.side, ""), say)),
        grid=Grid(
            title=say("{title}: CPU a request", title=title),
            corner=say("Server"),
            heads=(say.told(SERVER), *apps),
            rows=tuple(
                (
                    server,
                    (shown(bare[server], UNIT, say), *(shown(added.get((app, server)), UNIT, say) for app in apps)),
                )
                for server in servers
            ),
        ),
    )


def _said(
    bare: Mapping[str, Estimate | None],
    added: Mapping[tuple[str, str], Estimate | None],
    app: str,
    say: Language,
) -> Iterator[str]:
    """Say between which ends servers and interface lie, and what the headline's framework adds."""
    known = {server: cost for server, cost in bare.items() if cost}
    if len(known) > 1:
        yield say(
            "Server and interface alone took from {little} a request on {least} to {much} on {most}.",
            **_ends(known, say),
        )
    known = {server: cost for (name, server), cost in added.items() if name == app and cost}
    if len(known) > 1:
        yield say(
            "What {framework} adds to that lies between {little} on {least} and {much} on {most}.",
            framework=app,
            **_ends(known, say),
        )


def _ends(costs: Mapping[str, Estimate], say: Language) -> dict[str, str]:
    least, most = (end(costs, key=lambda server: costs[server].value) for end in (min, max))
    return {
        "least": least,
        "little": line(costs[least], UNIT, say),
        "most": most,
        "much": line(costs[most], UNIT, say),
    }
