"""Plans as they are written, the order of their trials, and what they may ask of which stack."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planned import varied

from gatebench import plan
from gatebench.errors import UsageError
from gatebench.model import Containment, Load, LoadKind, Measure, Part, Plan, Stack
from gatebench.session import Tree

PLAN = Plan.alone(
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
PARTS = """
title = "T"
seed = 7
blocks = 3
window_s = 1.0
warmup_slice_s = 0.1
warmup_limit_s = 1
[[parts]]
name = "first"
title = "F"
stacks = ["a+s", "b+s"]
[parts.measures]
plain = ["closed(64)"]
[[parts]]
name = "second"
title = "S"
stacks = ["b+s", "c+s"]
blocks = 1
window_s = 2.5
server_cpus = 2
knock = true
[parts.measures]
plain = ["closed(64)"]
idle = ["hold(10)"]
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


def write(tmp_path: Path, text: str, name: str = "p") -> Path:
    folder = tmp_path / "scenarios" / "plans"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_plan_is_read_from_its_file(tmp_path: Path) -> None:
    read = plan.load(write(tmp_path, TEXT), "p")
    assert read.name == "p"
    assert [str(measure.load) for measure in read.measures] == ["closed(64)", "hold(10)"]


def test_a_plan_may_press_in_every_way(tmp_path: Path) -> None:
    loads = ["closed(64)", "hold(10)", "open(500)", "poisson(500)", "search(50ms)"]
    loads += ["h1(64)", "h2(64)", "h3(64)", "speak(1)"]
    assert len(loads) == len(get_args(LoadKind))
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


def test_a_plan_without_parts_is_one_part_of_its_own_name(tmp_path: Path) -> None:
    (part,) = plan.load(write(tmp_path, TEXT), "p").parts
    assert (part.name, part.title, part.stacks, part.blocks) == ("p", "T", ("a+s",), 2)
    assert (part.stage, part.server_cpus, part.knock) == (0, 1, False)


def test_a_part_has_what_the_plan_says_for_all_unless_it_says_otherwise(tmp_path: Path) -> None:
    first, second = plan.load(write(tmp_path, PARTS), "p").parts
    assert (first.name, first.title, first.stacks) == ("p.first", "F", ("a+s", "b+s"))
    assert (first.blocks, first.window_s, first.server_cpus, first.knock) == (3, 1.0, 1, False)
    assert (second.blocks, second.window_s, second.server_cpus, second.knock) == (1, 2.5, 2, True)
    assert (second.warmup_slice_s, second.warmup_limit_s) == (0.1, 1.0)


