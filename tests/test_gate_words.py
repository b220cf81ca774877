"""What a gate says: of arms that broke, of what it could tell, how sure it is, and of what it did not judge."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from gates import BASE, HEAD, SAME, flat, gate_session, times
from rich.console import Console
from sessions import make_void, write

from gatebench import store
from gatebench.cli import gate_view
from gatebench.gate import AGAIN, CONFIRM, GATE, judge, words
from gatebench.gate.beside import broken, itself
from gatebench.gate.formats import FORMATS
from gatebench.model import Fault, Finding, Judgement, Run, Session
from gatebench.report.gate_page import page

BROKE = "the server ended with exit code 1, in mid-trial"
DECLARED = (10, 20, 30, 40)


def breaks(
    arms: Collection[str],
    count: int,
    *,
    parts: Sequence[str] = (GATE,),
    fault: Fault | None = "broke",
    reason: str | Callable[[Run], str] = BROKE,
) -> Callable[[Run], Run]:
    """Spoil the first blocks of these arms: void where they broke, failed where they failed the contract."""

    def spoil(run: Run) -> Run:
        if run.stack not in arms or run.part not in parts or run.block >= count:
            return run
        said = reason if isinstance(reason, str) else reason(run)
        return replace(run, status="failed" if fault == "contract" else "void", fault=fault, reason=said)

    return spoil


def said_of(session: Session) -> str | None:
    assert session.gate is not None
    return broken(session, session.gate)


def smallest(session: Session, made: int) -> Mapping[str, float]:
    assert session.gate is not None
    return itself(session, session.gate, made)[1]


def bound(metric: str, margin: float) -> str:
    nothing = replace(judge(gate_session(flat(0.0, 20))).findings[0], metric=metric, margin=margin)
    return words.bound(nothing)


def told(judgement: Judgement, session: Session) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        gate_view.show(console, judgement, session)
    return captured.get()


def test_an_arm_that_broke_under_load_is_named_with_how_often_and_why() -> None:
    session = gate_session(flat(0.0, 23), spoil=breaks([HEAD], 13))
    assert said_of(session) == (
        f"{HEAD} (the working tree) broke under load in 13 of 23 trials, base in 0 of 23: {BROKE}."
    )


def test_a_base_that_broke_is_named_too() -> None:
    said = said_of(gate_session(flat(0.0, 20), spoil=breaks([BASE], 5)))
    assert said is not None
    assert said.startswith(f"{BASE} (commit 1a2b3c4d5e6f) broke under load in 5 of 20 trials, head in 0 of 20")


def test_trials_of_all_parts_count_and_base_again_is_base() -> None:
    session = gate_session(
        flat(0.0, 20),
        again=flat(0.0, 7),
        confirm=flat(0.0, 20),
        spoil=breaks([HEAD, SAME], 2, parts=(GATE, AGAIN, CONFIRM)),
    )
    said = said_of(session)
    assert said is not None
    # head: 20 and 20 to confirm it; base: these, and 7 beside itself, which are 14 trials
    assert "broke under load in 4 of 40 trials, base in 2 of 54" in said


@pytest.mark.parametrize(
    ("blocks", "heads", "bases", "said"),
    [
        (20, 0, 0, False),
        (20, 1, 0, False),  # once may be chance
        (20, 2, 0, True),
        (100, 2, 0, False),  # 2 %, and not more
        (100, 3, 0, True),
        (20, 4, 2, False),  # twice as often, and not more
        (20, 5, 2, True),
        (20, 20, 20, False),  # nothing of head's
    ],
)
def test_an_arm_is_broken_where_it_breaks_more_than_once_and_far_oftener_than_the_other(
    blocks: int, heads: int, bases: int, said: bool
) -> None:
    spoil_head, spoil_base = breaks([HEAD], heads), breaks([BASE], bases)
    session = gate_session(flat(0.0, blocks), spoil=lambda run: spoil_base(spoil_head(run)))
    assert (said_of(session) is not None) == said


def test_a_trial_that_is_void_for_any_other_reason_breaks_nothing() -> None:
    assert said_of(gate_session(flat(0.0, 20), spoil=breaks([HEAD], 15, fault=None))) is None
    assert said_of(gate_session(flat(0.0, 20), spoil=make_void)) is None


def test_a_contract_that_failed_before_the_load_is_enough_once() -> None:
    reason = "GET /plain: status 200 expected, 500 found."
    said = said_of(gate_session(flat(0.0, 20), spoil=breaks([HEAD], 1, fault="contract", reason=reason)))
    assert said is not None
    assert said.endswith(
        "failed the contract in 1 of 20 trials, base in 0 of 20: GET /plain: status 200 expected, 500 found."
    )


def test_the_reason_is_the_one_that_most_trials_share_whatever_its_figures() -> None:
    def reason(run: Run) -> str:
        return BROKE if run.block < 3 else f"{run.block}.5 % errors, above the limit"

    said = said_of(gate_session(flat(0.0, 20), spoil=breaks([HEAD], 8, reason=reason)))
    assert said is not None
    assert said.endswith(": 3.5 % errors, above the limit.")


def test_where_an_arm_broke_the_sentence_says_that_and_nothing_else() -> None:
    session = gate_session(flat(0.0, 20), spoil=breaks([HEAD], 4))
    said = said_of(session)
    assert said is not None
    assert words.sentence(replace(judge(session), word="fail", broken=said), session) == said


def test_the_smallest_change_is_about_half_the_width_of_the_interval_beside_it() -> None:
    # Base beside itself is spread just as head against base is, so both tell of intervals that are alike.
    spread = flat(0.0, 40)
    session = gate_session(spread, again=spread, looks=DECLARED, margins={"cpu_us_per_request": 1e-4})
    for made in DECLARED:
        here = replace(session, runs=tuple(run for run in session.runs if run.block < made))
        judgement = judge(here)
        change = judgement.findings[0].change
        assert judgement.word == "unsure", "else an earlier look decides"
        assert change is not None
        assert change.low is not None
        assert change.high is not None
        half = math.sqrt(change.high / change.low) - 1
        assert smallest(here, made)["cpu_us_per_request"] == pytest.approx(half, rel=0.3)


def test_a_few_blocks_of_base_beside_itself_that_happen_to_agree_promise_nothing() -> None:
    session = gate_session(flat(0.0, 40), again=[0.001, 0.0, -0.001], looks=DECLARED)
    alike = gate_session(flat(0.0, 40), again=flat(0.0, 13, seed=3), looks=DECLARED)
    told, usual = (smallest(each, 40)["cpu_us_per_request"] for each in (session, alike))
    assert told > 0.8 * usual


def test_an_earlier_look_spends_less_error_so_that_only_a_larger_change_can_be_told() -> None:
    spread = flat(0.0, 20)
    one, four = gate_session(spread, again=spread), gate_session(spread, again=spread, looks=(20, 40, 60, 80))
    assert smallest(four, 20)["cpu_us_per_request"] > 1.3 * smallest(one, 20)["cpu_us_per_request"]
    # Time was out before the second look: it is taken at what there is, with its own error.
    assert smallest(four, 19)["cpu_us_per_request"] > smallest(four, 20)["cpu_us_per_request"]


def test_only_blocks_in_which_both_arms_are_valid_make_a_change_tellable() -> None:
    def half(run: Run) -> Run:
        if run.part != GATE or run.stack != (HEAD if run.block % 2 else BASE) or run.block < 10:
            return run
        return make_void(run)

    whole = smallest(gate_session(flat(0.0, 40), again=flat(0.0, 13)), 40)["cpu_us_per_request"]
    spoiled = smallest(gate_session(flat(0.0, 40), again=flat(0.0, 13), spoil=half), 40)["cpu_us_per_request"]
    assert spoiled == pytest.approx(2 * whole, rel=0.2)  # a quarter of the blocks is left


def test_three_blocks_of_base_beside_itself_tell_a_spread_and_two_do_not() -> None:
    assert smallest(gate_session(flat(0.0, 20), again=flat(0.0, 3)), 20)
    assert not smallest(gate_session(flat(0.0, 20), again=flat(0.0, 2)), 20)


def test_blocks_too_few_for_any_interval_tell_no_change_at_all() -> None:
    few = gate_session(flat(0.0, 5), again=flat(0.0, 5))
    assert not smallest(few, 5)
    assert not smallest(few, 0)


def test_how_sure_it_is_counts_the_error_of_all_looks_together() -> None:
    one, more = gate_session(flat(0.0, 40)), gate_session(flat(0.0, 40), looks=DECLARED)
    assert "40 blocks, 97.5 % sure on each side)" in judge(one).sentence
    judgement = judge(more)
    assert judgement.look is not None
    assert judgement.look < len(DECLARED)
    assert ", 97.5 % sure on each side over all looks)" in judgement.sentence


@pytest.mark.parametrize(
    ("metric", "margin", "said"),
    [
        ("cpu_us_per_request", 0.025, "+2.5 %"),
        ("cpu_us_per_request", 2.25 / 100, "+2.25 %"),
        ("cpu_us_per_request", 0.001 / 100, "+0.001 %"),
        ("cpu_us_per_request", 12.3456 / 100, "+12.3456 %"),
        ("cpu_us_per_request", 0.07, "+7 %"),
        ("cpu_us_per_request", 1.0, "+100 %"),
        ("rate_rps", 0.05, "-4.76 %"),
        ("rate_rps", 1.0, "-50 %"),
        ("rate_rps", 12.3456 / 100, "-10.9889 %"),
        ("rate_rps", 0.001 / 100, "-0.001 %"),
    ],
)
def test_a_bound_is_said_as_it_was_declared(metric: str, margin: float, said: str) -> None:
    assert bound(metric, margin) == said


def test_a_terminal_says_that_a_look_decided_only_where_it_did() -> None:
    passed, unsure = gate_session(flat(0.0, 20)), gate_session(flat(0.025, 20))
    assert judge(unsure).word == "unsure"
    assert "20 blocks, decided at look 1 of 1" in told(judge(passed), passed)
    assert "20 blocks, look 1 of 1" in told(judge(unsure), unsure)
    broke = replace(judge(passed), word="fail", broken="head broke.")
    assert "look" not in told(broke, passed)


def judged_without(left_out: Mapping[str, str], places: Sequence[str] = ("plain",)) -> tuple[Judgement, Session]:
    session = gate_session(flat(0.0, 20), measures=[f"{place} closed(64)" for place in places])
    judgement = replace(judge(session), left_out=left_out)
    return replace(judgement, sentence=words.sentence(judgement, session)), session


def test_a_pass_says_what_it_says_nothing_of() -> None:
    judgement, _ = judged_without({"Response time, p99 on plain, closed(64)": "too few answers"})
    assert judgement.word == "pass"
    assert judgement.sentence.endswith("; not judged: p99 of the response time (too few answers).")
    assert "not judged" not in judged_without({})[0].sentence


def test_a_pass_on_several_scenarios_says_where_and_only_counts_what_is_too_much() -> None:
    places = ("plain", "json", "db", "wait")
    judgement, _ = judged_without(
        {f"Response time, p99 on {place}, closed(64)": "too few answers" for place in places}, places
    )
    assert "; not judged: p99 of the response time on plain, closed(64) (too few answers), " in judgement.sentence
    assert judgement.sentence.endswith("db, closed(64) (too few answers), and 1 more.")


def test_what_the_judge_leaves_out_is_named_so() -> None:
    few = times(0.02, 0.04, count=100)
    margins = {"cpu_us_per_request": 0.025, "response_p99_s": 0.25}
    session = gate_session(flat(0.0, 20), margins=margins, spoil=lambda run: replace(run, response=few))
    judgement = judge(session)
    assert judgement.word == "pass"
    assert "; not judged: p99 of the response time (" in judgement.sentence
    assert "Not judged: p99 of the response time on plain, closed(64): " in told(judgement, session)


def test_a_terminal_says_what_the_smallest_change_is() -> None:
    session = gate_session(flat(0.0, 20), again=flat(0.0, 7))
    said = told(judge(session), session)
    assert re.search(r"told here: CPU per request 0\.\d+ % \(about half the width of an interval over as many", said)
    assert "by their spread and that of base beside itself in 7 duets).\n" in said
    assert "cannot be told" not in said


def test_terminal_and_page_say_that_few_duets_of_base_beside_itself_warn_of_nothing() -> None:
    session = gate_session(flat(0.0, 20), again=flat(0.04, 4, sd=0.001))
    judgement = judge(session)
    assert not judgement.warnings, "four duets have no interval, however far apart the arms are"
    for text in (told(judgement, session), page(judgement, session)):
        assert "takes 6 duets for an interval, and has 4: whether the two arms are measured alike cannot" in text
    assert "too few duets to tell" in told(judgement, session)
    enough = gate_session(flat(0.0, 20), again=flat(0.04, 6, sd=0.001))
    assert any("the two arms are not measured alike here" in text for text in judge(enough).warnings)
    assert "not alike" in told(judge(enough), enough)


@pytest.mark.parametrize("hidden", ["\x1b]0;owned\x07", "\x9b2J", "\u202e", "\n::error::", "\r"])
def test_what_a_file_hides_in_a_name_reaches_no_output(tmp_path: Path, hidden: str) -> None:
    def worse(run: Run) -> Run:
        run = replace(run, stack=run.stack + hidden, warnings=(f"busy{hidden}",))
        return make_void(run, f"it died{hidden}") if run.block == 3 else run

    made = gate_session(flat(0.0, 20), again=flat(0.0, 7), spoil=worse)
    assert made.gate is not None
    arms = {name + hidden: f"commit{hidden}" for name in made.gate.arms}
    gate = replace(made.gate, base=BASE + hidden, head=HEAD + hidden, again=SAME + hidden, arms=arms)
    parts = [replace(each, stacks=tuple(name + hidden for name in each.stacks)) for each in made.plan.parts]
    machine = replace(made.machine, cpu=f"a CPU{hidden}")
    made = replace(made, gate=gate, machine=machine, plan=replace(made.plan, parts=tuple(parts)))
    session = store.read(write(tmp_path, made))
    judgement = judge(session)
    assert judgement.word == "pass"
    texts = [judgement.sentence, judgement.base, judgement.head, *judgement.void, *judgement.warnings]
    texts += [told(judgement, session), page(judgement, session)]
    texts += [form(judgement, session) for form in FORMATS.values()]
    for text in texts:
        assert hidden not in text
        assert not {*text} & {"\x1b", "\x07", "\x9b", "\u202e", "\r"}
        assert not [line for line in text.splitlines() if line.strip().startswith("::")]


def test_a_terminal_lists_each_that_was_left_out() -> None:
    judgement, session = judged_without({"Response time, p99 on plain, closed(64)": "too few answers."})
    assert "Not judged: p99 of the response time on plain, closed(64): too few answers\n" in told(judgement, session)


def test_a_finding_of_a_margin_that_is_no_round_number_passes_within_what_was_declared() -> None:
    judgement = judge(gate_session(flat(0.0, 20), margins={"cpu_us_per_request": 0.0225}))
    assert judgement.sentence.endswith("within the margin of +2.25 %.")
    found: Finding = judgement.findings[0]
    assert words.bound(found) == "+2.25 %"
