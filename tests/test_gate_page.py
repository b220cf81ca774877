"""A gate's page as its reader has it: what it says, what it draws, and that nothing can break it."""

from __future__ import annotations

import re
from dataclasses import replace
from math import log
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest
import sessions
from gates import BASE, HEAD, flat, gate_session
from pages import Page

from gatebench.errors import UsageError
from gatebench.gate import judge
from gatebench.model import Run, Session
from gatebench.report.gate_page import page

THREE = {"cpu_us_per_request": 0.025, "response_p99_s": 0.25, "rate_rps": 0.05}
EVIL = (
    "<script>alert(1)</script>",
    r"$\frac{",
    '"onmouseover="x',
    "https://example.org//x",
    "--><blink>",
    "</style><blink>",
    "{{ 7 * 7 }}",
    "框架\u202e\x07+\x1b[31m",
)


def slower(**changed: object) -> Session:
    """A gate that fails, with fresh blocks that say the same, and the base beside itself."""
    made: dict[str, object] = {
        "cost": flat(log(1.1), 20),
        "p99": flat(0.0, 20, sd=0.05, seed=2),
        "rate": flat(log(0.98), 20, sd=0.01, seed=3),
        "again": flat(0.0, 7, seed=4),
        "confirm": flat(log(1.1), 20, seed=5),
        "margins": THREE,
    }
    return gate_session(**{**made, **changed})  # type: ignore[arg-type]


def read(session: Session) -> tuple[str, Page]:
    text = page(judge(session), session)
    return text, Page(text)


def test_the_page_stands_alone_without_a_script_and_is_small() -> None:
    text, found = read(slower())
    assert len(text.encode()) < 150_000
    for address in ("http://", "https://", "xmlns", "src=", "@import", "//"):
        assert address not in text
    assert {tag for tag, _ in found.tags}.isdisjoint({"script", "iframe", "link", "object", "img"})
    assert all(link.startswith("#") for link in found.attributes("href"))
    policy = next(attrs["content"] for tag, attrs in found.tags if tag == "meta" and "http-equiv" in attrs)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_the_word_and_the_sentence_come_first() -> None:
    session = slower()
    _, found = read(session)
    sentence = judge(session).sentence
    assert sentence.startswith("Regression: CPU per request of head is")
    before, after = found.text.split(sentence)
    assert "Fail the working tree against commit 1a2b3c4d5e6f" in before
    assert "What was found" in after


def test_each_finding_has_its_figures_its_margin_and_its_word() -> None:
    _, found = read(slower())
    table = found.text.split("What had failed, in fresh blocks")[0].split("What was found")[1]
    assert re.search(
        r"plain, closed\(64\) Server CPU per request 400 µs .*? \+\d+(\.\d)? % .*? \+2.5 % 20 .*? fail", table
    )
    assert re.search(r"Response time, p99 .*? \+25 % 20 .*? pass", table)
    assert re.search(r"Requests per second 2,400/s .*? -2(\.\d)? % .*? -4.76 % 20 .*? pass", table)


def test_every_block_is_a_point_in_the_panel_of_its_metric() -> None:
    text, _ = read(slower())
    drawings = [ET.fromstring(each) for each in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]
    labels = [(drawing.get("aria-label") or "").partition(",")[0] for drawing in drawings]
    assert labels == [
        "Head against base",
        "The same in fresh blocks",
        "The base beside itself: nothing should be found",
    ]
    # A point is the one thing that is drawn half through: 20 blocks of three metrics, 20 of the one, 7 of three.
    points = [
        sum(one.tag == "use" and "fill-opacity: 0.75" in (one.get("style") or "") for one in drawing.iter())
        for drawing in drawings
    ]
    assert points == [60, 20, 21]


def test_the_same_judgement_gives_the_same_bytes_whatever_matplotlib_is_set_to() -> None:
    session = slower()
    one = page(judge(session), session)
    with mpl.rc_context({"font.size": 30, "svg.fonttype": "path"}):
        assert page(judge(session), session) == one


def test_every_name_on_the_page_is_unique_and_every_reference_finds_it() -> None:
    text, found = read(slower())
    ids = found.attributes("id")
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]*)\)", text)) | {link[1:] for link in found.attributes("href")} <= set(ids)


@pytest.mark.parametrize("evil", EVIL)
def test_no_text_of_a_file_can_break_the_page(evil: str) -> None:
    def spoil(run: Run) -> Run:
        if run.block == 3:
            return replace(run, status="void", reason=evil)
        return replace(run, warnings=(evil,))

    session = slower(spoil=spoil)
    assert session.gate is not None
    session = replace(
        session,
        gate=replace(session.gate, arms={**session.gate.arms, HEAD: evil}),
        stacks={BASE: {"versions": {evil: "1"}}, HEAD: {"versions": {evil: evil}}},
        notices=(evil,),
        surroundings={"chosen since": evil},
    )
    text, found = read(session)
    assert {tag for tag, _ in found.tags}.isdisjoint({"script", "blink"})
    assert not found.attributes("onmouseover")
    assert "//" not in text
    assert "49" not in re.findall(r"<td>(.*?)</td>", text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)


