"""Where a speed-up comes from: ladders as figures, tables and a sentence made from their figures.

Knows ladders. Must not know cells or how a page looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import cast

from gatebench.attribution import CORNERS, DRIVER, LAYERS, SERVER, SERVICE, above_by_block, above_server
from gatebench.claims import LIKES
from gatebench.model import AnyInterface, Estimate, Ladder, Rung
from gatebench.report.bare import beneath
from gatebench.report.drawing.steps import Stair, Step, seen_to, stairs
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.wording import Grid, Picture, Shown, line, place, shown
from gatebench.stats import difference
from gatebench.tables import places

UNIT = "µs"
PAIR = LIKES[1]
SIDES: dict[str, AnyInterface] = dict(zip(CORNERS, ("wsgi", "wsgi", "asgi", "asgi"), strict=True))  # the apps'
MANY = 4  # frameworks of an interface beside each other, from which on their order is worth a sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """Ladders of one part, scenario and load."""

    anchor: str
    part: str
    title: str
    few: bool  # whether it has fewer blocks than it would need
    sentence: str
    picture: Picture | None
    grid: Grid
    why: tuple[str, ...]  # how it was made, and what is missing; made by another room


def falls(found: Found, say: Language) -> tuple[Fall, ...]:
    """Give the headline's ladders first, then the other parts', then what swaps of server and framework do."""
    groups = [
        list(group)
        for _, group in groupby(found.ladders, key=lambda each: (each.part, each.scenario, each.load, _swaps(each)))
    ]

    def order(group: Sequence[Ladder]) -> tuple[bool, bool, int]:
        return _swaps(group[0]), not {*PAIR} <= {each.stack for each in group}, len(group)

    return tuple(_fall(found, at, group, say) for at, group in enumerate(sorted(groups, key=order)))


def _swaps(ladder: Ladder) -> bool:
    return ladder.side == "swaps"


def _fall(found: Found, at: int, group: Sequence[Ladder], say: Language) -> Fall:
    like, name = group[0], f"fall-{at}"
    title = f"{say.told(found.scenario(like.scenario))}{say(': ')}{say.told(found.title_of(like.part))}"
    # WSGI before ASGI, what costs least first, and last what has no figure.
    ladders = sorted(group, key=lambda each: (each.side != "wsgi", each.total_us is None, _cost(each)))
    return Fall(
        anchor=name,
        part=like.part,
        title=title,
        few=any(each.total_us.few for each in ladders if each.total_us),
        sentence=_of_swaps(like, say) if _swaps(like) else _of_layers(found, ladders, say, first=not at),
        picture=_picture(name, title, ladders, say),
        grid=_grid_of_swaps(title, like, say) if _swaps(like) else _grid(title, ladders, say),
        why=tuple(dict.fromkeys(_why(ladders))),
    )


def _cost(ladder: Ladder) -> float:
    return ladder.total_us.value if ladder.total_us else 0.0


def _picture(name: str, title: str, ladders: Sequence[Ladder], say: Language) -> Picture | None:
    drawn = [stair for each in ladders if each.total_us for stair in _drawn(each, say)]
    if not drawn:
        return None
    caption = say(
        "{title}. CPU a request takes, layer by layer; the line on a bar is its 95 % interval, the dots are blocks.",
        title=title,
    )
    reached = [_cost(each) for each in ladders if each.total_us and not _swaps(each)]
    if reached and max(reached) > seen_to(reached):
        caption += " " + say("What two gaps cut is longer than drawn; its figure stands beside it.")
    return Picture(svg=stairs(name, drawn, UNIT, caption), caption=caption)


def _drawn(ladder: Ladder, say: Language) -> Iterator[Stair]:
    """Give a ladder as it is drawn; of swaps first what was measured, and then what the steps between come to."""
    for corner in ladder.corners:
        alone = _steps([replace(corner, name="as measured")], say)[0]
        yield Stair(label=corner.name, interface=SIDES[corner.name], steps=[], total=alone)
    yield Stair(
        label=_label(ladder),
        interface="asgi" if _swaps(ladder) else cast("AnyInterface", ladder.side),
        steps=_steps(ladder.rungs, say),
        total=Step(label=say("in all"), cost=_known(ladder.total_us), blocks=ladder.blocks),
    )


def _steps(rungs: Sequence[Rung], say: Language) -> list[Step]:
    return [
        Step(label=_beside_bar(each.name, say), cost=each.cost_us, blocks=each.blocks)
        for each in rungs
        if each.cost_us
    ]


def _beside_bar(name: str, say: Language) -> str:
    """Name a layer where there is little room."""
    return ", ".join(say("driver and framework") if part == DRIVER else say.told(part) for part in name.split(", "))


def _known(estimate: Estimate | None) -> Estimate:
    assert estimate is not None  # noqa: S101 -- only ladders with a total are drawn
    return estimate


def _label(ladder: Ladder) -> str:
    return f"{CORNERS[0]} → {CORNERS[-1]}" if _swaps(ladder) else ladder.stack


def _layer(name: str, say: Language) -> str:
    return ", ".join(say.told(part) for part in name.split(", "))


def _grid(title: str, ladders: Sequence[Ladder], say: Language) -> Grid:
    names = sorted({rung.name for each in ladders for rung in each.rungs}, key=_height)
    rows = []
    for each in ladders:
        costs = {rung.name: rung.cost_us for rung in each.rungs}
        steps = [shown(costs[name], UNIT, say) if name in costs else Shown(value="") for name in names]
        rows.append((each.stack, (*steps, shown(each.total_us, UNIT, say))))
    return Grid(
        title=say("{title}: CPU a request", title=title),
        corner=say("Stack"),
        heads=(*(_layer(name, say) for name in names), say("in all")),
        rows=tuple(rows),
    )


def _height(name: str) -> list[int]:
    """Give a step's place from the bottom up; one of several layers stands where its topmost does."""
    return [LAYERS.index(layer) for layer in reversed(name.split(", "))]


