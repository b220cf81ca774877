import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebench.histogram import bucket, from_json, mean, merge, middle_us, of_seconds, percentile, to_json
from gatebench.model import Histogram

durations = st.floats(min_value=0, max_value=3600)
histograms = st.lists(durations, max_size=40).map(of_seconds)


@given(st.floats(min_value=100e-6, max_value=60.0))
def test_a_value_is_read_back_within_one_percent_from_100_us_to_60_s(seconds: float) -> None:
    read = percentile(of_seconds([seconds] * 20), 0.5)
    assert read == pytest.approx(seconds, rel=0.01)


@given(st.integers(min_value=0, max_value=2**40))
def test_buckets_join_without_gap_and_hold_their_own_middle(us: int) -> None:
    index = bucket(us)
    assert index <= bucket(us + 1) <= index + 1
    assert bucket(int(middle_us(index))) == index


@given(st.lists(histograms, max_size=6), st.randoms(use_true_random=False))
def test_merging_is_exact_and_in_any_order_the_same(parts: list[Histogram], rng: random.Random) -> None:
    shuffled = parts[:]
    rng.shuffle(shuffled)
    assert merge(parts) == merge(shuffled)
    assert merge(parts).total == sum(part.total for part in parts) == sum(merge(parts).counts.values())


@given(st.lists(durations, max_size=60), st.integers(min_value=0, max_value=60))
def test_merging_parts_is_counting_the_whole(values: list[float], cut: int) -> None:
    whole, parts = of_seconds(values), merge([of_seconds(values[:cut]), of_seconds(values[cut:])])
    assert parts.counts == whole.counts
    assert parts.sum_us == pytest.approx(whole.sum_us)


@given(
    st.integers(min_value=1000, max_value=3000),
    st.floats(min_value=100e-6, max_value=60.0),
    st.floats(min_value=0.0, max_value=4.0),
    st.integers(min_value=0, max_value=2**32 - 1),
    st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_a_percentile_of_many_is_within_one_percent_of_the_nearest_rank(
    count: int, middle_s: float, spread: float, seed: int, q: float
) -> None:
    drawn = middle_s * np.random.default_rng(seed).lognormal(0, spread, count)
    values = np.clip(drawn, 100e-6, 60.0)
    read = percentile(of_seconds(values), q)
    assert read == pytest.approx(np.quantile(values, q, method="inverted_cdf"), rel=0.01)


EDGES = sorted({edge for power in range(40) for edge in (2**power - 1, 2**power, 2**power + 1)} - {2**39 + 1})


@given(st.lists(st.integers(min_value=0, max_value=2**39), max_size=100))
def test_counting_many_at_once_gives_each_its_bucket(drawn: list[int]) -> None:
    values = drawn + EDGES
    expected: dict[int, int] = {}
    for us in values:
        expected[bucket(us)] = expected.get(bucket(us), 0) + 1
    counted = of_seconds(np.array(values) / 1e6)
    assert counted.counts == expected
    assert counted.total == len(values)


def test_values_may_come_in_any_shape_of_a_row() -> None:
    row = [0.001, 0.25, 0.25, 60.0]
    shapes: list[Any] = [row, iter(row), tuple(row), np.array(row)]
    assert len({str(of_seconds(shape)) for shape in shapes}) == 1
    assert of_seconds(np.array([])) == of_seconds([])


@given(histograms)
def test_json_and_back_changes_nothing(whole: Histogram) -> None:
    assert from_json(json.loads(json.dumps(to_json(whole)))) == whole


@given(st.lists(durations, min_size=20, max_size=200))
def test_the_median_is_the_value_with_half_at_or_below_it(values: list[float]) -> None:
    read = percentile(of_seconds(values), 0.5)
    assert read == pytest.approx(sorted(values)[(len(values) - 1) // 2], rel=0.01, abs=1e-6)


def test_a_percentile_of_too_few_samples_is_missing() -> None:
    assert percentile(of_seconds([0.01] * 999), 0.99) is None
    assert percentile(of_seconds([0.01] * 1000), 0.99) is not None
    assert percentile(of_seconds([]), 0.5) is None


def test_a_percentile_is_not_one_rank_off_where_the_product_rounds_up() -> None:
    values = [0.001] * 7 + [1.0] * 93  # 0.07 * 100 is 7.000000000000001
    assert percentile(of_seconds(values), 0.07) == pytest.approx(0.001, rel=0.01)


@pytest.mark.parametrize("q", [0.0, 1.0, -0.1, 1.5])
def test_a_quantile_outside_0_to_1_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        percentile(of_seconds([1.0] * 20), q)


def test_the_mean_has_no_bucket_error() -> None:
    assert mean(of_seconds([0.1, 0.2, 0.6])) == pytest.approx(0.3, rel=1e-12)
    assert mean(of_seconds([])) is None


@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf"), 1e9])
def test_what_is_no_duration_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="no duration"):
        of_seconds([value])


GOOD = {"bits": 7, "buckets": [100, 300], "counts": [2, 3], "sum_us": 1000.5}


@pytest.mark.parametrize(
    "change",
    [
        {"bits": 8},
        {"buckets": [100]},
        {"buckets": "100"},
        {"buckets": [300, 100]},
        {"buckets": [100, 100]},
        {"buckets": [100, 10**12]},  # its width would not fit into memory
        {"counts": [2, -3]},
        {"counts": [2, 3.0]},
        {"counts": [2, True]},
        {"counts": [2, 10**400]},
        {"sum_us": float("nan")},
        {"sum_us": float("inf")},
        {"sum_us": -1},
        {"sum_us": True},
        {"sum_us": None},
    ],
)
def test_json_of_another_shape_is_refused(change: dict[str, object]) -> None:
    from_json(GOOD)
    with pytest.raises(ValueError, match="histogram"):
        from_json({**GOOD, **change})