def test_a_plan_of_parts_tells_what_they_have_together(tmp_path: Path) -> None:
    read = plan.load(write(tmp_path, PARTS), "p")
    assert read.stacks == ("a+s", "b+s", "c+s")
    assert [f"{measure.scenario} {measure.load}" for measure in read.measures] == [
        "plain closed(64)",
        "idle hold(10)",
    ]
    assert (read.blocks, read.server_cpus) == (3, 2)
    assert read.part("p.second") is read.parts[1]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "second"', 'name = "first"', "two parts have the name 'p.first'"),
        ('name = "second"', 'name = "Second!"', "'name' holds 'Second!'; expected a name of a-z, 0-9 and '_'"),
        ('name = "second"\n', "", "'name' is missing"),
        ("knock = true", "knock = 1", "'knock' holds 1; expected true or false"),
        ("knock = true", "knok = true", "'knok' is unknown. Did you mean knock"),
        ("server_cpus = 2", "server_cpus = 0", "'server_cpus' holds 0"),
        ("window_s = 1.0\n", "", "'window_s' is missing"),
        ("seed = 7", 'seed = 7\nstacks = ["a+s"]', "'stacks' is unknown"),
        ("[[parts]]", "[parts]", "'parts' holds"),
    ],
)
def test_a_faulty_part_is_named_with_what_is_expected(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = PARTS.replace(old, new) if old != "[[parts]]" else PARTS[: PARTS.rindex(old)].replace(old, new)
    with pytest.raises(UsageError) as raised:
        plan.load(write(tmp_path, text), "p")
    assert said in str(raised.value)
    assert "scenarios/plans/p.toml" in str(raised.value)


INCLUDING = 'title = "All"\nseed = 9\ninclude = ["p", "q"]\n'


def test_a_plan_that_includes_others_has_their_parts_one_stage_after_the_other(tmp_path: Path) -> None:
    write(tmp_path, PARTS)
    write(tmp_path, TEXT, "q")
    read = plan.load(write(tmp_path, INCLUDING, "all"), "all")
    assert [(part.name, part.stage) for part in read.parts] == [("p.first", 0), ("p.second", 0), ("q", 1)]
    assert (read.name, read.seed) == ("all", 9)
    order = [read.part(trial.part).stage for trial in plan.trials(read)]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (INCLUDING.replace('"q"', '"x"'), "no plan (in include of all) named 'x'"),
        (INCLUDING.replace('"q"', '"all"'), "includes 'all', which includes others"),
        (INCLUDING.replace('"q"', '"p"'), "each once"),
        (INCLUDING + 'stacks = ["a+s"]\n', "'stacks' is unknown"),
        (INCLUDING.replace("seed = 9\n", ""), "'seed' is missing"),
    ],
)
def test_a_plan_includes_only_plans_that_have_parts_themselves(tmp_path: Path, text: str, said: str) -> None:
    write(tmp_path, PARTS)
    write(tmp_path, TEXT, "q")
    with pytest.raises(UsageError) as raised:
        plan.load(write(tmp_path, text, "all"), "all")
    assert said in str(raised.value)


def part(name: str, stage: int, blocks: int, stacks: int, scenarios: int) -> Part:
    return Part(
        name=name,
        title=name,
        stacks=tuple(f"s{number}+t" for number in range(stacks)),
        measures=tuple(
            Measure(scenario=f"x{number}", load=Load(kind="closed", size=1)) for number in range(scenarios)
        ),
        blocks=blocks,
        window_s=1.0,
        warmup_slice_s=0.1,
        warmup_limit_s=1.0,
        stage=stage,
    )


FEW = st.integers(1, 3)


@given(st.lists(st.tuples(FEW, FEW, FEW, FEW), min_size=1, max_size=4), st.integers(1, 2**31 - 1))
def test_trials_go_stage_by_stage_and_block_by_block_with_every_arm_of_every_part_once(
    shapes: list[tuple[int, int, int, int]], seed: int
) -> None:
    parts = tuple(part(f"p.{number}", *shape) for number, shape in enumerate(shapes))
    made = Plan(name="p", title="P", parts=parts, seed=seed)
    laid = plan.trials(made)
    order = [(made.part(trial.part).stage, trial.block) for trial in laid]
    assert order == sorted(order)
    arms = Counter((trial.part, trial.block, trial.stack, trial.scenario) for trial in laid)
    assert set(arms.values()) == {1}
    assert len(laid) == sum(each.blocks * len(each.stacks) * len(each.measures) for each in parts)
    assert [trial.number for trial in laid] == list(range(len(laid)))
    # What is compared with each other follows each other, whatever else the block holds.
    changes = sum((a.part, a.block, a.scenario) != (b.part, b.block, b.scenario) for a, b in pairwise(laid))
    assert changes == sum(each.blocks * len(each.measures) for each in parts) - 1


def test_narrowing_to_a_part_keeps_it_alone(tmp_path: Path) -> None:
    read = plan.load(write(tmp_path, PARTS), "p")
    assert plan.narrow(read, [], [], ["p.second"]).parts == (read.parts[1],)
    assert plan.narrow(read, [], []) == read
    with pytest.raises(UsageError, match=r"no part of the plan p named 'p.secnd'. Did you mean p.second"):
        plan.narrow(read, [], [], ["p.secnd"])


