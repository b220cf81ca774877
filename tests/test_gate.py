from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gates import BASE, HEAD, P50_S, PLAIN, SAME, STACK, flat, gate_session, times
from hypothesis import given
from hypothesis import strategies as st
from sessions import SYNC, Truth, make_void, part, session, write

from gatebench import store
from gatebench.errors import UsageError
from gatebench.gate import ERROR, GATE, LEAST, MARGINS, decided, errors, judge, looks, ratios, recorded
from gatebench.gate.formats import FORMATS
from gatebench.gate.judging import settle
from gatebench.gate.markdown import MARKER, escaped
from gatebench.model import Judgement, Run, Session

LOG_MARGIN = math.log1p(0.025)
THREE = dict(MARGINS)
GTHREAD, FASTAPI = "flask+gunicorn-gthread", "fastapi+uvicorn"


def nothing_valid_of(arm: str) -> Callable[[Run], Run]:
    return lambda run: make_void(run) if run.stack == arm else run


def judged_of(made: list[Session], **named: object) -> Session:
    asked = {"base": None, "head": None, "scenarios": (), "leading": "cpu_us_per_request", "margins": MARGINS} | named
    return recorded(made, **asked)  # type: ignore[arg-type]


# Looks and errors


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        (200, (50, 100, 150, 200)),
        (40, (10, 20, 30, 40)),
        (20, (10, 15, 20)),
        (14, (11, 14)),
        (10, (10,)),
        (4, (4,)),
    ],
)
def test_a_gate_looks_at_each_quarter_but_never_before_it_can_tell(blocks: int, expected: tuple[int, ...]) -> None:
    assert looks(blocks) == expected


@given(st.integers(min_value=1, max_value=200))
def test_looks_rise_to_the_last_block_and_spend_the_whole_error(blocks: int) -> None:
    taken = looks(blocks)
    spent = errors(taken)
    assert list(taken) == sorted(set(taken))
    assert taken[-1] == blocks
    assert all(count >= LEAST for count in taken[:-1])
    assert sum(spent) == pytest.approx(ERROR)
    assert min(spent) > 0


# Settling plain numbers


def settled(shift: float, blocks: int, seed: int, sd: float = 0.015) -> str:
    values = np.random.default_rng(seed).normal(shift, sd, blocks)
    return settle([values], [LOG_MARGIN], looks(blocks), errors(looks(blocks))).word


def test_of_gates_of_the_same_code_one_in_a_hundred_at_most_says_regression() -> None:
    found = [settled(0.0, 20, seed) for seed in range(1000)]
    assert found.count("fail") <= 10
    assert found.count("pass") >= 900


def test_of_gates_just_at_the_margin_no_more_fail_than_the_error_allows() -> None:
    found = [settled(LOG_MARGIN, 40, seed) for seed in range(1500)]
    # 2.5 % in all, and three standard deviations of chance
    assert found.count("fail") / 1500 <= ERROR + 3 * math.sqrt(ERROR / 1500)
    assert found.count("pass") / 1500 <= ERROR + 3 * math.sqrt(ERROR / 1500)
    assert found.count("fail") > 5  # and the error is spent, not hoarded


def test_a_tenth_more_is_found_every_time_in_twenty_blocks() -> None:
    assert {settled(math.log(1.10), 20, seed) for seed in range(300)} == {"fail"}


def test_the_first_look_that_decides_is_the_last_that_counts() -> None:
    values = np.array([0.0] * 10 + [0.5] * 30)
    found = settle([values], [LOG_MARGIN], (10, 20, 30, 40), errors((10, 20, 30, 40)))
    assert (found.word, found.look, found.blocks) == ("pass", 1, 10)


def test_blocks_that_end_before_a_look_are_looked_at_with_its_error_unless_more_are_to_come() -> None:
    values = np.full(15, 0.2)
    values[:10] = np.linspace(-1, 1, 10)  # the first look cannot tell
    args = [np.array(values)], [LOG_MARGIN], (10, 20), errors((10, 20))
    assert (settle(*args).look, settle(*args).blocks) == (2, 15)
    assert (settle(*args, live=True).look, settle(*args, live=True).blocks) == (1, 10)
    assert settle([values[:4]], [LOG_MARGIN], (10, 20), errors((10, 20)), live=True).look is None
    assert settle([], [], (10,), (ERROR,)).word == "unsure"


def test_nothing_is_said_of_fewer_blocks_than_can_be_that_sure() -> None:
    # Five blocks all alike have a chance of 1 in 32, which is more than 2.5 %.
    assert settle([np.full(5, 0.5)], [LOG_MARGIN], (5,), (ERROR,)).word == "unsure"
    assert settle([np.full(6, 0.5)], [LOG_MARGIN], (6,), (ERROR,)).word == "fail"
    assert settle([np.full(6, 0.5), np.full(6, 0.0)], [LOG_MARGIN] * 2, (6,), (ERROR,)).words == ("unsure", "pass")


