import random
from dataclasses import replace

import pandas as pd
import pytest
import sessions
from hypothesis import given, settings
from hypothesis import strategies as st
from sessions import FASTAPI, GTHREAD, SYNC, Truth, make_void

from gatebench import tables
from gatebench.histogram import of_seconds
from gatebench.model import Capability, Comparison, Connects, ControlGroup, Run, Session, Usage
from gatebench.stats import median_interval, ratio

PLAIN = ("plain closed(64)",)
PAIR = (SYNC, FASTAPI)
GIVEN, LOOPED = {"rate_rps"}, {"cpu_share"}  # what tells no stacks apart at a given rate, and in a loop


def only(session: Session, metric: str, wsgi: str = SYNC) -> Comparison:
    [found] = [each for each in tables.comparisons(session) if each.metric == metric and each.wsgi == wsgi]
    return found


def cell(session: Session, stack: str, metric: str) -> pd.Series:
    frame = tables.cells(session)
    [(_, row)] = frame[(frame["stack"] == stack) & (frame["metric"] == metric)].iterrows()
    return row


@pytest.mark.parametrize("name", ["runs", "cells", "void", "capabilities"])
def test_every_table_has_its_documented_columns_even_where_there_is_no_row(name: str) -> None:
    for session in (sessions.session(measures=PLAIN, blocks=2), sessions.session(measures=PLAIN, blocks=0)):
        assert list(getattr(tables, name)(session).columns) == list(tables.COLUMNS[name])
    assert list(tables.comparison_frame(()).columns) == list(tables.COLUMNS["comparisons"])
    assert set(tables.column_frame()["table"]) == set(tables.COLUMNS)


def test_a_cell_is_the_median_over_its_blocks() -> None:
    session = sessions.session(stacks=PAIR, measures=PLAIN)
    rates = [run.requests / 3.0 for run in session.runs if run.stack == SYNC and run.requests]
    row, expected = cell(session, SYNC, "rate_rps"), median_interval(rates)
    assert (row["value"], row["low"], row["high"], row["blocks"]) == (expected.value, expected.low, expected.high, 6)


def test_a_ratio_is_taken_block_by_block() -> None:
    session = sessions.session(stacks=PAIR, measures=PLAIN)
    rates = {(run.stack, run.block): run.requests / 3.0 for run in session.runs if run.requests}
    assert only(session, "rate_rps").ratio == ratio(
        [(rates[SYNC, block], rates[FASTAPI, block]) for block in range(6)]
    )


