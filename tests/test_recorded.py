"""What was measured before and is judged as a gate: what is refused by name, what is warned of, what is let be."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from gates import BASE, HEAD, PLAIN, flat, gate_session
from sessions import FASTAPI, GTHREAD, SYNC, part, session, write

from gatebench import store
from gatebench.errors import UsageError
from gatebench.gate import MARGINS, judge, recorded
from gatebench.model import Part, Session, Setting

JSON = "json closed(64)"


def judged_of(
    made: Sequence[Session], base: str | None = None, head: str | None = None, scenarios: Sequence[str] = ()
) -> Session:
    return recorded(
        made, base=base, head=head, scenarios=scenarios, leading="cpu_us_per_request", margins=dict(MARGINS)
    )


def later(measures: Sequence[str] = (PLAIN,), **changed: object) -> Session:
    """Make a session up that was measured a day after those that sessions.session makes, of one stack."""
    made = session(stacks=(GTHREAD,), measures=measures, blocks=6, seed=2)
    named = {"name": "flagship-20260201T120000Z-3c4d", "started_at": "2026-02-01T12:00:00+00:00"}
    return replace(made, **(named | changed))  # type: ignore[arg-type]


def earlier(measures: Sequence[str] = (PLAIN,), **changed: object) -> Session:
    return replace(session(stacks=(GTHREAD,), measures=measures, blocks=6), **changed)  # type: ignore[arg-type]


def scenarios_of(made: Session) -> set[tuple[str, str]]:
    return {(each.scenario, each.load) for each in judge(made).findings}


# One session given twice


def test_one_session_given_as_base_and_as_head_is_refused() -> None:
    made = earlier()
    for base in (None, GTHREAD):
        with pytest.raises(UsageError, match="are the same session, flagship-20260131T120000Z-1a2b: name another"):
            judged_of([made, made], base)


def test_a_copy_of_a_file_is_the_same_session_even_where_one_of_them_was_cut_short(tmp_path: Path) -> None:
    whole = earlier()
    cut = replace(whole, runs=whole.runs[:3], ended_at=None)
    read = [store.read(write(tmp_path / name, each)) for name, each in (("a", whole), ("b", cut))]
    with pytest.raises(UsageError, match="the same session"):
        judged_of(read)


def test_two_stacks_of_one_session_given_twice_are_told_that_one_file_is_enough() -> None:
    made = session(measures=(PLAIN,), blocks=6)
    with pytest.raises(UsageError, match=r"enough for --base flask\+gunicorn-sync --head flask\+gunicorn-gthread"):
        judged_of([made, made], SYNC, GTHREAD)
    judgement = judge(judged_of([made], SYNC, GTHREAD))
    assert not [text for text in judgement.warnings if "session" in text]


@pytest.mark.parametrize(
    "changed", [{"name": "flagship-20260131T120000Z-1a2b"}, {"started_at": earlier().started_at}]
)
def test_sessions_that_share_only_a_name_or_only_a_start_are_two(changed: dict[str, object]) -> None:
    judgement = judge(judged_of([earlier(), later(**changed)]))  # type: ignore[arg-type]
    assert any("come from two sessions" in text for text in judgement.warnings)


# Scenarios and loads of one arm alone


def test_a_scenario_that_one_session_alone_has_is_refused_unless_others_are_named() -> None:
    both = [earlier((PLAIN, JSON)), later((PLAIN, "db closed(64)"))]
    with pytest.raises(
        UsageError, match=r"json \(closed\(64\)\) in base alone; db \(closed\(64\)\) in head alone.*\(plain\)"
    ):
        judged_of(both)
    assert scenarios_of(judged_of(both, scenarios=("plain",))) == {("plain", "closed(64)")}
    with pytest.raises(UsageError, match=r"db .* in head alone"):
        judged_of(both, scenarios=("plain", "db"))
    with pytest.raises(UsageError, match=r"--scenario upload: .*both have plain"):
        judged_of(both, scenarios=("upload",))


@pytest.mark.parametrize("scenarios", [(), ("plain",)])
def test_a_scenario_under_other_loads_in_the_two_sessions_is_refused_with_both(scenarios: Sequence[str]) -> None:
    for ours, theirs in (
        ([PLAIN, JSON], ["plain closed(8)", JSON]),
        ([PLAIN, JSON], [PLAIN, "plain closed(8)", JSON]),
    ):
        with pytest.raises(
            UsageError, match=r"plain under closed\(64\) in base and under .*closed\(8\) in head; name .*\(json\)"
        ):
            judged_of([earlier(ours), later(theirs)], scenarios=scenarios)


def test_where_no_scenario_has_the_same_loads_in_both_sessions_only_measuring_helps() -> None:
    with pytest.raises(UsageError, match=r"in base and under closed\(64\), closed\(8\) in head; measure both alike"):
        judged_of([earlier(), later([PLAIN, "plain closed(8)"])])


def test_what_one_stack_of_a_session_has_alone_is_refused_until_scenarios_are_named() -> None:
    parts = [
        part("both", [GTHREAD, FASTAPI], [PLAIN, JSON]),
        part("one", [FASTAPI], ["websocket closed(16)", "plain closed(8)"]),
    ]
    made = session(parts=parts)
    with pytest.raises(UsageError, match=r"websocket \(closed\(16\)\) in head alone; plain under .*\(plain, json\)"):
        judged_of([made], GTHREAD, FASTAPI)
    assert scenarios_of(judged_of([made], GTHREAD, FASTAPI, ("json",))) == {("json", "closed(64)")}
    one = judged_of([made], GTHREAD, FASTAPI, ("plain",))
    assert scenarios_of(one) == {("plain", "closed(64)")}
    said = "plain under closed(64) in base and under closed(64), closed(8) in head"
    assert any(said in text for text in judge(one).warnings)


def test_a_scenario_that_both_have_in_parts_of_their_own_is_not_left_out_in_silence() -> None:
    parts = [
        part("both", [SYNC, GTHREAD], [PLAIN]),
        part("a", [SYNC], [JSON]),
        part("b", [GTHREAD], [JSON]),
    ]
    made = session(parts=parts)
    with pytest.raises(UsageError, match=r"json \(closed\(64\)\) in base and head, but in different parts"):
        judged_of([made], SYNC, GTHREAD)
    assert scenarios_of(judged_of([made], SYNC, GTHREAD, ("plain",))) == {("plain", "closed(64)")}


def test_what_was_planned_of_both_and_not_made_of_one_is_judged_and_unsure() -> None:
    cut = later((PLAIN, JSON))
    cut = replace(cut, runs=tuple(run for run in cut.runs if run.scenario == "plain"), interrupted=True)
    assert judge(judged_of([earlier((PLAIN, JSON)), cut])).word == "unsure"


def test_stacks_of_different_parts_are_refused_with_the_parts_and_what_stands_in_them() -> None:
    parts = [part("first", [SYNC, GTHREAD], [PLAIN]), part("second", [SYNC, FASTAPI], [PLAIN])]
    with pytest.raises(UsageError) as refused:
        judged_of([session(parts=parts)], GTHREAD, FASTAPI)
    message = str(refused.value)
    assert "measured in different parts of flagship-20260131T120000Z-1a2b" in message
    assert f"{GTHREAD} has plain closed(64) in part first; {FASTAPI} has plain closed(64) in part second" in message
    assert f"name two of one part (first has {SYNC}, {GTHREAD}; second has {SYNC}, {FASTAPI})" in message
    alone = [part("first", [GTHREAD], [PLAIN]), part("second", [FASTAPI], [PLAIN])]
    with pytest.raises(UsageError, match="within a part alone: measure both in one part of a plan"):
        judged_of([session(parts=alone)], GTHREAD, FASTAPI)


# Where the trials ran


def placed(made: Session, stack: str, cpus: Mapping[str, tuple[int, ...]], some: int = 1) -> Session:
    """The session with trials of a stack on other CPUs, every so many of its blocks."""
    return replace(
        made,
        runs=tuple(
            replace(run, placement={**run.placement, **cpus}) if (run.stack, run.block % some) == (stack, 0) else run
            for run in made.runs
        ),
    )


@pytest.mark.parametrize(
    ("some", "cpus", "named"),
    [
        (1, {"server": (1,)}, r"6 of its 6 trials .*\(server on CPU 1, where it says server on CPU 3\)"),
        (3, {"server": (2, 3)}, r"2 of its 6 trials .*\(server on CPU 2\+3, where it says server on CPU 3\)"),
        (
            1,
            {"generator": (0,), "services": (1,)},
            r".*\(generator on CPU 0, services on CPU 1, where it says generator",
        ),
    ],
)
def test_trials_that_ran_on_other_cpus_than_their_session_says_are_refused(
    some: int, cpus: Mapping[str, tuple[int, ...]], named: str
) -> None:
    made = session(stacks=(SYNC, GTHREAD), measures=(PLAIN,), blocks=6)
    for stack in (SYNC, GTHREAD):
        with pytest.raises(UsageError, match=f"{re.escape(stack)} of flagship.*cannot be judged, since {named}"):
            judged_of([placed(made, stack, cpus, some)], SYNC, GTHREAD)
    for both in (
        [placed(earlier(), GTHREAD, cpus, some), later()],
        [earlier(), placed(later(), GTHREAD, cpus)],
    ):
        with pytest.raises(UsageError, match="another placement than the header says"):
            judged_of(both)


def test_trials_of_a_stack_that_is_not_judged_may_have_run_anywhere() -> None:
    made = placed(session(measures=(PLAIN,), blocks=6), FASTAPI, {"server": (1,)})
    assert judge(judged_of([made], SYNC, GTHREAD)).findings


def test_a_part_with_fewer_cpus_than_the_session_has_is_placed_on_the_last_of_them() -> None:
    made = session(stacks=(SYNC, GTHREAD), measures=(PLAIN,), blocks=6)
    wide = replace(made, placement=replace(made.placement, server=(2, 3)))
    assert judge(judged_of([wide], SYNC, GTHREAD)).findings
    both = parts_with(wide, lambda each: replace(each, server_cpus=2))
    with pytest.raises(UsageError, match=r"server on CPU 3, where it says server on CPU 2\+3"):
        judged_of([both], SYNC, GTHREAD)


def test_older_trials_that_do_not_say_where_they_ran_are_judged() -> None:
    made = session(stacks=(SYNC, GTHREAD), measures=(PLAIN,), blocks=6)
    silent = replace(made, runs=tuple(replace(run, placement={}) for run in made.runs))
    assert judge(judged_of([silent], SYNC, GTHREAD)).findings


def test_a_gates_own_trials_that_ran_elsewhere_are_refused_too() -> None:
    for arm in (BASE, HEAD):
        with pytest.raises(UsageError, match=f"{re.escape(arm)} of gate-.* cannot be judged, since 12 of its 12"):
            judge(judged_of([placed(gate_session(flat(0.0, 12)), arm, {"server": (0,)})]))


def test_trials_whose_windows_were_longer_than_the_header_says_are_refused() -> None:
    for arm in (BASE, HEAD):
        made = gate_session(flat(0.0, 12))
        runs = (replace(run, window_s=2 * (run.window_s or 0)) if run.stack == arm else run for run in made.runs)
        with pytest.raises(UsageError, match=f"{re.escape(arm)} of gate-.* the windows of 12 of its 12 trials"):
            judge(replace(made, runs=tuple(runs)))


# What differs between two sessions


def parts_with(made: Session, change: Callable[[Part], Part]) -> Session:
    return replace(made, plan=replace(made.plan, parts=tuple(map(change, made.plan.parts))))


def service(made: Session, name: str, **settings: Setting) -> Session:
    return replace(made, services={**made.services, name: {**made.services.get(name, {}), **settings}})


def without(made: Session, name: str) -> Session:
    return replace(made, services={each: facts for each, facts in made.services.items() if each != name})


def around(made: Session, **facts: Setting) -> Session:
    return replace(made, backend="container", surroundings={"network": "host", "generator": "process"} | facts)


NOISY = {"neighbour": "busy in bursts of 0.3 s"}


@pytest.mark.parametrize(
    ("base", "head", "named"),
    [
        (
            earlier(surroundings={"neighbour": "none"}),
            later(surroundings=NOISY),
            r"neighbour \(none and busy in bursts of 0\.3 s\)",
        ),
        (earlier(surroundings=NOISY), later(), r"neighbour \(busy in bursts of 0\.3 s and none\)"),
        (
            earlier(),
            parts_with(later(), lambda each: replace(each, warmup_slice_s=0.1)),
            r"slice of the warm-up \(0\.4 s and 0\.1 s\)",
        ),
        (
            earlier(),
            parts_with(later(), lambda each: replace(each, warmup_limit_s=9.0)),
            r"limit of the warm-up \(2\.4 s and 9 s\)",
        ),
        (
            earlier(),
            service(later(), "postgres", shared_buffers="1GB"),
            r"shared_buffers of the service postgres \(128MB and 1GB\)",
        ),
        (service(earlier(), "upstream", workers=2), later(), r"workers of the service upstream \(2 and none\)"),
        (earlier(), without(later(), "postgres"), r"service postgres \(there and not there\)"),
        (without(earlier(), "upstream"), later(), r"service upstream \(not there and there\)"),
        (around(earlier()), around(later(), network="bridge"), r"network of the containers \(host and bridge\)"),
        (
            around(earlier(), generator="container"),
            around(later()),
            r"generator of the containers \(container and process\)",
        ),
        (
            around(earlier(), **{"memory limit, MiB": 2048}),
            around(later(), **{"memory limit, MiB": 512}),
            r"memory limit, MiB of the containers \(2048 and 512\)",
        ),
    ],
)
def test_what_the_trials_were_made_in_must_be_the_same_and_is_named(base: Session, head: Session, named: str) -> None:
    with pytest.raises(UsageError, match=f"do not compare, since they differ in {named}: measure both alike"):
        judged_of([base, head])


def test_a_service_that_only_a_scenario_of_one_session_may_need_keeps_no_other_from_being_judged() -> None:
    more = service(earlier((PLAIN, "redis closed(64)")), "redis", version="7.0.15")
    assert scenarios_of(judged_of([more, later()], scenarios=("plain",))) == {("plain", "closed(64)")}
    with pytest.raises(UsageError, match=r"service redis \(not there and there\)"):
        judged_of([without(more, "redis"), service(later(), "redis", version="7.0.15")], scenarios=("plain",))


def newer_flask(made: Session) -> Session:
    described = made.stacks[GTHREAD]
    return replace(made, stacks={GTHREAD: {**described, "versions": {**described["versions"], "flask": "3.2.0"}}})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda made: replace(made, machine=replace(made.machine, kernel="6.8.0")), "kernel (6.1.0 and 6.8.0)"),
        (lambda made: replace(made, tools={**made.tools, "locust": "2.41.0"}), "locust (2.40.0 and 2.41.0)"),
        (
            lambda made: service(made, "postgres", version="17.0"),
            "version of the service postgres (16.2 and 17.0)",
        ),
        (
            lambda made: replace(made, surroundings={"engine": "Docker 29"}),
            "engine of the containers (none and Docker",
        ),
        (lambda made: replace(made, surroundings={"moon": "full"}), "moon (none and full)"),
        (newer_flask, f"flask of {GTHREAD} (3.1.2 and 3.2.0)"),
    ],
)
def test_what_ages_between_two_sessions_is_warned_of(change: Callable[[Session], Session], said: str) -> None:
    judgement = judge(judged_of([earlier(), change(later())]))
    assert judgement.findings[0].blocks == 6
    assert [text for text in judgement.warnings if f"The sessions differ in {said}" in text]


@pytest.mark.parametrize("surroundings", [NOISY, {"neighbour": "none"}, {"chosen since": "Docker 29 answers"}])
def test_two_sessions_with_the_same_around_them_are_warned_of_nothing(surroundings: dict[str, Setting]) -> None:
    made = judged_of([earlier(surroundings=surroundings), later(surroundings=surroundings)])
    assert not [text for text in judge(made).warnings if "differ" in text]
    if "neighbour" not in surroundings:  # why a backend was chosen surrounds nothing
        assert not [
            text
            for text in judge(judged_of([earlier(), later(surroundings=surroundings)])).warnings
            if "differ" in text
        ]


def test_two_sessions_that_differ_in_nothing_are_warned_of_drift_alone() -> None:
    assert judge(judged_of([earlier(), later()])).warnings == (
        "Base and head come from two sessions: what drifted between them, the machine included, is in the figure.",
    )


def test_parts_that_findings_come_from_are_named_of_both_sessions() -> None:
    made = session(parts=[part("a", [GTHREAD], [PLAIN]), part("b", [GTHREAD], [JSON])])
    judgement = judge(judged_of([made, later((PLAIN, JSON))]))
    assert "The findings come from several parts: a, flagship, b." in judgement.warnings


# A gate's own session


@pytest.mark.parametrize(
    ("base", "head"), [(BASE, HEAD), (HEAD, BASE), (BASE, None), (None, HEAD), ("nothing", "either")]
)
def test_arms_of_a_gates_own_session_are_not_named_anew(base: str | None, head: str | None) -> None:
    with pytest.raises(UsageError, match=r"is a gate's own: its arms were declared with looks and margins before"):
        judged_of([gate_session(flat(0.0, 12))], base, head)


def test_a_gates_own_session_is_judged_alone() -> None:
    made = gate_session(flat(0.0, 12))
    assert judged_of([made]) is made
    for pair in ([made, replace(made, name="another")], [made, later()], [later(), made]):
        for base in (None, BASE):
            with pytest.raises(UsageError, match=r"`gatebench gate FILE`, with this file alone") as refused:
                judged_of(pair, base)
            assert "name " not in str(refused.value)
