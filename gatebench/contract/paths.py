"""A user's own app: each path answers as it is told to, and whole. Knows nothing of the contract's routes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

import h11

from gatebench.contract.finding import Finding, Outcome
from gatebench.contract.wire import Answer, Asked, Client, Server, head
from gatebench.errors import UsageError

LIMIT_BYTES = 64 << 20  # an app of one's own may answer more than the contract's


class PathLike(Protocol):
    """A path that is asked for, with the body of its request and the status of its answer."""

    @property
    def method(self) -> str:
        """Name the method."""
        ...

    @property
    def path(self) -> str:
        """Give path and query."""
        ...

    @property
    def status(self) -> int:
        """Give the status that is expected."""
        ...

    @property
    def body(self) -> bytes | str | None:
        """Give the request's body; None where it has none."""
        ...

    @property
    def content_type(self) -> str | None:
        """Give the kind of that body."""
        ...


def check_paths(
    *, host: str, port: int, paths: Sequence[PathLike], tls: bool = False, deadline_s: float = 20.0
) -> Outcome:
    """Ask for each path twice; every answer must be whole and of the expected status."""
    server = Server(host=host, port=port, until=time.perf_counter() + deadline_s, tls=tls, limit_bytes=LIMIT_BYTES)
    requests = [(path, _asked(server, path)) for path in paths]
    with contextlib.closing(Client(server, closes=False)) as client:
        findings = [
            finding for path, asked in requests for _again in range(2) for finding in _held(path, client.ask(asked))
        ]
    return Outcome(findings=tuple(findings), date=None)


def _asked(server: Server, path: PathLike) -> Asked:
    body = path.body.encode() if isinstance(path.body, str) else path.body
    asked = Asked(target=path.path, method=path.method, body=body, content_type=path.content_type)
    try:
        head(server.authority, asked)
    except (h11.LocalProtocolError, UnicodeEncodeError) as error:
        raise UsageError(f"'{path.method} {path.path}' cannot be sent as a request of HTTP/1.1: {error}.") from error
    return asked


def _held(path: PathLike, answer: Answer) -> Iterator[Finding]:
    name = f"{path.method} {path.path}"
    found = answer.fault or f"status {answer.status}"
    yield Finding(name, "answer", answer.fault is None, "a whole answer", found)
    if answer.status is not None:
        yield Finding(name, "status", answer.status == path.status, str(path.status), str(answer.status))
