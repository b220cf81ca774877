import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from gatebench.model import Estimate
from gatebench.stats import (
    ENOUGH,
    blocks_to_decide,
    difference,
    mean_interval,
    median_interval,
    ratio,
    shift,
    sign_flips,
)

sizes = st.floats(min_value=1e-6, max_value=1e6)
pairs = st.lists(st.tuples(sizes, sizes), min_size=2, max_size=12)


def share_covered(truth: float, estimates: list[Estimate]) -> float:
    covered = [each.low <= truth <= each.high for each in estimates if each.low is not None and each.high is not None]
    return sum(covered) / len(estimates)


def test_six_blocks_give_the_median_and_their_range_and_say_so() -> None:
    estimate = median_interval([5, 1, 4, 2, 6, 3])
    assert (estimate.value, estimate.low, estimate.high, estimate.few) == (3.5, 1, 6, False)
    assert estimate.method == "median and range of 6 blocks"


@pytest.mark.parametrize(("count", "rank"), [(6, 1), (8, 1), (9, 2), (20, 6), (40, 14)])
def test_the_median_interval_lies_between_the_ranks_of_the_sign_test(count: int, rank: int) -> None:
    estimate = median_interval(range(1, count + 1))
    assert (estimate.low, estimate.high) == (rank, count + 1 - rank)
    exact: Any = scipy_stats.quantile_test(np.arange(1, count + 1), q=0, p=0.5).confidence_interval(0.95)
    assert (exact.low, exact.high) == (estimate.low, estimate.high)


def test_fewer_than_six_blocks_give_a_wider_interval_marked_as_few() -> None:
    estimate = median_interval([100.0, 110.0, 121.0])
    assert estimate.few
    assert estimate.value == pytest.approx(110)
    # t with two degrees of freedom is 4.3027; the logarithms are log(1.1) apart
    assert estimate.high == pytest.approx(110 * math.exp(4.30265 * math.log(1.1) / math.sqrt(3)), rel=1e-5)


def test_one_block_gives_its_value_and_no_interval() -> None:
    estimate = median_interval([7.0])
    assert (estimate.value, estimate.low, estimate.high, estimate.few) == (7.0, None, None, True)


def test_few_values_with_a_zero_give_no_interval_and_say_why() -> None:
    estimate = median_interval([0.0, 4.0, 5.0])
    assert (estimate.value, estimate.low, estimate.high) == (4.0, None, None)
    assert "not above zero" in estimate.method
    assert median_interval([0.0] * 5 + [9.0]).high == 9.0  # order statistics need no logarithm


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf")]])
def test_no_values_or_none_that_count_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite values"):
        median_interval(values)


def test_values_that_are_all_the_same_have_an_interval_of_no_width() -> None:
    for count in (2, 5, 6, 20):
        estimate = median_interval([2000.0] * count)
        assert (estimate.value, estimate.low, estimate.high) == (2000.0, 2000.0, 2000.0)
        again = ratio([(1.0, 2000.0)] * count)
        assert again is not None
        assert (again.value, again.low, again.high, again.blocks) == (2000.0, 2000.0, 2000.0, count)