def test_holm_asks_the_more_of_the_smallest_p_the_more_findings_there_are() -> None:
    values = [np.full(8, 0.5), np.full(8, 0.0), np.full(8, 0.0)]
    alone = settle(values[:1], [LOG_MARGIN], (8,), (ERROR,)).p_worse[0]
    beside = settle(values, [LOG_MARGIN] * 3, (8,), (ERROR,)).p_worse
    assert beside[0] == pytest.approx(3 * alone)
    assert max(beside) <= 1.0


logs = st.lists(st.floats(min_value=-0.2, max_value=0.2), min_size=10, max_size=30)


@given(logs, st.floats(min_value=0.001, max_value=0.1))
def test_a_pass_is_never_given_where_a_fail_would_be(values: list[float], margin: float) -> None:
    made = (len(values),)
    there = settle([np.array(values)], [margin], made, (ERROR,))
    # Whoever takes the margin on the other side asks the question the other way round.
    back = settle([-np.array(values)], [-margin], made, (ERROR,))
    assert (there.word, back.word) in {("pass", "fail"), ("fail", "pass"), ("unsure", "unsure")}


@given(logs)
def test_what_fails_a_margin_fails_every_smaller_one(values: list[float]) -> None:
    order = {"fail": 0, "unsure": 1, "pass": 2}
    words = [settle([np.array(values)], [each], (len(values),), (ERROR,)).word for each in (0.01, 0.02, 0.05, 0.1)]
    assert [order[word] for word in words] == sorted(order[word] for word in words)


# Judging a session


def test_no_change_passes_in_one_sentence_with_its_interval_and_how_sure_it_is() -> None:
    judgement = judge(gate_session(flat(0.0, 20)))
    assert judgement.word == "pass"
    assert judgement.sentence.startswith("No regression: CPU per request of head is ")
    assert "20 blocks, 97.5 % sure on each side), within the margin of +2.5 %." in judgement.sentence
    assert (judgement.base, judgement.head) == ("commit 1a2b3c4d5e6f", "the working tree")
    assert (judgement.look, judgement.looks, judgement.blocks) == (1, 1, 20)


def test_a_slower_head_fails_once_fresh_blocks_have_said_the_same() -> None:
    slow = flat(math.log(1.1), 20)
    judgement = judge(gate_session(slow, confirm=flat(math.log(1.1), 20, seed=2)))
    assert judgement.word == "fail"
    assert "fresh blocks said the same" in judgement.sentence
    change = judgement.findings[0].change
    assert change is not None
    assert change.value == pytest.approx(1.1, abs=0.01)
    assert change.low is not None
    assert change.high is not None
    assert 1.025 < change.low <= change.value <= change.high
    assert [each.word for each in judgement.confirmation] == ["fail"]


def test_a_fail_without_fresh_blocks_is_unsure_unless_none_were_asked_for() -> None:
    slow = flat(math.log(1.1), 20)
    waiting = judge(gate_session(slow))
    assert waiting.word == "unsure"
    assert "to be confirmed" in waiting.sentence
    assert judge(gate_session(slow, confirmed=False)).word == "fail"


def test_a_fail_that_fresh_blocks_do_not_share_is_unsure_and_says_both() -> None:
    judgement = judge(gate_session(flat(math.log(1.1), 20), confirm=flat(0.0, 20, seed=2)))
    assert judgement.word == "unsure"
    assert "past the margin of +2.5 %, but fresh blocks did not say the same" in judgement.sentence
    assert [each.word for each in judgement.findings] == ["fail"]
    assert [each.word for each in judgement.confirmation] == ["pass"]


def test_fresh_blocks_are_judged_by_what_had_failed_alone() -> None:
    made = gate_session(
        flat(math.log(1.1), 20),
        rate=flat(0.0, 20, seed=3),
        margins={"cpu_us_per_request": 0.025, "rate_rps": 0.05},
        confirm=flat(math.log(1.1), 20, seed=2),
    )
    assert [each.metric for each in judge(made).confirmation] == ["cpu_us_per_request"]


def test_what_fresh_blocks_did_not_say_is_told_apart_from_what_they_did() -> None:
    margins = {"cpu_us_per_request": 0.025, "rate_rps": 0.05}
    slow, fewer = flat(math.log(1.1), 20), flat(math.log(0.8), 20)
    judgement = judge(gate_session(slow, rate=fewer, margins=margins, confirm=flat(math.log(1.1), 20, seed=2)))
    assert judgement.word == "fail"
    assert "but not that the rate of requests of head is 20" in judgement.sentence
    suite = ET.fromstring(FORMATS["junit.xml"](judgement, gate_session(slow))).find("testsuite")
    assert suite is not None
    assert (suite.get("failures"), suite.get("errors")) == ("1", "1")


def test_near_the_margin_it_is_unsure_and_says_how_many_blocks_and_minutes_would_decide() -> None:
    judgement = judge(gate_session(flat(0.02, 20), looks=looks(20)))
    assert judgement.word == "unsure"
    finding = judgement.findings[0]
    assert finding.needed is not None
    assert finding.needed > 20
    assert f"{finding.needed - 20} more blocks (about " in judgement.sentence
    assert "would decide it by today's spread: gatebench gate --budget " in judgement.sentence


