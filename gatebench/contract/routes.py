"""The contract's routes: what each is asked, and which rules its answers are held against.

Knows apps/CONTRACT.md, rule by rule. Must not know sockets, nor who is being checked. Each function here yields the
requests of its route one after the other, drawn at random, and `_judged` holds every answer against the rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from gatebench.contract import echo
from gatebench.contract.finding import Finding, shown
from gatebench.contract.look import LockedError, Rows, Upstream
from gatebench.contract.wire import Answer, Client

TEXT = re.compile(r"text/plain; ?charset=utf-8", re.IGNORECASE)
JSON = re.compile(r"application/json(; ?charset=utf-8)?", re.IGNORECASE)
SPLIT = 1  # the request of each route, from 0, that is sent in pieces
PIECES = 3
EARLY_S = 0.002  # timers of event loops count in milliseconds and may be that much early

NEEDS = {"db": "database_url", "update": "database_url", "external": "upstream_url"}


@dataclass(slots=True, kw_only=True)
class Visit:
    """One check of one stack, while it lasts."""

    host: str
    port: int
    until: float  # moment of perf_counter past which nothing is waited for
    keep_alive_s: float
    inputs: Random
    client: Client
    rows: Rows
    upstream: Upstream
    dates: list[tuple[str, str]] = field(default_factory=list)  # route and `Date` of every answer

    def digits(self) -> int:
        """Draw a value for the table."""
        return self.inputs.randint(10_000, 99_999)

    def close(self) -> None:
        """Give up what was opened."""
        for opened in (self.client, self.rows, self.upstream):
            opened.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, and what its answer must be."""

    target: str
    kind: re.Pattern[str]
    body: re.Pattern[bytes]
    method: str = "GET"
    wait_s: float = 0.0  # no good answer comes sooner
    then: Callable[[Answer], Iterator[Finding]] = lambda _: iter(())  # further rules, for an answer of the right form


def plaintext(_: Visit) -> Iterator[Request]:
    """Ask twice; there is nothing to draw."""
    for _again in range(2):
        yield Request(target="/plaintext", kind=TEXT, body=_exactly("Hello, World!"))


def json(visit: Visit) -> Iterator[Request]:
    """Ask for greetings to different numbers."""
    for _again in range(3):
        number = visit.inputs.randint(1, 10**9)
        body = _exactly(f'{{"id":{number},"message":"Hello, World!"}}')
        yield Request(target=f"/json?id={number}", kind=JSON, body=body)


def db(visit: Visit) -> Iterator[Request]:
    """Change rows ourselves and ask for them, then the same rows again: a cached row is found out."""
    numbers = visit.inputs.sample(range(1, 10_001), 3)
    for number in numbers * 2:
        value = _other(visit, visit.rows.read(number))
        visit.rows.write(number, value)
        yield Request(
            target=f"/db?id={number}",
            kind=JSON,
            body=re.compile(rb'\{"id":%d,"value":[0-9]{5}\}' % number),
            then=_row(number, value),
        )


def update(visit: Visit) -> Iterator[Request]:
    """Have rows changed, one of them twice, and look ourselves whether each change landed."""
    first, second = visit.inputs.sample(range(1, 10_001), 2)
    for number in (first, second, first):
        value = _other(visit, visit.rows.read(number))
        yield Request(
            method="POST",
            target=f"/update?id={number}&value={value}",
            kind=JSON,
            body=_exactly(f'{{"id":{number},"value":{value}}}'),
            then=_landed(visit.rows, number, value),
        )


def external(visit: Visit) -> Iterator[Request]:
    """Have the upstream called with tokens nobody has seen, and ask it whether it was."""
    for _again in range(2):
        token = f"{visit.inputs.getrandbits(64):016x}"
        yield Request(
            target=f"/external?token={token}",
            kind=JSON,
            body=re.compile(rb'\{"token":"%s","digest":"[0-9a-f]{64}"\}' % token.encode()),
            wait_s=visit.upstream.account(token).delay_s,
            then=_called(visit.upstream, token),
        )


def sleep(visit: Visit) -> Iterator[Request]:
    """Ask for short waits."""
    for _again in range(2):
        seconds = visit.inputs.randint(5, 25) / 1000
        yield Request(target=f"/sleep?s={seconds}", kind=TEXT, body=_exactly("slept"), wait_s=seconds)


def cpu(visit: Visit) -> Iterator[Request]:
    """Ask for arithmetic that is done here as well."""
    for _again in range(3):
        rounds, start = visit.inputs.randint(1, 2000), visit.inputs.getrandbits(31)
        x = start
        for _round in range(rounds):
            x = (x * 1103515245 + 12345) % 2147483648
        yield Request(target=f"/cpu?n={rounds}&x={start}", kind=TEXT, body=_exactly(str(x)))


HTTP: dict[str, Callable[[Visit], Iterator[Request]]] = {
    "plaintext": plaintext,
    "json": json,
    "db": db,
    "update": update,
    "external": external,
    "sleep": sleep,
    "cpu": cpu,
}
ROUTES = (*HTTP, "ws")


