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
from typing import Any

import psycopg
import pymysql
import redis
from pymysql.constants import CLIENT

from gatebench.backends.programs import HOST, answers
from gatebench.errors import MachineError, UsageError
from gatebench.model import Service, ServiceKind, Setting

INSTALLED = "installed"  # in the place of an address: start what Debian's package has installed
LOOK_S = 2  # for a service that is started, or left, to answer
REACH_S = 5  # for one that the environment names
EXPECTED: Mapping[ServiceKind, str] = {
    "postgresql": "postgresql://user@127.0.0.1:5432/name",
    "mysql": "mysql://user@127.0.0.1:3306/name",
    "redis": "redis://127.0.0.1:6379/0",
}
SCHEMES: Mapping[ServiceKind, tuple[str, ...]] = {
    "postgresql": ("postgresql", "postgres"),
    "mysql": ("mysql", "mariadb"),
    "redis": ("redis", "rediss"),
}


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


# Starts a service when it is entered; what the machine lacks for it may be told as early as it is called.
Start = Callable[[Service], AbstractContextManager[Started]]


@contextlib.contextmanager
def running(wanted: Sequence[Service], start: Start) -> Iterator[Services]:
    """Start the services, or take those that the environment names; on leaving, end what was started."""
    urls: dict[str, str] = {}
    pids: list[int] = []
    facts: dict[str, Mapping[str, Setting]] = {}
    own = {service.name: start(service) for service in wanted if named(service) is None}
    with contextlib.ExitStack() as stack:
        for service in wanted:
            url = named(service)
            if url:
                facts[service.name] = {"where": f"named by {service.variable}"}
            else:
                found = stack.enter_context(own[service.name])
                pids += found.pids
                url = url_of(service, found.port)
                facts[service.name] = {**service.settings, **found.facts, **_version(service, url)}
            urls[service.name] = stack.enter_context(prepared(service, url))
        variables = {service.variable: urls[service.name] for service in wanted}
        yield Services(urls=urls, variables=variables, pids=tuple(pids), facts=facts)


def named(service: Service) -> str | None:
    """Give the address that the environment names; None where it is to be started."""
    said = os.environ.get(service.variable)
    return None if said == INSTALLED else said or None


def wants_installed(service: Service) -> bool:
    """Say whether the environment asks for what is installed, not for what the service brings along."""
    if os.environ.get(service.variable) != INSTALLED:
        return False
    if not service.installed:
        raise UsageError(
            f"{service.variable} is '{INSTALLED}', and compose/services/{service.name}.toml has no key 'installed'; "
            "give an address, or leave it unset."
        )
    return True


def url_of(service: Service, port: int) -> str:
    """Say where a service is that listens on this port."""
    return service.url.format(host=HOST, port=port)


def ready(service: Service, port: int) -> bool:
    """Say whether it takes connections, or answers."""
    url = url_of(service, port)
    if service.kind == "http":
        return answers(f"{url}/health")
    try:
        _version(service, url)
    except (psycopg.Error, pymysql.MySQLError, redis.RedisError):
        return False
    return True


def variables(service: Service) -> dict[str, str]:
    """Give a service's settings as its own program reads them."""
    return {f"GATEBENCH_{service.name}_{key}".upper(): str(value) for key, value in service.settings.items()}


def _version(service: Service, url: str) -> dict[str, str]:
    """Ask a service what it is; nothing where its environment tells."""
    if service.kind == "postgresql":
        with psycopg.connect(url, connect_timeout=LOOK_S) as connection:
            return {"version": f"PostgreSQL {connection.info.parameter_status('server_version')}"}
    if service.kind == "mysql":
        with contextlib.closing(_mysql(url, LOOK_S)) as mysql, mysql.cursor() as cursor:
            cursor.execute("select version()")
            return {"version": " ".join(map(str, cursor.fetchone() or ()))}
    if service.kind == "redis":
        return {"version": f"Redis {_redis(url, LOOK_S)}"}
    return {}