def test_the_blocks_it_asks_for_do_decide_more_often_than_not() -> None:
    found = judge(gate_session([0.012 + each for each in np.linspace(-0.045, 0.045, 12)])).findings[0]
    assert found.word == "unsure"
    assert found.needed is not None
    words = [settled(0.012, found.needed, seed, sd=0.029) for seed in range(60)]
    assert words.count("pass") > 30


def test_where_a_gate_can_make_no_more_it_names_another_way_out() -> None:
    noisy = judge(gate_session(list(np.linspace(-0.4, 0.4, 40))))
    assert noisy.word == "unsure"
    assert "a gate makes 200 at most: take a wider margin" in noisy.sentence
    at_it = judge(gate_session([LOG_MARGIN + each for each in np.linspace(-0.02, 0.02, 20)]))
    assert at_it.word == "unsure"
    assert "no number of blocks within reach" in at_it.sentence


def test_too_few_blocks_are_unsure_and_say_how_many_it_takes() -> None:
    judgement = judge(gate_session(flat(0.3, 4), looks=looks(40)))
    assert judgement.word == "unsure"
    assert "it takes 10 valid blocks at least: give it more time with --budget" in judgement.sentence


def test_a_session_of_no_trial_or_none_that_is_valid_is_unsure_and_never_a_pass() -> None:
    none = judge(gate_session([], looks=(20,)))
    assert (none.word, none.blocks) == ("unsure", 0)
    assert "no block has a trial of both arms" in none.sentence
    for arm in (BASE, HEAD):
        judgement = judge(gate_session(flat(0.0, 20), margins=THREE, spoil=nothing_valid_of(arm)))
        assert judgement.word == "unsure"
        assert [each.metric for each in judgement.findings] == ["cpu_us_per_request"]
        assert judgement.findings[0].change is None
        assert "20 trials gave nothing" in judgement.sentence


def test_void_trials_are_counted_by_arm_and_reason_whatever_their_figures() -> None:
    def spoil(run: Run) -> Run:
        return replace(run, status="void", reason=f"steal of {run.number} %") if run.block < 3 else run

    judgement = judge(gate_session(flat(0.0, 20), spoil=spoil))
    assert sorted(judgement.void.values()) == [3, 3]
    assert [reason.partition(" ")[0] for reason in judgement.void] == ["base,", "head,"]
    assert judgement.findings[0].blocks == 17
    assert judgement.word == "pass"


def test_a_rate_that_falls_is_worse_and_its_margin_is_the_inverse() -> None:
    margins = {"rate_rps": 0.05, "cpu_us_per_request": 0.025}
    made = gate_session(flat(0.0, 20), rate=flat(math.log(0.8), 20), margins=margins, confirmed=False)
    judgement = judge(made)
    assert judgement.word == "fail"
    assert "the rate of requests of head is 20" in judgement.sentence
    assert "lower" in judgement.sentence
    assert "past the margin of -4.76 %" in judgement.sentence
    faster = judge(gate_session(flat(0.0, 20), rate=flat(math.log(1.3), 20), margins=margins))
    assert faster.word == "pass"


def test_every_finding_has_to_pass_for_the_whole_to_pass() -> None:
    noisy = list(np.linspace(-0.5, 0.7, 20))
    judgement = judge(gate_session(flat(0.0, 20), p99=noisy, margins=THREE))
    assert [each.word for each in judgement.findings] == ["pass", "unsure", "pass"]
    assert judgement.word == "unsure"
    assert "p99 of the response time" in judgement.sentence


def test_a_metric_that_no_block_can_tell_is_left_out_and_the_reason_is_told() -> None:
    few = times(0.02, 0.04, count=100)
    made = gate_session(flat(0.0, 20), margins=THREE, spoil=lambda run: replace(run, response=few))
    judgement = judge(made)
    assert judgement.word == "pass"
    assert [each.metric for each in judgement.findings] == ["cpu_us_per_request", "rate_rps"]
    (why,) = judgement.left_out.values()
    assert why == "only 0 of 20 and 0 of 20 valid trials have enough answers for it"


def test_a_time_that_the_faster_blocks_alone_can_tell_is_not_judged_by_these() -> None:
    few = times(0.02, 0.04, count=100)
    made = gate_session(
        flat(0.0, 20), margins=THREE, spoil=lambda run: replace(run, response=few) if run.block % 7 == 0 else run
    )
    judgement = judge(made)
    assert "response_p99_s" not in {each.metric for each in judgement.findings}
    assert "only 17 of 20 and 17 of 20 valid trials" in judgement.left_out["Response time, p99 on plain, closed(64)"]


def test_a_figure_that_head_alone_lost_keeps_the_gate_from_passing() -> None:
    few = times(0.02, 0.04, count=100)
    made = gate_session(
        flat(0.0, 20), margins=THREE, spoil=lambda run: replace(run, response=few) if run.stack == HEAD else run
    )
    judgement = judge(made)
    assert judgement.word == "unsure"
    assert "p99 of the response time of head has no figure" in judgement.sentence


