import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebench import metrics
from gatebench.histogram import of_seconds
from gatebench.model import Connects, ControlGroup, Estimate, Run, Usage
from gatebench.swarm.recorder import UNANSWERED


def run(**fields: object) -> Run:
    defaults: dict[str, object] = {
        "session": "s",
        "number": 0,
        "block": 0,
        "stack": "a+b",
        "interface": "asgi",
        "profile": "matched",
        "scenario": "plain",
        "scenario_version": 1,
        "load": "closed(64)",
        "backend": "fake",
        "seed": 1,
        "started_at": "2026-01-01T00:00:00+00:00",
    }
    return Run(**{**defaults, **fields})  # type: ignore[arg-type]


def test_each_metric_is_read_from_the_run_it_is_named_after() -> None:
    measured = run(
        requests=2000,
        window_s=4.0,
        response=of_seconds([0.01] * 1990 + [0.5] * 10),
        server=Usage(cpu_s=0.5, pss_peak_bytes=3e7),
        server_group=ControlGroup(memory_peak_bytes=9e7),
    )
    assert metrics.read("rate_rps", measured) == 500
    assert metrics.read("response_p50_s", measured) == pytest.approx(0.01, rel=0.01)
    assert metrics.read("response_p99_s", measured) == pytest.approx(0.01, rel=0.01)
    assert metrics.read("cpu_us_per_request", measured) == 250
    assert metrics.read("pss_bytes", measured) == 3e7
    assert metrics.read("group_memory_bytes", measured) == 9e7
    assert metrics.read("connections", run(load="hold(9)", connections_kept=7)) == 7


def test_what_a_server_used_is_read_from_its_own_tree() -> None:
    used = run(
        requests=1000,
        window_s=4.0,
        placement={"server": (2, 3)},
        server=Usage(
            cpu_s=6.0, rss_peak_bytes=5e7, threads=17, processes=2, switches_voluntary=2000, switches_involuntary=50
        ),
        server_at_rest=Usage(pss_peak_bytes=2e7),
    )
    assert metrics.read("cpu_share", used) == 0.75
    assert metrics.read("rss_bytes", used) == 5e7
    assert metrics.read("pss_at_rest_bytes", used) == 2e7
    assert (metrics.read("threads", used), metrics.read("processes", used)) == (17, 2)
    assert metrics.read("switches_voluntary_per_request", used) == 2
    assert metrics.read("switches_involuntary_per_request", used) == 0.05
    assert metrics.read("switches_per_request", used) == 2.05


def test_switches_of_which_one_kind_was_not_counted_have_no_sum() -> None:
    assert metrics.read("switches_per_request", run(requests=9, server=Usage(switches_voluntary=9))) is None


def test_a_held_connections_memory_is_what_came_on_top_divided_by_how_many_were_open() -> None:
    memory = {"server": Usage(pss_peak_bytes=3e6), "server_at_rest": Usage(pss_peak_bytes=2e6)}
    assert metrics.read("pss_per_connection_bytes", run(load="hold(500)", connections_opened=100, **memory)) == 1e4
    assert metrics.read("pss_per_connection_bytes", run(load="hold(500)", connections_opened=0, **memory)) is None
    for load in ("closed(50)", "h2(50)", "open(50)"):  # how many were accepted, nobody counted
        assert metrics.read("pss_per_connection_bytes", run(load=load, **memory)) is None


def test_fresh_connections_are_read_apart_at_rest_and_beside_the_load() -> None:
    rest, beside = (
        Connects(asked=1000, refused=0, unanswered=0, times=of_seconds([each] * 990 + [9 * each] * 10))
        for each in (0.001, 0.1)
    )
    knocked = run(connect_at_rest=rest, connect_under_load=beside)
    assert metrics.read("connect_rest_p50_s", knocked) == pytest.approx(0.001, rel=0.01)
    assert metrics.read("connect_load_p50_s", knocked) == pytest.approx(0.1, rel=0.01)
    assert metrics.read("connect_rest_p99_s", knocked) == pytest.approx(0.001, rel=0.01)
    few = Connects(asked=9, refused=0, unanswered=0, times=of_seconds([0.001] * 9))
    assert metrics.read("connect_rest_p50_s", run(connect_at_rest=few)) is None


