"""Somebody's own app: what its app.toml may say, and that it runs on servers that have never heard of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from driving import figures
from loadservers import http_server, reply

from gatebench import declare, own, store
from gatebench.errors import UsageError
from gatebench.model import App, Visit
from gatebench.session import Tree
from gatebench.stacks import everything

HEAD = 'interface = "wsgi"\ntarget = "app:app"\n'
PATH = '[[paths]]\npath = "/"\n'
EXAMPLES = ("flask_shop", "django_shop")
FENCE = re.compile(r'^```toml title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "my-shop"
    made.mkdir()
    return made


def read(folder: Path, text: str, requirements: str | None = None) -> App:
    (folder / "app.toml").write_text(text, encoding="utf-8")
    if requirements is not None:
        (folder / "requirements.txt").write_text(requirements, encoding="utf-8")
    return declare.own(folder)


def test_what_is_left_out_has_its_usual_value(folder: Path) -> None:
    app = read(folder, HEAD + PATH)
    assert (app.name, app.interface, app.target, app.folder) == ("my-shop", "wsgi", "app:app", folder.resolve())
    assert (app.requirements, app.services, app.visits, app.ready) == ((), (), (Visit(path="/"),), "/")


def test_every_key_is_read(folder: Path) -> None:
    text = """
name = "shop-2"
interface = "asgi"
target = "shop.asgi:application"
requirements = ["redis"]
services = ["postgres"]
[[paths]]
path = "/orders?x=1"
method = "POST"
status = 201
body = "né"
content_type = "text/plain; charset=utf-8"
weight = 0.5
[[paths]]
path = "/up"
"""
    app = read(folder, text, "flask>=3  # the framework\n\n# nothing else\n")
    assert (app.name, app.interface, app.target) == ("shop-2", "asgi", "shop.asgi:application")
    assert app.requirements == ("flask>=3", "redis")
    assert app.services == ("postgres",)
    assert app.visits[0] == Visit(
        path="/orders?x=1",
        method="POST",
        status=201,
        body="né",
        content_type="text/plain; charset=utf-8",
        weight=0.5,
    )
    assert app.ready == "/up", "the first GET that is answered with 200"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = \n", ["not TOML"]),
        ('target = "app:app"\n' + PATH, ["'interface' is missing", 'expected "wsgi" or "asgi"']),
        ('interface = "wsgi"\n' + PATH, ["'target' is missing", '"app:app"']),
        (HEAD, ["'paths' is missing", "[[paths]]"]),
        (HEAD + "paths = []", ["'paths' holds []"]),
        (HEAD + 'paths = ["/"]', ["'paths' holds ['/']"]),
        ('interface = "cgi"\ntarget = "a:b"\n' + PATH, ["'interface' holds 'cgi'"]),
        ('interface = "wsgi"\ntarget = "app"\n' + PATH, ["'target' holds 'app'"]),
        ('interface = "wsgi"\ntarget = "app.py:app"\n' + PATH, ["'target' holds 'app.py:app'"]),
        ('interface = "wsgi"\ntarget = "--help"\n' + PATH, ["'target' holds '--help'"]),
        ('interface = "wsgi"\ntarget = "app:make()"\n' + PATH, ["'target' holds 'app:make()'"]),
        (HEAD + "colour = 1\n" + PATH, ["'colour' is unknown"]),
        (HEAD + PATH + 'methd = "GET"', ["[[paths]] 1", "'methd' is unknown", "method"]),
        (HEAD + PATH + '[[paths]]\nmethod = "GET"', ["[[paths]] 2", "'path' is missing"]),
        (HEAD + '[[paths]]\npath = "x"', ["'path' holds 'x'"]),
        (HEAD + '[[paths]]\npath = "/a b"', ["'path' holds '/a b'"]),
        (HEAD + '[[paths]]\npath = "/ä"', ["'path' holds '/ä'"]),
        (HEAD + '[[paths]]\npath = "/#part"', ["'path' holds '/#part'"]),
        (HEAD + PATH + 'status = "200"', ["'status' holds '200'", "from 200 to 599"]),
        (HEAD + PATH + "status = 100", ["'status' holds 100"]),
        (HEAD + PATH + 'method = "get"', ["'method' holds 'get'", "GET, HEAD"]),
        (HEAD + PATH + "weight = 0", ["'weight' holds 0", "above 0"]),
        (HEAD + PATH + "weight = nan", ["'weight' holds nan"]),
        (HEAD + PATH + "body = 3", ["'body' holds 3"]),
        (HEAD + PATH + 'content_type = "a\\r\\nX: y"', ["'content_type' holds"]),
        (HEAD + PATH + "status = 404", ["no path is answered with 200 to a GET"]),
        (HEAD + 'name = "A b"\n' + PATH, ["'name' holds 'A b'"]),
        (HEAD + f'name = "{"a" * 61}"\n' + PATH, ["'name' holds", "at most 60"]),
        (HEAD + 'requirements = "flask"\n' + PATH, ["'requirements' holds 'flask'"]),
        (HEAD + 'requirements = ["what is this"]\n' + PATH, ["app.toml: 'what is this' cannot be locked"]),
        (HEAD + 'requirements = ["x @ https://127.0.0.1/x.zip"]\n' + PATH, ["cannot be locked", "no address"]),
        (HEAD + 'services = "postgres"\n' + PATH, ["'services' holds 'postgres'"]),
    ],
)
def test_a_fault_names_file_key_what_was_found_and_what_is_expected(folder: Path, text: str, said: list[str]) -> None:
    with pytest.raises(UsageError) as raised:
        read(folder, text)
    for words in ["app.toml", *said]:
        assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_options_in_requirements_are_told_of(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"requirements.txt: '-r other.txt' cannot be locked"):
        read(folder, HEAD + PATH, "-r other.txt\n")


@pytest.mark.parametrize("name", ["none", "a-file", "empty", "x" * 300])
def test_a_folder_that_is_none_is_told_of(tmp_path: Path, name: str) -> None:
    (tmp_path / "a-file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=name[:10]):
        declare.own(tmp_path / name)


@pytest.mark.parametrize(("name", "said"), [("My Shop", "add a key 'name'"), ("my:shop", "':' in it")])
def test_a_folder_that_cannot_be_used_as_it_is_named_says_what_helps(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match=said):
        read(tmp_path / name, HEAD + PATH)


@pytest.mark.parametrize("name", ["waitress", "nginx", "a2wsgi", "flask"])
def test_a_name_that_something_else_has_is_refused(root: Path, folder: Path, name: str) -> None:
    read(folder, f'name = "{name}"\n' + HEAD + PATH)
    with pytest.raises(UsageError, match=f"'{name}' is taken"):
        Tree.load(root, folder)


@pytest.mark.parametrize(
    ("services", "said"),
    [('["postgrs"]', "Did you mean postgres"), ('["redis", "redis"]', "each service once")],
)
def test_a_service_is_one_that_there_is_and_named_once(root: Path, folder: Path, services: str, said: str) -> None:
    read(folder, f"services = {services}\n" + HEAD + PATH)
    with pytest.raises(UsageError, match=said):
        Tree.load(root, folder)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_on_every_server_of_its_interface_and_on_others_through_bridges(root: Path, name: str) -> None:
    stacks = Tree.load(root, root / "examples" / name).stacks
    names = {stack.name for stack in everything(stacks)}
    free = {one.name for one in stacks.servers.values() if one.interface == "wsgi" and not one.only}
    assert {f"{name}+{server}" for server in free} <= names
    assert {stack.bridge.name for stack in everything(stacks) if stack.bridge} >= {"own", *stacks.bridges}
    assert f"{name}+uvicorn[bridge=a2wsgi]" in stacks


@pytest.mark.server
def test_the_scenario_makes_the_visits_as_they_are_declared(folder: Path, tmp_path: Path) -> None:
    visits = """