def prepared(service: Service, url: str) -> AbstractContextManager[str]:
    """Give a service that answers to this session: a database filled for it, a Redis that is there."""
    if service.kind in ("postgresql", "mysql"):
        return seeded(service, url)
    if service.kind == "redis":
        where = _split(service, url)
        try:
            _redis(url, REACH_S)
        except redis.RedisError as error:
            raise MachineError(
                f"The Redis at {where.hostname}:{where.port or 6379} does not answer: "
                f"{' '.join(str(error).split())}; see {service.variable}."
            ) from error
    return contextlib.nullcontext(url)


@contextlib.contextmanager
def seeded(service: Service, url: str) -> Iterator[str]:
    """Fill a schema of this session's own, and drop it at the end; so sessions share a server and never a row."""
    where = _split(service, url)
    schema = f"gatebench_{uuid.uuid4().hex[:12]}"
    fill, drop, failures = (
        (_fill_postgresql, _drop_postgresql, psycopg.Error)
        if service.kind == "postgresql"
        else (_fill_mysql, _drop_mysql, pymysql.MySQLError)
    )
    try:
        try:
            own = fill(service, url, where, schema)
        except failures as error:
            raise MachineError(
                f"The database at {where.hostname}:{where.port} could not be filled: {' '.join(str(error).split())}; "
                f"see {service.variable} and that its user may create a schema."
            ) from error
        yield own
    finally:
        with contextlib.suppress(failures):
            drop(url, schema)


def _fill_postgresql(service: Service, url: str, where: urllib.parse.SplitResult, schema: str) -> str:
    own = f"{url}{'&' if where.query else '?'}options={urllib.parse.quote(f'-csearch_path={schema}')}"
    with psycopg.connect(url, autocommit=True, connect_timeout=REACH_S) as connection:
        connection.execute(f"create schema {schema}".encode())
    with psycopg.connect(own, autocommit=True) as connection:
        if service.seed is not None:
            connection.execute(service.seed.read_bytes())
    return own


def _drop_postgresql(url: str, schema: str) -> None:
    with psycopg.connect(url, autocommit=True, connect_timeout=LOOK_S) as connection:
        connection.execute(f"drop schema if exists {schema} cascade".encode())


def _fill_mysql(service: Service, url: str, where: urllib.parse.SplitResult, schema: str) -> str:
    own = urllib.parse.urlunsplit(where._replace(path=f"/{schema}"))
    with contextlib.closing(_mysql(url, REACH_S)) as connection:
        _run(connection, f"create database {schema}")
    with contextlib.closing(_mysql(own, REACH_S)) as connection:
        if service.seed is not None:
            _run(connection, service.seed.read_text(encoding="utf-8"))
    return own


def _drop_mysql(url: str, schema: str) -> None:
    with contextlib.closing(_mysql(url, LOOK_S)) as connection:
        # Somebody who was killed may still be seen to hold a row.
        _run(connection, f"set lock_wait_timeout = {LOOK_S}; drop database if exists {schema}")


def _mysql(url: str, limit_s: int) -> pymysql.Connection[Any]:
    where = urllib.parse.urlsplit(url)
    return pymysql.connect(
        host=where.hostname or HOST,
        port=where.port or 3306,
        user=urllib.parse.unquote(where.username or ""),
        password=urllib.parse.unquote(where.password or ""),
        database=urllib.parse.unquote(where.path.lstrip("/")) or None,
        connect_timeout=limit_s,
        autocommit=True,
        client_flag=CLIENT.MULTI_STATEMENTS,
    )


def _run(connection: pymysql.Connection[Any], statements: str) -> None:
    """Run statements; each one's own error is told only when its turn to answer comes."""
    with connection.cursor() as cursor:
        cursor.execute(statements)
        while cursor.nextset():
            pass


def _redis(url: str, limit_s: int) -> str:
    """Give the version of a Redis that answers a PING."""
    with redis.Redis.from_url(url, socket_connect_timeout=limit_s, socket_timeout=limit_s) as client:
        client.ping()
        return str(client.info("server")["redis_version"])


def _split(service: Service, url: str) -> urllib.parse.SplitResult:
    try:
        where = urllib.parse.urlsplit(url)
        _ = where.port
    except ValueError:
        where = urllib.parse.SplitResult("", "", "", "", "")
    if where.scheme not in SCHEMES[service.kind]:
        raise UsageError(f"{service.variable} holds no database URL; expected {EXPECTED[service.kind]}.")
    return where