def visited(visit: Visit, route: str) -> Iterator[Finding]:
    """Hold one route against its rules."""
    if route == "ws":
        yield from echo.visited(visit.host, visit.port, visit.until, visit.inputs)
        return
    try:
        for turn, request in enumerate(HTTP[route](visit)):
            pieces = PIECES if turn == SPLIT else 1
            answer = visit.client.ask(request.method, request.target, wait_s=request.wait_s, pieces=pieces)
            yield from _judged(visit, route, request, answer, turn)
            if answer.status is None:  # a server that does not answer is not asked on and on
                return
    except LockedError:
        yield Finding(
            route, "commit", ok=False, expected="no row left locked", found="a row locked by another session"
        )


def _judged(visit: Visit, route: str, request: Request, answer: Answer, turn: int) -> Iterator[Finding]:
    first = "packets" if turn == SPLIT else "answer"
    how = f"an answer to a request in {PIECES} packets" if turn == SPLIT else "an answer"
    whole = answer.status is not None
    yield Finding(route, first, whole, how, f"status {answer.status}" if whole else str(answer.fault))
    if not whole:
        return
    if (date := answer.header("date")) is not None:
        visit.dates.append((route, date))
    yield from _head(route, request, answer)
    matched = answer.fault is None and request.body.fullmatch(answer.body) is not None
    yield Finding(route, "bytes", matched, _form(request.body), shown(answer.body))
    if request.wait_s:
        early = answer.elapsed_s < request.wait_s - EARLY_S
        yield Finding(route, "wait", not early, f"at least {request.wait_s:.3f} s", f"{answer.elapsed_s:.3f} s")
    if matched:
        yield from request.then(answer)
    if answer.fault is None:
        yield from _kept(visit, route, answer, turn)


def _head(route: str, request: Request, answer: Answer) -> Iterator[Finding]:
    kind, length = answer.header("content-type"), answer.header("content-length")
    yield Finding(route, "status", answer.status == 200, "200", str(answer.status))
    yield Finding(
        route,
        "type",
        kind is not None and request.kind.fullmatch(kind) is not None,
        "text/plain; charset=utf-8" if request.kind is TEXT else "application/json",
        kind or "no Content-Type",
    )
    true = length == str(len(answer.body)) and not answer.surplus and answer.fault is None
    yield Finding(route, "length", true, "a Content-Length that is true", _length(answer, length))
    for rule, name in (("compression", "content-encoding"), ("cookies", "set-cookie")):
        found = answer.header(name)
        yield Finding(route, rule, found is None, f"no {name}", found or "none")


def _length(answer: Answer, length: str | None) -> str:
    if answer.fault is not None:
        return answer.fault
    more = f" and {len(answer.surplus)} more" if answer.surplus else ""
    return f"{length or 'none'} for {len(answer.body)} bytes{more}"


def _kept(visit: Visit, route: str, answer: Answer, turn: int) -> Iterator[Finding]:
    """Judge keep-alive as it was seen on the wire."""
    announced = "close" in (answer.header("connection") or "").lower()
    if visit.keep_alive_s == 0:
        found = f"{'the' if announced else 'no'} header, and the connection {'ended' if answer.ended else 'open'}"
        expected = "Connection: close, and the connection ended"
        yield Finding(route, "keep-alive", announced and answer.ended, expected, found)
    elif turn == SPLIT:
        expected = f"a second answer on one connection (keep_alive_s = {visit.keep_alive_s:g})"
        found = "one" if answer.reused else "the connection closed after the first"
        yield Finding(route, "keep-alive", answer.reused, expected, found)


def _row(number: int, value: int) -> Callable[[Answer], Iterator[Finding]]:
    body = f'{{"id":{number},"value":{value}}}'

    def judge(answer: Answer) -> Iterator[Finding]:
        yield Finding("db", "row", answer.body == body.encode(), f"the row as it is, {body}", shown(answer.body))

    return judge


def _landed(rows: Rows, number: int, value: int) -> Callable[[Answer], Iterator[Finding]]:
    def judge(_: Answer) -> Iterator[Finding]:
        found = rows.read(number)
        yield Finding("update", "row", found == value, f"row {number} set to {value}", f"{found} in the database")

    return judge


def _called(upstream: Upstream, token: str) -> Callable[[Answer], Iterator[Finding]]:
    def judge(answer: Answer) -> Iterator[Finding]:
        account = upstream.account(token)
        digest = answer.body[-66:-2].decode()
        yield Finding(
            "external", "upstream", account.calls == 1, "one call of the upstream", f"{account.calls} calls"
        )
        yield Finding("external", "digest", digest == account.digest, f"its digest {account.digest}", digest)

    return judge


def _exactly(text: str) -> re.Pattern[bytes]:
    return re.compile(re.escape(text.encode()))


def _form(body: re.Pattern[bytes]) -> str:
    return shown(re.sub(rb"\\(.)", rb"\1", body.pattern))


def _other(visit: Visit, value: int | None) -> int:
    """Draw a value that the row does not have."""
    while (drawn := visit.digits()) == value:
        pass
    return drawn
