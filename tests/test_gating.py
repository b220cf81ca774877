"""A gate from what is wanted to its verdict, with parties that are made up: arms, costs, noise and the clock."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gatebench import fake, plan
from gatebench.arms import Arm
from gatebench.backends.programs import Serving
from gatebench.backends.resources import Reading
from gatebench.backends.services import Services
from gatebench.contract import Finding, Outcome
from gatebench.errors import ContractError, GatebenchError, MachineError, UsageError
from gatebench.gate import MARGINS, judge, sameness
from gatebench.gating import Wanted, failure, final, gated, laid_down, planned
from gatebench.generator import Figures, Job
from gatebench.model import AnyStack, Choice, Judgement, Load, Measure, Placement, Run, Session, Setting, Stack, Trial
from gatebench.parties import Contract
from gatebench.session import Tree, opened
from gatebench.store import Writer, read

STACK = "flask+gunicorn-gthread"
BASE, HEAD, AGAIN = f"base:{STACK}", f"head:{STACK}", f"again:{STACK}"
CPU = "cpu_us_per_request"
ALIKE = "Base and head are the same: "
BLOCK_S = 3.0  # what a duet takes, and a block of one scenario, by the clock that is made up


@dataclass
class Clock:
    """Goes on only where a server is started."""

    at: float = 100.0

    def __call__(self) -> float:
        return self.at


@dataclass
class Watching(fake._Watch):
    """Says that a server used so many times the CPU-seconds that a base does."""

    factor: float = 1.0

    def read(self, start: float, end: float) -> Reading:
        seen = super().read(start, end)
        server = replace(seen.usage["server"], cpu_s=0.48 * (end - start) * self.factor)
        return replace(seen, usage={**seen.usage, "server": server})


@dataclass
class Costing(fake.FakeBackend):
    """A backend whose head costs a factor of what its base does, with noise; each start takes its time."""

    head: float = 1.0
    noise: float = 0.01
    block_s: float = BLOCK_S
    clock: Clock = field(default_factory=Clock)
    starts: int = 0
    breaks: Callable[[AnyStack, int], bool] = lambda stack, start: False
    error: type[GatebenchError] = MachineError
    versions: Mapping[str, Setting] = field(default_factory=lambda: {"python": "3.11.9"})

    def prepare(self, stack: AnyStack) -> Mapping[str, Mapping[str, Setting]]:
        return {"versions": self.versions, "image": {"image": f"gatebench:{stack.name}"}}

    @contextlib.contextmanager
    def serve(self, stack: AnyStack, placement: Placement, services: Services) -> Iterator[Serving]:
        self.starts += 1
        self.clock.at += self.block_s / 2
        if self.breaks(stack, self.starts):
            raise self.error("It ended at once with exit code 1: no module named web")
        with super().serve(stack, placement, services) as serving:
            yield serving

    def watch(self, placement: Placement, serving: Serving, services: Services, generator: Sequence[int]) -> Watching:
        stack = self.at(serving.host)
        assert isinstance(stack, Stack)
        noise = random.Random(f"{self.starts} {stack.name}").lognormvariate(0, self.noise)
        return Watching(stack, noise * (self.head if stack.arm == "head" else 1.0))


@dataclass
class Made:
    """A gate that was made up: what it declared, what it measured, what it said meanwhile."""

    header: Session
    runs: list[Run]
    warnings: list[str]
    begun: list[Trial]

    @property
    def session(self) -> Session:
        return replace(self.header, runs=tuple(self.runs))

    @property
    def judgement(self) -> Judgement:
        return judge(self.session)

    @property
    def others(self) -> list[str]:
        """Warnings of anything but that both arms are of the same tree."""
        return [text for text in self.warnings if not text.startswith(ALIKE)]

    def blocks(self, part: str = "gate") -> list[int]:
        return sorted({run.block for run in self.runs if run.part == part})


def with_arms(tree: Tree, name: str) -> Tree:
    stacks = [replace(tree.stacks.one(name), arm=arm) for arm in ("base", "head", "again")]
    return replace(tree, stacks=replace(tree.stacks, arms={stack.name: stack for stack in stacks}))


@pytest.fixture(scope="module")
def tree(root: Path) -> Tree:
    return with_arms(Tree.load(root), STACK)


def wanted(tree: Tree, **changes: object) -> Wanted:
    arms = {str(stack.arm): stack for stack in tree.stacks.arms.values()}
    usual = Wanted(
        base=Arm(stack=arms["base"], words="commit 1a2b"),
        head=Arm(stack=arms["head"], words="the working tree"),
        scenarios=(),
        leading=CPU,
        margins=MARGINS,
        budget_s=200.0,
        confirm=True,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def made(
    tree: Tree,
    backend: Costing | None = None,
    *,
    contract: Contract = fake.contract,
    driver: Callable[[Costing], fake.FakeDriver] = lambda backend: fake.FakeDriver(backend=backend),
    meanwhile: Callable[[Trial], None] = lambda trial: None,
    practised: Callable[[Session], Session] = lambda header: header,
    seed: int | None = None,
    **changes: object,
) -> Made:
    """Go through a gate; `meanwhile` is told of each trial, `practised` of the header when the practice is over."""
    backend = backend or Costing()
    asked = wanted(tree, **changes)
    laid = planned(tree, asked)
    laid = laid if seed is None else replace(laid, seed=seed)
    who = fake.parties(backend=backend, driver=driver(backend), contract=contract)
    warnings: list[str] = []
    begun: list[Trial] = []
    with opened(tree, laid, who, name="s", told=lambda _: None) as (opening, conductor):
        header = practised(laid_down(conductor, asked, opening, warned=warnings.append, now=backend.clock))

        def told(trial: Trial) -> None:
            begun.append(trial)
            meanwhile(trial)

        runs = list(gated(conductor, header, told, backend.clock))
    return Made(header=header, runs=runs, warnings=warnings, begun=begun)


def test_identical_arms_pass_before_all_blocks_are_used(tree: Tree) -> None:
    found = made(tree)
    assert found.header.gate is not None
    assert found.judgement.word == "pass"
    assert len(found.blocks()) in found.header.gate.looks[:-1]
    assert not found.blocks("gate.confirm")
    assert not found.others


def as_head(tree: Tree, head: Stack) -> Tree:
    arms = {name: head if stack.arm == "head" else stack for name, stack in tree.stacks.arms.items()}
    return replace(tree, stacks=replace(tree.stacks, arms={stack.name: stack for stack in arms.values()}))


def copied(tree: Tree, folder: Path) -> Stack:
    """The head from another folder that holds the same."""
    stack = tree.stacks.arms[HEAD]
    for name in (stack.app.name, "work"):
        shutil.copytree(stack.app.folder.parent / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return replace(stack, app=replace(stack.app, folder=folder / stack.app.name))


def test_arms_that_hold_the_same_are_told_to_be_the_same_before_and_after(tree: Tree) -> None:
    found = made(tree, blocks=10)
    assert [text for text in found.warnings if text.startswith(ALIKE)] == [found.judgement.warnings[0]]


def test_another_folder_or_a_setting_that_comes_to_the_same_is_told_to_be_the_same(
    tree: Tree, tmp_path: Path
) -> None:
    usual = tree.stacks.arms[HEAD]
    threads = usual.settings["threads"]
    for head in (copied(tree, tmp_path), replace(usual, given={"threads": threads})):
        found = made(as_head(tree, head), blocks=10)
        assert any(text.startswith(ALIKE) for text in found.judgement.warnings), head.name


def test_arms_that_differ_in_a_file_a_setting_a_profile_or_a_stack_are_not_told_to_be_the_same(
    tree: Tree, tmp_path: Path
) -> None:
    usual, elsewhere = tree.stacks.arms[HEAD], copied(tree, tmp_path)
    with (elsewhere.app.folder.parent / "work" / "new.py").open("w") as file:
        file.write("slower = True\n")
    tuned = next(iter(usual.server.profiles))
    others = [elsewhere, replace(usual, given={"threads": 3}), replace(usual, profile=tuned)]
    others += [replace(tree.stacks.one("django+gunicorn-gthread"), arm="head")]
    others += [replace(usual, choices=(*usual.choices, Choice(axis="colour", value="red")))]
    for head in others:
        found = made(as_head(tree, head), blocks=10)
        assert not any(text.startswith(ALIKE) for text in (*found.warnings, *found.judgement.warnings)), head.name


def test_arms_that_are_slowed_down_by_what_no_header_says_are_not_called_the_same(tree: Tree) -> None:
    session = made(tree, blocks=10).session
    assert session.gate is not None
    names = {HEAD: f"slow5:{STACK}"}
    renamed = replace(
        session,
        gate=replace(session.gate, head=names[HEAD], arms={**session.gate.arms, names[HEAD]: "slowed"}),
        stacks={names.get(name, name): known for name, known in session.stacks.items()},
        declared={what.replace(" head", " slow5"): digest for what, digest in session.declared.items()},
    )
    assert sameness(session)
    assert not sameness(renamed)


def test_a_file_that_does_not_say_what_its_arms_hold_does_not_call_them_the_same(tree: Tree) -> None:
    older = replace(made(tree, blocks=10).session, declared={})
    nothing_installed = made(tree, Costing(versions={}), blocks=10).session
    for session in (older, nothing_installed):
        assert not any(text.startswith(ALIKE) for text in judge(session).warnings)


def test_a_slower_head_fails_and_fresh_blocks_say_the_same(tree: Tree) -> None:
    found = made(tree, Costing(head=1.1))
    assert found.judgement.word == "fail"
    assert found.blocks("gate.confirm")
    assert [finding.word for finding in found.judgement.confirmation if finding.metric == CPU] == ["fail"]


def test_a_fail_that_fresh_blocks_do_not_confirm_is_unsure(tree: Tree) -> None:
    backend = Costing(head=1.1)

    def recovers(trial: Trial) -> None:
        backend.head = 1.0 if trial.part == "gate.confirm" else 1.1

    found = made(tree, backend, meanwhile=recovers)
    assert found.blocks("gate.confirm")
    assert found.judgement.word == "unsure"


def test_a_fail_that_is_not_to_be_confirmed_stands_by_itself(tree: Tree) -> None:
    found = made(tree, Costing(head=1.1), confirm=False)
    assert not found.blocks("gate.confirm")
    assert found.judgement.word == "fail"


def test_what_cannot_be_told_takes_all_blocks_and_is_unsure(tree: Tree) -> None:
    found = made(tree, Costing(head=1.025, noise=0.001), margins={CPU: 0.025})
    assert found.header.gate is not None
    assert len(found.blocks()) == found.header.gate.looks[-1]
    assert found.judgement.word == "unsure"


def test_time_running_out_gives_one_look_at_what_is_there(tree: Tree) -> None:
    backend = Costing()

    def slows(header: Session) -> Session:
        backend.block_s = 5 * BLOCK_S
        return header

    found = made(tree, backend, practised=slows, margins={CPU: 0.1})
    assert found.header.gate is not None
    assert len(found.blocks()) == 10  # and four of the base beside itself: 14 times 15 s are more than 200 s
    assert len(found.blocks()) < found.header.gate.looks[0]
    assert found.judgement.look == 1
    assert found.judgement.word == "pass"


def test_as_many_blocks_are_declared_as_the_budget_is_enough_for(tree: Tree) -> None:
    found = made(tree, budget_s=60 * BLOCK_S, margins={CPU: 0.025})
    assert found.header.gate is not None
    assert found.header.gate.looks[-1] == 45  # with fifteen of the base beside itself
    assert {part.name: part.blocks for part in found.header.plan.parts} == {
        "gate": 45,
        "gate.again": 15,
        "gate.confirm": 45,
    }
    two = made(tree, scenarios=("plain", "json"), budget_s=60 * BLOCK_S, margins={CPU: 0.025})
    assert two.header.gate is not None
    assert two.header.gate.looks[-1] == 22  # a block takes twice as long, and eight are of the base beside itself


class Slow(fake.FakeDriver):
    """A driver to whom few requests are answered."""

    def measure(self, job: Job) -> Figures:
        return replace(super().measure(job), requests=round(400 * job.window_s))


@pytest.mark.parametrize(
    ("margins", "window_s"),
    [({CPU: 0.025, "response_p99_s": 0.25}, 3.2), ({CPU: 0.025}, 1.0)],
    ids=["p99", "without"],
)
def test_windows_are_as_long_as_the_p99_of_the_slowest_arm_needs(
    tree: Tree, margins: Mapping[str, float], window_s: float
) -> None:
    found = made(tree, driver=lambda backend: Slow(backend=backend), margins=margins, budget_s=60 * BLOCK_S)
    assert {part.window_s for part in found.header.plan.parts} == {window_s}
    assert {round(run.window_s or 0, 3) for run in found.runs} == {window_s}
    assert found.header.gate is not None
    assert found.header.gate.looks[-1] == (45 if window_s == 1.0 else 25), "a block takes so much longer"


def test_no_gate_declares_more_blocks_than_the_most(tree: Tree) -> None:
    found = made(tree, budget_s=1e6)
    assert found.header.gate is not None
    assert found.header.gate.looks[-1] == 200


def test_so_many_blocks_as_were_asked_for_are_made_whatever_the_budget(tree: Tree) -> None:
    found = made(tree, Costing(head=1.025, noise=0.001), blocks=12, budget_s=1.0, margins={CPU: 0.025})
    assert len(found.blocks()) == 12
    assert not found.others


def test_a_budget_too_small_for_the_fewest_blocks_is_told_and_decides_nothing(tree: Tree) -> None:
    found = made(tree, budget_s=4 * BLOCK_S, margins={CPU: 0.025})
    (warning,) = found.others
    assert "The budget of 12 s is too small: a block takes about 3.0 s" in warning
    assert "42 s" in warning
    assert len(found.blocks()) < 10
    assert found.judgement.word == "unsure"


def test_the_practice_is_not_kept_and_costs_no_budget(tree: Tree) -> None:
    backend = Costing()
    before: list[float] = []

    def practised(header: Session) -> Session:
        before.append(backend.clock.at)
        assert backend.starts == 2 * (1 + 2)  # one duet for warming, and one of each scenario
        return header

    found = made(tree, backend, practised=practised, scenarios=("plain", "json"))
    assert [run.number for run in found.runs] == list(range(len(found.runs)))
    assert len(found.runs) == backend.starts - 6
    assert backend.clock.at - before[0] == sum(run.elapsed_s or 0.0 for run in found.runs) / 2


def test_the_blocks_of_each_part_count_from_0_and_are_those_of_every_scenario_and_both_arms(tree: Tree) -> None:
    found = made(tree, Costing(head=1.1), scenarios=("plain", "json"), budget_s=400.0)
    arms = {"gate": {BASE, HEAD}, "gate.again": {BASE, AGAIN}, "gate.confirm": {BASE, HEAD}}
    for part, stacks in arms.items():
        blocks = found.blocks(part)
        assert blocks == list(range(len(blocks)))
        for block in blocks:
            cells = [(run.scenario, run.stack) for run in found.runs if (run.part, run.block) == (part, block)]
            assert len(cells) == len(set(cells))
            assert set(cells) == {(scenario, stack) for scenario in ("plain", "json") for stack in stacks}


def test_every_third_block_has_one_of_the_base_beside_itself_before_it_the_first_among_them(tree: Tree) -> None:
    found = made(tree, Costing(head=1.025, noise=0.001), blocks=12, margins={CPU: 0.025})
    blocks = list(dict.fromkeys((run.part, run.block) for run in found.runs))
    assert blocks[:8] == [
        ("gate.again", 0),
        ("gate", 0),
        ("gate", 1),
        ("gate", 2),
        ("gate.again", 1),
        ("gate", 3),
        ("gate", 4),
        ("gate", 5),
    ]


def order(found: Made) -> list[tuple[str | None, str, str, int]]:
    return [(trial.part, trial.stack, trial.scenario, trial.seed) for trial in found.begun]


def test_the_same_seed_lays_down_the_same_order_and_another_another(tree: Tree) -> None:
    first, again, other = (order(made(tree, scenarios=("plain", "json"), blocks=10, seed=seed)) for seed in (7, 7, 8))
    assert first == again
    assert [each[1] for each in first] != [each[1] for each in other]
    assert {each[1] for each in first[::2]} == {BASE, HEAD, AGAIN}, "each arm is the first at times"
    assert len({each[3] for each in first}) == len(first)


def test_trials_are_told_before_they_begin_and_runs_come_in_their_order(tree: Tree) -> None:
    found = made(tree, blocks=10)
    assert [(run.number, run.part, run.block, run.stack, run.seed) for run in found.runs] == [
        (trial.number, trial.part, trial.block, trial.stack, trial.seed) for trial in found.begun
    ]


@pytest.mark.parametrize("head", [1.0, 1.025, 1.1])
def test_a_written_file_is_judged_exactly_as_it_was_live(tree: Tree, tmp_path: Path, head: float) -> None:
    found = made(tree, Costing(head=head))
    path = tmp_path / "gate.jsonl"
    with Writer.new(path, found.header) as writer:
        for run in found.runs:
            writer.add(run)
        writer.end(ended_at="2026-01-31T12:00:00Z", interrupted=False)
    assert judge(read(path)) == found.judgement


@dataclass
class Breaking:
    """A contract of which an arm breaks a route, once it has been spoken so many times to whomever."""

    arms: str
    after: int = 0
    backend: Costing = field(default_factory=Costing)
    spoken: int = 0

    def __call__(self, **asked: Any) -> Outcome:
        self.spoken += 1
        stack = self.backend.at(asked["host"])
        assert isinstance(stack, Stack)
        broken = str(stack.arm) in self.arms.split() and self.spoken > self.after
        return Outcome(findings=(Finding("plaintext", "bytes", not broken, "Hello", "Bye"),), date=None)


def failed_in_practice(found: Made) -> GatebenchError:
    """Give the error of a gate that ended with its practice, which is kept, without a word of its time."""
    assert found.header.gate is not None
    assert not found.begun, "no more is begun"
    assert not found.others
    assert [(run.number, run.block, run.part) for run in found.runs] == [(0, 0, "gate"), (1, 0, "gate")]
    assert {run.stack for run in found.runs} == {BASE, HEAD}
    (error,) = filter(None, (failure(run, found.header.gate.arms) for run in found.runs))
    return error


def test_an_arm_that_fails_its_contract_in_the_practice_is_kept_and_is_all_there_is(tree: Tree) -> None:
    breaking = Breaking("head")
    found = made(tree, breaking.backend, contract=breaking)
    error = failed_in_practice(found)
    assert isinstance(error, ContractError)
    assert str(error).startswith(f"{HEAD} (the working tree) fails its contract on plain: ")
    assert found.judgement.broken
    sentence = found.judgement.sentence
    assert f"{HEAD} (the working tree) failed the contract in 1 of 1 trials, base in 0 of 1" in sentence
    assert "expected Hello" in sentence


def test_an_arm_that_fails_its_contract_later_is_kept_and_is_the_last(tree: Tree) -> None:
    # A head that goes from the first contract of a duet on, so that nothing of it is measured.
    breaking = Breaking("head", after=4 * (2 + 7))
    found = made(tree, breaking.backend, contract=breaking, blocks=40)
    last = next(run for run in found.runs if final(run))
    assert (last.stack, last.fault) == (HEAD, "contract")
    assert {run.stack for run in found.runs[-2:]} == {BASE, HEAD}
    assert last in found.runs[-2:]
    assert not any(final(run) for run in found.runs[:-2])
    assert found.header.gate is not None
    assert isinstance(failure(last, found.header.gate.arms), ContractError)


def test_where_both_arms_fail_their_contract_head_is_not_blamed_alone(tree: Tree) -> None:
    breaking = Breaking("base head")
    found = made(tree, breaking.backend, contract=breaking)
    assert [run.fault for run in found.runs] == ["contract", "contract"]
    said = "Both arms failed the contract, base in 1 of 1 trials and head in 1 of 1: plaintext breaks"
    assert said in found.judgement.sentence


def test_of_a_base_that_could_not_be_tried_it_is_not_said_that_it_kept_its_contract(tree: Tree) -> None:
    backend = Costing(breaks=lambda stack, _: isinstance(stack, Stack) and stack.arm == "base")
    found = made(tree, backend, contract=Breaking("head", backend=backend))
    assert {run.stack: run.fault for run in found.runs} == {BASE: "machine", HEAD: "contract"}
    assert "failed the contract in 1 of 1 trials, base could not be tried: " in found.judgement.sentence


def test_an_arm_that_does_not_start_ends_the_gate_by_its_name(tree: Tree) -> None:
    backend = Costing(breaks=lambda stack, _: isinstance(stack, Stack) and stack.arm == "head")
    found = made(tree, backend, budget_s=1.0)
    error = failed_in_practice(found)
    assert isinstance(error, MachineError)
    assert str(error).startswith(f"{HEAD} (the working tree) could not be measured on plain: It ended at once")
    assert (found.judgement.word, found.judgement.broken) == ("unsure", None)


def test_an_arm_that_answers_otherwise_than_one_that_is_ready_fails_its_contract(tree: Tree) -> None:
    backend = Costing(breaks=lambda stack, _: isinstance(stack, Stack) and stack.arm == "head", error=ContractError)
    found = made(tree, backend)
    assert isinstance(failed_in_practice(found), ContractError)
    assert found.judgement.broken


def test_an_arm_that_does_not_start_any_more_is_not_tried_again(tree: Tree) -> None:
    backend = Costing(breaks=lambda _, start: start >= 20)
    found = made(tree, backend, blocks=40)
    assert backend.starts == 20
    assert [final(run) for run in found.runs[-2:]].count(True) == 1
    assert not any(final(run) for run in found.runs[:-2])


def test_an_arm_that_this_machine_lacks_a_program_for_is_not_practised(tree: Tree) -> None:
    class Lacking(Costing):
        def missing(self, wanted: object) -> str | None:
            lacks = isinstance(wanted, Stack) and wanted.arm == "head"
            return "web needs the program webd; `apt install webd` has it." if lacks else None

    backend = Lacking()
    with pytest.raises(MachineError, match=r"head:.* cannot run here: web needs the program webd"):
        made(tree, backend)
    assert not backend.starts


def test_a_scenario_that_an_arm_does_not_offer_is_the_users_mistake(tree: Tree) -> None:
    with pytest.raises(UsageError, match=r"gunicorn-sync .* cannot be measured on websocket: it offers no ws"):
        made(with_arms(tree, "raw_wsgi+gunicorn-sync"), scenarios=("websocket",))


@dataclass
class Refused(fake.FakeDriver):
    """A driver to whom hardly anything is answered, as long as it is told so."""

    until: float = float("inf")

    def measure(self, job: Job) -> Figures:
        seen = super().measure(job)
        assert isinstance(self.backend, Costing)
        return replace(seen, errors=seen.requests) if self.backend.clock.at < self.until else seen


@dataclass
class Wrong(fake.FakeDriver):
    """A driver to whom head answers wrongly in every second duet."""

    duets: int = 0

    def measure(self, job: Job) -> Figures:
        seen = super().measure(job)
        if not self.backend.serving:  # a server that does nothing
            return seen
        stack = self.backend.at(urlsplit(job.host).hostname or "")
        if not isinstance(stack, Stack) or stack.arm != "head":
            return seen
        self.duets += 1
        return replace(seen, errors=seen.requests) if self.duets % 2 == 0 else seen


def test_a_head_that_breaks_under_load_ends_the_gate_and_is_named(tree: Tree) -> None:
    found = made(tree, driver=lambda backend: Wrong(backend=backend))
    assert len(found.blocks()) == 4, "twice is enough"
    assert found.judgement.word == "fail"
    assert found.judgement.broken is not None
    assert found.judgement.broken.startswith("head:")
    assert not found.blocks("gate.confirm")


def test_a_gate_of_which_nothing_is_valid_gives_up_and_is_unsure(tree: Tree) -> None:
    found = made(tree, driver=lambda backend: Refused(backend=backend))
    assert {run.status for run in found.runs} == {"void"}
    assert len(found.blocks()) == 8
    assert found.judgement.word == "unsure"


def test_a_gate_that_is_disturbed_at_first_goes_on(tree: Tree) -> None:
    found = made(tree, driver=lambda backend: Refused(backend=backend, until=backend.clock.at + 9 * BLOCK_S))
    assert {run.status for run in found.runs} == {"void", "ok"}
    assert found.judgement.word == "pass"


def test_the_plan_gives_the_loads_that_it_has_and_the_usual_one_to_others(tree: Tree) -> None:
    measures: Mapping[tuple[str, ...], tuple[Measure, ...]] = {
        asked: planned(tree, wanted(tree, scenarios=asked)).measures for asked in ((), ("json",), ("plain", "json"))
    }
    usual = Measure(scenario="plain", load=Load.parse("closed(64)"))
    json = Measure(scenario="json", load=plan.DEFAULT_LOAD)
    assert measures == {(): (usual,), ("json",): (json,), ("plain", "json"): (usual, json)}


def test_the_plan_of_a_gate_has_its_three_parts_alike_but_for_their_arms(tree: Tree) -> None:
    laid = planned(tree, wanted(tree))
    assert {part.name: part.stacks for part in laid.parts} == {
        "gate": (BASE, HEAD),
        "gate.again": (BASE, AGAIN),
        "gate.confirm": (BASE, HEAD),
    }
    assert len({(part.measures, part.window_s, part.warmup_slice_s, part.warmup_limit_s) for part in laid.parts}) == 1


def test_a_scenario_that_is_not_there_is_named(tree: Tree) -> None:
    with pytest.raises(UsageError, match="plian"):
        planned(tree, wanted(tree, scenarios=("plian",)))


def test_somebodys_own_app_has_its_own_scenario_alone(tree: Tree) -> None:
    scenarios = {**tree.scenarios, "own": replace(tree.scenarios["plain"], name="own")}
    theirs = replace(tree, scenarios=scenarios)
    assert [measure.scenario for measure in planned(theirs, wanted(theirs)).measures] == ["own"]
    with pytest.raises(UsageError, match="leave --scenario out"):
        planned(theirs, wanted(theirs, scenarios=("plain",)))
