"""What starts a stack: what this machine lacks for it, the words of its command, what its environment says."""

from __future__ import annotations

import sysconfig
from dataclasses import replace
from pathlib import Path

import pytest

from gatebench.backends import serving
from gatebench.backends.serving import Place, command, missing, needed, told
from gatebench.declare import Work
from gatebench.model import App, Bridge, Choice, Server, Stack, Takes
from gatebench.stacks import Stacks

PLACE = Place(
    python="/e/bin/python", bin="/e/bin", apps="/t/apps", app="/t/apps/mine", compose="/t/compose", scratch="/s"
)
STACK = Stack(
    app=App(
        name="mine", interface="wsgi", target="app:app", folder=Path("/t/apps/mine"), requirements=(), work="sync"
    ),
    server=Server(
        name="some",
        interface="wsgi",
        requirements=(),
        protocols=("http/1.1",),
        command=(
            *("{python}", "{launchers}/run.py", "{bin}/tool", "--to", "{host}:{port}", "--log={access_log}"),
            *("{scratch}", "{threads}", "{target}"),
        ),
        settings={"workers": 1, "threads": 4, "pool_size": 3, "keep_alive_s": 5, "access_log": False},
    ),
    choices=(Choice(axis="db", value="psycopg2"), Choice(axis="views", value="def", target="defs:app")),
)
BRIDGED = replace(
    STACK,
    server=replace(STACK.server, interface="asgi"),
    bridge=Bridge(name="b", takes={"wsgi": Takes(target="through:app", settings={"threads": 9})}),
)


def test_a_command_is_filled_with_places_settings_and_the_apps_target() -> None:
    assert command(STACK, PLACE, "127.0.0.1", 8000) == [
        *("/e/bin/python", "/t/compose/launchers/run.py", "/e/bin/tool", "--to", "127.0.0.1:8000", "--log=false"),
        *("/s", "4", "defs:app"),
    ]


def test_a_setting_never_takes_the_place_of_what_the_harness_gives() -> None:
    odd = replace(STACK, server=replace(STACK.server, settings={**STACK.server.settings, "port": 1, "target": "x"}))
    words = command(odd, PLACE, "127.0.0.1", 8000)
    assert "127.0.0.1:8000" in words
    assert words[-1] == "defs:app"


def test_a_bridged_stack_is_started_with_the_bridges_target_and_settings() -> None:
    assert command(BRIDGED, PLACE, "127.0.0.1", 8000)[-2:] == ["9", "through:app"]


def test_the_environment_names_services_values_target_and_pool() -> None:
    said = told(STACK, PLACE, {"GATEBENCH_DATABASE_URL": "postgresql://x"})
    assert said == {
        "GATEBENCH_DATABASE_URL": "postgresql://x",
        "GATEBENCH_DB": "psycopg2",
        "GATEBENCH_VIEWS": "def",
        "GATEBENCH_TARGET": "defs:app",
        "GATEBENCH_POOL_SIZE": "3",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": "/t/apps:/t/apps/mine",
    }


def test_bridges_are_on_the_import_path_only_of_a_stack_that_has_one() -> None:
    assert told(BRIDGED, PLACE, {})["PYTHONPATH"] == "/t/apps:/t/apps/mine:/t/compose/bridges"


def test_what_lies_beside_somebodys_own_app_is_not_on_its_import_path() -> None:
    assert told(replace(STACK, app=replace(STACK.app, work=None)), PLACE, {})["PYTHONPATH"] == "/t/apps/mine"


def test_every_axis_reaches_the_app_as_a_variable_in_capitals() -> None:
    axes = {"db": (Choice(axis="db", value="psycopg", default=True), Choice(axis="db", value="pymysql"))}
    stacks = Stacks(apps={"mine": STACK.app}, servers={"some": STACK.server}, work=Work(axes={"sync": axes}))
    assert told(stacks.one("mine+some"), PLACE, {})["GATEBENCH_DB"] == "psycopg", "the default is said too"
    assert told(stacks.one("mine+some[db=pymysql]"), PLACE, {})["GATEBENCH_DB"] == "pymysql"


def put(folder: Path, name: str) -> Path:
    """Put an empty program, header or library there."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(0o755)
    return path


def test_a_program_is_looked_for_where_the_user_and_where_the_system_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "users/mine")
    put(tmp_path, "sbin/daemon")
    monkeypatch.setenv("PATH", str(tmp_path / "users"))
    monkeypatch.setattr(serving, "SYSTEM", str(tmp_path / "sbin"))
    needs = {"mine": "mine-package", "daemon": "daemon-package", "absent": "absent-package"}
    assert missing(needs) == ["absent-package"]


def test_a_header_is_looked_for_where_python_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    needs = {"Gatebench.h": "python3-dev"}
    assert missing(needs) == ["python3-dev"]
    put(tmp_path, "Gatebench.h")
    assert missing(needs) == []


@pytest.mark.parametrize("place", ["libnew.so", "libnew.so.4", "x86_64-linux-gnu/libnew.so"])
def test_a_shared_library_is_looked_for_in_the_systems_folders_whatever_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(serving, "LIBRARIES", (str(tmp_path / "lib"), str(tmp_path / "local")))
    assert missing({"libnew.so": "libnew-dev"}) == ["libnew-dev"]
    put(tmp_path / "local", place)
    assert missing({"libnew.so": "libnew-dev"}) == []


def test_a_library_of_this_machine_is_found() -> None:
    assert missing({"libc.so": "libc6"}) == []


def test_a_package_that_several_things_come_from_is_named_once_and_in_order() -> None:
    assert missing({"no-such-1": "b", "no-such-2": "a", "no-such-3": "b"}) == ["b", "a"]
    assert missing({}) == []


def test_what_helps_is_a_command() -> None:
    assert needed("flask+mod_wsgi", ["apache2", "gcc"]) == (
        "flask+mod_wsgi needs apache2, gcc: apt-get install -y apache2 gcc"
    )
