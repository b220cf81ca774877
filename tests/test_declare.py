from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gatebench import declare
from gatebench.errors import UsageError
from gatebench.model import Takes
from gatebench.session import Tree

APP = 'interface = "wsgi"\ntarget = "app:app"\n'
SERVER = """
interface = "wsgi"
requirements = ["some-server"]
protocols = ["http/1.1"]
command = ["{python}", "-m", "some_server", "{host}:{port}", "--threads", "{threads}", "{target}"]
[settings]
workers = 2
threads = 4
concurrency = 4
pool_size = 4
keep_alive_s = 5
access_log = false
"""
AXES = """
requirements = ["templates"]
[sync.db.psycopg]
requirements = ["psycopg"]
[sync.db.pymysql]
requirements = ["pymysql"]
instead = { postgres = "mariadb" }
[aio.files.open]
"""
BRIDGE = """
requirements = ["bridging"]
[wsgi]
target = "through:app"
settings = { threads = 16 }
lacks = { ws = "no socket" }
"""
FRONT = """
template = "some.conf"
[settings]
keep_alive_s = 600
[stages]
1 = 0.9
last = 0
[needs]
nginx = "nginx"
"""
SCENARIO = '"""One."""\nSCENARIO = {"version": 1, "title": "One", "routes": ["plaintext"]}\n'
SERVICE = """
kind = "postgresql"
variable = "DB"
url = "postgresql://x@127.0.0.1:{port}/y"
requirements = ["database"]
command = ["{python}", "{data}"]
"""
APP_TOML, SERVER_TOML, AXES_TOML = "apps/one/app.toml", "compose/servers/some.toml", "apps/work/axes.toml"
BRIDGE_TOML, FRONT_TOML, SERVICE_TOML = "compose/bridges/b.toml", "compose/fronts/f.toml", "compose/services/db.toml"
Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    return put


@pytest.fixture
def tree(tmp_path: Path, write: Write) -> Path:
    """The least that is a tree: an app, a server, a scenario."""
    write(APP_TOML, APP)
    write("apps/one/requirements.txt", "framework  # with a word on why\n\n# nothing else\n")
    write(SERVER_TOML, SERVER)
    write("scenarios/one.py", SCENARIO)
    return tmp_path


def test_an_app_and_a_server_of_one_interface_become_a_stack(tree: Path) -> None:
    stacks = Tree.load(tree).stacks
    assert list(stacks) == ["one+some"]
    assert stacks["one+some"].concurrency == 8, "four requests in each of two workers"
    assert stacks.apps["one"].requirements == ("framework",)
    assert stacks.apps["one"].work is None, "nobody does its work for it"


def test_interfaces_that_differ_make_no_stack(tree: Path, write: Write) -> None:
    write(APP_TOML, APP.replace("wsgi", "asgi"))
    assert list(Tree.load(tree).stacks) == []


def test_a_lack_is_told_with_its_reason(tree: Path, write: Write) -> None:
    write(APP_TOML, APP + '[lacks]\nws = "no socket"\n')
    stack = Tree.load(tree).stacks["one+some"]
    assert stack.lack("ws") == "no socket"
    assert stack.lack("json") is None


def test_work_is_read_with_the_first_value_of_an_axis_as_its_default(tree: Path, write: Write) -> None:
    write(AXES_TOML, AXES)
    work = declare.work(tree)
    assert work is not None
    assert [(str(choice), choice.default) for choice in work.axes["sync"]["db"]] == [
        ("db=psycopg", True),
        ("db=pymysql", False),
    ]
    assert work.axes["sync"]["db"][1].instead == {"postgres": "mariadb"}
    assert work.axes["sync"]["db"][0].requirements == ("psycopg",)
    assert list(work.axes["aio"]) == ["files"]
    assert declare.apps(tree)["one"].requirements == ("framework", "templates"), "all who use it need its own too"


