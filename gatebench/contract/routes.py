"""The contract's routes by name, the small ones among them, and how one is held against its rules.

Knows apps/CONTRACT.md, rule by rule. Must not know sockets, nor who is being checked. Each function yields the
requests of its route one after the other, drawn at random, and `judge` holds every answer against the rules.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator

from gatebench.contract import behind, bodies, echo, inference, items, pages
from gatebench.contract.finding import Finding
from gatebench.contract.forms import exactly
from gatebench.contract.judge import asked, judged
from gatebench.contract.rows import LockedError
from gatebench.contract.visit import JSON, TEXT, Request, Requests, Visit

NEEDS = {
    "db": "database_url",
    "update": "database_url",
    "external": "upstream_url",
    "queries": "database_url",
    "updates": "database_url",
    "crud": "database_url",
    "redis": "redis_url",
}


def plaintext(_: Visit) -> Requests:
    """Ask twice; there is nothing to draw."""
    for _again in range(2):
        yield Request(target="/plaintext", kind=TEXT, form=exactly("Hello, World!"))


def json(visit: Visit) -> Requests:
    """Ask for greetings to different numbers."""
    for _again in range(3):
        number = visit.inputs.randint(1, 10**9)
        form = exactly(f'{{"id":{number},"message":"Hello, World!"}}')
        yield Request(target=f"/json?id={number}", kind=JSON, form=form)


def sleep(visit: Visit) -> Requests:
    """Ask for short waits."""
    for _again in range(2):
        seconds = visit.inputs.randint(5, 25) / 1000
        yield Request(target=f"/sleep?s={seconds}", kind=TEXT, form=exactly("slept"), wait_s=seconds)


def cpu(visit: Visit) -> Requests:
    """Ask for arithmetic that is done here as well."""
    for _again in range(3):
        rounds, start = visit.inputs.randint(1, 2000), visit.inputs.getrandbits(31)
        x = start
        for _round in range(rounds):
            x = (x * 1103515245 + 12345) % 2147483648
        yield Request(target=f"/cpu?n={rounds}&x={start}", kind=TEXT, form=exactly(str(x)))


HTTP: dict[str, Callable[[Visit], Requests]] = {
    "plaintext": plaintext,
    "json": json,
    "db": behind.db,
    "update": behind.update,
    "external": behind.external,
    "sleep": sleep,
    "cpu": cpu,
    "model": inference.model,
    "template": pages.template,
    "queries": behind.queries,
    "updates": behind.updates,
    "crud": items.crud,
    "redis": behind.redis,
    "file": bodies.file,
    "upload": bodies.upload,
    "sse": bodies.sse,
    "stream": bodies.stream,
}
ROUTES = (*HTTP, "ws")


def visited(visit: Visit, route: str) -> Generator[Finding, None, None]:
    """Hold one route against its rules."""
    if route == "ws":
        yield from echo.visited(visit.server, visit.inputs)
        return
    try:
        with contextlib.closing(HTTP[route](visit)) as requests:
            for turn, request in enumerate(requests):
                answer = asked(visit, request, turn)
                yield from judged(visit, route, request, answer, turn)
                if answer.status is None:  # a server that does not answer is not asked on and on
                    return
    except LockedError:
        yield Finding(
            route, "commit", ok=False, expected="no row left locked", found="a row locked by another session"
        )


def lacked(visit: Visit, route: str) -> Finding:
    """Ask for a route that is declared to be missing: the first broken rule says that the declaration is true."""
    with contextlib.closing(visited(visit, route)) as findings:
        for finding in findings:
            if not finding.ok:
                found = f"{finding.found} for {finding.expected}"
                return Finding(route, "lack", ok=True, expected="a route that does not work", found=found)
    expected = "a route that does not work, as it is declared"
    return Finding(route, "lack", ok=False, expected=expected, found="one that works")