[[paths]]
path = "/"
weight = 3
[[paths]]
path = "/orders?a='b'&c={d}"
method = "POST"
status = 201
content_type = "text/plain"
body = '''it's "né"'''
"""
    scenario = own.scenario(read(folder, HEAD + visits), tmp_path / "generated")
    seen: set[tuple[str, str, bytes]] = set()

    def answer(method: str, path: str, body: bytes) -> bytes:
        seen.add((method, path, body))
        return reply(b"x", status=201 if method == "POST" else 200)

    with http_server(full=answer) as (url, heads):
        found = figures(url, scenario=scenario.path)
    assert found["errors"] == 0
    assert found["requests"] > 0
    posted = ("POST", "/orders?a='b'&c={d}", """it's "né\"""".encode())
    assert seen == {("GET", "/", b""), posted}
    assert any("Content-Type: text/plain" in head for head in heads.requests)


@pytest.mark.server
def test_an_answer_of_another_status_is_an_error(folder: Path, tmp_path: Path) -> None:
    scenario = own.scenario(read(folder, HEAD + PATH), tmp_path)
    with http_server(full=lambda *_: reply(b"x", status=500)) as (url, _):
        found = figures(url, scenario=scenario.path)
    assert found["errors"] > 0
    assert found["requests"] == 0
    assert "status 500 where 200 was expected" in str(found["error_reasons"])


def test_the_docs_show_the_examples_as_they_are(root: Path) -> None:
    shown = dict(FENCE.findall((root / "docs" / "own-app.md").read_text(encoding="utf-8")))
    assert set(shown) == {f"examples/{name}/app.toml" for name in EXAMPLES}
    for path, text in shown.items():
        assert (root / path).read_text(encoding="utf-8") == text