@pytest.mark.parametrize(
    ("text", "side"),
    [
        (APP, "sync"),
        (APP.replace("wsgi", "asgi"), "aio"),
        (APP.replace("wsgi", "asgi") + 'work = "sync"\n', "sync"),
        (APP + 'work = "aio"\n', "aio"),
    ],
)
def test_an_interface_decides_which_half_does_an_apps_work_unless_it_says_so_itself(
    tree: Path, write: Write, text: str, side: str
) -> None:
    write(AXES_TOML, AXES)
    write(APP_TOML, text)
    assert declare.apps(tree)["one"].work == side


def test_a_tree_without_shared_work_has_no_work_bridges_fronts_and_services(tree: Path) -> None:
    assert declare.work(tree) is None
    assert (declare.bridges(tree), declare.fronts(tree), declare.services(tree)) == ({}, {}, {})


def test_an_app_may_have_axes_of_its_own(tree: Path, write: Write) -> None:
    write(
        APP_TOML,
        APP + '[axes.views.async]\n[axes.views.def]\ntarget = "defs:app"\nwork = "sync"\nrequirements = ["more"]\n'
        'lacks = { sse = "it cannot" }\n',
    )
    usual, other = declare.apps(tree)["one"].axes["views"]
    assert (usual.value, usual.default, usual.target, usual.work) == ("async", True, None, None)
    assert (other.value, other.default, other.target, other.work) == ("def", False, "defs:app", "sync")
    assert (other.requirements, other.lacks) == (("more",), {"sse": "it cannot"})


def test_a_server_says_whom_it_serves_what_it_needs_and_how_it_takes_the_other_interface(
    tree: Path, write: Write
) -> None:
    head, _, settings = SERVER.partition("[settings]")
    write(
        SERVER_TOML,
        f'{head}only = ["one"]\ntls = true\n[settings]{settings}[cannot]\ntwo = "it breaks"\n'
        '[needs]\napxs = "apache2-dev"\n"Python.h" = "python3-dev"\n'
        '[takes.asgi]\ntarget = "asgi:{target}"\nsettings = { threads = 1 }\nlacks = { ws = "closed" }\n',
    )
    server = declare.servers(tree)["some"]
    assert (server.only, server.tls, server.cannot) == (("one",), True, {"two": "it breaks"})
    assert server.needs == {"apxs": "apache2-dev", "Python.h": "python3-dev"}
    assert server.takes == {
        "asgi": Takes(target="asgi:{target}", settings={"threads": 1}, lacks={"ws": "closed"}),
    }
    assert server.folder == tree / "compose", "where launchers and bridges are"


def test_a_server_that_says_nothing_of_these_serves_all_needs_nothing_and_speaks_no_tls(tree: Path) -> None:
    server = declare.servers(tree)["some"]
    assert (server.only, server.cannot, server.needs, server.takes, server.tls) == ((), {}, {}, {}, False)


def test_a_bridge_says_which_interface_it_takes_and_what_changes_then(tree: Path, write: Write) -> None:
    write(BRIDGE_TOML, BRIDGE)
    bridge = declare.bridges(tree)["b"]
    assert bridge.requirements == ("bridging",)
    assert bridge.takes == {
        "wsgi": Takes(target="through:app", settings={"threads": 16}, lacks={"ws": "no socket"}),
    }


def test_a_front_has_stages_each_with_its_share_of_wsgi(tree: Path, write: Write) -> None:
    write(FRONT_TOML, FRONT)
    write("compose/fronts/some.conf", "listen @@")
    front = declare.fronts(tree)["f"]
    assert front.stages == {"1": 0.9, "last": 0.0}
    assert (front.template, front.needs, front.settings["keep_alive_s"]) == ("listen @@", {"nginx": "nginx"}, 600)


