"""What each framework adds on each server, from ladders whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import sessions
from sessions import Truth, part

from gatebench.model import Run
from gatebench.report.across import Across, across
from gatebench.report.found import find
from gatebench.report.language import Language

SAY = Language("en")
SERVERS = {"waitress": 90.0, "bjoern": 8.0}
ADDED = {"raw_wsgi": 0.0, "werkzeug": 25.0, "flask": 60.0, "bottle": 9.0}


def cost(stack: str, _scenario: str, _size: int) -> float:
    """Give what a request takes: each framework adds twice as much on Waitress."""
    app, _, server = stack.partition("+")
    return SERVERS[server] + ADDED[app] * (2 if server == "waitress" else 1)


def tables(servers: dict[str, tuple[str, ...]], spoil: sessions.Spoil = lambda run: run) -> tuple[Across, ...]:
    parts = [part(f"ladders.{name}", stacks, ["plain closed(64)"]) for name, stacks in servers.items()]
    return across(find(sessions.session(parts=parts, truth=Truth(cost_us=cost, noise=0.2), spoil=spoil)), SAY)


def on(*servers: str) -> tuple[str, ...]:
    return tuple(f"{app}+{server}" for server in servers for app in ADDED)


def test_servers_are_rows_and_frameworks_columns_each_by_what_it_costs() -> None:
    [found] = tables({server: on(server) for server in SERVERS})
    assert found.title == "Thirteen bytes of plain text: what each framework adds, on every server of WSGI"
    assert found.grid.heads == ("server and interface", "bottle", "werkzeug", "flask")
    assert [name for name, _ in found.grid.rows] == ["bjoern", "waitress"]
    values = {name: [round(float(each.value.split()[0])) for each in row] for name, row in found.grid.rows}
    assert values == {"bjoern": [8, 9, 25, 60], "waitress": [90, 18, 50, 120]}


def test_the_sentence_gives_the_ends_of_the_servers_and_of_what_the_headlines_framework_adds() -> None:
    [found] = tables({server: on(server) for server in SERVERS})
    alone, adds = found.sentence.split(". ")
    assert alone.startswith("Server and interface alone took from 8")
    assert alone.endswith("on waitress")
    assert adds.startswith("What flask adds to that lies between 6")
    assert "on bjoern and 1" in adds


def test_what_is_void_on_a_server_has_no_figure_there_and_is_in_no_sentence() -> None:
    def spoiled(run: Run) -> Run:
        return replace(run, status="void", reason="x") if run.stack == "flask+bjoern" else run

    [found] = tables({server: on(server) for server in SERVERS}, spoiled)
    assert next(row[-1].value for _, row in found.grid.rows) == "—"
    assert "flask" not in found.sentence


def test_a_part_of_several_servers_is_in_no_table_nor_is_one_server_alone() -> None:
    assert tables({"both": on(*SERVERS)}) == ()
    assert tables({"waitress": on("waitress")}) == ()