@given(st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_the_order_of_lines_in_the_file_decides_nothing(rng: random.Random) -> None:
    session = sessions.session(measures=("plain closed(64)", "websocket hold(2000)"), blocks=3)
    runs = list(session.runs)
    rng.shuffle(runs)
    shuffled = replace(session, runs=tuple(runs))
    assert tables.comparisons(shuffled) == tables.comparisons(session)
    pd.testing.assert_frame_equal(tables.cells(shuffled), tables.cells(session))


def test_a_void_trial_enters_no_figure_and_its_block_no_ratio() -> None:
    def wild(run: Run) -> Run:
        if (run.stack, run.block) == (FASTAPI, 2):
            return replace(make_void(run), requests=10**9, server=Usage(cpu_s=1e6, pss_peak_bytes=1e15))
        return run

    clean, spoilt = (sessions.session(stacks=PAIR, measures=PLAIN, spoil=spoil) for spoil in (lambda run: run, wild))
    without = replace(clean, runs=tuple(run for run in clean.runs if (run.stack, run.block) != (FASTAPI, 2)))
    for metric in tables.compared_of("closed(64)"):
        assert only(spoilt, metric).ratio == only(without, metric).ratio
        assert only(spoilt, metric).blocks == 5
        assert cell(spoilt, FASTAPI, metric)["value"] == cell(without, FASTAPI, metric)["value"]
        assert cell(spoilt, SYNC, metric)["blocks"] == 6
    assert "5 of 6 blocks have a valid pair" in only(spoilt, "rate_rps").warnings[0]
    assert "(block 2)" in only(spoilt, "rate_rps").warnings[0]


def test_where_every_pair_has_a_void_trial_there_is_no_ratio_but_a_reason() -> None:
    def alternate(run: Run) -> Run:
        return make_void(run, "starved") if (run.block % 2 == 0) == (run.stack == SYNC) else run

    found = only(sessions.session(stacks=PAIR, measures=PLAIN, spoil=alternate), "rate_rps")
    assert (found.ratio, found.blocks) == (None, 0)
    assert found.wsgi_value is not None
    assert found.reason == (
        f"no block has a valid trial of both; {SYNC}: void: starved (blocks 0, 2, 4); "
        f"{FASTAPI}: void: starved (blocks 1, 3, 5)"
    )


def test_one_pair_is_no_ratio() -> None:
    found = only(sessions.session(stacks=PAIR, measures=PLAIN, blocks=1), "rate_rps")
    assert (found.ratio, found.blocks) == (None, 1)
    assert "no spread" in (found.reason or "")


def test_fewer_than_six_pairs_are_marked_as_few() -> None:
    found = only(sessions.session(stacks=PAIR, measures=PLAIN, blocks=3), "rate_rps")
    assert found.ratio is not None
    assert found.ratio.few


def test_a_figure_of_zero_is_shown_and_has_no_ratio() -> None:
    session = sessions.session(
        stacks=PAIR,
        measures=("websocket hold(2000)",),
        spoil=lambda run: replace(run, connections_kept=0) if run.stack == SYNC else run,
    )
    found = only(session, "connections")
    assert found.wsgi_value is not None
    assert found.wsgi_value.value == 0
    assert (found.ratio, found.blocks, found.reason) == (None, 6, "a figure of zero has no ratio")


def test_response_times_of_overloaded_trials_are_left_out_and_the_rate_stands() -> None:
    session = sessions.session(stacks=PAIR, measures=("external closed(64)",))  # a sync worker needs 3 s a request
    assert only(session, "rate_rps").ratio is not None
    assert only(session, "response_p50_s").ratio is None
    assert "overloaded: response times are lower bounds (all blocks)" in (
        only(session, "response_p50_s").reason or ""
    )
    assert pd.isna(cell(session, SYNC, "response_p50_s")["value"])


def test_a_p99_of_too_few_samples_is_missing_with_the_reason() -> None:
    session = sessions.session(
        stacks=PAIR, measures=PLAIN, spoil=lambda run: replace(run, response=of_seconds([0.01] * 500))
    )
    assert pd.isna(cell(session, SYNC, "response_p99_s")["value"])
    assert "500 responses, fewer than the 1000" in cell(session, SYNC, "response_p99_s")["reasons"]
    assert cell(session, SYNC, "response_p50_s")["value"] == pytest.approx(0.01, rel=0.01)


def test_what_was_not_measured_is_missing_and_never_zero() -> None:
    session = sessions.session(stacks=PAIR, measures=PLAIN, spoil=lambda run: replace(run, server=Usage()))
    assert pd.isna(cell(session, SYNC, "pss_bytes")["value"])
    assert cell(session, SYNC, "pss_bytes")["reasons"] == "not measured (all blocks)"
    assert "not measured" in (only(session, "pss_bytes").reason or "")


def test_every_asgi_stack_meets_every_wsgi_stack_in_the_plans_order() -> None:
    session = sessions.session(stacks=(SYNC, GTHREAD, FASTAPI, "raw_asgi+uvicorn"), measures=PLAIN, blocks=2)
    pairs = list(dict.fromkeys((each.wsgi, each.asgi) for each in tables.comparisons(session)))
    assert pairs == [(w, a) for w in (SYNC, GTHREAD) for a in (FASTAPI, "raw_asgi+uvicorn")]


def test_loads_of_one_scenario_are_kept_apart() -> None:
    session = sessions.session(measures=("websocket closed(16)", "websocket hold(2000)"), blocks=2)
    metrics = {
        load: {each.metric for each in tables.comparisons(session) if each.load == load}
        for load in ("closed(16)", "hold(2000)")
    }
    assert metrics == {"closed(16)": set(tables.ANSWERED) - LOOPED, "hold(2000)": set(tables.HELD)}


def test_a_stack_that_cannot_run_a_scenario_is_listed_and_not_compared_on_it() -> None:
    def lacks(run: Run) -> Run:
        if (run.stack, run.scenario) == (SYNC, "json"):
            return replace(run, status="failed", fault="impossible", reason="offers no JSON")
        return run

    session = sessions.session(measures=("plain closed(64)", "json closed(64)"), blocks=2, spoil=lacks)
    assert {(each.wsgi, each.scenario) for each in tables.comparisons(session)} == {
        (SYNC, "plain"),
        (GTHREAD, "plain"),
        (GTHREAD, "json"),
    }
    assert set(tables.void(session)["reason"]) == {"offers no JSON"}


def test_warnings_travel_beside_the_number_and_like_ones_are_joined() -> None:
    session = sessions.session(
        stacks=PAIR,
        measures=PLAIN,
        spoil=lambda run: replace(run, warnings=(f"the hypervisor took {run.block}.5% of the CPUs' time",)),
    )
    assert only(session, "rate_rps").warnings == tuple(
        f"{stack}: the hypervisor took 0.5\N{EN DASH}5.5% of the CPUs' time (all blocks)" for stack in PAIR
    )
    assert "5.5%" in cell(session, SYNC, "rate_rps")["warnings"]


def test_who_kept_all_connections_in_some_block_is_at_the_limit_of_what_was_offered() -> None:
    def once(run: Run) -> Run:
        return replace(run, connections_kept=2000) if (run.stack, run.block) == (SYNC, 3) else run

    measures = ("websocket hold(2000)",)
    usual = only(sessions.session(stacks=PAIR, measures=measures), "connections")
    assert (usual.wsgi_at_limit, usual.asgi_at_limit) == (False, True)
    assert only(sessions.session(stacks=PAIR, measures=measures, spoil=once), "connections").wsgi_at_limit
    assert not only(sessions.session(stacks=PAIR, measures=measures), "pss_bytes").asgi_at_limit


def test_memory_of_different_numbers_of_connections_is_not_compared() -> None:
    measures = ("websocket hold(2000)",)
    for metric in tables.MEMORY:
        unlike = only(sessions.session(stacks=PAIR, measures=measures), metric)
        assert (unlike.ratio, unlike.reason) == (None, tables.UNLIKE)
        assert unlike.asgi_value is not None
    like = sessions.session(stacks=PAIR, measures=measures, spoil=lambda run: replace(run, connections_kept=1990))
    assert only(like, "pss_bytes").ratio is not None
    assert "rss_bytes" in tables.MEMORY


def test_a_p99_that_only_the_fast_blocks_have_is_not_shown() -> None:
    """Fewer responses come of a slow block: to take the others alone would put p99 below the truth, or the median."""
    session = sessions.session(
        stacks=PAIR,
        measures=PLAIN,
        spoil=lambda run: replace(run, response=of_seconds([0.05] * 500)) if run.block == 2 else run,
    )
    assert pd.isna(cell(session, SYNC, "response_p99_s")["value"])
    assert "(block 2)" in cell(session, SYNC, "response_p99_s")["reasons"]
    assert cell(session, SYNC, "response_p50_s")["blocks"] == 6
    assert (only(session, "response_p99_s").reason or "").startswith("not every valid trial has this figure")


@pytest.mark.parametrize("load", ["open(500)", "poisson(500)"])
def test_a_rate_that_was_given_is_shown_and_not_compared(load: str) -> None:
    session = sessions.session(stacks=PAIR, measures=(f"plain {load}",))
    assert cell(session, SYNC, "rate_rps")["value"] == pytest.approx(500, rel=0.01)
    assert {each.metric for each in tables.comparisons(session)} == set(tables.ANSWERED) - GIVEN


def test_a_rate_that_was_searched_for_is_compared() -> None:
    session = sessions.session(stacks=PAIR, measures=("plain search(50ms)",))
    assert {each.metric for each in tables.comparisons(session)} == set(tables.ANSWERED) - LOOPED


def test_the_table_of_trials_tells_what_became_of_arrivals() -> None:
    session = sessions.session(stacks=PAIR, measures=("plain open(500)", "plain closed(64)"), blocks=1)
    rows = {(row["stack"], row["load"]): row for row in tables.runs(session).to_dict("records")}
    told = rows[SYNC, "open(500)"]
    assert (told["arrivals_due"], told["arrivals_ended"]) == (1500, 1499)
    assert (told["arrivals_overrun"], told["arrivals_unanswered"]) == (2, 1)
    assert (told["generator_send_lag_s"], told["generator_loop_lag_s"]) == (0.0001, 0.0004)
    assert pd.isna(rows[SYNC, "closed(64)"]["arrivals_due"])


def test_a_containers_own_memory_is_told_and_never_compared() -> None:
    def contained(run: Run) -> Run:
        return replace(run, server_group=ControlGroup(memory_peak_bytes=9e7))

    session = sessions.session(stacks=PAIR, measures=["plain closed(16)"], spoil=contained, backend="container")
    assert cell(session, SYNC, "group_memory_bytes")["value"] == 9e7
    assert {each.metric for each in tables.comparisons(session)} == set(tables.ANSWERED) - LOOPED
    plain = sessions.session(stacks=PAIR, measures=["plain closed(16)"])
    assert "group_memory_bytes" not in set(tables.cells(plain)["metric"])


def test_the_same_cell_in_two_parts_is_two_cells_and_is_compared_within_each() -> None:
    parts = [sessions.part(name, PAIR, PLAIN, blocks=blocks) for name, blocks in (("a", 6), ("b", 3))]
    session = sessions.session(parts=parts)
    rates = [each for each in tables.comparisons(session) if each.metric == "rate_rps"]
    assert [(each.part, each.blocks) for each in rates] == [("a", 6), ("b", 3)]
    assert not any("have a valid pair" in text for each in rates for text in each.warnings)
    alone = sessions.session(parts=parts[:1])
    assert [each for each in tables.comparisons(alone) if each.metric == "rate_rps"] == rates[:1]
    frame = tables.cells(session)
    assert list(frame["part"].unique()) == ["a", "b"]
    assert len(frame[frame["metric"] == "rate_rps"]) == 4


def test_stacks_of_different_parts_are_never_compared() -> None:
    parts = [sessions.part("a", (SYNC,), PLAIN), sessions.part("b", (FASTAPI,), PLAIN)]
    assert tables.comparisons(sessions.session(parts=parts)) == ()


def test_blocks_of_a_cell_are_asked_for_by_part_where_there_are_several() -> None:
    parts = [sessions.part(name, PAIR, PLAIN, blocks=2) for name in "ab"]
    session = sessions.session(parts=parts)
    asked = (SYNC, "plain", "closed(64)", "rate_rps")
    assert set(tables.block_values(session, *asked, part="b")) == {0, 1}
    assert tables.block_values(session, *asked, part="c") == {}
    with pytest.raises(ValueError, match="name the part"):
        tables.block_values(session, *asked)
    whole = sessions.session(measures=PLAIN, blocks=2)
    assert tables.block_values(whole, *asked) == tables.block_values(whole, *asked, part="flagship")


def test_like_profiles_are_compared_and_unlike_ones_are_not() -> None:
    stacks = (f"{SYNC}@default", GTHREAD, f"{GTHREAD}@tuned", f"{FASTAPI}@default", FASTAPI, f"{FASTAPI}@tuned")
    session = sessions.session(parts=[sessions.part("profiles.headline", stacks, PLAIN, blocks=2)])
    pairs = {(each.wsgi, each.asgi) for each in tables.comparisons(session)}
    assert pairs == {
        (f"{SYNC}@default", f"{FASTAPI}@default"),
        (GTHREAD, FASTAPI),
        (f"{GTHREAD}@tuned", f"{FASTAPI}@tuned"),
    }


def test_fresh_connections_are_told_of_parts_that_knock_and_of_no_others() -> None:
    parts = [sessions.part(name, PAIR, ("cpu closed(16)",), knock=name == "a") for name in "ab"]
    session = sessions.session(parts=parts)
    compared = {part: {each.metric for each in tables.comparisons(session) if each.part == part} for part in "ab"}
    assert compared["a"] - compared["b"] == set(tables.KNOCKED)
    [found] = [each for each in tables.comparisons(session) if each.metric == "connect_load_p50_s"]
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(1 / 40, rel=0.05)


def unheard(run: Run) -> Run:
    """Leave most knocks of WSGI without an answer."""
    if run.stack != SYNC:
        return run
    times = of_seconds([0.01] * (100 - run.block) + [3.0] * (900 + run.block))
    return replace(run, connect_under_load=Connects(asked=1000, refused=0, unanswered=900 + run.block, times=times))


def test_connections_that_nobody_answered_make_a_bound_and_no_factor() -> None:
    knocked = sessions.part("a", PAIR, ("cpu closed(16)",), knock=True)
    session = sessions.session(parts=[knocked], spoil=unheard)
    found = only(session, "connect_load_p50_s")
    assert (found.ratio, found.blocks, found.wsgi_value) == (None, 0, None)
    assert found.asgi_value is not None
    reason = found.reason or ""
    assert f"{SYNC} is above 3 s in every valid trial, {FASTAPI} at 3." in reason
    assert (
        "900\N{EN DASH}905 of 1000 fresh connections were not answered within 3 s, so the median is above that"
        in reason
    )
    p99 = cell(session, SYNC, "connect_load_p99_s")
    assert "so the p99 is above that (all blocks)" in p99["reasons"]


def test_a_connect_time_that_one_block_lacks_is_not_shown_of_the_others() -> None:
    knocked = sessions.part("a", PAIR, ("cpu closed(16)",), knock=True)
    session = sessions.session(parts=[knocked], spoil=lambda run: unheard(run) if run.block == 1 else run)
    found = only(session, "connect_load_p50_s")
    assert (found.ratio, found.wsgi_value) == (None, None)
    assert "not every valid trial has this figure" in (found.reason or "")
    assert "901 of 1000 fresh connections" in (found.reason or "")


def test_columns_say_that_knocks_are_among_the_requests() -> None:
    assert "fresh connections beside it" in tables.COLUMNS["runs"]["cpu_us_per_request"]
    assert "fresh connections" not in tables.COLUMNS["runs"]["rate_rps"]


def test_a_scenario_that_waits_by_design_tells_what_was_served_at_once_in_a_closed_loop() -> None:
    truth = Truth(rate=lambda stack, scenario, size: 10.0 if stack == SYNC else 160.0, noise=0)
    session = sessions.session(stacks=PAIR, measures=("wait closed(16)", "wait open(50)"), truth=truth)
    closed = {each.metric for each in tables.comparisons(session) if each.load == "closed(16)"}
    assert closed == set(tables.WAITING) - LOOPED
    assert cell(session, SYNC, "served_at_once")["value"] == pytest.approx(1.0)
    assert cell(session, FASTAPI, "served_at_once")["value"] == pytest.approx(16.0)
    opened = {each.metric for each in tables.comparisons(session) if each.load == "open(50)"}
    assert opened == set(tables.ANSWERED) - GIVEN


@pytest.mark.parametrize("kind", ["h1", "h2", "h3"])
def test_every_version_of_http_gives_what_a_closed_loop_gives(kind: str) -> None:
    assert tables.metrics_of(f"{kind}(64)") == tables.metrics_of("closed(64)")
    assert tables.compared_of(f"{kind}(64)") == tables.compared_of("closed(64)")
    session = sessions.session(stacks=PAIR, measures=(f"plain {kind}(64)",))
    assert only(session, "rate_rps").load == f"{kind}(64)"
    assert cell(session, FASTAPI, "rate_rps")["blocks"] == 6


def test_protocols_that_are_spoken_have_a_table_of_answers_and_no_figures() -> None:
    session = sessions.session(parts=[sessions.part("protocols.spoken", PAIR, ("plain speak(1)",), blocks=1)])
    frame = tables.capabilities(session)
    assert list(frame["stack"]) == [SYNC] * 3 + [FASTAPI] * 3
    answers = {(row["stack"], row["protocol"]): row["answer"] for row in frame.to_dict("records")}
    assert (answers[SYNC, "websocket"], answers[FASTAPI, "websocket"]) == ("no", "yes")
    assert tables.cells(session).empty
    assert tables.comparisons(session) == ()


def test_answers_on_which_blocks_disagree_are_all_told_and_those_of_void_trials_are_not() -> None:
    def moody(run: Run) -> Run:
        if run.block == 2:
            return make_void(run)
        return replace(
            run, capabilities=(Capability(protocol="h2", answer="no" if run.block else "yes", why="seen"),)
        )

    part = sessions.part("protocols.spoken", PAIR, ("plain speak(1)",), blocks=3)
    frame = tables.capabilities(sessions.session(parts=[part], spoil=moody))
    assert list(frame["answer"]) == ["yes", "no"] * 2


def test_memory_that_connections_take_may_be_below_zero_and_has_no_ratio_then() -> None:
    session = sessions.session(
        stacks=PAIR,
        measures=("websocket hold(2000)",),
        spoil=lambda run: replace(run, server_at_rest=Usage(pss_peak_bytes=1e12)) if run.stack == SYNC else run,
    )
    found = only(session, "pss_per_connection_bytes")
    assert found.wsgi_value is not None
    assert found.wsgi_value.value < 0
    assert (found.ratio, found.reason) == (None, "a figure below zero has no ratio")


def test_the_table_of_trials_has_every_figure_of_a_trial_even_of_a_void_one() -> None:
    session = sessions.session(stacks=PAIR, measures=("wait closed(16)",), blocks=1, spoil=make_void)
    for row in tables.runs(session).to_dict("records"):
        assert row["part"] == "flagship"
        assert row["served_at_once"] == pytest.approx(row["rate_rps"] * 0.1)
        assert row["late"] == 0


def test_a_session_that_was_changed_is_read_anew() -> None:
    session = sessions.session(stacks=PAIR, measures=PLAIN)
    before = only(session, "rate_rps")
    assert only(replace(session, runs=session.runs[:6]), "rate_rps") != before
    assert only(session, "rate_rps") == before
