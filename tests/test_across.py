"""What each framework adds on each server, from ladders whose truth is known."""

from __future__ import annotations

import re
from dataclasses import replace

import sessions
from sessions import Truth, part

from gatebench.model import Run
from gatebench.report.across import Across, across
from gatebench.report.found import find
from gatebench.report.language import Language

SAY = Language("en")
SERVERS = {"waitress": 90.0, "bjoern": 8.0}  # what each takes by itself
ADDED = {"raw_wsgi": 0.0, "werkzeug": 25.0, "flask": 60.0, "bottle": 9.0}


def cost(stack: str, _scenario: str, _size: int) -> float:
    """Give what a request takes: each framework adds twice as much on Waitress."""
    app, _, server = stack.partition("[")[0].partition("+")
    return SERVERS.get(server, 50.0) + ADDED[app] * (2 if server == "waitress" else 1)


def tables(
    servers: dict[str, tuple[str, ...]], spoil: sessions.Spoil = lambda run: run, loads: tuple[int, ...] = (64,)
) -> tuple[Across, ...]:
    asked = [f"plain closed({size})" for size in loads]
    parts = [part(f"ladders.{name}", stacks, asked) for name, stacks in servers.items()]
    return across(find(sessions.session(parts=parts, truth=Truth(cost_us=cost, noise=0.2), spoil=spoil)), SAY)


def void(stack: str) -> sessions.Spoil:
    return lambda run: replace(run, status="void", reason="x") if run.stack == stack else run


def on(*servers: str) -> tuple[str, ...]:
    return tuple(f"{app}+{server}" for server in servers for app in ADDED)


def test_servers_are_rows_and_frameworks_columns_each_by_what_it_costs() -> None:
    [found] = tables({server: on(server) for server in SERVERS})
    assert found.title == "Thirteen bytes of plain text, 64 users: what each framework adds, by WSGI server"
    assert found.grid.heads == ("server and interface", "bottle", "werkzeug", "flask")
    assert [name for name, _ in found.grid.rows] == ["bjoern", "waitress"]
    values = {name: [round(float(each.value.split()[0])) for each in row] for name, row in found.grid.rows}
    assert values == {"bjoern": [8, 9, 25, 60], "waitress": [90, 18, 50, 120]}


def test_the_sentence_gives_the_servers_at_either_end_and_what_the_headlines_framework_adds_there() -> None:
    [found] = tables({server: on(server) for server in SERVERS})
    alone, adds = found.sentence.split(". ")
    assert re.search(r"alone take least of a request's CPU on bjoern with 8[^;]*; most on waitress with [89]", alone)
    assert re.search(r"flask adds least to that on bjoern with [56][^;]*; most on waitress with 1", adds)


def test_servers_that_are_not_told_apart_are_named_together() -> None:
    [found] = tables({server: on(server) for server in (*SERVERS, "bjoern[backlog=9]")})
    least = r"least of a request's CPU on bjoern\S* with [^;]*, bjoern\S* with [^;]*; most on waitress"
    assert re.search(least, found.sentence)


def test_what_is_void_on_a_server_is_a_dash_there_and_the_notes_say_what_a_dash_is() -> None:
    [found] = tables({server: on(server) for server in SERVERS}, void("flask+bjoern"))
    assert dict(found.grid.rows)["bjoern"][found.grid.heads.index("flask")].value == "—"
    assert "flask" not in found.sentence
    assert any(note.startswith("A dash") for note in found.notes)


def test_a_server_whose_bare_callable_is_void_keeps_its_row_without_figures() -> None:
    servers = {server: on(server) for server in (*SERVERS, "cheroot")}
    [found] = tables(servers, void("raw_wsgi+cheroot"))
    assert [name for name, _ in found.grid.rows] == ["bjoern", "waitress", "cheroot"]
    assert {each.value for each in found.grid.rows[-1][1]} == {"—"}
    assert "cheroot" not in found.sentence


def test_a_pair_that_the_plan_does_not_have_is_an_empty_cell_and_a_note_says_so() -> None:
    [found] = tables({"bjoern": on("bjoern"), "waitress": on("waitress")[:-1]})
    assert dict(found.grid.rows)["waitress"][found.grid.heads.index("bottle")].value == ""
    assert any(note.startswith("An empty cell") for note in found.notes)
    assert tables({server: on(server) for server in SERVERS})[0].notes == ()


def test_the_notes_count_a_servers_trials_with_warnings() -> None:
    def warned(run: Run) -> Run:
        return replace(run, warnings=("slow",)) if run.stack == "flask+bjoern" else run

    [found] = tables({server: on(server) for server in SERVERS}, warned)
    assert found.notes == ("Trials with warnings, which stand in their cells' details: 6 of 24 on bjoern.",)


def test_where_the_ends_are_not_told_apart_no_server_is_named() -> None:
    [found] = tables({server: on(server) for server in ("bjoern", "bjoern[backlog=9]")})
    assert found.sentence == ""


def test_two_loads_are_two_tables_that_name_them() -> None:
    titles = [each.title for each in tables({server: on(server) for server in SERVERS}, loads=(64, 256))]
    assert ["64 users" in title for title in titles] == [True, False]
    assert "256 users" in titles[1]


def test_without_a_bare_callable_on_two_servers_there_is_no_table() -> None:
    assert tables({server: on(server) for server in SERVERS}, void("raw_wsgi+bjoern")) == ()


def test_a_part_of_several_servers_is_in_no_table_nor_is_one_server_alone() -> None:
    assert tables({"both": on(*SERVERS)}) == ()
    assert tables({"waitress": on("waitress")}) == ()
