from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebench import plan
from gatebench.errors import UsageError
from gatebench.model import Containment, Load, Measure, Plan
from gatebench.session import Tree

PLAN = Plan(
    name="p",
    title="P",
    stacks=("a+s", "b+s", "c+s"),
    measures=(
        Measure(scenario="plain", load=Load(kind="closed", size=64)),
        Measure(scenario="ws", load=Load(kind="hold", size=10)),
    ),
    blocks=4,
    seed=1,
    window_s=1.0,
    warmup_slice_s=0.1,
    warmup_limit_s=1.0,
)
TEXT = """
title = "T"
stacks = ["a+s"]
blocks = 2
seed = 7
window_s = 1.0
warmup_slice_s = 0.1
warmup_limit_s = 1
[measures]
plain = ["closed(64)", "hold(10)"]
"""


@given(st.integers(1, 2**31))
def test_every_block_holds_every_arm_once_whatever_the_seed(seed: int) -> None:
    laid = plan.trials(replace(PLAN, seed=seed))
    assert [trial.number for trial in laid] == list(range(24))
    for block in range(4):
        arms = Counter((t.stack, t.scenario, str(t.load)) for t in laid if t.block == block)
        assert len(arms) == 6
        assert set(arms.values()) == {1}


def test_the_arms_of_a_scenario_follow_each_other() -> None:
    laid = plan.trials(PLAN)
    changes = sum(a.scenario != b.scenario for a, b in pairwise(laid))
    assert changes <= 2 * PLAN.blocks - 1


def test_one_seed_gives_one_order_and_another_seed_another() -> None:
    assert plan.trials(PLAN) == plan.trials(PLAN)
    assert plan.trials(PLAN) != plan.trials(replace(PLAN, seed=2))


def test_trials_have_seeds_of_their_own() -> None:
    laid = plan.trials(PLAN)
    assert len({trial.seed for trial in laid}) == len(laid)


def write(tmp_path: Path, text: str) -> Path:
    folder = tmp_path / "scenarios" / "plans"
    folder.mkdir(parents=True)
    (folder / "p.toml").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_plan_is_read_from_its_file(tmp_path: Path) -> None:
    read = plan.load(write(tmp_path, TEXT), "p")
    assert read.name == "p"
    assert [str(measure.load) for measure in read.measures] == ["closed(64)", "hold(10)"]


def test_a_plan_may_press_in_every_way(tmp_path: Path) -> None:
    loads = ["closed(64)", "hold(10)", "open(500)", "poisson(500)", "search(50ms)"]
    text = TEXT.replace('["closed(64)", "hold(10)"]', str(loads))
    assert [str(measure.load) for measure in plan.load(write(tmp_path, text), "p").measures] == loads


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"closed(64)", "hold(10)"', '"wild(64)"', "'measures.plain' holds ['wild(64)']; expected a list of loads"),
        ('["closed(64)", "hold(10)"]', "3", "'measures.plain' holds 3"),
        ('"closed(64)"', '"closed(0)"', "closed(0)"),
        ("blocks = 2", "blocks = 0", "'blocks' holds 0; expected a whole number from 1 to 1000"),
        ("blocks = 2", "blocks = 100000000", "expected a whole number from 1 to 1000"),
        (
            "blocks = 2",
            "blok = 3",
            "'blocks' is missing; expected a whole number from 1 to 1000; found 'blok' instead",
        ),
        ("seed = 7", "seed = 99999999999999999999", "'seed' holds 99999999999999999999; expected"),
        ('["a+s"]', "[]", "'stacks' holds []; expected a list of stacks, each once"),
        ('["a+s"]', '["a+s", "a+s"]', "each once"),
        ('"hold(10)"', '"closed(64)"', "each once"),
        ("warmup_slice_s = 0.1", "warmup_slice_s = 2", "'warmup_slice_s' holds 2; expected no more than"),
        ("window_s = 1.0", "window_s = -1", "'window_s' holds -1; expected seconds"),
        ("window_s = 1.0", "windows = 1", "'window_s' is missing"),
        ("seed = 7", "seed = 7\nsead = 8", "'sead' is unknown. Did you mean seed"),
        ("[measures]", "[measure]", "'measures' is missing"),
    ],
)
def test_a_faulty_plan_names_key_and_what_is_expected(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        plan.load(write(tmp_path, TEXT.replace(old, new)), "p")
    assert said in str(raised.value)
    assert "scenarios/plans/p.toml" in str(raised.value)


def test_narrowing_takes_the_stacks_and_scenarios_asked_for() -> None:
    narrow = plan.narrow(PLAN, ["z+s", "z+s"], ["ws", "json"])
    assert narrow.stacks == ("z+s",)
    assert [f"{m.scenario} {m.load}" for m in narrow.measures] == ["ws hold(10)", "json closed(64)"]
    assert plan.narrow(PLAN, [], []) == PLAN


def test_every_plan_of_this_project_names_what_is_there(root: Path) -> None:
    tree = Tree.load(root)
    for name in plan.plans(root):
        plan.check(plan.load(root, name), tree.stacks, tree.scenarios)


def test_the_flagship_plan_is_the_published_comparison(root: Path) -> None:
    flagship = plan.load(root, "flagship")
    assert flagship.stacks == ("flask+gunicorn-sync", "flask+gunicorn-gthread", "fastapi+uvicorn")
    assert {m.scenario for m in flagship.measures} == {"plain", "json", "db", "external", "websocket"}
    assert flagship.blocks == 6
    assert plan.load(root, "quick").blocks >= 3


def test_connections_are_held_only_where_there_is_a_websocket(root: Path) -> None:
    tree = Tree.load(root)
    flagship = plan.load(root, "flagship")
    held = replace(flagship, measures=(Measure(scenario="plain", load=Load(kind="hold", size=10)),))
    with pytest.raises(UsageError, match=r"holds connections of 'plain' \(hold\(10\)\), which has no WebSocket"):
        plan.check(held, tree.stacks, tree.scenarios)


def written(tmp_path: Path, before: str = "", after: str = "") -> Plan:
    folder = tmp_path / "scenarios" / "plans"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text(before + TEXT + after, encoding="utf-8")
    return plan.load(tmp_path, "mine")


def test_a_plan_may_name_its_python_and_confine_its_containers(tmp_path: Path) -> None:
    made = written(tmp_path, 'python = "3.14t"\n', '[container]\nnetwork = "bridge"\nmemory_mib = 512\n')
    assert made.python == "3.14t"
    assert made.container == Containment(network="bridge", memory_mib=512)


def test_a_plan_that_says_nothing_of_containers_has_the_usual_ones(tmp_path: Path) -> None:
    made = written(tmp_path)
    assert (made.python, made.container) == (None, Containment())


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("python = 3.11\n", "", "'python' holds 3.11"),
        ('python = "2.7"\n', "", "a version of Python from 3.11"),
        ('python = "3.10"\n', "", "a version of Python from 3.11"),
        ("container = 1\n", "", "'container' holds 1; expected a table"),
        ("", '[container]\nnetwork = "token ring"\n', "'network' holds 'token ring'"),
        ("", "[container]\nmemory_mib = 0\n", "'memory_mib' holds 0"),
        ("", "[container]\nmemory_mib = 6\n", "a whole number of MiB from 64"),
        ("", "[container]\npids = 3\n", "from 64"),
        ("", "[container]\nmemory = 512\n", "'memory' is unknown. Did you mean memory_mib"),
    ],
)
def test_what_a_plan_cannot_say_of_containers_is_refused(tmp_path: Path, before: str, after: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        written(tmp_path, before, after)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("stack", "said"),
    [
        ("flsk+gunicorn-sync", "no stack named 'flsk+gunicorn-sync'. Did you mean flask+gunicorn-sync"),
        ("flask+gunicorn-sync[db=psycop2]", "named 'psycop2'. Did you mean psycopg"),
        (
            "flask+gunicorn-sync[db=psycopg]",
            "The plan p spells a stack 'flask+gunicorn-sync[db=psycopg]'; its one name is 'flask+gunicorn-sync'",
        ),
        (
            "nginx[wsgi=flask+gunicorn-gthread,stage=1,asgi=fastapi+uvicorn]",
            "its one name is 'nginx[asgi=fastapi+uvicorn,stage=1,wsgi=flask+gunicorn-gthread]'",
        ),
    ],
)
def test_a_plan_names_each_stack_by_its_one_name(root: Path, stack: str, said: str) -> None:
    tree = Tree.load(root)
    with pytest.raises(UsageError) as raised:
        plan.check(replace(PLAN, stacks=(stack,)), tree.stacks, tree.scenarios)
    assert said in str(raised.value)