def test_narrowing_several_parts_keeps_what_they_have_of_what_was_asked_for(tmp_path: Path) -> None:
    read = plan.load(write(tmp_path, PARTS), "p")
    narrow = plan.narrow(read, ["b+s", "a+s"], [])
    assert [(part.name, part.stacks) for part in narrow.parts] == [
        ("p.first", ("a+s", "b+s")),
        ("p.second", ("b+s",)),
    ]
    (second,) = plan.narrow(read, [], ["idle"]).parts
    assert [measure.scenario for measure in second.measures] == ["idle"]
    with pytest.raises(UsageError, match=r"No part of the plan p has z\+s; `gatebench list plans` shows"):
        plan.narrow(read, ["z+s"], [])


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


def test_the_full_plan_has_every_part_of_every_other_but_the_first_look_and_the_ladders(root: Path) -> None:
    others = [plan.load(root, name) for name in plan.plans(root) if name not in ("full", "quick", "gate", "ladders")]
    full = plan.load(root, "full")
    assert sorted(part.name for part in full.parts) == sorted(part.name for other in others for part in other.parts)
    assert full.container.pids >= max(other.container.pids for other in others)
    assert full.container.memory_mib >= max(other.container.memory_mib for other in others)


def test_every_part_of_this_project_sets_a_wsgi_stack_beside_an_asgi_one(root: Path) -> None:
    """But for those that are about one of them, or about two behind one front, and a gate's, which has arms."""
    tree = Tree.load(root)
    alone = {"rules.one_at_a_time", "migration.stages", "protocols.throughput", "gate"}
    for name in {*plan.plans(root)} - {"ladders"}:
        for each in plan.load(root, name).parts:
            sides = {tree.stacks[stack].interface for stack in each.stacks}
            assert sides == {"wsgi", "asgi"} or each.name in alone, each.name


def test_every_server_and_every_framework_of_this_project_is_in_the_full_plan(root: Path) -> None:
    tree = Tree.load(root)
    found = [stack for name in plan.load(root, "full").stacks if isinstance(stack := tree.stacks[name], Stack)]
    assert {stack.server.name for stack in found} == set(tree.stacks.servers)
    assert {stack.app.name for stack in found} == set(tree.stacks.apps)
    assert not [stack.name for stack in found if stack.cannot]


def test_the_ladders_are_every_framework_on_every_server_of_its_interface_in_the_clear(root: Path) -> None:
    tree = Tree.load(root)
    pairs = [stack for name in tree.stacks if isinstance(stack := tree.stacks[name], Stack)]
    clear = [stack for stack in pairs if "http/1.1" in stack.server.protocols and not stack.server.tls]
    parts = plan.load(root, "ladders").parts
    asked = [stack for each in parts for name in each.stacks if isinstance(stack := tree.stacks[name], Stack)]
    assert {(stack.app.name, stack.server.name) for stack in asked} == {
        (stack.app.name, stack.server.name) for stack in clear if not stack.cannot and not stack.server.only
    }
    for each in parts:
        assert len({name.partition("+")[2] for name in each.stacks}) == 1, each.name


def test_servers_are_ordered_under_a_load_that_each_of_them_can_serve(root: Path) -> None:
    tree = Tree.load(root)
    for each in plan.load(root, "servers").parts:
        for stack in each.stacks:
            for measure in each.measures:
                scenario = tree.scenarios[measure.scenario]
                assert plan.impossible(tree.stacks[stack], scenario, measure.load) is None, stack


def test_who_holds_many_connections_is_told_to_take_them(root: Path) -> None:
    tree = Tree.load(root)
    for each in plan.load(root, "connections").parts:
        users = max(measure.load.size for measure in each.measures)
        for name in each.stacks:
            given = tree.stacks[name].settings
            most = given.get("worker_connections", given.get("concurrency"))
            assert most is None or (isinstance(most, int) and most > users), name
            assert tree.stacks[name].keep_alive_s == 300, name


