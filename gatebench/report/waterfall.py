"""Where a speed-up comes from: ladders as figures, tables and a sentence made from their figures.

Knows ladders. Must not know cells or how a page looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import cast

from gatebench.attribution import CORNERS, SERVER
from gatebench.claims import LIKES
from gatebench.model import AnyInterface, Estimate, Ladder
from gatebench.report.drawing.steps import Stair, Step, stairs
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.wording import Grid, Picture, Shown, line, shown

UNIT = "µs"
PAIR = LIKES[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """Ladders of one part, scenario and load."""

    anchor: str
    title: str
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

    def place(group: Sequence[Ladder]) -> tuple[bool, bool, int]:
        return _swaps(group[0]), not {*PAIR} <= {each.stack for each in group}, len(group)

    order = sorted(groups, key=place)
    return tuple(_fall(found, place, group, say) for place, group in enumerate(order))


def _swaps(ladder: Ladder) -> bool:
    return ladder.side == "swaps"


def _fall(found: Found, place: int, ladders: Sequence[Ladder], say: Language) -> Fall:
    like, name = ladders[0], f"fall-{place}"
    title = f"{say.told(found.scenario(like.scenario))}: {say.told(found.title_of(like.part))}"
    sentence = _of_swaps(like, say) if _swaps(like) else _of_layers(ladders, say)
    return Fall(
        anchor=name,
        title=title,
        sentence=sentence,
        picture=_picture(name, title, ladders, say),
        grid=_grid(title, ladders, say),
        why=tuple(dict.fromkeys(_why(ladders))),
    )


def _picture(name: str, title: str, ladders: Sequence[Ladder], say: Language) -> Picture | None:
    drawn = [
        Stair(
            label=_label(each),
            interface="asgi" if _swaps(each) else cast("AnyInterface", each.side),
            steps=[Step(label=_step(rung.name, say), cost=rung.cost_us) for rung in each.rungs if rung.cost_us],
            total=each.total_us,
        )
        for each in ladders
        if each.total_us is not None
    ]
    if not drawn:
        return None
    caption = say(
        "{title}. CPU a request takes, layer by layer; the line on a bar is its 95 % interval.", title=title
    )
    return Picture(svg=stairs(name, drawn, UNIT, say("in all"), caption), caption=caption)


def _label(ladder: Ladder) -> str:
    return f"{CORNERS[0]} → {CORNERS[-1]}" if _swaps(ladder) else ladder.stack


def _step(name: str, say: Language) -> str:
    return ", ".join(say.told(part) for part in name.split(", "))


def _grid(title: str, ladders: Sequence[Ladder], say: Language) -> Grid:
    names = list(dict.fromkeys(rung.name for each in ladders for rung in each.rungs))
    rows = []
    for each in ladders:
        costs = {rung.name: rung.cost_us for rung in each.rungs}
        steps = [shown(costs[name], UNIT, say) if name in costs else Shown(value="") for name in names]
        rows.append((_label(each), (*steps, shown(each.total_us, UNIT, say))))
    return Grid(
        title=say("{title}: CPU a request", title=title),
        corner=say("Stack"),
        heads=(*(_step(name, say) for name in names), say("in all")),
        rows=tuple(rows),
    )


def _why(ladders: Sequence[Ladder]) -> Iterator[str]:
    for each in ladders:
        yield each.why if each.total_us else f"{each.stack}: {each.why}"
        yield from (f"{rung.name}: {rung.note}" for rung in each.rungs if rung.note)


def _of_layers(ladders: Sequence[Ladder], say: Language) -> str:
    by_stack = {each.stack: each for each in ladders if each.total_us}
    if {*PAIR} <= by_stack.keys():
        return _of_pair(by_stack[PAIR[0]], by_stack[PAIR[1]], say)
    above = {stack: _above_server(each) for stack, each in by_stack.items()}
    ranked = sorted((stack for stack in above if above[stack] is not None), key=lambda stack: above[stack] or 0.0)
    if len(ranked) < 2:
        return ""
    return say(
        "Above its server and interface {least} adds least to a request, {little}, and {most} most, {much}.",
        least=ranked[0],
        little=line(_estimate(above[ranked[0]]), UNIT, say).split(" (")[0],
        most=ranked[-1],
        much=line(_estimate(above[ranked[-1]]), UNIT, say).split(" (")[0],
    )


def _estimate(value: float | None) -> Estimate | None:
    return None if value is None else Estimate(value=value, low=None, high=None, blocks=0, method="")


def _above_server(ladder: Ladder) -> float | None:
    costs = {rung.name: rung.cost_us.value for rung in ladder.rungs if rung.cost_us}
    return sum(cost for name, cost in costs.items() if name != SERVER) if SERVER in costs else None


def _of_pair(wsgi: Ladder, asgi: Ladder, say: Language) -> str:
    sides = [{rung.name: rung.cost_us for rung in each.rungs if rung.cost_us} for each in (wsgi, asgi)]
    both = [name for name in sides[0] if name in sides[1]]
    said = say(
        "A request took {wsgi_cost} of CPU on {wsgi} and {asgi_cost} on {asgi}.",
        wsgi=wsgi.stack,
        wsgi_cost=line(wsgi.total_us, UNIT, say),
        asgi=asgi.stack,
        asgi_cost=line(asgi.total_us, UNIT, say),
    )
    steps = sorted(both, key=lambda name: -abs(sides[1][name].value - sides[0][name].value))
    if not steps:
        return said
    first = steps[0]
    cost = [line(side[first], UNIT, say) for side in sides]
    most = say(
        "Where they differ most is {layer}: {wsgi_cost} on WSGI, {asgi_cost} on ASGI.",
        layer=_step(first, say),
        wsgi_cost=cost[0],
        asgi_cost=cost[1],
    )
    return f"{said} {most}"


def _of_swaps(ladder: Ladder, say: Language) -> str:
    costs = {rung.name: rung.cost_us for rung in ladder.rungs}
    if ladder.total_us is None or not {"server", "framework"} <= costs.keys():
        return ""
    return say(
        "Changing the server alone changes what a request costs by {server}, changing the framework alone by "
        "{framework}, both by {both}.",
        server=line(costs["server"], UNIT, say),
        framework=line(costs["framework"], UNIT, say),
        both=line(ladder.total_us, UNIT, say),
    )
