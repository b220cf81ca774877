"""The reference session that is kept in git: a reader of today can judge it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatebench import plan, store
from gatebench.report import build

REFERENCE = Path(__file__).parent.parent / "results" / "reference" / "flagship.jsonl"


def test_the_reference_session_is_whole_and_of_the_flagship_plan(root: Path) -> None:
    session = store.read(REFERENCE)
    assert session.ended_at is not None
    assert not session.interrupted
    assert session.notices == ()
    assert session.backend == "process"
    assert session.commit is not None
    assert not session.commit.endswith("+changes"), "measured from a clean tree"
    flagship = plan.load(root, "flagship")
    assert (session.plan.stacks, session.plan.measures) == (flagship.stacks, flagship.measures)
    assert len(session.runs) == len(plan.trials(flagship))


@pytest.mark.slow
def test_the_reference_session_gives_a_page_with_figures(tmp_path: Path) -> None:
    built = build(REFERENCE, tmp_path)
    assert built.figures >= 4
    assert built.page.stat().st_size < 2**20