def test_six_pairs_give_hodges_lehmann_and_the_range_of_the_ratios() -> None:
    estimate = ratio([(1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (1, 7)])
    assert estimate is not None
    assert estimate.low == pytest.approx(2)
    assert estimate.high == pytest.approx(7)
    assert estimate.value == pytest.approx(math.sqrt(18), rel=0.02)
    assert not estimate.few


@pytest.mark.parametrize(("count", "rank"), [(6, 1), (7, 3), (8, 4), (10, 9), (15, 26), (20, 53)])
def test_the_ratio_interval_is_the_published_wilcoxon_interval(count: int, rank: int) -> None:
    logs = [0.01 * step**2 for step in range(count)]
    averages = sorted((a + b) / 2 for i, a in enumerate(logs) for b in logs[i:])
    estimate = ratio([(1, math.exp(log)) for log in logs])
    assert estimate is not None
    assert estimate.low == pytest.approx(math.exp(averages[rank - 1]))
    assert estimate.high == pytest.approx(math.exp(averages[-rank]))


def test_fewer_than_two_pairs_or_a_zero_give_no_ratio_and_never_a_bare_number() -> None:
    assert ratio([]) is None
    assert ratio([(1, 2)]) is None
    assert ratio([(1, 2), (0, 3)]) is None
    assert ratio([(1, 2), (1, -3)]) is None
    assert ratio([(1, 2), (1, float("nan"))]) is None
    assert ratio([(1e-300, 1e300), (1, 1)]) is None


@given(pairs, st.floats(min_value=1e-3, max_value=1e3))
def test_a_ratio_does_not_depend_on_the_unit(measured: list[tuple[float, float]], unit: float) -> None:
    plain, scaled = ratio(measured), ratio([(a * unit, b * unit) for a, b in measured])
    assert plain is not None
    assert scaled is not None
    assert scaled.value == pytest.approx(plain.value, rel=1e-9)


@given(pairs)
def test_swapping_the_arms_inverts_value_and_interval(measured: list[tuple[float, float]]) -> None:
    there, back = ratio(measured), ratio([(b, a) for a, b in measured])
    assert there is not None
    assert back is not None
    assert back.value == pytest.approx(1 / there.value, rel=1e-9)
    if there.low is not None and back.high is not None:
        assert back.high == pytest.approx(1 / there.low, rel=1e-9)


@given(st.lists(sizes, min_size=1, max_size=30))
def test_a_value_lies_in_its_interval_and_among_its_blocks(values: list[float]) -> None:
    estimate = median_interval(values)
    assert min(values) * (1 - 1e-9) <= estimate.value <= max(values) * (1 + 1e-9)
    if estimate.low is not None and estimate.high is not None:
        assert estimate.low <= estimate.value <= estimate.high


@given(st.lists(sizes, min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_blocks_does_not_matter(values: list[float], rng: random.Random) -> None:
    shuffled = values[:]
    rng.shuffle(shuffled)
    assert median_interval(shuffled).value == pytest.approx(median_interval(values).value)


@pytest.mark.parametrize(
    ("blocks", "at_least", "at_most"), [(3, 0.935, 0.965), (6, 0.955, 0.985), (10, 0.94, 0.97), (20, 0.935, 0.97)]
)
def test_ratio_intervals_cover_the_truth_as_often_as_they_say(blocks: int, at_least: float, at_most: float) -> None:
    rng = np.random.default_rng(2024)
    estimates = []
    for _ in range(2000):
        logs = rng.normal(math.log(3), 0.1, blocks)
        found = ratio([(100.0, 100.0 * math.exp(log)) for log in logs])
        assert found is not None
        estimates.append(found)
    assert at_least <= share_covered(3.0, estimates) <= at_most


@pytest.mark.parametrize(("blocks", "at_least", "at_most"), [(3, 0.935, 0.965), (6, 0.955, 0.985), (9, 0.945, 0.98)])
def test_median_intervals_cover_the_truth_as_often_as_they_say(blocks: int, at_least: float, at_most: float) -> None:
    rng = np.random.default_rng(7)
    # From six blocks on no shape is assumed, so a skewed one is drawn; below, the logarithms are normal.
    skewed = blocks >= ENOUGH
    draws = rng.exponential(1.0, (2000, blocks)) if skewed else rng.lognormal(0.0, 0.3, (2000, blocks))
    truth = math.log(2) if skewed else 1.0
    estimates = [median_interval([float(value) for value in draw]) for draw in draws]
    assert at_least <= share_covered(truth, estimates) <= at_most


def test_the_blocks_that_would_decide_grow_with_the_square_of_the_precision_wanted() -> None:
    rng = np.random.default_rng(3)
    found = ratio([(1, math.exp(log)) for log in rng.normal(0, 0.1, 20)])
    assert found is not None
    near, far = blocks_to_decide(found, 0.01), blocks_to_decide(found, 0.02)
    assert near is not None
    assert far is not None
    assert 3.5 < near / far < 4.5


def test_the_blocks_that_would_decide_do_narrow_the_interval_that_far() -> None:
    rng = np.random.default_rng(5)
    first = ratio([(1, math.exp(log)) for log in rng.normal(0, 0.1, 12)])
    assert first is not None
    needed = blocks_to_decide(first, 0.03)
    assert needed is not None
    widths = []
    for _ in range(50):
        later = ratio([(1, math.exp(log)) for log in rng.normal(0, 0.1, needed)])
        assert later is not None
        assert later.low is not None
        assert later.high is not None
        widths.append(math.log(later.high / later.low) / 2)
    assert 0.015 < float(np.median(widths)) < 0.045


def test_where_no_number_of_blocks_decides_none_is_named() -> None:
    assert blocks_to_decide(median_interval([7.0]), 0.1) is None
    wide = ratio([(1, 1), (1, 9)])
    assert wide is not None
    assert blocks_to_decide(wide, 0.001) is None
    assert blocks_to_decide(wide, 0.0) is None


def test_a_difference_is_taken_block_by_block_and_may_be_below_zero() -> None:
    found = difference([(10.0 * block, 10.0 * block - 3) for block in range(6)])
    assert found is not None
    assert (found.value, found.low, found.high, found.blocks, found.few) == (-3, -3, -3, 6, False)
    spread = difference([(0.0, float(each)) for each in (1, 2, 3, 4, 5, 60)])
    assert spread is not None
    assert (spread.low, spread.high) == (1, 60)  # with six blocks the exact interval is their range
    assert spread.value == 3.5  # the median of the means of all pairs


def test_a_difference_of_few_blocks_is_their_mean_with_a_t_interval() -> None:
    found = difference([(0.0, 1.0), (0.0, 2.0), (0.0, 3.0)])
    assert found is not None
    assert (found.value, found.few) == (2.0, True)
    assert found.high == pytest.approx(2 + 4.30265 / math.sqrt(3), rel=1e-5)


def test_fewer_than_two_pairs_or_what_is_no_number_give_no_difference() -> None:
    assert difference([]) is None
    assert difference([(1, 2)]) is None
    assert difference([(1, 2), (1, float("nan"))]) is None
    assert difference([(1, 2)] * 6 + [(1, float("inf"))]) is None


@given(pairs)
def test_swapping_the_arms_turns_a_differences_sign(measured: list[tuple[float, float]]) -> None:
    there, back = difference(measured), difference([(b, a) for a, b in measured])
    assert there is not None
    assert back is not None
    scale = max(abs(value) for pair in measured for value in pair)
    assert back.value == pytest.approx(-there.value, abs=1e-9 * scale)
    assert back.low == pytest.approx(-(there.high or 0), abs=1e-9 * scale)


@given(st.lists(st.tuples(sizes, sizes, sizes), min_size=2, max_size=12))
def test_means_of_parts_sum_to_the_mean_of_the_whole(drawn: list[tuple[float, float, float]]) -> None:
    parts = [mean_interval(list(part)) for part in zip(*drawn, strict=True)]
    whole = mean_interval([sum(each) for each in drawn])
    assert whole is not None
    assert whole.value == pytest.approx(math.fsum(part.value for part in parts if part), rel=1e-9)
    assert whole.low is not None
    assert whole.low <= whole.value


@pytest.mark.parametrize(("blocks", "at_least", "at_most"), [(3, 0.935, 0.965), (6, 0.955, 0.985), (12, 0.93, 0.97)])
def test_difference_intervals_cover_the_truth_as_often_as_they_say(
    blocks: int, at_least: float, at_most: float
) -> None:
    rng = np.random.default_rng(11)
    estimates = [difference([(0.0, float(each)) for each in rng.normal(-5, 2, blocks)]) for _ in range(2000)]
    assert at_least <= share_covered(-5, [each for each in estimates if each is not None]) <= at_most


logs = st.lists(st.floats(min_value=-1, max_value=1), min_size=1, max_size=40)
side = st.floats(min_value=0.0005, max_value=0.2)


@given(logs, side, st.floats(min_value=-1, max_value=1))
def test_the_exact_p_value_and_the_interval_say_the_same(values: list[float], error: float, against: float) -> None:
    found = shift(values, error)
    assert found is not None
    for log in (against, *values[:3]):  # a value itself is where ties are
        assert (sign_flips(values, log) <= error) == (found.low is not None and found.low > log)
        flipped = sign_flips([-value for value in values], -log) <= error
        assert flipped == (found.high is not None and found.high < log)


@pytest.mark.parametrize("count", [1, 5, 12, 30, 48])
def test_the_chance_of_signs_is_wilcoxons(count: int) -> None:
    values = [0.31 * step - 1.0 + 0.001 * step**2 for step in range(count)]
    for against in (-1.5, -0.05, 0.4, 3.0):
        known: Any = scipy_stats.wilcoxon(
            [value - against for value in values], alternative="greater", method="exact"
        )
        assert sign_flips(values, against) == pytest.approx(known.pvalue, rel=1e-9)


def test_many_values_have_an_exact_chance_too() -> None:
    values = np.random.default_rng(4).normal(0.1, 1.0, 200)
    known: Any = scipy_stats.wilcoxon(values, alternative="greater", method="approx")
    assert sign_flips(values, 0.0) == pytest.approx(known.pvalue, rel=0.02)


def test_a_shift_has_no_ends_where_so_few_values_cannot_be_that_sure() -> None:
    few = shift([0.1, 0.2, 0.3, 0.4, 0.5], 0.025)
    assert few is not None
    assert few.value == pytest.approx(0.3)
    assert (few.low, few.high, few.few) == (None, None, True)
    enough = shift([0.1, 0.2, 0.3, 0.4, 0.5], 0.04)
    assert enough is not None
    assert (enough.low, enough.high) == (0.1, 0.5)
    assert shift([], 0.025) is None
    assert shift([0.1, math.nan], 0.025) is None
    assert sign_flips([], 0.0) == 1.0


@given(st.lists(st.floats(min_value=-1, max_value=1), min_size=6, max_size=30))
def test_a_shift_is_the_ratio_of_the_same_blocks_on_the_log_scale(values: list[float]) -> None:
    found, known = shift(values, 0.025), ratio([(1.0, math.exp(value)) for value in values])
    assert found is not None
    assert known is not None
    assert math.exp(found.value) == pytest.approx(known.value)
    assert found.low is not None
    assert math.exp(found.low) == pytest.approx(known.low)


@pytest.mark.parametrize(("blocks", "error"), [(10, 0.0016), (20, 0.01), (40, 0.025)])
def test_a_shift_leaves_the_truth_out_on_each_side_no_more_often_than_it_says(blocks: int, error: float) -> None:
    rng = np.random.default_rng(31)
    found = [shift(rng.normal(0.02, 0.013, blocks), error) for _ in range(4000)]
    ends = [(each.low, each.high) for each in found if each is not None]
    allowed = error + 3 * math.sqrt(error / 4000)
    assert sum(low is not None and low > 0.02 for low, _ in ends) / 4000 <= allowed
    assert sum(high is not None and high < 0.02 for _, high in ends) / 4000 <= allowed


def test_being_surer_takes_more_blocks() -> None:
    rng = np.random.default_rng(3)
    found = ratio([(1, math.exp(log)) for log in rng.normal(0, 0.1, 20)])
    assert found is not None
    usual, surer = blocks_to_decide(found, 0.03), blocks_to_decide(found, 0.03, 0.001)
    assert usual is not None
    assert surer is not None
    assert surer > 2 * usual
