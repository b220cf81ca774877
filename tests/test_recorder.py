"""The generator's arithmetic, over a clock of the test's own."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebench import histogram
from gatebench.load.recorder import OTHERS, REASON_CHARACTERS, REASONS, Recorder, agree


class Clock:
    """A clock that stands still until time is made to pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def let_pass(self, seconds: float) -> None:
        self.now += seconds


def warmed_up(*counts: int, slice_s: float = 0.5, limit_s: float = 3.0) -> tuple[float, bool]:
    """Warm up while so many requests end in each slice."""
    clock = Clock()
    recorder = Recorder(clock)
    left = iter(counts)

    def sleep(seconds: float) -> None:
        clock.let_pass(seconds)
        for _ in range(next(left)):
            recorder.answered(0.001)

    return recorder.warm_up(slice_s=slice_s, limit_s=limit_s, sleep=sleep)


def test_the_recorder_is_imported_without_locust_or_gevent() -> None:
    program = (
        "import sys, gatebench.load.recorder, gatebench.load.job; print({'locust', 'gevent'} & set(sys.modules))"
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


def test_only_what_ends_within_the_window_is_counted() -> None:
    clock = Clock()
    recorder = Recorder(clock)
    recorder.answered(0.5)
    recorder.failed(0.5, "too early")
    recorder.open_window()
    clock.let_pass(1)
    recorder.answered(5.0)  # began long before the window
    recorder.answered(0.25)
    recorder.failed(0.125, "refused")
    clock.let_pass(1)
    seen = recorder.close_window([])
    recorder.answered(0.5)
    recorder.failed(0.5, "too late")
    assert (seen.start_s, seen.end_s) == (1000.0, 1002.0)
    assert (seen.requests, seen.errors, seen.error_reasons) == (2, 1, {"refused": 1})
    assert seen.response == histogram.of_seconds([5.0, 0.25])


def test_requests_in_flight_count_only_with_what_lies_within_the_window() -> None:
    clock = Clock()
    recorder = Recorder(clock)
    clock.let_pass(10)
    recorder.open_window()
    clock.let_pass(1)
    recorder.answered(4.0)  # 1 s of it within
    clock.let_pass(1)
    recorder.failed(0.5, "refused")  # an error was in flight too
    clock.let_pass(2)
    seen = recorder.close_window([clock.now - 0.75, clock.now - 100])  # 0.75 s, and all 4 s
    assert seen.in_flight_mean == pytest.approx((1 + 0.5 + 0.75 + 4) / 4)


@given(st.integers(1, 20), st.integers(1, 50), st.floats(0.001, 2.0))
def test_users_that_never_pause_are_all_in_flight_all_the_time(users: int, rounds: int, took_s: float) -> None:
    clock = Clock()
    recorder = Recorder(clock)
    recorder.open_window()
    for _ in range(rounds):
        clock.let_pass(took_s)
        for _ in range(users):
            recorder.answered(took_s)
    clock.let_pass(took_s / 2)
    seen = recorder.close_window([clock.now - took_s / 2] * users)
    assert seen.in_flight_mean == pytest.approx(users)
    mean_s = histogram.mean(seen.response)
    assert mean_s is not None
    assert seen.requests == users * rounds
    assert mean_s == pytest.approx(took_s)


def test_a_user_that_could_not_begin_is_an_error_of_the_window_however_early_it_gave_up() -> None:
    clock = Clock()
    recorder = Recorder(clock)
    recorder.stranded("connection refused")
    recorder.open_window()
    clock.let_pass(1)
    seen = recorder.close_window([])
    assert recorder.stranded_users == 1
    assert (seen.errors, seen.error_reasons) == (1, {"connection refused": 1})
    assert seen.in_flight_mean == 0


def test_many_reasons_are_kept_as_ten_and_long_ones_are_cut() -> None:
    clock = Clock()
    recorder = Recorder(clock)
    recorder.open_window()
    for number in range(50):
        recorder.failed(0.1, f"{number} " + "x" * 500)
    clock.let_pass(1)
    seen = recorder.close_window([])
    assert seen.errors == sum(seen.error_reasons.values()) == 50
    assert len(seen.error_reasons) == REASONS
    assert seen.error_reasons[OTHERS] == 50 - (REASONS - 1)
    assert max(map(len, seen.error_reasons)) == REASON_CHARACTERS


def test_a_window_that_was_never_opened_cannot_be_closed() -> None:
    with pytest.raises(RuntimeError, match="no window"):
        Recorder(Clock()).close_window([])