def knocks(answered: int, unanswered: int, refused: int = 0) -> Connects:
    times = of_seconds([0.002] * answered + [3.0] * unanswered)
    return Connects(asked=answered + unanswered + refused, refused=refused, unanswered=unanswered, times=times)


@pytest.mark.parametrize(
    ("answered", "unanswered", "median", "p99"),
    [
        (1000, 0, True, True),
        (990, 10, True, True),
        (989, 11, True, False),
        (500, 500, True, False),
        (499, 501, False, False),
        (0, 1000, False, False),
    ],
)
def test_a_quantile_among_those_not_answered_is_only_a_bound_and_no_figure(
    answered: int, unanswered: int, median: bool, p99: bool
) -> None:
    found = knocks(answered, unanswered, refused=2000)
    knocked = run(connect_at_rest=found, connect_under_load=found)
    for place in ("rest", "load"):
        assert (metrics.read(f"connect_{place}_p50_s", knocked) is not None) == median
        assert (metrics.read(f"connect_{place}_p99_s", knocked) is not None) == p99
        above = metrics.censored(f"connect_{place}_p99_s", knocked)
        assert (above is None) == p99
        assert above is None or above[1] == pytest.approx(3.0, rel=0.01)


def test_answered_knocks_are_requests_that_the_servers_cpu_and_switches_are_divided_by() -> None:
    served = run(
        requests=100,
        window_s=5.0,
        server=Usage(cpu_s=1.0, switches_voluntary=2000, switches_involuntary=1000),
        connect_under_load=knocks(900, 60, refused=40),
        connect_at_rest=knocks(1000, 0),  # before the window
    )
    assert metrics.read("cpu_us_per_request", served) == 1000
    assert metrics.read("switches_per_request", served) == 3
    assert metrics.read("switches_voluntary_per_request", served) == 2
    assert metrics.read("switches_involuntary_per_request", served) == 1
    assert metrics.read("rate_rps", served) == 20


def test_what_was_waited_for_in_vain_is_counted_by_the_generators_own_words() -> None:
    held = run(
        load="hold(50)",
        connections_opened=10,
        unopened_reasons={
            "connection not opened within 3 s": 1,
            "still in line after 12 s": 2,
            "given up, as none had opened for 4 s": 4,
            "connection refused": 100,
        },
        error_reasons={"no answer within 10 s": 8, "connection not opened in time": 16, "answered with 500": 100},
    )
    assert metrics.read("timed_out", held) == 31
    assert metrics.read("timed_out", run(window_s=1.0, error_reasons={UNANSWERED: 3})) == 3
    assert metrics.read("timed_out", run(window_s=1.0)) == 0


def test_what_was_refused_is_counted_whoever_asked() -> None:
    asked = Connects(asked=9, refused=2, unanswered=1, times=of_seconds([]))
    refused = run(
        load="hold(50)",
        connections_opened=40,
        unopened_reasons={"connection refused": 7, "no answer": 3},
        error_reasons={"connection refused": 4, "refused 4 times": 9},  # the last are streams
        connect_at_rest=asked,
        connect_under_load=asked,
    )
    assert metrics.read("refused", refused) == 15
    assert metrics.read("refused", run(load="hold(50)", connections_opened=50)) == 0


def test_late_is_what_came_a_second_after_the_wait_by_design() -> None:
    waited = run(response=of_seconds([2.1] * 90 + [2.9] * 5 + [3.1] * 4 + [9.0]))
    assert metrics.read("late", waited, 2.0) == 5
    assert metrics.read("late", waited, 0.1) == 100
    assert metrics.read("late", waited) is None
    assert metrics.read("late", run(load="hold(9)", connections_late=3)) == 3


def test_served_at_once_is_the_rate_times_the_wait_by_design() -> None:
    served = run(requests=1600, window_s=10.0)
    assert metrics.read("served_at_once", served, 0.1) == pytest.approx(16)
    assert metrics.read("served_at_once", served) is None


