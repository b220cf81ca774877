"""Where a speed-up comes from: the sentence, the table and the figure, made from ladders whose truth is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
import sessions
from sessions import Truth, part

from gatebench.attribution import CORNERS, DRIVER, SWAPS
from gatebench.model import Estimate, Part, Run, Setting, Usage
from gatebench.report.drawing.steps import Stair, Step, seen_to, stairs
from gatebench.report.found import find
from gatebench.report.language import Language
from gatebench.report.waterfall import Fall, falls
from gatebench.report.wording import Shown

SAY = Language("en")
LADDER = {
    "raw_wsgi+gunicorn-gthread": 100.0,
    "werkzeug+gunicorn-gthread": 150.0,
    "flask+gunicorn-gthread": 220.0,
    "raw_asgi+uvicorn": 40.0,
    "starlette+uvicorn": 55.0,
    "fastapi+uvicorn": 120.0,
}
FRAMEWORKS = {
    "raw_wsgi+gunicorn-gthread": 100.0,
    "flask+gunicorn-gthread": 220.0,
    "bottle+gunicorn-gthread": 130.0,
    "pyramid+gunicorn-gthread": 160.0,
    "django+gunicorn-gthread": 300.0,
    "raw_asgi+uvicorn": 40.0,
    "fastapi+uvicorn": 120.0,
}


def fallen(
    part_of: Part, costs: Mapping[str, float], spoil: sessions.Spoil = lambda run: run, noise: float = 0.2
) -> list[Fall]:
    def cost(stack: str, scenario: str, size: int) -> float:
        return costs[stack] + (250.0 if scenario == "db" else 0.0)

    session = sessions.session(parts=[part_of], truth=Truth(cost_us=cost, noise=noise), spoil=spoil)
    return [*falls(find(session), SAY)]


def of_swaps() -> Fall:
    costs = dict(zip(CORNERS, (160.0, 120.0, 210.0, 130.0), strict=True))
    [found] = fallen(part(SWAPS, CORNERS, ["plain closed(64)"]), costs)
    return found


def of_frameworks(noise: float = 0.2, **costs: float) -> Fall:
    more = {f"{name}+gunicorn-gthread": cost for name, cost in costs.items()}
    stacks = {**FRAMEWORKS, **more}
    [found] = fallen(part("servers.frameworks", tuple(stacks), ["plain closed(64)"]), stacks, noise=noise)
    return found


def figure(value: float, low: float | None = None, high: float | None = None) -> Estimate:
    return Estimate(value=value, low=low, high=high, blocks=6, method="made up")


def stair(cost: Estimate, blocks: Mapping[int, float] | None = None) -> Stair:
    whole = Step(label="whole", cost=cost, blocks=blocks or {})
    return Stair(label="flask+a", interface="wsgi", steps=[replace(whole, label="server")], total=whole)


def dots(svg: str) -> int:
    [path] = re.findall(r'<path d="([^"]*)"[^>]*stroke-linecap: round', svg) or [""]
    return str(path).count("M ")


def test_swaps_are_told_by_what_was_measured_and_only_then_by_what_is_attributed() -> None:
    found = of_swaps()
    places = [found.sentence.index(stack) for stack in CORNERS]
    assert places == sorted(places)
    assert places[-1] < found.sentence.index("through a bridge") < found.sentence.index("attributed to")
    assert "alone changes" not in found.sentence
    for said in ("the share attributed to the server is -6", "the framework +3", "by another -4"):
        assert said in found.sentence


def test_the_table_of_swaps_has_the_four_stacks_the_three_steps_the_whole_and_the_shares() -> None:
    names = [name for name, _ in of_swaps().grid.rows]
    assert names[:4] == [*CORNERS]
    assert names[4:] == [
        "server by bridge",
        "framework by bridge",
        "both without bridge",
        "in all",
        "share of the server",
        "share of the framework",
    ]


def test_the_figure_of_swaps_draws_what_was_measured_and_all_three_steps() -> None:
    found = of_swaps()
    assert found.picture is not None
    assert found.picture.svg.count(">as measured<") == 4
    for step in ("server by bridge", "both without bridge"):
        assert step in found.picture.svg
    assert dots(found.picture.svg) == 8 * 6


def test_columns_stand_from_the_bottom_up_whatever_stack_comes_first() -> None:
    def served(run: Run) -> Run:
        return replace(run, services=Usage(cpu_s=(run.requests or 0) * 60e-6))

    measures = ["plain closed(64)", "db closed(64)"]
    _, db = fallen(part("attribution.ladder", tuple(LADDER), measures), LADDER, served)
    layers = ("server and interface", "routing core", "framework", DRIVER, "service", "in all")
    assert db.grid.heads == layers
    assert "of CPU, the services' included, on flask+gunicorn-gthread and" in db.sentence
    assert db.picture is not None
    assert ">driver and framework<" in db.picture.svg  # what has room beside a bar
    werkzeug = dict(db.grid.rows)["werkzeug+gunicorn-gthread"]
    assert werkzeug[layers.index("framework")] == Shown(value="")


def controlled(**more: Setting) -> Fall:
    """Give the fall of a ladder beside which a bare callable ran on a server of another parser, and more."""
    named: dict[str, dict[str, Setting]] = {
        "raw_wsgi+gunicorn-gthread": {"parser": "python", "loop": "none", "pool_size": 16, "timeout_s": 600},
        "raw_asgi+uvicorn": {"parser": "httptools", "loop": "uvloop", "pool_size": 16},
        "raw_asgi+uvicorn-plain": {"parser": "h11", "loop": "uvloop", "pool_size": 16, **more},
    }
    parts = [
        part("attribution.ladder", tuple(LADDER), ["plain closed(64)"]),
        part("servers.order", tuple(named), ["plain closed(64)"]),
    ]
    truth = Truth(cost_us=lambda stack, scenario, size: {"raw_asgi+uvicorn-plain": 90.0, **LADDER}[stack], noise=0.0)
    session = sessions.session(parts=parts, truth=truth)
    empty: dict[str, Setting] = {}
    stacks = {stack: {"settings": settings, "versions": empty} for stack, settings in named.items()}
    [found] = falls(find(replace(session, stacks=stacks)), SAY)
    return found


def test_where_servers_differ_most_their_settings_are_named_and_a_control_tells_what_they_cost() -> None:
    said = controlled().sentence
    assert "differ in: loop (none on WSGI, uvloop on ASGI), parser (python on WSGI, httptools on ASGI)." in said
    assert "timeout_s" not in said
    assert re.search(r"With parser=h11, and nothing else changed, raw_asgi\+uvicorn-plain took 90[.0]* µs", said)
    assert re.search(r"beside 40[.0]* µs[^,]* on raw_asgi\+uvicorn, 100[.0]* µs[^,]* on raw_wsgi\+gunicorn-g", said)
    assert "(part servers.order)" in said


def test_a_server_that_differs_in_more_than_loop_and_parser_is_no_control() -> None:
    assert "nothing else changed" not in controlled(pool_size=64).sentence


def spoken_by(servers: Mapping[str, float]) -> str:
    """Give the sentence of a ladder beside which bare callables ran on more servers, in a part of their own."""
    parts = [
        part("attribution.ladder", tuple(LADDER), ["plain closed(64)"]),
        part("servers.order", tuple(servers), ["plain closed(64)"]),
    ]
    truth = Truth(cost_us=lambda stack, scenario, size: {**servers, **LADDER}[stack], noise=0.0)
    return falls(find(sessions.session(parts=parts, truth=truth)), SAY)[0].sentence


def test_every_program_that_serves_both_interfaces_is_told_with_all_its_servers() -> None:
    said = spoken_by(
        {
            "raw_wsgi+granian-wsgi": 16.0,
            "raw_asgi+granian-asgi": 26.0,
            "raw_wsgi+gunicorn-sync": 220.0,
            "raw_asgi+gunicorn-asgi": 75.0,
            "raw_asgi+hypercorn": 170.0,
        }
    )
    granian = (
        r"granian serves both interfaces: a bare callable took 16[.0]* µs .* on raw_wsgi\+granian-wsgi, 26[.0]* µs"
    )
    gunicorn = (
        r"gunicorn serves both interfaces: a bare callable took 220 µs .* on raw_wsgi\+gunicorn-sync, 75[.0]* µs"
    )
    assert re.search(granian, said)
    assert re.search(gunicorn, said)
    assert said.count("serves both") == 2
    assert said.count("differs in more than the interface") == 1


def test_two_servers_of_one_interface_each_or_a_framework_are_no_program_that_serves_both() -> None:
    for one, other in (
        ("raw_wsgi+granian-wsgi", "raw_asgi+hypercorn"),
        ("flask+granian-wsgi", "raw_asgi+granian-asgi"),
        ("raw_wsgi+waitress", "raw_asgi+uvicorn"),
    ):
        assert "serves both" not in spoken_by({one: 16.0, other: 26.0})


def test_what_lies_beneath_the_servers_step_is_told_once() -> None:
    parts = [
        part("attribution.ladder", tuple(LADDER), ["plain closed(64)", "db closed(64)"]),
        part("servers.frameworks", tuple(LADDER), ["plain closed(64)"]),
        part("servers.order", ("raw_wsgi+granian-wsgi", "raw_asgi+granian-asgi"), ["plain closed(64)"]),
    ]
    truth = Truth(cost_us=lambda stack, scenario, size: LADDER.get(stack, 20.0), noise=0.0)
    made = falls(find(sessions.session(parts=parts, truth=truth)), SAY)
    assert [each.sentence.count("serves both") for each in made] == [1, *[0] * (len(made) - 1)]
    assert len(made) == 3


def test_who_is_not_told_apart_from_the_least_is_named_with_it() -> None:
    said = of_frameworks(noise=0.0, falcon=130.0).sentence
    assert re.search(r"least is added by bottle\S+ with .*, falcon\S+ with .*; most by django", said)


def test_a_ladder_of_few_blocks_is_marked() -> None:
    few, many = (
        fallen(part("attribution.ladder", tuple(LADDER), ["plain closed(64)"], blocks=blocks), LADDER)[0].few
        for blocks in (3, 6)
    )
    assert (few, many) == (True, False)


def test_the_sentence_of_many_frameworks_says_where_that_of_the_headline_stands() -> None:
    found = of_frameworks()
    order = r"Of 4 on WSGI, above server and interface least is added by bottle\S+ with [\d.]+ µs .*; most by django"
    assert re.search(order, found.sentence)
    assert re.search(r"flask\+gunicorn-gthread adds 1[12]\d µs .*: place 3 of 4 from the least", found.sentence)
    assert "On ASGI" not in found.sentence  # one framework has no order


def test_a_place_that_blocks_leave_open_is_told_as_a_range() -> None:
    assert "place 3\N{EN DASH}4 of 5 from the least" in of_frameworks(noise=3.0, falcon=220.0).sentence


def test_a_bar_far_beyond_the_others_is_cut_and_it_is_said() -> None:
    plain, far = of_frameworks(), of_frameworks(cherrypy=5000.0)
    assert plain.picture is not None
    assert far.picture is not None
    assert "two gaps" not in plain.picture.caption
    assert "two gaps" in far.picture.caption
    assert "var(--paper); stroke-width: 1.6" in far.picture.svg
    assert "var(--paper); stroke-width: 1.6" not in plain.picture.svg
    ticks = re.findall(r">([\d,]+) µs</text>", far.picture.svg.partition("<path d")[2])
    assert "2,000" not in ticks


@pytest.mark.parametrize(
    ("reached", "end"), [([100, 120, 2500], 120), ([100, 250], 250), ([50], 50), ([0, 0, 90], 90), ([0], 0)]
)
def test_an_axis_goes_as_far_as_most_need(reached: list[float], end: float) -> None:
    assert seen_to(reached) == end


def test_a_figure_beside_a_bar_has_no_digit_that_its_interval_does_not_support() -> None:
    svg = stairs("name", [stair(figure(371.8, 343.2, 400.4))], "µs", "about it")
    assert ">370 µs</text>" in svg
    assert "372" not in svg


@pytest.mark.parametrize("count", [0, 3, 6])
def test_every_block_is_a_dot(count: int) -> None:
    blocks = {block: 100.0 + block for block in range(count)}
    assert dots(stairs("name", [stair(figure(102.0, 98.0, 106.0), blocks)], "µs", "about it")) == 2 * count
