from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatebench import changes as room
from gatebench.changes import LEAST, changes


def steps(*levels: tuple[int, float], seed: int = 1, spread: float = 1.0) -> list[float]:
    """Values around one level after another: so many, around this."""
    chance = np.random.default_rng(seed)
    return [value for count, level in levels for value in chance.normal(level, spread, count)]


def places(values: list[float], *, seed: int = 1, error: float = 0.01) -> list[int]:
    return [change.at for change in changes(values, seed=seed, error=error)]


def farthest(values: list[float]) -> tuple[float, int]:
    """The largest energy distance by the paper's formula, term by term, ending early on either side."""

    def mean(pairs: list[float]) -> float:
        return sum(pairs) / len(pairs)

    def apart(first: list[float], second: list[float]) -> float:
        across = mean([abs(a - b) for a in first for b in second])
        within = [mean([abs(a - b) for i, a in enumerate(side) for b in side[:i]]) for side in (first, second)]
        return len(first) * len(second) / (len(first) + len(second)) * (2 * across - sum(within))

    count = len(values)
    stretches = [
        (apart(values[start:at], values[at:end]), at)
        for at in range(LEAST, count - LEAST + 1)
        for start, end in [
            *((0, end) for end in range(at + LEAST, count + 1)),
            *((start, count) for start in range(at - LEAST + 1)),
        ]
    ]
    return max(stretches)


@pytest.mark.parametrize("count", [6, 7, 9, 20])
def test_the_distance_is_the_papers(count: int) -> None:
    for seed in range(10):
        values = steps((count // 2, 0.0), (count - count // 2, 2.0), seed=seed)
        distance, place = farthest(values)
        assert room._divided(np.array(values))[0] == pytest.approx(distance)
        assert room._divided(np.array(values))[1] == place


@pytest.mark.parametrize("at", [3, 4, 10, 17])
def test_a_step_of_five_spreads_is_found_at_its_place(at: int) -> None:
    found = changes(steps((at, 10.0), (20 - at, 15.0)), error=0.01)
    assert [change.at for change in found] == [at]
    assert found[0].before == pytest.approx(10, abs=1.5)
    assert found[0].after == pytest.approx(15, abs=1.5)
    assert found[0].p_value <= 0.01


def test_what_comes_and_goes_again_is_two_changes() -> None:
    assert places(steps((30, 0.0), (10, 5.0), (30, 0.0))) == [30, 40]


def test_each_level_is_the_median_up_to_the_next_change() -> None:
    values = steps((15, 0.0), (15, 8.0), (15, 20.0))
    found = changes(values, error=0.01)
    assert [change.at for change in found] == [15, 30]
    assert [found[0].before, found[0].after] == [np.median(values[:15]), np.median(values[15:30])]
    assert all(first.after == second.before for first, second in pairwise(found))


@pytest.mark.parametrize("error", [0.01, 0.05])
def test_random_series_have_a_change_as_often_as_the_error_says(error: float) -> None:
    chance, count = np.random.default_rng(11), 300
    series = [chance.lognormal(0, 0.5, 12).tolist() for _ in range(count)]
    share = sum(bool(changes(values, seed=seed, error=error)) for seed, values in enumerate(series)) / count
    spread = (error * (1 - error) / count) ** 0.5
    assert abs(share - error) < 3 * spread


def test_a_single_wild_value_is_no_change() -> None:
    values = steps((30, 0.0))
    values[20] = 1000.0
    assert places(values) == []


@given(st.floats(-1e6, 1e6), st.integers(0, 40))
def test_a_constant_series_has_no_change(value: float, count: int) -> None:
    assert changes([value] * count) == ()


@settings(max_examples=20)
@given(
    st.integers(0, 50),
    st.floats(1e-3, 1e3),
    st.floats(-1e3, 1e3),
    st.sampled_from([1, -1]),
)
def test_other_units_change_nothing_but_the_levels(seed: int, factor: float, offset: float, sign: int) -> None:
    values = steps((8, 0.0), (8, 3.0), seed=seed)
    found = changes(values)
    other = changes([sign * factor * value + offset for value in values])
    assert [(change.at, change.p_value) for change in other] == [(change.at, change.p_value) for change in found]
    for change, scaled in zip(found, other, strict=True):
        assert scaled.after == pytest.approx(sign * factor * change.after + offset, rel=1e-6, abs=1e-6)


@given(st.integers(0, 50), st.integers(4, 16))
def test_a_series_told_backwards_is_divided_alike(seed: int, at: int) -> None:
    values = steps((at, 0.0), (20 - at, 5.0), seed=seed)
    distance, place = room._divided(np.array(values))
    backwards = room._divided(np.array(values[::-1]))
    assert backwards[0] == pytest.approx(distance)
    assert backwards[1] == len(values) - place


def test_a_step_told_backwards_is_found_at_the_mirrored_place() -> None:
    values = steps((12, 0.0), (20, 5.0))
    assert places(values) == [12]
    assert places(values[::-1]) == [20]


def test_the_same_values_and_seed_give_the_same_answer() -> None:
    values = steps((10, 0.0), (10, 1.5))
    assert changes(values, seed=3) == changes(values, seed=3)


@pytest.mark.parametrize(("count", "error"), [(5, 0.5), (7, 0.05), (8, 0.01)])
def test_too_few_values_show_nothing_however_plain(count: int, error: float) -> None:
    assert changes(steps((count // 2, 0.0), (count - count // 2, 100.0)), error=error) == ()


@pytest.mark.parametrize(("count", "error"), [(8, 0.05), (11, 0.01)])
def test_enough_values_show_what_is_plain(count: int, error: float) -> None:
    assert places(steps((count // 2, 0.0), (count - count // 2, 100.0)), error=error) == [count // 2]


def test_a_long_series_is_divided_too() -> None:
    assert places(steps((300, 0.0), (100, 5.0))) == [300]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="finite values"):
        changes([1.0] * 10 + [wrong])