def test_response_times_of_an_overloaded_run_are_no_figures() -> None:
    made = gate_session(flat(0.0, 20), margins=THREE, spoil=lambda run: replace(run, overloaded=True))
    assert {each.metric for each in judge(made).findings} == {"cpu_us_per_request", "rate_rps"}


def test_a_rate_that_both_arms_are_given_is_no_finding() -> None:
    made = gate_session(flat(0.0, 20), margins=THREE, measures=("plain open(500)",))
    assert {each.metric for each in judge(made).findings} == {"cpu_us_per_request", "response_p99_s"}


def test_several_scenarios_are_judged_together_and_named() -> None:
    made = gate_session(flat(0.0, 20), measures=(PLAIN, "json closed(64)"))
    judgement = judge(made)
    assert [each.scenario for each in judgement.findings] == ["plain", "json"]
    assert " on plain, closed(64) (" in judgement.sentence
    assert judgement.sentence.endswith("the other finding is within its margin.")


def test_base_beside_itself_says_what_this_machine_can_tell_and_warns_where_it_differs() -> None:
    quiet = judge(gate_session(flat(0.0, 36), again=flat(0.0, 12, seed=5, sd=0.01)))
    assert quiet.word == "pass"
    # t of 46 degrees of freedom is 2.0: 2.0 * 1.2 % / 6
    assert quiet.smallest["cpu_us_per_request"] == pytest.approx(0.0037, rel=0.5)
    assert quiet.warnings == ()
    assert [each.word for each in quiet.again] == ["pass"]
    off = judge(gate_session(flat(0.0, 36), again=flat(0.03, 12, seed=5, sd=0.01)))
    assert off.word == "pass"
    assert "Base beside itself differs by +2.7 % on plain, closed(64) (12 blocks)" in off.warnings[0]
    noisier = judge(gate_session(flat(0.0, 36), again=flat(0.0, 12, seed=5, sd=0.04)))
    assert noisier.smallest["cpu_us_per_request"] > 2 * quiet.smallest["cpu_us_per_request"]


def test_a_warning_that_runs_share_is_told_once_with_how_many_have_it() -> None:
    made = gate_session(flat(0.0, 20), spoil=lambda run: replace(run, warnings=(f"steal {run.number} %",)))
    assert [text for text in judge(made).warnings if "steal" in text] == ["40 of 40 valid trials: steal 0 %"]


def test_a_session_that_is_no_gates_is_refused_with_the_stacks_it_has() -> None:
    with pytest.raises(UsageError, match=r"is no gate's.*--base and --head.*flask\+gunicorn-sync"):
        judge(session(blocks=2))


def test_a_file_judges_just_as_what_was_measured(tmp_path: Path) -> None:
    made = gate_session(flat(math.log(1.1), 20), looks=looks(20), again=flat(0.0, 5), confirm=flat(0.1, 20, seed=2))
    assert judge(store.read(write(tmp_path, made))) == judge(made)


def test_a_gate_is_decided_while_it_runs_at_its_looks_and_only_of_whole_blocks() -> None:
    made = gate_session(flat(math.log(1.1), 12), looks=looks(40), confirm=flat(math.log(1.1), 12, seed=2))
    first = [run for run in made.runs if run.part == GATE]
    half = [run for run in first if run.block < 9 or (run.block == 9 and run.stack == BASE)]
    assert not decided(replace(made, runs=tuple(half)), GATE)
    assert decided(replace(made, runs=tuple(run for run in first if run.block < 10)), GATE)
    assert not decided(replace(made, runs=tuple(first)), "gate.confirm")
    assert decided(made, "gate.confirm")
    open_still = gate_session(flat(0.02, 15), looks=looks(40))
    assert not decided(open_still, GATE)


@given(st.floats(min_value=0.001, max_value=1000.0))
def test_scaling_both_arms_changes_nothing(factor: float) -> None:
    def scaled(run: Run) -> Run:
        return replace(run, server=replace(run.server, cpu_s=(run.server.cpu_s or 0) * factor))

    cost = flat(0.01, 14)
    plain, other = (judge(gate_session(cost, spoil=spoil)).findings[0] for spoil in (lambda run: run, scaled))
    assert other.word == plain.word
    assert plain.change is not None
    assert other.change is not None
    assert other.change.value == pytest.approx(plain.change.value)
    assert other.change.low == pytest.approx(plain.change.low)


@given(st.lists(st.floats(min_value=-0.3, max_value=0.3), min_size=10, max_size=14))
def test_swapping_the_arms_inverts_the_change(cost: list[float]) -> None:
    there, back = (judge(gate_session(each)).findings[0].change for each in (cost, [-log for log in cost]))
    assert there is not None
    assert back is not None
    assert back.value == pytest.approx(1 / there.value, rel=1e-5)
    assert back.low == pytest.approx(1 / (there.high or 0), rel=1e-5)


def test_ratios_are_those_of_blocks_in_which_both_are_valid() -> None:
    cost = flat(0.0, 8)
    made = gate_session(cost, spoil=lambda run: make_void(run) if run.number == 5 else run)
    asked = {"part": GATE, "scenario": "plain", "load": "closed(64)", "metric": "cpu_us_per_request"}
    found = ratios(made, first=BASE, second=HEAD, **asked)
    assert sorted(found) == [0, 1, 3, 4, 5, 6, 7]
    assert [found[block] for block in sorted(found)] == pytest.approx([*cost[:2], *cost[3:]], abs=1e-6)
    assert ratios(made, first=BASE, second=SAME, **asked) == {}


