"""What routes have in common: the check that is going on, and the requests that they yield.

Knows what a request must be answered with. Must not know any route, nor how answers are judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

from gatebench.contract.finding import Finding
from gatebench.contract.forms import Form
from gatebench.contract.look import Keys, Upstream
from gatebench.contract.rows import Rows
from gatebench.contract.wire import Answer, Client, Server


@dataclass(frozen=True, slots=True)
class Kind:
    """A content type, and the ways to write it."""

    told: str
    pattern: re.Pattern[str]

    def fits(self, found: str) -> bool:
        """Say whether a header is of this kind."""
        return self.pattern.fullmatch(found) is not None


def _kind(told: str, pattern: str) -> Kind:
    return Kind(told, re.compile(pattern, re.IGNORECASE))


TEXT = _kind("text/plain; charset=utf-8", r"text/plain; ?charset=utf-8")
HTML = _kind("text/html; charset=utf-8", r"text/html; ?charset=utf-8")
JSON = _kind("application/json", r"application/json(; ?charset=utf-8)?")
BYTES = _kind("application/octet-stream", r"application/octet-stream")
EVENTS = _kind("text/event-stream", r"text/event-stream(; ?charset=utf-8)?")

Length = Literal["true", "any", "none"]  # a true Content-Length; one, or none; none


@dataclass(slots=True, kw_only=True)
class Visit:
    """One check of one stack, while it lasts."""

    server: Server
    keep_alive_s: float
    inputs: Random
    client: Client
    rows: Rows
    upstream: Upstream
    keys: Keys
    file: Path | None
    dates: list[tuple[str, str]] = field(default_factory=list)  # route and `Date` of every answer

    def digits(self) -> int:
        """Draw a value for the table."""
        return self.inputs.randint(10_000, 99_999)

    def token(self) -> str:
        """Draw 16 hexadecimal digits."""
        return f"{self.inputs.getrandbits(64):016x}"

    def close(self) -> None:
        """Give up what was opened."""
        for opened in (self.client, self.rows, self.upstream, self.keys):
            opened.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, and what its answer must be."""

    target: str
    form: Form
    kind: Kind | None  # None: there is nothing to have a kind
    method: str = "GET"
    body: bytes | None = None
    content_type: str | None = None
    status: int = 200
    length: Length = "true"
    wait_s: float = 0.0  # no good answer comes sooner
    then: Callable[[Answer], Iterator[Finding]] = lambda _: iter(())  # further rules, for an answer of the right form


Requests = Generator[Request, None, None]  # closed where its route is left early
