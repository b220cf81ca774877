from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gatebench import declare, envs
from gatebench.errors import MachineError, UsageError
from gatebench.session import Tree
from gatebench.stacks import pairs, variants

LOCK = """\
small==1.0 \\
    --hash=sha256:00
Large.Package==2.5 \\
    --hash=sha256:00
two-fold==1.0 ; python_full_version < '3.12' \\
    --hash=sha256:00
two-fold==2.0 ; python_full_version >= '3.12' \\
    --hash=sha256:00
early==3.0rc1 \\
    --hash=sha256:00
"""


def test_one_lock_meets_every_requirement_of_this_project(root: Path) -> None:
    """`make pins` renews it."""
    for line in declare.requirements(root):
        assert envs.roots(envs.lock_of(root), [line]) is not None, f"{line} is not in requirements/stacks.txt"
    tree = Tree.load(root)
    for requirements in {stack.requirements for stack in (*pairs(tree.stacks), *variants(tree.stacks))}:
        assert envs.locked(root, requirements) == envs.lock_of(root), requirements


def test_the_lock_has_one_version_of_a_package_for_one_python(root: Path) -> None:
    found = envs.PINNED.findall(envs.lock_of(root).read_text(encoding="utf-8"))
    assert len(found) > 100
    markers: dict[str, list[str]] = {}
    for name, _, marker in found:
        markers.setdefault(name, []).append(marker)
    assert [name for name, each in markers.items() if len(set(each)) != len(each)] == []


def test_pins_have_hashes_and_record_no_address(root: Path) -> None:
    found = list((root / "requirements").rglob("*.txt"))
    assert found
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert text.count("--hash=sha256:") >= text.count("=="), path
        assert not re.search(r"https?://|--(extra-)?index|--find-links", text), path


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A tree's lock, of versions that nobody has to install."""
    path = envs.lock_of(tmp_path)
    path.parent.mkdir()
    path.write_text(LOCK, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("requirements", "found"),
    [
        ([], []),
        (["small"], ["small==1.0"]),
        (["small>=0.9,<2"], ["small==1.0"]),
        (["large_package"], ["large_package==2.5"]),
        (["small[extra,another]"], ["small[another,extra]==1.0"]),
        (["early"], ["early==3.0rc1"]),
        (["early>=3.0rc1"], ["early==3.0rc1"]),
        (
            ["two-fold"],
            ["two-fold==1.0 ; python_full_version < '3.12'", "two-fold==2.0 ; python_full_version >= '3.12'"],
        ),
        (["small; python_version >= '3'"], ["small==1.0"]),
        (["absent; python_version < '3'", "small"], ["small==1.0"]),
        (["small>1"], None),
        (["two-fold>1"], None),
        (["early>=3.0"], None),
        (["absent"], None),
        (["absent; python_version >= '3'"], None),
        (["small", "absent"], None),
    ],
)
def test_requirements_get_the_versions_of_the_lock_or_none_where_it_does_not_meet_them(
    lock: Path, requirements: list[str], found: list[str] | None
) -> None:
    assert envs.roots(lock, requirements) == found


@pytest.mark.parametrize("line", ["small ==", "-r more.txt", "--index-url x", "two words"])
def test_a_line_that_is_no_requirement_is_the_users_to_mend(lock: Path, line: str) -> None:
    with pytest.raises(UsageError, match=f"'{re.escape(line)}' is no requirement of Python's"):
        envs.roots(lock, [line])


def test_a_requirement_with_an_address_is_refused_in_a_sentence(lock: Path) -> None:
    with pytest.raises(UsageError, match=r"'small @ file:///x' names an address; expected a package of the index"):
        envs.roots(lock, ["small @ file:///x"])


def test_a_lock_that_is_not_there_meets_nothing(tmp_path: Path) -> None:
    assert envs.roots(tmp_path / "none.txt", ["small"]) is None