# What was measured before


def test_two_stacks_of_one_file_are_judged_by_their_names() -> None:
    truth = Truth(cost_us=lambda stack, *_: 440.0 if stack == GTHREAD else 400.0)
    made = session(measures=("plain closed(64)", "json closed(64)"), blocks=8, truth=truth)
    one = judged_of([made], base=SYNC, head=GTHREAD)
    judgement = judge(one)
    assert judgement.word == "fail"
    assert (judgement.base, judgement.head) == (SYNC, GTHREAD)
    assert {each.scenario for each in judgement.findings} == {"plain", "json"}
    assert one.gate is not None
    assert (one.gate.looks, one.gate.errors, one.gate.beside, one.gate.confirm) == ((8,), (ERROR,), False, False)
    assert judge(judged_of([made], base=GTHREAD, head=SYNC)).findings[0].word == "pass"


def test_a_recorded_gate_can_be_written_and_read_again(tmp_path: Path) -> None:
    one = judged_of([session(blocks=6)], base=SYNC, head=GTHREAD, scenarios=("plain",))
    assert judge(store.read(write(tmp_path, one))) == judge(one)


def test_only_the_scenarios_asked_for_are_judged() -> None:
    one = judged_of([session(blocks=6)], base=SYNC, head=GTHREAD, scenarios=("json",))
    assert {each.scenario for each in judge(one).findings} == {"json"}


def test_a_gates_file_is_judged_as_it_declared_where_nothing_is_named() -> None:
    made = gate_session(flat(0.0, 12))
    assert judged_of([made]) is made


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, r"no gate's of its own.*--base and --head; it has flask\+gunicorn-sync, "),
        ({"base": SYNC}, "--base and --head"),
        ({"base": SYNC, "head": SYNC}, "nothing differs from itself"),
        ({"base": "flask+nginx", "head": SYNC}, r"--base flask\+nginx: .*it has flask\+gunicorn-sync, "),
        ({"base": SYNC, "head": "nothing"}, "--head nothing: .*no such stack"),
        ({"base": SYNC, "head": GTHREAD, "scenarios": ("upload",)}, "--scenario upload: .*both have plain, json"),
        ({"base": SYNC, "head": GTHREAD, "leading": "speed"}, "no metric speed: name one of cpu, p99, p50, rate"),
        ({"base": SYNC, "head": GTHREAD, "leading": "pss_bytes"}, "pss_bytes has no margin"),
    ],
)
def test_names_that_are_unknown_or_missing_are_refused_with_those_there_are(
    asked: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        judged_of([session(blocks=2)], **asked)


def test_arms_that_were_never_under_one_load_are_refused_with_what_each_has() -> None:
    parts = [part("a", [SYNC], ["plain closed(64)"]), part("b", [GTHREAD], ["plain closed(8)"])]
    with pytest.raises(UsageError, match=r"No scenario and load.*has plain closed\(64\);.*has plain closed\(8\)"):
        judged_of([session(parts=parts)], base=SYNC, head=GTHREAD)


def test_the_part_with_most_blocks_is_judged_and_never_two_at_once() -> None:
    parts = [
        part("short", [SYNC, GTHREAD], ["plain closed(64)"], blocks=3),
        part("long", [SYNC, GTHREAD], ["plain closed(64)"], blocks=9),
    ]
    one = judged_of([session(parts=parts)], base=SYNC, head=GTHREAD)
    assert judge(one).blocks == 9
    assert len(one.runs) == 18


def test_cells_of_one_file_are_never_taken_from_two_parts() -> None:
    parts = [
        part("a", [SYNC], ["plain closed(64)"], blocks=9),
        part("b", [SYNC, GTHREAD], ["plain closed(64)"], blocks=6),
        part("c", [GTHREAD], ["json closed(64)"]),
        part("d", [SYNC], ["json closed(64)"]),
    ]
    judgement = judge(judged_of([session(parts=parts)], base=SYNC, head=GTHREAD, scenarios=("plain",)))
    assert judgement.blocks == 6
    assert {each.scenario for each in judgement.findings} == {"plain"}


def other_session(**changed: object) -> Session:
    """Make a second session of the same stacks, with fresh figures."""
    made = session(stacks=(GTHREAD,), measures=(PLAIN,), blocks=8, seed=2)
    return replace(made, name="flagship-20260201T120000Z-3c4d", **changed)  # type: ignore[arg-type]


def test_two_files_are_paired_block_by_block_and_say_that_drift_is_in_the_figure() -> None:
    first = session(stacks=(GTHREAD,), measures=(PLAIN,), blocks=8)
    judgement = judge(judged_of([first, other_session()]))
    assert judgement.findings[0].blocks == 8
    assert any("what drifted between them" in text for text in judgement.warnings)
    assert judgement.base == f"{GTHREAD} of flagship-20260131T120000Z-1a2b, commit 0123456789ab"
    assert "flagship-20260201T120000Z-3c4d" in judgement.head
    assert "--budget" not in judgement.sentence


def test_two_files_may_name_a_stack_each() -> None:
    other = replace(session(measures=(PLAIN,), blocks=8, seed=2), name="other")
    both = [session(measures=(PLAIN,), blocks=8), other]
    with pytest.raises(UsageError, match="several stacks in common"):
        judged_of(both)
    one = judged_of(both, base=SYNC, head=GTHREAD)
    assert one.gate is not None
    assert (one.gate.base, one.gate.head) == (f"base:{SYNC}", f"head:{GTHREAD}")
    assert judged_of(both, base=SYNC).gate == judged_of(both, base=SYNC, head=SYNC).gate
    with pytest.raises(UsageError, match="no stack in common"):
        judged_of([session(stacks=(SYNC,), blocks=2), replace(session(stacks=(GTHREAD,), blocks=2), name="other")])
    with pytest.raises(UsageError, match="one results file or two, not 3"):
        judged_of([both[0]] * 3)


def elsewhere(made: Session) -> Session:
    return replace(made, machine=replace(made.machine, identity="0000aaaa1111"))


def placed(made: Session) -> Session:
    return replace(made, placement=replace(made.placement, server=(1,)))


def contained(made: Session) -> Session:
    return replace(made, backend="container", runs=tuple(replace(run, backend="container") for run in made.runs))


def newer_scenario(made: Session) -> Session:
    return replace(made, runs=tuple(replace(run, scenario_version=2) for run in made.runs))


def longer(made: Session) -> Session:
    parts = tuple(replace(each, window_s=10.0) for each in made.plan.parts)
    return replace(made, plan=replace(made.plan, parts=parts))


def newer_python(made: Session) -> Session:
    return replace(made, stacks={name: {"versions": {"python": "3.14.0"}} for name in made.stacks})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (elsewhere, r"machine \(9f2c51d0aa34 .*0000aaaa1111"),
        (placed, r"placement \(server on CPU 3.*server on CPU 1"),
        (contained, r"backend \(process and container\)"),
        (newer_scenario, r"version of the scenario plain \(1 and 2\)"),
        (longer, r"window \(3 s and 10 s\)"),
        (newer_python, r"Python \(3\.11\.9 and 3\.14\.0\)"),
    ],
)
def test_two_files_that_do_not_compare_are_refused_and_what_differs_is_named(
    change: Callable[[Session], Session], named: str
) -> None:
    first = session(stacks=(GTHREAD,), measures=(PLAIN,), blocks=8)
    with pytest.raises(UsageError, match=f"do not compare, since they differ in {named}"):
        judged_of([first, change(other_session())])


