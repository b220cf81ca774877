"""The search for the highest rate that holds, over servers whose capacity is a number."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebench.swarm.search import CONFIRMATIONS, FACTOR, HIGHEST, LOWEST, START, TOLERANCE, WINDOWS, highest


class Server:
    """Holds every rate up to its capacity, and remembers what it was asked."""

    def __init__(self, capacity: float) -> None:
        self.capacity = capacity
        self.asked: list[float] = []

    def holds(self, rate: float) -> bool:
        self.asked.append(rate)
        return rate <= self.capacity


def answering(*answers: bool) -> tuple[Callable[[float], bool], list[float]]:
    """Hold or not as told, and then no more."""
    left, asked = list(answers), []

    def holds(rate: float) -> bool:
        asked.append(rate)
        return left.pop(0) if left else False

    return holds, asked


@given(st.floats(LOWEST, HIGHEST / TOLERANCE))
def test_the_rate_found_is_within_the_tolerance_below_the_capacity(capacity: float) -> None:
    server = Server(capacity)
    found = highest(server.holds)
    assert found is not None
    assert found <= capacity < found * TOLERANCE * 1.000001


@given(st.floats(LOWEST, HIGHEST))
def test_the_rate_found_has_held_twice_and_was_asked_last(capacity: float) -> None:
    server = Server(capacity)
    found = highest(server.holds)
    assert server.asked.count(found or 0.0) >= 2
    assert server.asked[-1] == found


@given(st.lists(st.booleans(), max_size=WINDOWS + 5))
def test_no_search_asks_for_more_than_its_windows_however_fickle_the_server(answers: list[bool]) -> None:
    holds, asked = answering(*answers)
    found = highest(holds)
    assert 1 <= len(asked) <= WINDOWS
    assert found is None or asked[-1] == found
    assert all(LOWEST / TOLERANCE**CONFIRMATIONS <= rate <= HIGHEST for rate in asked)


def test_a_server_that_holds_nothing_is_asked_down_to_the_lowest_rate_and_no_further() -> None:
    server = Server(0)
    assert highest(server.holds) is None
    assert server.asked == [START, START / FACTOR, START / FACTOR**2]
    assert server.asked[-1] == LOWEST


def test_a_server_that_holds_everything_is_asked_up_to_the_highest_rate_and_no_further() -> None:
    server = Server(10 * HIGHEST)
    found = highest(server.holds)
    assert found is not None
    assert HIGHEST / TOLERANCE <= found <= HIGHEST
    assert max(server.asked) <= HIGHEST


def test_a_rate_that_does_not_hold_a_second_time_is_stepped_down_from() -> None:
    server = Server(START)
    confirmed: list[float] = []

    def holds(rate: float) -> bool:
        if server.asked.count(rate) and len(confirmed) < 1:
            confirmed.append(rate)
            return False
        return server.holds(rate)

    found = highest(holds)
    assert found == pytest.approx(confirmed[0] / TOLERANCE)


def test_a_rate_that_never_holds_again_is_given_up_after_some_steps() -> None:
    server = Server(START)
    refused: list[float] = []

    def holds(rate: float) -> bool:
        if refused or rate in server.asked:
            refused.append(rate)
            return False
        return server.holds(rate)

    assert highest(holds) is None
    assert len(refused) == CONFIRMATIONS
    assert refused == pytest.approx([refused[0] / TOLERANCE**step for step in range(CONFIRMATIONS)])
