"""The Docker engine: whether one answers, what is ours in it, and what was left behind.

Knows the engine's API and this project's labels. Must not know stacks, services or images' contents. Only what
carries the label is ever removed.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import docker
import requests
import urllib3
from docker.context import ContextAPI
from docker.context.config import get_current_context_name
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.utils import parse_host

from gatebench.errors import MachineError

LABEL = "gatebench"  # on all that is ours; its value says what it is
OWNER = "gatebench.owner"  # the process that a container or network belongs to
OLDEST = (20, 10)
OLDEST_CLIENT = (18, 9)  # before, there was no BuildKit in it
BUILDX_CLIENT = (23, 0)  # since then it builds with buildx alone
FIRST_ANSWER_S = 10.0  # to say that it is there
ANSWER_S = 60.0  # the engine may be busy with removing what was large
COMMAND_S = 20.0  # for the docker command to say what it is
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
        for folder in dict.fromkeys(os.get_exec_path()):
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
            raise MachineError(f"{what}: {str(error.explanation or error).rstrip('.')}.") from error
        except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise MachineError(
                f"The Docker engine at {self.address} no longer answers ({what}); see that it runs."
            ) from error


def find() -> Engine:
    """Find this machine's engine, as DOCKER_HOST or the client's context names it; MachineError where none is."""
    address = _address()
    try:
        here = _is_here(str(parse_host(address)))
    except (DockerException, ValueError) as error:
        raise MachineError(
            f"{address} is no address of a Docker engine; DOCKER_HOST takes one such as {SOCKET}."
        ) from error
    if not here:
        raise MachineError(
            f"The Docker engine at {address} is not this machine's, and load goes to this machine only; name one "
            "that is in DOCKER_HOST, or choose --backend process."
        )
    with contextlib.ExitStack() as cleanup:
        try:
            _knock(address)
            client = docker.DockerClient(base_url=address, version="auto", timeout=int(FIRST_ANSWER_S))
            cleanup.callback(client.close)
            version, about = str(client.version().get("Version")), client.info()
        except (DockerException, requests.RequestException, OSError) as error:
            raise MachineError(
                f"No Docker engine answers at {address}; start one, or choose --backend process."
            ) from error
        if _numbers(version) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise MachineError(f"The Docker engine at {address} is {version}, and {oldest} or newer is needed.")
        cleanup.pop_all()
    client.api.timeout = int(ANSWER_S)
    return Engine(client=client, address=address, version=version, cgroup=f"v{about.get('CgroupVersion') or 1}")


def _knock(address: str) -> None:
    """See that somebody listens at a Unix socket; the SDK would leave a socket of its own open where nobody does."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(FIRST_ANSWER_S)
            probe.connect(address.removeprefix("unix://"))


def _address() -> str:
    """Give the engine's address as the docker command finds it: DOCKER_HOST, a context, the usual socket."""
    if named := os.environ.get("DOCKER_HOST", "").strip():
        return named.replace("http+unix://", "unix://")
    name = os.environ.get("DOCKER_CONTEXT") or get_current_context_name()
    if not name or name == "default":
        return SOCKET
    try:
        host = ContextAPI.get_context(name).Host
    except Exception as error:  # a context that cannot be read raises a plain one, and one not there is None
        raise MachineError(
            f"The Docker client's context '{name}' cannot be read; `docker context use default` or DOCKER_HOST helps."
        ) from error
    return str(host).replace("http+unix://", "unix://")


def _is_here(address: str) -> bool:
    parts = urlsplit(address)
    if parts.scheme == "http+unix":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    return parts.hostname == "localhost"


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split("+", maxsplit=1)[0].split("-", maxsplit=1)[0].split(".")[:2]
    return tuple(int(part) for part in parts if part.isdigit())


def _lacks_buildkit(command: str) -> str | None:
    """Say why a docker command cannot build with BuildKit; None where it can."""

    def asks(*words: str) -> str | None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            return subprocess.run(
                [command, *words], capture_output=True, text=True, timeout=COMMAND_S, check=True
            ).stdout
        return None

    said = asks("--version")  # which asks no engine
    if said is None:
        return f"{command} does not run"
    client = re.match(r"Docker version ([^\s,]+)", said)
    if client is None:  # Podman's goes by this name, too
        return f"{command} is not Docker's own"
    version = client[1]
    if _numbers(version) < OLDEST_CLIENT:
        return f"{command} ({version}) is too old"
    if _numbers(version) >= BUILDX_CLIENT and asks("buildx", "version") is None:
        return f"{command} ({version}) lacks buildx"
    return None


def labels(role: str) -> dict[str, str]:
    """Give the labels of something that this process starts."""
    return {LABEL: role, OWNER: _owner(os.getpid())}


def _owner(pid: int) -> str:
    """Name a process so that no later one of its id has the name: with the tick at which it began."""
    return f"{pid}@{Path(f'/proc/{pid}/stat').read_text(encoding='utf-8').rpartition(')')[2].split()[19]}"


def _is_owned(found: dict[str, str]) -> bool:
    """Say whether the process that it belongs to still runs."""
    pid, _, _ = found.get(OWNER, "").partition("@")
    with contextlib.suppress(ValueError, OSError):
        return _owner(int(pid)) == found[OWNER]
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
        return f"{self.kind} {self.name or self.id.removeprefix('sha256:')[:12]}"


def leftovers(engine: Engine) -> list[Thing]:
    """List containers and networks whose process is gone.

    What never had a process of ours is somebody's own: a stack that was started by hand. Images are no leftovers:
    they make the next session short, and one that lost its name to a newer one may be wanted for a next trial.
    """
    wanted: dict[str, Any] = {"label": [LABEL, OWNER]}
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
    return [*containers, *networks]


def images(engine: Engine) -> list[Thing]:
    """List all our images; one that lost its name to a newer one has none."""
    with engine.asked("listing images"):
        # Not by the client's own list, which asks for each one again and fails where one was removed meanwhile.
        found: list[dict[str, Any]] = engine.client.api.images(filters={"label": LABEL})
    return [
        Thing(kind="image", name=next(iter(_tags(one)), ""), id=one["Id"], role=one["Labels"][LABEL]) for one in found
    ]


def _tags(image: dict[str, Any]) -> list[str]:
    return [name for name in image.get("RepoTags") or () if name != "<none>:<none>"]


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