def head(text: str, line: str) -> str:
    """The text with a line before its first table."""
    before, bracket, after = text.partition("[settings]")
    return f"{before}{line}\n{bracket}{after}"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (APP_TOML, "interface = ", ["not TOML"]),
        (APP_TOML, APP + "colour = 1", ["'colour' is unknown"]),
        (APP_TOML, APP + 'targett = "x"', ["'targett'", "Did you mean target"]),
        (APP_TOML, 'interface = "cgi"\ntarget = "a:b"', ["'interface' holds 'cgi'", 'expected "wsgi" or']),
        (APP_TOML, 'interface = "wsgi"', ["'target' is missing", "expected an import path"]),
        (APP_TOML, APP + '[lacks]\nplaintext = "x"', ["'plaintext' may not be lacking"]),
        (APP_TOML, APP + "[lacks]\nws = 3", ["'lacks'", "{'ws': 3}"]),
        (APP_TOML, APP + "axes = 1", ["'axes' holds 1; expected a table of axes"]),
        (
            APP_TOML,
            APP + "[axes]\nviews = 1",
            ["app.toml [axes]", "the axis 'views' holds 1", "a table of its values"],
        ),
        (APP_TOML, APP + "[axes.views]\ndef = 1", ["[axes] views", "the value 'def' holds 1", "expected a table"]),
        (APP_TOML, APP + '[axes.views.def]\ntarget = ""', ["[axes] views.def", "'target' holds ''"]),
        (SERVER_TOML, SERVER + "odd = [1]", ["some.toml [settings]", "'odd' holds [1]"]),
        (SERVER_TOML, SERVER.replace("workers = 2", "workers = 0"), ["'workers' holds 0", "from 1"]),
        (SERVER_TOML, SERVER.replace("workers = 2", "workers = true"), ["'workers' holds True"]),
        (SERVER_TOML, SERVER.replace("concurrency = 4", "concurrency = 0"), ["'concurrency' holds 0"]),
        (SERVER_TOML, SERVER.replace("pool_size = 4", ""), ["[settings]", "'pool_size' is missing"]),
        (SERVER_TOML, SERVER.replace("{threads}", "{thread}"), ["'{thread}'", "{threads}"]),
        (SERVER_TOML, SERVER.replace("{threads}", "{"), ["cannot be filled"]),
        (SERVER_TOML, SERVER.replace("{target}", "{target.x}"), ["cannot be filled"]),
        (SERVER_TOML, head(SERVER, 'only = "sanic"'), ["'only' holds 'sanic'", "expected a list of apps"]),
        (SERVER_TOML, head(SERVER, 'tls = "yes"'), ["'tls' holds 'yes'", "expected true or false"]),
        (SERVER_TOML, SERVER + "[cannot]\none = true", ["'cannot'", "expected a table of apps with reasons"]),
        (SERVER_TOML, SERVER + "[lacks_with]\none = 1", ["'lacks_with' holds {'one': 1}", "a table of apps"]),
        (SERVER_TOML, SERVER + "[needs]\ngcc = 1", ["'needs'", "a table of programs with Debian's packages"]),
        (SERVER_TOML, head(SERVER, "takes = { asgi = 1 }"), ["'takes' holds {'asgi': 1}", "a table of interfaces"]),
        (SERVER_TOML, SERVER + "[takes.cgi]", ["some.toml [takes]", "'cgi' is unknown; expected wsgi or asgi"]),
        (SERVER_TOML, SERVER + "[takes.wsgi]", ["[takes.wsgi] is its own interface; expected the other one"]),
        (
            SERVER_TOML,
            SERVER + '[takes.asgi]\ntarge = "x"',
            ["[takes] asgi", "'targe' is unknown. Did you mean target"],
        ),
        (SERVER_TOML, SERVER + "[takes.asgi]\nsettings = { x = [] }", ["[takes] asgi [settings]", "'x' holds []"]),
        (AXES_TOML, 'requirements = "x"', ["'requirements' holds 'x'", "a list of requirements"]),
        (AXES_TOML, "[async.db.x]", ["'async' is unknown. Did you mean sync"]),
        (AXES_TOML, "sync = 1", ["'sync' holds 1; expected a table of axes"]),
        (AXES_TOML, "[sync]\ndb = 1", ["axes.toml [sync]", "the axis 'db' holds 1", "a table of its values"]),
        (AXES_TOML, "[sync.db]", ["the axis 'db' holds {}"]),
        (AXES_TOML, "[sync.bridge.x]", ["the axis 'bridge'", "none of bridge, stage"]),
        (AXES_TOML, "[aio.stage.x]", ["[aio]", "the axis 'stage'", "none of bridge, stage"]),
        (AXES_TOML, '[sync."d b".x]', ["the axis 'd b'", "under a name of a-z"]),
        (AXES_TOML, '[sync.db."Psycopg 3"]', ["the value 'Psycopg 3'", "under a name of a-z"]),
        (AXES_TOML, '[sync.db.""]', ["the value ''", "under a name of a-z"]),
        (AXES_TOML, "[sync.db.x]\nrequirments = []", ["[sync] db.x", "'requirments' is unknown. Did you mean requi"]),
        (AXES_TOML, '[sync.db.x]\nwork = "both"', ["'work' holds 'both'", 'expected "sync" or "aio"']),
        (AXES_TOML, "[sync.db.x]\ninstead = { postgres = 1 }", ["'instead' holds", "a table of services"]),
        (BRIDGE_TOML, "requirements = []", ["takes no app; expected a table [wsgi] or [asgi]"]),
        (BRIDGE_TOML, "[wsgi]", ["b.toml wsgi", "'target' is missing; expected an import path"]),
        (BRIDGE_TOML, BRIDGE.replace("[wsgi]", "[cgi]"), ["'cgi' is unknown. Did you mean wsgi"]),
        (BRIDGE_TOML, BRIDGE + 'from = "x"', ["b.toml wsgi", "'from' is unknown"]),
        (FRONT_TOML, FRONT.replace("some.conf", "none.conf"), ["compose/fronts/none.conf: cannot be read"]),
        (FRONT_TOML, FRONT.replace("0.9", "1.9"), ["'stages' holds", "a table of stages with the share of WSGI"]),
        (FRONT_TOML, FRONT.replace("1 = 0.9\nlast = 0\n", ""), ["'stages' holds {}"]),
        (FRONT_TOML, FRONT.replace("[stages]", "[stage]"), ["'stages' is missing", "found 'stage' instead"]),
        (FRONT_TOML, FRONT.replace("keep_alive_s = 600", ""), ["[settings]", "'keep_alive_s' is missing"]),
        (FRONT_TOML, FRONT + "[container]\nimagee = 1", ["f.toml [container]", "'imagee' is unknown. Did you mean"]),
        (
            SERVICE_TOML,
            SERVICE.replace("postgresql", "oracle", 1),
            ["'kind' holds 'oracle'", "one of postgresql, mysql"],
        ),
        (SERVICE_TOML, SERVICE + 'seed = "seed.sql"', ["'seed' names 'seed.sql'; expected a file beside it"]),
        (SERVICE_TOML, SERVICE + "needs = 1", ["'needs' holds 1", "Debian's packages"]),
        (SERVICE_TOML, SERVICE.replace("{data}", "{dta}"), ["'{dta}'", "{data}"]),
        ("scenarios/one.py", "SCENARIO = {1: [], []: 2}", ["plain literal"]),
        ("scenarios/one.py", "x = 1", ["no SCENARIO"]),
        ("scenarios/one.py", "def", ["not Python"]),
        ("scenarios/one.py", "SCENARIO = {'version': len('x')}", ["plain literal"]),
        ("scenarios/one.py", SCENARIO.replace("1,", "'1',"), ["'version' holds '1'"]),
        (
            "scenarios/one.py",
            "SCENARIO = {'version': 1, 'title': 'x', 'routes': ['db'], 'error_limit': 1}",
            ["'error_limit' holds 1", "expected a share from 0 to below 1"],
        ),
        ("scenarios/one.py", SCENARIO.replace('"plaintext"]', '"plaintext"], "front": 1'), ["'front' holds 1"]),
        ("scenarios/two words.py", SCENARIO, ["a name is made of"]),
        ("compose/servers/-x.toml", SERVER, ["a name is made of"]),
    ],
)
def test_a_fault_names_file_key_what_was_found_and_what_is_expected(
    tree: Path, write: Write, name: str, text: str, said: list[str]
) -> None:
    write("compose/fronts/some.conf", "")
    write(name, text)
    with pytest.raises(UsageError) as raised:
        Tree.load(tree)
    for words in (Path(name).name if "none.conf" not in said[0] else "", *said):
        assert words in str(raised.value)
    assert str(tree) not in str(raised.value), "places are named from the tree on"


