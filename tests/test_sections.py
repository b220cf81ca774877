"""The page's sections, from sessions whose truth is known: rankings with ties, capacities, crossings, commands."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
import sessions
from sessions import FASTAPI, GTHREAD, SYNC, Truth, make_void, part

from gatebench.model import Session
from gatebench.report import choosing, curves, exploring
from gatebench.report.found import find
from gatebench.report.language import Language

SAY = Language("en")


def rates(found: dict[str, float], noise: float = 0.01) -> Truth:
    return Truth(rate=lambda stack, scenario, size: found[stack], noise=noise)


def ranked(found: dict[str, float], noise: float = 0.01) -> choosing.Ranking:
    measured = part("flagship", tuple(found), ("plain closed(64)",), blocks=6)
    session = sessions.session(parts=[measured], truth=rates(found, noise))
    [question] = choosing.questions(find(session), SAY)
    [ranking] = question.rankings
    return ranking


def test_stacks_are_ranked_by_what_they_reached_and_the_answer_names_the_best() -> None:
    found = ranked({SYNC: 1000, GTHREAD: 2000, FASTAPI: 4000})
    assert [(row.place, row.stack) for row in found.rows] == [("1", FASTAPI), ("2", GTHREAD), ("3", SYNC)]
    assert found.answer.startswith(f"{FASTAPI} is ahead: 2")
    assert found.answer.endswith(f"what {GTHREAD} reached.")
    assert found.rows[1].of_best.value.startswith("0.5")


def test_stacks_that_no_block_tells_apart_share_a_place_and_the_answer_says_so() -> None:
    found = ranked({SYNC: 1000, GTHREAD: 4000, FASTAPI: 4000}, noise=0.05)
    assert [row.place for row in found.rows] == ["=1", "=1", "3"]
    assert "are not told apart" in found.answer
    assert SYNC not in found.answer


def test_one_stack_alone_answers_no_question() -> None:
    session = sessions.session(stacks=(FASTAPI,), measures=("plain closed(64)",), blocks=6)
    assert choosing.questions(find(session), SAY) == ()


def test_what_held_connections_are_asked_for_is_how_many_were_kept() -> None:
    measured = part("websockets.kept", (GTHREAD, FASTAPI), ("websocket hold(2000)",), blocks=6)
    [question] = choosing.questions(find(sessions.session(parts=[measured])), SAY)
    assert question.users == "2,000 connections"
    assert question.rankings[0].metric == "Connections kept"


def paced(spoil: sessions.Spoil = lambda run: run, *, search: bool = False) -> Session:
    loads = [f"plain open({rate})" for rate in (200, 1000, 2000, 4000)]
    loads += ["plain search(100ms)"] if search else []
    return sessions.session(parts=[part("curves.rate", (FASTAPI,), loads, blocks=6)], spoil=spoil)


def capacity(session: Session) -> tuple[float, float] | None:
    found = find(session)
    cells = {int(cell.key.load[5:-1]): cell for cell in found.cells if cell.key.load.startswith("open")}
    return curves._capacity(found, "plain", FASTAPI, cells)


def test_a_capacity_lies_between_the_last_good_rate_and_the_first_bad_one() -> None:
    assert capacity(paced(lambda run: make_void(run) if run.load == "open(4000)" else run)) == (2000, 4000)
    assert capacity(paced(lambda run: make_void(run) if run.load in ("open(2000)", "open(4000)") else run)) == (
        1000,
        2000,
    )


def test_a_rate_with_too_few_answers_for_a_p99_is_passed_over() -> None:
    session = paced(lambda run: make_void(run) if run.load == "open(4000)" else run)
    few = {cell.key.load: cell.estimate("response_p99_s") for cell in find(session).cells}
    assert few["open(200)"] is None
    assert capacity(session) == (2000, 4000)


def test_where_all_rates_are_good_or_none_is_no_capacity_is_marked() -> None:
    assert capacity(paced()) is None
    assert capacity(paced(make_void)) is None


def test_a_search_tells_a_capacity_better() -> None:
    low, high = capacity(paced(search=True)) or (0.0, 0.0)
    assert low <= high
    assert low not in {200, 1000, 2000, 4000}


def test_a_command_measures_a_cell_again_and_nothing_else() -> None:
    found = find(sessions.session(parts=[part("a.b", (SYNC, FASTAPI), ("plain closed(64)",)), part("c.d")]))
    text = exploring.command(found, found.cells[0])
    assert text is not None
    words = shlex.split(text)
    assert words[:2] == ["gatebench", "run"]
    assert words[words.index("--part") + 1] == "a.b"
    assert words[words.index("--stack") + 1] == SYNC
    assert words[words.index("--scenario") + 1] == "plain"


@pytest.mark.parametrize("evil", ["a; rm -rf /", "$(id)", "`id`", "a' || id '", "--help"])
def test_a_command_with_a_wicked_name_is_one_word_of_it(evil: str) -> None:
    session = sessions.session(stacks=(SYNC,), measures=("plain closed(64)",), blocks=1)
    wicked = replace(session, runs=tuple(replace(run, stack=evil) for run in session.runs))
    found = find(wicked)
    assert evil in shlex.split(exploring.command(found, found.cells[0]) or "")


def test_a_name_that_no_terminal_shows_as_it_is_gives_no_command() -> None:
    session = sessions.session(stacks=(SYNC,), measures=("plain closed(64)",), blocks=1)
    found = find(replace(session, runs=tuple(replace(run, stack="a\nb") for run in session.runs)))
    assert exploring.command(found, found.cells[0]) is None