def _grid_of_swaps(title: str, ladder: Ladder, say: Language) -> Grid:
    whole = Rung(name="in all", stacks=(CORNERS[-1], CORNERS[0]), cost_us=ladder.total_us, note="")
    rungs = (*ladder.corners, *ladder.rungs, *([whole] if ladder.total_us else []), *ladder.shares)
    return Grid(
        title=say("{title}: CPU a request", title=title),
        corner=_label(ladder),
        heads=(say("CPU a request"),),
        rows=tuple((_layer(each.name, say), (shown(each.cost_us, UNIT, say),)) for each in rungs),
    )


def _why(ladders: Sequence[Ladder]) -> Iterator[str]:
    for each in ladders:
        yield each.why if each.total_us else f"{each.stack}: {each.why}"
        yield from (f"{rung.name}: {rung.note}" for rung in each.rungs if rung.note)


def _of_layers(found: Found, ladders: Sequence[Ladder], say: Language, *, first: bool) -> str:
    """Say what the headline's pair cost, what lies beneath it in the `first` of a page, and who adds what."""
    by_stack = {each.stack: each for each in ladders if each.total_us}
    paired = {*PAIR} <= by_stack.keys()
    said = [_of_pair(found, by_stack[PAIR[0]], by_stack[PAIR[1]], say, first=first)] if paired else []
    for side, own in zip(("wsgi", "asgi"), PAIR, strict=True):
        known = [each for each in by_stack.values() if each.side == side and above_by_block(each)]
        if len(known) >= (MANY if paired else 2):
            said.append(_of_order(known, own, side.upper(), say))
    return say.sentences(said)


def _of_order(ladders: Sequence[Ladder], pair: str, side: str, say: Language) -> str:
    """Say who adds least and most above the server, and where the headline's framework stands."""
    costs = {each.stack: above_server(each) for each in ladders}
    ranked = sorted(ladders, key=lambda each: _known(costs[each.stack]).value)
    placed = dict(zip((each.stack for each in ranked), places(ranked, _cheaper), strict=True))

    def those(stacks: Sequence[str]) -> str:
        return say(", ").join(
            say("{stack} with {cost}", stack=each, cost=line(costs[each], UNIT, say)) for each in stacks
        )

    said = say(
        "Of {count} on {side}, above server and interface least is added by {least}; most by {most}.",
        side=side,
        count=len(ranked),
        least=those([stack for stack, (first, _) in placed.items() if first == 1]),
        most=those([stack for stack, (_, last) in placed.items() if last == len(ranked)]),
    )
    own = pair if pair in costs else next((each for each in costs if _app(each) == _app(pair)), None)
    if own is None:
        return said
    mine = say(
        "{stack} adds {cost}: place {place} of {count} from the least.",
        stack=own,
        cost=line(costs[own], UNIT, say),
        place=place(*placed[own]),
        count=len(ranked),
    )
    return say.sentences([said, mine])


