"""The container backend: stacks and services as containers of this machine's Docker engine.

Knows how a container is confined, started, seen to run and removed. Must not know how images are made, nor loads,
scenarios or results. Nothing is privileged: no capability, no new privileges, a root file system that is only read.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import shlex
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import requests
from docker.errors import APIError
from docker.models.containers import Container
from docker.types import LogConfig, Ulimit

from gatebench.backends import cgroups, fronts
from gatebench.backends.containers.engine import ANSWER_S, LABEL, Engine, is_visible, labels
from gatebench.backends.containers.images import Image, Images, spelled
from gatebench.backends.programs import (
    HOST,
    LOG_LINES,
    LOOK_S,
    PLAIN,
    PORT_TRIES,
    Program,
    Serving,
    answering,
    answers_well,
    free_port,
    free_ports,
    uninterrupted,
)
from gatebench.backends.resources import Unseen, Watch
from gatebench.backends.services import Services, Start, Started, ready, running, variables, wants_installed
from gatebench.backends.serving import Place, told
from gatebench.backends.serving import command as words_of
from gatebench.errors import MachineError, UsageError
from gatebench.machine import raise_open_files
from gatebench.model import AnyStack, Containment, Mixed, Placement, Service, Setting, Stack
from gatebench.toml import fill

EVERYWHERE = "0.0.0.0"  # noqa: S104 - inside a network of its own, whose ports are published on loopback only
TMPFS = {"/tmp": "rw,nosuid,nodev,noexec,mode=1777"}  # noqa: S108 - a container's own
CONFLICT = 409
NAME_TRIES = 3
END_S = 2.0  # for the engine to learn that a container ended; the kernel knew before


@dataclass(slots=True, kw_only=True)
class Contained:
    """A container that was started."""

    engine: Engine
    container: Container
    pids: tuple[int, ...]
    group: cgroups.Group | None
    memory_mib: int
    asked_s: float = -math.inf  # when the engine was asked last

    def fault(self) -> str | None:
        """Say what befell it: that it ended, or lost a process for want of memory; None where nothing did.

        MachineError where the engine is gone, though its containers may live on: nobody could remove them.
        """
        lives = bool(self.pids) and is_visible(self.container.id or "", self.pids[0])
        if lives and self.group and self.group.read().oom_kills:
            return f"lost a process: {self._full}"
        if lives and time.perf_counter() < self.asked_s + LOOK_S:
            return None
        with self.engine.asked("looking at a container"):
            if self.pids and not lives:
                self.container.wait(timeout=ANSWER_S)  # the engine learns of it a moment after the kernel
            self.container.reload()
        self.asked_s = time.perf_counter()
        state = self.container.attrs["State"]
        if state["Running"]:
            return None
        return f"was killed: {self._full}" if state["OOMKilled"] else f"ended with exit code {state['ExitCode']}"

    @property
    def _full(self) -> str:
        return f"out of the {self.memory_mib} MiB of memory that its container may use"

    def log(self) -> str:
        """Give the last lines it wrote."""
        try:
            with self.engine.asked("reading a container's log"):
                said = self.container.logs(tail=LOG_LINES).decode("utf-8", "replace")
        except MachineError as error:
            return str(error)
        return " | ".join(line.strip() for line in said.splitlines() if line.strip()) or "it wrote nothing"


@dataclass(slots=True, kw_only=True)
class ContainerBackend:
    """Starts everything as containers, on the host's network or together on one bridge."""

    images: Images
    wanted: Containment
    name: str = "container"
    surroundings: dict[str, Setting] = field(default_factory=dict)
    _stacks: dict[str, Image] = field(default_factory=dict)
    _others: dict[str, Images] = field(default_factory=dict)  # by the Python of an arm that has its own
    _holder: Container | None = None  # whose network all others use, where it is not the host's
    _ports: list[int] = field(default_factory=list)  # what the holder has published and nobody uses

    @property
    def engine(self) -> Engine:
        """The engine that it uses."""
        return self.images.engine

    def prepare(self, stack: AnyStack) -> Mapping[str, Mapping[str, Setting]]:
        """Build the stack's image where there is none, and say what is in it."""
        if isinstance(stack, Mixed):
            if self.wanted.network == "bridge":
                raise UsageError(f"{stack.name} needs a port for each of its three; leave --network bridge out.")
            parts = {part.name: self.prepare(part) for part in (stack.wsgi, stack.asgi)}
            return {**fronts.described(parts), "front": self.images.front(stack.front).facts}
        images = self._images(stack.python)
        image = self._stacks[stack.name] = images.stack(stack)
        base = images.base()
        self.surroundings |= {
            "engine": f"Docker {self.engine.version}, control groups {self.engine.cgroup}",
            "network": self.wanted.network,
            "memory limit, MiB": self.wanted.memory_mib,
            "processes limit": self.wanted.pids,
        }
        if images is self.images:
            self.surroundings |= {"base": base.name, "base id": str(base.facts["image id"])}
            return {"versions": image.versions, "image": image.facts}
        return {"versions": image.versions, "image": {**image.facts, "base": base.name}}

    def _images(self, python: str | None) -> Images:
        """Give what makes images for stacks on this Python: an arm of a gate may have one of its own."""
        if python is None or python == self.images.python:
            return self.images
        if python not in self._others:
            self._others[python] = replace(self.images, python=python, _made={})
        return self._others[python]

    def missing(self, _wanted: AnyStack | Service) -> str | None:
        """Miss nothing: an image has what its stack or service needs."""
        return None

    @contextlib.contextmanager
    def serve(self, stack: AnyStack, placement: Placement, services: Services) -> Iterator[Serving]:
        """Start the stack and wait until it answers; on leaving, remove it."""
        if isinstance(stack, Mixed):
            with fronts.serving(self, stack, placement, services) as serving:
                yield serving
            return

        def launch(port: int) -> AbstractContextManager[Program]:
            words, told = server_command(stack, self._bind, port), server_told(stack, services.variables)
            image = self._stacks[stack.name]
            return self.started(image, "server", stack.name, words, told=told, cpus=placement.server)

        with self._answering(stack.name, launch, stack.scheme, stack.ready) as serving:
            yield serving

    @contextlib.contextmanager
    def serve_front(self, mixed: Mixed, placement: Placement, ports: tuple[int, int]) -> Iterator[Serving]:
        """Start the front of two stacks that answer on these ports, WSGI first."""
        image = self.images.front(mixed.front)

        def launch(port: int) -> AbstractContextManager[Program]:
            words = fronts.words(mixed, port, ports, "/tmp")  # noqa: S108 - a container's own
            return self.started(image, "server", mixed.front.name, words, cpus=placement.server)

        with self._answering(mixed.front.name, launch) as serving:
            yield serving

    @contextlib.contextmanager
    def serve_nothing(self, placement: Placement, *, close: bool, websocket: bool) -> Iterator[Serving]:
        """Start the do-nothing server where a stack would be, to see how fast the generator is by itself."""
        options = [*(["--close"] * close), *(["--websocket"] * websocket)]
        image = self.images.nothing()

        def launch(port: int) -> AbstractContextManager[Program]:
            where = ["--host", self._bind, "--port", str(port)]
            words = ["python3", "-m", "gatebench.nothing", *where, *options]
            # It ends with its standard input, which is therefore left open.
            return self.started(image, "server", "do-nothing-server", words, cpus=placement.server, stdin=True)

        with self._answering("the do-nothing server", launch) as serving:
            yield serving

    def _answering(
        self,
        name: str,
        launch: Callable[[int], AbstractContextManager[Program]],
        scheme: str = "http",
        path: str = "/plaintext",
    ) -> Any:
        """Start it on a free port; on a bridge, on the one that is published for servers."""
        port = free_port if self._holder is None else lambda: self._ports[0]
        return answering(name, launch, ready=lambda port: answers_well(f"{scheme}://{HOST}:{port}", path), port=port)

    @property
    def _bind(self) -> str:
        return HOST if self._holder is None else EVERYWHERE

    @contextlib.contextmanager
    def services(self, wanted: Sequence[Service], placement: Placement) -> Iterator[Services]:
        """Start the services, or take those that the environment names; on leaving, remove what was started.

        Where a bridge is wanted, it and what holds its published ports are there as long as the services.
        """
        with contextlib.ExitStack() as cleanup:
            if self.wanted.network == "bridge":
                cleanup.enter_context(self._bridged(placement.services, 1 + len(wanted)))
            yield cleanup.enter_context(running(wanted, self._starter(placement.services)))

    def _starter(self, cpus: tuple[int, ...]) -> Start:
        @contextlib.contextmanager
        def start(service: Service) -> Iterator[Started]:
            if wants_installed(service):
                raise UsageError(
                    f"{service.variable} asks for {service.name} as it is installed on this machine, and a container "
                    "has its own; leave it unset, or choose --backend process."
                )
            image = self.images.service(service)

            def launch(port: int) -> AbstractContextManager[Program]:
                words = service_command(service, self._bind, port)
                told = variables(service)
                return self.started(image, "service", service.name, words, told=told, cpus=cpus, user=service.user)

            port = None if self._holder is None else self._ports.pop
            with answering(service.name, launch, ready=lambda port: ready(service, port), port=port) as serving:
                versions = ", ".join(f"{name} {version}" for name, version in image.versions.items())
                facts = {**image.facts, **({"version": versions} if versions else {})}
                yield Started(port=serving.port, pids=serving.program.pids, facts=facts)

        return start

    @contextlib.contextmanager
    def _bridged(self, cpus: tuple[int, ...], count: int) -> Iterator[None]:
        """Make a network of our own, and a container that holds it: all others share its loopback and its ports.

        So an address is the same inside and outside, and a generator in a container meets a server on loopback.
        """
        image = self.images.nothing()
        name = f"gatebench-{uuid.uuid4().hex[:12]}"
        with contextlib.ExitStack() as cleanup:
            with uninterrupted(), self.engine.asked("making a network"):
                network = self.engine.client.networks.create(name, driver="bridge", labels=labels("network"))
                cleanup.callback(self._removed, network.remove)
            self._ports = cleanup.enter_context(self._published(image, name, cpus, count))
            try:
                yield
            finally:
                self._holder, self._ports = None, []

    @contextlib.contextmanager
    def _published(self, image: Image, network: str, cpus: tuple[int, ...], count: int) -> Iterator[list[int]]:
        """Start the container that holds the network, with so many ports that are free on the host."""
        words = ["python3", "-c", "import sys; sys.stdin.read()"]
        held = False  # from then on an error is that of whoever uses it
        for turn in range(PORT_TRIES):
            ports = free_ports(count)
            published = {f"{port}/tcp": (HOST, port) for port in ports}
            try:
                with self.started(
                    image, "holder", "network", words, cpus=cpus, stdin=True, network=network, ports=published
                ) as holder:
                    self._holder, held = holder.container, True
                    yield ports
                    return
            except MachineError as error:
                taken = any(said in str(error) for said in ("already allocated", "already in use"))
                if held or not taken or turn == PORT_TRIES - 1:
                    raise

    def watch(
        self, placement: Placement, serving: Serving, services: Services, generator: Sequence[int]
    ) -> Watch | Unseen:
        """Make the watch over a trial's parties."""
        if not serving.program.pids:
            return Unseen()
        watch = Watch(placement)
        watch.add("server", serving.program.pids, getattr(serving.program, "group", None))
        watch.add("generator", generator)
        watch.add("services", services.pids)
        return watch

    @contextlib.contextmanager
    def started(
        self,
        image: Image,
        role: str,
        name: str,
        words: Sequence[str],
        *,
        cpus: tuple[int, ...],
        told: Mapping[str, str] | None = None,
        user: str | None = None,
        stdin: bool = False,
        network: str | None = None,
        ports: Mapping[str, tuple[str, int]] | None = None,
    ) -> Iterator[Contained]:
        """Start a container that may do nothing but run these words on these CPUs; on leaving, remove it."""
        files = raise_open_files()
        options: dict[str, Any] = {
            "entrypoint": [words[0]],
            "command": list(words[1:]),
            "environment": {**PLAIN, **(told or {})},
            "user": user or _user(),
            "stdin_open": stdin,
            "network": network,
            "ports": dict(ports) if ports else None,
            "network_mode": None if network else f"container:{self._holder.id}" if self._holder else "host",
            "cpuset_cpus": ",".join(map(str, cpus)),
            "ulimits": [Ulimit(name="nofile", soft=files, hard=files)],
            **confinement(self.wanted),
            "healthcheck": {"test": ["NONE"]},  # it would take CPU time in the middle of a trial
            "log_config": LogConfig(type=LogConfig.types.JSON, config={"max-size": "20m"}),
            "use_config_proxy": False,
            "labels": {**labels(role), f"{LABEL}.name": name},
        }
        with contextlib.ExitStack() as cleanup:
            with uninterrupted(), self.engine.asked(f"{name} could not be started"):
                container = self._created(image, name, options)
                cleanup.callback(self._removed, container.remove, force=True, v=True)
                container.start()
                container.reload()
                pid = int(container.attrs["State"]["Pid"])
            seen = is_visible(container.id or "", pid)
            if not seen and options["network_mode"] == "host":
                self._refuse_other_kernel(container)
            yield Contained(
                engine=self.engine,
                container=container,
                pids=(pid,) if seen else (),
                group=cgroups.of(pid) if seen else None,
                memory_mib=self.wanted.memory_mib,
            )

    def _refuse_other_kernel(self, container: Container) -> None:
        """Say so where a container runs and yet is not to be seen: nothing would answer on loopback."""
        with self.engine.asked("looking at a container"):
            with contextlib.suppress(requests.RequestException):
                container.wait(timeout=END_S)  # one that has just ended is not to be seen either
            container.reload()
        if container.attrs["State"]["Running"]:
            raise MachineError(
                "The Docker engine runs on another kernel than gatebench, as Docker Desktop does, and cannot share "
                "this machine's network; add --network bridge --generator container, or --backend process."
            )

    def _created(self, image: Image, name: str, options: Mapping[str, Any]) -> Container:
        """Create a container under a name that nobody has."""
        called = ""
        for _ in range(NAME_TRIES):
            called = f"gatebench-{spelled(name)}-{random.getrandbits(32):08x}"
            try:
                return self.engine.client.containers.create(image.id, name=called, **options)
            except APIError as error:
                if error.status_code != CONFLICT:
                    raise
        raise MachineError(
            f"{name} found the name of its container taken {NAME_TRIES} times, last {called}; try again."
        )

    def _removed(self, remove: Callable[..., None], **how: bool) -> None:
        """Remove; where the engine is gone, it stays behind for `gatebench clean`."""
        with uninterrupted(), contextlib.suppress(MachineError), self.engine.asked("removing what was started"):
            remove(**how)


