from __future__ import annotations

from dataclasses import replace

import pytest

from gatebench import validity
from gatebench.histogram import of_seconds
from gatebench.model import Run, Step

GOOD = Run(
    session="s",
    number=0,
    block=0,
    stack="a+b",
    interface="wsgi",
    profile="matched",
    scenario="plain",
    scenario_version=1,
    load="closed(64)",
    backend="process",
    seed=1,
    started_at="2026-01-01T00:00:00Z",
    window_s=3.0,
    requests=3000,
    errors=0,
    response=of_seconds([0.064] * 3000),
    in_flight_mean=64.0,
    server_busy_share=0.99,
    generator_busy_share=0.3,
    generator_delay_share=0.0,
    generator_ceiling_share=0.1,
    steal_share=0.0,
)


OPEN = replace(
    GOOD,
    load="open(1000)",
    response=of_seconds([0.004] * 3000),
    service=of_seconds([0.004] * 3000),
    in_flight_mean=4.0,
    server_busy_share=0.5,
    arrivals_due=3000,
    arrivals_ended=3000,
    arrivals_overrun=0,
    arrivals_unanswered=0,
    generator_send_lag_s=0.0002,
    generator_loop_lag_s=0.0005,
)
HELD = Step(rate_rps=1000.0, p99_s=0.02, errors_share=0.0, achieved_share=1.0, held=True)


def judged(run: Run, **how: object) -> Run:
    given = {"error_limit": 0.001, "concurrency": None, "restarted": False, **how}
    return validity.judge(run, **given)  # type: ignore[arg-type]


def test_a_trial_of_which_nothing_could_be_seen_says_so() -> None:
    run = judged(replace(GOOD, server_busy_share=None))
    assert run.status == "ok"
    assert any("could not be seen from here" in warning for warning in run.warnings)


def test_a_sound_trial_is_ok_and_its_limit_is_named() -> None:
    run = judged(GOOD)
    assert (run.status, run.reason, run.warnings) == ("ok", None, ())
    assert run.limit == "the server's CPU"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"generator_busy_share": 0.85}, "its CPUs were 85% busy"),
        ({"generator_delay_share": 0.06}, "waited 6% of the time for its CPU"),
        ({"generator_ceiling_share": 0.75}, "75% of what it reaches on a do-nothing server"),
    ],
)
def test_a_generator_that_may_be_the_limit_voids_unless_the_server_is_full(
    change: dict[str, float], said: str
) -> None:
    idle = judged(replace(GOOD, server_busy_share=0.8, **change))  # type: ignore[arg-type]
    assert idle.status == "void"
    assert said in (idle.reason or "")
    full = judged(replace(GOOD, **change))  # type: ignore[arg-type]
    assert full.status == "ok"
    assert any("the rate stands" in warning for warning in full.warnings)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"errors": 4, "error_reasons": {"status 500": 4}}, "the limit is 0.1%: status 500"),
        ({"requests": 0, "response": None}, "nothing was answered"),
        ({"in_flight_mean": 50.0}, "Little's law is off by -22%"),
        ({"in_flight_mean": 75.0}, "Little's law is off by +17%"),
        ({"steal_share": 0.11}, "the hypervisor took 11%"),
    ],
)
def test_a_trial_that_breaks_a_rule_is_void_with_the_reason(change: dict[str, object], said: str) -> None:
    run = judged(replace(GOOD, **change))  # type: ignore[arg-type]
    assert run.status == "void"
    assert said in (run.reason or "")


def test_a_restarted_worker_voids() -> None:
    assert "ended in mid-trial" in (judged(GOOD, restarted=True).reason or "")


def test_errors_at_the_limit_are_borne() -> None:
    assert judged(replace(GOOD, errors=3, error_reasons={"x": 3})).status == "ok"


def test_a_little_steal_is_a_warning() -> None:
    run = judged(replace(GOOD, steal_share=0.05))
    assert run.status == "ok"
    assert any("5.0%" in warning for warning in run.warnings)


def test_a_window_shorter_than_two_responses_is_overloaded_and_little_is_not_asked() -> None:
    run = judged(replace(GOOD, response=of_seconds([1.6] * 100), requests=100, in_flight_mean=40.0))
    assert run.status == "ok"
    assert run.overloaded
    assert any("lower bound" in warning for warning in run.warnings)


def test_all_reasons_are_told_at_once() -> None:
    run = judged(replace(GOOD, in_flight_mean=10.0, steal_share=0.5))
    assert "Little" in (run.reason or "")
    assert "hypervisor" in (run.reason or "")


