"""When base and head were measured, and whether they were at all: what a verdict says of it wherever it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import log
from xml.etree import ElementTree as ET

import pytest
from gates import BASE, HEAD, STACK, flat, gate_session
from pages import Page
from sessions import GTHREAD, SYNC, make_void, session

from gatebench.gate import MARGINS, judge, markdown, recorded
from gatebench.gate.formats import document, junit
from gatebench.model import Judgement, Run, Session
from gatebench.report.gate_page import page

DRIFT = (
    "base and head were measured at different times, and what drifts between sessions is in the difference and not "
    "in the certainty: a gate of both at the same time would tell."
)
TOGETHER = "Base and head were measured at the same time on the same CPUs"
WORDS = {"pass": flat(0.0, 20), "fail": flat(log(1.1), 20), "unsure": flat(0.025, 20)}


def read(made: Session) -> tuple[Judgement, str, ET.Element]:
    """Give a session's judgement, its Markdown and its JUnit."""
    judgement = judge(made)
    return judgement, markdown.page(judgement, made), ET.fromstring(junit(judgement, made))


def of_two(cost: list[float], spoil: Callable[[Run], Run] = lambda run: run) -> Session:
    """Hold the head of one recording of duets against the base of another that was made a day before."""
    whole = replace(gate_session(cost, confirmed=False, spoil=spoil), gate=None)
    earlier = replace(
        whole,
        name="power-20260130T120000Z-3c4d",
        started_at="2026-01-30T12:00:00+00:00",
        commit="fedcba987654",
        plan=replace(whole.plan, seed=77),
    )
    return judged([earlier, whole], BASE, HEAD)


def judged(made: list[Session], base: str, head: str) -> Session:
    margins = {"cpu_us_per_request": MARGINS["cpu_us_per_request"]}
    return recorded(made, base=base, head=head, scenarios=(), leading="cpu_us_per_request", margins=margins)


@pytest.mark.parametrize("word", WORDS)
def test_a_verdict_on_two_sessions_says_itself_that_drift_is_in_the_difference(word: str) -> None:
    judgement, text, suite = read(of_two(WORDS[word]))
    assert judgement.word == word
    assert judgement.sentence.endswith(f"; {DRIFT}")
    assert judgement.sentence in text
    assert text.splitlines()[1].endswith(", of two sessions")
    assert suite.findtext(".//system-out") == judgement.sentence
    told = [each.text or "" for each in (*suite.iter("failure"), *suite.iter("error"))]
    assert len(told) == (word != "pass")
    assert all(each.endswith(DRIFT) for each in told)


def test_a_sample_of_two_sessions_that_is_no_fair_one_is_of_different_times_too() -> None:
    made = of_two(flat(0.0, 20), lambda run: make_void(run) if run.stack == HEAD and run.block < 5 else run)
    sentence = judge(made).sentence
    assert "no fair sample" in sentence
    assert sentence.endswith(DRIFT)


def test_a_verdict_on_one_session_says_nothing_of_different_times() -> None:
    for made in (gate_session(flat(0.0, 20)), judged([session(blocks=12)], SYNC, GTHREAD)):
        judgement, text, _ = read(made)
        assert "different times" not in judgement.sentence + text
        assert "of two sessions" not in text


def test_how_it_was_made_tells_start_seed_and_commit_of_both_sessions() -> None:
    made = of_two(flat(0.0, 20))
    judgement, text, _ = read(made)
    assert "Base and head were measured in two sessions, at different times, and are paired block by block." in text
    assert (
        "- Base, session power-20260130T120000Z-3c4d: begun 2026-01-30T12:00:00+00:00, seed 77, commit fedcba987654."
    ) in text
    assert "- Head, session gate-20260131T120000Z-1a2b: begun 2026-01-31T12:00:00+00:00, seed 1, commit " in text
    assert (
        "power-20260130T120000Z-3c4d, started 2026-01-30T12:00:00+00:00, seed 77" in Page(page(judgement, made)).text
    )
    assert '"started_at": "2026-01-30T12:00:00+00:00"' in document(judgement, made)


def test_two_stacks_of_a_recorded_duet_are_told_to_have_run_at_the_same_time() -> None:
    duets = replace(gate_session(flat(0.0, 20), confirmed=False), gate=None)
    made = judged([duets], BASE, HEAD)
    judgement, text, _ = read(made)
    assert judgement.word == "pass"
    assert f"{TOGETHER}, and are paired block by block." in text
    assert "20 blocks, looked at once, all of them," in text
    assert "- Begun 2026-01-31T12:00:00+00:00, seed 1, commit " in text
    shown = Page(page(judgement, made)).text
    assert "Base and head ran at the same time on the same CPUs" in shown
    assert "before the first block was judged" in shown


@pytest.mark.parametrize("elapsed_s", [3.0, 3.9, None])
def test_trials_that_followed_each_other_or_may_have_are_no_duet(elapsed_s: float | None) -> None:
    """Starts are known to the second, so that a trial can seem to begin before the one before it has ended."""

    def after(run: Run) -> Run:
        minute = f"2026-01-31T12:{run.block:02}"
        return replace(run, started_at=f"{minute}:{'03' if run.stack == HEAD else '00'}+00:00", elapsed_s=elapsed_s)

    made = judged([replace(gate_session(flat(0.0, 20), confirmed=False, spoil=after), gate=None)], BASE, HEAD)
    _, text, _ = read(made)
    assert "Base and head were measured before, in trials of their own, and are paired block by block." in text
    assert TOGETHER not in text


@pytest.mark.parametrize("end", ["9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+00:00"])
def test_trials_at_the_end_of_all_time_are_judged_as_any_other(end: str) -> None:
    def at_the_end(run: Run) -> Run:
        return replace(run, started_at=end, elapsed_s=1e18)

    made = judged([replace(gate_session(flat(0.0, 20), confirmed=False, spoil=at_the_end), gate=None)], BASE, HEAD)
    assert judge(made).word == "pass"


@pytest.mark.parametrize("word", WORDS)
def test_a_verdict_on_invented_figures_says_so_before_anything_else(word: str) -> None:
    made = replace(gate_session(WORDS[word], confirmed=False), backend="fake")
    judgement, text, suite = read(made)
    assert judgement.word == word
    title, _, _ = judgement.sentence.partition(":")
    assert title.endswith(", of invented figures, since the fake backend measures nothing")
    assert text.splitlines()[1].endswith(", of invented figures")
    assert judgement.sentence in text
    assert suite.findtext(".//system-out") == judgement.sentence
    for each in (*suite.iter("failure"), *suite.iter("error")):
        assert "of invented figures" in (each.text or "")
        assert "of invented figures" in each.attrib["message"]


def test_an_arm_that_broke_of_the_fake_backend_broke_in_invented_trials() -> None:
    def breaking(run: Run) -> Run:
        return replace(run, status="void", fault="broke", reason="it died") if run.stack == HEAD else run

    judgement, text, suite = read(replace(gate_session(flat(0.0, 20), spoil=breaking), backend="fake"))
    assert judgement.sentence == (
        f"Of invented figures, since the fake backend measures nothing: head:{STACK} (the working tree) broke under "
        "load in 20 of 20 trials, base in 0 of 20: it died."
    )
    assert text.count("broke under load") == 1
    assert suite.findtext(".//failure") == judgement.sentence
