"""The generator's arithmetic, over a clock of the test's own."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebench import histogram
from gatebench.swarm.recorder import OTHERS, REASON_CHARACTERS, REASONS, UNANSWERED, Recorder, agree


class Clock:
    """A clock that stands still until time is made to pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def let_pass(self, seconds: float) -> None:
        self.now += seconds


def answered(recorder: Recorder, clock: Clock, *took_s: float) -> None:
    """Have requests end now, all as expected."""
    took = np.array(took_s)
    recorder.answered(clock.now - took, took)


def warmed_up(*counts: int, slice_s: float = 0.5, limit_s: float = 3.0) -> tuple[float, bool]:
    """Warm up while so many requests end in each slice."""
    clock = Clock()
    recorder = Recorder(clock)
    left = iter(counts)

    def sleep(seconds: float) -> None:
        clock.let_pass(seconds)
        answered(recorder, clock, *[0.001] * next(left))

    return recorder.warm_up(slice_s=slice_s, limit_s=limit_s, sleep=sleep)


def test_the_recorder_is_imported_without_locust_or_gevent() -> None:
    program = (
        "import sys, gatebench.swarm.recorder, gatebench.swarm.job; print({'locust', 'gevent'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout == b"set()\n"


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ([], False),
        ([100], False),
        ([100, 90], True),
        ([90, 100], True),
        ([100, 89], False),
        ([0, 0], False),
        ([50, 100, 101], True),
        ([100, 100, 50], False),
    ],
)
def test_two_rates_agree_within_a_tenth_of_the_larger(rates: list[float], said: bool) -> None:
    assert agree(rates) is said


def test_warm_up_ends_as_soon_as_two_slices_agree() -> None:
    assert warmed_up(10, 100, 105, 105) == (1.5, True)


def test_warm_up_that_never_settles_ends_at_its_limit() -> None:
    assert warmed_up(1, 10, 1, 10, 1, 10, 1) == (3.0, False)


def test_a_server_that_answers_nothing_is_never_warm() -> None:
    assert warmed_up(*[0] * 6) == (3.0, False)


def test_a_limit_shorter_than_a_slice_still_allows_one() -> None:
    assert warmed_up(5, slice_s=0.5, limit_s=0.1) == (0.5, False)


def test_a_limit_of_three_tenths_holds_three_slices_of_one() -> None:
    took, settled = warmed_up(1, 10, 10, slice_s=0.1, limit_s=0.3)
    assert settled
    assert took == pytest.approx(0.3)


def test_a_rate_counts_what_has_ended_but_was_not_handed_in_yet() -> None:
    clock = Clock()
    waiting = 0

    def flush() -> None:
        nonlocal waiting
        answered(recorder, clock, *[0.001] * waiting)
        waiting = 0

    def sleep(seconds: float) -> None:
        nonlocal waiting
        clock.let_pass(seconds)
        waiting += 10

    recorder = Recorder(clock, flush)
    waiting = 1000
    assert [recorder.rate(0.5, sleep), recorder.rate(0.5, sleep)] == [20, 20]


def test_only_what_ends_within_the_window_is_counted() -> None:
    clock = Clock()
    recorder = Recorder(clock)
    answered(recorder, clock, 0.5)
    recorder.failed(0.5, "too early")
    recorder.open_window()
    clock.let_pass(1)
    answered(recorder, clock, 5.0, 0.25)  # the first began long before the window
    recorder.failed(0.125, "refused")
    clock.let_pass(1)
    seen = recorder.close_window()
    answered(recorder, clock, 0.5)
    recorder.failed(0.5, "too late")
    assert (seen.start_s, seen.end_s) == (1000.0, 1002.0)
    assert (seen.requests, seen.errors, seen.error_reasons) == (2, 1, {"refused": 1})
    assert seen.response == histogram.of_seconds([5.0, 0.25])
    assert seen.ended == 3


