import tomllib
from dataclasses import replace
from importlib import resources

import pytest
import sessions
from hypothesis import given
from hypothesis import strategies as st
from sessions import FASTAPI, GTHREAD, SYNC

from gatebench import claims, metrics, tables
from gatebench.claims import Evidence
from gatebench.metrics import TIMES
from gatebench.model import Claim, Comparison, Estimate, Verdict
from gatebench.protocols import PROTOCOLS

ROWS = claims.load()
SIMPLE, WEBSOCKET, MEMORY = (
    next(row for row in ROWS if row.key == key) for key in ("simple", "websocket", "memory_1000")
)
MEMORY = replace(MEMORY, parts=("flagship",))


def estimate(value: float, low: float, high: float, blocks: int = 6) -> Estimate:
    return Estimate(value=value, low=low, high=high, blocks=blocks, method="made up", few=blocks < 6)


def of(*comparisons: Comparison) -> Evidence:
    return Evidence(parts=frozenset(each.part for each in comparisons), comparisons=comparisons)


def comparison(ratio: Estimate | None, **fields: object) -> Comparison:
    defaults: dict[str, object] = {
        "part": "flagship",
        "scenario": "plain",
        "load": "closed(64)",
        "metric": "rate_rps",
        "wsgi": SYNC,
        "asgi": FASTAPI,
        "wsgi_value": estimate(100, 90, 110),
        "asgi_value": estimate(400, 390, 410),
        "blocks": 6,
    }
    return Comparison(ratio=ratio, **{**defaults, **fields})  # type: ignore[arg-type]


def word(claim: Claim, low: float, value: float, high: float, **fields: object) -> str:
    [verdict] = claims.judge([claim], of(comparison(estimate(value, low, high), metric=claim.metric, **fields)))
    return verdict.word


def held(low: float, value: float, high: float, *, wsgi: float, asgi: float) -> Verdict:
    sides: dict[str, object] = {
        "wsgi_value": estimate(wsgi, wsgi, wsgi),
        "asgi_value": estimate(asgi, asgi, asgi),
        "wsgi_at_limit": wsgi == 2000,
        "asgi_at_limit": asgi == 2000,
    }
    made = comparison(
        estimate(value, low, high), scenario="websocket", load="hold(2000)", metric="connections", **sides
    )
    [verdict] = claims.judge([WEBSOCKET], of(made))
    return verdict


@pytest.mark.parametrize("load", ["open(64)", "poisson(64)", "search(64ms)"])
def test_a_load_that_a_clock_paces_settles_no_published_row(load: str) -> None:
    made = comparison(estimate(4.0, 3.9, 4.1), load=load)
    assert {verdict.word for verdict in claims.judge([SIMPLE], of(made))} == {"not yet measured"}
    assert word(SIMPLE, 3.9, 4.0, 4.1) == "confirmed"


def test_no_row_of_the_published_comparison_is_left_out() -> None:
    text = resources.files("gatebench").joinpath("data", "claims.toml").read_text(encoding="utf-8")
    published = tomllib.loads(text)
    expected = [
        (table, item if isinstance(entry, list) else None)
        for table, entries in published.items()
        for entry in entries.values()
        for item in (range(len(entry)) if isinstance(entry, list) else [0])
    ]
    assert [row.table for row in ROWS] == [table for table, _ in expected]
    assert len({(row.table, row.key) for row in ROWS}) == len(ROWS)
    assert all(row.label for row in ROWS)
    assert {row.kind for row in ROWS} == {"ratio", "order", "capability", "rule", "fact", "opinion"}


