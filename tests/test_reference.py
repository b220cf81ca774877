"""The reference sessions that are kept in git: a reader of today can judge them again."""

from __future__ import annotations

import shlex
from itertools import pairwise
from os.path import normpath
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from gatebench import plan, store
from gatebench.report import LANGUAGES, build

FOLDER = Path(__file__).parent.parent / "results" / "reference"
PLANS = ("flagship", "full", "curves", "ladders")  # each in a file of its name


@pytest.mark.parametrize("name", PLANS)
def test_a_reference_session_is_whole_and_was_measured_from_a_clean_tree(name: str) -> None:
    session = store.read(FOLDER / f"{name}.jsonl")
    assert session.ended_at is not None
    assert not session.interrupted
    assert session.notices == ()
    assert session.backend == "process"
    assert session.plan.name == name
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


def published(root: Path) -> dict[str, tuple[list[str], str, list[str]]]:
    """Give the pages of the workflow: from which files each is made, in which language, what it links to."""
    workflow = YAML(typ="safe", pure=True).load((root / ".github" / "workflows" / "pages.yml").read_text("utf-8"))
    made = {}
    for step in workflow["jobs"]["build"]["steps"]:
        words = shlex.split(step.get("run", ""))
        if "report" in words:
            options = list(pairwise(words))
            out = next(value for name, value in options if name == "--out")
            lang = next((value for name, value in options if name == "--lang"), "en")
            links = [value.rpartition("=")[2] for name, value in options if name == "--see"]
            made[f"{out}/index.html"] = [word for word in words if word.endswith(".jsonl")], lang, links
    return made


def test_what_is_published_is_made_from_files_that_are_there_in_both_languages(root: Path) -> None:
    pages = published(root)
    assert pages
    sources = {lang: sorted(files for files, of, _ in pages.values() if of == lang) for lang in LANGUAGES}
    assert sources["en"] == sources["zh-Hant"]
    assert all((root / file).is_file() for files, _, _ in pages.values() for file in files)


def test_every_published_page_is_reached_from_the_first_and_no_link_is_dead(root: Path) -> None:
    pages = published(root)
    reached, ahead = set(), ["site/index.html"]
    while ahead:
        page = ahead.pop()
        assert page in pages, page
        if page not in reached:
            reached.add(page)
            ahead += [normpath(f"{Path(page).parent}/{path}") for path in pages[page][2]]
    assert reached == {*pages}
