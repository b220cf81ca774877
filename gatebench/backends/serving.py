"""What starts a stack, wherever it runs: the words of its command, and what its environment says.

Knows stacks and the folders that a backend has for them. Must not know how a process or a container is started.
"""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gatebench.model import Setting, Stack
from gatebench.toml import fill

LIBRARIES = ("/usr/lib", "/usr/local/lib", "/lib")
# A library of linear algebra would start a thread for each CPU: stacks are to differ in their own threads only.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a stack's parts lie on the machine, or in the image, that it runs on."""

    python: str
    bin: str  # its environment's programs
    apps: str  # the folder that holds apps, work among them
    app: str  # the app's own
    compose: str  # launchers and bridges
    scratch: str  # a private folder that may be written to


def command(stack: Stack, place: Place, host: str, port: int) -> list[str]:
    """Give the words that start a stack's server."""
    given: dict[str, Setting] = {
        "python": place.python,
        "bin": place.bin,
        "launchers": f"{place.compose}/launchers",
        "scratch": place.scratch,
        "host": host,
        "port": port,
        "target": stack.target,
    }
    return fill(stack.command, {**stack.settings, **given})


def told(stack: Stack, place: Place, services: Mapping[str, str]) -> dict[str, str]:
    """Give what the server's environment says: where its services are, which drivers it has, how to import it."""
    # What lies beside somebody's own app is no business of ours.
    apps, ours = ([place.apps], ONE_THREAD) if stack.app.work else ([], {})
    folders = [*apps, place.app, *([f"{place.compose}/bridges"] if stack.bridge else [])]
    return {**services, **stack.variables, **ours, "PYTHONPATH": ":".join(folders)}


def missing(needs: Mapping[str, str]) -> list[str]:
    """List Debian's packages that this machine lacks: of programs, of Python's headers, of shared libraries."""
    return list(dict.fromkeys(package for need, package in needs.items() if not _is_here(need)))


def needed(name: str, packages: list[str]) -> str:
    """Say what helps where packages are missing."""
    return f"{name} needs {', '.join(packages)}: apt-get install -y {' '.join(packages)}"


def _is_here(need: str) -> bool:
    if need.endswith(".h"):
        return any(Path(folder, need).exists() for folder in (sysconfig.get_path("include"), "/usr/include"))
    if ".so" in need:
        # Debian has them in a folder of the machine's kind. To look through all below would take half a second.
        places = (Path(folder).glob(f"{below}{need}*") for folder in LIBRARIES for below in ("", "*/"))
        return any(next(place, None) for place in places)
    return shutil.which(need) is not None or shutil.which(need, path=SYSTEM) is not None
