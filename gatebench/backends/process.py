"""The process backend: stacks and services as plain processes, pinned to CPUs, in sessions of their own.

Knows how a stack's and a service's command and surroundings are made. Must not know loads, scenarios or results.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from gatebench import envs
from gatebench.backends.programs import HOST, LOG_LINES, Serving, answers, started, surroundings
from gatebench.backends.resources import Watch
from gatebench.backends.services import Services, Start, Started, ready, running, variables
from gatebench.declare import fill
from gatebench.errors import MachineError
from gatebench.machine import pinned
from gatebench.model import Placement, Service, Setting, Stack


@dataclass(slots=True)
class ProcessBackend:
    """Starts everything as processes of this user, with files under a private folder."""

    root: Path
    scratch: Path
    python: str | None = None  # the version that stacks run on; None: the harness's own
    name: str = "process"
    surroundings: Mapping[str, Setting] = field(default_factory=dict)
    _environments: dict[str, envs.Environment] = field(default_factory=dict)

    def prepare(self, stack: Stack) -> Mapping[str, Mapping[str, Setting]]:
        """Build the stack's environment where there is none, and give the versions in it."""
        requirements = (*stack.app.requirements, *stack.server.requirements)
        environment = envs.prepare(self.root, "stacks", stack.name, requirements, self.python)
        self._environments[stack.name] = environment
        return {"versions": environment.versions}

    @contextlib.contextmanager
    def serve(self, stack: Stack, placement: Placement, services: Services) -> Iterator[Serving]:
        """Start the stack and wait until it answers; on leaving, end it."""
        environment = self._environments[stack.name]
        apps = stack.app.folder.parent
        told = {
            **surroundings(),
            **services.variables,
            "GATEBENCH_POOL_SIZE": str(stack.server.settings["pool_size"]),
            "PYTHONPATH": f"{apps}{os.pathsep}{stack.app.folder}",
        }

        def command(port: int) -> list[str]:
            given: dict[str, Setting] = {"python": str(environment.python), "host": HOST, "port": port}
            return fill(stack.server.command, {**stack.server.settings, **given, "target": stack.app.target})

        with started(
            stack.name,
            command,
            ready=lambda port: answers(f"http://{HOST}:{port}/plaintext"),
            cpus=placement.server,
            variables=told,
            folder=stack.app.folder,
            logs=self.scratch,
        ) as serving:
            yield serving

    @contextlib.contextmanager
    def serve_nothing(self, placement: Placement, *, close: bool, websocket: bool) -> Iterator[Serving]:
        """Start the do-nothing server where a stack would be, to see how fast the generator is by itself."""
        options = [*(["--close"] * close), *(["--websocket"] * websocket)]
        with started(
            "nothing",
            lambda port: [sys.executable, "-m", "gatebench.nothing", "--port", str(port), *options],
            ready=lambda port: answers(f"http://{HOST}:{port}/plaintext"),
            cpus=placement.server,
            variables=surroundings(),
            folder=self.scratch,
            logs=self.scratch,
        ) as serving:
            yield serving

    def services(self, wanted: Sequence[Service], placement: Placement) -> AbstractContextManager[Services]:
        """Start the services, or take those that the environment names; on leaving, end what was started."""
        return running(wanted, starter(self.root, self.scratch, placement.services))

    def watch(self, placement: Placement, serving: Serving, services: Services, generator: Sequence[int]) -> Watch:
        """Make the watch over a trial's parties."""
        watch = Watch(placement)
        watch.add("server", serving.program.pids)
        watch.add("generator", generator)
        watch.add("services", services.pids)
        return watch


def starter(root: Path, scratch: Path, cpus: tuple[int, ...]) -> Start:
    """Give what starts a service as a process on these CPUs, with its data under `scratch`."""

    @contextlib.contextmanager
    def start(service: Service) -> Iterator[Started]:
        environment = envs.prepare(root, "services", service.name, service.requirements)
        user = _other_user(service)
        packages = _reachable(environment.site_packages, scratch) if user else environment.site_packages
        data = scratch / service.name
        data.mkdir(mode=0o700)
        if user:
            shutil.chown(data, user)
        given: dict[str, Setting] = {
            **service.settings,
            "python": str(environment.python),
            "host": HOST,
            "data": str(data),
            "folder": str(service.folder),
            "programs": service.programs.format(site_packages=packages),
        }
        if service.prepare:
            _prepare(service, fill(service.prepare, {**given, "port": 0}), user, scratch, cpus)
        with started(
            service.name,
            lambda port: fill(service.command, {**given, "port": port}),
            ready=lambda port: ready(service, port),
            cpus=cpus,
            variables={**surroundings(), **variables(service)},
            folder=scratch,
            logs=scratch,
            user=user,
            end=signal.SIGINT if service.kind == "postgresql" else signal.SIGTERM,
        ) as serving:
            version = ", ".join(f"{name} {version}" for name, version in environment.versions.items())
            yield Started(port=serving.port, pids=serving.program.pids, facts={"version": version})

    return start


def _prepare(service: Service, words: list[str], user: str | None, folder: Path, cpus: tuple[int, ...]) -> None:
    with pinned(cpus):
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            user=user,
            extra_groups=[] if user else None,
            cwd=folder,
            env=surroundings(),
        )
    if done.returncode:
        said = " | ".join((done.stdout + done.stderr).splitlines()[-LOG_LINES:])
        raise MachineError(f"{service.name} could not be prepared (exit code {done.returncode}): {said}")


def _other_user(service: Service) -> str | None:
    """PostgreSQL refuses to run as root: it runs as nobody then."""
    return "nobody" if service.kind == "postgresql" and os.geteuid() == 0 else None


def _reachable(packages: Path, scratch: Path) -> Path:
    """Give a place of these packages that every user can read: their own, or a copy."""
    nobody = pwd.getpwnam("nobody")
    closed = [p for p in (packages, *packages.parents) if not _passes(p.stat(), nobody)]
    if not closed:
        return packages
    return Path(shutil.copytree(packages, scratch / "packages", symlinks=True))


def _passes(found: os.stat_result, user: pwd.struct_passwd) -> bool:
    if found.st_uid == user.pw_uid:
        return bool(found.st_mode & stat.S_IXUSR)
    return bool(found.st_mode & (stat.S_IXGRP if found.st_gid == user.pw_gid else stat.S_IXOTH))