def test_what_the_trees_lock_meets_is_resolved_nowhere_else(
    tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envs, "_uv", lambda *_: pytest.fail("nothing is to be resolved"))
    assert envs.locked(tmp_path, ["small", "two-fold"]) == lock


def test_what_it_does_not_meet_is_resolved_once_into_a_lock_of_its_own_that_keeps_its_versions(
    tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved: list[str] = []

    def compiled(*words: str) -> str:
        found = Path(words[words.index("--output-file") + 1])
        assert found.read_text(encoding="utf-8") == LOCK, "these versions are kept where they can be"
        resolved.append(Path(words[-1]).read_text(encoding="utf-8"))
        found.write_text(LOCK + "mine==7\n", encoding="utf-8")
        return ""

    monkeypatch.setattr(envs, "_uv", compiled)
    own = envs.locked(tmp_path, ["mine", "small"])
    assert own.parent == tmp_path / ".envs" / "locks"
    assert envs.roots(own, ["mine", "small"]) == ["mine==7", "small==1.0"]
    assert envs.locked(tmp_path, ["small", "mine"]) == own, "whatever their order"
    assert resolved == ["mine\nsmall\n"]
    assert lock.read_text(encoding="utf-8") == LOCK, "the tree's own is left as it is"


def test_a_lock_that_was_spoilt_is_resolved_again(
    tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiled(*words: str) -> str:
        Path(words[words.index("--output-file") + 1]).write_text("mine==7\n", encoding="utf-8")
        return ""

    monkeypatch.setattr(envs, "_uv", compiled)
    own = envs.locked(tmp_path, ["mine"])
    own.write_text("", encoding="utf-8")
    assert envs.roots(envs.locked(tmp_path, ["mine"]), ["mine"]) == ["mine==7"]


def test_a_resolution_that_gives_something_else_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiled(*words: str) -> str:
        Path(words[words.index("--output-file") + 1]).write_text("other==7\n", encoding="utf-8")
        return ""

    monkeypatch.setattr(envs, "_uv", compiled)
    with pytest.raises(MachineError, match="does not hold what it was made of; remove"):
        envs.prepare(tmp_path, ["mine"])


def built(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Build environments without installing anything, and note what was asked of uv."""
    asked: list[list[str]] = []

    def uv(*words: str) -> str:
        asked.append(list(words))
        if words[0] == "venv":
            place = Path(words[-1]) / "bin" / "python"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(sys.executable)
        return '[{"name": "small", "version": "1.0"}]' if words[:2] == ("pip", "list") else ""

    monkeypatch.setattr(envs, "_uv", uv)
    return asked


def test_stacks_that_require_the_same_share_one_environment(
    tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = built(tmp_path, monkeypatch)
    first = envs.prepare(tmp_path, ["small", "two-fold"])
    assert envs.prepare(tmp_path, ["two-fold", "small"]).folder == first.folder
    assert [words[0] for words in asked].count("venv") == 1
    assert envs.prepare(tmp_path, ["small"]).folder != first.folder, "who requires less has another"
    assert envs.prepare(tmp_path, ["small"], "3.13").folder != envs.prepare(tmp_path, ["small"]).folder
    install = next(words for words in asked if words[:2] == ["pip", "install"])
    assert "--require-hashes" in install
    assert str(lock) in install


def test_another_lock_is_another_environment(tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built(tmp_path, monkeypatch)
    first = envs.prepare(tmp_path, ["small"])
    lock.write_text(LOCK.replace("==2.5", "==2.6"), encoding="utf-8")
    assert envs.prepare(tmp_path, ["small"]).folder != first.folder


def no_python(folder: Path) -> None:
    (folder / "bin" / "python").unlink()


def python_that_leads_nowhere(folder: Path) -> None:
    no_python(folder)
    (folder / "bin" / "python").symlink_to(folder / "gone")


def no_versions(folder: Path) -> None:
    (folder / "versions.json").unlink()


def garbled_versions(folder: Path) -> None:
    (folder / "versions.json").write_text('{"small": "1', encoding="utf-8")


def bytes_for_versions(folder: Path) -> None:
    (folder / "versions.json").write_bytes(b"\xff\xfe")


def versions_of_another_shape(folder: Path) -> None:
    (folder / "versions.json").write_text("[]", encoding="utf-8")


def nothing_in_it(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def half_a_package(folder: Path) -> None:
    (folder / "requirements.txt").write_text("", encoding="utf-8")


def a_package_gone(folder: Path) -> None:
    (folder / "requirements.txt").unlink()


@pytest.mark.parametrize(
    "broken",
    [
        half_a_package,
        a_package_gone,
        no_python,
        python_that_leads_nowhere,
        no_versions,
        garbled_versions,
        bytes_for_versions,
        versions_of_another_shape,
        nothing_in_it,
    ],
)
def test_an_environment_that_is_broken_is_built_again(
    tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch, broken: Callable[[Path], None]
) -> None:
    asked = built(tmp_path, monkeypatch)
    first = envs.prepare(tmp_path, ["small"])
    broken(first.folder)
    again = envs.prepare(tmp_path, ["small"])
    assert again == first
    assert again.python.exists()
    assert again.versions == {"small": "1.0", "python": platform.python_version()}
    assert [words[0] for words in asked].count("venv") == 2
    assert sorted(path.name for path in (tmp_path / ".envs").iterdir()) == [first.folder.name]


def test_of_several_who_build_the_same_at_once_one_puts_it_in_place_and_nobody_removes_it(
    tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(tmp_path, monkeypatch)
    several, look = 4, envs._ready
    together = threading.Barrier(several)

    def ready(folder: Path) -> envs.Environment | None:
        found = look(folder)
        if found is None:  # nobody acts upon it before all have seen it, if all may look
            with contextlib.suppress(threading.BrokenBarrierError):
                together.wait(timeout=0.5)
        return found

    monkeypatch.setattr(envs, "_ready", ready)

    def prepared(_: int) -> int:
        return envs.prepare(tmp_path, ["small"]).folder.stat().st_ino

    with ThreadPoolExecutor(several) as pool:
        given = set(pool.map(prepared, range(several)))
    assert given == {envs.prepare(tmp_path, ["small"]).folder.stat().st_ino}
    assert len(list((tmp_path / ".envs").iterdir())) == 1


def test_what_was_being_built_by_somebody_long_gone_is_removed(
    tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(tmp_path, monkeypatch)
    for name, at in ((".building-old", 0.0), (".building-now", time.time())):
        (tmp_path / ".envs" / name).mkdir(parents=True)
        os.utime(tmp_path / ".envs" / name, (at, at))
    ready = envs.prepare(tmp_path, ["small"]).folder
    assert {path.name for path in (tmp_path / ".envs").iterdir()} == {ready.name, ".building-now"}


def test_a_full_disk_is_told_with_the_place_that_is_full(
    tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built(tmp_path, monkeypatch)

    def contents(folder: Path) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "contents.txt"))

    monkeypatch.setattr(envs, "_contents", contents)
    with pytest.raises(MachineError, match=r"could not be built in \S+/\.envs: .*No space left on device: '\S+'\."):
        envs.prepare(tmp_path, ["small"])
    assert list((tmp_path / ".envs").iterdir()) == []


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = built(tmp_path, monkeypatch)
    whole = envs._uv

    def failing(*words: str) -> str:
        if words[:2] == ("pip", "install"):
            raise MachineError("uv pip install failed: no space left")
        return whole(*words)

    monkeypatch.setattr(envs, "_uv", failing)
    with pytest.raises(MachineError, match="no space left"):
        envs.prepare(tmp_path, ["small"])
    assert asked
    assert list((tmp_path / ".envs").iterdir()) == []


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
    first = envs.prepare(tmp_path, ["small"])
    assert first.versions["small"] == "1.0"
    said = subprocess.check_output([first.python, "-c", "import small; print(small.SIZE)"], text=True)
    assert said == "1\n"
    assert list((tmp_path / ".envs" / "locks").glob("*.txt")), "resolved, since this tree has no lock"
    made = first.folder.stat().st_ino
    assert envs.prepare(tmp_path, ["small"]).folder.stat().st_ino == made
    (first.folder / "versions.json").unlink()
    assert envs.prepare(tmp_path, ["small"]).python.exists(), "a broken one is built again"
    assert not list((tmp_path / ".envs").glob(".building-*"))


@pytest.mark.slow
def test_an_environment_says_which_python_it_has_and_another_one_is_another_environment(
    tmp_path: Path, empty_index: Path
) -> None:
    own = envs.prepare(tmp_path, ["small"])
    assert own.versions["python"] == platform.python_version()
    named = envs.prepare(tmp_path, ["small"], f"3.{sys.version_info.minor}")
    assert named.folder != own.folder
    assert named.versions["python"].startswith(f"3.{sys.version_info.minor}.")


@pytest.mark.slow
def test_a_python_that_is_not_there_is_told_in_a_sentence(tmp_path: Path, empty_index: Path) -> None:
    with pytest.raises(MachineError, match=r"No interpreter found for Python 3\.99.*--backend container"):
        envs.prepare(tmp_path, ["small"], "3.99")
    assert not list((tmp_path / ".envs").glob(".building-*"))


@pytest.mark.slow
def test_a_python_that_is_there_and_does_not_start_is_told_in_a_sentence_that_helps(
    tmp_path: Path, empty_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = tmp_path / "shims" / "python3.98"
    dead.parent.mkdir()
    dead.write_text("#!/bin/sh\necho 'shim: python3.98: command not found' >&2\necho more >&2\nexit 127\n")
    dead.chmod(0o755)
    monkeypatch.setenv("PATH", f"{dead.parent}:{os.environ['PATH']}")
    with pytest.raises(MachineError) as raised:
        envs.prepare(tmp_path, ["small"], "3.98")
    assert str(raised.value) == (
        f"{dead} does not start (shim: python3.98: command not found): put the bin folder of a python3.98 that does "
        "first on PATH, or choose --backend container."
    )


@pytest.mark.slow
def test_requirements_that_cannot_be_met_are_the_users_to_mend(tmp_path: Path, empty_index: Path) -> None:
    with pytest.raises(UsageError, match="small"):
        envs.prepare(tmp_path, ["small==99"])
    assert not list((tmp_path / ".envs").glob(".building-*"))


@pytest.mark.slow
def test_a_package_that_is_not_the_one_of_the_lock_is_refused_in_a_sentence(
    tmp_path: Path, empty_index: Path
) -> None:
    envs.pin(["small"], envs.lock_of(tmp_path))
    lock = envs.lock_of(tmp_path)
    text = lock.read_text(encoding="utf-8")
    lock.write_text(re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, text), encoding="utf-8")
    with pytest.raises(MachineError, match=r"uv pip install failed: .*[Hh]ash mismatch for `small") as raised:
        envs.prepare(tmp_path, ["small"])
    assert "\n" not in str(raised.value)
    assert [path.name for path in (tmp_path / ".envs").iterdir()] == []


@pytest.mark.slow
def test_a_lock_keeps_the_versions_it_is_made_beside_and_records_no_address(
    tmp_path: Path, empty_index: Path
) -> None:
    lock = tmp_path / "own.txt"
    envs.pin(["small"], lock)
    text = lock.read_text(encoding="utf-8")
    assert text.startswith("small==1.0 ")
    assert "--hash=sha256:" in text
    assert str(tmp_path) not in text


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
        envs.prepare(tmp_path, ["small"])