def test_a_list_becomes_one_row_an_item_with_what_was_published_of_it() -> None:
    found = {(row.table, row.key): row for row in ROWS}
    assert found["frameworks", "wsgi.CherryPy"].wsgi == "listed"
    assert found["framework_facts", "asgi.Sanic"].asgi == "2016, 18K stars"
    assert found["servers", "wsgi.uWSGI"].wsgi == "4 of 5 stars"
    assert found["mixed_deployment", "stages.3"].wsgi == "40 %"
    assert found["drivers", "http"].asgi == "httpx, aiohttp"
    assert (SIMPLE.wsgi, SIMPLE.asgi, SIMPLE.factor, SIMPLE.label_zh) == ("10,000", "40,000", 4, "簡單請求 (無 I/O)")
    assert (WEBSOCKET.at_least, WEBSOCKET.factor, WEBSOCKET.asgi) == (True, 100, "tens of thousands")


def test_every_row_has_a_judge_and_all_that_it_needs() -> None:
    names = {row.name for row in ROWS} | {row.table for row in ROWS}
    for row in ROWS:
        assert row.see in names if row.see else row.how in (*claims.JUDGES, "ranked", "fact", "opinion")
        assert row.near is None or row.near in names
        assert (row.kind == "opinion") == (row.near is not None)
        assert row.how in ("fact", "opinion") or row.see or row.parts
        assert row.metric is None or row.metric in metrics.TABLE
        assert row.load in (None, "closed", "hold")
        assert set(row.protocols) <= {name for name, _ in PROTOCOLS} | {"openapi"}
        assert row.kind != "ratio" or row.factor or row.how == "sides"


@pytest.mark.parametrize(
    ("low", "value", "high", "expected"),
    [
        (3.1, 4.0, 4.9, "confirmed"),
        (3.0, 4.0, 5.0, "confirmed"),
        (1.5, 2.0, 2.9, "overstated"),
        (0.9, 1.0, 1.1, "overstated"),
        (5.1, 6.0, 7.0, "understated"),
        (0.5, 0.7, 0.9, "reversed"),
        (2.9, 3.5, 4.0, "undecided"),
        (4.0, 4.9, 5.1, "undecided"),
        (0.1, 2.0, 40.0, "undecided"),
        (4.0, 4.0, 4.0, "confirmed"),
        (2.0, 2.0, 2.0, "overstated"),
    ],
)
def test_a_factor_is_judged_by_where_its_interval_lies(low: float, value: float, high: float, expected: str) -> None:
    assert word(SIMPLE, low, value, high) == expected


def test_where_less_is_better_the_factor_is_turned_round() -> None:
    assert word(MEMORY, 0.18, 0.2, 0.22) == "confirmed"  # ASGI needs a fifth, as published
    assert word(MEMORY, 1.1, 1.2, 1.3) == "reversed"
    assert word(MEMORY, 0.6, 0.7, 0.8) == "overstated"


ends = st.floats(min_value=1e-3, max_value=1e3)


@given(st.tuples(ends, ends, ends).map(sorted), st.sampled_from([SIMPLE, MEMORY]))
def test_turning_metric_and_ratio_round_turns_no_verdict(interval: list[float], claim: Claim) -> None:
    low, value, high = interval
    turned = replace(claim, lower_is_better=not claim.lower_is_better)
    assert word(claim, low, value, high) == word(turned, 1 / high, 1 / value, 1 / low)


def test_an_undecided_factor_says_how_many_blocks_would_decide_it() -> None:
    [verdict] = claims.judge([SIMPLE], of(comparison(estimate(3.5, 2.9, 4.2))))
    assert verdict.word == "undecided"
    assert "blocks would decide" in verdict.why
    [verdict] = claims.judge([SIMPLE], of(comparison(estimate(3.0, 2.9, 3.1))))
    assert "too near an edge" in verdict.why


def test_an_at_least_row_is_judged_on_its_lower_side_only() -> None:
    assert held(5000, 6000, 7000, wsgi=1, asgi=1900).word == "confirmed"
    assert held(10, 20, 30, wsgi=60, asgi=1200).word == "overstated"
    assert held(50, 80, 120, wsgi=20, asgi=1600).word == "undecided"


