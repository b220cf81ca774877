"""The process backend: stacks and services as plain processes, pinned to CPUs, in sessions of their own.

Knows how a stack's and a service's command and surroundings are made. Must not know loads, scenarios or results.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from gatebench import envs
from gatebench.backends import fronts
from gatebench.backends.programs import HOST, LOG_LINES, Serving, answers, answers_well, started, surroundings
from gatebench.backends.resources import Watch
from gatebench.backends.services import (
    INSTALLED,
    Services,
    Start,
    Started,
    ready,
    running,
    variables,
    wants_installed,
)
from gatebench.backends.serving import SYSTEM, Place, command, missing, needed, told
from gatebench.errors import MachineError
from gatebench.machine import pinned
from gatebench.model import AnyStack, Mixed, Placement, Service, Setting
from gatebench.toml import fill


@dataclass(slots=True)
class ProcessBackend:
    """Starts everything as processes of this user, with files under a private folder."""

    root: Path
    scratch: Path
    python: str | None = None  # the version that stacks run on; None: the harness's own
    name: str = "process"
    surroundings: Mapping[str, Setting] = field(default_factory=dict)
    _environments: dict[str, envs.Environment] = field(default_factory=dict)

    def prepare(self, stack: AnyStack) -> Mapping[str, Mapping[str, Setting]]:
        """Build the stack's environment where there is none, and give the versions in it."""
        if lacking := self.missing(stack):
            raise MachineError(lacking)
        if isinstance(stack, Mixed):
            return fronts.described({part.name: self.prepare(part) for part in (stack.wsgi, stack.asgi)})
        # An arm of a gate may be of another revision, with a lock and a Python of its own.
        tree = stack.server.folder.parent if stack.arm else self.root
        found = envs.prepare(tree, stack.requirements, stack.python or self.python)
        environment = replace(found, folder=found.folder.resolve())
        self._environments[stack.name] = environment
        return {"versions": environment.versions}

    def missing(self, wanted: AnyStack | Service) -> str | None:
        """Say what a stack or service needs that this machine lacks, and what helps."""
        lacking = missing(wanted.needs)
        return needed(wanted.name, lacking) if lacking else None

    @contextlib.contextmanager
    def serve(self, stack: AnyStack, placement: Placement, services: Services) -> Iterator[Serving]:
        """Start the stack and wait until it answers; on leaving, end it."""
        if isinstance(stack, Mixed):
            with fronts.serving(self, stack, placement, services) as serving:
                yield serving
            return
        environment = self._environments[stack.name]
        scratch = Path(tempfile.mkdtemp(prefix=f"{stack.server.name}-", dir=self.scratch))
        place = Place(
            python=str(environment.python),
            bin=str(environment.python.parent),
            apps=str(stack.app.folder.parent),
            app=str(stack.app.folder),
            compose=str(stack.server.folder),
            scratch=str(scratch),
        )
        try:
            with started(
                stack.name,
                lambda port: command(stack, place, HOST, port),
                ready=lambda port: answers_well(f"{stack.scheme}://{HOST}:{port}", stack.app.ready),
                cpus=placement.server,
                variables={**surroundings(), **told(stack, place, services.variables)},
                folder=stack.app.folder,
                logs=self.scratch,
            ) as serving:
                yield serving
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    @contextlib.contextmanager
    def serve_front(self, mixed: Mixed, placement: Placement, ports: tuple[int, int]) -> Iterator[Serving]:
        """Start the front of two stacks that answer on these ports, WSGI first."""
        with (
            tempfile.TemporaryDirectory(prefix=f"{mixed.front.name}-", dir=self.scratch) as scratch,
            started(
                mixed.front.name,
                lambda port: fronts.words(mixed, port, ports, scratch),
                ready=lambda port: answers_well(f"http://{HOST}:{port}", mixed.ready),
                cpus=placement.server,
                variables=_around(),
                folder=Path(scratch),
                logs=self.scratch,
            ) as serving,
        ):
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

    def start(service: Service) -> AbstractContextManager[Started]:
        # Told when it is called, not when it is entered: none of a session's services runs by then.
        if lacking := missing(service.needs):
            raise MachineError(needed(service.name, lacking))
        return _service(installed(service) if wants_installed(service) else service, root, scratch, cpus)

    return start


def installed(service: Service) -> Service:
    """Give a service with the newest of Debian's own programs in the place of those that it brings along."""
    found = list(Path("/").glob(service.installed.strip("/")))
    if not found:
        raise MachineError(needed(f"{service.variable}={INSTALLED}", list(service.packages)))
    newest = max(found, key=lambda folder: [int(number) for number in re.findall(r"\d+", str(folder))])
    return replace(service, programs=f"{newest}/", requirements=())


@contextlib.contextmanager
def _service(service: Service, root: Path, scratch: Path, cpus: tuple[int, ...]) -> Iterator[Started]:
    environment = envs.prepare(root, service.requirements) if service.requirements else None
    user = _other_user(service)
    packages = environment.site_packages if environment else Path()
    data = Path(tempfile.mkdtemp(prefix=f"{service.name}-", dir=scratch))  # of mode 0700
    if user:
        packages = _reachable(packages, scratch) if environment else packages
        shutil.chown(data, user)
    given: dict[str, Setting] = {
        **service.settings,
        "python": str(environment.python) if environment else sys.executable,
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
        variables={**_around(), **variables(service)},
        folder=scratch,
        logs=scratch,
        user=user,
        end=signal.SIGINT if service.kind == "postgresql" else signal.SIGTERM,
    ) as serving:
        versions = environment.versions.items() if environment else ()
        version = ", ".join(f"{name} {version}" for name, version in versions)
        facts = {"version": version} if version else {}
        yield Started(port=serving.port, pids=serving.program.pids, facts=facts)


def _around() -> dict[str, str]:
    """Give what a service inherits: with Debian's folders of servers, which are not on every user's PATH."""
    around = surroundings()
    return {**around, "PATH": f"{around['PATH']}:{SYSTEM}" if "PATH" in around else SYSTEM}


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
            env=_around(),
        )
    if done.returncode:
        said = " | ".join((done.stdout + done.stderr).splitlines()[-LOG_LINES:])
        raise MachineError(f"{service.name} could not be prepared (exit code {done.returncode}): {said}")


def _other_user(service: Service) -> str | None:
    """Name whom a database runs as that refuses to run as root: MariaDB's own user where there is one, or nobody."""
    if os.geteuid() != 0 or service.kind not in ("postgresql", "mysql"):
        return None
    known = {user.pw_name for user in pwd.getpwall()}
    return "mysql" if service.kind == "mysql" and "mysql" in known else "nobody"


def _reachable(packages: Path, scratch: Path) -> Path:
    """Give a place of these packages that every user can read: their own, or a copy."""
    nobody = pwd.getpwnam("nobody")
    closed = [p for p in (packages, *packages.parents) if not _passes(p.stat(), nobody)]
    if not closed:
        return packages
    folder = Path(tempfile.mkdtemp(dir=scratch))
    folder.chmod(0o755)
    return Path(shutil.copytree(packages, folder / "packages", symlinks=True))


def _passes(found: os.stat_result, user: pwd.struct_passwd) -> bool:
    if found.st_uid == user.pw_uid:
        return bool(found.st_mode & stat.S_IXUSR)
    return bool(found.st_mode & (stat.S_IXGRP if found.st_gid == user.pw_gid else stat.S_IXOTH))
