import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sessions
from pages import Page
from sessions import FASTAPI, GTHREAD, START, make_void
from typer.testing import CliRunner, Result

from gatebench.cli import app
from gatebench.errors import UntrustedError, UsageError
from gatebench.history import FEWEST, Series, Step, histories
from gatebench.model import Gate, Run, Session
from gatebench.report import history_page

CPU = "cpu_us_per_request"


def night(
    number: int,
    *,
    cost_us: float = 100.0,
    stacks: Sequence[str] = (GTHREAD,),
    measures: Sequence[str] = ("plain closed(64)",),
    blocks: int = 6,
    spoil: Callable[[Run], Run] = lambda run: run,
) -> Session:
    """One of the sessions that a machine makes night after night."""
    name = f"nightly-{number:03}"
    made = sessions.session(
        stacks=stacks,
        measures=measures,
        blocks=blocks,
        seed=number,
        spoil=lambda run: spoil(replace(run, session=name)),
        truth=sessions.Truth(cost_us=lambda stack, scenario, size: cost_us),
    )
    began = START + timedelta(days=number)
    ended = (began + timedelta(minutes=2)).isoformat()
    return replace(made, name=name, started_at=began.isoformat(), ended_at=ended, commit=f"{number:012x}")


def nights(*costs_us: float, first: int = 0) -> list[Session]:
    return [night(number, cost_us=cost_us) for number, cost_us in enumerate(costs_us, start=first)]


def only(found: Sequence[Series]) -> Series:
    assert len(found) == 1
    return found[0]


def of_cpu(made: Sequence[Session]) -> Series:
    return only(histories(made, metric_names=[CPU]))


def only_step(series: Series) -> Step:
    assert len(series.steps) == 1
    return series.steps[0]


def as_gate(session: Session) -> Session:
    gate = Gate(
        base=GTHREAD,
        head=GTHREAD,
        again=None,
        arms={},
        leading=CPU,
        margins={CPU: 0.025},
        looks=(6,),
        errors=(0.025,),
        beside=True,
        budget_s=60.0,
        confirm=False,
    )
    return replace(session, gate=gate)


def on_python(session: Session, python: str) -> Session:
    facts = session.stacks[GTHREAD]
    return replace(session, stacks={GTHREAD: {**facts, "versions": {**facts["versions"], "python": python}}})


def written(folder: Path, made: Sequence[Session]) -> Path:
    for session in made:
        sessions.write(folder / "results", session)
    return folder / "results"


def told(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["history", str(folder / "results"), "--out", str(folder / "page.html"), *words])


def test_a_change_of_level_is_told_with_its_place_its_size_and_what_else_differs() -> None:
    made = nights(*[100.0] * 8, *[110.0] * 8)
    updated = {GTHREAD: {**made[8].stacks[GTHREAD], "versions": {"flask": "3.2.0", "gunicorn": "23.0.0"}}}
    series = of_cpu([*made[:8], *(replace(session, stacks=updated) for session in made[8:])])
    step = only_step(series)
    assert (step.last.session, step.first.session) == ("nightly-007", "nightly-008")
    assert step.share == pytest.approx(0.10, abs=0.01)
    assert not step.better
    assert step.p_value <= 0.01
    assert step.differs == (
        "commit 000000000007 → 000000000008",
        "flask 3.1.2 → 3.2.0",
        "psycopg 3.2.10 → none",
    )
    assert [(level.start, level.end) for level in series.levels] == [(0, 8), (8, 16)]


def test_what_costs_less_became_better() -> None:
    assert only_step(of_cpu(nights(*[110.0] * 8, *[100.0] * 8))).better


def test_where_nothing_changed_nothing_is_told() -> None:
    series = of_cpu(nights(*[100.0] * 20))
    assert series.enough
    assert series.steps == ()


def test_one_slow_session_at_the_end_is_no_change() -> None:
    assert of_cpu(nights(*[100.0] * 15, 150.0)).steps == ()