@pytest.mark.parametrize("name", metrics.TABLE)
def test_what_was_not_measured_is_none_and_never_zero(name: str) -> None:
    assert metrics.read(name, run()) is None
    assert metrics.read(name, run(), 2.0) is None
    assert metrics.read(name, run(requests=0, window_s=0.0, response=of_seconds([]))) is None


def test_zero_is_a_figure_where_it_was_measured() -> None:
    assert metrics.read("rate_rps", run(requests=0, window_s=2.0)) == 0
    assert metrics.read("connections", run(load="hold(9)", connections_kept=0)) == 0


@pytest.mark.parametrize("load", ["open(500)", "poisson(500)", "search(50ms)"])
def test_a_load_that_a_clock_paces_has_a_rate_and_no_count_of_connections(load: str) -> None:
    paced = run(load=load, requests=990, window_s=2.0, connections_kept=9)
    assert metrics.read("rate_rps", paced) == 495
    assert metrics.read("connections", paced) is None


def test_a_held_load_has_no_rate_and_a_closed_one_no_count_of_connections() -> None:
    assert metrics.read("rate_rps", run(load="hold(9)", requests=9, window_s=1.0)) is None
    assert metrics.read("connections", run(connections_kept=9)) is None


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (None, "s", "—"),
        (0, "s", "0 µs"),
        (1.5, "s", "1.50 s"),
        (0.9999, "s", "1.00 s"),
        (0.99949, "s", "999 ms"),
        (0.0123, "s", "12.3 ms"),
        (0.0009999, "s", "1.00 ms"),
        (0.000250, "s", "250 µs"),
        (123.456, "s", "123 s"),
        (12345, "1/s", "12,300/s"),
        (9.999, "1/s", "10.0/s"),
        (99.96, "1/s", "100/s"),
        (0.0123, "1/s", "0.0123/s"),
        (250.4, "µs", "250 µs"),
        (30 * 2**20, "B", "30.0 MiB"),
        (1987, "", "1,987"),
        (1987.5, "", "1,990"),
        (12_345, "B", "12.1 KiB"),
        (0.0, "B", "0 KiB"),
        (0.873, "share", "87.3 %"),
        (0.0012, "share", "0.120 %"),
        (2.05, "1/request", "2.05 a request"),
    ],
)
def test_a_value_is_shown_with_three_figures_and_a_unit_of_its_size(
    value: float | None, unit: str, shown: str
) -> None:
    assert metrics.show(value, unit) == shown


@pytest.mark.parametrize(
    ("value", "low", "high", "unit", "shown"),
    [
        (1.004, 0.999, 1.009, metrics.TIMES, ("1.004", "0.999", "1.009")),
        (1.04, 0.98, 1.1, metrics.TIMES, ("1.04", "0.98", "1.10")),
        (0.99, 0.967, 1.005, metrics.TIMES, ("0.990", "0.967", "1.005")),
        (1.00012, 0.99984, 1.00041, metrics.TIMES, ("1.000", "1.000", "1.000")),
        (0.9993, 0.9991, 0.9994, "", ("0.999", "0.999", "0.999")),
        (1.107, 1.1062, 1.1073, metrics.TIMES, ("1.11", "1.11", "1.11")),
        (0.998, 0.9961, 1, metrics.TIMES, ("0.998", "0.996", "1.00")),
        (1.0062, 1.0041, 1.0083, metrics.TIMES, ("1.006", "1.004", "1.008")),
        (1.252, 1.25, 1.254, metrics.TIMES, ("1.25", "1.25", "1.25")),
        (5.5, 5, 6, "", ("5.5", "5", "6")),
        (1, 1, 1, "", ("1", "1", "1")),
    ],
)
def test_a_figure_that_would_be_printed_as_one_and_is_not_has_a_digit_more(
    value: float, low: float, high: float, unit: str, shown: tuple[str, str, str]
) -> None:
    estimate = Estimate(value=value, low=low, high=high, blocks=6, method="made up")
    assert metrics.show_estimate(estimate, unit) == tuple(f"{each}{unit}" for each in shown)


