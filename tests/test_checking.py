"""Checking stacks, several at a time, with a fake backend: what is asked of whom, and what becomes of it."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gatebench import checking, machine
from gatebench.backends.programs import Serving
from gatebench.backends.services import Services
from gatebench.checking import Checked, checks
from gatebench.cli.checks import _judge
from gatebench.contract import Finding, Outcome
from gatebench.contract.routes import NEEDS, ROUTES
from gatebench.errors import ContractError, GatebenchError, MachineError, UsageError
from gatebench.fake import FakeBackend, FakeDriver, contract
from gatebench.fake import parties as invented
from gatebench.model import AnyStack, App, Placement, Service, Setting, Visit
from gatebench.parties import Contract, Parties
from gatebench.session import Tree

PATIENCE_S = 20.0  # until a test that waits for what never comes gives up
FLASK, RAW, FASTAPI = "flask+gunicorn-sync", "raw_wsgi+gunicorn-sync", "fastapi+uvicorn"


@dataclass(slots=True)
class Backend(FakeBackend):
    """Starts nothing, with services that are told apart, and notes what it was asked for."""

    absent: Mapping[str, str] = field(default_factory=dict)  # stack or service -> what would help
    started: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    placements: list[Placement] = field(default_factory=list)
    wanted: list[list[str]] = field(default_factory=list)
    sets: Iterator[int] = field(default_factory=itertools.count)
    opened: list[int] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)
    meets: Callable[[AnyStack], None] = lambda _: None

    def missing(self, wanted: AnyStack | Service) -> str | None:
        return self.absent.get(wanted.name)

    @contextlib.contextmanager
    def services(self, wanted: Sequence[Service], placement: Placement) -> Iterator[Services]:
        number = next(self.sets)
        self.opened.append(number)
        self.placements.append(placement)
        self.wanted.append([service.name for service in wanted])
        urls = {service.name: f"{service.kind}://{number}" for service in wanted}
        try:
            yield Services(urls=urls, variables={}, pids=(), facts={})
        finally:
            self.closed.append(number)

    @contextlib.contextmanager
    def serve(self, stack: AnyStack, placement: Placement, services: Services) -> Iterator[Serving]:
        self.started.append(stack.name)
        self.meets(stack)
        try:
            with FakeBackend.serve(self, stack, placement, services) as serving:
                yield serving
        finally:
            self.ended.append(stack.name)


@dataclass(slots=True)
class Listening:
    """A contract that every stack keeps, and that notes what it was asked."""

    date: str | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, **asked: Any) -> Outcome:
        self.asked.append(asked)
        return Outcome(findings=(Finding("plaintext", "bytes", ok=True, expected="x", found="x"),), date=self.date)


@pytest.fixture(scope="module")
def tree(root: Path) -> Tree:
    return Tree.load(root)


@pytest.fixture(autouse=True)
def no_services_named(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have services of his own."""
    for service in tree.services.values():
        monkeypatch.delenv(service.variable, raising=False)


def parties(backend: Backend, spoken: Contract = contract) -> Parties:
    return invented(backend=backend, driver=FakeDriver(backend=backend), contract=spoken)


def check(
    tree: Tree, names: Sequence[str], backend: Backend, spoken: Contract = contract, *, at_once: int = 1
) -> dict[str, Checked]:
    stacks = [tree.stacks[name] for name in names]
    found = checks(tree, stacks, parties(backend, spoken), lambda _: None, at_once=at_once)
    return {checked.stack: checked for checked in found}


def test_every_route_is_asked_for_those_that_are_lacking_as_such(tree: Tree) -> None:
    listening = Listening()
    (checked,) = check(tree, [RAW], Backend(), listening).values()
    (asked,) = listening.asked
    assert asked["routes"] == [route for route in ROUTES if route != "ws"]
    assert asked["lacks"] == ["ws"]
    assert asked["protocols"] == tree.stacks.one(RAW).protocols
    assert asked["file"] is not None
    assert "ws" in checked.lacks
    assert checked.passed
    assert (checked.verdict("json"), checked.verdict("ws")) == ("ok", "-")


