"""The services of a session: started by a backend, or named by the environment; answering, and filled.

Knows how a service is seen to answer and how a database is filled. Must not know how a service is started, nor
stacks, loads or results.
"""

from __future__ import annotations

import contextlib
import os
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import psycopg

from gatebench.backends.programs import HOST, answers
from gatebench.errors import MachineError, UsageError
from gatebench.model import Service, Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The services of a session, answering."""

    urls: Mapping[str, str]  # service -> where it is
    variables: Mapping[str, str]  # what the app's environment says of it
    pids: tuple[int, ...]
    facts: Mapping[str, Mapping[str, Setting]]  # service -> settings and version


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A service that a backend has started."""

    port: int
    pids: tuple[int, ...]
    facts: Mapping[str, Setting]  # what it was started from


Start = Callable[[Service], AbstractContextManager[Started]]


@contextlib.contextmanager
def running(wanted: Sequence[Service], start: Start) -> Iterator[Services]:
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
                found = stack.enter_context(start(service))
                pids += found.pids
                url = url_of(service, found.port)
                facts[service.name] = {**service.settings, **found.facts, **_version(service, url)}
            if service.kind == "postgresql":
                url = stack.enter_context(seeded(service, url))
            urls[service.name] = url
        variables = {service.variable: urls[service.name] for service in wanted}
        yield Services(urls=urls, variables=variables, pids=tuple(pids), facts=facts)


def url_of(service: Service, port: int) -> str:
    """Say where a service is that listens on this port."""
    return service.url.format(host=HOST, port=port)


def ready(service: Service, port: int) -> bool:
    """Say whether it takes connections, or answers."""
    url = url_of(service, port)
    return _connects(url) if service.kind == "postgresql" else answers(f"{url}/health")


def variables(service: Service) -> dict[str, str]:
    """Give a service's settings as its own program reads them."""
    return {f"GATEBENCH_{service.name}_{key}".upper(): str(value) for key, value in service.settings.items()}


def _connects(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.Error:
        return False
    return True


def _version(service: Service, url: str) -> dict[str, str]:
    if service.kind != "postgresql":
        return {}
    with psycopg.connect(url) as connection:
        return {"version": f"PostgreSQL {connection.info.parameter_status('server_version')}"}


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