@pytest.mark.parametrize(
    ("name", "text", "whose"),
    [
        (APP_TOML, APP + '[lacks]\njsom = "x"', "one"),
        (SERVER_TOML, SERVER + '[lacks]\njsom = "x"', "some"),
        (SERVER_TOML, SERVER + '[takes.asgi]\nlacks = { jsom = "x" }', "some asgi"),
        (BRIDGE_TOML, BRIDGE.replace("ws =", "jsom ="), "b wsgi"),
        (AXES_TOML, '[sync.db.x]\nlacks = { jsom = "x" }', "db=x"),
        (APP_TOML, APP + '[axes.views.def]\nlacks = { jsom = "x" }', "views=def"),
        (SERVER_TOML, SERVER + '[lacks_with.one]\njsom = "x"', "some with one"),
        (BRIDGE_TOML, BRIDGE + '[wsgi.lacks_with.one]\njsom = "x"', "b with one"),
    ],
)
def test_a_lack_of_a_route_that_the_contract_does_not_have_is_refused_wherever_it_stands(
    tree: Path, write: Write, name: str, text: str, whose: str
) -> None:
    write(name, text)
    with pytest.raises(UsageError) as raised:
        Tree.load(tree)
    assert f"There is no route (in [lacks] of {whose}) named 'jsom'. Did you mean json" in str(raised.value)


