import math
from dataclasses import replace

import pytest
import sessions
from hypothesis import given, settings
from hypothesis import strategies as st
from sessions import Truth, make_void

from gatebench import attribution
from gatebench.attribution import CORNERS, DRIVER, SWAPS
from gatebench.model import Estimate, Ladder, Part, Run, Session, Usage

LADDER = "attribution.ladder"
STACKS = {
    "wsgi": ("raw_wsgi+gunicorn-gthread", "werkzeug+gunicorn-gthread", "flask+gunicorn-gthread"),
    "asgi": ("raw_asgi+uvicorn", "starlette+uvicorn", "fastapi+uvicorn"),
}
# What is so: µs a request of server and interface, routing core, framework, and of what each scenario asks for.
LAYERS = {"wsgi": (100.0, 30.0, 70.0), "asgi": (40.0, -5.0, 85.0)}
ASKED = {"plain": 0.0, "db": 250.0, "external": 400.0}
WHOLE = {"wsgi": 200.0, "asgi": 120.0}


def true_cost(stack: str, scenario: str, size: int) -> float | None:
    side = sessions.interface_of(stack)
    layers = STACKS[side].index(stack) + 1
    return sum(LAYERS[side][:layers]) + ASKED[scenario]


def ladder_part(blocks: int = 6) -> Part:
    stacks = [*STACKS["wsgi"], *STACKS["asgi"]]
    return sessions.part(LADDER, stacks, [f"{scenario} closed(64)" for scenario in ASKED], blocks=blocks)


def swaps_part() -> Part:
    return sessions.part(SWAPS, CORNERS, ["plain closed(64)"])


def climbed(
    noise: float = 0.0, spoil: sessions.Spoil = lambda run: run, blocks: int = 6
) -> dict[tuple[str, str], Ladder]:
    session = sessions.session(parts=[ladder_part(blocks)], truth=Truth(cost_us=true_cost, noise=noise), spoil=spoil)
    tops = [stacks[-1] for stacks in STACKS.values()]
    return {(each.scenario, each.side): each for each in attribution.ladders(session) if each.stack in tops}


def swapped(costs: dict[str, float], noise: float = 0.0) -> Ladder:
    truth = Truth(cost_us=lambda stack, scenario, size: costs[stack], noise=noise)
    [found] = attribution.ladders(sessions.session(parts=[swaps_part()], truth=truth))
    return found


def values(ladder: Ladder) -> list[float]:
    return [rung.cost_us.value for rung in ladder.rungs if rung.cost_us is not None]


def whole(ladder: Ladder) -> Estimate:
    assert ladder.total_us is not None
    return ladder.total_us


def test_a_ladder_finds_what_each_layer_costs() -> None:
    found = climbed()
    assert set(found) == {(scenario, side) for scenario in ASKED for side in STACKS}
    for side in STACKS:
        plain, db = found["plain", side], found["db", side]
        assert [rung.name for rung in plain.rungs] == ["server and interface", "routing core", "framework"]
        assert values(plain) == pytest.approx(LAYERS[side])
        assert values(db) == pytest.approx([*LAYERS[side], ASKED["db"]])
        assert whole(db).value == pytest.approx(sum(LAYERS[side]) + ASKED["db"])


def test_a_step_that_saves_is_shown_below_zero() -> None:
    assert values(climbed()["plain", "asgi"])[1] == pytest.approx(-5)


def test_each_rung_names_its_stacks_and_a_service_that_was_not_measured_is_told() -> None:
    rungs = climbed()["db", "wsgi"].rungs
    bare, routed, framework = STACKS["wsgi"]
    assert [rung.stacks for rung in rungs] == [
        (bare, None),
        (routed, bare),
        (framework, routed),
        (framework, framework),
    ]
    assert rungs[-1].name == DRIVER
    assert "or by its framework" in rungs[-1].note
    assert "what its services spent was not measured" in rungs[-1].note