def _app(stack: str) -> str:
    return stack.partition("+")[0]


def _cheaper(one: Ladder, other: Ladder) -> int:
    """Tell whether the first evidently adds less above its server (1), more (-1), or neither."""
    ours, theirs = above_by_block(one), above_by_block(other)
    found = difference([(ours[block], theirs[block]) for block in sorted(ours.keys() & theirs.keys())])
    if found is None or found.low is None or found.high is None:
        return 0
    return (found.low > 0) - (found.high < 0)


def _of_pair(found: Found, wsgi: Ladder, asgi: Ladder, say: Language, *, first: bool) -> str:
    sides = [{rung.name: rung.cost_us for rung in each.rungs if rung.cost_us} for each in (wsgi, asgi)]
    both = [name for name in sides[0] if name in sides[1]]
    alike = _served(wsgi) == _served(asgi)
    said = say(
        "A request took {wsgi_cost} on {wsgi} and {asgi_cost} on {asgi}.",
        wsgi=wsgi.stack,
        wsgi_cost=_of_cpu(wsgi, say),
        asgi=asgi.stack,
        asgi_cost=line(asgi.total_us, UNIT, say) if alike else _of_cpu(asgi, say),
    )
    steps = sorted(both, key=lambda name: -abs(sides[1][name].value - sides[0][name].value))
    if not steps:
        return said
    widest = steps[0]
    cost = [line(side[widest], UNIT, say) for side in sides]
    most = say(
        "Where they differ most is {layer}: {wsgi_cost} on WSGI, {asgi_cost} on ASGI.",
        layer=_layer(widest, say),
        wsgi_cost=cost[0],
        asgi_cost=cost[1],
    )
    if not first or SERVER not in widest.split(", "):
        return say.sentences([said, most])
    bare = wsgi.rungs[0].stacks[0], asgi.rungs[0].stacks[0]
    return say.sentences([said, most, *beneath(found, wsgi.load, bare, say)])


def _served(ladder: Ladder) -> bool:
    """Tell whether what services spend is in a whole."""
    return any(rung.name == SERVICE for rung in ladder.rungs)


def _of_cpu(ladder: Ladder, say: Language) -> str:
    """Give a whole with whose CPU it is of."""
    cost = line(ladder.total_us, UNIT, say)
    if _served(ladder):
        return say("{cost} of CPU, the services' included,", cost=cost)
    return say("{cost} of the server's CPU", cost=cost)


def _of_swaps(ladder: Ladder, say: Language) -> str:
    """Tell the four stacks as measured, then the steps between them, and last what each swap may be given."""
    if not ladder.total_us:
        return ""
    stacks = [each.name for each in ladder.corners]
    costs = [line(each.cost_us, UNIT, say) for each in ladder.corners]
    measured = say(
        "A request took {cost} of the server's CPU on {stack}, {server_cost} on {server}, {framework_cost} on "
        "{framework}, and {both_cost} on {both}.",
        stack=stacks[0],
        cost=costs[0],
        server=stacks[1],
        server_cost=costs[1],
        framework=stacks[2],
        framework_cost=costs[2],
        both=stacks[3],
        both_cost=costs[3],
    )
    server, framework, together = (_signed(each.cost_us, say) for each in ladder.rungs)
    steps = say(
        "So the other server, through a bridge, changes it by {server}, the other framework, through a bridge, by "
        "{framework}, and both together, which need no bridge, by another {together}: in all by {whole}.",
        server=server,
        framework=framework,
        together=together,
        whole=_signed(ladder.total_us, say),
    )
    of_server, of_framework = (_signed(each.cost_us, say) for each in ladder.shares)
    shares = say(
        "Averaged over both orders, the share attributed to the server is {server}, and that attributed to the "
        "framework {framework}; half of what falls away with the bridges is in each, so neither was measured itself.",
        server=of_server,
        framework=of_framework,
    )
    return say.sentences([measured, steps, shares])


def _signed(estimate: Estimate | None, say: Language) -> str:
    return f"{'+' if estimate and estimate.value > 0 else ''}{line(estimate, UNIT, say)}"
