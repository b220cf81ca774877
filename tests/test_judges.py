"""What settles each kind of row: the small judges, on evidence that was made up for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import everything
import pytest
import sessions
from sessions import FASTAPI, GTHREAD, SYNC, Truth, part

from gatebench import claims, plan, sweeps, tables
from gatebench.histogram import of_seconds
from gatebench.model import Answer, Connects, Part, Run, Session, Usage, Verdict

ROWS = claims.load()
USUAL = Truth()


def judged(session: Session) -> dict[str, list[Verdict]]:
    compared = tables.comparisons(session)
    found: dict[str, list[Verdict]] = {}
    for verdict in claims.judge(ROWS, claims.gather(session, compared, sweeps.sweeps(compared))):
        found.setdefault(verdict.claim.name, []).append(verdict)
    return found


def of(name: str, *parts: Part, truth: Truth = USUAL, spoil: sessions.Spoil = lambda run: run) -> list[Verdict]:
    return judged(sessions.session(parts=parts, truth=truth, spoil=spoil))[name]


def words(name: str, *parts: Part, truth: Truth = USUAL, spoil: sessions.Spoil = lambda run: run) -> list[str]:
    return [each.word for each in of(name, *parts, truth=truth, spoil=spoil)]


def rates(found: Mapping[str, float | Callable[[int], float]]) -> Truth:
    def rate(stack: str, scenario: str, size: int) -> float | None:
        known = found.get(stack)
        return known(size) if callable(known) else known

    return Truth(rate=rate, noise=0.1)


@pytest.fixture(scope="module")
def whole() -> dict[str, list[Verdict]]:
    return judged(everything.session())


def test_a_session_of_every_plan_settles_every_row(whole: dict[str, list[Verdict]]) -> None:
    assert list(whole) == [each.name for each in ROWS]
    unsettled = [name for name, found in whole.items() if found[0].word == "not yet measured"]
    assert unsettled == ["overview.docs"]  # no stack of the session was asked for its documentation
    assert all(verdict.why for found in whole.values() for verdict in found)


def test_the_plans_of_this_tree_settle_every_row_that_can_be_settled(root: Path) -> None:
    found = judged(everything.session(parts=plan.load(root, "full").parts))
    unsettled = {name for name, verdicts in found.items() if verdicts[0].word == "not yet measured"}
    assert unsettled <= {"overview.docs"}
    assert max(map(len, found.values())) <= 16  # verdicts a row: a table that can still be read


def test_a_row_that_is_not_measured_names_the_plan_that_would() -> None:
    found = judged(sessions.session(blocks=2))
    assert "`gatebench run --plan connections`" in found["connections_10000.memory"][0].why
    assert "`gatebench run --plan rules`" in found["rules.rest"][0].why
    assert "`gatebench run --plan migration`" in found["overview.compatible"][0].why


def test_profiles_that_disagree_make_a_row_depend_on_them() -> None:
    stacks = everything.PROFILED
    headline = part("profiles.headline", stacks, ("plain closed(64)",))
    truth = rates(dict.fromkeys(stacks, 1000.0) | {FASTAPI: 4000.0, f"{FASTAPI}@tuned": 9000.0})
    first, *rest = of("performance.simple", headline, truth=truth)
    assert first.word == "depends"
    assert first.comparison
    assert first.comparison.asgi == FASTAPI
    for said in ("default: 1", "matched: 4", "tuned: 9", "overstated", "confirmed", "understated"):
        assert said in first.why
    assert [each.word for each in rest] == ["overstated", "understated"]


def test_profiles_that_agree_are_each_said_so() -> None:
    headline = part("profiles.headline", everything.PROFILED, ("plain closed(64)",))
    truth = rates({each: 4000.0 if each.startswith("fastapi") else 1000.0 for each in everything.PROFILED})
    assert words("performance.simple", headline, truth=truth) == ["confirmed"] * 3


def test_the_kinds_of_connections_held_are_further_evidence_one_verdict_each(whole: dict[str, list[Verdict]]) -> None:
    found = [each.comparison for each in whole["connections_10000.memory"] if each.comparison]
    kinds = ("ws_10000", "sse_10000", "idle_10000", "waiting_10000")  # those in which so many are really held first
    assert [each.part.split(".")[1] for each in found] == [kind for kind in kinds for _ in range(2)]
    assert found[0].wsgi == f"{GTHREAD}[threads=10000]"
    assert {each.asgi for each in found} == {FASTAPI}


@pytest.mark.parametrize(
    ("wsgi", "asgi", "expected", "why"),
    [
        (0.2, 0.99, "confirmed", "is low; ASGI at 99"),
        (0.95, 0.99, "refuted", "is not low; ASGI at 99"),
        (0.04, 0.48, "refuted", "is low; ASGI at 48"),
        (0.9, 0.9, "refuted", "is not low; ASGI at 9"),
        (0.499, 0.99, "undecided", "may be low or not; ASGI at 99"),
        (0.2, 0.799, "undecided", "may be high or not"),
        (0.99, 0.2, "reversed", "is not high"),
    ],
)
def test_each_sides_cpu_is_held_against_its_own_word(wsgi: float, asgi: float, expected: str, why: str) -> None:
    def busy(run: Run) -> Run:
        share = asgi if run.interface == "asgi" else wsgi
        return replace(run, server=Usage(cpu_s=3 * share * (1 + 0.001 * run.block)))

    [verdict] = of("performance.cpu", part("flagship", (SYNC, FASTAPI), ("db closed(64)",)), spoil=busy)
    assert verdict.word == expected
    assert "a request cost" in verdict.why
    assert why in verdict.why
    assert "low is below 50 % of the server's CPU, and high is above 80 %" in verdict.why


def speaking(wsgi: Answer, asgi: Answer) -> list[Verdict]:
    stacks = ("raw_wsgi+granian-wsgi", "raw_asgi+uvicorn", "raw_asgi+hypercorn")

    def speaks(stack: str) -> dict[str, Answer]:
        return {"h2c": wsgi if "wsgi" in stack else "no" if "uvicorn" in stack else asgi}

    return of("protocols.http_2", part("protocols.spoken", stacks, ("plain speak(1)",)), truth=Truth(speaks=speaks))


@pytest.mark.parametrize(
    ("wsgi", "asgi", "expected"),
    [
        ("no", "yes", "undecided"),
        ("yes", "yes", "refuted"),
        ("no", "no", "undecided"),
        ("yes", "no", "refuted"),
        ("untried", "yes", "undecided"),
        ("untried", "no", "undecided"),
    ],
)
def test_what_was_not_heard_proves_neither_yes_nor_no(wsgi: Answer, asgi: Answer, expected: str) -> None:
    [verdict] = speaking(wsgi, asgi)
    assert verdict.word == expected


def test_a_yes_that_was_heard_is_confirmed_and_a_word_that_is_neither_is_not_judged() -> None:
    def speaks(stack: str) -> dict[str, Answer]:
        return {"http/1.1": "yes", "sse": "yes"}

    spoken = part("protocols.spoken", (GTHREAD, FASTAPI), ("plain speak(1)",))
    found = judged(sessions.session(parts=[spoken], truth=Truth(speaks=speaks)))
    assert [each.word for each in found["protocols.http_1_1"]] == ["confirmed"]
    [events] = found["protocols.sse"]
    assert events.word == "not judged"
    assert '"hard" is no yes or no' in events.why


def test_a_protocol_says_which_servers_speak_it_and_how() -> None:
    [verdict] = speaking("yes", "yes")
    assert verdict.wsgi == "by an extension: granian-wsgi"
    assert verdict.asgi == "by the interface: hypercorn; not uvicorn"
    assert verdict.why.startswith("WSGI was published as no; ")
    [verdict] = speaking("no", "no")
    assert verdict.asgi.startswith("not seen with ")
    assert "WSGI was published as no: not seen with granian-wsgi, in the settings that were measured; " in verdict.why
    assert "ASGI was published as yes: not seen with hypercorn, uvicorn, in the settings that" in verdict.why
    [untried] = speaking("untried", "yes")
    assert untried.wsgi == "nobody could be asked"
    assert "WSGI was published as no: nobody could be asked; found" in untried.why


def test_generated_documentation_is_asked_of_the_two_frameworks_alone() -> None:
    def speaks(stack: str) -> dict[str, Answer]:
        return {"openapi": "yes" if stack != GTHREAD else "no"}

    stacks = (GTHREAD, FASTAPI, "raw_wsgi+waitress")
    [verdict] = of("overview.docs", part("protocols.spoken", stacks, ("plain speak(1)",)), truth=Truth(speaks=speaks))
    assert (verdict.word, verdict.wsgi, verdict.asgi) == (
        "undecided",
        "not seen with flask",
        "by an extension: fastapi",
    )


def test_a_framework_runs_where_it_has_a_valid_trial() -> None:
    frameworks = part("servers.frameworks", ("django+gunicorn-gthread",), ("plain closed(64)", "json closed(64)"))

    def spoil(run: Run) -> Run:
        return sessions.make_void(run, "starved") if run.scenario == "plain" else run

    [verdict] = of("frameworks.wsgi.Django", frameworks, spoil=spoil)
    assert (verdict.word, verdict.wsgi) == ("runs", "6 of 12 trials valid")
    assert "json on gunicorn-gthread" in verdict.why
    [verdict] = of("frameworks.wsgi.Django", frameworks, spoil=lambda run: sessions.make_void(run, "starved"))
    assert verdict.word == "does not run"
    assert "starved" in verdict.why
    assert words("frameworks.wsgi.Flask", frameworks) == ["not yet measured"]


def test_a_bridge_is_crossed_by_a_valid_trial(whole: dict[str, list[Verdict]]) -> None:
    [verdict] = whole["bridges.wsgi_on_asgi"]
    assert (verdict.word, verdict.asgi) == ("confirmed", "a2wsgi")
    assert "asgiref: void" in verdict.why
    assert whole["overview.compatible"][0].word == "confirmed"


def test_bridges_that_were_not_seen_to_carry_anything_decide_nothing() -> None:
    bridged = part("migration.bridges", (everything.BRIDGED, FASTAPI), ("plain closed(64)",), blocks=2)
    [verdict] = of("bridges.wsgi_on_asgi", bridged, spoil=sessions.make_void)
    assert (verdict.word, verdict.wsgi) == ("undecided", "not seen")


def test_servers_are_held_against_their_stars_and_ties_are_named(whole: dict[str, list[Verdict]]) -> None:
    assert whole["servers.wsgi.uWSGI"][0].word == "confirmed"
    [daphne] = whole["servers.asgi.Daphne"]
    assert daphne.word == "refuted"
    assert "above Hypercorn, which has 4" in daphne.why
    stacks = ("raw_asgi+uvicorn", "raw_asgi+hypercorn", "raw_asgi+daphne")
    order = part("servers.order", stacks, ("plain closed(64)",))
    [tied] = of("servers.asgi.Daphne", order, truth=replace(rates(dict.fromkeys(stacks, 5000.0)), noise=1))
    assert tied.word == "undecided"
    assert "tied with" in tied.why


def test_drivers_of_another_database_are_compared_among_themselves(whole: dict[str, list[Verdict]]) -> None:
    pairs = [(each.comparison.wsgi, each.comparison.asgi) for each in whole["drivers.database"] if each.comparison]
    assert pairs == [
        (f"{GTHREAD}[db=psycopg2]", FASTAPI),
        (f"{GTHREAD}[db=pymysql]", f"{FASTAPI}[db=aiomysql]"),
    ]
    assert {each.word for each in whole["drivers.database"]} == {"ASGI ahead"}
    assert [each.word for each in whole["drivers.redis"]] == ["tied"]


def test_views_of_one_framework_stand_beside_each_other() -> None:
    views = part("migration.views", (everything.DEF, FASTAPI), ("db closed(64)",))
    truth = rates({everything.DEF: 1000.0, FASTAPI: 3000.0})
    [verdict] = of("drivers.views", views, truth=truth)
    assert verdict.word == "async ahead"
    assert "def view(): " in verdict.wsgi


def test_each_stage_of_a_migration_has_its_figures(whole: dict[str, list[Verdict]]) -> None:
    for stage in range(1, 6):
        [verdict] = whole[f"mixed_deployment.stages.{stage}"]
        assert verdict.word == "measured"
        assert f"stage={stage}" in verdict.why
        assert "Requests per second" in verdict.why
    assert whole["mixed_deployment.routes"][0].word == "runs"


CONCURRENCY = part(
    "rules.concurrency", (GTHREAD, FASTAPI), [f"wait closed({size})" for size in (1, 16, 64, 256, 1000, 2000)]
)


def gaining(begins: int, ends: int = 10_000) -> Truth:
    return rates({GTHREAD: 1000.0, FASTAPI: lambda size: 3000.0 if begins <= size <= ends else 1000.0})


@pytest.mark.parametrize(
    ("begins", "low", "high"),
    [
        (1, "does not hold", "holds"),
        (16, "holds up to 1", "holds"),
        (64, "holds up to 16", "holds"),
        (256, "holds", "holds"),
        (2000, "holds", "holds from 2,000"),
        (5000, "holds", "does not hold"),
    ],
)
def test_a_rule_says_from_where_and_up_to_where_it_holds(begins: int, low: str, high: str) -> None:
    found = judged(sessions.session(parts=[CONCURRENCY], truth=gaining(begins)))
    assert [each.word for each in found["rules.low_load"]] == [low]
    assert [each.word for each in found["rules.io_bound"]] == [low]
    assert [each.word for each in found["rules.high_load"]] == [high]
    assert [each.word for each in found["rules.rest"]] == [high]
    assert "factor at 1: " in found["rules.high_load"][0].why
    assert begins != 256 or "begins between 64 and 256" in found["rules.high_load"][0].why
    assert "at 2,000" in found["rules.io_bound"][0].asgi


def test_a_gain_that_ends_is_said_to_end() -> None:
    assert words("rules.high_load", CONCURRENCY, truth=gaining(256, ends=1000)) == ["holds up to 1,000"]


def test_a_sweep_without_a_valid_pair_decides_nothing() -> None:
    assert words("rules.low_load", CONCURRENCY, spoil=sessions.make_void) == ["undecided"]


@pytest.mark.parametrize(("asgi", "expected"), [(400.0, "holds"), (250.0, "holds"), (900.0, "does not hold")])
def test_async_helps_cpu_bound_work_where_its_gain_is_evident(asgi: float, expected: str) -> None:
    cpu = part("rules.cpu", (GTHREAD, FASTAPI), ("cpu closed(16)",))
    beside = part("rules.cpu_beside", (GTHREAD, FASTAPI), ("cpu closed(16)",), knock=True)
    [verdict] = of("rules.cpu_bound", cpu, beside, truth=rates({GTHREAD: 400.0, FASTAPI: asgi}))
    assert verdict.word == expected
    assert verdict.comparison
    assert verdict.comparison.part == "rules.cpu"
    assert verdict.why.count("Fresh connection beside the load, p99") == 1


def test_a_model_is_judged_by_its_rate_and_how_long_others_wait_is_told_beside() -> None:
    loads = [f"model closed({size})" for size in (1, 16, 64)]
    model = part("rules.model", (GTHREAD, FASTAPI), loads)
    beside = part("rules.model_beside", (GTHREAD, FASTAPI), ("model closed(16)",), knock=True)
    [verdict] = of("rules.model_api", model, beside, truth=rates({GTHREAD: 400.0, FASTAPI: 800.0}))
    assert verdict.word == "holds"
    assert verdict.why.count("Fresh connection beside the load, p99") == 1
    assert verdict.why.endswith("at closed(16)")


def test_the_plan_of_rules_measures_rates_without_knocks_and_asks_apart(root: Path) -> None:
    parts = {each.name: each for each in plan.load(root, "rules").parts}
    assert [parts[name].knock for name in ("rules.cpu", "rules.model")] == [False, False]
    for name in ("rules.cpu", "rules.model"):
        apart = parts[f"{name}_beside"]
        assert apart.knock
        assert apart.stacks == parts[name].stacks
        assert set(apart.measures) <= set(parts[name].measures)


def test_a_window_of_requests_that_wait_is_a_multiple_of_the_wait(root: Path) -> None:
    for each in plan.load(root, "connections").parts:
        if ".waiting_" in each.name:
            assert each.window_s % 2.0 == 0


def test_a_time_above_what_was_waited_settles_no_factor_and_the_verdict_says_above_what() -> None:
    def unheard(run: Run) -> Run:
        times = of_seconds([0.01] * 100 + [3.0] * 900)
        slow = Connects(asked=1000, refused=0, unanswered=900, times=times)
        return replace(run, connect_under_load=slow) if run.interface == "wsgi" or both else run

    waiting = part("connections.waiting_10000", (GTHREAD, FASTAPI), ("wait_2s closed(10000)",), knock=True)
    for both in (False, True):
        [verdict] = of("connections_10000.connect", waiting, spoil=unheard)
        assert verdict.word == "void"
        assert f"{GTHREAD} is above 3 s" in verdict.why
        assert (f"{FASTAPI} is above 3 s" in verdict.why) == both


def test_where_requests_wait_a_verdict_says_how_many_were_served_at_a_time() -> None:
    waiting = part("connections.waiting_10000", (GTHREAD, FASTAPI), ("wait_2s closed(10000)",), knock=True)
    truth = replace(rates({GTHREAD: 500.0, FASTAPI: 2000.0}), noise=0)
    for row in ("threads", "memory", "switches", "connect"):
        [verdict] = of(f"connections_10000.{row}", waiting, truth=truth)
        assert "of 10,000 requests at a time WSGI served 1,000 and ASGI served 4,000 at a time" in verdict.why


def test_cpu_at_equal_rates_is_told_and_decides_nothing() -> None:
    loads = [f"{scenario} open({rate})" for scenario in ("db", "external") for rate in (50, 100)]
    found = of("performance.cpu", part("utilisation.offered", (GTHREAD, FASTAPI), ["plain open(50)", *loads]))
    assert [each.word for each in found] == ["measured"] * 2
    for verdict in found:
        assert "at open(50); " in verdict.wsgi
        assert "at open(100)" in verdict.asgi
        assert "at open(100) a request cost" in verdict.why


def test_one_block_tells_no_order_no_tie_and_no_rule() -> None:
    stacks = ("raw_asgi+uvicorn", "raw_asgi+hypercorn")
    [order] = of("servers.asgi.Uvicorn", part("servers.order", stacks, ("plain closed(64)",), blocks=1))
    assert (order.word, order.why) == ("undecided", "one block: no order is told")
    waiting = part("connections.waiting_1000", (GTHREAD, FASTAPI), ("wait_2s closed(1000)",), blocks=1)
    assert words("rules.blocking", waiting) == ["undecided"]
    assert words("rules.one_at_once", part("rules.one_at_a_time", (SYNC,), ("wait closed(16)",), blocks=1)) == [
        "undecided"
    ]
    views = part("migration.views", (everything.DEF, FASTAPI), ("db closed(64)",), blocks=1)
    assert words("drivers.views", views) == ["undecided"]
    [cpu] = of("performance.cpu", part("flagship", (SYNC, FASTAPI), ("db closed(64)",), blocks=1))
    assert (cpu.word, "one block: neither is told to be low or high" in cpu.why) == ("undecided", True)


def test_a_synchronous_driver_is_judged_on_the_synchronous_views_alone(whole: dict[str, list[Verdict]]) -> None:
    [verdict] = whole["rules.sync_driver"]
    assert verdict.comparison
    assert verdict.comparison.asgi == everything.DEF


def test_waiting_requests_take_the_threads_that_were_counted(whole: dict[str, list[Verdict]]) -> None:
    threads, greenlets = whole["rules.blocking"]
    assert threads.word == "holds"
    assert "1,001 threads" in threads.why
    assert greenlets.word == "does not hold"
    assert [each.word for each in whole["overview.model"]] == ["holds", "does not hold"]


def test_a_sync_worker_serves_as_many_as_it_has_workers(whole: dict[str, list[Verdict]]) -> None:
    assert [each.word for each in whole["rules.one_at_once"]] == ["holds"] * 3
    one = part("rules.one_at_a_time", (SYNC,), ("wait closed(16)",))
    assert words("rules.one_at_once", one, truth=rates({SYNC: 160.0})) == ["does not hold"]


@pytest.mark.parametrize(("kept", "expected"), [(16, "holds"), (1000, "does not hold")])
def test_streaming_suits_who_keeps_more_connections_or_keeps_them_for_less(kept: int, expected: str) -> None:
    push = part("rules.push", (GTHREAD, FASTAPI), ("push hold(1000)",))
    truth = Truth(kept=lambda stack, scenario, size: kept if stack == GTHREAD else size)
    assert words("rules.streaming", push, truth=truth) == [expected]


def test_a_rule_follows_the_row_that_settles_it(whole: dict[str, list[Verdict]]) -> None:
    assert {each.word for each in whole["rules.realtime"]} <= {"holds", "does not hold", "undecided"}
    [switching] = whole["rules.thread_switch"]  # of threads: greenlets are none
    assert switching.word == "holds"
    assert switching.why.startswith("as connections_10000.switches: ")