def test_what_is_handed_in_late_belongs_to_where_it_ended() -> None:
    clock = Clock()
    late: list[tuple[float, float]] = []

    def flush() -> None:
        for ended, took in late:
            recorder.answered(np.array([ended - took]), np.array([took]))
        late.clear()

    recorder = Recorder(clock, flush)
    late.append((999.5, 0.25))
    recorder.open_window()
    late.append((999.75, 0.25))  # handed in within the window, but ended before
    clock.let_pass(1)
    late.append((1000.5, 0.125))
    late.append((1001.5, 0.125))  # by a clock that runs ahead of the window's end
    seen = recorder.close_window()
    assert (seen.requests, seen.response) == (1, histogram.of_seconds([0.125]))


def test_requests_in_flight_count_only_with_what_lies_within_the_window() -> None:
    clock = Clock()
    recorder = Recorder(clock)
    clock.let_pass(10)
    recorder.open_window()
    clock.let_pass(1)
    answered(recorder, clock, 4.0)  # 1 s of it within
    clock.let_pass(1)
    recorder.failed(0.5, "refused")  # an error was in flight too
    clock.let_pass(2)
    seen = recorder.close_window(lambda: [clock.now - 0.75, clock.now - 100])  # 0.75 s, and all 4 s
    assert seen.in_flight_mean == pytest.approx((1 + 0.5 + 0.75 + 4) / 4)


@given(st.integers(1, 20), st.integers(1, 50), st.floats(0.001, 2.0))
def test_users_that_never_pause_are_all_in_flight_all_the_time(users: int, rounds: int, took_s: float) -> None:
    clock = Clock()
    recorder = Recorder(clock)
    recorder.open_window()
    for _ in range(rounds):
        clock.let_pass(took_s)
        answered(recorder, clock, *[took_s] * users)
    clock.let_pass(took_s / 2)
    seen = recorder.close_window(lambda: [clock.now - took_s / 2] * users)
    assert seen.in_flight_mean == pytest.approx(users)
    mean_s = histogram.mean(seen.response)
    assert mean_s is not None
    assert seen.requests == users * rounds
    assert mean_s == pytest.approx(took_s)


def test_under_an_open_loop_a_request_belongs_to_the_window_in_which_it_was_due() -> None:
    clock = Clock()
    recorder = Recorder(clock)
    recorder.open_window()
    clock.let_pass(1)
    answered(recorder, clock, 1.5)  # due before the window, ended in it
    recorder.failed(1.5, "due before")
    clock.let_pass(1)
    answered(recorder, clock, 0.5)
    recorder.failed(0.25, "refused")
    end_s = clock.now
    clock.let_pass(1)
    answered(recorder, clock, 1.25, 0.5)  # due before the window's end, and after it
    recorder.failed(2.0, "refused")
    recorder.failed(0.125, "due after")
    seen = recorder.close_window_by_due(end_s)
    assert (seen.start_s, seen.end_s) == (1000.0, 1002.0)
    assert (seen.requests, seen.errors, seen.error_reasons) == (2, 2, {"refused": 2})
    assert seen.response == histogram.of_seconds([0.5, 1.25])
    # Both in the window's first second, and none of what ended at its very end or later.
    assert seen.ended == 2


def test_what_was_due_and_is_not_answered_is_an_error_that_took_at_least_so_long() -> None:
    clock = Clock()
    recorder = Recorder(clock)
    recorder.open_window()
    clock.let_pass(2)
    end_s = clock.now
    clock.let_pass(1)
    seen = recorder.close_window_by_due(end_s, lambda: [999.5, 1000.5, 1001.75, 1002.5])
    assert (seen.requests, seen.errors, seen.error_reasons) == (0, 2, {UNANSWERED: 2})
    assert seen.response == histogram.of_seconds([2.5, 1.25])
    assert seen.in_flight_mean == pytest.approx((2 + 1.5 + 0.25) / 2)


def test_a_user_that_could_not_begin_is_an_error_of_the_window_however_early_it_gave_up() -> None:
    clock = Clock()
    recorder = Recorder(clock)
    recorder.stranded("connection refused")
    recorder.open_window()
    clock.let_pass(1)
    seen = recorder.close_window()
    assert recorder.stranded_users == 1
    assert (seen.errors, seen.error_reasons) == (1, {"connection refused": 1})
    assert seen.in_flight_mean == 0
    assert (seen.requests, seen.response, seen.ended) == (0, histogram.of_seconds([]), 0)


