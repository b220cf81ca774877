"""Who takes part in a session, by what each must be able to do: real ones, fakes, and those of tests.

Knows the shapes only. Must not know who they are, nor in which order they act.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from gatebench.backends.programs import Serving
from gatebench.backends.resources import Reading
from gatebench.backends.services import Services
from gatebench.contract import Outcome
from gatebench.generator import Driver
from gatebench.model import AnyStack, Capability, Connects, Placement, Service, Setting, Visit


class Watch(Protocol):
    """Watches from entering to leaving; then tells what was used between two moments."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        ...

    def read(self, start: float, end: float) -> Reading:
        """Tell what was used between two readings of perf_counter."""
        ...


class Backend(Protocol):
    """Starts stacks and services."""

    name: str

    @property
    def surroundings(self) -> Mapping[str, Setting]:
        """Say why this backend, and what engine, network and limits it has; known once a stack is prepared."""
        ...

    def prepare(self, stack: AnyStack) -> Mapping[str, Mapping[str, Setting]]:
        """Make the stack ready to start; give the versions in it, and what else is to be said of it."""
        ...

    def missing(self, wanted: AnyStack | Service) -> str | None:
        """Say what a stack or service needs that this machine lacks, and what helps; None where all is there."""
        ...

    def services(self, wanted: Sequence[Service], placement: Placement) -> AbstractContextManager[Services]:
        """Start services."""
        ...

    def serve(self, stack: AnyStack, placement: Placement, services: Services) -> AbstractContextManager[Serving]:
        """Start a stack."""
        ...

    def serve_nothing(self, placement: Placement, *, close: bool, websocket: bool) -> AbstractContextManager[Serving]:
        """Start the do-nothing server where a stack would be; it may close connections, or echo over WebSocket."""
        ...

    def watch(self, placement: Placement, serving: Serving, services: Services, generator: Sequence[int]) -> Watch:
        """Watch what all parties use."""
        ...


class Contract(Protocol):
    """The independent client."""

    def __call__(
        self,
        *,
        host: str,
        port: int,
        routes: Sequence[str],
        keep_alive_s: float,
        database_url: str | None,
        upstream_url: str | None,
        redis_url: str | None,
        seed: int,
        since: str | None = None,
        lacks: Sequence[str] = (),
        tls: bool = False,
        protocols: Sequence[str] = (),
        file: Path | None = None,
        visits: Sequence[Visit] = (),
    ) -> Outcome:
        """Speak the contract of these routes, see that `lacks` are lacking; or make the visits of one's own app."""
        ...


class Knocks(Protocol):
    """Fresh connections that are being opened beside a load."""

    def between(self, start_s: float, end_s: float) -> Connects:
        """Tell of those that were due between two readings of perf_counter; after the knocking has ended."""
        ...


class Knocker(Protocol):
    """Opens fresh connections and times them, from a process on these CPUs."""

    def at_rest(self, url: str, cpus: Sequence[int]) -> Connects:
        """Open one after the other."""
        ...

    def beside(self, url: str, cpus: Sequence[int], *, seconds: float) -> AbstractContextManager[Knocks]:
        """Open them at a rate, from entering to leaving, but for no longer than so many seconds."""
        ...


class Speaker(Protocol):
    """Speaks every protocol to a stack."""

    def __call__(self, *, stack: AnyStack, host: str, port: int) -> tuple[Capability, ...]:
        """Tell which it speaks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """Who starts stacks, who loads them, who speaks their contract, who knocks and who speaks their protocols."""

    backend: Backend
    driver: Driver
    streams: Driver  # of h1, h2 and h3
    contract: Contract
    knocker: Knocker
    speaker: Speaker