@pytest.mark.parametrize(
    ("busy", "concurrency", "limit"),
    [
        (0.5, 16, "16 requests at a time"),
        (0.5, 1, "one request at a time"),
        (0.5, 1000, "64 users"),
        (0.5, None, "64 users"),
        (0.95, 16, "the server's CPU"),
    ],
)
def test_what_kept_the_rate_down_is_named(busy: float, concurrency: int | None, limit: str) -> None:
    assert judged(replace(GOOD, server_busy_share=busy), concurrency=concurrency).limit == limit


def test_connections_that_never_opened_are_a_result_of_holding() -> None:
    run = replace(GOOD, load="hold(100)", requests=0, response=None, in_flight_mean=0.0, connections_opened=0)
    assert judged(run).status == "ok"


@pytest.mark.parametrize(("kept", "limit"), [(2000, "2000 connections offered"), (1990, "16 requests at a time")])
def test_who_keeps_all_that_is_offered_is_limited_by_the_offer(kept: int, limit: str) -> None:
    held = replace(
        GOOD,
        load="hold(2000)",
        connections_offered=2000,
        connections_opened=2000,
        connections_kept=kept,
        server_busy_share=0.5,
    )
    assert judged(held, concurrency=16).limit == limit


@pytest.mark.parametrize(
    ("unopened", "late", "limit"),
    [
        (
            {"still in line after 30 s": 4000, "connection refused": 26},
            0,
            "4026 of 10000 connections did not open: still in line after 30 s",
        ),
        ({}, 12, "12 of 10000 connections answered late"),
    ],
)
def test_who_holds_less_than_is_offered_is_limited_by_what_kept_the_others_away(
    unopened: dict[str, int], late: int, limit: str
) -> None:
    held = replace(
        GOOD,
        load="hold(10000)",
        connections_offered=10_000,
        connections_opened=10_000 - sum(unopened.values()),
        connections_kept=10_000 - sum(unopened.values()) - late,
        connections_late=late,
        unopened_reasons=unopened,
        server_busy_share=0.5,
    )
    assert judged(held, concurrency=10_100).limit == limit


def test_what_the_machine_forbids_limits_only_who_is_not_limited_otherwise() -> None:
    forbidden = "the limit on open files, 20000"
    held = replace(
        GOOD,
        load="hold(20000)",
        connections_offered=19_800,
        connections_opened=19_800,
        connections_kept=19_800,
        server_busy_share=0.5,
    )
    assert judged(held, forbidden=forbidden).limit == forbidden
    few = replace(held, connections_opened=16, connections_kept=16)
    assert judged(few, concurrency=16, forbidden=forbidden).limit == "16 requests at a time"
    assert judged(few, concurrency=16, forbidden=forbidden, refused="threads").limit == "threads"


@pytest.mark.parametrize("load", ["open(1000)", "poisson(1000)"])
@pytest.mark.parametrize("busy", [0.5, 0.97])
def test_a_sound_open_loop_is_ok_and_is_limited_by_its_arrivals(load: str, busy: float) -> None:
    run = judged(replace(OPEN, load=load, server_busy_share=busy), concurrency=16)
    assert (run.status, run.reason, run.warnings) == ("ok", None, ())
    assert run.limit == "the arrival rate of 1000/s"


@pytest.mark.parametrize(
    ("due", "ended", "in_flight", "status"),
    [
        (3000, 2971, 4.0, "ok"),
        (3000, 2969, 4.0, "void"),
        (3000, 3031, 4.0, "void"),
        (100, 97, 0.1, "ok"),  # three requests are no share
        (100, 96, 0.1, "void"),
        (1250, 1230, 25.0, "ok"),  # by chance 25 may be in flight at one edge and 45 at the other
        (1250, 1228, 25.0, "void"),
        (0, 4, 0.1, "void"),
    ],
)
def test_an_open_loop_is_void_where_the_achieved_rate_is_not_the_offered_one(
    due: int, ended: int, in_flight: float, status: str
) -> None:
    run = judged(replace(OPEN, arrivals_due=due, arrivals_ended=ended, in_flight_mean=in_flight))
    assert run.status == status
    if status == "void":
        assert run.reason == (
            f"offered and achieved rate differ by more than 1%: {due} arrivals were due, {ended} ended"
        )


@pytest.mark.parametrize("lost", ["arrivals_due", "arrivals_ended"])
def test_an_open_loop_whose_arrivals_were_not_counted_is_void(lost: str) -> None:
    run = judged(replace(OPEN, **{lost: None}))  # type: ignore[arg-type]
    assert run.status == "void"
    assert "arrivals were not counted" in (run.reason or "")


@pytest.mark.parametrize(
    ("lag_s", "median_s", "status"),
    [
        (0.0009, 0.004, "ok"),
        (0.0011, 0.004, "void"),
        (0.0049, 0.050, "ok"),
        (0.0051, 0.050, "void"),
        (0.0011, None, "void"),
    ],
)
def test_an_open_loop_is_void_where_requests_were_sent_late(
    lag_s: float, median_s: float | None, status: str
) -> None:
    response = None if median_s is None else of_seconds([median_s] * 3000)
    run = judged(replace(OPEN, generator_send_lag_s=lag_s, response=response))
    assert run.status == status
    assert ("requests were sent late" in (run.reason or "")) == (status == "void")


