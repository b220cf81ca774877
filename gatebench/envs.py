"""An environment per stack and per service: pinned with hashes, built beside, renamed when whole.

Knows uv and pins. Must not know servers, plans or results. The package index is the machine's own: pip's setting,
handed to uv at run time, and written nowhere.
"""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from gatebench.errors import MachineError, UsageError

TIMEOUT_S = 600.0
FORM = b"2"  # of what an environment holds beside its packages; another one is built where it changes
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


def pins_of(root: Path, group: str, name: str) -> Path:
    """Say where the pins of a stack ("stacks") or a service ("services") are kept."""
    return root / "requirements" / group / f"{name}.txt"


def digest(requirements: Sequence[str]) -> str:
    """Name a set of requirements by its content."""
    return hashlib.sha256("\n".join(sorted(requirements)).encode()).hexdigest()[:12]


def pin(requirements: Sequence[str], path: Path) -> None:
    """Resolve requirements into a file of pins with hashes, for every Python from 3.11; it records no address."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"Pins cannot be kept in {path.parent} ({error.strerror}): make it writable.") from error
    with tempfile.TemporaryDirectory() as folder:
        source, found = Path(folder) / "requirements.in", Path(folder) / "pins.txt"
        source.write_text("\n".join(requirements) + "\n", encoding="utf-8")
        options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate"]
        _uv("pip", "compile", "--quiet", *options, "--output-file", str(found), str(source))
        pins = found.read_text(encoding="utf-8")
        beside = path.with_suffix(".new")
        beside.write_text(f"# of: {digest(requirements)}\n{pins}", encoding="utf-8")
        beside.replace(path)


def fresh(requirements: Sequence[str], path: Path) -> bool:
    """Say whether a file of pins was made from these requirements."""
    try:
        return path.read_text(encoding="utf-8").startswith(f"# of: {digest(requirements)}\n")
    except OSError:
        return False


def pinned(root: Path, group: str, name: str, requirements: Sequence[str]) -> Path:
    """Give the pins of these requirements: those kept in the tree where they fit, else resolved now, in .envs/."""
    pins = pins_of(root, group, name)
    if not fresh(requirements, pins):
        pins = root / ".envs" / "pins" / f"{name}-{digest(requirements)}.txt"
        if not fresh(requirements, pins):
            pin(requirements, pins)
    return pins


def prepare(root: Path, group: str, name: str, requirements: Sequence[str], python: str | None = None) -> Environment:
    """Give the environment of a stack or a service, building it where there is none of these pins yet.

    `python` is the version of its interpreter; None is the one that runs this.
    """
    pins = pinned(root, group, name, requirements)
    content = pins.read_bytes() + (python or sys.version).encode() + FORM
    folder = root / ".envs" / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
    return _ready(folder) or _build(folder, pins, python or str(getattr(sys, "_base_executable", sys.executable)))


def _ready(folder: Path) -> Environment | None:
    try:
        versions = json.loads((folder / "versions.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    environment = Environment(folder=folder, versions=versions)
    return environment if environment.python.exists() else None


def _build(folder: Path, pins: Path, base: str) -> Environment:
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
        _uv("pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", "--python", python, str(pins))
        asked = subprocess.run([python, "-c", ASK_VERSION], capture_output=True, text=True, check=True)
        listed = _uv("pip", "list", "--format", "json", "--python", python)
        (beside / "versions.json").write_text(json.dumps(versions(listed, asked.stdout), indent=1), encoding="utf-8")
        # Another session may have been quicker, which serves as well; a broken one makes room.
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
    """Resolve every file of pins anew: the harness's own, each stack's and each service's."""
    from gatebench import declare  # noqa: PLC0415 - only pinning needs it

    project = [
        "--universal",
        "--python-version",
        "3.11",
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
        "--quiet",
    ]
    own = str(root / "pyproject.toml")
    _uv("pip", "compile", *project, "--upgrade", "--group", "dev", "-o", str(root / "requirements/dev.txt"), own)
    for stack in declare.stacks(root).values():
        pin((*stack.app.requirements, *stack.server.requirements), pins_of(root, "stacks", stack.name))
    for service in declare.services(root).values():
        pin(service.requirements, pins_of(root, "services", service.name))
    pin(("uv",), root / "requirements" / "uv.txt")


if __name__ == "__main__":
    _renew(Path())
