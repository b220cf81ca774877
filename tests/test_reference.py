"""The reference sessions that are kept in git: a reader of today can judge them again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gatebench import plan, store
from gatebench.report import build

FOLDER = Path(__file__).parent.parent / "results" / "reference"
PLANS = {"flagship": "flagship", "full": "full", "curves": "curves"}  # file -> plan


@pytest.mark.parametrize("name", PLANS)
def test_a_reference_session_is_whole_and_was_measured_from_a_clean_tree(name: str) -> None:
    session = store.read(FOLDER / f"{name}.jsonl")
    assert session.ended_at is not None
    assert not session.interrupted
    assert session.notices == ()
    assert session.backend == "process"
    assert session.plan.name == PLANS[name]
    assert len(session.runs) == len(plan.trials(session.plan))
    for commit in (session.commit, *session.resumed):
        assert commit is not None
        assert "+changes" not in commit


def test_the_flagship_reference_is_of_the_plan_as_it_is(root: Path) -> None:
    session, flagship = store.read(FOLDER / "flagship.jsonl"), plan.load(root, "flagship")
    assert (session.plan.stacks, session.plan.measures) == (flagship.stacks, flagship.measures)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flagship", "full"])
def test_a_reference_session_gives_a_page_with_figures(name: str, tmp_path: Path) -> None:
    built = build(FOLDER / f"{name}.jsonl", tmp_path)
    assert sum(row.measured for row in built.headline) >= 4
    assert built.page.stat().st_size < 2_000_000


def test_what_is_published_is_made_from_files_that_are_there(root: Path) -> None:
    workflow = (root / ".github" / "workflows" / "pages.yml").read_text(encoding="utf-8")
    files = set(re.findall(r"report (results/\S+\.jsonl)", workflow))
    assert len(files) == 2
    for name in files:
        assert (root / name).is_file()
        for out in re.findall(rf"report {re.escape(name)} --out (\S+)\n", workflow):
            assert f"report {name} --out {out}/zh-Hant --lang zh-Hant" in workflow
