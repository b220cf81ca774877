"""What lies beneath the step of server and interface: what two servers of bare callables differ in, and its controls.

Knows cells and settings. Must not know ladders or how a page looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gatebench.attribution import COST, PLAIN
from gatebench.model import Setting
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.setup import spelled
from gatebench.report.wording import line
from gatebench.tables import Cell, Measure

UNIT = "µs"
INSIDE = ("loop", "parser")  # settings that say what a server is made of


def beneath(found: Found, load: str, bare: tuple[str, str], say: Language) -> Iterator[str]:
    """Say how two servers differ, one of each interface, given by their bare callables, and what that tells.

    First the settings; then what a server costs that differs from the second in loop and parser alone; then what both
    interfaces cost on every program that serves both. Of any part in which they ran.
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
    """Say what the bare callables of both interfaces cost on every program that serves both."""
    apps = [stack.partition("+")[0] for stack in bare]
    programs: dict[str, list[Cell]] = {}
    for cell in measure.cells:
        app, _, server = cell.key.stack.partition("+")
        if app in apps and cell.estimate(COST):
            programs.setdefault(_program(server), []).append(cell)
    both = {name: cells for name, cells in programs.items() if len({cell.interface for cell in cells}) > 1}
    for name, cells in both.items():
        costs = (
            say("{cost} on {stack}", stack=cell.key.stack, cost=line(cell.estimate(COST), UNIT, say))
            for cell in cells
        )
        yield say(
            "{program} serves both interfaces: a bare callable took {costs} (part {part}).",
            program=name,
            costs=say(", ").join(costs),
            part=measure.part,
        )
    if both:
        yield say("What serves them there differs in more than the interface: in loop, threads or parser.")


def _program(server: str) -> str:
    """Give the program of a server's name: `gunicorn` of `gunicorn-gthread`."""
    return server.partition("[")[0].partition("-")[0]