def test_what_differs_between_the_arms_is_named_and_nothing_else() -> None:
    session = replace(
        slower(),
        stacks={
            BASE: {"versions": {"flask": "3.0.0", "werkzeug": "3.1.0"}, "settings": {"threads": 16}},
            HEAD: {"versions": {"flask": "3.1.2", "werkzeug": "3.1.0"}, "settings": {"threads": 32}},
        },
    )
    _, found = read(session)
    listed = found.text.split("Settings and versions in which the arms differ")[1].split("Session and machine")[0]
    assert "settings: threads 16 32" in listed
    assert "versions: flask 3.0.0 3.1.2" in listed
    assert "werkzeug" not in listed


def test_arms_with_the_same_versions_are_said_to_have_them() -> None:
    same = {"versions": {"flask": "3.1.2"}}
    _, found = read(replace(slower(), stacks={BASE: same, HEAD: same}))
    assert "The arms have the same settings and the same versions installed." in found.text


def test_looks_are_listed_with_their_error_and_the_one_that_decided() -> None:
    session = gate_session(flat(0.0, 20), looks=(20, 40))
    _, found = read(session)
    listed = found.text.split("Error on each side Taken")[1].split("Arms and machine")[0]
    assert re.match(r" 1 20 blocks 0\.6\d* % yes, it decided 2 40 blocks 1\.9 % no", listed)


def test_a_look_that_was_taken_early_says_at_how_many_blocks() -> None:
    _, found = read(gate_session(flat(0.0, 14), looks=(20, 40)))
    assert "1 20 blocks 0.62 % yes at 14 blocks, where it ended, it decided" in found.text


def test_void_trials_are_counted_with_their_reason() -> None:
    def spoil(run: Run) -> Run:
        return sessions.make_void(run, "4.0 % errors") if run.stack == HEAD and run.block == 1 else run

    _, found = read(gate_session(flat(0.0, 20), spoil=spoil))
    assert "39 of 40 trials are valid. Why the others do not count: 1: head, void: 4.0 % errors" in found.text


def test_nothing_but_void_trials_still_makes_a_page_that_says_so() -> None:
    _, found = read(gate_session(flat(0.0, 12), spoil=sessions.make_void))
    assert "Unsure" in found.text
    assert "0 of 24 trials are valid" in found.text
    assert not [tag for tag, _ in found.tags if tag == "svg"]


def test_invented_figures_are_called_invented() -> None:
    _, found = read(replace(slower(), backend="fake"))
    assert "The figures of this page are invented" in found.text


def test_how_it_was_measured_is_said_of_a_duet_and_of_what_was_recorded() -> None:
    session = slower()
    assert session.gate is not None
    assert "ran at the same time on the same CPUs" in read(session)[1].text
    recorded = replace(session, gate=replace(session.gate, beside=False))
    assert "They did not run at the same time" in read(recorded)[1].text


def test_an_arm_that_broke_is_a_banner_before_all_figures_and_is_said_once() -> None:
    session = slower()
    said = f"{HEAD} (<b>the tree</b>) broke under load in 13 of 23 trials, base in 0 of 23: the server ended."
    judgement = replace(judge(session), word="fail", sentence=said, broken=said)
    text = page(judgement, session)
    assert text.count("broke under load") == 1
    found = Page(text)
    assert "banner alarm" in found.attributes("class")
    assert said in found.text.split("What was found")[0]
    assert "it decided" not in found.text
    assert "broke under load" not in read(session)[0]


def test_what_was_not_judged_is_listed_with_why() -> None:
    session = slower()
    judgement = replace(
        judge(session), left_out={"Response time, p99 on plain, closed(64)": "too few <i>answers</i>"}
    )
    found = Page(page(judgement, session))
    assert "Not judged: p99 of the response time on plain, closed(64): too few <i>answers</i>" in found.text
    assert "Not judged" not in read(session)[1].text


def test_the_smallest_change_is_said_to_be_about_half_an_interval() -> None:
    _, found = read(slower())
    assert re.search(
        r"could be told here: CPU per request [0-9.]+ %.*\(about half the width of an interval", found.text
    )


def test_a_session_that_is_no_gates_has_no_such_page() -> None:
    session = slower()
    judgement = judge(session)
    with pytest.raises(UsageError, match="declares no gate"):
        page(judgement, replace(session, gate=None))