def test_who_keeps_all_connections_bounds_the_factor_on_one_side_only() -> None:
    constant = held(125, 125, 125, wsgi=16, asgi=2000)
    assert constant.word == "confirmed"
    assert "lower bound" in constant.why
    assert f"at least 1,230{TIMES} is not below" in held(1237.5, 1237.5, 1237.5, wsgi=1.6, asgi=2000).why
    assert f"at most 0.701{TIMES} is below 1" in held(0.70003, 0.70003, 0.70003, wsgi=2000, asgi=1400).why
    small = held(20, 20, 20, wsgi=100, asgi=2000)
    assert small.word == "undecided"  # more than 2,000 might be kept
    assert "offering more connections would decide" in small.why
    both = held(1, 1, 1, wsgi=2000, asgi=2000)
    assert both.word == "undecided"
    assert both.why.startswith("both kept all that were offered (at least 2,000), so the factor is not known; ")
    assert "1.00" not in both.why
    assert held(0.5, 0.5, 0.5, wsgi=2000, asgi=1000).word == "reversed"


def test_a_row_without_an_experiment_or_a_run_is_not_yet_measured_and_an_opinion_never() -> None:
    words = {verdict.claim: verdict.word for verdict in claims.judge(ROWS, Evidence())}
    assert set(words) == set(ROWS)
    assert all((text == "not measurable") == (claim.kind == "opinion") for claim, text in words.items())
    assert all((text == "as published") == (claim.how == "fact") for claim, text in words.items())
    assert set(words.values()) == set(claims.SILENT)


def test_an_experiment_without_a_valid_pair_is_void_with_the_reason() -> None:
    [verdict] = claims.judge([SIMPLE], of(comparison(None, blocks=0, reason="no block has a valid trial of both")))
    assert (verdict.word, verdict.why) == ("void", "no block has a valid trial of both")


def test_a_valid_pair_without_a_ratio_is_undecided_with_the_reason() -> None:
    [verdict] = claims.judge([SIMPLE], of(comparison(None, blocks=1, reason="one block, no spread")))
    assert (verdict.word, verdict.why) == ("undecided", "one block, no spread")


def test_the_published_pair_comes_first_then_the_others_by_name() -> None:
    stacks = ("bottle+waitress", GTHREAD, SYNC, FASTAPI)
    found = tables.comparisons(sessions.session(stacks=stacks, measures=("plain closed(64)",), blocks=2))
    verdicts = [verdict for verdict in claims.judge(ROWS, of(*found)) if verdict.comparison]
    assert [verdict.comparison.wsgi for verdict in verdicts if verdict.comparison] == [
        SYNC,
        "bottle+waitress",
        GTHREAD,
    ]
    assert {verdict.claim.key for verdict in verdicts} == {"simple"}


def test_a_reason_has_no_digit_that_its_interval_does_not_support() -> None:
    [verdict] = claims.judge([SIMPLE], of(comparison(estimate(2.345, 1.412, 3.876))))
    assert verdict.why.startswith(f"2.3{TIMES} (1.4 to 3.9{TIMES}) ")
    [certain] = claims.judge([SIMPLE], of(comparison(estimate(4, 4, 4))))
    assert certain.why.startswith(f"4.00{TIMES} lies within 3 to 5{TIMES}")


def test_an_end_that_would_be_printed_as_the_edge_it_lies_beside_has_a_digit_more() -> None:
    [verdict] = claims.judge([SIMPLE], of(comparison(estimate(3.9, 2.96, 5.1))))
    assert verdict.word == "undecided"
    assert verdict.why.startswith(f"3.90{TIMES} (2.96 to 5.10{TIMES}) is not wholly inside or outside 3 to 5")


def test_few_blocks_are_named_beside_the_verdict() -> None:
    [verdict] = claims.judge([SIMPLE], of(comparison(estimate(4, 3.5, 4.5, blocks=3))))
    assert "3 blocks only" in verdict.why


def test_an_interval_without_an_end_decides_nothing_on_that_side() -> None:
    endless = Estimate(value=4.0, low=None, high=None, blocks=2, method="made up", few=True)
    [verdict] = claims.judge([SIMPLE], of(comparison(endless)))
    assert verdict.word == "undecided"
