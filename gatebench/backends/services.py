"""Services as processes: the embedded PostgreSQL, the upstream, or the ones that the environment names.

Knows how a service is prepared, started and seeded. Must not know stacks, loads or results.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import urllib.parse
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from gatebench import envs
from gatebench.backends.programs import HOST, LOG_LINES, answers, started, surroundings
from gatebench.declare import fill
from gatebench.errors import MachineError, UsageError
from gatebench.machine import pinned
from gatebench.model import Service, Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The services of a session, answering."""

    urls: Mapping[str, str]  # service -> where it is
    variables: Mapping[str, str]  # what the app's environment says of it
    pids: tuple[int, ...]
    facts: Mapping[str, Mapping[str, Setting]]  # service -> settings and version


@contextlib.contextmanager
def running(wanted: Sequence[Service], *, root: Path, scratch: Path, cpus: tuple[int, ...]) -> Iterator[Services]:
    """Start the services, or take those that the environment names; on leaving, end what was started."""
    urls: dict[str, str] = {}
    pids: list[int] = []
    facts: dict[str, Mapping[str, Setting]] = {}
    with contextlib.ExitStack() as stack:
        for service in wanted:
            url = os.environ.get(service.variable)
            if url:
                facts[service.name] = {"where": f"named by {service.variable}"}
            else:
                url, pid, version = stack.enter_context(_embedded(service, root, scratch, cpus))
                pids.append(pid)
                facts[service.name] = {**service.settings, "version": version}
            if service.kind == "postgresql":
                url = stack.enter_context(seeded(service, url))
            urls[service.name] = url
        variables = {service.variable: urls[service.name] for service in wanted}
        yield Services(urls=urls, variables=variables, pids=tuple(pids), facts=facts)


@contextlib.contextmanager
def _embedded(service: Service, root: Path, scratch: Path, cpus: tuple[int, ...]) -> Iterator[tuple[str, int, str]]:
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
        "environment": str(environment.folder),
        "site_packages": str(packages),
    }
    if service.prepare:
        _prepare(service, fill(service.prepare, {**given, "port": 0}), user, scratch, cpus)

    def ready(port: int) -> bool:
        url = service.url.format(port=port)
        return _connects(url) if service.kind == "postgresql" else answers(f"{url}/health")

    settings = {f"GATEBENCH_{service.name}_{key}".upper(): str(value) for key, value in service.settings.items()}
    with started(
        service.name,
        lambda port: fill(service.command, {**given, "port": port}),
        ready=ready,
        cpus=cpus,
        variables={**surroundings(), **settings},
        folder=scratch,
        logs=scratch,
        user=user,
        end=signal.SIGINT if service.kind == "postgresql" else signal.SIGTERM,
    ) as serving:
        url = service.url.format(port=serving.port)
        yield url, serving.pid, _version(service, url, environment)


def _connects(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.Error:
        return False
    return True


def _version(service: Service, url: str, environment: envs.Environment) -> str:
    if service.kind == "postgresql":
        with psycopg.connect(url) as connection:
            return f"PostgreSQL {connection.info.parameter_status('server_version')}"
    return ", ".join(f"{name} {version}" for name, version in environment.versions.items())


@contextlib.contextmanager
def seeded(service: Service, url: str) -> Iterator[str]:
    """Fill a schema of this session's own, and drop it at the end; so sessions share a server and never a row."""
    where = _split(service, url)
    schema = f"gatebench_{uuid.uuid4().hex[:12]}"
    own = f"{url}{'&' if where.query else '?'}options={urllib.parse.quote(f'-csearch_path={schema}')}"
    try:
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
                connection.execute(f"create schema {schema}".encode())
            with psycopg.connect(own, autocommit=True) as connection:
                if service.seed is not None:
                    connection.execute(service.seed.read_bytes())
        except psycopg.Error as error:
            raise MachineError(
                f"The database at {where.hostname}:{where.port} could not be filled: {' '.join(str(error).split())}; "
                f"see {service.variable} and that its user may create a schema."
            ) from error
        yield own
    finally:
        with (
            contextlib.suppress(psycopg.Error),
            psycopg.connect(url, autocommit=True, connect_timeout=2) as connection,
        ):
            connection.execute(f"drop schema if exists {schema} cascade".encode())


def _split(service: Service, url: str) -> urllib.parse.SplitResult:
    try:
        where = urllib.parse.urlsplit(url)
        _ = where.port
    except ValueError:
        where = urllib.parse.SplitResult("", "", "", "", "")
    if where.scheme not in ("postgresql", "postgres"):
        raise UsageError(f"{service.variable} holds no database URL; expected postgresql://user@127.0.0.1:5432/name.")
    return where


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
