"""Load curves, from sessions whose truth is known: capacities, what was not measured, looks, axes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import sessions
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from pages import Page
from sessions import FASTAPI, GTHREAD, SYNC, Truth, make_void, part

from gatebench import report
from gatebench.histogram import of_seconds
from gatebench.metrics import show
from gatebench.model import Estimate, Run, Session
from gatebench.report import curves
from gatebench.report.curves import capacity
from gatebench.report.curves.capacity import Capacity
from gatebench.report.drawing import svg
from gatebench.report.drawing.axes import labelled, ticks, with_room, written
from gatebench.report.drawing.lines import Line, Panel, Spot, lines
from gatebench.report.drawing.looks import look, looks
from gatebench.report.found import Found, find
from gatebench.report.language import Language
from gatebench.tables import Cell

SAY = Language("en")
RATES = (200, 1000, 2000, 4000)  # the first gives too few answers for a p99
Spoil = Callable[[Run], Run]


def as_it_is(run: Run) -> Run:
    return run


def sent_late(run: Run) -> Run:
    return replace(run, status="void", reason="requests were sent late", generator_send_lag_s=0.02)


def not_kept(run: Run) -> Run:
    return replace(run, status="void", reason="the rate was missed", arrivals_ended=(run.arrivals_due or 0) // 2)


def not_kept_and_late(run: Run) -> Run:
    return sent_late(not_kept(run))


def failed(run: Run) -> Run:
    return replace(run, status="void", fault="broke", reason="all requests failed")


def not_tried(run: Run) -> Run:
    blank = {"arrivals_due": None, "arrivals_ended": None, "response": None, "requests": None, "window_s": None}
    return replace(run, status="void", reason="not tried: a lower rate was not kept in this block", **blank)  # type: ignore[arg-type]


def slow(seconds: float) -> Spoil:
    return lambda run: replace(run, response=of_seconds([seconds] * 1500))


def at(spoils: dict[int, Spoil]) -> Spoil:
    return lambda run: spoils.get(int(re.sub(r"\D", "", run.load)), as_it_is)(run)


def paced(spoil: Spoil = as_it_is, *, search: bool = False, stacks: tuple[str, ...] = (FASTAPI,)) -> Session:
    loads = [f"plain open({rate})" for rate in RATES] + (["plain search(100ms)"] if search else [])
    return sessions.session(parts=[part("curves.rate", stacks, loads, blocks=6)], spoil=spoil)


def cells_of(found: Found, stack: str = FASTAPI) -> dict[int, Cell]:
    open_ = [cell for cell in found.cells if cell.key.load.startswith("open") and cell.key.stack == stack]
    return {int(cell.key.load[5:-1]): cell for cell in open_}


def capacity_of(session: Session, limit_ms: int = 100) -> Capacity | None:
    found = find(session)
    return capacity.capacity(found, "plain", FASTAPI, cells_of(found), limit_ms)


@pytest.mark.parametrize("ends", [not_kept, failed, slow(0.5)])
def test_a_capacity_lies_between_the_last_rate_that_was_kept_and_the_first_that_the_server_did_not(
    ends: Spoil,
) -> None:
    assert capacity_of(paced(at({4000: ends}))) == Capacity(low=2000, high=4000)
    assert capacity_of(paced(at({2000: ends, 4000: ends}))) == Capacity(low=1000, high=2000)


@pytest.mark.parametrize("disturbs", [sent_late, make_void, not_kept_and_late])
def test_what_was_the_generators_fault_ends_no_curve(disturbs: Spoil) -> None:
    assert capacity_of(paced(at({4000: disturbs}))) == Capacity(low=2000, high=None, unmeasured=(4000,))
    between = capacity_of(paced(at({2000: disturbs, 4000: not_kept})))
    assert between == Capacity(low=1000, high=4000, unmeasured=(2000,))
    assert capacity_of(paced(disturbs)) is None


def test_a_rate_that_was_not_tried_after_one_that_was_not_kept_ended_and_one_without_such_was_not_measured() -> None:
    found = find(paced(at({2000: not_kept, 4000: not_tried})))
    assert capacity.missing(cells_of(found)) == {200: "few", 2000: "ended", 4000: "ended"}
    found = find(paced(at({2000: sent_late, 4000: not_tried})))
    assert capacity.missing(cells_of(found)) == {200: "few", 2000: "unmeasured", 4000: "unmeasured"}


def test_a_rate_that_most_blocks_did_not_keep_ended_the_curve_though_one_kept_it() -> None:
    def mostly(run: Run) -> Run:
        return not_kept(run) if run.load == "open(4000)" and run.block else run

    assert capacity_of(paced(mostly)) == Capacity(low=2000, high=4000)


def test_every_limit_has_its_own_capacity() -> None:
    session = paced(at({1000: slow(0.02), 2000: slow(0.07), 4000: slow(0.2)}))
    assert [capacity_of(session, limit) for limit in capacity.LIMITS_MS] == [
        Capacity(low=None, high=1000, untold=200),
        Capacity(low=1000, high=2000),
        Capacity(low=2000, high=4000),
        Capacity(low=4000, high=None),
    ]


def between_1000_and_2000(run: Run) -> Run:
    """Let a search find about 1,400/s, between what the rates kept and what they did not."""
    if not run.load.startswith("search"):
        return at({2000: not_kept, 4000: not_tried})(run)
    rate = 1400 + 10 * run.block
    return replace(run, arrivals_due=rate, arrivals_ended=rate, requests=rate, window_s=1.0)


def row(spoil: Spoil = as_it_is, *, search: bool = True) -> dict[int, Capacity]:
    found = find(paced(spoil, search=search))
    return capacity.capacities(found, "plain", FASTAPI, cells_of(found))


def test_a_search_narrows_what_neighbouring_limits_tell() -> None:
    made = row(between_1000_and_2000)
    own = made[100]
    assert own.searched
    assert own.low is not None
    assert own.high is not None
    assert 1000 < own.low < own.high < 2000
    assert {(made[limit].low, made[limit].high) for limit in (10, 50)} == {(1000, own.high)}
    assert (made[250].low, made[250].high) == (own.low, 2000)
    assert not any(made[limit].searched for limit in (10, 50, 250))


SPOILS = st.sampled_from([as_it_is, not_kept, sent_late, slow(0.02), slow(0.07), slow(0.2), slow(0.5)])


@pytest.mark.parametrize("search", [False, True])
@given(spoils=st.fixed_dictionaries(dict.fromkeys(RATES, SPOILS)))
@settings(max_examples=12, deadline=None)
def test_what_keeps_a_limit_keeps_every_longer_one(search: bool, spoils: dict[int, Spoil]) -> None:
    made = row(lambda run: run if run.load.startswith("search") else at(spoils)(run), search=search)
    ordered = [made[limit] for limit in sorted(made)]
    for one, longer in pairwise(ordered):
        assert (one.low or 0) <= (longer.low or 0)
        assert (one.high or math.inf) <= (longer.high or math.inf)
    assert all((each.low or 0) <= (each.high or math.inf) for each in ordered)


def test_a_search_that_contradicts_the_rates_is_told_with_them() -> None:
    own = row()[100]  # the rates were kept up to 4,000/s, and the search stopped below 1,000/s
    assert own.apart
    assert own.low is not None
    assert own.low < 1000
    assert own.high is None


def cells_said(session: Session) -> dict[str, list[tuple[str, str]]]:
    [curve] = curves.curves(find(session), SAY)
    assert curve.capacities is not None
    return {stack: [(each.value, each.interval) for each in row] for stack, row in curve.capacities.rows}


def test_a_limit_that_even_medians_pass_was_kept_at_no_rate_tried() -> None:
    slowly = at(dict.fromkeys(RATES, slow(0.02)))
    assert cells_said(paced(slowly))[FASTAPI][0] == ("at no rate tried", "")
    ended = at({200: slow(0.02), 1000: not_kept, 2000: not_tried, 4000: not_tried})
    assert cells_said(paced(ended))[FASTAPI][:2] == [("at no rate tried", ""), ("200 to 1,000/s", "")]


def test_a_capacity_is_below_a_rate_only_where_that_is_the_lowest_tried() -> None:
    lowest = at({200: not_kept, 1000: not_tried, 2000: not_tried, 4000: not_tried})
    session = paced(lambda run: lowest(run) if run.stack == FASTAPI else run, stacks=(GTHREAD, FASTAPI))
    assert {*cells_said(session)[FASTAPI]} == {("below 200/s", "")}
    few = at({1000: sent_late, 2000: not_kept, 4000: not_tried})
    assert {*cells_said(paced(few))[FASTAPI]} == {
        ("not kept at 2,000/s", "p99 not told up to 200/s; 1,000/s not measured")
    }


def test_more_answers_than_arrivals_are_not_a_rate_that_the_server_did_not_keep() -> None:
    def more(run: Run) -> Run:
        return replace(not_kept(run), arrivals_ended=2 * (run.arrivals_due or 0))

    assert capacity_of(paced(at({4000: more}))) == Capacity(low=2000, high=None, unmeasured=(4000,))


def test_the_table_of_capacities_says_each_kind_in_words() -> None:
    def spoil(run: Run) -> Run:
        mine = {
            GTHREAD: at({1000: not_kept, 2000: not_tried, 4000: not_tried}),
            SYNC: sent_late,
            FASTAPI: at({4000: slow(0.07)}),
        }
        return mine[run.stack](run)

    [curve] = curves.curves(find(paced(spoil, stacks=(SYNC, GTHREAD, FASTAPI))), SAY)
    assert curve.capacities is not None
    assert curve.capacities.heads == ("p99 below 10 ms", "p99 below 50 ms", "p99 below 100 ms", "p99 below 250 ms")
    said = {stack: [each.value for each in row] for stack, row in curve.capacities.rows}
    assert said == {
        SYNC: ["not measured"] * 4,
        GTHREAD: ["not kept at 1,000/s"] * 4,
        FASTAPI: ["2,000 to 4,000/s"] * 2 + ["≥ 4,000/s"] * 2,
    }
    assert f"{SYNC} at open(1000) was not measured (void: requests were sent late (all blocks))" in curve.notes


def test_a_caption_explains_the_marks_that_its_figure_has_and_no_others() -> None:
    [whole] = curves.curves(find(paced(at({200: slow(0.001)}))), SAY)
    for word in ("cross", "dash", "ring", "hollow"):
        assert f"A {word}" not in whole.picture.caption
    assert "bar at the foot" not in whole.picture.caption
    [marked] = curves.curves(find(paced(at({2000: sent_late, 4000: not_kept}))), SAY)
    for word in ("A cross", "A grey ring", "bar at the foot", "p99 of 100 ms"):
        assert word in marked.picture.caption
    few = sessions.session(parts=[part("r", (FASTAPI,), [f"plain open({rate})" for rate in (110, 150, 200)])])
    [without] = curves.curves(find(few), SAY)
    assert "dashed line" not in without.picture.caption
    assert "No p99 is drawn: fewer than 1,000 answers in a window at 110/s, 150/s, 200/s." in without.picture.caption
    part_of = {GTHREAD: sent_late, FASTAPI: as_it_is}
    [some] = curves.curves(find(paced(lambda run: part_of[run.stack](run), stacks=(GTHREAD, FASTAPI))), SAY)
    assert f"No p99 of {GTHREAD}: not measured at 200/s, 1,000/s, 2,000/s, 4,000/s." in some.picture.caption


def test_notes_name_the_pair_and_the_metric_they_are_about() -> None:
    [curve] = curves.curves(find(paced(stacks=(GTHREAD, FASTAPI))), SAY)
    assert any(note.startswith(f"{FASTAPI} against {GTHREAD} (Response time, p99): ") for note in curve.notes)
    assert all(note.startswith(FASTAPI) for note in curve.notes)


def test_figures_of_one_scenario_say_which_part_each_is_of() -> None:
    loads = [f"plain open({rate})" for rate in RATES]
    session = sessions.session(parts=[part("a.b", (GTHREAD,), loads), part("c.d", (FASTAPI,), loads)])
    one, other = (curve.picture.caption for curve in curves.curves(find(session), SAY))
    assert "This is part a.b; c.d offered the same" in one
    assert "This is part c.d; a.b offered the same" in other


def memory(*sizes: int, kept: int | None = None) -> curves.Curve:
    parts = [part(f"connections.idle_{size}", (GTHREAD, FASTAPI), [f"idle hold({size})"]) for size in sizes]
    truth = Truth(kept=lambda stack, scenario, size: min(size, kept or size) if stack == GTHREAD else size)
    [curve] = curves.curves(find(sessions.session(parts=parts, truth=truth)), SAY)
    return curve


def test_memory_of_fewer_connections_than_were_offered_is_hollow() -> None:
    assert "A hollow point" in memory(100, 1000, 10000, kept=3000).picture.caption
    assert "A hollow point" not in memory(100, 1000, 10000).picture.caption


def test_settings_that_differ_by_size_are_in_the_caption_and_not_in_the_name() -> None:
    stacks = {size: f"{GTHREAD}[keep_alive_s=300,threads={size + 100}]" for size in (1000, 10000)}
    parts = [
        part(f"connections.idle_{size}", (stack, FASTAPI), [f"idle hold({size})"]) for size, stack in stacks.items()
    ]
    [curve] = curves.curves(find(sessions.session(parts=parts)), SAY)
    assert set(colours(curve.picture.svg)) == {f"{GTHREAD}[…]", FASTAPI}
    assert "threads=1100 at 1,000; threads=10100 at 10,000." in curve.picture.caption
    assert "keep_alive_s" not in curve.picture.caption


def test_two_sizes_are_points_and_no_curve() -> None:
    assert "are not joined" in memory(100, 10000).picture.caption
    assert "are not joined" not in memory(100, 1000, 10000).picture.caption


def estimate(value: float) -> Estimate:
    return Estimate(value=value, low=0.9 * value, high=1.1 * value, blocks=6, method="made up")


def test_no_id_is_there_twice_though_nothing_is_drawn_of_a_series(tmp_path: Path) -> None:
    session = paced(at({4000: not_kept, 2000: sent_late}), stacks=(SYNC, FASTAPI))
    page = report.build(sessions.write(tmp_path, session), tmp_path / "page").page.read_text(encoding="utf-8")
    ids = Page(page).attributes("id")
    assert len(ids) == len(set(ids))
    assert not [each for each in ids if "series:" in each]
    with svg.drawing():
        figure = Figure()
        axes = figure.add_axes((0, 0, 1, 1))
        for _ in range(2):
            axes.plot([], [], "x", gid=svg.series(0))
        assert "series:" not in svg.inline(figure, "x", "nothing")


def colours(text: str) -> dict[str, str]:
    """Give the colour of each name that a figure draws."""
    series = re.findall(r'<g class="series" data-series="(\d+)">(.*?)</g>', text, flags=re.DOTALL)
    names = {number: Page(body).text for number, body in series if "<text" in body}
    drawn = {number: found[0] for number, body in reversed(series) if (found := re.findall(r"--series-\d", body))}
    return {name: drawn[number] for number, name in names.items()}


def test_a_stack_looks_the_same_in_every_figure_of_a_page() -> None:
    closed = part("more", (SYNC, GTHREAD, FASTAPI), [f"plain closed({size})" for size in (1, 16, 64)])
    rates = part("rate", (FASTAPI, SYNC), [f"plain open({rate})" for rate in RATES])
    made = curves.curves(find(sessions.session(parts=[closed, rates])), SAY)
    one, other = (colours(curve.picture.svg) for curve in made)
    assert {*one} | {*other} == {SYNC, GTHREAD, FASTAPI}
    assert all(one[name] == other[name] for name in {*one} & {*other})
    assert len(set((one | other).values())) == 3


@given(st.integers(1, 60), st.integers(1, 8))
def test_no_two_series_of_one_figure_look_alike(count: int, wide: int) -> None:
    names = [f"stack-{number}" for number in range(count)]
    figures = [names[start : start + wide] for start in range(0, count, max(1, wide // 2))]
    found = looks(names, figures)
    assert [*found] == names
    for figure in figures:
        assert len({found[name] for name in figure}) == len(figure)
        if wide <= 3:
            assert len({found[name].colour for name in figure}) == len(figure)


def test_sixty_series_in_one_figure_all_differ_and_the_first_look_as_they_always_did() -> None:
    names = [f"stack-{number}" for number in range(60)]
    found = looks(names)
    assert len(set(found.values())) == 60
    assert [(each.colour, each.marker) for each in found.values()][:6] == [look(number) for number in range(6)]


@given(st.floats(1e-6, 1e6), st.floats(1.02, 1e7), st.sampled_from(["s", "1/s", "B", ""]))
def test_every_axis_has_three_ticks_or_more_and_not_too_many(low: float, factor: float, unit: str) -> None:
    begin, end = with_room(low, low * factor, below=0.03, above=0.05)
    found = ticks(begin, end, unit)
    assert 3 <= len(found) <= 8
    assert all(begin <= value <= end for value in found)
    spelled = written(found, unit)
    assert len({spelled(value) for value in found}) == len(found)


@given(st.lists(st.integers(1, 100_000), min_size=2, max_size=12, unique=True))
def test_an_axis_of_sizes_has_three_labels_or_more_its_ends_among_them(sizes: list[int]) -> None:
    ordered = sorted(sizes)
    found = labelled(ordered)
    assert len(found) >= 3
    assert (found[0], found[-1]) == (ordered[0], ordered[-1])
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (1e-3, "s", "1 ms"),
        (7e-4, "s", "700 µs"),
        (10.0, "s", "10 s"),
        (1500.0, "1/s", "1,500/s"),
        (2.0**20, "B", "1 MiB"),
    ],
)
def test_a_tick_has_no_digit_more_than_it_needs(value: float, unit: str, said: str) -> None:
    assert written([value], unit)(value) == said
    assert show(value, unit).endswith(said.lstrip("0123456789,."))


@given(st.floats(1e-3, 1e3), st.floats(1.0, 1e6), st.floats(0, 0.3), st.floats(0, 0.3))
def test_room_for_marks_holds_no_data(low: float, factor: float, below: float, above: float) -> None:
    begin, end = with_room(low, low * factor, below=below, above=above)
    whole = math.log(end / begin)
    assert math.log(low / begin) >= below * whole - 1e-6
    assert math.log(end / (low * factor)) >= above * whole - 1e-6


def test_a_band_bears_the_name_of_the_stack_it_is_of() -> None:
    spots = [Spot(size=size, estimate=estimate(size)) for size in (1, 10, 100)]
    made = [Line(label=label, spots=spots) for label in ("one", "other")]
    panel = Panel(title="t", unit="1/s", lines=made, crossings={"one": (1, 10)})
    assert Page(str(lines("x", [panel], "n", "d"))).text.split().count("one") == 2
    plain = Panel(title="t", unit="1/s", lines=made)
    assert Page(str(lines("x", [plain], "n", "d"))).text.split().count("one") == 1


def test_an_interval_that_tells_nothing_does_not_stretch_the_axis() -> None:
    known = Spot(size=1, estimate=estimate(0.002), blocks=(0.002, 0.002))
    wide = Estimate(value=0.003, low=1e-12, high=1e15, blocks=2, method="made up")
    vast = Spot(size=10, estimate=wide, blocks=(0.001, 0.009))
    panel = Panel(title="t", unit="s", lines=[Line(label="a", spots=[known, vast])])
    said = Page(str(lines("x", [panel], "n", "d"))).text
    assert "ms" in said
    assert "e+" not in said
    assert "ps" not in said