@given(st.floats(min_value=0.9, max_value=1.1), st.floats(min_value=0.0002, max_value=0.03))
def test_no_end_is_printed_as_one_that_is_not_one_to_three_digits(value: float, width: float) -> None:
    estimate = Estimate(value=value, low=value - width / 2, high=value + width / 2, blocks=6, method="made up")
    _, low, high = metrics.show_estimate(estimate, metrics.TIMES)
    for text, end in ((low, estimate.low), (high, estimate.high)):
        printed = float(text.removesuffix(metrics.TIMES))
        assert end is not None
        assert printed != 1 or abs(end - 1) < 0.00051


@pytest.mark.parametrize(
    ("low", "high", "edge", "shown"),
    [
        (1.051, 1.5, 1.1, ("1.28", "1.05", "1.50")),
        (1.051, 1.5, 1.2, ("1.3", "1.1", "1.5")),
        (1.04, 1.5, 1.0, ("1.27", "1.04", "1.50")),
        (1.1, 1.5, 1.1, ("1.3", "1.1", "1.5")),  # it lies on the edge
    ],
)
def test_an_end_beside_what_a_verdict_hangs_on_is_not_printed_as_that(
    low: float, high: float, edge: float, shown: tuple[str, str, str]
) -> None:
    estimate = Estimate(value=(low + high) / 2, low=low, high=high, blocks=6, method="made up")
    texts = metrics.show_estimate(estimate, metrics.TIMES, edges=(edge,))
    assert texts == tuple(f"{each}{metrics.TIMES}" for each in shown)


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        (1237.5, "1,230", "1,240"),
        (31.25, "31.2", "31.3"),
        (999.9, "999", "1,000"),
        (125.0, "125", "125"),
        (1.1, "1.10", "1.10"),
        (0.29, "0.290", "0.290"),
        (19_800 / 7, "2,820", "2,830"),
    ],
)
def test_a_bound_is_rounded_to_the_side_on_which_it_stays_true(value: float, least: str, most: str) -> None:
    estimate = Estimate(value=value, low=value, high=value, blocks=6, method="made up")
    assert metrics.show_estimate(estimate, metrics.TIMES, bound="≥")[0] == f"{least}{metrics.TIMES}"
    assert metrics.show_estimate(estimate, metrics.TIMES, bound="≤")[0] == f"{most}{metrics.TIMES}"


@given(st.floats(min_value=1e-3, max_value=1e6), st.floats(min_value=0, max_value=0.5))
def test_a_bound_claims_no_more_than_was_measured(value: float, spread: float) -> None:
    estimate = Estimate(value=value, low=value * (1 - spread), high=value * (1 + spread), blocks=6, method="made up")
    least, most = (
        float(metrics.show_estimate(estimate, metrics.TIMES, bound=bound)[0].rstrip(metrics.TIMES).replace(",", ""))
        for bound in ("≥", "≤")
    )
    assert least <= value * (1 + 1e-6)
    assert most >= value * (1 - 1e-6)


def test_an_interval_names_its_unit_once_and_is_left_out_where_it_has_no_width() -> None:
    def shown(low: float | None, high: float | None) -> tuple[str, str]:
        return metrics.show_interval(Estimate(value=0.9, low=low, high=high, blocks=6, method="made up"), "s")

    assert shown(0.85, 0.95) == ("900 ms", "850 to 950 ms")
    assert shown(0.8, 1.2) == ("900 ms", "800 ms to 1.2 s")
    assert shown(0.9, 0.9) == ("900 ms", "")
    assert shown(None, None) == ("900 ms", "")


@given(st.floats(min_value=1e-9, max_value=1e12), st.sampled_from([1, -1]))
def test_three_figures_are_within_half_a_percent_and_never_a_power_of_ten(size: float, sign: int) -> None:
    text = metrics.three(sign * size)
    assert math.isclose(float(text.replace(",", "")), sign * size, rel_tol=0.005)
    assert "e" not in text
    digits = text.replace(",", "").replace(".", "").lstrip("-0")
    assert len(digits.rstrip("0")) <= 3 <= len(digits)


@pytest.mark.parametrize(("value", "place", "said"), [(-0.97, 5.5, "-1"), (0.7, 1.3, "0.7"), (0.97, 0.05, "0.97")])
def test_an_end_near_zero_has_one_digit_also_where_it_is_rounded_up(value: float, place: float, said: str) -> None:
    assert metrics.three(value, place=place) == said
