"""The rules that hold for every answer, whichever route it comes from.

Knows the contract's rules for all routes. Must not know any route.
"""

from __future__ import annotations

from collections.abc import Iterator

from gatebench.contract.finding import Finding, shown
from gatebench.contract.visit import Request, Visit
from gatebench.contract.wire import Answer, Asked

SPLIT = 1  # the request of each route, from 0, that is sent in pieces
PIECES = 3
EARLY_S = 0.002  # timers of event loops count in milliseconds and may be that much early


def asked(visit: Visit, request: Request, turn: int) -> Answer:
    """Put one request to the server."""
    return visit.client.ask(
        Asked(
            target=request.target,
            method=request.method,
            body=request.body,
            content_type=request.content_type,
            wait_s=request.wait_s,
            pieces=PIECES if turn == SPLIT else 1,
        )
    )


def judged(visit: Visit, route: str, request: Request, answer: Answer, turn: int) -> Iterator[Finding]:
    """Hold one answer against the rules for all routes, then against those of its own."""
    first = "packets" if turn == SPLIT else "answer"
    how = f"an answer to a request in {PIECES} packets" if turn == SPLIT else "an answer"
    whole = answer.status is not None
    yield Finding(route, first, whole, how, f"status {answer.status}" if whole else str(answer.fault))
    if not whole:
        return
    if (date := answer.header("date")) is not None:
        visit.dates.append((route, date))
    yield from _head(route, request, answer)
    matched = answer.fault is None and request.form.fits(answer.body)
    yield Finding(route, "bytes", matched, request.form.told, shown(answer.body))
    if request.wait_s:
        early = answer.elapsed_s < request.wait_s - EARLY_S
        yield Finding(route, "wait", not early, f"at least {request.wait_s:.3f} s", f"{answer.elapsed_s:.3f} s")
    if matched and answer.status == request.status:
        yield from request.then(answer)
    if answer.fault is None:
        yield from _kept(visit, route, request, answer, turn)


def _head(route: str, request: Request, answer: Answer) -> Iterator[Finding]:
    kind = answer.header("content-type")
    yield Finding(route, "status", answer.status == request.status, str(request.status), str(answer.status))
    if request.kind is not None:
        fits = kind is not None and request.kind.fits(kind)
        yield Finding(route, "type", fits, request.kind.told, kind or "no Content-Type")
    yield _length(route, request, answer)
    for rule, name in (("compression", "content-encoding"), ("cookies", "set-cookie")):
        found = answer.header(name)
        yield Finding(route, rule, found is None, f"no {name}", found or "none")


def _length(route: str, request: Request, answer: Answer) -> Finding:
    length, whole = answer.header("content-length"), answer.fault is None and not answer.surplus
    if answer.status == request.status == 204:
        expected, fits = "no body and no Content-Length but 0", length in (None, "0")
    elif request.length == "true":
        expected, fits = "a Content-Length that is true", length == str(len(answer.body))
    elif request.length == "none":
        expected, fits = "no Content-Length, and an answer that ends", length is None
    else:
        expected, fits = "an answer that ends", True
    if answer.fault is not None:
        return Finding(route, "length", ok=False, expected=expected, found=answer.fault)
    more = f" and {len(answer.surplus)} more" if answer.surplus else ""
    return Finding(
        route, "length", fits and whole, expected, f"{length or 'none'} for {len(answer.body)} bytes{more}"
    )


def _kept(visit: Visit, route: str, request: Request, answer: Answer, turn: int) -> Iterator[Finding]:
    """Judge keep-alive as it was seen on the wire."""
    announced = "close" in (answer.header("connection") or "").lower()
    if visit.keep_alive_s == 0:
        found = f"{'the' if announced else 'no'} header, and the connection {'ended' if answer.ended else 'open'}"
        expected = "Connection: close, and the connection ended"
        yield Finding(route, "keep-alive", announced and answer.ended, expected, found)
    elif turn == SPLIT and request.length == "true":  # the end of a body without a length may be the connection's
        expected = f"a second answer on one connection (keep_alive_s = {visit.keep_alive_s:g})"
        found = "one" if answer.reused else "the connection closed after the first"
        yield Finding(route, "keep-alive", answer.reused, expected, found)