def test_what_a_service_spends_on_its_own_cpus_is_a_step_of_the_whole() -> None:
    def served(run: Run) -> Run:
        return replace(run, services=Usage(cpu_s=(run.requests or 0) * 60e-6))

    found = climbed(spoil=served)
    assert [rung.name for rung in found["plain", "wsgi"].rungs] == [
        "server and interface",
        "routing core",
        "framework",
    ]
    ladder = found["db", "wsgi"]
    assert [rung.name for rung in ladder.rungs][-2:] == [DRIVER, "service"]
    assert values(ladder) == pytest.approx([*LAYERS["wsgi"], ASKED["db"], 60])
    assert whole(ladder).value == pytest.approx(sum(LAYERS["wsgi"]) + ASKED["db"] + 60)
    assert ladder.rungs[-1].stacks == (STACKS["wsgi"][2], None)


def test_every_framework_has_a_ladder_on_its_server_and_one_without_a_bare_callable_says_so() -> None:
    stacks = ["raw_wsgi+gunicorn-gthread", "bottle+gunicorn-gthread", "werkzeug+gunicorn-gthread", "sanic+sanic"]
    costs = dict(zip(stacks, (100.0, 130.0, 150.0, 90.0), strict=True))
    part = sessions.part("servers.frameworks", stacks, ["plain closed(64)"])
    truth = Truth(cost_us=lambda stack, scenario, size: costs[stack], noise=0.0)
    found = {each.stack: each for each in attribution.ladders(sessions.session(parts=[part], truth=truth))}
    assert set(found) == {*stacks[1:]}
    assert [rung.name for rung in found[stacks[1]].rungs] == ["server and interface", "framework"]
    assert values(found[stacks[1]]) == pytest.approx([100, 30])
    assert [rung.name for rung in found[stacks[2]].rungs] == ["server and interface", "routing core"]
    assert found["sanic+sanic"].rungs == ()
    assert found["sanic+sanic"].why == "no bare callable ran on sanic, so its steps cannot be told apart"


@given(st.integers(min_value=2, max_value=7), st.floats(min_value=0.5, max_value=20))
@settings(max_examples=10, deadline=None)
def test_steps_sum_to_the_whole_however_noisy_the_blocks(blocks: int, noise: float) -> None:
    for found in climbed(noise=noise, blocks=blocks).values():
        assert math.fsum(values(found)) == pytest.approx(whole(found).value, rel=1e-9)
        assert whole(found).few == (blocks < 6)


def test_every_step_has_an_interval_that_holds_the_truth() -> None:
    for (_, side), found in climbed(noise=1.0).items():
        for rung, truth in zip(found.rungs, LAYERS[side], strict=False):
            assert rung.cost_us is not None
            assert rung.cost_us.low is not None
            assert rung.cost_us.high is not None
            assert rung.cost_us.low - 3 < truth < rung.cost_us.high + 3


def test_a_layer_without_valid_trials_is_merged_with_the_next_and_it_is_said() -> None:
    routed = STACKS["wsgi"][1]
    found = climbed(spoil=lambda run: make_void(run) if run.stack == routed else run)["plain", "wsgi"]
    assert [rung.name for rung in found.rungs] == ["server and interface", "routing core, framework"]
    assert values(found) == pytest.approx([100, 100])
    assert found.rungs[1].note == f"{routed} has too few valid trials, so routing core is within"
    assert whole(found).value == pytest.approx(200)


def test_of_two_blocks_a_layer_with_one_valid_trial_is_merged_with_the_next() -> None:
    routed = STACKS["wsgi"][1]

    def spoil(run: Run) -> Run:
        return make_void(run) if (run.stack, run.block) == (routed, 1) else run

    found = climbed(spoil=spoil, blocks=2)["plain", "wsgi"]
    assert [rung.name for rung in found.rungs] == ["server and interface", "routing core, framework"]
    assert whole(found).value == pytest.approx(200)


def test_a_ladder_of_one_block_is_given_up_and_it_is_said() -> None:
    for found in climbed(blocks=1).values():
        assert (found.rungs, found.total_us) == ((), None)
        assert "fewer than two blocks" in found.why


