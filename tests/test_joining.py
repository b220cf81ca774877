"""Sessions of one machine on one page: a part is of one session, whole, and it is said of which."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sessions
from pages import Page
from sessions import FASTAPI, GTHREAD, part

from gatebench import report
from gatebench.errors import UsageError
from gatebench.joining import joined
from gatebench.model import Session

FULL = sessions.session(
    parts=[part("flagship", blocks=2), part("curves.rate", (GTHREAD, FASTAPI), ("plain open(500)",))]
)


def again(blocks: int = 4) -> Session:
    """Measure one part anew, in more blocks, and one that there was not."""
    parts = [
        part("curves.rate", (GTHREAD, FASTAPI), ("plain open(500)",), blocks=blocks),
        part("rules.cpu", (GTHREAD, FASTAPI), ("cpu closed(16)",), blocks=2),
    ]
    made = sessions.session(parts=parts)
    return replace(made, name="again", runs=tuple(replace(run, session="again") for run in made.runs))


def test_a_part_that_was_measured_again_is_that_of_the_later_session_and_no_trial_of_the_earlier_is_in_it() -> None:
    made = joined([FULL, again()])
    assert [each.name for each in made.plan.parts] == ["flagship", "curves.rate", "rules.cpu"]
    rates = [run for run in made.runs if run.part == "curves.rate"]
    assert len(rates) == 2 * 4
    assert len([run for run in made.runs if run.part == "flagship"]) == len(
        [run for run in FULL.runs if run.part == "flagship"]
    )
    assert [run.number for run in made.runs] == list(range(len(made.runs)))


def test_it_is_said_which_parts_are_of_another_session(tmp_path: Path) -> None:
    files = [sessions.write(tmp_path / "a", FULL), sessions.write(tmp_path / "b", again())]
    made = report.build(files, tmp_path / "page")
    said = Page(made.page.read_text(encoding="utf-8")).text
    assert f"Of the session again, begun at {FULL.started_at}, are the parts curves.rate, rules.cpu." in said
    kept = [path.name for path in (tmp_path / "page" / "tables").glob("*.jsonl")]
    assert sorted(kept) == ["results-1.jsonl", "results.jsonl"]


def test_many_parts_of_one_plan_are_counted_and_not_named() -> None:
    parts = [sessions.part(f"ladders.{letter}", measures=("plain closed(64)",), blocks=2) for letter in "abcde"]
    other = replace(sessions.session(parts=parts), name="other")
    assert f"Of the session other, begun at {other.started_at}, are 5 parts of the plan ladders." in (
        joined([FULL, other]).notices
    )


def test_a_page_of_several_plans_has_the_titles_of_all() -> None:
    other = replace(again(), plan=replace(again().plan, title="Curves"))
    assert joined([FULL, other, again()]).plan.title == f"{FULL.plan.title}; Curves"


def test_one_session_alone_is_itself() -> None:
    assert joined([FULL]) is FULL


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: replace(one, machine=replace(one.machine, identity="another")), "the machine is not the same"),
        (lambda one: replace(one, backend="container"), "the backend is not the same"),
        (
            lambda one: replace(one, stacks={**one.stacks, FASTAPI: {"versions": {"fastapi": "0.1"}}}),
            r"what is told of fastapi\+uvicorn \(stacks\) is not the same",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused_with_what_differs(
    change: Callable[[Session], Session], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        joined([FULL, change(again())])