def test_a_file_that_holds_no_trial_is_unsure() -> None:
    judgement = judge(judged_of([replace(session(blocks=6), runs=())], base=SYNC, head=GTHREAD))
    assert (judgement.word, judgement.blocks) == ("unsure", 0)
    assert "no block has a trial of both arms" in judgement.sentence


def test_an_arm_without_a_valid_trial_in_a_file_is_unsure() -> None:
    made = session(measures=(PLAIN,), blocks=8, spoil=nothing_valid_of(GTHREAD))
    judgement = judge(judged_of([made], base=SYNC, head=GTHREAD))
    assert judgement.word == "unsure"
    assert "8 trials gave nothing (head, void: the generator may have been the limit" in judgement.sentence
    assert judgement.sentence.endswith("gate again once that is mended.")


# Forms for other programs


def every_kind() -> list[tuple[Judgement, Session]]:
    slow = flat(math.log(1.1), 20)
    made = [
        gate_session(flat(0.0, 20), margins=THREE, again=flat(0.0, 7)),
        gate_session(slow, confirm=slow, again=flat(0.03, 7, sd=0.001)),
        gate_session(slow),
        gate_session(flat(0.02, 20), looks=looks(20)),
        gate_session([], looks=(20,)),
        judged_of([session(blocks=6)], base=SYNC, head=FASTAPI),
    ]
    return [(judge(each), each) for each in made]


def hostile() -> tuple[Judgement, Session]:
    """Give a judgement of which every text wants to break out."""
    text = "a | b\nc\r\n| --- | <script>alert(1)</script> `x` *y* [z](http://127.0.0.1) @someone \x1b[31m\x00 ]]> -->"
    judgement, made = every_kind()[0]
    findings = tuple(replace(each, scenario=text, reason=text, word="unsure") for each in judgement.findings)
    worse = replace(
        judgement,
        word="unsure",
        sentence=text,
        base=text,
        head=text,
        findings=findings,
        void={text: 3},
        warnings=(text,),
    )
    return worse, replace(made, name=text, machine=replace(made.machine, cpu=text))


def test_every_form_can_be_written_of_every_judgement() -> None:
    for judgement, made in [*every_kind(), hostile()]:
        for name, form in FORMATS.items():
            text = form(judgement, made)
            assert text.endswith("\n")
            if name.endswith(".json"):
                json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
            elif name.endswith(".xml"):
                ET.fromstring(text)


