"""The page's sections, from sessions whose truth is known: commands of cells."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
import sessions
from sessions import FASTAPI, SYNC, part

from gatebench.report import exploring
from gatebench.report.found import find


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