def test_a_void_trial_takes_its_block_from_every_step() -> None:
    def wild(run: Run) -> Run:
        cell = run.stack == STACKS["wsgi"][0] and run.scenario == "plain" and run.block == 2
        return replace(make_void(run), server=replace(run.server, cpu_s=1e9)) if cell else run

    found = climbed(spoil=wild)["db", "wsgi"]
    assert values(found) == pytest.approx([*LAYERS["wsgi"], 250])
    assert {rung.cost_us.blocks for rung in found.rungs if rung.cost_us} == {5}
    assert climbed(spoil=wild)["db", "asgi"].rungs[0].cost_us == climbed()["db", "asgi"].rungs[0].cost_us


def test_without_a_valid_whole_there_is_a_ladder_without_rungs_and_the_reason() -> None:
    found = climbed(spoil=lambda run: make_void(run) if run.stack == STACKS["asgi"][2] else run)["plain", "asgi"]
    assert (found.rungs, found.total_us) == ((), None)
    assert "fewer than two blocks" in found.why
    assert "fastapi+uvicorn: 0" in found.why


# Flask 60 and FastAPI 90 on Gunicorn 100 and Uvicorn 40; a bridge takes 20 either way.
SWAPPED = dict(zip(CORNERS, (160.0, 120.0, 210.0, 130.0), strict=True))


def test_swaps_tell_the_four_stacks_as_measured_and_what_is_left_is_a_step_of_its_own() -> None:
    found = swapped(SWAPPED)
    assert {rung.name: rung.cost_us.value for rung in found.corners if rung.cost_us} == pytest.approx(SWAPPED)
    assert [rung.name for rung in found.rungs] == [
        "server by bridge",
        "framework by bridge",
        "both without bridge",
    ]
    assert values(found) == pytest.approx([-40, 50, -40])
    assert whole(found).value == pytest.approx(-30)


def test_a_share_of_a_swap_is_its_effect_averaged_over_both_orders() -> None:
    found = swapped(SWAPPED)
    shares = [rung.cost_us.value for rung in found.shares if rung.cost_us]
    assert shares == pytest.approx([-60, 30])
    assert "both orders" in found.why


@given(st.lists(st.floats(min_value=10, max_value=1000), min_size=4, max_size=4))
@settings(max_examples=15, deadline=None)
def test_steps_of_swaps_sum_to_the_difference_of_the_pairs_and_so_do_their_shares(drawn: list[float]) -> None:
    found = swapped(dict(zip(CORNERS, drawn, strict=True)), noise=1.0)
    assert math.fsum(values(found)) == pytest.approx(whole(found).value, abs=1e-6)
    shares = [rung.cost_us.value for rung in found.shares if rung.cost_us]
    assert math.fsum(shares) == pytest.approx(whole(found).value, abs=1e-6)


def test_every_step_and_the_whole_have_the_blocks_that_they_are_the_mean_of() -> None:
    found = [climbed(noise=1.0)["db", "wsgi"], swapped(SWAPPED, noise=1.0)]
    for ladder in found:
        for rung in (*ladder.rungs, *ladder.corners, *ladder.shares):
            assert rung.cost_us is not None
            assert len(rung.blocks) == rung.cost_us.blocks
            assert math.fsum(rung.blocks.values()) / 6 == pytest.approx(rung.cost_us.value)
        for block, total in ladder.blocks.items():
            assert math.fsum(rung.blocks[block] for rung in ladder.rungs) == pytest.approx(total)


def test_what_a_stack_costs_above_its_server_is_the_whole_without_the_first_step() -> None:
    found = climbed(noise=1.0)["db", "asgi"]
    above = attribution.above_server(found)
    assert above is not None
    assert above.value == pytest.approx(math.fsum(values(found)[1:]))
    assert above.low is not None
    assert attribution.above_server(replace(found, rungs=found.rungs[1:])) is None


def test_a_swap_whose_trials_are_void_leaves_no_effects_and_says_whose() -> None:
    session = sessions.session(
        parts=[swaps_part()], spoil=lambda run: make_void(run) if run.stack == CORNERS[1] else run
    )
    [found] = attribution.ladders(session)
    assert found.rungs == ()
    assert f"{CORNERS[1]}: 0" in found.why


def test_a_session_without_those_parts_has_no_ladder() -> None:
    assert attribution.ladders(flagship()) == ()


def flagship() -> Session:
    return sessions.session(blocks=2)