def test_connections_are_held_only_where_a_scenario_has_some_to_hold(root: Path) -> None:
    tree = Tree.load(root)
    held = varied(plan.load(root, "flagship"), measures=(Measure(scenario="plain", load=Load.parse("hold(10)")),))
    with pytest.raises(UsageError, match=r"holds connections of 'plain' \(hold\(10\)\), which has none to hold"):
        plan.check(held, tree.stacks, tree.scenarios)


@pytest.mark.parametrize(
    ("scenario", "load", "said"),
    [
        (
            "protocols",
            "closed(64)",
            "has 'protocols' under closed(64); expected protocols under speak(1)",
        ),
        ("plain", "speak(1)", "has 'plain' under speak(1); expected protocols under speak(1), or neither"),
        ("db", "h2(64)", "has 'db' under h2(64); the generator of h1, h2 and h3 asks for 'plain' alone"),
    ],
)
def test_what_is_spoken_and_what_is_streamed_have_a_scenario_of_their_own(
    root: Path, scenario: str, load: str, said: str
) -> None:
    tree = Tree.load(root)
    wrong = varied(plan.load(root, "flagship"), measures=(Measure(scenario=scenario, load=Load.parse(load)),))
    with pytest.raises(UsageError) as raised:
        plan.check(wrong, tree.stacks, tree.scenarios)
    assert said in str(raised.value)


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
        plan.check(varied(PLAN, stacks=(stack,)), tree.stacks, tree.scenarios)
    assert said in str(raised.value)


def test_a_plan_may_name_any_value_any_bridge_and_any_front(root: Path) -> None:
    tree = Tree.load(root)
    stacks = (
        "flask+gunicorn-gthread[db=pymysql]",
        "flask+uvicorn[bridge=a2wsgi]",
        "fastapi+uvicorn[views=def]",
        "fastapi+uvicorn@tuned",
        "flask+gunicorn-gthread[threads=1000,worker_connections=2000]",
        "nginx[asgi=fastapi+uvicorn,stage=1,wsgi=flask+gunicorn-gthread]",
    )
    plan.check(varied(PLAN, stacks=stacks, measures=PLAN.measures[:1]), tree.stacks, tree.scenarios)


def test_a_plan_of_somebodys_own_app_has_its_stacks_and_its_one_scenario() -> None:
    own = plan.of_own(PLAN, ["mine+s", "mine+t"], "own")
    assert own.stacks == ("mine+s", "mine+t")
    assert [f"{measure.scenario} {measure.load}" for measure in own.measures] == ["own closed(64)"]
    assert (own.blocks, own.seed, own.parts[0].window_s) == (4, 1, 1.0)


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
    assert told("flask+gunicorn-gthread[threads=32]", "websocket", "closed(17)") is None
    assert (
        told("raw_wsgi+uwsgi", "plain", "closed(64)") == "serves 16 of the 64 kept connections of closed(64) at once"
    )
    assert told("raw_wsgi+uwsgi[threads=64]", "plain", "closed(64)") is None
    assert told("raw_asgi+hypercorn-h2", "plain", "h2(64)") is None
    assert told("raw_asgi+hypercorn-h2", "plain", "h3(64)") == "offers no h3 over TLS"
    assert told("raw_asgi+uvicorn", "plain", "h1(64)") == "offers no http/1.1 over TLS"


def test_a_scenario_about_two_stacks_behind_a_front_is_for_no_stack_alone(root: Path) -> None:
    tree = Tree.load(root)
    about = replace(tree.scenarios["plain"], front=True)
    mixed = "nginx[asgi=fastapi+uvicorn,stage=1,wsgi=flask+gunicorn-gthread]"
    assert "two stacks behind one front" in (plan.impossible(tree.stacks["fastapi+uvicorn"], about) or "")
    assert plan.impossible(tree.stacks[mixed], about) is None
