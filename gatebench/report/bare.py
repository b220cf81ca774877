"""What lies beneath the step of server and interface: what two servers of bare callables differ in, and its controls.

Knows cells and settings. Must not know ladders or how a page looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gatebench.attribution import COST, PLAIN
from gatebench.model import Estimate, Setting
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.setup import spelled
from gatebench.report.wording import line
from gatebench.stats import difference
from gatebench.tables import Cell, Measure

UNIT = "µs"
INSIDE = ("loop", "parser")  # settings that say what a server is made of
ENDS = ("-wsgi", "-asgi")  # of a server's names, where one program serves both interfaces


def beneath(found: Found, load: str, bare: tuple[str, str], say: Language) -> Iterator[str]:
    """Say how two servers differ, one of each interface, given by their bare callables, and what that tells.

    First the settings; then what a server costs that differs from the second in loop and parser alone; then what the
    two interfaces cost on a server that speaks both. Of any part in which both ran.
    """
    yield from _servers(found, bare, say)
    measures = [each for each in found.measures if (each.scenario, each.load) == (PLAIN, load)]
    for measure in measures:
        yield from _controlled(found, measure, bare, say)
    for measure in measures:
        yield from _both(measure, bare, say)


def _settings(found: Found, stack: str) -> Mapping[str, Setting]:
    return found.session.stacks.get(stack, {}).get("settings", {})


def _servers(found: Found, bare: tuple[str, str], say: Language) -> Iterator[str]:
    """Say in which settings the servers of two bare callables differ, of those that both have."""
    wsgi, asgi = (_settings(found, stack) for stack in bare)
    if differ := [name for name in sorted(wsgi.keys() & asgi.keys()) if wsgi[name] != asgi[name]]:
        yield say(
            "Their servers' settings differ in: {settings}.",
            settings=say(", ").join(
                say(
                    "{setting} ({wsgi} on WSGI, {asgi} on ASGI)",
                    setting=name,
                    wsgi=spelled(wsgi[name], say),
                    asgi=spelled(asgi[name], say),
                )
                for name in differ
            ),
        )


def _controlled(found: Found, measure: Measure, bare: tuple[str, str], say: Language) -> Iterator[str]:
    """Say what ASGI's bare callable costs on a server that differs from its own in loop and parser alone.

    It tells how much of the server's step is theirs.
    """
    cells = {cell.key.stack: cell for cell in measure.cells if cell.estimate(COST)}
    own, app = _settings(found, bare[1]), bare[1].partition("+")[0]
    if bare[1] not in cells or not own:
        return
    for stack, cell in cells.items():
        other = _settings(found, stack)
        differ = {name for name in own.keys() | other.keys() if own.get(name) != other.get(name)}
        if stack.partition("+")[0] == app and differ and differ <= {*INSIDE}:
            told = [each for each in (bare[1], bare[0]) if each in cells]
            yield say(
                "With {settings}, and nothing else changed, {stack} took {cost} a request, beside {others} (part "
                "{part}).",
                settings=say(", ").join(f"{name}={spelled(other.get(name), say)}" for name in sorted(differ)),
                stack=stack,
                cost=line(cell.estimate(COST), UNIT, say),
                others=say(", ").join(
                    say("{cost} on {stack}", stack=each, cost=line(cells[each].estimate(COST), UNIT, say))
                    for each in told
                ),
                part=measure.part,
            )


def _both(measure: Measure, bare: tuple[str, str], say: Language) -> Iterator[str]:
    """Say what the bare callables of both interfaces cost on one server that speaks both."""
    cells = {cell.key.stack: cell for cell in measure.cells}
    apps = [stack.partition("+")[0] for stack in bare]
    servers = [{_program(stack, app, end): stack for stack in cells} for app, end in zip(apps, ENDS, strict=True)]
    for server in sorted({*servers[0]} & {*servers[1]} - {""}):
        wsgi, asgi = (cells[each[server]] for each in servers)
        if apart := _apart(wsgi, asgi):
            yield say(
                "{server} speaks both interfaces: there a bare callable took {wsgi} a request on WSGI and {asgi} on "
                "ASGI, {apart} apart (part {part}).",
                server=server,
                wsgi=line(wsgi.estimate(COST), UNIT, say),
                asgi=line(asgi.estimate(COST), UNIT, say),
                apart=line(apart, UNIT, say),
                part=measure.part,
            )


def _program(stack: str, app: str, end: str) -> str:
    """Give the program that a stack of this app is served by, if its name is one of two; empty otherwise."""
    name, _, server = stack.partition("+")
    return server.removesuffix(end) if name == app and server.endswith(end) else ""


def _apart(wsgi: Cell, asgi: Cell) -> Estimate | None:
    """Give what the dearer takes above the other, block by block."""
    costs = wsgi.values(COST), asgi.values(COST)
    both = sorted(costs[0].keys() & costs[1].keys())
    less, more = sorted(costs, key=lambda values: sum(values[block] for block in both))
    return difference([(less[block], more[block]) for block in both])
