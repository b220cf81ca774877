"""Trials that are measured at the same time on the same CPUs: what they share, and what befalls one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gatebench import plan
from gatebench.backends.programs import Serving
from gatebench.backends.services import Services
from gatebench.contract import Finding, Outcome
from gatebench.errors import Interrupted, MachineError
from gatebench.fake import FakeBackend, FakeDriver, contract
from gatebench.fake import parties as invented
from gatebench.generator import Figures, Generator, Job
from gatebench.model import AnyStack, Load, Measure, Placement, Plan, Run
from gatebench.parties import Contract
from gatebench.session import Tree, opened

PLAN = Plan.alone(
    name="p",
    title="P",
    stacks=("flask+gunicorn-sync", "flask+gunicorn-gthread"),
    measures=(Measure(scenario="plain", load=Load(kind="closed", size=64)),),
    blocks=1,
    seed=5,
    window_s=1.0,
    warmup_slice_s=0.1,
    warmup_limit_s=1.0,
)


@dataclass
class Meeting(FakeDriver):
    """A driver whose generators wait for each other: that only ends where they are at work at the same time."""

    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(2, timeout=20))
    late_s: float = 0.0  # by which the second to come shifts its window
    fails: str | None = None  # the stack whose generator gives up
    jobs: list[Job] = field(default_factory=list)

    @contextlib.contextmanager
    def start(self, placement: Placement) -> Iterator[Generator]:
        yield self

    def measure(self, job: Job) -> Figures:
        self.jobs.append(job)
        place = self.meeting.wait()
        figures = super().measure(job)
        shift = self.late_s if place else 0.0
        if self.fails and self.stack(job).name == self.fails:
            raise MachineError("the generator was killed")
        return replace(figures, start_s=figures.start_s + shift, end_s=figures.end_s + shift)

    def stack(self, job: Job) -> AnyStack:
        return self.backend.at(urlsplit(job.host).hostname or "")


@dataclass
class Homes(FakeBackend):
    """A backend that counts who is up."""

    up: list[str] = field(default_factory=list)
    most: int = 0

    @contextlib.contextmanager
    def serve(self, stack: AnyStack, placement: Placement, services: Services) -> Iterator[Serving]:
        with super().serve(stack, placement, services) as serving:
            self.up.append(stack.name)
            self.most = max(self.most, len(self.up))
            try:
                yield serving
            finally:
                self.up.remove(stack.name)


@pytest.fixture(scope="module")
def tree(root: Path) -> Tree:
    return Tree.load(root)


def duet(tree: Tree, driver: Meeting, contract: Contract = contract) -> list[Run]:
    who = invented(backend=driver.backend, driver=driver, contract=contract)
    with opened(tree, PLAN, replace(who, streams=driver), name="s", told=lambda _: None) as (_, conductor):
        return conductor.together(plan.trials(PLAN))


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave calibration out: its generator would wait for another in vain."""
    monkeypatch.setattr("gatebench.session.ceilings_needed", lambda *_: {})


@pytest.mark.usefixtures("calm")
def test_both_servers_are_up_and_both_generators_at_work_at_the_same_time(tree: Tree) -> None:
    backend = Homes()
    found = duet(tree, Meeting(backend=backend))
    assert [run.status for run in found] == ["ok", "ok"]
    assert [run.number for run in found] == [0, 1]
    assert backend.most == 2
    assert not backend.up
    assert {run.stack for run in found} == set(PLAN.stacks)


@pytest.mark.usefixtures("calm")
def test_each_knows_what_the_other_used_of_the_servers_cpus(tree: Tree) -> None:
    for run in duet(tree, Meeting(backend=FakeBackend())):
        assert run.server_beside_share == pytest.approx(0.97)
        assert run.server_cpu_share == pytest.approx(0.97)


def test_a_trial_by_itself_has_nobody_beside_it(tree: Tree) -> None:
    fake = FakeBackend()
    who = invented(backend=fake, driver=FakeDriver(backend=fake))
    with opened(tree, PLAN, who, name="s", told=lambda _: None) as (_, conductor):
        assert conductor.measure(plan.trials(PLAN)[0]).server_beside_share is None


@pytest.mark.usefixtures("calm")
def test_who_was_loaded_alone_for_long_is_void(tree: Tree) -> None:
    early, late = (duet(tree, Meeting(backend=FakeBackend(), late_s=shift)) for shift in (0.05, 0.5))
    assert {run.status for run in early} == {"ok"}
    assert {run.status for run in late} == {"void"}  # the one at first, the other at last
    assert all("of its window of 1 s it had no other beside it" in (run.reason or "") for run in late)


@pytest.mark.usefixtures("calm")
def test_where_a_contract_fails_nobody_is_measured_and_the_other_says_why(tree: Tree) -> None:
    driver = Meeting(backend=FakeBackend())

    def check(**asked: object) -> Outcome:
        sync = driver.backend.at(str(asked["host"])).name == PLAN.stacks[0]
        return Outcome(findings=(Finding("plaintext", "bytes", not sync, "Hello", "Bye"),), date=None)

    found = {run.stack: run for run in duet(tree, driver, check)}
    broken, other = (found[name] for name in PLAN.stacks)
    assert (broken.status, broken.fault) == ("failed", "contract")
    assert (other.status, other.fault) == ("void", None)
    assert other.reason is not None
    assert PLAN.stacks[0] in other.reason
    assert "Bye" in other.reason
    assert not driver.jobs


@pytest.mark.usefixtures("calm")
def test_where_a_generator_fails_the_others_figures_are_void_and_all_servers_end(tree: Tree) -> None:
    backend = Homes()
    found = {run.stack: run for run in duet(tree, Meeting(backend=backend, fails=PLAN.stacks[1]))}
    assert (found[PLAN.stacks[1]].status, found[PLAN.stacks[1]].fault) == ("failed", "machine")
    assert found[PLAN.stacks[0]].status == "void"
    assert "the generator was killed" in (found[PLAN.stacks[0]].reason or "")
    assert not backend.up


@pytest.mark.usefixtures("calm")
def test_an_interruption_ends_all_servers_and_is_passed_on(tree: Tree) -> None:
    backend = Homes()

    class Ending(Meeting):
        def measure(self, job: Job) -> Figures:
            self.meeting.wait()
            raise Interrupted("Interrupted.")

    with pytest.raises(Interrupted):
        duet(tree, Ending(backend=backend))
    assert not backend.up