def test_an_app_and_a_server_of_one_name_are_both_looked_at(tree: Path, write: Write) -> None:
    write("apps/some/app.toml", APP + '[lacks]\njsom = "x"')
    write("apps/some/requirements.txt", "")
    with pytest.raises(UsageError, match=r"of some\) named 'jsom'"):
        Tree.load(tree)


def test_an_axis_belongs_to_an_app_or_to_the_work_of_all(tree: Path, write: Write) -> None:
    write(AXES_TOML, AXES)
    write(APP_TOML, APP + "[axes.db.mine]")
    with pytest.raises(UsageError, match=r"one/app.toml \[axes\]: the axis 'db' is one of apps/work/axes.toml"):
        declare.apps(tree)


def test_bytes_that_are_no_text_are_refused(tree: Path) -> None:
    (tree / "apps/one/app.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not TOML"):
        declare.apps(tree)


def test_an_app_needs_a_file_of_requirements(tree: Path) -> None:
    (tree / "apps/one/requirements.txt").unlink()
    with pytest.raises(UsageError, match=r"apps/one/requirements.txt: cannot be read; expected one requirement"):
        declare.apps(tree)


def test_a_tree_without_its_folders_says_which_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder 'apps'"):
        Tree.load(tmp_path)


def test_a_service_may_have_a_seed_beside_it(tree: Path, write: Write) -> None:
    write(SERVICE_TOML, SERVICE + 'seed = "seed.sql"')
    write("compose/services/seed.sql", "select 1")
    service = declare.services(tree)["db"]
    assert (service.variable, service.seed) == ("DB", tree / "compose/services/seed.sql")


def test_all_that_anybody_requires_is_listed_once_and_in_order(tree: Path, write: Write) -> None:
    write(AXES_TOML, AXES.replace('"pymysql"', '"pymysql", "framework"'))
    write(APP_TOML, APP + '[axes.views.async]\nrequirements = ["views"]')
    write(BRIDGE_TOML, BRIDGE)
    write(SERVICE_TOML, SERVICE)
    assert declare.requirements(tree) == [
        "bridging",
        "database",
        "framework",
        "psycopg",
        "pymysql",
        "some-server",
        "templates",
        "views",
    ]


