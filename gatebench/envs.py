"""An environment for what stacks and services require: locked with hashes, built beside, renamed when whole.

Knows uv and pins. Must not know servers, plans or results. The package index is the machine's own: pip's setting,
handed to uv at run time, and written nowhere.
"""

from __future__ import annotations

import configparser
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from uv import find_uv_bin

from gatebench.errors import MachineError, UsageError

TIMEOUT_S = 600.0
FORSAKEN_S = 6 * TIMEOUT_S  # nobody builds that long
CONTENTS = "contents.txt"  # what an environment held when it was whole
FORM = b"6"  # of what an environment holds beside its packages; another one is built where it changes
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ \\\n]+)( ; [^\\\n]+?)? *\\?$", re.MULTILINE)  # a line of a lock
RESOLVED = ("--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate", "--quiet")
DEAD = re.compile(r"Failed to inspect Python interpreter[^`]*`([^`]+)`(?:.*?\[stderr\]\s*([^\n]+))?", re.DOTALL)
ASK_VERSION = "import platform; print(platform.python_version())"


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A virtual environment, ready to run."""

    folder: Path
    versions: Mapping[str, str]  # package -> version, as installed

    @property
    def python(self) -> Path:
        """The interpreter to start things with."""
        return self.folder / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        """Where packages lie."""
        return next(self.folder.glob("lib/python*/site-packages"))


def lock_of(root: Path) -> Path:
    """Say where the tree keeps the versions that all its stacks and services share."""
    return root / "requirements" / "stacks.txt"


def pin(requirements: Sequence[str], path: Path, prefer: Path | None = None) -> None:
    """Resolve requirements into a lock with hashes, for every Python from 3.11; it records no address.

    Versions that the lock `prefer` has are kept where they can be.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pinning-", dir=path.parent) as folder:
            source, found = Path(folder) / "requirements.in", Path(folder) / "pins.txt"
            source.write_text("\n".join(requirements) + "\n", encoding="utf-8")
            if prefer is not None and prefer.exists():
                shutil.copy(prefer, found)
            _uv("pip", "compile", *RESOLVED, "--output-file", str(found), str(source))
            found.replace(path)
    except OSError as error:
        raise MachineError(f"Pins cannot be kept in {path.parent} ({error.strerror}): make it writable.") from error


def locked(root: Path, requirements: Sequence[str]) -> Path:
    """Give a lock that these requirements are met by: the tree's own, else one that is resolved now, in .envs/."""
    lock = lock_of(root)
    if roots(lock, requirements) is not None:
        return lock
    name = hashlib.sha256("\n".join(sorted(requirements)).encode()).hexdigest()[:16]
    own = root / ".envs" / "locks" / f"{name}.txt"
    if roots(own, requirements) is None:
        pin(requirements, own, prefer=lock)
    return own


def roots(lock: Path, requirements: Sequence[str]) -> list[str] | None:
    """Give requirements with the versions of a lock, as pip spells them; None where the lock does not meet one."""
    try:
        versions = _versions(lock.read_text(encoding="utf-8"))
    except OSError:
        return None
    found: list[str] = []
    for line in requirements:
        try:
            wanted = Requirement(line)
        except InvalidRequirement as error:
            raise UsageError(f"'{line}' is no requirement of Python's: {error}.") from error
        if wanted.url is not None:
            raise UsageError(f"'{line}' names an address; expected a package of the index, such as 'package>=1'.")
        met = versions.get(canonicalize_name(wanted.name), [])
        if not met and wanted.marker is not None and not wanted.marker.evaluate():
            continue  # it is for other Pythons or systems, and so in no lock of ours
        if not met or not all(wanted.specifier.contains(version, prereleases=True) for version, _ in met):
            return None
        extras = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
        found += [f"{wanted.name}{extras}=={version}{marker}" for version, marker in met]
    return found


def _versions(lock: str) -> dict[str, list[tuple[str, str]]]:
    """Read a lock: package -> its versions, each with the marker that it holds for."""
    read: dict[str, list[tuple[str, str]]] = {}
    for name, version, marker in PINNED.findall(lock):
        read.setdefault(canonicalize_name(name), []).append((version, marker))
    return read


def prepare(root: Path, requirements: Sequence[str], python: str | None = None) -> Environment:
    """Give an environment that holds these requirements, building it where there is none of these versions yet.

    `python` is the version of its interpreter; None is the one that runs this. Who requires the same shares one.
    """
    lock = locked(root, requirements)
    wanted = roots(lock, requirements)
    if wanted is None:
        raise MachineError(f"The lock {lock.name} does not hold what it was made of; remove {lock} and try again.")
    content = "\n".join([*sorted(wanted), python or sys.version]).encode() + lock.read_bytes() + FORM
    folder = root / ".envs" / hashlib.sha256(content).hexdigest()[:16]
    base = python or str(getattr(sys, "_base_executable", sys.executable))
    try:
        return _ready(folder) or _build(folder, lock, wanted, base)
    except OSError as error:
        raise MachineError(f"An environment could not be built in {folder.parent}: {error}.") from error