def test_a_stack_is_checked_against_the_service_that_its_driver_has(tree: Tree) -> None:
    listening, backend = Listening(), Backend()
    names = ["flask+gunicorn-gthread", "flask+gunicorn-gthread[db=pymysql]"]
    check(tree, names, backend, listening)
    assert [asked["database_url"] for asked in listening.asked] == ["postgresql://0", "mysql://0"]
    assert sorted(backend.wanted[0]) == ["mariadb", "postgres", "redis", "upstream"]


def test_a_service_that_no_stack_needs_is_not_started(tree: Tree) -> None:
    backend = Backend()
    check(tree, [FLASK], backend)
    assert sorted(backend.wanted[0]) == ["postgres", "redis", "upstream"]


def test_routes_whose_service_this_machine_lacks_are_not_asked_and_say_why(tree: Tree) -> None:
    listening, backend = Listening(), Backend(absent={"postgres": "postgres needs x: apt-get install -y x"})
    (checked,) = check(tree, [FASTAPI], backend, listening).values()
    behind = [route for route, need in NEEDS.items() if need == "database_url"]
    assert checked.unasked == dict.fromkeys(behind, "postgres needs x: apt-get install -y x")
    assert [route for route in ROUTES if route not in behind] == listening.asked[0]["routes"]
    assert (checked.verdict("db"), checked.verdict("redis")) == ("?", "ok")
    assert checked.passed, "what was not asked is not held against it"


def test_a_service_that_the_environment_names_is_not_missed(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tree.services["redis"].variable, "redis://127.0.0.1:1/0")
    (checked,) = check(tree, [FASTAPI], Backend(absent={"redis": "no redis"})).values()
    assert checked.unasked == {}


def test_what_this_machine_lacks_is_told_and_the_stack_is_not_started(tree: Tree) -> None:
    backend = Backend(absent={FLASK: "needs apache2"})
    found = check(tree, [FLASK, FASTAPI], backend)
    assert (found[FLASK].needs, found[FLASK].passed, found[FLASK].problem) == ("needs apache2", False, None)
    assert found[FLASK].verdict("json") == "?"
    assert backend.started == [FASTAPI]
    assert found[FASTAPI].passed


def test_a_stack_that_does_not_start_is_a_problem_of_its_own(tree: Tree) -> None:
    def meets(stack: AnyStack) -> None:
        if stack.name == FLASK:
            raise MachineError("it ended at once")

    found = check(tree, [FLASK, RAW, FASTAPI], Backend(meets=meets))
    assert found[FLASK].problem == "it ended at once"
    assert (found[FLASK].passed, found[FLASK].ready_s) == (False, None)
    assert found[RAW].passed
    assert found[FASTAPI].passed
    assert found[FASTAPI].ready_s == 0.1


@pytest.mark.parametrize("error", [MachineError, ContractError, UsageError])
def test_a_stack_that_is_not_ready_ends_the_check_with_whose_turn_it_is(
    tree: Tree, error: type[GatebenchError]
) -> None:
    def meets(_: AnyStack) -> None:
        raise error("GET /plaintext was answered with 500")

    (checked,) = check(tree, [FLASK], Backend(meets=meets)).values()
    assert (checked.problem, checked.passed) == ("GET /plaintext was answered with 500", False)
    with pytest.raises(error, match="see above"):
        _judge([checked], named=True, own=None)


def test_an_environment_that_cannot_be_made_is_a_problem_likewise(tree: Tree) -> None:
    class Unprepared(Backend):
        def prepare(self, stack: AnyStack) -> Mapping[str, Mapping[str, Setting]]:
            raise MachineError("uv pip failed")

    (checked,) = check(tree, [FLASK], Unprepared()).values()
    assert checked.problem == "uv pip failed"


