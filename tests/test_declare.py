from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gatebench import declare
from gatebench.errors import UsageError

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
SCENARIO = '"""One."""\nSCENARIO = {"version": 1, "title": "One", "routes": ["plaintext"]}\n'
Write = Callable[[str, str], Path]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in (
        ("apps/one/app.toml", APP),
        ("apps/one/requirements.txt", "framework  # with a word on why\n\n# nothing else\n"),
        ("compose/servers/some.toml", SERVER),
        ("scenarios/one.py", SCENARIO),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_an_app_and_a_server_of_one_interface_become_a_stack(tree: Path) -> None:
    stacks = declare.stacks(tree)
    assert list(stacks) == ["one+some"]
    assert stacks["one+some"].server.concurrency == 8, "four requests in each of two workers"
    assert stacks["one+some"].app.requirements == ("framework",)


def test_apps_share_the_requirements_of_the_work_of_their_interface(tree: Path) -> None:
    (tree / "apps/work").mkdir()
    (tree / "apps/work/requirements-sync.txt").write_text("driver\n", encoding="utf-8")
    (tree / "apps/work/requirements-aio.txt").write_text("other\n", encoding="utf-8")
    assert declare.apps(tree)["one"].requirements == ("framework", "driver")


def test_interfaces_that_differ_make_no_stack(tree: Path) -> None:
    (tree / "apps/one/app.toml").write_text(APP.replace("wsgi", "asgi"), encoding="utf-8")
    assert declare.stacks(tree) == {}


def test_a_lack_is_told_with_its_reason(tree: Path) -> None:
    (tree / "apps/one/app.toml").write_text(APP + '[lacks]\nws = "no socket"\n', encoding="utf-8")
    assert declare.stacks(tree)["one+some"].lack("ws") == "no socket"
    assert declare.stacks(tree)["one+some"].lack("json") is None


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("apps/one/app.toml", "interface = ", ["apps/one/app.toml", "not TOML"]),
        ("apps/one/app.toml", APP + "colour = 1", ["apps/one/app.toml", "'colour' is unknown"]),
        ("apps/one/app.toml", APP + 'targett = "x"', ["'targett'", "Did you mean target"]),
        ("apps/one/app.toml", 'interface = "cgi"\ntarget = "a:b"', ["'interface' holds 'cgi'", 'expected "wsgi" or']),
        ("apps/one/app.toml", 'interface = "wsgi"', ["'target' is missing", "expected an import path"]),
        ("apps/one/app.toml", APP + '[lacks]\nplaintext = "x"', ["'plaintext' may not be lacking"]),
        ("compose/servers/some.toml", SERVER + "odd = [1]", ["some.toml [settings]", "'odd' holds [1]"]),
        ("scenarios/one.py", "SCENARIO = {1: [], []: 2}", ["scenarios/one.py", "plain literal"]),
        ("apps/one/app.toml", APP + "[lacks]\nws = 3", ["'lacks'", "{'ws': 3}"]),
        ("compose/servers/some.toml", SERVER.replace("workers = 2", "workers = 0"), ["'workers' holds 0", "from 1"]),
        ("compose/servers/some.toml", SERVER.replace("workers = 2", "workers = true"), ["'workers' holds True"]),
        ("compose/servers/some.toml", SERVER.replace("pool_size = 4", ""), ["[settings]", "'pool_size' is missing"]),
        (
            "compose/servers/some.toml",
            SERVER.replace("{threads}", "{thread}"),
            ["some.toml", "'{thread}'", "{threads}"],
        ),
        ("compose/servers/some.toml", SERVER.replace("{threads}", "{"), ["some.toml", "cannot be filled"]),
        ("compose/servers/some.toml", SERVER.replace("{target}", "{target.x}"), ["some.toml", "cannot be filled"]),
        ("scenarios/one.py", "x = 1", ["scenarios/one.py", "no SCENARIO"]),
        ("scenarios/one.py", "def", ["scenarios/one.py", "not Python"]),
        ("scenarios/one.py", "SCENARIO = {'version': len('x')}", ["scenarios/one.py", "plain literal"]),
        ("scenarios/one.py", SCENARIO.replace("1,", "'1',"), ["scenarios/one.py", "'version' holds '1'"]),
        (
            "scenarios/one.py",
            "SCENARIO = {'version': 1, 'title': 'x', 'routes': ['db'], 'error_limit': 1}",
            ["'error_limit' holds 1", "expected a share from 0 to below 1"],
        ),
        ("scenarios/two words.py", SCENARIO, ["two words.py", "a name is made of"]),
    ],
)
def test_a_fault_names_file_key_what_was_found_and_what_is_expected(
    tree: Path, name: str, text: str, said: list[str]
) -> None:
    (tree / name).write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        declare.scenarios(tree) if name.startswith("scenarios") else declare.stacks(tree)
    for words in said:
        assert words in str(raised.value)


def test_bytes_that_are_no_text_are_refused(tree: Path) -> None:
    (tree / "apps/one/app.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not TOML"):
        declare.apps(tree)


def test_a_tree_without_its_folders_says_which_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder 'apps'"):
        declare.stacks(tmp_path)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no stack named 'flsk\+some'. Did you mean flask\+some"):
        declare.find("stack", "flsk+some", {"flask+some": 1, "other+server": 2})
    with pytest.raises(UsageError, match="Known are: aaa"):
        declare.find("stack", "zzz", {"aaa": 1})


def test_a_service_needs_its_seed_beside_it(tree: Path) -> None:
    (tree / "compose/services").mkdir()
    (tree / "compose/services/db.toml").write_text(
        'kind = "postgresql"\nvariable = "DB"\nurl = "postgresql://x@127.0.0.1:{port}/y"\n'
        'requirements = ["r"]\ncommand = ["{python}", "{data}"]\nseed = "seed.sql"\n',
        encoding="utf-8",
    )
    with pytest.raises(UsageError, match=r"'seed' names 'seed.sql'; expected a file beside it"):
        declare.services(tree)
    (tree / "compose/services/seed.sql").write_text("select 1", encoding="utf-8")
    assert declare.services(tree)["db"].variable == "DB"


def test_booleans_are_filled_as_words_a_command_knows() -> None:
    assert declare.fill(["--x={flag}", "{number}"], {"flag": False, "number": 2.5}) == ["--x=false", "2.5"]


def test_every_declaration_of_this_project_is_sound(root: Path) -> None:
    stacks = declare.stacks(root)
    assert {"flask+gunicorn-sync", "flask+gunicorn-gthread", "flask+gunicorn-gevent", "fastapi+uvicorn"} <= set(
        stacks
    )
    assert {"raw_wsgi+gunicorn-sync", "raw_asgi+uvicorn"} <= set(stacks)
    assert set(declare.scenarios(root)) >= {"plain", "json", "db", "external", "websocket"}
    assert set(declare.services(root)) >= {"postgres", "upstream"}