def _ready(folder: Path) -> Environment | None:
    try:
        versions = json.loads((folder / "versions.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    environment = Environment(folder=folder, versions=versions)
    sound = isinstance(versions, dict) and environment.python.exists() and _whole(folder)
    return environment if sound else None


def _contents(folder: Path) -> str:
    """List what an environment holds, by size and path, but for bytecode, which Python writes again by itself."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in files:
            path = os.path.join(place, name)  # noqa: PTH118 - thousands of files
            found.append(f"{os.lstat(path).st_size} {os.path.relpath(path, folder)}")
    return "\n".join(sorted(found))


def _whole(folder: Path) -> bool:
    """Say whether all that it held when it was built is still there; what a program added to it is no fault."""
    try:
        for line in (folder / CONTENTS).read_text(encoding="utf-8").splitlines():
            size, _, path = line.partition(" ")
            if os.lstat(f"{folder}/{path}").st_size != int(size):
                return False
    except (OSError, ValueError):
        return False
    return True


def _build(folder: Path, lock: Path, wanted: Sequence[str], base: str) -> Environment:
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    try:
        # tempfile makes it private, and PostgreSQL reads its own as another user.
        beside.chmod(0o755)
        _uv(
            *("venv", "--quiet", "--allow-existing", "--relocatable", "--no-python-downloads"),
            *("--python", base, str(beside)),
        )
        python = str(beside / "bin" / "python")
        # Compiled now, so that the first start of a server costs what the second does.
        if wanted:
            listed = beside / "requirements.txt"
            listed.write_text("\n".join(wanted) + "\n", encoding="utf-8")
            options = ["--quiet", "--require-hashes", "--compile-bytecode", "--constraints", str(lock)]
            _uv("pip", "install", *options, "--python", python, "--requirements", str(listed))
        asked = subprocess.run([python, "-c", ASK_VERSION], capture_output=True, text=True, check=False)
        if asked.returncode:
            said = " ".join(asked.stderr.split())[-600:]
            raise MachineError(f"{base} does not run where an environment is built: {said or 'it said nothing'}")
        installed = _uv("pip", "list", "--format", "json", "--python", python)
        (beside / "versions.json").write_text(
            json.dumps(versions(installed, asked.stdout), indent=1), encoding="utf-8"
        )
        (beside / CONTENTS).write_text(_contents(beside), encoding="utf-8")
        # Another thread or session may have been quicker, which serves as well; a broken one makes room.
        with _alone(folder.parent):
            _forsaken(folder.parent)
            if _ready(folder) is None:
                shutil.rmtree(folder, ignore_errors=True)
                with contextlib.suppress(OSError):
                    beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    built = _ready(folder)
    if built is None:
        raise MachineError(f"The environment {folder.name} could not be put in place; see that .envs/ is writable.")
    return built


def _forsaken(folder: Path) -> None:
    """Remove what was being built by somebody who was killed."""
    for one in folder.glob(".building-*"):
        with contextlib.suppress(OSError):  # it has been put in place
            if one.stat().st_mtime < time.time() - FORSAKEN_S:
                shutil.rmtree(one)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep all others out who want to put something in place in this folder."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def versions(listed: str, python: str) -> dict[str, str]:
    """Read what `uv pip list --format json` said, and put the interpreter's own version beside it."""
    return {"python": python.strip(), **{item["name"]: item["version"] for item in json.loads(listed)}}


def _uv(*words: str) -> str:
    """Run uv, quietly; what it says of a failure becomes the error."""
    command = [find_uv_bin(), *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, env={**os.environ, **index()}, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MachineError(f"uv took more than {TIMEOUT_S:.0f} s; see that the package index answers.") from error
    if done.returncode == 0:
        return done.stdout
    if dead := DEAD.search(done.stderr):  # as a shim of pyenv is, for a version that is not switched on
        program, why = dead[1], f" ({dead[2].strip().rstrip('.')})" if dead[2] else ""
        raise MachineError(
            f"{program} does not start{why}: put the bin folder of a {Path(program).name} that does first on "
            "PATH, or choose --backend container."
        )
    said = " ".join(done.stderr.split())[-600:]
    if "No interpreter found" in said:
        raise MachineError(f"{said} Install it, let the plan's 'python' out, or choose --backend container.")
    if "No solution found" in said or "not found in the package registry" in said:
        raise UsageError(f"The requirements cannot be met: {said}")
    raise MachineError(f"uv {words[0]} {words[1]} failed: {said or 'it said nothing'}")


def index() -> dict[str, str]:
    """Hand pip's index and certificates to uv, which does not read pip's settings; what uv was told itself stands."""
    found: dict[str, str] = {}
    places = [Path("/etc/pip.conf"), Path.home() / ".pip/pip.conf", Path.home() / ".config/pip/pip.conf"]
    places += [Path(sys.prefix) / "pip.conf", Path(os.environ.get("PIP_CONFIG_FILE", os.devnull))]
    for key, variable in (("index-url", "UV_DEFAULT_INDEX"), ("cert", "SSL_CERT_FILE")):
        for path in places:
            settings = configparser.RawConfigParser()
            with contextlib.suppress(OSError, configparser.Error):
                settings.read(path)
                found[variable] = settings.get("global", key, fallback=found.get(variable, ""))
        found[variable] = (
            os.environ.get(variable) or os.environ.get(f"PIP_{key.upper().replace('-', '_')}") or found[variable]
        )
    return {variable: value for variable, value in found.items() if value}


def _renew(root: Path) -> None:
    """Resolve every lock anew: the harness's own, and the one that all stacks and services share."""
    from gatebench import declare  # noqa: PLC0415 - only pinning needs it

    own = str(root / "pyproject.toml")
    _uv("pip", "compile", *RESOLVED, "--upgrade", "--group", "dev", "-o", str(root / "requirements/dev.txt"), own)
    pin(declare.requirements(root), lock_of(root))
    pin(("uv",), root / "requirements" / "uv.txt")


if __name__ == "__main__":
    _renew(Path())