def test_a_disk_that_is_full_is_a_problem_of_the_stack_that_met_it_and_the_machines_owners_turn(tree: Tree) -> None:
    full = f"{os.strerror(errno.ENOSPC)}: 'a.log'"

    def meets(stack: AnyStack) -> None:
        if stack.name == RAW:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.log")
        if stack.name == FLASK:
            raise shutil.Error([("a", "b", full), ("c", "d", "another")])

    found = check(tree, [FLASK, RAW, FASTAPI], Backend(meets=meets))
    assert found[FASTAPI].passed
    assert found[RAW].problem == f"{RAW} could not be started: [Errno {errno.ENOSPC}] {full}."
    assert found[FLASK].problem == f"{FLASK} could not be started: {full}."
    with pytest.raises(MachineError, match="see above"):
        _judge(list(found.values()), named=True, own=None)


def test_a_broken_rule_of_a_route_is_its_verdict(tree: Tree) -> None:
    def broken(**_: object) -> Outcome:
        found = (
            Finding("json", "bytes", ok=True, expected="a", found="a"),
            Finding("json", "type", ok=False, expected="a", found="b"),
            Finding("ws", "lack", ok=False, expected="a route that does not work", found="one that works"),
        )
        return Outcome(findings=found, date=None)

    (checked,) = check(tree, [RAW], Backend(), broken).values()
    assert not checked.passed
    assert [checked.verdict(route) for route in ("plaintext", "json", "ws")] == ["ok", "FAIL", "FAIL"]


def test_one_route_is_asked_again_when_its_date_must_have_advanced(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "DATE_STEP_S", 0)
    listening = Listening(date="Sat, 31 Jan 2026 12:00:00 GMT")
    (checked,) = check(tree, [FASTAPI], Backend(), listening).values()
    first, again = listening.asked
    assert (first["since"], again["since"]) == (None, "Sat, 31 Jan 2026 12:00:00 GMT")
    assert again["routes"] == ["plaintext"]
    assert again["seed"] != first["seed"]
    assert checked.outcome is not None
    assert len(checked.outcome.findings) == 2


def test_somebodys_own_app_is_visited_once_and_lacks_nothing(tree: Tree) -> None:
    app = App(
        name="mine",
        interface="asgi",
        target="app:app",
        folder=Path("mine"),
        requirements=(),
        visits=(Visit(path="/"),),
        services=("redis",),
    )
    own = replace(tree, stacks=replace(tree.stacks, apps={"mine": app}))
    listening, backend = Listening(date="Sat, 31 Jan 2026 12:00:00 GMT"), Backend()
    (checked,) = check(own, ["mine+uvicorn"], backend, listening).values()
    (asked,) = listening.asked
    assert asked["visits"] == app.visits
    assert backend.wanted == [["redis"]], "and only what it says that it needs"
    assert (checked.lacks, checked.unasked, checked.passed) == ({}, {}, True)


def test_several_are_checked_at_once_each_with_services_of_its_own(tree: Tree) -> None:
    together = threading.Barrier(3)
    names = [f"{app}+gunicorn-sync" for app in ("flask", "raw_wsgi", "bottle")]
    listening = Listening()

    def meets(_: AnyStack) -> None:
        together.wait(PATIENCE_S)

    backend = Backend(meets=meets)
    found = check(tree, names, backend, listening, at_once=3)
    assert all(checked.passed for checked in found.values())
    assert {asked["database_url"] for asked in listening.asked} == {f"postgresql://{one}" for one in range(3)}
    assert sorted(backend.closed) == [0, 1, 2]
    assert {cpu for placement in backend.placements for cpu in placement.server} == set(machine.usable_cpus())


def test_alone_a_stack_has_the_cpus_that_it_has_in_a_run(tree: Tree) -> None:
    backend = Backend()
    check(tree, [FLASK, FASTAPI], backend)
    assert backend.placements == [machine.place(machine.usable_cpus())]
    assert backend.started == [FLASK, FASTAPI]


def test_no_more_services_are_started_than_there_are_stacks(tree: Tree) -> None:
    backend = Backend()
    check(tree, [FLASK], backend, at_once=8)
    assert backend.opened == [0]


