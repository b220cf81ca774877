"""Who may know whom: imports go in one direction, and some rooms are closed to each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

# A module imports only from lines above its own; modules of one line do not know each other.
LAYERS = """
errors
model
histogram stats nothing changes arrivals
metrics toml machine records
declare
stacks
plan envs validity store own catalogue joining
backends
contract limits
protocols
generator knocking
parties
calibration
readings seat
run
fake resume
session progress
arms
gate history
gating
checking bench
tables
sweeps attribution
claims notebook
report
serving
cli
power
__main__
""".splitlines()
ORDER = {name: number for number, line in enumerate(LAYERS) for name in line.split()}
PROGRAMS = {"swarm", "streams"}  # started, and never imported by others
JUDGING = {
    "stats",
    "changes",
    "gate",
    "history",
    "tables",
    "sweeps",
    "attribution",
    "claims",
    "notebook",
    "report",
    "serving",
    "joining",
}
MEASURING = {
    "backends",
    "contract",
    "envs",
    "fake",
    "generator",
    "knocking",
    "limits",
    "machine",
    "nothing",
    "plan",
    "readings",
    "run",
    "seat",
    "session",
}
PACKAGE = Path(__file__).parent.parent / "gatebench"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent.name != "scenarios")  # those are Locust files


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """All modules a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def rooms_of(path: Path) -> set[str]:
    names = {name.split(".")[1] for name in imported(path) if name.startswith("gatebench.")}
    return {name for name in names if name in ORDER or name in PROGRAMS} - {room(path)}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_go_in_one_direction(path: Path) -> None:
    if room(path) == "__init__":
        assert rooms_of(path) <= {"model", "notebook"}
    elif room(path) in PROGRAMS:
        assert rooms_of(path) <= {"arrivals", "errors", "histogram", "model"}, "a generator is a program of its own"
    else:
        assert room(path) in ORDER, "a new module has its place in the order"
        above = {name for name in rooms_of(path) if name in PROGRAMS or ORDER[name] >= ORDER[room(path)]}
        assert not above


@pytest.mark.parametrize("path", [path for path in FILES if room(path) in JUDGING], ids=str)
def test_judging_knows_nothing_of_measuring(path: Path) -> None:
    assert not rooms_of(path) & MEASURING


@pytest.mark.parametrize("path", [path for path in FILES if room(path) != "swarm"], ids=str)
def test_only_the_load_generator_imports_locust(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported(path)} & {"locust", "gevent", "geventhttpclient"}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_only_the_command_line_prints_or_exits(path: Path) -> None:
    if room(path) in {"cli", "progress"} or path.name == "__main__.py":
        pytest.skip("this is the command line, or a program of its own")
    calls = {
        ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)
    }
    assert not calls & {"print", "sys.exit", "exit", "quit", "os._exit", "typer.echo"}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_module_says_what_it_knows(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert path.stem not in {"util", "utils", "helpers", "common", "misc"}
