"""Checking stacks: which ones, several at a time, and how each kept its contract.

Knows what there is to check and what this machine lacks for it. Must not know loads or results, nor print.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import Any

from gatebench import machine
from gatebench.backends.programs import Serving, uninterrupted
from gatebench.backends.resources import at_rest
from gatebench.backends.services import Services
from gatebench.contract import Finding, Outcome
from gatebench.contract.routes import NEEDS, ROUTES
from gatebench.errors import ContractError, GatebenchError, UsageError, reason
from gatebench.model import AnyStack, Placement, Service, Stack
from gatebench.parties import Parties
from gatebench.run import DATE_STEP_S, spoken
from gatebench.session import Tree

SERVICES = {"database_url": "postgres", "upstream_url": "upstream", "redis_url": "redis"}  # who gives what is needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """How a stack answered the whole contract."""

    stack: str
    ready_s: float | None = None
    memory_bytes: float | None = None  # proportional, of the whole tree, before the contract was spoken
    outcome: Outcome | None = None  # None where it was not spoken to
    lacks: Mapping[str, str] = field(default_factory=dict)  # route -> why it is not offered
    unasked: Mapping[str, str] = field(default_factory=dict)  # route -> the service that this machine lacks for it
    refused: str | None = None  # why it cannot run, as is declared; it was tried, and did not keep the contract
    needs: str | None = None  # what this machine lacks, so that it was not started
    problem: str | None = None  # why it could not be started
    misdeclared: bool = False  # the problem is in what was declared, not in the machine
    unready: bool = False  # the problem is that it answered, but not as one that is ready

    def verdict(self, route: str) -> str:
        """Say of a route, in a word, what came of it."""
        if self.outcome is None or route in self.unasked:
            return "?"
        if not all(finding.ok for finding in self.outcome.findings if finding.route == route):
            return "FAIL"
        return "-" if route in self.lacks else "ok"

    @property
    def passed(self) -> bool:
        """Say whether it kept its contract, or did not where it is declared that it cannot."""
        return bool(self.refused) or (self.outcome is not None and self.outcome.passed)


def checks(
    tree: Tree, stacks: Sequence[AnyStack], who: Parties, told: Callable[[str], None], *, at_once: int = 1
) -> Iterator[Checked]:
    """Start stacks, several at once, and speak the contract of all routes to each; hand each out as it ends.

    Each of the several has services of its own: nobody else changes a row that the contract looks at.
    """
    placement = machine.place(machine.usable_cpus())
    if at_once > 1:  # nothing is measured: whoever has work may have any CPU
        every = tuple(machine.usable_cpus())
        placement = Placement(server=every, generator=every, services=every)
    machine.raise_open_files()
    wanted, lacking = _services(tree, stacks, who)
    visits = _Visits(placement=placement, wanted=wanted, lacking=lacking, who=who)
    for number, stack in enumerate(stacks):
        visits.left.put((number, stack))
    told("services")
    threads = [threading.Thread(target=visits.make) for _ in range(min(at_once, len(stacks)))]
    try:
        with uninterrupted():  # whoever was not begun could not be waited for
            for thread in threads:
                thread.start()
        for number in range(len(stacks)):
            ended = visits.ended.get()
            if isinstance(ended, BaseException):
                raise ended
            told(f"{number + 1} of {len(stacks)} stacks")
            yield ended
    finally:  # interrupted, nothing more is begun, and what was begun ends what it started
        visits.over.set()
        for thread in threads:
            thread.join()


def _needed(stack: AnyStack) -> Iterable[str]:
    return stack.app.services if isinstance(stack, Stack) and stack.visits else SERVICES.values()


def _services(tree: Tree, stacks: Sequence[AnyStack], who: Parties) -> tuple[list[Service], dict[str, str]]:
    """Give the services that these stacks need, and for those that this machine lacks what would help."""
    names = {stack.service(name) for stack in stacks for name in _needed(stack)}
    wanted = [service for service in tree.services.values() if service.name in names]
    told = {service.name: who.backend.missing(service) for service in wanted if not os.environ.get(service.variable)}
    lacking = {name: reason for name, reason in told.items() if reason}
    return [service for service in wanted if service.name not in lacking], lacking


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visits:
    """The visits that are left to be made, by several threads, and those that have ended."""

    placement: Placement
    wanted: Sequence[Service]
    lacking: Mapping[str, str]  # service -> what would help this machine to have it
    who: Parties
    left: SimpleQueue[tuple[int, AnyStack]] = field(default_factory=SimpleQueue)
    ended: SimpleQueue[Checked | BaseException] = field(default_factory=SimpleQueue)
    over: threading.Event = field(default_factory=threading.Event)

    def make(self) -> None:
        """Make one after the other, with services of this thread's own."""
        try:
            with self.who.backend.services(self.wanted, self.placement) as services:
                visitor = _Visitor(placement=self.placement, services=services, lacking=self.lacking, who=self.who)
                while not self.over.is_set():
                    number, stack = self.left.get_nowait()
                    self.ended.put(visitor.checked(stack, number))
        except Empty:
            return
        except BaseException as error:  # noqa: BLE001 - it is raised where all threads are waited for
            self.ended.put(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visitor:
    """Visits one stack after the other."""

    placement: Placement
    services: Services
    lacking: Mapping[str, str]  # service -> what would help this machine to have it
    who: Parties

    def checked(self, stack: AnyStack, seed: int) -> Checked:
        """Start a stack and speak the whole contract to it."""
        own = bool(stack.visits)
        checked = Checked(
            stack=stack.name, lacks={} if own else stack.lacks, unasked={} if own else self._unasked(stack)
        )
        if needs := self.who.backend.missing(stack) or self._driver(stack):
            return replace(checked, needs=needs)
        if stack.cannot:
            return self._refused(stack, seed)
        return self._visited(checked, stack, seed)

    def _refused(self, stack: AnyStack, seed: int) -> Checked:
        """Try a pair that is declared not to run: where it keeps the contract, the declaration is wrong."""
        tried, reason = self._visited(Checked(stack=stack.name), stack, seed), str(stack.cannot)
        if not tried.passed:
            return Checked(stack=stack.name, refused=reason)
        expected = f"a pair that cannot run, as is declared ({reason})"
        wrong = Finding("plaintext", "cannot", ok=False, expected=expected, found="one that keeps the contract")
        return replace(tried, outcome=Outcome(findings=(wrong,), date=None))

    def _visited(self, checked: Checked, stack: AnyStack, seed: int) -> Checked:
        try:
            self.who.backend.prepare(stack)
            with self.who.backend.serve(stack, self.placement, self.services) as serving:
                memory = at_rest(serving.program.pids) if serving.program.pids else None
                checked = replace(checked, ready_s=serving.ready_s, memory_bytes=memory)
                return replace(checked, outcome=self._outcome(stack, serving, seed, checked.unasked))
        except GatebenchError as error:
            misdeclared, unready = isinstance(error, UsageError), isinstance(error, ContractError)
            return replace(checked, problem=str(error), misdeclared=misdeclared, unready=unready)
        except OSError as error:  # as where the disk is full: what others found is not lost by it
            return replace(checked, problem=f"{stack.name} could not be started: {reason(error)}.")

    def _driver(self, stack: AnyStack) -> str | None:
        """Say what the service of a chosen driver needs, where this machine lacks it: the stack is about that."""
        instead = [stack.service(name) for name in SERVICES.values() if stack.service(name) != name]
        reasons = (self.lacking[service] for service in instead if service in self.lacking)
        return next((f"{stack.name}: {reason}" for reason in reasons), None)

    def _unasked(self, stack: AnyStack) -> dict[str, str]:
        """Name the routes whose service this machine lacks, with what would help."""
        found = {}
        for route, given in NEEDS.items():
            service = stack.service(SERVICES[given])
            if service not in self.services.urls:
                found[route] = self.lacking.get(service, f"there is no service '{service}'")
        return found

    def _outcome(self, stack: AnyStack, serving: Serving, seed: int, unasked: Mapping[str, str]) -> Outcome:
        """Speak every route's contract, and one route's again when `Date` must have advanced."""
        asked = [route for route in ROUTES if route not in unasked]
        offered = [route for route in asked if not stack.lack(route)]
        # Behind a front, what one of the two lacks may come from the other.
        alone = [stack] if isinstance(stack, Stack) else [stack.wsgi, stack.asgi]
        lacks = [route for route in asked if all(part.lack(route) for part in alone)]

        def spoke(routes: Sequence[str], seed: int, **more: Any) -> Outcome:
            return spoken(self.who.contract, stack, serving, self.services, routes=routes, seed=seed, **more)

        first = spoke(offered, seed, lacks=lacks, protocols=stack.protocols)
        if first.date is None or stack.visits:
            return first
        time.sleep(DATE_STEP_S)
        again = spoke(offered[:1], seed + 1, since=first.date)
        return Outcome(findings=(*first.findings, *again.findings), date=again.date)