def test_too_few_sessions_are_said_to_be_too_few() -> None:
    series = of_cpu(nights(*[100.0] * 5, *[200.0] * 5))
    assert not series.enough
    assert series.steps == ()
    assert series.too_few == f"too few to tell: 10 of the {FEWEST} sessions that it takes"


def test_a_point_is_the_median_over_valid_blocks_with_its_interval() -> None:
    spoiled = night(1, blocks=8, spoil=lambda run: make_void(run) if run.block == 2 else run)
    point = of_cpu([spoiled]).latest
    assert point.estimate.blocks == 7
    assert point.trials == 8
    assert point.estimate.low is not None
    assert point.estimate.high is not None
    assert point.estimate.low < point.estimate.value < point.estimate.high


def test_sessions_are_taken_by_the_time_they_began_whatever_their_order() -> None:
    made = nights(100.0, 110.0, 120.0)
    assert of_cpu(made[::-1]) == of_cpu(made)
    assert [point.session for point in of_cpu(made).points] == ["nightly-000", "nightly-001", "nightly-002"]


def test_a_session_that_is_there_twice_counts_once_with_the_longer_file() -> None:
    whole = night(1)
    short = replace(whole, runs=whole.runs[:3])
    assert only(histories([short, whole, short], metric_names=[CPU])).latest.estimate.blocks == 6


@pytest.mark.parametrize(
    "other",
    [
        lambda session: replace(session, machine=replace(session.machine, identity="another")),
        lambda session: replace(session, backend="container"),
        lambda session: replace(session, surroundings={"network": "bridge"}),
        lambda session: on_python(session, "3.12.4"),
        lambda session: replace(session, plan=replace(session.plan, python="3.14t")),
        lambda session: replace(
            session, runs=tuple(replace(run, placement={**run.placement, "server": (1,)}) for run in session.runs)
        ),
        lambda session: replace(session, runs=tuple(replace(run, scenario_version=2) for run in session.runs)),
        lambda session: replace(
            session,
            plan=replace(session.plan, parts=tuple(replace(part, window_s=9.0) for part in session.plan.parts)),
        ),
    ],
    ids=["machine", "backend", "network", "python", "free-threaded", "placement", "scenario version", "window"],
)
def test_what_was_measured_otherwise_is_never_mixed(other: Callable[[Session], Session]) -> None:
    made = histories([night(1), other(night(2))], metric_names=[CPU])
    assert sorted(each.latest.session for each in made) == ["nightly-001", "nightly-002"]
    assert len({(str(each.room), str(each)) for each in made}) == 2, "and a reader can tell them apart"


def test_a_newer_patch_of_python_is_a_change_to_be_seen_and_no_other_series() -> None:
    series = of_cpu([on_python(night(1), "3.11.9"), on_python(night(2), "3.11.10")])
    assert [point.facts["python"] for point in series.points] == ["3.11.9", "3.11.10"]


def test_each_stack_scenario_and_load_is_a_cell_of_its_own_in_the_plans_order() -> None:
    made = night(1, stacks=(GTHREAD, FASTAPI), measures=("plain closed(64)", "plain closed(8)", "json closed(64)"))
    found = histories([made], metric_names=[CPU])
    assert [(each.scenario, each.load, each.stack) for each in found] == [
        (scenario, load, stack)
        for scenario, load in (("plain", "closed(64)"), ("plain", "closed(8)"), ("json", "closed(64)"))
        for stack in (GTHREAD, FASTAPI)
    ]
    chosen = histories([made], metric_names=[CPU], stacks=[FASTAPI], scenarios=["json"])
    assert [(each.scenario, each.stack) for each in chosen] == [("json", FASTAPI)]


def test_response_times_count_only_where_every_valid_block_has_one() -> None:
    def overloaded(run: Run) -> Run:
        return replace(run, overloaded=run.block == 0)

    found = histories([night(1), night(2, spoil=overloaded)], metric_names=["response_p50_s"])
    assert [point.session for point in only(found).points] == ["nightly-001"]
    assert only(found).missing == 1