def test_the_docs_tell_every_key(root: Path, folder: Path) -> None:
    docs = (root / "docs" / "own-app.md").read_text(encoding="utf-8")
    for text in (HEAD + PATH + "[zz]", HEAD + PATH + "zz = 1"):
        with pytest.raises(UsageError, match="Known are") as raised:
            read(folder, text)
        for key in str(raised.value).partition("Known are: ")[2].rstrip(".").split(", "):
            assert f"`{key}`" in docs or f"`[[{key}]]`" in docs


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_has_nothing_of_gatebench_in_it(root: Path, name: str) -> None:
    for path in (root / "examples" / name).rglob("*.py"):
        assert "gatebench" not in path.read_text(encoding="utf-8").lower()


def gatebench(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line as a process of its own; no traceback, whatever it was given."""
    command = [sys.executable, "-m", "gatebench", *words, "--root", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, cwd=root.parent)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_list_names_only_what_is_of_the_app(root: Path) -> None:
    done = gatebench(root, "list", "--json", "--app", str(root / "examples" / "flask_shop"))
    listed = json.loads(done.stdout)
    assert {stack["name"].partition("+")[0] for stack in listed["stacks"]} == {"flask_shop"}
    assert [scenario["name"] for scenario in listed["scenarios"]] == ["own"]
    assert not any(stack["cannot_run"] for stack in listed["stacks"])


def test_a_fault_is_one_sentence_and_an_exit_code(root: Path, tmp_path: Path) -> None:
    for verb in ("list", "check", "run"):
        done = gatebench(root, verb, "--app", str(tmp_path / "none"))
        assert (done.returncode, done.stdout.strip()) == (2, "")
        assert done.stderr.count("\n") == 1
        assert "There is no folder" in done.stderr


def test_an_own_app_has_no_other_scenario(root: Path) -> None:
    done = gatebench(root, "run", "--app", str(root / "examples" / "flask_shop"), "--scenario", "plain")
    assert done.returncode == 2
    assert "one scenario" in done.stderr


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_keeps_its_paths_from_outside_the_tree_on_a_server_and_through_a_bridge(
    root: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(root / "examples" / name, tmp_path / "my shop" / name)
    stacks = [f"{name}+waitress", f"{name}+uvicorn[bridge=a2wsgi]"]
    named = [word for stack in stacks for word in ("--stack", stack)]
    done = gatebench(root, "check", "--backend", "process", "--app", str(tmp_path / "my shop" / name), *named)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("5 of 5") == 2
    assert "2 of 2 stacks answered every path" in done.stdout


APP = """
def app(environ, start_response):
    status = {status!r} if environ["PATH_INFO"] == "/other" else "200 OK"
    start_response(status, [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({}, 0, ["1 of 1 stacks"]),
        ({"status": "404 Not Found"}, 1, ["GET /other, status: expected 200, found 404", "1 of 2"]),
        ({"target": "nowhere:app"}, 4, ["No module named 'nowhere'", "its folder holds no module 'nowhere'"]),
        ({"target": "app:nothing"}, 4, ["no attribute 'nothing'"]),
        ({"requirements": "flask==0.0.99"}, 2, ["The requirements cannot be met", "flask==0.0.99"]),
    ],
)
def test_check_says_what_is_not_kept_and_whose_turn_it_is(
    root: Path, folder: Path, changes: dict[str, str], code: int, said: list[str]
) -> None:
    (folder / "app.py").write_text(APP.format(status=changes.get("status", "200 OK")), encoding="utf-8")
    text = f'interface = "wsgi"\ntarget = "{changes.get("target", "app:app")}"\n' + PATH
    read(folder, text + '[[paths]]\npath = "/other"', changes.get("requirements", ""))
    words = ["--backend", "process", "--app", str(folder), "--stack", "my-shop+waitress"]
    done = gatebench(root, "check", *words)
    assert done.returncode == code, done.stdout + done.stderr
    for each in said:
        assert each in done.stdout + done.stderr
    assert done.stdout.count("expected 200") <= 1, "told once, though asked twice"


@pytest.mark.slow
@pytest.mark.server
def test_a_short_run_and_its_report_hold_the_own_app(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--backend", "process", "--stack", "flask_shop+waitress", "--session", "s", "--out", str(out)]
    done = gatebench(root, "run", "--app", str(root / "examples" / "flask_shop"), *words)
    assert done.returncode in (0, 3), done.stdout + done.stderr  # 3: void on a crowded machine, and said so
    session = store.read(out / "s.jsonl")
    assert session.plan.title == "The paths of flask_shop"
    assert len(session.runs) == session.plan.blocks
    for run in session.runs:
        assert (run.stack, run.scenario, run.load, run.fault) == ("flask_shop+waitress", "own", "closed(64)", None)
        assert run.requests
        assert run.errors == 0
    made = subprocess.run(
        [sys.executable, "-m", "gatebench", "report", str(out / "s.jsonl"), "--out", str(tmp_path / "page")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == done.returncode, made.stderr
    assert "published" not in made.stdout
    assert "The paths of flask" in (tmp_path / "page" / "report.md").read_text(encoding="utf-8")
