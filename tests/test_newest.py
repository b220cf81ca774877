"""What is made of a gate's file where none was asked for, and what a gate says of an arm that broke."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import sessions
from gates import flat, gate_session
from pages import without_scripts
from typer.testing import CliRunner, Result

from gatebench.cli import app
from gatebench.errors import UsageError
from gatebench.gate import judge, markdown
from gatebench.gate.formats import FORMATS
from gatebench.metrics import TABLE
from gatebench.model import Judgement, Session

# ---- which file a report is made of --------------------------------------------------------------------------------


def put(folder: Path, session: Session, *, age_s: int) -> Path:
    path = sessions.write(folder, session)
    aged(path, age_s)
    return path


def aged(path: Path, age_s: int) -> None:
    os.utime(path, (2_000_000_000 - age_s,) * 2)


def named(name: str) -> Session:
    session = sessions.session()
    return replace(session, name=name, runs=tuple(replace(run, session=name) for run in session.runs))


def reported(*words: str) -> Result:
    return CliRunner().invoke(app, ["report", *words, "--out", "page"])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_newest_results_are_reported_whatever_gate_came_after_them(here: Path) -> None:
    for name, age_s in (("older", 30), ("newer", 20)):
        put(here / "results", named(name), age_s=age_s)
    put(here / "results", gate_session(flat(0.0, 10)), age_s=10)
    done = reported()
    assert done.exception is None
    page = without_scripts((here / "page" / "index.html").read_text("utf-8"))
    assert ("newer" in page, "older" in page) == (True, False)


def test_where_there_are_gates_alone_the_report_says_what_judges_them(here: Path) -> None:
    put(here / "results", gate_session(flat(0.0, 10)), age_s=0)
    done = reported()
    assert isinstance(done.exception, UsageError)
    assert "`gatebench gate FILE`" in str(done.exception)


def test_a_gates_file_is_no_reports_and_what_judges_it_is_named(here: Path) -> None:
    path = put(here, gate_session(flat(0.0, 10)), age_s=0)
    done = reported(path.name)
    assert isinstance(done.exception, UsageError)
    assert f"`gatebench gate {path.name}`" in str(done.exception)
    assert not (here / "page").exists()


def test_a_newest_file_that_is_no_results_file_is_told_of_and_not_passed_over(here: Path) -> None:
    put(here / "results", sessions.session(), age_s=10)
    (here / "results" / "broken.jsonl").write_text("[]\n", encoding="utf-8")
    aged(here / "results" / "broken.jsonl", 0)
    done = reported()
    assert isinstance(done.exception, UsageError)
    assert "broken.jsonl" in str(done.exception)


# ---- an arm that broke, and what was not judged --------------------------------------------------------------------

BROKE = "The arm head broke its contract under load: 12 of 40 trials <were> answered by others."
LEFT_OUT = {f"{TABLE['response_p99_s'][0].title} on a|b, closed(64)": "too few answers came for p99"}


def broken() -> tuple[Judgement, Session]:
    session = gate_session(flat(0.0, 10))
    judgement = replace(judge(session), word="fail", sentence=BROKE, broken=BROKE, left_out=LEFT_OUT)
    return judgement, session


def cases(judgement: Judgement, session: Session) -> dict[str, ET.Element]:
    return {
        str(case.get("name")): case
        for case in ET.fromstring(FORMATS["junit.xml"](judgement, session)).iter("testcase")
    }


def test_an_arm_that_broke_is_no_regression_by_title_and_is_told_once() -> None:
    judgement, session = broken()
    text = FORMATS["gate.md"](judgement, session)
    assert "\n## Gate: broken arm\n" in text
    assert text.count("12 of 40 trials") == 1
    assert "the figures below do not count" in text
    told = replace(judgement, sentence="Something else.")
    assert "12 of 40 trials" in FORMATS["gate.md"](told, session)


def test_what_was_to_be_judged_and_was_not_has_a_line_of_its_own() -> None:
    text = FORMATS["gate.md"](*broken())
    assert "### Not judged\n\n- p99 of the response time on a\\|b, closed(64): too few answers came for p99\n" in text


def test_junit_has_an_arm_that_broke_as_a_failure_of_its_contract() -> None:
    (told,) = cases(*broken())["contract"]
    assert (told.tag, told.get("message"), told.get("type")) == ("failure", BROKE, "broken")
    assert "contract" not in cases(judge(gate_session(flat(0.0, 10))), gate_session(flat(0.0, 10)))


def test_junit_calls_no_finding_a_regression_where_an_arm_broke() -> None:
    session = gate_session(flat(0.2, 10))
    judgement = replace(judge(session), word="fail", sentence=BROKE, broken=BROKE)
    tags = [child.tag for case in cases(judgement, session).values() for child in case]
    assert tags == ["error", "failure"]  # the finding, and the contract


def test_junit_skips_what_was_not_judged_and_counts_it() -> None:
    judgement, session = broken()
    ((name, why),) = LEFT_OUT.items()
    (told,) = cases(judgement, session)[name]
    assert (told.tag, told.get("message")) == ("skipped", why)
    suite = ET.fromstring(FORMATS["junit.xml"](judgement, session)).find("testsuite")
    assert suite is not None
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["3", "1", "0", "1"]


def test_what_was_skipped_never_hides_that_the_gate_gave_no_pass() -> None:
    judgement, session = broken()
    unsure = replace(judgement, word="unsure", sentence="Unsure.", broken=None)
    assert [child.tag for child in cases(unsure, session)["verdict"]] == ["error"]


def test_the_json_says_what_broke_and_what_was_left_out() -> None:
    found = json.loads(FORMATS["gate.json"](*broken()))["judgement"]
    assert (found["broken"], found["left_out"]) == (BROKE, LEFT_OUT)


def test_the_markdown_says_by_which_command_to_judge_again_and_where() -> None:
    judgement, session = broken()
    text = markdown.page(judgement, session, again="gatebench gate results/a.jsonl", where=" in the folder")
    assert text.endswith("- To judge the same blocks again: `gatebench gate results/a.jsonl` in the folder.\n")
    odd = markdown.page(judgement, session, again="gatebench gate 'a`*b*.jsonl'")
    assert odd.endswith("- To judge the same blocks again: gatebench gate 'a\\`\\*b\\*.jsonl'.\n")
    assert "judge the same blocks again" not in FORMATS["gate.md"](judgement, session)
