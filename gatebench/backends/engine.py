"""The Docker engine: whether one answers, what is ours in it, and what was left behind.

Knows the engine's API and this project's labels. Must not know stacks, services or images' contents. Only what
carries the label is ever removed.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import docker
import psutil
import requests
import urllib3
from docker.context import ContextAPI
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from gatebench.errors import MachineError

LABEL = "gatebench"  # on all that is ours; its value says what it is
OWNER = "gatebench.owner"  # the process that a container or network belongs to
OLDEST = (20, 10)
ANSWER_S = 60.0  # the engine may be busy with removing what was large
SOCKET = "unix:///var/run/docker.sock"


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine that answers."""

    client: docker.DockerClient
    address: str
    version: str
    cgroup: str  # "v1" or "v2"

    @cached_property
    def command(self) -> list[str]:
        """Give the docker command that builds with this engine: the first on PATH that has BuildKit."""
        seen = []
        for folder in os.get_exec_path():
            found = shutil.which("docker", path=folder)
            if found is None:
                continue
            missing = _lacks_buildkit(found)
            if missing is None:
                return [found, "--host", self.address]
            seen.append(missing)
        said = "; ".join(seen) or "none was found on PATH"
        raise MachineError(
            f"No docker command here can build with BuildKit: {said}; install the engine's own client, or buildx."
        )

    @contextlib.contextmanager
    def asked(self, what: str) -> Iterator[None]:
        """Make one sentence of what the engine answers, or fails to."""
        try:
            yield
        except APIError as error:
            raise MachineError(f"{what}: {error.explanation or error}.") from error
        except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise MachineError(
                f"The Docker engine at {self.address} no longer answers ({what}); see that it runs."
            ) from error


def find() -> Engine:
    """Find this machine's engine, as DOCKER_HOST or the client's context names it; MachineError where none is."""
    address = _address()
    if not _is_here(address):
        raise MachineError(
            f"The Docker engine at {address} is not this machine's, and load goes to this machine only; unset "
            "DOCKER_HOST, or choose --backend process."
        )
    try:
        client = docker.DockerClient(base_url=address, version="auto", timeout=int(ANSWER_S))
        version, about = client.version()["Version"], client.info()
    except (DockerException, requests.RequestException) as error:
        raise MachineError(
            f"No Docker engine answers at {address}; start one, or choose --backend process."
        ) from error
    if _numbers(version) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise MachineError(f"The Docker engine at {address} is {version}, and {oldest} or newer is needed.")
    return Engine(client=client, address=address, version=version, cgroup=f"v{about.get('CgroupVersion') or 1}")


def _address() -> str:
    if named := os.environ.get("DOCKER_HOST"):
        return named
    with contextlib.suppress(DockerException, OSError, ValueError, KeyError):
        context = ContextAPI.get_current_context()
        if context is not None and context.Host:
            return str(context.Host).replace("http+unix://", "unix://")
    return SOCKET


def _is_here(address: str) -> bool:
    parts = urlsplit(address)
    if parts.scheme in ("unix", "http+unix"):
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    return parts.hostname == "localhost"


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split("+", maxsplit=1)[0].split("-", maxsplit=1)[0].split(".")[:2]
    return tuple(int(part) for part in parts if part.isdigit())


def _lacks_buildkit(command: str) -> str | None:
    """Say why a docker command cannot build with BuildKit; None where it can."""

    def asks(*words: str) -> subprocess.CompletedProcess[str] | None:
        try:
            return subprocess.run([command, *words], capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.SubprocessError):
            return None

    client = asks("version", "--format", "{{.Client.Version}}") or asks("--version")
    version = client.stdout.split("\n")[0].strip() if client else ""
    if not version:
        return f"{command} does not run"
    # Since 23.0 the client builds with buildx alone; before, BuildKit was built in.
    if _numbers(version) < (23, 0):
        return None
    plugin = asks("buildx", "version")
    return None if plugin and plugin.returncode == 0 else f"{command} ({version}) lacks buildx"


def labels(role: str) -> dict[str, str]:
    """Give the labels of something that this process starts."""
    return {LABEL: role, OWNER: _owner(psutil.Process())}


def _owner(process: psutil.Process) -> str:
    return f"{process.pid}@{process.create_time():.2f}"


def _is_owned(found: dict[str, str]) -> bool:
    """Say whether the process that it belongs to still runs."""
    pid, _, _ = found.get(OWNER, "").partition("@")
    with contextlib.suppress(ValueError, psutil.Error):
        return _owner(psutil.Process(int(pid))) == found[OWNER]
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """Something in the engine that carries our label."""

    kind: Literal["container", "network", "image"]
    name: str
    id: str
    role: str

    def __str__(self) -> str:
        """Name it as doctor shows it."""
        return f"{self.kind} {self.name}"


def leftovers(engine: Engine) -> list[Thing]:
    """List containers and networks whose process is gone, and images that newer ones have taken the name of."""
    wanted: dict[str, Any] = {"label": LABEL}
    with engine.asked("listing what was left behind"):
        containers = [
            Thing(kind="container", name=one.name or "", id=one.id or "", role=one.labels[LABEL])
            for one in engine.client.containers.list(all=True, filters=wanted, ignore_removed=True)
            if not _is_owned(one.labels)
        ]
        networks = [
            Thing(kind="network", name=one.name or "", id=one.id or "", role=one.attrs["Labels"][LABEL])
            for one in engine.client.networks.list(filters=wanted)
            if not _is_owned(one.attrs["Labels"])
        ]
        dangling = [thing for thing in images(engine) if not thing.name]
    return [*containers, *networks, *dangling]


def images(engine: Engine) -> list[Thing]:
    """List all our images; one that lost its name to a newer one has none."""
    with engine.asked("listing images"):
        return [
            Thing(kind="image", name=one.tags[0] if one.tags else "", id=one.id or "", role=one.labels.get(LABEL, ""))
            for one in engine.client.images.list(filters={"label": LABEL})
        ]


def remove(engine: Engine, thing: Thing) -> None:
    """Remove one of our own; what is gone already is as well."""
    with engine.asked(f"removing {thing}"), contextlib.suppress(NotFound, ImageNotFound):
        if thing.kind == "container":
            engine.client.containers.get(thing.id).remove(force=True, v=True)
        elif thing.kind == "network":
            engine.client.networks.get(thing.id).remove()
        else:
            engine.client.images.remove(thing.name or thing.id)


def is_visible(container_id: str, pid: int) -> bool:
    """Say whether the engine's process ids are this machine's: not where it runs in a virtual machine of its own."""
    with contextlib.suppress(OSError):
        return container_id in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
    return False
