"""What must never pass: heads that break, samples that are no fair ones, gates that were stopped or cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from gates import BASE, HEAD, P50_S, SAME, flat, gate_session, times
from sessions import make_void

from gatebench.errors import UsageError
from gatebench.gate import GATE, MARGINS, judge
from gatebench.model import Run


def dying(run: Run) -> Run:
    """Let head's server die in every third block."""
    if run.stack != HEAD or run.block % 3:
        return run
    return replace(run, status="void", fault="broke", reason="the server ended with exit code 1, in mid-trial")


def test_a_head_that_breaks_under_load_is_a_broken_arm_however_fast_it_is_meanwhile() -> None:
    judgement = judge(gate_session(flat(-0.05, 30), spoil=dying))
    assert judgement.word == "fail"
    assert judgement.broken == judgement.sentence
    assert "10 of 30" in judgement.sentence
    assert "ended with exit code 1" in judgement.sentence


def test_what_breaks_base_and_head_alike_breaks_no_arm() -> None:
    def both(run: Run) -> Run:
        return replace(run, status="void", fault="broke", reason="it died") if run.block % 5 == 0 else run

    judgement = judge(gate_session(flat(0.0, 30), spoil=both))
    assert judgement.broken is None
    assert judgement.word == "pass"


def test_a_single_death_in_many_blocks_is_no_broken_arm() -> None:
    def once(run: Run) -> Run:
        first = run.stack == HEAD and run.block == 3
        return replace(run, status="void", fault="broke", reason="it died") if first else run

    judgement = judge(gate_session(flat(0.0, 30), spoil=once))
    assert (judgement.word, judgement.broken) == ("pass", None)


def test_what_is_left_of_a_head_that_is_often_void_is_no_fair_sample() -> None:
    def often(run: Run) -> Run:
        return make_void(run) if run.stack == HEAD and run.block % 4 == 0 else run

    judgement = judge(gate_session(flat(0.0, 40), spoil=often))
    assert judgement.word == "unsure"
    assert "head gave nothing in 10 of 40 blocks" in judgement.sentence


def test_blocks_that_a_neighbour_takes_from_both_are_a_fair_sample_all_the_same() -> None:
    def both(run: Run) -> Run:
        return make_void(run) if run.block % 4 == 0 else run

    assert judge(gate_session(flat(0.0, 40), spoil=both)).word == "pass"


@pytest.mark.parametrize(("blocks", "word", "look"), [(14, "unsure", None), (24, "pass", 1)])
def test_a_gate_that_was_stopped_is_judged_at_the_looks_that_it_had_declared(
    blocks: int, word: str, look: int | None
) -> None:
    made = gate_session(flat(0.0, blocks), looks=(20, 40))
    assert judge(made).word == "pass", "out of time, one look is taken at what there is"
    stopped = judge(replace(made, interrupted=True))
    assert (stopped.word, stopped.look) == (word, look)


def test_a_p99_that_a_few_blocks_lack_is_judged_by_the_others() -> None:
    def lacks(run: Run) -> Run:
        return replace(run, response=times(P50_S, P50_S * 2, 100)) if run.stack == HEAD and run.block == 5 else run

    slow = gate_session(flat(0.0, 40), p99=flat(1.0, 40), margins=dict(MARGINS), confirmed=False, spoil=lacks)
    assert judge(slow).word == "fail"


def test_what_was_to_be_judged_and_is_not_is_told_in_the_sentence() -> None:
    made = gate_session(
        flat(0.0, 20), margins=dict(MARGINS), spoil=lambda run: replace(run, response=times(P50_S, P50_S * 2, 100))
    )
    judgement = judge(made)
    assert judgement.word == "pass"
    assert [*judgement.left_out] == ["Response time, p99 on plain, closed(64)"]
    assert "p99" in judgement.sentence


@pytest.mark.parametrize("cpu_s", [1e-310, 1e-300, 1e-9, 1e18, float(2**63)])
@pytest.mark.parametrize("arm", [BASE, HEAD])
@pytest.mark.parametrize("blocks", [{3}, {*range(20)}])
def test_a_figure_that_nobody_can_have_measured_is_refused_with_its_place(
    cpu_s: float, arm: str, blocks: set[int], recwarn: pytest.WarningsRecorder
) -> None:
    def spoil(run: Run) -> Run:
        there = run.stack == arm and run.block in blocks and run.part == GATE
        return replace(run, server=replace(run.server, cpu_s=cpu_s)) if there else run

    made = gate_session(flat(0.0, 20), again=flat(0.0, 6), spoil=spoil)
    with pytest.raises(
        UsageError, match=rf"CPU per request on plain, closed\(64\) is .* in block {min(blocks)} of the"
    ):
        judge(made)
    assert not recwarn.list


@pytest.mark.parametrize("blocks", [{3}, {*range(20)}])
@pytest.mark.parametrize("cpu_s", [0.0, 1e-320])  # of which nothing is left a request
def test_no_cpu_time_at_all_is_no_figure_and_gives_no_pass_by_itself(
    cpu_s: float, blocks: set[int], recwarn: pytest.WarningsRecorder
) -> None:
    def spoil(run: Run) -> Run:
        there = run.stack == BASE and run.block in blocks
        return replace(run, server=replace(run.server, cpu_s=cpu_s)) if there else run

    judgement = judge(gate_session(flat(0.0, 20), spoil=spoil))
    assert judgement.findings[0].blocks == 20 - len(blocks)
    assert judgement.word == ("unsure" if len(blocks) == 20 else "pass")
    assert not recwarn.list


WRONG: Mapping[str, Mapping[str, object]] = {
    "base and head are not two": {"head": BASE},
    "no rising numbers": {"looks": (10, 10), "errors": (0.01, 0.01)},
    "looks are no": {"looks": (), "errors": ()},
    "no error for each look": {"errors": (0.01, 0.01)},
    "more than 2.5% a side": {"errors": (0.2,)},
    "leading metric has no margin": {"leading": "rate_rps"},
    "no known metric": {"margins": {"cpu_us_per_request": 0.025, "colour": 0.1}},
    "not above zero": {"margins": {"cpu_us_per_request": 0.0}},
    "is over 100 %": {"margins": {"cpu_us_per_request": 1.5}},
}


@pytest.mark.parametrize("said", WRONG)
def test_a_gate_that_cannot_be_is_refused_in_a_sentence(said: str) -> None:
    made = gate_session(flat(0.0, 20), again=flat(0.0, 5))
    assert made.gate is not None
    assert SAME in made.gate.arms
    with pytest.raises(UsageError, match=said):
        judge(replace(made, gate=replace(made.gate, **WRONG[said])))  # type: ignore[arg-type]
