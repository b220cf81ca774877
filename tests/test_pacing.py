"""When seats speak, over an engine and a clock of the test's own."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebench.swarm import pacing
from gatebench.swarm.pacing import KEPT_S, ClosedLoop, Hold, Leaving, OpenLoop, Pace

START_S = 1000.0


class Engine:
    """Due times as the engine has them; time passes only when it is let."""

    def __init__(self) -> None:
        self.now = START_S
        self._due: list[tuple[float, int, Callable[[float, float], None]]] = []
        self._count = 0

    def at(self, due: float, call: Callable[[float, float], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (due, self._count, call))

    def run(self, seconds: float) -> None:
        """Let time pass, and do at its time what becomes due."""
        until = self.now + seconds
        while self._due and self._due[0][0] <= until:
            due, _, call = heapq.heappop(self._due)
            self.now = max(self.now, due)
            call(due, self.now)
        self.now = until

    def stall(self, seconds: float) -> None:
        """Let time pass while nobody looks."""
        self.now += seconds


@dataclass(eq=False)
class Seat:
    """Remembers when it spoke; answers when told to, or by itself after `takes_s`."""

    engine: Engine
    pace: Pace
    takes_s: float | None = None
    waits_s: float = 0.0
    opens: bool | None = True  # None: never says whether
    good: bool = True
    spoke: list[tuple[float, float]] = field(default_factory=list)  # due, now
    busy: bool = False
    finished: int = 0
    began: float = 0.0
    is_open: bool = False
    stay: int = 0
    listens: bool = False

    def open(self, now: float) -> None:
        if self.opens is not None:
            self.is_open = self.opens
            if self.opens:
                self.pace.opened(cast("Any", self), now)
            else:
                self.pace.unopened(cast("Any", self), now, "refused")

    def speak(self, due: float, now: float) -> None:
        assert not self.busy, "one request at a time"
        assert not self.finished, "who has left says nothing"
        self.busy, self.began = True, now
        self.spoke.append((due, now))
        if self.takes_s is not None:
            self.engine.at(now + self.takes_s, lambda _due, later: self.answer(later) if self.busy else None)

    def answer(self, now: float | None = None) -> None:
        self.busy = False
        self.pace.ended(cast("Any", self), self.engine.now if now is None else now, good=self.good)

    def wait_s(self) -> float:
        return self.waits_s

    def finish(self) -> None:
        self.finished += 1

    def leave(self) -> None:
        """As when the user has ended."""
        self.stay += 1
        self.busy = False
        self.pace.leave(cast("Any", self))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine()
    monkeypatch.setattr(pacing, "perf_counter", lambda: made.now)
    return made


def seated(engine: Engine, pace: Pace, count: int = 1, **changes: Any) -> list[Seat]:
    seats = [Seat(engine, pace, **changes) for _ in range(count)]
    for seat in seats:
        pace.join(cast("Any", seat), engine.now)
    return seats


def open_loop(engine: Engine, kind: pacing.Arrivals = "constant", seed: int = 1) -> OpenLoop:
    return OpenLoop(cast("Any", engine), kind, Random(seed))


def dues(seats: list[Seat]) -> list[float]:
    return sorted(due - START_S for seat in seats for due, _ in seat.spoke)


# closed loop


def test_in_a_closed_loop_a_seat_speaks_at_once_and_again_after_every_answer(engine: Engine) -> None:
    (seat,) = seated(engine, ClosedLoop(cast("Any", engine)), takes_s=0.25)
    engine.run(1)
    assert dues([seat]) == [0, 0.25, 0.5, 0.75, 1.0]


def test_a_user_that_waits_speaks_when_it_has_waited_since_its_answer(engine: Engine) -> None:
    (seat,) = seated(engine, ClosedLoop(cast("Any", engine)), takes_s=0.25, waits_s=0.5)
    engine.run(2)
    assert dues([seat]) == [0, 0.75, 1.5]


def test_a_failure_is_followed_by_the_next_request_as_an_answer_is(engine: Engine) -> None:
    (seat,) = seated(engine, ClosedLoop(cast("Any", engine)), takes_s=0.25, good=False)
    engine.run(0.5)
    assert len(seat.spoke) == 3


def test_a_seat_that_leaves_while_it_waits_speaks_no_more(engine: Engine) -> None:
    (seat,) = seated(engine, ClosedLoop(cast("Any", engine)), takes_s=0.25, waits_s=0.5)
    engine.run(0.5)
    seat.leave()
    engine.run(10)
    assert len(seat.spoke) == 1


def test_a_seat_that_fails_while_it_waits_speaks_once_for_both(engine: Engine) -> None:
    pace = ClosedLoop(cast("Any", engine))
    (seat,) = seated(engine, pace, waits_s=0.5)
    seat.answer()
    engine.run(0.25)
    pace.ended(cast("Any", seat), engine.now, good=False)  # bytes came that nobody had asked for
    engine.run(1)
    assert len(seat.spoke) == 2


def test_a_user_without_its_connection_ends(engine: Engine) -> None:
    pace = ClosedLoop(cast("Any", engine))
    seat = Seat(engine, pace, opens=False)
    seat.open(engine.now)
    assert (seat.finished, seat.spoke) == (1, [])


# open loop


@given(rate=st.integers(1, 500), seats=st.integers(1, 20))
def test_constant_arrivals_are_evenly_spaced_whoever_serves_them(rate: int, seats: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        engine = Engine()
        patch.setattr(pacing, "perf_counter", lambda: engine.now)
        pace = open_loop(engine)
        taken = seated(engine, pace, seats, takes_s=0.0005)
        pace.rate = rate
        engine.run(2)
        assert list(pace.due) == pytest.approx([START_S + n / rate for n in range(len(pace.due))])
        assert abs(len(pace.due) - 2 * rate) <= 1
        assert dues(taken) == [due - START_S for due in pace.due]


def test_poisson_arrivals_have_the_rate_and_the_spread_of_chance(engine: Engine) -> None:
    pace = open_loop(engine, "poisson")
    seated(engine, pace, 50, takes_s=0.0)
    pace.rate = 1000
    engine.run(20)
    gaps = [after - before for before, after in pairwise(pace.due)]
    mean = sum(gaps) / len(gaps)
    assert len(pace.due) == pytest.approx(20_000, rel=0.03)  # over four standard deviations
    assert sum(gap > mean for gap in gaps) / len(gaps) == pytest.approx(0.3679, abs=0.015)  # 1/e
    assert sum(gap > 2 * mean for gap in gaps) / len(gaps) == pytest.approx(0.1353, abs=0.015)


def test_equal_seeds_arrive_at_equal_times_and_others_do_not(engine: Engine) -> None:
    paces = [open_loop(engine, "poisson", seed) for seed in (1, 1, 2)]
    for pace in paces:
        seated(engine, pace, 5, takes_s=0.0)
        pace.rate = 100
    engine.run(1)
    first, again, other = (list(pace.due) for pace in paces)
    assert first == again != other


def test_arrivals_come_whether_or_not_answers_do_and_wait_in_line_in_their_order(engine: Engine) -> None:
    pace = open_loop(engine)
    seats = seated(engine, pace, 2)
    pace.rate = 8
    engine.run(0.75)
    assert (len(pace.due), pace.overrun) == (7, 5)
    assert [due - START_S for due in pace.in_line()] == [0.25, 0.375, 0.5, 0.625, 0.75]
    seats[0].answer()
    seats[1].answer()
    seats[0].answer()
    assert dues(seats) == [0, 0.125, 0.25, 0.375, 0.5]
    assert [due - START_S for due in pace.in_line()] == [0.625, 0.75]
    assert pace.overrun == 5, "who stood in line did so for good"


def test_a_request_counts_from_when_it_was_due_and_its_service_from_when_it_was_sent(engine: Engine) -> None:
    pace = open_loop(engine)
    (seat,) = seated(engine, pace, takes_s=0.75)
    pace.rate = 2
    engine.run(1.6)
    assert [(due - START_S, now - START_S) for due, now in seat.spoke] == [(0, 0), (0.5, 0.75), (1.0, 1.5)]
    assert list(pace.service) == [0.75, 0.75]
    assert list(pace.lag) == [0, 0, 0], "who had to wait for a seat was not kept by the generator"


def test_the_generator_s_own_lateness_is_seen_and_no_arrival_left_out(engine: Engine) -> None:
    pace = open_loop(engine)
    seated(engine, pace, 10, takes_s=0.0)
    pace.rate = 4
    engine.run(0.9)
    engine.stall(0.6)
    engine.run(0.5)
    assert [due - START_S for due in pace.due] == [n / 4 for n in range(9)]
    assert list(pace.lag) == pytest.approx([0, 0, 0, 0, 0.5, 0.25, 0, 0, 0])


def test_failures_are_no_service(engine: Engine) -> None:
    pace = open_loop(engine)
    seated(engine, pace, takes_s=0.1, good=False)
    pace.rate = 1
    engine.run(3)
    assert len(pace.due) == 4
    assert not pace.service


def test_of_those_free_the_last_to_become_so_takes_the_next(engine: Engine) -> None:
    pace = open_loop(engine)
    seats = seated(engine, pace, 5, takes_s=0.01)
    pace.rate = 10
    engine.run(2)
    assert [len(seat.spoke) for seat in seats[:-1]] == [0, 0, 0, 0]


def test_a_connection_that_does_not_open_gives_its_seat_to_the_next(engine: Engine) -> None:
    pace = open_loop(engine)
    (seat,) = seated(engine, pace)
    pace.rate = 4
    engine.run(0.25)
    seat.busy = False
    pace.unopened(cast("Any", seat), engine.now, "refused")
    assert len(seat.spoke) == 2
    assert not pace.losing, "it is an error"


def test_what_fails_while_it_is_free_is_free_once(engine: Engine) -> None:
    pace = open_loop(engine)
    (seat,) = seated(engine, pace)
    pace.ended(cast("Any", seat), engine.now, good=False)  # bytes came that nobody had asked for
    pace.rate = 4
    engine.run(0.25)
    assert len(seat.spoke) == 1
    assert pace.overrun == 1


def test_to_watch_is_to_count_anew(engine: Engine) -> None:
    pace = open_loop(engine)
    seated(engine, pace, takes_s=0.3)
    pace.rate = 4
    engine.run(1.1)
    assert pace.overrun > 0
    pace.watch()
    counted = [pace.overrun, len(pace.due), len(pace.lag), len(pace.service)]
    assert counted == [0, 0, 0, 0]


def test_a_rate_of_nothing_stops_arrivals_and_another_lets_them_come_again(engine: Engine) -> None:
    pace = open_loop(engine)
    seats = seated(engine, pace, takes_s=0.0)
    pace.rate = 4
    engine.run(0.3)
    pace.rate = 0
    engine.run(5)
    assert dues(seats) == [0, 0.25]
    pace.rate = 2
    engine.run(0.6)
    assert [due for due in dues(seats) if due > 1] == pytest.approx([5.3, 5.8])


def test_a_rate_that_was_nothing_for_a_moment_comes_but_once(engine: Engine) -> None:
    pace = open_loop(engine)
    seats = seated(engine, pace, 9, takes_s=0.0)
    pace.rate = 2
    engine.run(0.1)
    pace.rate = 0
    pace.rate = 2
    engine.run(2)
    assert len(dues(seats)) == 6, "one before, and five from then on; no second row of arrivals"


def test_a_change_of_rate_holds_from_then_on_and_not_after_the_old_gap(engine: Engine) -> None:
    pace = open_loop(engine)
    seats = seated(engine, pace, takes_s=0.0)
    pace.rate = 0.01
    engine.run(50)
    pace.rate = 10
    engine.run(1)
    assert dues(seats) == pytest.approx([0, *(50.05 + n / 10 for n in range(10))])


def test_users_that_come_and_go_leave_no_rate_that_stops_the_next(engine: Engine) -> None:
    pace = open_loop(engine)
    seats = seated(engine, pace, 3, takes_s=0.0)
    for _ in seats:
        pace.rate += 0.1
    for _ in seats:
        pace.rate -= 0.1  # which leaves 3e-17
    engine.run(10)
    for seat in seats:
        seat.leave()
    again = seated(engine, pace, 1, takes_s=0.0)
    pace.rate += 10
    engine.run(10)
    assert len(dues(again)) == pytest.approx(100, abs=2)


def test_a_seat_that_has_left_serves_nobody_and_one_that_joins_serves_the_line(engine: Engine) -> None:
    pace = open_loop(engine)
    first, second = seated(engine, pace, 2)
    second.leave()
    pace.rate = 4
    engine.run(0.5)
    assert (len(first.spoke), second.spoke) == (1, [])
    (third,) = seated(engine, pace)
    assert [due - START_S for due, _ in third.spoke] == [0.25]


def test_those_in_line_leave_with_the_last_seat(engine: Engine) -> None:
    pace = open_loop(engine)
    seats = seated(engine, pace, 2)
    pace.rate = 8
    engine.run(1)
    pace.rate = 0
    assert pace.in_line()
    for seat in seats:
        seat.leave()
    assert not pace.in_line()
    (later,) = seated(engine, pace)
    assert not later.spoke, "it is asked for nothing of a test that is over"


def test_those_in_line_can_be_turned_away(engine: Engine) -> None:
    pace = open_loop(engine)
    (seat,) = seated(engine, pace)
    pace.rate = 8
    engine.run(1)
    pace.rate = 0
    pace.turn_away()
    seat.answer()
    assert len(seat.spoke) == 1


# hold


def hold(engine: Engine, window_s: float = 5.0) -> Hold:
    return Hold(cast("Any", engine), window_s)


def test_held_connections_are_opened_and_then_each_speaks_once_spread_over_the_window(engine: Engine) -> None:
    pace = hold(engine)
    seats = seated(engine, pace, 8, takes_s=0.01)
    assert (pace.opened_count, pace.pending_count) == (8, 0)
    engine.run(2)
    assert not dues(seats), "they wait for the window"
    pace.begin()
    engine.run(5)
    assert dues(seats) == [2 + n / 2 for n in range(8)], "over the window but its last second"
    assert pace.kept == 8


def test_in_a_short_window_turns_take_its_first_half(engine: Engine) -> None:
    pace = hold(engine, 1.0)
    seats = seated(engine, pace, 4, takes_s=0.01)
    pace.begin()
    engine.run(1)
    assert dues(seats) == [0, 0.125, 0.25, 0.375]


def test_a_connection_that_answers_too_late_or_wrongly_is_not_kept(engine: Engine) -> None:
    pace = hold(engine)
    seated(engine, pace, 3, takes_s=KEPT_S * 0.99)
    seated(engine, pace, 4, takes_s=KEPT_S * 1.01)
    seated(engine, pace, 5, takes_s=0.01, good=False)
    pace.begin()
    engine.run(10)
    assert (pace.opened_count, pace.kept) == (12, 3)
    assert pace.late == 4, "those that answered rightly and too late"


def test_a_connection_that_does_not_open_is_no_error_but_the_user_s_end(engine: Engine) -> None:
    pace = hold(engine)
    good = seated(engine, pace, 3, takes_s=0.01)
    bad = seated(engine, pace, 2, opens=False)
    assert pace.losing
    assert (pace.opened_count, pace.pending_count) == (3, 0)
    assert pace.unopened_reasons == {"refused": 2}
    assert [seat.finished for seat in (*good, *bad)] == [0, 0, 0, 1, 1]


def test_those_that_wait_for_a_connection_are_sent_away_and_only_they(engine: Engine) -> None:
    pace = hold(engine)
    good = seated(engine, pace, 2, takes_s=0.01)
    pending = seated(engine, pace, 2, opens=None)
    assert pace.pending_count == 2
    pace.turn_away("nobody opens any more")
    assert (pace.pending_count, pace.unopened_reasons) == (0, {"nobody opens any more": 2})
    assert [seat.finished for seat in (*good, *pending)] == [0, 0, 1, 1]


def test_a_connection_that_was_lost_before_its_turn_says_nothing_and_its_user_ends(engine: Engine) -> None:
    pace = hold(engine)
    first, second = seated(engine, pace, 2, takes_s=0.01)
    second.is_open = False
    pace.begin()
    engine.run(5)
    assert (len(first.spoke), second.spoke, second.finished, pace.kept) == (1, [], 1, 1)


def test_who_listens_says_nothing_and_is_kept_where_its_next_event_is_not_overdue_at_the_end(engine: Engine) -> None:
    pace = hold(engine)
    seats = seated(engine, pace, 6, listens=True)
    engine.run(2)
    pace.begin()
    engine.run(5)
    dues_s = (0.5, 0.0, -KEPT_S, -KEPT_S * 1.01, -4.9, -5.1)
    for seat, due_s in zip(seats, dues_s, strict=True):
        seat.began = engine.now + due_s
    pace.end()
    assert not dues(seats)
    assert (pace.kept, pace.late) == (3, 2), "the last was silent before the window began"


def test_who_listened_to_what_is_closed_by_now_is_not_kept(engine: Engine) -> None:
    pace = hold(engine)
    first, second = seated(engine, pace, 2, listens=True)
    pace.begin()
    engine.run(5)
    first.began = second.began = engine.now
    second.is_open = False
    pace.end()
    assert (pace.kept, pace.late) == (1, 0)


def test_who_speaks_is_not_counted_again_at_the_end(engine: Engine) -> None:
    pace = hold(engine)
    seated(engine, pace, 2, takes_s=0.01)
    pace.begin()
    engine.run(5)
    pace.end()
    assert (pace.kept, pace.late) == (2, 0)


def test_nothing_opened_is_nothing_to_begin(engine: Engine) -> None:
    pace = hold(engine)
    pace.begin()
    engine.run(5)
    assert (pace.opened_count, pace.kept) == (0, 0)


# leaving


@pytest.mark.parametrize("happens", ["join", "opened", "unopened", "ended"])
def test_a_user_that_is_to_end_does_so_at_the_next_that_happens(engine: Engine, happens: str) -> None:
    pace = open_loop(engine)
    leaving = Leaving(pace)
    seat = Seat(engine, leaving)
    told: dict[str, dict[str, Any]] = {"ended": {"good": True}, "unopened": {"reason": "refused"}}
    getattr(leaving, happens)(seat, engine.now, **told.get(happens, {}))
    assert (seat.finished, seat.spoke) == (1, [])
    assert (leaving.paced, leaving.losing) == (True, False)


def test_a_user_that_is_to_end_is_let_go_from_where_it_was(engine: Engine) -> None:
    pace = open_loop(engine)
    (seat,) = seated(engine, pace)
    seat.pace = Leaving(pace)
    seat.leave()
    pace.rate = 4
    engine.run(1)
    assert not seat.spoke
