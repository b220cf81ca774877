"""The newer versions of HTTP, spoken beside the first: the two routes that need no service, asked for at once.

Knows what these routes answer. Must not know how a version is put on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gatebench.contract.finding import Finding, shown
from gatebench.contract.wire import Answer, Server

NUMBER = 4711  # asked for in JSON; that it is drawn is the business of the route itself
WANTED = {
    "/plaintext": b"Hello, World!",
    f"/json?id={NUMBER}": f'{{"id":{NUMBER},"message":"Hello, World!"}}'.encode(),
}


def spoken(server: Server, protocols: Sequence[str]) -> Iterator[Finding]:
    """Speak each newer version that is offered; the others are spoken by the routes themselves."""
    for name in ("h2", "h3"):
        if name in protocols:
            answers = _speaker(name)(server, list(WANTED))
            for (target, body), answer in zip(WANTED.items(), answers, strict=True):
                yield _held(name, target, body, answer)


def _held(name: str, target: str, body: bytes, answer: Answer) -> Finding:
    ok = answer.fault is None and answer.status == 200 and answer.body == body
    found = answer.fault or f"{answer.status} with {shown(answer.body)}"
    return Finding("plaintext", name, ok, f"200 with {shown(body)} for GET {target}", found)


def _speaker(name: str) -> Callable[[Server, Sequence[str]], list[Answer]]:
    if name == "h2":
        from gatebench.contract import http2  # noqa: PLC0415 - few servers offer it, and it costs every start

        return http2.ask
    from gatebench.contract import http3  # noqa: PLC0415 - the same, and more so

    return http3.ask