def test_every_declaration_of_this_project_is_sound(root: Path) -> None:
    tree = Tree.load(root)
    apps, servers = tree.stacks.apps, tree.stacks.servers
    assert {"flask+gunicorn-sync", "flask+gunicorn-gthread", "fastapi+uvicorn", "raw_asgi+uvicorn"} <= set(
        tree.stacks
    )
    assert {"plain", "json", "db", "external", "websocket"} <= set(tree.scenarios)
    assert {"postgres", "mariadb", "redis", "upstream"} <= set(tree.services)
    for server in servers.values():
        named = {*server.only, *server.cannot, *server.lacks_with}
        named |= {app for takes in server.takes.values() for app in takes.lacks_with}
        assert named <= set(apps), f"{server.name} names an app that is not there"
    for bridge in tree.stacks.bridges.values():
        assert {app for takes in bridge.takes.values() for app in takes.lacks_with} <= set(apps), bridge.name
    assert tree.stacks.work is not None
    for axes in tree.stacks.work.axes.values():
        for choice in (choice for choices in axes.values() for choice in choices):
            assert {*choice.instead, *choice.instead.values()} <= set(tree.services), choice


OWN = """
interface = "wsgi"
target = "app:app"
requirements = ["mine"]
services = ["postgres"]
[[paths]]
path = "/"
[[paths]]
path = "/items"
method = "POST"
status = 201
body = "{}"
content_type = "application/json"
weight = 0.5
"""


def test_somebodys_own_app_is_read_wherever_it_lies(tmp_path: Path, write: Write) -> None:
    write("my-app/app.toml", OWN)
    write("my-app/requirements.txt", "framework\n")
    app = declare.own(tmp_path / "my-app")
    assert (app.name, app.requirements, app.services) == ("my-app", ("framework", "mine"), ("postgres",))
    assert [(visit.method, visit.path, visit.status, visit.weight) for visit in app.visits] == [
        ("GET", "/", 200, 1.0),
        ("POST", "/items", 201, 0.5),
    ]
    assert app.ready == "/"
    assert app.work is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('path = "/"\n', 'path = "items"\n', "[[paths]] 1: the key 'path' holds 'items'"),
        ('"POST"', '"post"', "[[paths]] 2: the key 'method' holds 'post'; expected "),
        ("201", "99", "'status' holds 99"),
        ("0.5", "0", "'weight' holds 0"),
        ("body =", "boddy =", "'boddy' is unknown. Did you mean body"),
        ('path = "/"\n', 'path = "/"\nstatus = 404\n', "no path is answered with 200 to a GET"),
        ('interface = "wsgi"', 'interface = "wsgi"\nname = "Mine!"', "'name' holds 'Mine!'"),
        ("[[paths]]", "[[visits]]", "'paths' is missing"),
    ],
)
def test_a_fault_in_somebodys_own_app_is_told_likewise(
    tmp_path: Path, write: Write, old: str, new: str, said: str
) -> None:
    write("mine/app.toml", OWN.replace(old, new))
    with pytest.raises(UsageError) as raised:
        declare.own(tmp_path / "mine")
    assert said in str(raised.value)
    assert "app.toml" in str(raised.value)


def test_a_folder_that_cannot_name_an_app_is_told_of_the_key_that_can(tmp_path: Path, write: Write) -> None:
    write("My App/app.toml", OWN)
    with pytest.raises(UsageError, match=r"the folder's name 'My App' cannot be the app's; add a key 'name'"):
        declare.own(tmp_path / "My App")
    write("My App/app.toml", 'name = "mine"\n' + OWN)
    assert declare.own(tmp_path / "My App").name == "mine"


def test_a_folder_without_an_app_is_told_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no app.toml in .*docs/own-app.md"):
        declare.own(tmp_path)
