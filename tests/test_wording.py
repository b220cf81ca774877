"""Figures in words: three digits, none that the interval does not support, and the unit once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebench.metrics import TIMES, show_estimate
from gatebench.model import Estimate
from gatebench.report.language import Language
from gatebench.report.wording import apart, shown

PLAIN = Language("en")


def estimate(value: float, low: float | None, high: float | None) -> Estimate:
    return Estimate(value=value, low=low, high=high, blocks=6, method="made up")


@pytest.mark.parametrize(
    ("value", "low", "high", "unit", "said"),
    [
        (1234, 1100, 1400, "1/s", "1,230/s (1,100 to 1,400/s)"),
        (1234, 1000, 1800, "1/s", "1,200/s (1,000 to 1,800/s)"),
        (1234, 1230, 1238, "1/s", "1,230/s (1,230 to 1,240/s)"),
        (0.01234, 0.0119, 0.0128, "s", "12.3 ms (11.9 to 12.8 ms)"),
        (0.95, 0.9, 1.01, "s", "950 ms (900 ms to 1.01 s)"),
        (3, 0.1, 80, TIMES, f"3{TIMES} (0.1 to 80{TIMES})"),
        (1.04, 0.98, 1.1, TIMES, f"1.04{TIMES} (0.98 to 1.10{TIMES})"),
        (10**9, 0.9 * 10**9, 1.1 * 10**9, "B", "950 MiB (860 to 1,050 MiB)"),
        (16, 16, 17, "", "16 (16 to 17)"),
        (2000, 2000, 2000, "", "2,000 (the same in all blocks)"),
        (5.5, None, None, "µs", "5.50 µs (no interval)"),
        (-3, -5, -1, "µs", "-3 µs (-5 to -1 µs)"),
    ],
)
def test_a_figure_has_no_digit_that_its_interval_does_not_support(
    value: float, low: float | None, high: float | None, unit: str, said: str
) -> None:
    made = shown(estimate(value, low, high), unit, PLAIN)
    assert f"{made.value} ({made.interval})" == said
    assert made.order == value


def test_what_is_missing_is_a_dash() -> None:
    assert shown(None, "s", PLAIN).value == "—"
    assert shown(None, "s", PLAIN).order is None


@given(
    st.floats(min_value=1e-6, max_value=1e9),
    st.floats(min_value=0.0, max_value=0.9),
    st.sampled_from(["s", "B", "1/s", "µs", "share", TIMES]),
)
def test_a_figure_is_shown_to_within_its_interval_however_wide(value: float, spread: float, unit: str) -> None:
    texts = show_estimate(estimate(value, value * (1 - spread), value * (1 + spread)), unit)
    for text in texts:
        digits = [letter for letter in text.split("e")[0] if letter.isdigit()]
        assert digits
        near_one = unit == TIMES and 0.8 <= value <= 1.2  # where a fourth and a fifth digit tell on which side
        assert len("".join(digits).strip("0")) <= (5 if near_one else 3)


@pytest.mark.parametrize(
    ("low", "high", "told"), [(1.1, 1.4, 1), (0.9, 1.1, 0), (0.5, 0.9, -1), (None, None, 0), (1.0, 1.2, 0)]
)
def test_a_factor_is_told_from_one_by_its_whole_interval(low: float | None, high: float | None, told: int) -> None:
    assert apart(estimate(1.0, low, high)) == told
    assert apart(None) == 0
