"""The generator from outside: the job as it is spelt, the time it may take, its figures as they are read."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from contractapp import App
from loadservers import http_server, own_certificate

from gatebench import declare, histogram, plan
from gatebench.errors import MachineError, UsageError
from gatebench.generator import SPARE_S, Arrivals, Job, read
from gatebench.generator import process as generator
from gatebench.machine import usable_cpus
from gatebench.model import Load, LoadKind, Placement, Step
from gatebench.swarm.job import KINDS, parse

TIMES = histogram.of_seconds([0.01, 0.02])
DOCUMENT: dict[str, Any] = {
    "warmup_s": 1.0,
    "warmup_settled": True,
    "window_start_s": 5.0,
    "window_end_s": 7.0,
    "requests": 2,
    "errors": 0,
    "error_reasons": {},
    "bodies_checked": 0,
    "retries": 0,
    "response": histogram.to_json(TIMES),
    "in_flight_mean": 0.5,
    "delay_s": None,
    "connections": None,
    "arrivals": None,
    "loop_lag_p99_s": None,
    "steps": None,
}


def job(kind: LoadKind, size: int, *, error_limit: float = 0.02) -> Job:
    return Job(
        scenario=Path("scenarios/plain.py"),
        host="http://127.0.0.1:8000",
        load=Load(kind=kind, size=size),
        error_limit=error_limit,
        seed=1,
        warmup_slice_s=0.25,
        warmup_limit_s=1.0,
        window_s=3.0,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_reads_the_job_that_the_harness_spells(kind: LoadKind) -> None:
    asked = job(kind, 500)
    understood = parse(asked.document().encode())
    assert understood.load == asked.load
    assert understood.connections == asked.load.connections
    assert understood.error_limit == 0.02
    assert (understood.seed, understood.window_s) == (1, 3.0)


def test_a_search_is_told_the_scenarios_limit_on_errors(root: Path) -> None:
    scenario = replace(declare.scenarios(root)["plain"], error_limit=0.25)
    flagship = plan.load(root, "flagship")
    made = Job.of(flagship.parts[0], scenario, Load(kind="search", size=50), 1, "http://127.0.0.1:8000")
    assert parse(made.document().encode()).error_limit == 0.25


@pytest.mark.parametrize(("kind", "files"), [("closed", 20_000), ("hold", 20_000), ("open", 256), ("search", 256)])
def test_open_files_are_asked_for_by_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: LoadKind, files: int
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(generator, "require_open_files", asked.append)
    answer = f"import json; print(json.dumps({DOCUMENT!r}))"
    with subprocess.Popen([sys.executable, "-c", answer], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        generator._Process(process=process, log=tmp_path / "log").measure(job(kind, 20_000))
    assert asked == [files]


@pytest.mark.parametrize(
    ("kind", "size", "limit_s"),
    [
        ("closed", 20_000, 4.0),
        ("open", 20_000, 4.0),
        ("poisson", 20_000, 4.0),
        ("hold", 20_000, 54.0),  # opened at 400 a second
        ("search", 20_000, 1.0 + 24 * 5.0),  # 24 windows of 3 s and 2 s more
    ],
)
def test_a_load_that_takes_longer_is_waited_for_longer(kind: LoadKind, size: int, limit_s: float) -> None:
    assert job(kind, size).limit_s == limit_s + SPARE_S


def test_figures_of_arrivals_are_read() -> None:
    counts = {"due": 5, "ended": 4, "overrun": 3, "unanswered": 2, "send_lag_p99_s": 0.001}
    figures = read({**DOCUMENT, "arrivals": {**counts, "service": histogram.to_json(TIMES)}, "loop_lag_p99_s": 0.002})
    assert figures.arrivals == Arrivals(due=5, ended=4, overrun=3, unanswered=2, send_lag_p99_s=0.001, service=TIMES)
    assert figures.loop_lag_p99_s == 0.002


def test_steps_of_a_search_are_read_in_their_order() -> None:
    steps = [
        {"rate": rate, "p99_s": p99_s, "errors_share": 0.0, "achieved_share": 1.0, "held": held}
        for rate, p99_s, held in ((100.0, None, False), (50.0, 0.01, True))
    ]
    assert read({**DOCUMENT, "steps": steps}).steps == (
        Step(rate_rps=100.0, p99_s=None, errors_share=0.0, achieved_share=1.0, held=False),
        Step(rate_rps=50.0, p99_s=0.01, errors_share=0.0, achieved_share=1.0, held=True),
    )


def test_what_no_clock_paced_has_no_arrivals_and_no_steps() -> None:
    figures = read(DOCUMENT)
    assert (figures.arrivals, figures.loop_lag_p99_s, figures.steps) == (None, None, ())


def test_who_answered_is_read_and_is_nobody_where_nothing_is_counted() -> None:
    assert read({**DOCUMENT, "answered_by": {"wsgi": 2}}).answered_by == {"wsgi": 2}
    assert read({**DOCUMENT, "answered_by": {}}).answered_by == read(DOCUMENT).answered_by == {}


def test_what_became_of_held_connections_is_read_and_of_others_there_is_nothing() -> None:
    counts = {
        "offered": 9,
        "opened": 6,
        "kept": 3,
        "late": 2,
        "unopened": {"connection refused": 3},
        "opening_s": 0.5,
    }
    figures = read({**DOCUMENT, "connections": counts})
    assert (figures.offered, figures.opened, figures.kept, figures.late) == (9, 6, 3, 2)
    assert figures.unopened == {"connection refused": 3}
    assert (read(DOCUMENT).late, read(DOCUMENT).unopened) == (None, {})


@pytest.mark.server
def test_a_job_goes_to_a_server_that_speaks_tls_with_a_certificate_of_its_own(tmp_path: Path, root: Path) -> None:
    tls = own_certificate(tmp_path)
    placement = Placement(server=(), generator=usable_cpus()[-1:], services=())
    for name in ("plain", "upload", "stream"):
        asked = replace(
            job("closed", 4), scenario=root / "scenarios" / f"{name}.py", window_s=0.3, warmup_slice_s=0.1
        )
        with http_server(full=App(), tls=tls) as (host, seen):
            assert host.startswith("https://127.0.0.1:")
            with generator.Locust(scratch=tmp_path).start(placement) as started:
                figures = started.measure(replace(asked, host=host))
        assert (figures.errors, figures.error_reasons) == (0, {}), name
        assert 0 < figures.requests < len(seen.requests)


@pytest.mark.parametrize(("who", "kind"), [("user", UsageError), ("machine", MachineError)])
def test_the_generators_refusal_is_the_error_it_names(who: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="no user class"):
        read({"error": "no user class", "who": who})
