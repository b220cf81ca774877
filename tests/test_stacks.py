"""Names of stacks, what may be paired, and how few of them meet everything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatebench.declare import Work
from gatebench.errors import UsageError
from gatebench.model import App, Bridge, Choice, Front, Interface, Mixed, Profile, Server, Side, Stack, Takes
from gatebench.session import Tree
from gatebench.stacks import Stacks, cover, covering, everything, fronted, pairs, variants


def choices(axis: str, *values: Choice | str) -> tuple[Choice, ...]:
    """Values of an axis, the first its default."""
    made = [value if isinstance(value, Choice) else Choice(axis=axis, value=value) for value in values]
    return tuple(replace(choice, default=number == 0) for number, choice in enumerate(made))


def app(name: str, interface: Interface, **more: object) -> App:
    side: Side = "sync" if interface == "wsgi" else "aio"
    usual = {"target": "app:app", "folder": Path("apps") / name, "requirements": (name,), "work": side}
    return App(name=name, interface=interface, **{**usual, **more})  # type: ignore[arg-type]


def server(name: str, interface: Interface, **more: object) -> Server:
    usual = {"requirements": (), "command": (), "protocols": ("http/1.1",)}
    tuned = {"workers": 1, "threads": 1, "pool_size": 4, "keep_alive_s": 5}
    return Server(name=name, interface=interface, **{**usual, "settings": tuned, **more})  # type: ignore[arg-type]


def bridge(name: str, *takes: Interface) -> Bridge:
    return Bridge(name=name, requirements=(name,), takes={one: Takes(target=f"{name}:app") for one in takes})


def named(*found: App | Server | Bridge) -> dict[str, object]:
    return {one.name: one for one in found}


PYMYSQL = Choice(axis="db", value="pymysql", requirements=("pymysql",), instead={"postgres": "mariadb"})
DEFS = Choice(axis="views", value="def", target="defs:app", work="sync")
STACKS = Stacks(
    apps=named(  # type: ignore[arg-type]
        app("flask", "wsgi"),
        app("fastapi", "asgi", axes={"views": choices("views", "async", DEFS)}),
        app("sanic", "asgi"),
    ),
    servers=named(  # type: ignore[arg-type]
        server("gunicorn", "wsgi", cannot={"fastapi": "it breaks"}),
        server(
            "uvicorn",
            "asgi",
            cannot={"sanic": "no lifespan"},
            takes={
                "wsgi": Takes(
                    target="wsgi:{target}",
                    settings={"threads": 9, "concurrency": 9, "colour": 1},
                    lacks={"ws": "closed"},
                )
            },
        ),
        server("sanic", "asgi", only=("sanic",)),
        server("safe", "asgi", only=("fastapi",), cannot={"fastapi": "an example"}, tls=True),
    ),
    bridges=named(bridge("a2wsgi", "wsgi", "asgi"), bridge("asgiref", "wsgi")),  # type: ignore[arg-type]
    fronts={
        "nginx": Front(name="nginx", template="", settings={"keep_alive_s": 9}, stages={"1": 0.9, "last": 0.05}),
    },
    work=Work(
        axes={
            "sync": {"db": choices("db", "psycopg", PYMYSQL), "files": choices("files", "open", "closed")},
            "aio": {"db": choices("db", "asyncpg", "psycopg"), "http": choices("http", "httpx", "aiohttp")},
        }
    ),
)
# One server whose words and settings are known, in all its profiles.
THREADED = server(
    "threaded",
    "wsgi",
    command=("serve", "--threads", "{threads}", "--most", "{most}", "--log", "{log}", "{target}"),
    settings={
        "workers": 1,
        "threads": 16,
        "concurrency": "{threads}",
        "most": 1000,
        "log": False,
        "pool_size": 16,
        "keep_alive_s": 5,
        "loop": "none",
    },
    profiles={
        "default": Profile(settings={"threads": 1, "pool_size": 4, "log": True}, command=("serve", "{target}")),
        "tuned": Profile(settings={"threads": 64, "pool_size": 64}),
    },
)
PROFILED = replace(STACKS, servers={**STACKS.servers, "threaded": THREADED})
MIXED = "nginx[asgi=fastapi+uvicorn[db=psycopg,http=aiohttp],stage=1,wsgi=flask+gunicorn[files=closed]]"


def test_every_pair_and_every_variant_of_this_project_is_found_by_its_own_name(root: Path) -> None:
    stacks = Tree.load(root).stacks
    found = [*pairs(stacks), *variants(stacks)]
    assert len(found) > 200
    for stack in found:
        again = stacks[stack.name]
        assert (again, again.name) == (stack, stack.name)
    names = [stack.name for stack in found]
    assert len(set(names)) == len(names)


def test_every_app_on_every_server_of_its_interface_is_a_stack() -> None:
    assert list(STACKS) == ["flask+gunicorn", "fastapi+uvicorn", "fastapi+safe", "sanic+uvicorn", "sanic+sanic"]
    assert len(STACKS) == 5


def test_what_cannot_run_is_a_stack_that_says_why_and_no_pair() -> None:
    assert [stack.name for stack in pairs(STACKS)] == ["flask+gunicorn", "fastapi+uvicorn", "sanic+sanic"]
    assert STACKS["sanic+uvicorn"].cannot == "no lifespan"
    assert STACKS["fastapi+gunicorn[bridge=a2wsgi]"].cannot == "it breaks"
    assert not [stack.name for stack in variants(STACKS) if stack.cannot]


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("flask+gunicorn", "flask+gunicorn"),
        ("flask+gunicorn[db=pymysql]", "flask+gunicorn[db=pymysql]"),
        ("flask+gunicorn[db=psycopg]", "flask+gunicorn"),
        ("flask+gunicorn[files=open,db=pymysql]", "flask+gunicorn[db=pymysql]"),
        ("fastapi+uvicorn[http=aiohttp, db=psycopg]", "fastapi+uvicorn[db=psycopg,http=aiohttp]"),
        ("flask+uvicorn[db=pymysql,bridge=a2wsgi]", "flask+uvicorn[bridge=a2wsgi,db=pymysql]"),
        ("fastapi+uvicorn[views=def,db=pymysql]", "fastapi+uvicorn[db=pymysql,views=def]"),
        ("fastapi+uvicorn[views=async]", "fastapi+uvicorn"),
        (MIXED, MIXED),
        (
            "nginx[wsgi=flask+gunicorn[files=closed],stage=1,asgi=fastapi+uvicorn[http=aiohttp,db=psycopg]]",
            MIXED,
        ),
        (
            "nginx[wsgi=flask+gunicorn,stage=last,asgi=fastapi+uvicorn]",
            "nginx[asgi=fastapi+uvicorn,stage=last,wsgi=flask+gunicorn]",
        ),
    ],
)
def test_a_stack_has_one_name_however_it_is_asked_for(asked: str, name: str) -> None:
    assert asked in STACKS
    assert STACKS[asked].name == name
    assert STACKS[name].name == name


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("flsk+gunicorn", "no stack named 'flsk+gunicorn'. Did you mean flask+gunicorn"),
        ("flask+gunicron", "no stack named 'flask+gunicron'. Did you mean flask+gunicorn"),
        (
            "flask+gunicorn[bd=pymysql]",
            "(in flask+gunicorn[bd=pymysql]) named 'bd'. Did you mean db",
        ),
        ("flask+gunicorn[http=httpx]", "no axis or setting (in flask+gunicorn[http=httpx]) named 'http'."),
        ("flask+gunicorn[db=pymysq]", "no value of the axis db (in flask+gunicorn[db=pymysq]) named 'pymysq'. Did"),
        ("flask+gunicorn[db=asyncpg]", "no value of the axis db"),
        ("flask+uvicorn[bridge=a2wsg]", "no bridge for flask on uvicorn named 'a2wsg'. Did you mean a2wsgi"),
        ("fastapi+gunicorn[bridge=asgiref]", "no bridge for fastapi on gunicorn named 'asgiref'."),
        ("fastapi+gunicorn[bridge=own]", "no bridge for fastapi on gunicorn named 'own'. Known are: a2wsgi"),
        ("flask+gunicorn[bridge=a2wsgi]", "flask and gunicorn are both WSGI; no bridge is needed"),
        ("flask+uvicorn", "no stack named 'flask+uvicorn'"),
        ("flask+sanic[bridge=a2wsgi]", "no stack named 'flask+sanic[bridge=a2wsgi]'"),
        ("fastapi+sanic", "no stack named 'fastapi+sanic'"),
        ("flask+gunicorn[]", "its brackets are empty; leave them out"),
        ("flask+gunicorn[db]", "'db' is no choice; expected axis=value, each axis once"),
        ("flask+gunicorn[db=]", "'db=' is no choice"),
        ("flask+gunicorn[db=psycopg,db=pymysql]", "'db=pymysql' is no choice; expected axis=value, each axis once"),
        ("flask+gunicorn[db=pymysql", "no stack named"),
        ("flask", "no stack named 'flask'"),
        ("", "no stack named ''"),
        ("nginx", "nginx: expected nginx[asgi=STACK,stage=STAGE,wsgi=STACK]"),
        ("nginx[stage=1]", "expected nginx[asgi=STACK,stage=STAGE,wsgi=STACK]"),
        (MIXED.replace("stage=1", "stage=lst"), "no stage of nginx named 'lst'. Did you mean last"),
        (MIXED.replace("flask", "flsk"), "no stack named 'flsk+gunicorn[files=closed]'. Did you mean flask+gunicorn"),
        (
            MIXED.replace("closed", "clsed"),
            "no value of the axis files (in flask+gunicorn[files=clsed])",
        ),
        (MIXED.replace("files=closed", "db=pymysql"), "the two have their rows in different databases"),
        (MIXED.replace("uvicorn[", "safe["), "safe speaks TLS only, and nginx asks in the clear"),
        (MIXED[:-1], "its brackets do not close as they open"),
        (f"{MIXED}]", "its brackets do not close as they open"),
        ("nginx[[[", "its brackets do not close as they open"),
        (MIXED.replace("asgi=", "agsi="), "expected nginx[asgi=STACK,stage=STAGE,wsgi=STACK]"),
        (
            "nginx[asgi=flask+gunicorn,stage=1,wsgi=flask+gunicorn]",
            "flask+gunicorn is no ASGI stack",
        ),
        (
            "nginx[asgi=fastapi+uvicorn,stage=1,wsgi=sanic+sanic]",
            "sanic+sanic is no WSGI stack",
        ),
    ],
)
def test_a_name_that_is_none_is_answered_with_what_helps(asked: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        STACKS.one(asked) if not asked.startswith("nginx") else STACKS[asked]
    assert said in str(raised.value)


def test_two_stacks_behind_a_front_are_none_that_stands_alone() -> None:
    with pytest.raises(UsageError, match="is no stack that stands alone; expected app"):
        STACKS.one(MIXED)


def test_a_stack_is_looked_up_as_in_any_mapping() -> None:
    assert STACKS.get("flask+uvicorn") is None
    assert "flask+gunicorn" in STACKS
    assert not STACKS.__contains__(1)
    with pytest.raises(KeyError):
        STACKS["flsk+gunicorn"]


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("flask+threaded[threads=1000,most=2000]", "flask+threaded[most=2000,threads=1000]"),
        ("flask+threaded[most=2000,db=pymysql]@tuned", "flask+threaded[db=pymysql,most=2000]@tuned"),
        ("flask+threaded[log=true]", "flask+threaded[log=true]"),
        ("flask+threaded[pool_size=32]@default", "flask+threaded[pool_size=32]@default"),
        ("flask+threaded@matched", "flask+threaded"),
    ],
)
def test_a_name_may_give_settings_and_a_profile_and_is_one_all_the_same(asked: str, name: str) -> None:
    stack = PROFILED[asked]
    assert stack.name == name
    assert PROFILED[name] == stack


def test_what_a_name_gives_takes_the_place_of_the_servers_own_setting() -> None:
    stack = PROFILED.one("flask+threaded[log=true,most=2000,threads=1000]")
    assert stack.settings == {**THREADED.settings, "threads": 1000, "concurrency": 1000, "most": 2000, "log": True}
    assert stack.profile == "matched"


def test_how_many_requests_a_stack_holds_follows_its_threads_and_workers() -> None:
    held = {
        "flask+threaded": 16,
        "flask+threaded[threads=1000]": 1000,
        "flask+threaded@tuned": 64,
        "flask+threaded@default": 1,
    }
    assert {name: PROFILED.one(name).concurrency for name in held} == held


def test_a_profile_has_settings_and_words_of_its_own_or_else_the_servers() -> None:
    matched, default, tuned = (PROFILED.one(f"flask+threaded{more}") for more in ("", "@default", "@tuned"))
    assert default.command == ("serve", "{target}")
    assert tuned.command == matched.command == THREADED.command
    assert (default.settings["threads"], default.settings["log"], default.settings["most"]) == (1, True, 1000)
    assert (tuned.profile, tuned.settings["threads"]) == ("tuned", 64)
    sizes = [stack.variables["GATEBENCH_POOL_SIZE"] for stack in (matched, default, tuned)]
    assert sizes == ["16", "4", "64"]


def test_what_a_name_gives_goes_before_what_its_profile_has() -> None:
    stack = PROFILED.one("flask+threaded[threads=99]@tuned")
    assert (stack.settings["threads"], stack.settings["pool_size"]) == (99, 64)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("flask+threaded@tund", "no profile of threaded named 'tund'. Did you mean tuned"),
        ("flask+gunicorn@tuned", "no profile of gunicorn named 'tuned'"),
        ("flask+threaded[loop=uvloop]", "threaded is started without a word for 'loop'; leave it out"),
        ("flask+threaded[threads=9]@default", "started without a word for 'threads'"),
        ("flask+threaded[thread=9]", "no axis or setting (in flask+threaded[thread=9]) named 'thread'."),
        ("flask+threaded[threads=9,threads=9]", "'threads=9' is no choice; expected axis=value, each axis once"),
        ("flask+threaded@tuned[threads=9]", "no stack named"),
    ],
)
def test_a_setting_or_a_profile_that_there_is_not_is_answered_with_what_helps(asked: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        PROFILED.one(asked)
    assert said in str(raised.value)


def test_every_profile_of_this_project_is_found_by_its_name_and_differs_from_the_matched_one(root: Path) -> None:
    stacks = Tree.load(root).stacks
    found = 0
    for matched in pairs(stacks):
        for profile in matched.server.profiles:
            stack = stacks.one(f"{matched.name}@{profile}")
            assert stack.name == f"{matched.name}@{profile}"
            assert set(stack.settings) == set(matched.settings), "a profile says nothing new, but what is otherwise"
            assert stack.settings != matched.settings
            found += 1
    assert found > 50


def test_a_servers_default_profile_is_started_by_no_more_than_its_address_and_the_app(root: Path) -> None:
    for server in Tree.load(root).stacks.servers.values():
        if "default" in server.profiles:
            command = " ".join(server.profiles["default"].command)
            named = [key for key in server.settings if f"{{{key}}}" in command]
            assert not named, server.name


def test_bridges_join_an_app_to_servers_of_the_other_interface_only() -> None:
    apps, servers = STACKS.apps, STACKS.servers
    assert STACKS.bridged(apps["flask"], servers["uvicorn"]) == ["own", "a2wsgi", "asgiref"]
    assert STACKS.bridged(apps["fastapi"], servers["gunicorn"]) == ["a2wsgi"], "asgiref takes WSGI alone"
    assert STACKS.bridged(apps["flask"], servers["gunicorn"]) == []
    assert STACKS.bridged(apps["flask"], servers["sanic"]) == [], "it serves its own framework alone"


def test_a_bridge_is_what_the_server_is_given_and_brings_what_it_needs() -> None:
    stack = STACKS.one("flask+uvicorn[bridge=a2wsgi]")
    assert (stack.target, stack.app_target) == ("a2wsgi:app", "app:app")
    assert "a2wsgi" in stack.requirements
    assert stack.variables["GATEBENCH_TARGET"] == "app:app"
    assert stack.interface == "wsgi", "the app's"


def test_a_server_that_takes_the_other_interface_itself_is_told_so_in_its_own_way() -> None:
    stack = STACKS.one("flask+uvicorn[bridge=own]")
    assert stack.target == "wsgi:app:app"
    assert (stack.settings["threads"], stack.settings["workers"], stack.concurrency) == (9, 1, 9)
    assert "colour" not in stack.settings, "a setting that the server does not know is not told of it"
    assert stack.lack("ws") == "closed"


def test_what_only_one_pair_lacks_is_told_of_that_pair_alone() -> None:
    servers = {**STACKS.servers, "gunicorn": server("gunicorn", "wsgi", lacks_with={"flask": {"sse": "it waits"}})}
    through = Takes(target="b:app", lacks_with={"fastapi": {"stream": "it hangs"}})
    stacks = replace(STACKS, servers=servers, bridges={"b": Bridge(name="b", takes={"asgi": through})})
    assert stacks.one("flask+gunicorn").lack("sse") == "it waits"
    assert stacks.one("fastapi+gunicorn[bridge=b]").lack("stream") == "it hangs"
    assert stacks.one("sanic+gunicorn[bridge=b]").lacks == {}


def test_an_app_whose_value_says_so_does_its_work_by_the_other_halfs_drivers() -> None:
    usual, other = STACKS.one("fastapi+uvicorn"), STACKS.one("fastapi+uvicorn[views=def,db=pymysql]")
    assert [str(choice) for choice in usual.choices] == ["db=asyncpg", "http=httpx", "views=async"]
    assert [str(choice) for choice in other.choices] == ["db=pymysql", "files=open", "views=def"]
    assert other.target == "defs:app"
    assert other.service("postgres") == "mariadb"
    assert usual.service("postgres") == "postgres"
    assert "pymysql" in other.requirements
    assert other.variables["GATEBENCH_DB"] == "pymysql"
    assert "GATEBENCH_HTTP" not in other.variables
    with pytest.raises(UsageError, match="no value of the axis db"):
        STACKS.one("fastapi+uvicorn[views=def,db=asyncpg]")


def test_two_stacks_behind_a_front_keep_what_each_is() -> None:
    mixed = STACKS[MIXED]
    assert isinstance(mixed, Mixed)
    assert (mixed.wsgi.name, mixed.asgi.name) == (
        "flask+gunicorn[files=closed]",
        "fastapi+uvicorn[db=psycopg,http=aiohttp]",
    )
    assert (mixed.interface, mixed.wsgi_share, mixed.keep_alive_s) == ("both", 0.9, 9.0)
    assert mixed.settings["wsgi_share"] == 0.9


def test_two_stacks_behind_a_front_cannot_run_where_one_of_them_cannot() -> None:
    assert STACKS["nginx[asgi=sanic+uvicorn,stage=1,wsgi=flask+gunicorn]"].cannot == "no lifespan"
    assert STACKS["nginx[asgi=sanic+sanic,stage=1,wsgi=flask+gunicorn]"].cannot is None


def test_variants_are_every_other_value_and_every_bridge_of_what_can_run() -> None:
    assert [stack.name for stack in variants(STACKS)] == [
        "flask+gunicorn[db=pymysql]",
        "flask+gunicorn[files=closed]",
        "fastapi+uvicorn[views=def]",
        "fastapi+uvicorn[db=psycopg]",
        "fastapi+uvicorn[http=aiohttp]",
        "sanic+sanic[db=psycopg]",
        "sanic+sanic[http=aiohttp]",
        "flask+uvicorn[bridge=own]",
        "flask+uvicorn[bridge=a2wsgi]",
        "flask+uvicorn[bridge=asgiref]",
        "sanic+gunicorn[bridge=a2wsgi]",
    ]


def test_everything_is_every_pair_and_each_value_and_bridge_once() -> None:
    found = everything(STACKS)
    every = pairs(STACKS)
    assert found[: len(every)] == every
    assert sorted(stack.name for stack in found[len(every) :]) == [
        "fastapi+uvicorn[db=psycopg]",
        "fastapi+uvicorn[http=aiohttp]",
        "fastapi+uvicorn[views=def]",
        "flask+gunicorn[db=pymysql]",
        "flask+gunicorn[files=closed]",
        "flask+uvicorn[bridge=a2wsgi]",
        "flask+uvicorn[bridge=asgiref]",
        "flask+uvicorn[bridge=own]",
        "sanic+gunicorn[bridge=a2wsgi]",
    ]


def test_what_this_machine_cannot_run_is_covered_by_another_that_it_can() -> None:
    def able(stack: Stack) -> bool:
        return stack.app.name != "fastapi"

    names = {stack.name for stack in covering(STACKS, able)}
    assert {"sanic+sanic[db=psycopg]", "sanic+sanic[http=aiohttp]"} <= names
    # What nothing else can show is among them all the same: whoever looks is told of it.
    assert [name for name in names if name.startswith("fastapi")] == ["fastapi+uvicorn[views=def]"]


def test_a_front_is_met_before_a_stack_of_each_interface_that_it_can_ask() -> None:
    assert [mixed.name for mixed in fronted(STACKS)] == ["nginx[asgi=fastapi+uvicorn,stage=last,wsgi=flask+gunicorn]"]
    assert fronted(replace(STACKS, apps={"flask": STACKS.apps["flask"]})) == []


def test_a_choice_says_what_it_changes_of_the_settings_that_a_server_has() -> None:
    pooled = replace(DEFS, settings={"threads": 40, "concurrency": 40, "colour": 1})
    fastapi = replace(STACKS.apps["fastapi"], axes={"views": choices("views", "async", pooled)})
    stack = replace(STACKS, apps={"fastapi": fastapi}).one("fastapi+uvicorn[views=def]")
    assert (stack.settings["threads"], stack.concurrency) == (40, 40)
    assert "colour" not in stack.settings


def met(found: list[Stack]) -> set[str]:
    """What a user would say that these stacks show, told without the code that chooses them."""
    shown: set[str] = set()
    for stack in found:
        if stack.bridge is None:
            shown |= {f"app {stack.app.name}", f"server {stack.server.name}"}
        for choice in stack.choices:
            whose = stack.app.name if choice.axis in stack.app.axes else f"work of {stack.app.work}"
            if not choice.default:
                shown.add(f"{choice} of {whose}")
        if stack.bridge is not None:
            where = stack.server.name if stack.bridge.name == "own" else "any"
            shown.add(f"{stack.bridge.name} from {stack.interface} on {where}")
    return shown


def test_a_cover_of_this_project_meets_all_there_is_with_far_fewer_stacks(root: Path) -> None:
    stacks = Tree.load(root).stacks
    every = [*pairs(stacks), *variants(stacks)]
    found = covering(stacks)
    assert met(found) == met(every)
    assert len(found) < len(pairs(stacks)) / 2
    shown = met(found)
    assert {f"app {name}" for name in stacks.apps} | {f"server {name}" for name in stacks.servers} <= shown
    assert met(everything(stacks)) == met(every)


PARTS = st.sets(st.sampled_from("abcdefgh"), max_size=5)


@given(st.lists(PARTS, max_size=12))
@settings(max_examples=100)
def test_a_cover_meets_every_part_and_each_of_it_meets_one_that_no_earlier_one_met(sets: list[set[str]]) -> None:
    stack = STACKS.one("flask+gunicorn")
    given_parts = {f"s{number}": parts for number, parts in enumerate(sets)}
    offered = [replace(stack, app=replace(stack.app, name=name)) for name in given_parts]
    chosen = cover(offered, lambda one: given_parts[one.app.name])
    covered: set[str] = set()
    for one in chosen:
        assert given_parts[one.app.name] - covered, f"{one.name} is one too many"
        covered |= given_parts[one.app.name]
    assert covered == set[str]().union(*sets)


@st.composite
def random_stacks(draw: st.DrawFn) -> Stacks:
    interfaces: st.SearchStrategy[Interface] = st.sampled_from(("wsgi", "asgi"))
    values = st.integers(1, 3).map(lambda count: choices("db", *(f"v{number}" for number in range(count))))
    apps = [app(f"app{number}", draw(interfaces)) for number in range(draw(st.integers(1, 4)))]
    servers = []
    for number in range(draw(st.integers(1, 4))):
        spoken = draw(interfaces)
        other: Interface = "asgi" if spoken == "wsgi" else "wsgi"
        cannot = draw(st.sets(st.sampled_from([one.name for one in apps]), max_size=2))
        servers.append(
            server(
                f"server{number}",
                spoken,
                cannot=dict.fromkeys(cannot, "it breaks"),
                takes={other: Takes(target="{target}")} if draw(st.booleans()) else {},
            )
        )
    bridges = [bridge("through", *draw(st.sets(interfaces, min_size=1)))] if draw(st.booleans()) else []
    work = Work(axes={"sync": {"db": draw(values)}, "aio": {"db": draw(values)}})
    return Stacks(
        apps=named(*apps),  # type: ignore[arg-type]
        servers=named(*servers),  # type: ignore[arg-type]
        bridges=named(*bridges),  # type: ignore[arg-type]
        work=work,
    )


@given(random_stacks())
@settings(max_examples=60)
def test_a_cover_meets_every_app_server_value_and_bridge_of_whatever_is_declared(stacks: Stacks) -> None:
    every = [*pairs(stacks), *variants(stacks)]
    assert met(covering(stacks)) == met(every)
    assert met(everything(stacks)) == met(every)
    assert len(covering(stacks)) <= max(len(met(every)), 0)
    for stack in every:
        assert stacks[stack.name] == stack


@pytest.mark.parametrize("text", ["0", "-5", "abc", "1e3", "true", "16.0", "nan", "\uff11\uff16", "99999999"])
def test_a_setting_is_read_as_one_of_the_kind_that_the_server_declares(root: Path, text: str) -> None:
    tree = Tree.load(root)
    with pytest.raises(UsageError, match=r"the setting 'threads' holds .* expected a whole number from 1"):
        tree.stacks[f"flask+gunicorn-gthread[threads={text}]"]
    assert tree.stacks["flask+gunicorn-gthread[keep_alive_s=0]"].keep_alive_s == 0
