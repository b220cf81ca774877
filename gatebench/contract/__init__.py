"""The independent client, who holds a running stack against apps/CONTRACT.md.

Knows the contract, and looks itself into the database, into Redis and at the upstream. Must not know the load
generator, nor how a stack was started; nothing here is shared with what measures. Whatever a server does becomes a
finding; only a wrong argument, or a service of our own that fails, is an error.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from gatebench.contract.finding import Finding, Outcome
from gatebench.contract.look import Keys, Upstream
from gatebench.contract.paths import PathLike, check_paths
from gatebench.contract.routes import NEEDS, ROUTES, lacked, visited
from gatebench.contract.rows import Rows
from gatebench.contract.versions import spoken
from gatebench.contract.visit import Visit
from gatebench.contract.wire import Client, Server
from gatebench.errors import UsageError

__all__ = ["Finding", "Outcome", "PathLike", "check", "check_paths"]

LACK_S = 2.0  # patience with a route that is declared not to work


def check(
    *,
    host: str,
    port: int,
    routes: Sequence[str],
    keep_alive_s: float,
    database_url: str | None,
    upstream_url: str | None,
    seed: int,
    since: str | None = None,
    deadline_s: float = 20.0,
    redis_url: str | None = None,
    lacks: Sequence[str] = (),
    tls: bool = False,
    protocols: Sequence[str] = (),
    file: Path | None = None,
    visits: Sequence[PathLike] = (),
) -> Outcome:
    """Hold a running stack against the contract, route by route.

    `keep_alive_s` is what its server declares, 0 meaning that it closes every connection. `since` is the `date` of an
    earlier outcome of the same stack, two seconds ago or more: `Date` must have advanced. `lacks` are the routes that
    are declared not to work: each is asked for, and must not. Of `protocols`, "h2" and "h3" are spoken too. `file`
    is apps/work/file.bin; without it, the route `file` is only held against its length. Where there are `visits`, the
    stack is somebody's own app, and they are all that is asked. Inputs come from `seed` and from the clock, so that
    no two checks ask alike. An outcome comes within about `deadline_s`, whatever the server does.
    """
    if visits:
        return check_paths(host=host, port=port, paths=visits, tls=tls, deadline_s=deadline_s)
    services = {"database_url": database_url, "upstream_url": upstream_url, "redis_url": redis_url}
    _refuse([*routes, *lacks], services)
    server = Server(host=host, port=port, until=time.perf_counter() + deadline_s, tls=tls)
    visit = Visit(
        server=server,
        keep_alive_s=keep_alive_s,
        inputs=random.Random(f"{seed} {time.time_ns()}"),  # noqa: S311 - no secrets are drawn
        client=Client(server, closes=keep_alive_s == 0),
        rows=Rows(database_url or ""),
        upstream=Upstream(upstream_url or "", server.until),
        keys=Keys(redis_url or ""),
        file=file,
    )
    with contextlib.closing(visit):
        findings = [finding for route in routes for finding in visited(visit, route)]
        findings += [_lacked(visit, route) for route in lacks]
        findings += spoken(server, protocols)
    findings += _dates(visit.dates, since)
    return Outcome(findings=tuple(findings), date=visit.dates[-1][1] if visit.dates else None)


def _lacked(visit: Visit, route: str) -> Finding:
    """Ask for a missing route over connections of its own, and without much patience."""
    server = replace(visit.server, patience_s=LACK_S)
    with contextlib.closing(Client(server, closes=visit.keep_alive_s == 0)) as client:
        return lacked(replace(visit, server=server, client=client, dates=[]), route)


def _refuse(routes: Sequence[str], given: dict[str, str | None]) -> None:
    for route in routes:
        if route not in ROUTES:
            raise UsageError(f"The contract has no route '{route}'; it has {', '.join(ROUTES)}.")
        if route in NEEDS and not given[NEEDS[route]]:
            raise UsageError(
                f"The route '{route}' cannot be checked without {NEEDS[route]}; start its service first."
            )


def _dates(seen: Sequence[tuple[str, str]], since: str | None) -> Iterator[Finding]:
    """Judge the `Date` of every answer (route, value), against each other and against the earlier check's."""
    last: datetime | None = None
    for route, value in seen:
        date = _moment(value)
        if date is None or (last is not None and date < last):
            expected = "a date of HTTP" if date is None else f"no earlier than {last:%H:%M:%S}"
            yield Finding(route, "date", ok=False, expected=expected, found=value)
            return
        last = date
    before = _moment(since) if since else None
    if last is not None and before is not None:
        route, value = seen[-1]
        yield Finding(route, "date", ok=last > before, expected=f"later than {since}", found=value)


def _moment(value: str) -> datetime | None:
    try:
        return datetime.strptime(value, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return None