def test_a_user_that_could_not_begin_is_an_error_of_every_window_by_due_too() -> None:
    clock = Clock()
    recorder = Recorder(clock)
    recorder.stranded("connection refused")
    for _ in range(2):
        recorder.open_window()
        clock.let_pass(1)
        recorder.failed(0.5, "connection refused")
        recorder.failed(1.5, "due before")
        seen = recorder.close_window_by_due(clock.now)
        assert (seen.errors, seen.error_reasons) == (2, {"connection refused": 2})
        assert (seen.in_flight_mean, seen.ended) == (1.5, 0)


def test_a_window_begins_with_nothing_of_the_one_before() -> None:
    clock = Clock()
    recorder = Recorder(clock)
    recorder.open_window()
    clock.let_pass(1)
    answered(recorder, clock, 0.5)
    recorder.failed(0.5, "refused")
    clock.let_pass(1)
    recorder.close_window()
    recorder.open_window()
    clock.let_pass(2)
    seen = recorder.close_window()
    assert (seen.start_s, seen.end_s, seen.requests, seen.errors, seen.error_reasons) == (1002.0, 1004.0, 0, 0, {})
    assert (seen.response, seen.in_flight_mean, seen.ended) == (histogram.of_seconds([]), 0, 0)


def test_many_reasons_are_kept_as_ten_and_long_ones_are_cut() -> None:
    clock = Clock()
    recorder = Recorder(clock)
    recorder.open_window()
    for number in range(50):
        recorder.failed(0.1, f"{number} " + "x" * 500)
    clock.let_pass(1)
    seen = recorder.close_window()
    assert seen.errors == sum(seen.error_reasons.values()) == 50
    assert len(seen.error_reasons) == REASONS
    assert seen.error_reasons[OTHERS] == 50 - (REASONS - 1)
    assert max(map(len, seen.error_reasons)) == REASON_CHARACTERS


def test_a_window_that_was_never_opened_cannot_be_closed() -> None:
    with pytest.raises(RuntimeError, match="no window"):
        Recorder(Clock()).close_window()
    with pytest.raises(RuntimeError, match="no window"):
        Recorder(Clock()).close_window_by_due(1001.0)


def told_by(recorder: Recorder, clock: Clock, by: str, *took_s: float) -> None:
    took = np.array(took_s)
    recorder.answered(clock.now - took, took, by)


def test_who_answered_is_counted_of_what_ended_in_the_window() -> None:
    clock = Clock()
    recorder = Recorder(clock)
    told_by(recorder, clock, "early", 0.5)
    recorder.open_window()
    clock.let_pass(1)
    told_by(recorder, clock, "wsgi", 0.5, 0.25, 5.0)
    told_by(recorder, clock, "", 0.5)
    told_by(recorder, clock, "asgi", 0.5)
    told_by(recorder, clock, "wsgi", 0.5)
    seen = recorder.close_window()
    assert (seen.requests, seen.answered_by) == (0, {}), "what ends with the window is not in it"

    recorder.open_window()
    told_by(recorder, clock, "wsgi", 0.5, 0.25, 5.0)
    told_by(recorder, clock, "", 0.5)
    told_by(recorder, clock, "asgi", 0.5)
    told_by(recorder, clock, "wsgi", 0.5)
    clock.let_pass(1)
    told_by(recorder, clock, "late", 0.5)
    seen = recorder.close_window()
    assert (seen.requests, seen.answered_by) == (6, {"wsgi": 4, "asgi": 1})


def test_who_answered_is_counted_of_what_was_due_in_the_window() -> None:
    clock = Clock()
    recorder = Recorder(clock)
    recorder.open_window()
    clock.let_pass(1)
    told_by(recorder, clock, "wsgi", 0.5, 1.5)  # the second was due before
    clock.let_pass(1)
    told_by(recorder, clock, "asgi", 1.5)  # ended after
    seen = recorder.close_window_by_due(clock.now - 1)
    assert (seen.requests, seen.answered_by) == (2, {"wsgi": 1, "asgi": 1})
