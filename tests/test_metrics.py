import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebench import metrics
from gatebench.histogram import of_seconds
from gatebench.model import ControlGroup, Run, Usage


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


@pytest.mark.parametrize("name", metrics.TABLE)
def test_what_was_not_measured_is_none_and_never_zero(name: str) -> None:
    assert metrics.read(name, run()) is None
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
    ],
)
def test_a_value_is_shown_with_three_figures_and_a_unit_of_its_size(
    value: float | None, unit: str, shown: str
) -> None:
    assert metrics.show(value, unit) == shown


@given(st.floats(min_value=1e-9, max_value=1e12), st.sampled_from([1, -1]))
def test_three_figures_are_within_half_a_percent_and_never_a_power_of_ten(size: float, sign: int) -> None:
    text = metrics.three(sign * size)
    assert math.isclose(float(text.replace(",", "")), sign * size, rel_tol=0.005)
    assert "e" not in text
    digits = text.replace(",", "").replace(".", "").lstrip("-0")
    assert len(digits.rstrip("0")) <= 3 <= len(digits)