def test_the_json_holds_the_whole_judgement_and_what_was_declared() -> None:
    judgement, made = every_kind()[1]
    found = json.loads(FORMATS["gate.json"](judgement, made))
    assert (found["kind"], found["format_version"], found["session"]) == ("gate", 1, made.name)
    assert found["judgement"]["word"] == judgement.word
    assert found["judgement"]["sentence"] == judgement.sentence
    assert found["declared"]["margins"] == {"cpu_us_per_request": 0.025}
    assert len(found["judgement"]["confirmation"]) == 1


def cells(line: str) -> list[str]:
    """Split a row of a Markdown table as GitHub does."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def test_the_markdown_has_word_sentence_and_a_row_a_finding() -> None:
    judgement, made = every_kind()[0]
    text = FORMATS["gate.md"](judgement, made)
    assert text.startswith(f"{MARKER}\n## Gate: no regression\n")
    rows = [cells(line) for line in text.splitlines() if line.startswith("| plain")]
    assert len(rows) == 6  # three findings, and of base beside itself
    assert {len(row) for row in rows} == {8}
    assert rows[0][1:3] == ["Server CPU per request", "400 µs"]
    assert rows[0][5:] == ["+2.5 %", "20", "**pass**"]
    assert rows[2][5] == "-4.76 %"
    assert [row[6:] for row in rows[3:]] == [["7", "alike"]] * 3


def beside(again: list[float]) -> tuple[str, list[str]]:
    """Markdown of a gate of identical arms, and what its row of base beside itself ends with."""
    made = gate_session(flat(0.0, 20), again=again)
    judgement = judge(made)
    assert judgement.word == "pass"
    text = FORMATS["gate.md"](judgement, made)
    (row,) = (cells(line) for line in text.partition("### Base beside itself")[2].splitlines() if "| plain" in line)
    return text, row[5:]


def test_rows_of_base_beside_itself_say_what_they_are_for_and_give_no_verdict() -> None:
    for again, said in (
        (flat(0.0, 7, sd=0.005), "alike"),
        (flat(0.04, 7, sd=0.005), "not alike"),
        (flat(0.02, 7, sd=0.0005), "not alike"),  # within the margin, and evidently not the same
        (flat(0.0, 4), "too few duets to tell"),
        (flat(0.0, 2), "too few duets to tell"),
    ):
        text, (smallest, duets, word) = beside(again)
        assert (duets, word) == (str(len(again)), said)
        assert (smallest == "—") == (len(again) < 3)
        assert not re.search(r"\*\*(unsure|fail)\*\*", text)


def test_too_few_duets_of_base_beside_itself_are_said_to_warn_of_nothing() -> None:
    known = "Smallest change that could be told here: "
    blind = "whether the two arms are measured alike cannot be told"
    for duets, told in ((2, {blind}), (4, {known, blind}), (5, {known, blind}), (6, {known})):
        text, _ = beside(flat(0.0, duets, sd=0.005))
        assert {each for each in (known, blind) if each in text} == told, duets
        assert ("too few to tell how small a change" in text) == (duets < 3)
        assert (f"base beside itself in {duets} duets" in text) == (duets >= 3)
    made = gate_session(flat(0.0, 20))
    assert blind not in FORMATS["gate.md"](judge(made), made), "what nobody measured lacks no duets"


def test_recorded_blocks_are_said_to_be_looked_at_once() -> None:
    made = judged_of([session(measures=("plain closed(64)",), blocks=8)], base=SYNC, head=GTHREAD)
    text = FORMATS["gate.md"](judge(made), made)
    assert "- 8 blocks, looked at once, all of them, with 2.5 % of error on each side.\n" in text
    assert "declared" not in text
    live = gate_session(flat(0.0, 20), looks=looks(20))
    assert "looks declared after 10, 15, 20, with 2.5 %" in FORMATS["gate.md"](judge(live), live)


def test_no_text_breaks_the_markdown() -> None:
    judgement, made = hostile()
    text = FORMATS["gate.md"](judgement, made)
    rows = [cells(line) for line in text.splitlines() if line.startswith("|")]
    assert {len(row) for row in rows} == {8}
    assert text.count("-->") == 1  # the marker's own
    assert "<script" not in text
    assert "@someone" not in text
    assert "\x1b" not in text
    assert "[z](" not in text


@given(st.text())
def test_escaped_text_is_one_line_without_a_bare_special_sign(text: str) -> None:
    line = escaped(text)
    assert "\n" not in line
    assert not re.search(r"(?<!\\)(\\\\)*[|`*\[\]_]", line)
    assert "<" not in line


def outcomes(text: str) -> list[str]:
    return [case[0].tag if len(case) else "pass" for case in ET.fromstring(text).iter("testcase")]


def test_junit_has_a_case_a_finding_and_never_a_pass_where_the_gate_gave_none() -> None:
    found = [outcomes(FORMATS["junit.xml"](*each)) for each in every_kind()]
    assert found[0] == ["pass", "pass", "pass"]
    assert found[1] == ["failure"]
    assert found[2] == ["error"]  # not confirmed
    assert found[3] == ["error"]
    assert found[4] == ["error"]
    bare, made = every_kind()[4]
    assert outcomes(FORMATS["junit.xml"](replace(bare, findings=()), made)) == ["error"]


def causes(judgement: Judgement, made: Session) -> dict[str, ET.Element]:
    """What is told of each case that is no pass, by its name."""
    cases = ET.fromstring(FORMATS["junit.xml"](judgement, made)).iter("testcase")
    return {str(case.get("name")): case[0] for case in cases if len(case)}


def test_junit_tells_of_each_finding_its_own_reason_whatever_the_gate_came_to() -> None:
    margins = {"cpu_us_per_request": 0.025, "rate_rps": 0.05}
    slow, near = flat(math.log(1.1), 20), flat(math.log(0.955), 20, sd=0.02)
    made = gate_session(slow, rate=near, margins=margins, confirm=flat(math.log(1.1), 20, seed=2))
    judgement = judge(made)
    assert (judgement.word, [each.word for each in judgement.findings]) == ("fail", ["fail", "unsure"])
    failure, error = causes(judgement, made).values()
    assert (failure.tag, error.tag, error.get("type")) == ("failure", "error", "unsure")
    assert str(failure.text).startswith("Regression: CPU per request of head is ")
    assert "fresh blocks said the same" in str(failure.text)
    assert str(error.text).startswith("Unsure: the rate of requests of head is ")
    assert "the margin lies within the interval (margin -4.76 %)" in str(error.text)
    assert "CPU" not in str(error.text)


def test_junit_says_of_a_fail_that_fresh_blocks_did_not_share_what_these_said_of_it() -> None:
    margins = {"cpu_us_per_request": 0.025, "rate_rps": 0.05}
    slow, fewer = flat(math.log(1.1), 20), flat(math.log(0.8), 20)
    made = gate_session(slow, rate=fewer, margins=margins, confirm=flat(math.log(1.1), 20, seed=2))
    failure, error = causes(judge(made), made).values()
    assert "CPU per request of head is" in str(failure.text)
    assert str(error.text).startswith("Unsure: the rate of requests of head is 20")
    assert "fresh blocks did not say the same (0 %," in str(error.text)
    waiting = replace(made, runs=tuple(run for run in made.runs if run.part == GATE))
    for each in causes(judge(waiting), waiting).values():
        assert "no fresh blocks were measured" in str(each.text)


def test_junit_counts_what_it_holds() -> None:
    for judgement, made in every_kind():
        suite = ET.fromstring(FORMATS["junit.xml"](judgement, made)).find("testsuite")
        assert suite is not None
        assert suite.get("tests") == str(len(list(suite.iter("testcase"))))
        assert suite.get("failures") == str(len(list(suite.iter("failure"))))
        assert suite.get("errors") == str(len(list(suite.iter("error"))))


def test_github_action_benchmark_is_given_what_is_better_when_it_is_smaller() -> None:
    judgement, made = every_kind()[0]
    entries = json.loads(FORMATS["github-action-benchmark.json"](judgement, made))
    assert [entry["unit"] for entry in entries] == ["µs", "ms", "µs"]
    assert all({*entry} <= {"name", "unit", "value", "range", "extra"} for entry in entries)
    assert entries[0]["name"] == f"{STACK}, plain, closed(64): Server CPU per request"
    assert entries[2]["name"].endswith("Time per request (1 / requests per second)")
    assert entries[2]["value"] == pytest.approx(1e6 / 2400, rel=1e-3)
    low, high = map(float, entries[0]["range"].split(" to "))
    assert low <= entries[0]["value"] <= high


def test_bencher_is_given_each_measure_with_its_ends() -> None:
    judgement, made = every_kind()[0]
    found = json.loads(FORMATS["bencher.json"](judgement, made))
    measures = found[f"{STACK}, plain, closed(64)"]
    assert {*measures} == {"cpu-us-per-request", "response-p99-s", "throughput"}
    for measure in measures.values():
        assert measure["lower_value"] <= measure["value"] <= measure["upper_value"]
    assert measures["throughput"]["value"] == pytest.approx(2400, rel=1e-3)


def test_what_comes_after_a_look_changes_nothing_of_it() -> None:
    """A time that a later block lacks is left out from then on, and stood in the way of the looks before."""

    def late_lack(run: Run) -> Run:
        return replace(run, response=times(P50_S, P50_S * 2, 100)) if run.block >= 15 else run

    margins = {"cpu_us_per_request": 0.025, "response_p99_s": 0.05}
    wide = flat(0.0, 20, sd=0.2)
    made = gate_session(flat(0.0, 20), p99=wide, margins=margins, looks=(10, 20), spoil=late_lack)
    first = replace(made, runs=tuple(run for run in made.runs if run.block < 10))
    assert not decided(first, GATE), "p99 is unsure"
    judgement = judge(made)
    assert (judgement.word, judgement.look, judgement.findings[0].blocks) == ("pass", 2, 20)
    assert [finding.metric for finding in judgement.findings] == ["cpu_us_per_request"]
    assert any("15 of 20 valid trials have enough answers" in why for why in judgement.left_out.values())