def test_nothing_to_check_starts_nothing(tree: Tree) -> None:
    backend = Backend()
    assert check(tree, [], backend, at_once=4) == {}
    assert backend.opened == []


def test_each_is_handed_out_as_it_ends_whoever_still_goes_on(tree: Tree) -> None:
    quick_is_out = threading.Event()

    def meets(stack: AnyStack) -> None:
        if stack.name == FLASK and not quick_is_out.wait(PATIENCE_S):
            raise MachineError("the other one was never handed out")

    told: list[str] = []
    stacks = [tree.stacks[name] for name in (FLASK, FASTAPI)]
    found = []
    for checked in checks(tree, stacks, parties(Backend(meets=meets)), told.append, at_once=2):
        found.append(checked)
        quick_is_out.set()
    assert [(one.stack, one.passed) for one in found] == [(FASTAPI, True), (FLASK, True)]
    assert told == ["services", "1 of 2 stacks", "2 of 2 stacks"]


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_fault_of_the_harness_is_raised_and_all_that_was_begun_is_ended(tree: Tree, at_once: int) -> None:
    def broken(**_: object) -> Outcome:
        raise ZeroDivisionError

    backend = Backend()
    with pytest.raises(ZeroDivisionError):
        check(tree, [FLASK, RAW, FASTAPI], backend, broken, at_once=at_once)
    assert sorted(backend.ended) == sorted(backend.started)
    assert sorted(backend.closed) == sorted(backend.opened)
    assert 1 <= len(backend.started) <= at_once, "nobody goes on after it"


def test_services_that_do_not_start_end_the_check(tree: Tree) -> None:
    class Broken(Backend):
        @contextlib.contextmanager
        def services(self, wanted: Sequence[Service], placement: Placement) -> Iterator[Services]:
            raise MachineError("postgres could not be prepared")
            yield

    with pytest.raises(MachineError, match="postgres could not be prepared"):
        check(tree, [FLASK], Broken())


def test_whoever_stops_listening_ends_what_was_begun_and_begins_nothing_more(tree: Tree) -> None:
    every = [f"{app}+gunicorn-sync" for app in ("flask", "raw_wsgi", "bottle", "falcon", "pyramid", "cherrypy")]
    second, go_on = threading.Event(), threading.Event()

    def meets(stack: AnyStack) -> None:
        if stack.name == every[1]:
            second.set()
            assert go_on.wait(PATIENCE_S)

    class Over(threading.Event):
        """Lets the second go on only once no more are to be begun."""

        def set(self) -> None:
            super().set()
            go_on.set()

    backend = Backend(meets=meets)
    found = checks(tree, [tree.stacks[name] for name in every], parties(backend), lambda _: None)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(checking, "_Visits", lambda **given: VISITS(over=Over(), **given))
        assert next(found).stack == every[0]
        assert second.wait(PATIENCE_S)
        found.close()  # type: ignore[attr-defined]
    assert backend.started == backend.ended == every[:2]
    assert backend.closed == [0]
    assert not [
        thread
        for thread in threading.enumerate()
        if thread is not threading.main_thread() and thread.name.endswith("(make)")
    ]


VISITS = checking._Visits


def test_a_pair_that_is_declared_not_to_run_is_tried_and_may_not_keep_the_contract(tree: Tree) -> None:
    (name,) = [name for name in tree.stacks if name == "sanic+daphne"]
    found = check(tree, [name], Backend())[name]
    assert not found.passed
    assert found.outcome is not None
    (wrong,) = found.outcome.findings
    assert (wrong.rule, wrong.found) == ("cannot", "one that keeps the contract")

    def broken(**_asked: object) -> Outcome:
        return Outcome(findings=(Finding("json", "bytes", ok=False, expected="x", found="y"),), date=None)

    refused = check(tree, [name], Backend(), broken)[name]
    assert refused.passed
    assert refused.refused == tree.stacks[name].cannot
    assert refused.outcome is None
