from __future__ import annotations

from dataclasses import replace

import pytest

from gatebench import validity
from gatebench.histogram import of_seconds
from gatebench.model import Run

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


def judged(run: Run, **how: object) -> Run:
    given = {"error_limit": 0.001, "concurrency": None, "restarted": False, **how}
    return validity.judge(run, **given)  # type: ignore[arg-type]


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
