from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gatebench import declare, envs
from gatebench.errors import MachineError, UsageError


def test_every_file_of_pins_fits_its_requirements(root: Path) -> None:
    """`make pins` renews them."""
    for stack in declare.stacks(root).values():
        requirements = (*stack.app.requirements, *stack.server.requirements)
        assert envs.fresh(requirements, envs.pins_of(root, "stacks", stack.name)), stack.name
    for service in declare.services(root).values():
        assert envs.fresh(service.requirements, envs.pins_of(root, "services", service.name)), service.name


def test_pins_have_hashes_and_record_no_address(root: Path) -> None:
    found = list((root / "requirements").rglob("*.txt"))
    assert found
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert text.count("--hash=sha256:") >= text.count("=="), path
        assert not re.search(r"https?://|--(extra-)?index|--find-links", text), path


def test_what_is_needed_is_named_by_its_content_whatever_its_order() -> None:
    assert envs.digest(["a", "b"]) == envs.digest(["b", "a"]) != envs.digest(["a", "c"])


@pytest.fixture
def empty_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of our own that holds one package, `small`, so that nothing is asked of the network."""
    package = tmp_path / "small"
    package.mkdir()
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "small"\nversion = "1.0"\n',
        encoding="utf-8",
    )
    (package / "small.py").write_text("SIZE = 1\n", encoding="utf-8")
    wheels = tmp_path / "wheels"
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(package)]
    subprocess.run(command, check=True, capture_output=True)
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return wheels


@pytest.mark.slow
def test_an_environment_is_built_once_and_found_the_second_time(tmp_path: Path, empty_index: Path) -> None:
    first = envs.prepare(tmp_path, "stacks", "a+b", ["small"])
    assert first.versions["small"] == "1.0"
    said = subprocess.check_output([first.python, "-c", "import small; print(small.SIZE)"], text=True)
    assert said == "1\n"
    made = first.folder.stat().st_ino
    assert envs.prepare(tmp_path, "stacks", "a+b", ["small"]).folder.stat().st_ino == made
    (first.folder / "versions.json").unlink()
    assert envs.prepare(tmp_path, "stacks", "a+b", ["small"]).python.exists(), "a broken one is built again"
    assert not list((tmp_path / ".envs").glob(".building-*"))


@pytest.mark.slow
def test_an_environment_says_which_python_it_has_and_another_one_is_another_environment(
    tmp_path: Path, empty_index: Path
) -> None:
    own = envs.prepare(tmp_path, "stacks", "a+b", ["small"])
    assert own.versions["python"] == platform.python_version()
    named = envs.prepare(tmp_path, "stacks", "a+b", ["small"], f"3.{sys.version_info.minor}")
    assert named.folder != own.folder
    assert named.versions["python"].startswith(f"3.{sys.version_info.minor}.")


@pytest.mark.slow
def test_a_python_that_is_not_there_is_told_in_a_sentence(tmp_path: Path, empty_index: Path) -> None:
    with pytest.raises(MachineError, match=r"No interpreter found for Python 3\.99.*--backend container"):
        envs.prepare(tmp_path, "stacks", "a+b", ["small"], "3.99")
    assert not list((tmp_path / ".envs").glob(".building-*"))


@pytest.mark.slow
def test_requirements_that_cannot_be_met_are_the_users_to_mend(tmp_path: Path, empty_index: Path) -> None:
    with pytest.raises(UsageError, match="small"):
        envs.prepare(tmp_path, "stacks", "a+b", ["small==99"])
    assert not list((tmp_path / ".envs").glob(".building-*"))


def test_pips_index_is_handed_to_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\nindex-url = http://127.0.0.1:1/simple\n", encoding="utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    assert envs.index()["UV_DEFAULT_INDEX"] == "http://127.0.0.1:1/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:2/simple")
    assert envs.index()["UV_DEFAULT_INDEX"] == "http://127.0.0.1:2/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:3/simple")
    assert envs.index()["UV_DEFAULT_INDEX"] == "http://127.0.0.1:3/simple", "what uv was told stands"
    assert os.environ["UV_DEFAULT_INDEX"].endswith("3/simple")


def test_pins_that_cannot_be_kept_are_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / ".envs").write_text("a file where a folder is wanted", encoding="utf-8")
    with pytest.raises(MachineError, match=r"Pins cannot be kept in .* make it writable"):
        envs.pinned(tmp_path, "stacks", "a+b", ["small"])
