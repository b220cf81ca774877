"""The generator benchmark measures, says what it found and what it could not, and asserts no speed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gatebench.bench.fixed import _binned, _exact
from gatebench.bench.outcome import at_least, median, ratios, spread, within
from gatebench.bench.rates import LEAST_OF_WRK, SCENARIO, WRK
from gatebench.bench.workers import _seconds, cores
from gatebench.histogram import of_seconds

ROOT = Path(__file__).parent.parent


def bench(*options: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the benchmark; `path` is where it looks for other people's generators."""
    return subprocess.run(
        [sys.executable, "-m", "gatebench.bench", "--root", str(ROOT), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        env=os.environ if path is None else {**os.environ, "PATH": path},
    )


needs_two_cpus = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="rates need a CPU for each side")


@needs_two_cpus
@pytest.mark.server
@pytest.mark.slow
def test_without_wrk_it_says_so_and_measures_the_rest(tmp_path: Path) -> None:
    lines = tmp_path / "found.jsonl"
    tiny = "--only", "rates", "--rounds", "1", "--seconds", "0.3", "--json", str(lines)
    done = bench(*tiny, path=str(tmp_path))
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if "│" in line]
    for name in SCENARIO:
        assert sum(f"│ {name} " in row for row in rows) == 2, "one with 32 and one with 256 connections"
    assert f"{WRK} is not measured: wrk is not installed" in done.stdout
    assert done.stdout.count("not judged: EngineUser of wrk") == 2
    assert "reached:" not in done.stdout, "without wrk there is nothing to compare with"
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    measured = {(one["connections"], one["generator"]) for one in found if one["part"] == "rates"}
    assert measured == {(connections, name) for connections in (32, 256) for name in SCENARIO}
    for one in found:
        assert one["rate_rps"] > 0
        assert 0 < one["generator_cpu_share"] < 2
        assert 0 < one["server_cpu_share"] < 2


@needs_two_cpus
@pytest.mark.server
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_with_wrk_every_target_is_said_to_be_reached_or_not() -> None:
    done = bench("--only", "rates", "--rounds", "1", "--seconds", "0.3")
    assert done.returncode == 0, done.stderr
    assert WRK in done.stdout
    for name, least in LEAST_OF_WRK.items():
        said = [line.strip() for line in done.stdout.splitlines() if f"reached: {name} of wrk" in line]
        assert len(said) == 2
        assert all(line.startswith(("reached", "not reached")) and f"at least {least}" in line for line in said)


@pytest.mark.server
def test_a_part_that_fails_says_why_and_the_others_still_run(tmp_path: Path) -> None:
    done = bench("--only", "connections,waiting", "--root", str(tmp_path))
    assert done.returncode == 4
    assert done.stdout.count("not measured: ") == 2
    assert "Traceback" not in done.stderr


def test_an_unknown_part_is_refused_with_those_there_are() -> None:
    done = bench("--only", "speed")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no part named 'speed'" in done.stderr
    assert "rates, fixed, connections, waiting, workers" in done.stderr


def test_a_target_is_judged_by_the_median() -> None:
    assert at_least("a", 0.85, [0.1, 0.85, 0.9], "").reached is True
    assert at_least("a", 0.85, [0.9, 0.84, 0.1], "").reached is False
    assert within("a", 0.1, [5.0, 1.09, 0.9], "").reached is True
    assert within("a", 0.1, [0.8, 0.89, 1.0], "").reached is False


@pytest.mark.parametrize("judge", [at_least, within])
def test_a_target_without_figures_is_neither_reached_nor_not(judge: Callable[..., object]) -> None:
    target = judge("a", 0.1, [], "no wrk")
    assert (getattr(target, "reached"), getattr(target, "found")) == (None, "no wrk")  # noqa: B009


def test_ratios_are_taken_round_by_round_and_a_round_that_lacks_one_side_gives_none() -> None:
    assert ratios([1.0, 4.0, None, 3.0], [2.0, 1.0, 1.0, None]) == [0.5, 4.0]


def test_figures_are_shown_with_their_range() -> None:
    assert spread([3.0, 1.0, 2.0], ".1f") == "2.0 (1.0..3.0)"
    assert spread([1234.0], ",.0f") == "1,234"
    assert spread([]) == "-"
    assert (median([3.0, None, 1.0]), median([None])) == (2.0, None)


def test_the_exact_percentiles_are_those_the_histogram_comes_near() -> None:
    times = [number / 1e4 for number in range(1, 2001)]
    exact = _exact(times)
    assert exact == {"p50": 0.1, "p99": 0.198}
    for name, found in _binned(of_seconds(times)).items():
        assert found == pytest.approx(exact[name], rel=0.01)
    assert _exact(times[:999])["p99"] is None


def test_servers_have_at_least_as_many_cores_as_workers_and_none_together() -> None:
    for count in range(2, 9):
        who = cores(tuple(range(count)))
        assert not set(who.servers) & set(who.workers)
        assert len(who.servers) >= len(who.workers) > 0
        assert len(who.servers) + len(who.workers) == count


def test_only_whole_seconds_at_full_load_count() -> None:
    one = {"num_reqs_per_sec": {"7": 1, "1": 2, "2": 3, "3": 10, "4": 20, "6": 5}}
    other = {"num_reqs_per_sec": {"3": 1, "4": 2}}
    assert _seconds([one, other]) == [11, 22]