def confinement(wanted: Containment) -> dict[str, Any]:
    """Say what a container may do and use, in the words that the SDK and a compose file share."""
    return {
        "mem_limit": f"{wanted.memory_mib}m",
        "memswap_limit": f"{wanted.memory_mib}m",  # none of it may be swapped
        "pids_limit": wanted.pids,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "read_only": True,
        "tmpfs": TMPFS,
    }


def server_command(stack: Stack, host: str, port: int) -> list[str]:
    """Give the words that start a stack's server in a container."""
    return words_of(stack, _place(stack), host, port)


def server_told(stack: Stack, urls: Mapping[str, str]) -> dict[str, str]:
    """Give what the app's environment says in a container."""
    return told(stack, _place(stack), urls)


def _place(stack: Stack) -> Place:
    """Say where compose/Dockerfile puts a stack's parts."""
    return Place(
        python="python",
        bin="/opt/venv/bin",
        apps="/srv/apps",
        app=f"/srv/apps/{stack.app.name}",
        compose="/srv/compose",
        scratch="/tmp",  # noqa: S108 - a container's own
    )


def service_command(service: Service, host: str, port: int) -> list[str]:
    """Give the words that start a service in a container on this port."""
    given: dict[str, Setting] = {
        **service.settings,
        "python": "python",
        "host": host,
        "port": port,
        "data": "/tmp",  # noqa: S108 - a container's own
        "folder": "/srv/services",
        "programs": "",
    }
    return command(service, given)


def command(service: Service, given: Mapping[str, Setting]) -> list[str]:
    """Give the words that start a service in a container, what prepares it included."""
    words = fill(service.command, given)
    if not service.prepare:
        return words
    first = [shlex.join(fill(service.prepare, given)), *fill([service.after_prepare or "true"], given)]
    return ["sh", "-c", " && ".join([*first, f"exec {shlex.join(words)}"])]


def _user() -> str | None:
    """Name who runs in a container: its image's own user, or ourselves where we could not look at that one."""
    return None if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"
