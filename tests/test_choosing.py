"""Which stack to take: places and what they leave open, from sessions whose truth is known; what moving would buy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import sessions
from sessions import FASTAPI, GTHREAD, SYNC, Truth, make_void, part

from gatebench.metrics import TIMES
from gatebench.model import Part, Run, Session
from gatebench.report import choosing, setup
from gatebench.report.choosing import Question, Ranking
from gatebench.report.found import find
from gatebench.report.language import Language
from gatebench.tables import places

SAY = Language("en")
STAGES = tuple(f"nginx[asgi={FASTAPI},stage={stage},wsgi={GTHREAD}]" for stage in (1, 2, 3))


def rates(found: Mapping[str, float], noise: float = 0.01) -> Truth:
    return Truth(rate=lambda stack, scenario, size: found[stack], noise=noise)


def ask(session: Session) -> tuple[Question, ...]:
    return choosing.questions(find(session), SAY)


def ranked(
    found: Mapping[str, float], noise: float = 0.01, spoil: sessions.Spoil = lambda run: run, name: str = "flagship"
) -> Ranking:
    measured = part(name, tuple(found), ("plain closed(64)",), blocks=6)
    [question] = ask(sessions.session(parts=[measured], truth=rates(found, noise), spoil=spoil))
    [ranking] = question.rankings
    return ranking


def by_place(ranking: Ranking) -> list[tuple[str, str]]:
    return [(row.place, row.stack) for row in ranking.rows]


def only_block(stack: str) -> Callable[[Run], Run]:
    return lambda run: make_void(run) if run.stack == stack and run.block else run


def test_stacks_are_ranked_by_what_they_reached_and_the_answer_names_the_best() -> None:
    found = ranked({SYNC: 1000, GTHREAD: 2000, FASTAPI: 4000})
    assert by_place(found) == [("1", FASTAPI), ("2", GTHREAD), ("3", SYNC)]
    assert found.answer.startswith(f"{FASTAPI} is ahead: 2")
    assert found.answer.endswith(f"what {GTHREAD} reached.")
    assert found.rows[1].of_best.value.startswith("0.5")


def test_places_that_no_block_tells_apart_are_a_range_and_the_answer_says_so() -> None:
    found = ranked({SYNC: 1000, GTHREAD: 4000, FASTAPI: 4000}, noise=0.05)
    assert [row.place for row in found.rows] == ["1\N{EN DASH}2", "1\N{EN DASH}2", "3"]
    assert found.answer.startswith("Nothing was evidently ahead of ")
    assert SYNC not in found.answer


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([40, 30, 20, 10], [(1, 1), (2, 2), (3, 3), (4, 4)]),
        ([40, 39, 38, 10], [(1, 3), (1, 3), (1, 3), (4, 4)]),
        # The second is apart from neither neighbour, though these are from each other.
        ([40, 36, 32, 10], [(1, 2), (1, 3), (2, 3), (4, 4)]),
        ([], []),
    ],
)
def test_a_place_is_bounded_by_those_evidently_ahead_and_those_evidently_behind(
    values: list[int], expected: list[tuple[int, int]]
) -> None:
    assert places(values, lambda one, other: (one - other > 5) - (other - one > 5)) == expected


def test_a_stack_of_one_block_is_not_ranked_however_good_its_figure() -> None:
    found = ranked({SYNC: 1000, GTHREAD: 2000, FASTAPI: 4000}, spoil=only_block(FASTAPI))
    assert by_place(found) == [("1", GTHREAD), ("2", SYNC), ("not ranked: no interval", FASTAPI)]
    assert found.answer.startswith(f"{GTHREAD} is ahead")
    assert found.rows[-1].of_best.value == "—"


def test_fewer_connections_in_one_block_are_no_tie_with_more_in_all() -> None:
    measured = part("connections.sse_10000", (GTHREAD, SYNC, FASTAPI), ("push hold(10000)",), blocks=3)
    kept = {GTHREAD: 2987, SYNC: 10_000, FASTAPI: 10_000}
    session = sessions.session(
        parts=[measured], truth=Truth(kept=lambda stack, scenario, size: kept[stack]), spoil=only_block(GTHREAD)
    )
    [question] = ask(session)
    assert by_place(question.rankings[0])[-1] == ("not ranked: no interval", GTHREAD)
    assert GTHREAD not in question.rankings[0].answer


def test_an_interval_whose_ends_lie_far_apart_gives_no_place() -> None:
    def spoil(run: Run) -> Run:
        wild = run.stack == GTHREAD and run.block % 2
        return replace(run, requests=(run.requests or 0) // 100) if wild else run

    found = ranked({SYNC: 1000, GTHREAD: 2000, FASTAPI: 4000}, spoil=spoil)
    assert by_place(found) == [("1", FASTAPI), ("2", SYNC), ("not told apart: interval too wide", GTHREAD)]
    assert found.rows[-1].figure.interval == "interval too wide"


def test_where_no_two_have_an_interval_nothing_is_said_to_be_ahead() -> None:
    def spoil(run: Run) -> Run:
        return only_block(GTHREAD)(only_block(FASTAPI)(run))

    found = ranked({GTHREAD: 2000, FASTAPI: 4000}, spoil=spoil)
    assert found.answer.startswith("No two of them can be ranked")
    assert {row.place for row in found.rows} == {"not ranked: no interval"}
    assert {row.of_best.value for row in found.rows} == {"—"}


def test_one_stack_alone_answers_no_question() -> None:
    session = sessions.session(stacks=(FASTAPI,), measures=("plain closed(64)",), blocks=6)
    assert ask(session) == ()


def test_bare_callables_take_no_place_among_frameworks() -> None:
    bare = "raw_asgi+uvicorn"
    found = ranked({bare: 9000, GTHREAD: 2000, FASTAPI: 4000}, name="servers.frameworks")
    assert by_place(found) == [("1", FASTAPI), ("2", GTHREAD), ("bare callable: no framework", bare)]
    assert found.rows[-1].of_best.value.startswith("2.")


def test_the_flagship_is_ranked_first_and_servers_with_bare_callables_last() -> None:
    loads = ("plain closed(64)",)
    raw = ("raw_wsgi+a", "raw_wsgi+b", "raw_wsgi+c", "raw_wsgi+d")
    parts: list[Part] = [
        part("servers.order", raw, loads),
        part("servers.frameworks", ("bottle+a", "django+a", "pyramid+a", FASTAPI), loads),
        part("flagship", (GTHREAD, FASTAPI), ("plain closed(64)", "json closed(64)")),
    ]
    first, second = ask(sessions.session(parts=parts))
    assert [each.part for each in first.rankings] == ["flagship", "servers.frameworks", "servers.order"]
    assert "bare callable" in " ".join(first.rankings[-1].notes)
    assert not first.rankings[0].notes
    assert [each.headline for each in (first, second)] == [True, False]


def test_the_flagship_is_drawn_with_its_blocks_and_other_parts_are_not() -> None:
    assert ranked({GTHREAD: 2000, FASTAPI: 4000}).picture is not None
    assert ranked({GTHREAD: 2000, FASTAPI: 4000}, name="curves.users").picture is None


def test_rankings_of_one_question_say_in_what_they_differ_that_figures_hang_on() -> None:
    loads = ("plain closed(64)",)
    short = replace(part("curves.workers", (GTHREAD, FASTAPI), loads), window_s=1.0, server_cpus=4)

    def spoil(run: Run) -> Run:
        return replace(run, placement={"server": (2, 3)}) if run.part == "curves.workers" else run

    [question] = ask(sessions.session(parts=[part("flagship", (GTHREAD, FASTAPI), loads), short], spoil=spoil))
    assert [each.notes for each in question.rankings] == [
        ("CPUs of the server: 1.", "Windows of 3 s."),
        ("CPUs of the server: 2.", "Windows of 1 s."),
    ]


def test_the_plan_shows_on_how_many_cpus_servers_ran_and_what_was_planned_where_it_differs() -> None:
    def spoil(run: Run) -> Run:
        return replace(run, placement={"server": (2, 3)}) if run.part == "curves.workers" else run

    parts = [part(name, measures=("plain closed(64)",)) for name in ("flagship", "curves.workers", "rules.cpu")]
    parts[1] = replace(parts[1], server_cpus=4)
    found = find(sessions.session(parts=parts, spoil=lambda run: spoil(replace(run, placement={}))))
    [matrix] = [each for each in setup.matrices(found, SAY) if each.anchor == "parts"]
    at = matrix.heads.index("CPUs of the server")
    assert [values[at] for _, values in matrix.rows] == ["1", "2 (planned: 4)", "1"]


@pytest.mark.parametrize(("blocks", "few"), [(3, True), (6, False)])
def test_a_figure_of_few_blocks_is_marked(blocks: int, few: bool) -> None:
    measured = part("flagship", (GTHREAD, FASTAPI), ("plain closed(64)",), blocks=blocks)
    [question] = ask(sessions.session(parts=[measured], truth=rates({GTHREAD: 2000, FASTAPI: 4000})))
    assert {row.few for row in question.rankings[0].rows} == {few}


def profiled(tuned: float) -> Ranking:
    other = f"{FASTAPI}@tuned"
    found = {GTHREAD: 2000.0, FASTAPI: 4000.0, other: tuned}
    session = sessions.session(
        parts=[part("flagship", tuple(found), ("external closed(64)",), blocks=6)], truth=rates(found)
    )
    pools = {GTHREAD: 16, FASTAPI: 16, other: 64}
    stacks = {stack: {"settings": {"pool_size": size, "workers": 1}} for stack, size in pools.items()}
    [question] = ask(replace(session, stacks=stacks))
    return question.rankings[0]


def test_a_profile_that_did_worse_than_the_stack_without_it_has_its_other_settings_named() -> None:
    [note] = profiled(tuned=1000).notes
    assert note.startswith(f"{FASTAPI}@tuned stayed behind {FASTAPI}; ")
    assert note.endswith(": pool_size 64 instead of 16.")
    assert profiled(tuned=6000).notes == profiled(tuned=4000).notes == ()


def held(kept: Mapping[str, int], spoil: sessions.Spoil = lambda run: run) -> Question:
    measured = part("websockets.kept", tuple(kept), ("websocket hold(2000)",), blocks=6)
    truth = Truth(kept=lambda stack, scenario, size: kept[stack])
    [question] = ask(sessions.session(parts=[measured], truth=truth, spoil=spoil))
    return question


def test_what_held_connections_are_asked_for_is_how_many_were_kept() -> None:
    question = held({GTHREAD: 16, FASTAPI: 2000})
    assert question.users == "2,000 connections"
    assert question.rankings[0].metric == "Connections kept"
    assert question.rankings[0].rows[0].stack == FASTAPI
    assert not question.rankings[0].notes


def test_where_all_kept_as_many_connections_the_least_memory_is_first_and_it_is_said() -> None:
    [ranking] = held({GTHREAD: 2000, FASTAPI: 2000}).rankings
    assert ranking.metric == "Proportional memory, peak"
    assert by_place(ranking) == [("1", GTHREAD), ("2", FASTAPI)]
    assert ranking.answer.startswith(f"{GTHREAD} is ahead in Proportional memory, peak: 0.")
    assert any("kept the same number of connections" in note for note in ranking.notes)
    assert "Connections kept" in ranking.beside


def staged(spoil: sessions.Spoil = lambda run: run, share: bool = True, rising: bool = True) -> choosing.Moving:
    costs = dict(zip(STAGES if rising else STAGES[::-1], (1000.0, 2000.0, 4000.0), strict=True))
    session = sessions.session(
        parts=[part("migration.stages", STAGES, ("mixed closed(64)",))], truth=rates(costs), spoil=spoil
    )
    shares = zip(STAGES, (0.9, 0.4, 0.05), strict=True)
    stacks = {stack: {"settings": {"wsgi_share": each}, "versions": {}} for stack, each in shares}
    found = choosing.moving(find(replace(session, stacks=stacks) if share else session), SAY)
    assert found is not None
    return found


def test_what_moving_buys_is_said_from_the_figures_with_what_is_better() -> None:
    found = staged()
    assert [name for name, _ in found.rows] == [
        "stage 1 (90 % of requests to WSGI, 10 % to ASGI): new APIs on ASGI",
        "stage 2 (40 % of requests to WSGI, 60 % to ASGI): high-concurrency endpoints moved",
        "stage 3 (5 % of requests to WSGI, 95 % to ASGI): main features moved",
    ]
    assert found.sentence.startswith("From stage 1 (90 % of requests to WSGI, 10 % to ASGI) to stage 3 (5 %")
    assert f"Requests per second 4.00{TIMES} (" in found.sentence
    for said in ("), better; Response time, p99 0.2", "), better; Server CPU", "), not told apart."):
        assert said in found.sentence
    assert "worse" in staged(rising=False).sentence
    assert found.heads[0] == "Requests per second"
    assert found.heads[2] == "Response time, p99 (lower is better)"


def test_a_stage_without_a_recorded_share_is_called_by_its_stack() -> None:
    names = [name for name, _ in staged(share=False).rows]
    assert [name.startswith(stack) for name, stack in zip(names, STAGES, strict=True)] == [True] * 3


def test_a_base_without_a_figure_is_no_multiple_of_itself() -> None:
    found = staged(spoil=lambda run: replace(run, response=None) if run.stack == STAGES[0] else run)
    rate, p99 = found.rows[0][1][:2], found.rows[0][1][2:4]
    assert rate[1].value == f"1{TIMES}"
    assert [each.value for each in p99] == ["—", "—"]
