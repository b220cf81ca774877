import math
from dataclasses import replace

import pytest
import sessions
from hypothesis import given
from hypothesis import strategies as st
from sessions import FASTAPI, GTHREAD, Truth, make_void

from gatebench import sweeps, tables
from gatebench.model import Comparison, Estimate, Run, Session, Sweep

SIZES = (1, 4, 16, 64, 256, 1000)
LOADS = tuple(f"wait closed({size})" for size in SIZES)


def swept(factors: dict[int, float], metric: str = "rate_rps", spoil: sessions.Spoil = lambda run: run) -> Sweep:
    """Make up a sweep in which ASGI's rate is so many times WSGI's."""

    def rate(stack: str, scenario: str, size: int) -> float:
        return 1000.0 * (factors[size] if stack == FASTAPI else 1.0)

    made = sessions.part("rules.concurrency", (GTHREAD, FASTAPI), [f"wait closed({size})" for size in factors])
    session = sessions.session(parts=[made], truth=Truth(rate=rate, noise=0.2), spoil=spoil)
    [found] = [each for each in sweeps.sweeps(tables.comparisons(session)) if each.metric == metric]
    return found


def comparison(size: int, low: float | None, high: float | None, metric: str = "rate_rps") -> Comparison:
    ratio = None
    if low is not None and high is not None:
        ratio = Estimate(value=math.sqrt(low * high), low=low, high=high, blocks=6, method="made up")
    return Comparison(
        part="p",
        scenario="wait",
        load=f"closed({size})",
        metric=metric,
        wsgi=GTHREAD,
        asgi=FASTAPI,
        wsgi_value=None,
        asgi_value=None,
        ratio=ratio,
    )


def test_a_gain_begins_where_its_interval_is_above_a_tenth_there_and_at_all_larger_sizes() -> None:
    found = swept({1: 0.98, 4: 1.0, 16: 1.02, 64: 2.0, 256: 5.0, 1000: 8.0})
    assert (found.part, found.scenario, found.kind) == ("rules.concurrency", "wait", "closed")
    assert [point.size for point in found.points] == list(SIZES)
    assert (found.gains_from, found.gains_to, found.not_yet_at, found.loses_at) == (64, 1000, 16, ())
    assert found.why == (
        "a gain of more than 1.1 begins between 16 and 64, and is evident up to 1,000, the largest with a valid pair"
    )


def test_a_gain_that_ends_begins_nowhere_and_it_is_said_where_it_was_seen() -> None:
    found = swept({1: 1.0, 16: 3.0, 64: 2.0, 256: 1.0})
    assert (found.gains_from, found.gains_to, found.not_yet_at) == (None, None, None)
    assert found.why == "a gain of more than 1.1 is evident at 16, 64, and no longer at 256"


def test_a_gain_at_every_size_begins_at_the_smallest_or_below() -> None:
    found = swept({1: 3.0, 16: 3.0, 64: 2.0})
    assert (found.gains_from, found.gains_to, found.not_yet_at) == (1, 64, None)
    assert "begins at 1 or below" in found.why


def test_where_wsgi_wins_is_named() -> None:
    found = swept({1: 0.5, 16: 0.6, 64: 1.0, 256: 2.0})
    assert found.loses_at == (1, 16)
    assert "WSGI's gain is evident at 1, 16" in found.why


def test_a_size_without_a_valid_pair_is_named_and_decides_nothing() -> None:
    def lost(run: Run) -> Run:
        return make_void(run) if run.load in ("closed(64)", "closed(1000)") and run.stack == GTHREAD else run

    found = swept({1: 1.0, 16: 2.0, 64: 2.0, 256: 2.0, 1000: 2.0}, spoil=lost)
    assert (found.gains_from, found.gains_to, found.not_yet_at) == (16, 256, 1)
    assert found.why.endswith("no valid pair at 64, 1,000")
    assert len(found.points) == 5


def test_where_no_size_has_a_valid_pair_that_is_all_that_is_said() -> None:
    found = swept({1: 2.0, 16: 2.0, 64: 2.0}, spoil=make_void)
    assert (found.gains_from, found.gains_to, found.loses_at) == (None, None, ())
    assert found.why == "no size has a valid pair"


def test_a_metric_of_which_less_is_better_gains_where_asgi_has_less() -> None:
    [found] = sweeps.sweeps(
        [comparison(size, low, low * 1.01, "cpu_us_per_request") for size, low in ((1, 2.0), (16, 1.0), (64, 0.5))]
    )
    assert (found.gains_from, found.loses_at) == (64, (1,))


def test_an_interval_that_touches_the_threshold_shows_no_gain() -> None:
    [found] = sweeps.sweeps([comparison(size, 1.1, 3.0) for size in (1, 16, 64)])
    assert found.gains_from is None
    [found] = sweeps.sweeps([comparison(size, 1.11, 3.0) for size in (1, 16, 64)])
    assert found.gains_from == 1


def several() -> Session:
    curve = sessions.part("curves.rate", (GTHREAD, FASTAPI), ["plain open(50)", "plain open(100)", "plain open(200)"])
    again = sessions.part("curves.concurrency", (GTHREAD, FASTAPI), LOADS[:3], blocks=3)
    mixed = sessions.part(
        "mixed", (GTHREAD, FASTAPI), ["plain closed(1)", "plain open(50)", "plain h2(64)"], blocks=3
    )
    held = sessions.part("held", (GTHREAD, FASTAPI), [f"idle hold({size})" for size in (10, 100, 1000)], blocks=3)
    return sessions.session(parts=[curve, again, mixed, held])


def test_sweeps_are_of_one_part_and_one_kind_of_load_with_three_sizes_or_more() -> None:
    found = sweeps.sweeps(tables.comparisons(several()))
    assert {(each.part, each.kind) for each in found} == {("curves.rate", "open"), ("curves.concurrency", "closed")}
    assert "rate_rps" not in {each.metric for each in found if each.kind == "open"}


def test_sizes_of_different_parts_are_not_joined_to_one_sweep() -> None:
    made = [comparison(size, 2.0, 3.0) for size in (1, 4, 16, 64)]
    assert sweeps.sweeps([replace(each, part=f"p{place % 2}") for place, each in enumerate(made)]) == ()
    assert len(sweeps.sweeps([replace(each, part=part) for each in made for part in "ab"])) == 2


intervals = st.one_of(
    st.none(), st.tuples(st.floats(0.2, 5.0), st.floats(1.0, 1.5)).map(lambda each: (each[0], each[0] * each[1]))
)


@given(st.lists(intervals, min_size=3, max_size=8), st.randoms(use_true_random=False))
def test_from_where_a_gain_begins_on_every_judged_size_gains_and_the_one_before_does_not(
    drawn: list[tuple[float, float] | None], rng: object
) -> None:
    made = [comparison(2**place, *(each or (None, None))) for place, each in enumerate(drawn)]
    [found] = sweeps.sweeps(made)
    shuffled = made[:]
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sweeps.sweeps(shuffled) == (found,)
    judged = [(2**place, each[0] > 1.1) for place, each in enumerate(drawn) if each is not None]
    if found.gains_from is None:
        assert not judged or not judged[-1][1]
        return
    assert all(gains for size, gains in judged if size >= found.gains_from)
    assert found.gains_to == judged[-1][0]
    before = [size for size, _ in judged if size < found.gains_from]
    assert found.not_yet_at == (before[-1] if before else None)
    assert not before or not dict(judged)[before[-1]]


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_sizes_make_no_sweep(count: int) -> None:
    assert sweeps.sweeps([comparison(size, 2.0, 3.0) for size in range(1, count + 1)]) == ()