def test_sessions_of_gates_have_no_series() -> None:
    assert histories([as_gate(night(1))]) == ()


def test_a_metric_that_may_be_nothing_has_levels_all_the_same() -> None:
    made = nights(*[100.0] * FEWEST)
    series = only(histories(made, metric_names=["refused"]))
    assert [level.value for level in series.levels] == [0.0]


def test_the_terminal_and_the_page_say_what_changed(tmp_path: Path) -> None:
    written(tmp_path, nights(*[100.0] * 8, *[110.0] * 8))
    result = told(tmp_path, "--metric", "cpu")
    assert result.exit_code == 0, result.output
    line = next(line for line in result.output.splitlines() if line.startswith("between"))
    assert line.startswith(f"between 2026-02-07 12:00 and 2026-02-08 12:00: flagship: {GTHREAD}, plain closed(64)")
    assert ", cpu: +9.7 %" in line
    assert "worse" in line
    assert line.endswith("commit 000000000007 → 000000000008")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "1 change of level in 1 series" in page.text
    assert "commit 000000000007 → 000000000008" in page.text
    drawn = [attrs["aria-label"] for tag, attrs in page.tags if tag == "svg"]
    assert len(drawn) == 1
    assert drawn[0] is not None
    assert "Server CPU per request" in drawn[0]


def test_the_page_stands_alone_and_is_the_same_each_time(tmp_path: Path) -> None:
    made = nights(*[100.0] * 12)
    text = history_page.page(histories(made))
    assert text == history_page.page(histories(made))
    for address in ("http:", "https:", "//", "src=", "@import", "<script"):
        assert address not in text
    ids = Page(text).attributes("id")
    assert len(ids) == len(set(ids))


def test_the_page_escapes_what_files_hold() -> None:
    evil = "<script>alert(1)</script>"
    made = [replace(session, commit=f"{evil}{session.name}") for session in nights(*[100.0] * 8, *[200.0] * 8)]
    text = history_page.page(histories(made), notices=[evil])
    assert "<script" not in text
    assert "alert(1)" in Page(text).text


def test_a_cell_of_one_session_is_listed_and_not_drawn() -> None:
    text = history_page.page(histories(nights(100.0)))
    assert "too few to tell: 1 of the" in Page(text).text
    assert "<svg" not in text


def test_of_many_cells_those_that_changed_are_drawn_and_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_page, "MOST_DRAWN", 1)
    steady = [night(number, measures=("plain closed(8)",)) for number in range(16)]
    changed = nights(*[100.0] * 8, *[200.0] * 8)
    both = histories([*steady, *(replace(each, name=f"other-{each.name}") for each in changed)], metric_names=[CPU])
    page = Page(history_page.page(both))
    assert "1 of 2 cells are drawn" in page.text
    (drawn,) = [attrs["aria-label"] for tag, attrs in page.tags if tag == "svg"]
    assert drawn is not None
    assert "closed(64)" in drawn


def test_invented_figures_are_said_to_be_invented(tmp_path: Path) -> None:
    invented = night(1)
    runs = tuple(replace(run, backend="fake") for run in invented.runs)
    written(tmp_path, [replace(invented, backend="fake", runs=runs)])
    assert "invented" in told(tmp_path).output
    assert "invented" in Page((tmp_path / "page.html").read_text(encoding="utf-8")).text


def test_several_machines_are_told_each_by_itself(tmp_path: Path) -> None:
    here = night(1)
    there = replace(night(2), machine=replace(here.machine, identity="anothermachine"))
    written(tmp_path, [here, there])
    result = told(tmp_path)
    assert result.output.count("machine 9f2c51d0aa34") == 1
    assert result.output.count("machine anothermachine") == 1