def test_a_send_lag_that_is_not_known_is_said() -> None:
    run = judged(replace(OPEN, generator_send_lag_s=None))
    assert run.status == "ok"
    assert run.warnings == ("how late requests were sent is not known: 3000 arrivals are too few for a p99",)


def test_overrun_and_unanswered_arrivals_are_never_silent() -> None:
    run = judged(replace(OPEN, arrivals_overrun=30, arrivals_unanswered=2, requests=2998, errors=2))
    assert run.status == "ok"
    assert run.warnings == (
        "30 of 3000 arrivals (1.00%) found no free connection and had to wait for one",
        "2 of 3000 arrivals (0.07%) were never answered and count as errors",
    )


@pytest.mark.parametrize(
    ("lag_s", "median_s", "warned"),
    [(0.009, 0.004, False), (0.011, 0.004, True), (0.019, 0.2, False), (0.021, 0.2, True)],
)
@pytest.mark.parametrize("run", [GOOD, OPEN])
def test_a_loop_that_came_round_late_is_a_warning(run: Run, lag_s: float, median_s: float, *, warned: bool) -> None:
    late = judged(replace(run, generator_loop_lag_s=lag_s, response=of_seconds([median_s] * 3000)))
    assert late.status == "ok"
    assert any("loop came round late" in warning for warning in late.warnings) == warned


def test_a_search_is_limited_by_its_p99() -> None:
    run = judged(replace(OPEN, load="search(50ms)", search_steps=(replace(HELD, held=False), HELD)))
    assert (run.status, run.limit) == ("ok", "a p99 of 50 ms")


def test_a_search_in_which_no_rate_held_is_void() -> None:
    steps = tuple(replace(HELD, rate_rps=rate, held=False) for rate in (900.0, 12.5, 100.0))
    run = judged(replace(OPEN, load="search(50ms)", search_steps=steps))
    assert run.status == "void"
    assert run.reason == (
        "none of 3 rates, the lowest being 12.5/s, kept p99 below 50 ms and errors within their limit"
    )
    assert judged(replace(OPEN, load="search(50ms)")).status == "void"


def test_a_search_is_an_open_loop_too() -> None:
    search = replace(OPEN, load="search(50ms)", search_steps=(HELD,))
    assert judged(replace(search, arrivals_ended=2000)).status == "void"
    assert judged(replace(search, generator_send_lag_s=0.01)).status == "void"


@pytest.mark.parametrize(("own", "status", "told"), [(0.94, "ok", ""), (0.92, "ok", "3.0%"), (0.85, "void", "10%")])
def test_a_neighbour_on_the_servers_cpus_is_seen(own: float, status: str, told: str) -> None:
    run = judged(replace(GOOD, server_busy_share=0.95, server_cpu_share=own))
    assert run.status == status
    said = [text for text in ((run.reason or ""), *run.warnings) if "others used" in text]
    assert [told in text for text in said] == [True] * bool(told)


def test_a_cpu_that_others_fill_is_not_named_as_the_servers_limit() -> None:
    run = replace(GOOD, server_busy_share=0.92, server_cpu_share=0.01)
    assert judged(run, concurrency=1).limit == "one request at a time"


def test_what_disturbs_two_that_are_measured_together_is_warned_of_and_no_reason() -> None:
    disturbed = {
        "server_busy_share": 0.99,
        "server_cpu_share": 0.4,
        "server_beside_share": 0.4,
        "steal_share": 0.2,
        "generator_delay_share": 0.3,
    }
    together = judged(replace(GOOD, **disturbed))  # type: ignore[arg-type]
    assert together.status == "ok"
    assert any("others used 19% of the server's CPUs" in warning for warning in together.warnings)
    assert any("the hypervisor took 20%" in warning for warning in together.warnings)
    alone = judged(replace(GOOD, **{**disturbed, "server_beside_share": None}))  # type: ignore[arg-type]
    assert alone.status == "void"


def test_the_other_one_of_two_is_no_neighbour_and_both_together_may_fill_the_cpu() -> None:
    run = judged(replace(GOOD, server_cpu_share=0.5, server_beside_share=0.48))
    assert run.warnings == ()
    assert run.limit == "the server's CPU"


@pytest.mark.parametrize(("alone_s", "status"), [(0.2, "ok"), (0.31, "void")])
def test_who_is_alone_for_more_than_a_tenth_of_its_window_is_void(alone_s: float, status: str) -> None:
    assert judged(replace(GOOD, server_cpu_share=0.5, server_beside_share=0.48), alone_s=alone_s).status == status