def test_a_plan_may_name_any_value_any_bridge_and_any_front(root: Path) -> None:
    tree = Tree.load(root)
    stacks = (
        "flask+gunicorn-gthread[db=pymysql]",
        "flask+uvicorn[bridge=a2wsgi]",
        "fastapi+uvicorn[views=def]",
        "nginx[asgi=fastapi+uvicorn,stage=1,wsgi=flask+gunicorn-gthread]",
    )
    plan.check(replace(PLAN, stacks=stacks, measures=PLAN.measures[:1]), tree.stacks, tree.scenarios)


def test_a_plan_of_somebodys_own_app_has_its_stacks_and_its_one_scenario() -> None:
    own = plan.of_own(PLAN, ["mine+s", "mine+t"], "own")
    assert own.stacks == ("mine+s", "mine+t")
    assert [f"{measure.scenario} {measure.load}" for measure in own.measures] == ["own closed(64)"]
    assert (own.blocks, own.seed, own.window_s) == (PLAN.blocks, PLAN.seed, PLAN.window_s)


def test_what_a_stack_cannot_run_is_told_with_the_reason(root: Path) -> None:
    tree = Tree.load(root)

    def told(stack: str, scenario: str, load: str | None = None) -> str | None:
        return plan.impossible(tree.stacks[stack], tree.scenarios[scenario], Load.parse(load) if load else None)

    assert told("fastapi+uvicorn", "websocket", "closed(64)") is None
    assert told("flask+gunicorn-gthread", "plain", "closed(64)") is None
    assert (told("raw_wsgi+gunicorn-gthread", "websocket") or "").startswith("offers no ws: ")
    assert told("flask+gunicorn-gthread", "websocket", "closed(16)") is None
    assert told("flask+gunicorn-gthread", "websocket", "closed(17)") == (
        "serves 16 of the 17 WebSockets of closed(17) at once"
    )
    assert told("flask+gunicorn-gthread", "websocket", "hold(17)") is None, "how many it keeps is what is measured"
    assert (told("flask+uvicorn[bridge=a2wsgi]", "websocket") or "").startswith("offers no ws: ")


def test_a_scenario_about_two_stacks_behind_a_front_is_for_no_stack_alone(root: Path) -> None:
    tree = Tree.load(root)
    about = replace(tree.scenarios["plain"], front=True)
    mixed = "nginx[asgi=fastapi+uvicorn,stage=1,wsgi=flask+gunicorn-gthread]"
    assert "two stacks behind one front" in (plan.impossible(tree.stacks["fastapi+uvicorn"], about) or "")
    assert plan.impossible(tree.stacks[mixed], about) is None