def test_json_holds_points_levels_and_changes(tmp_path: Path) -> None:
    written(tmp_path, nights(*[100.0] * 8, *[110.0] * 8))
    series = json.loads(told(tmp_path, "--metric", CPU, "--json").stdout)["series"][0]
    assert len(series["points"]) == 16
    assert series["steps"][0]["first"]["session"] == "nightly-008"
    assert series["levels"][1]["value"] == pytest.approx(110, rel=0.02)


def test_gates_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    written(tmp_path, [night(1), as_gate(night(2))])
    assert "One session of a gate is left out" in told(tmp_path).output


def test_a_file_that_cannot_be_read_is_refused_by_name_or_left_out_where_that_is_wanted(tmp_path: Path) -> None:
    folder = written(tmp_path, [night(1)])
    (folder / "broken.jsonl").write_text('{"kind": "session"', encoding="utf-8")
    refused = told(tmp_path).exception
    assert isinstance(refused, UsageError)
    assert "broken.jsonl" in str(refused)
    assert not (tmp_path / "page.html").exists()
    result = told(tmp_path, "--skip-unreadable")
    assert result.exit_code == 0
    assert "broken.jsonl" in result.output


def test_sessions_without_a_valid_trial_are_nothing_to_trust(tmp_path: Path) -> None:
    written(tmp_path, [night(1, spoil=make_void)])
    error = told(tmp_path).exception
    assert isinstance(error, UntrustedError)
    assert "without a valid trial" in str(error)


def test_a_metric_that_no_trial_has_is_nothing_to_trust(tmp_path: Path) -> None:
    written(tmp_path, [night(1)])
    assert isinstance(told(tmp_path, "--metric", "connections").exception, UntrustedError)


@pytest.mark.parametrize(
    "words",
    [("--metric", "cpus"), ("--stack", "flask+gunicorn-gthred"), ("--scenario", "plane"), ("nowhere",)],
)
def test_what_is_not_there_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    written(tmp_path, [night(1)])
    error = told(tmp_path, *words).exception
    assert isinstance(error, UsageError)
    assert words[-1] in str(error)


def test_a_path_that_is_not_there_is_refused_also_where_unreadable_files_are_left_out(tmp_path: Path) -> None:
    written(tmp_path, [night(1)])
    error = told(tmp_path, "--skip-unreadable", str(tmp_path / "nowhere")).exception
    assert isinstance(error, UsageError)
    assert "nowhere" in str(error)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results" / "reference").mkdir(parents=True)
    error = told(tmp_path).exception
    assert isinstance(error, UsageError)
    assert "nor below it" in str(error)


def test_sessions_that_lie_below_a_folder_are_found_and_it_is_said_where(tmp_path: Path) -> None:
    sessions.write(tmp_path / "results" / "reference", night(1))
    result = told(tmp_path)
    assert result.exit_code == 0
    assert " folders: " not in result.output
    sessions.write(tmp_path / "results" / "power", night(2))
    result = told(tmp_path, "--metric", "cpu", "--json")
    found = json.loads(result.stdout)
    assert [point["session"] for point in found["series"][0]["points"]] == ["nightly-001", "nightly-002"]
    (notice,) = found["notices"]
    assert notice.startswith("The sessions lie in 2 folders: ")
    assert notice.index("power") < notice.index("reference")


def test_what_was_measured_beside_a_noisy_neighbour_is_held_against_its_like_alone(tmp_path: Path) -> None:
    noisy = [replace(night(number), surroundings={"neighbour": "busy in bursts"}) for number in (1, 3)]
    quiet = [night(2), replace(night(4), surroundings={"neighbour": "none"})]
    found = histories([*noisy, *quiet], metric_names=[CPU])
    told = {each.room.neighbour: [point.session for point in each.points] for each in found}
    assert told == {"busy in bursts": ["nightly-001", "nightly-003"], None: ["nightly-002", "nightly-004"]}
    assert sum(str(each.room).endswith("; with a neighbour, busy in bursts") for each in found) == 1


def test_only_gates_are_refused(tmp_path: Path) -> None:
    written(tmp_path, [as_gate(night(1))])
    assert isinstance(told(tmp_path).exception, UsageError)
