"""A generator that is the limit is found out: throttled by a busy loop on its CPU, through the real conductor."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import psutil
import pytest

from gatebench import fake, machine, plan
from gatebench.backends.process import ProcessBackend
from gatebench.backends.programs import Serving, scratch_folder
from gatebench.backends.services import Services
from gatebench.generator import Driver, Figures, Generator, Job
from gatebench.generator.process import Locust
from gatebench.model import AnyStack, Load, Measure, Placement, Plan, Run, Setting
from gatebench.parties import Parties
from gatebench.run import Conductor
from gatebench.session import Tree, Wish, opened, parties
from gatebench.validity import GENERATOR_DELAY, NEIGHBOUR_VOID, SERVER_FULL

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(len(machine.usable_cpus()) < 2, reason="server and generator share the only CPU"),
]

MOVED = 0.05
TRIALS, MOST = 3, 6  # those that neighbours have left alone, and all
STARVING = 20  # loops: with a tenth of its CPU the generator still keeps a slow stack full
STACK = "fastapi+uvicorn"
PLAN = Plan.alone(
    name="throttle",
    title="Throttled",
    stacks=(STACK,),
    measures=(Measure(scenario="plain", load=Load(kind="closed", size=64)),),
    blocks=MOST,
    seed=11,
    window_s=0.6,
    warmup_slice_s=0.2,
    warmup_limit_s=0.6,
)
SPIN = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"


@contextmanager
def busy(cpus: tuple[int, ...], loops: int) -> Iterator[None]:
    """Have so many loops spin on each of these CPUs, each in a session of its own: some kernels share by session."""
    with ExitStack() as stack:
        for cpu in cpus * loops:
            spin = [sys.executable, "-I", "-S", "-c", SPIN, str(cpu)]
            loop = stack.enter_context(subprocess.Popen(spin, start_new_session=True))
            stack.callback(loop.kill)
        yield


def wait_until_idle(pid: int) -> None:
    """Wait until a process has spent nothing for a while: beside so many loops its imports would take a minute."""
    process, before = psutil.Process(pid), -1.0
    while (spent := sum(process.cpu_times()[:2])) != before:
        before = spent
        time.sleep(0.05)


@dataclass
class Throttled:
    """A generator that has loops beside it on its CPU while it measures, and not while it starts."""

    driver: Driver
    loops: int
    name: str = "throttled"

    @contextmanager
    def start(self, placement: Placement) -> Iterator[Generator]:
        with self.driver.start(placement) as generator:
            yield Beside(generator.pids, generator, placement.generator, self.loops)


@dataclass
class Beside:
    pids: tuple[int, ...]
    generator: Generator
    cpus: tuple[int, ...]
    loops: int

    def measure(self, job: Job) -> Figures:
        wait_until_idle(self.pids[0])
        with busy(self.cpus, self.loops):
            return self.generator.measure(job)


def rate(run: Run) -> float:
    assert run.requests is not None, run.reason
    assert run.window_s
    return run.requests / run.window_s


def disturbed(run: Run, loops: int) -> bool:
    """Say whether neighbours took what voids a trial: of the server's CPU, or, without loops, of the generator's."""
    server = (run.server_busy_share or 0) - (run.server_cpu_share or 0)
    generator = (run.generator_busy_share or 0) - (run.generator_cpu_share or 0)
    starved = generator > NEIGHBOUR_VOID or (run.generator_delay_share or 0) > GENERATOR_DELAY
    return server > NEIGHBOUR_VOID or (not loops and starved)


@dataclass(frozen=True)
class Tried:
    """The same trials, by how many loops were busy on the generator's CPU."""

    runs: Mapping[int, list[Run]]

    def moved(self, loops: int) -> list[Run]:
        """The trials whose rate is another than without loops."""
        usual = median(map(rate, self.runs[0]))
        return [run for run in self.runs[loops] if abs(rate(run) / usual - 1) > MOVED]


def tried(tree: Tree, who: Parties, *loops: int) -> Tried:
    with opened(tree, PLAN, who, name="throttle", told=lambda _: None) as (_, conductor):
        return Tried({count: measured(conductor, count) for count in loops})


def measured(conductor: Conductor, loops: int) -> list[Run]:
    """Make trials until neighbours have left alone as many as it takes; skip the test where they do not."""
    throttled = replace(
        conductor, parties=replace(conductor.parties, driver=Throttled(conductor.parties.driver, loops))
    )
    kept: list[Run] = []
    for trial in plan.trials(PLAN):
        run = throttled.measure(trial)
        if not disturbed(run, loops):
            kept.append(run)
        if len(kept) == TRIALS:
            return kept
    pytest.skip(f"neighbours disturbed {MOST - len(kept)} of {MOST} trials")


@pytest.fixture(scope="module")
def slow_stack(root: Path) -> Tried:
    with parties(root, Wish(backend="process")) as who:
        return tried(Tree.load(root), who, 0, STARVING)


def told(runs: list[Run]) -> str:
    return "\n".join(
        f"{rate(run):.0f}/s {run.status}: {run.reason}; server {run.server_busy_share} {run.server_cpu_share}, "
        f"generator {run.generator_busy_share} {run.generator_cpu_share}, delay {run.generator_delay_share}, "
        f"ceiling {run.generator_ceiling_share}, steal {run.steal_share}"
        for run in runs
    )


def test_no_trial_of_a_slow_stack_is_void_without_a_throttle(slow_stack: Tried) -> None:
    runs = slow_stack.runs[0]
    assert all(run.status == "ok" for run in runs), told(runs)


def test_every_trial_of_a_slow_stack_that_a_throttle_has_moved_is_void(slow_stack: Tried) -> None:
    runs, moved = slow_stack.runs[STARVING], slow_stack.moved(STARVING)
    assert len(moved) == len(runs), told(runs)
    assert all(run.status == "void" for run in moved), told(moved)
    assert all("the generator may have been the limit" in (run.reason or "") for run in moved), told(moved)


class Nothing(ProcessBackend):
    """The do-nothing server in the place of every stack."""

    def prepare(self, stack: AnyStack) -> Mapping[str, Mapping[str, Setting]]:
        return {}

    @contextmanager
    def serve(self, stack: AnyStack, placement: Placement, services: Services) -> Iterator[Serving]:
        with self.serve_nothing(placement, close=False, websocket=False) as serving:
            yield serving


def test_a_server_that_does_nothing_shows_the_generator_as_the_limit(root: Path) -> None:
    with scratch_folder() as scratch:
        who = fake.parties(backend=Nothing(root=root, scratch=scratch), driver=Locust(scratch=scratch))
        seen = tried(Tree.load(root), who, 0, 1)
    runs = seen.runs[1]
    assert len(seen.moved(1)) == len(runs), told(runs)
    assert all(run.status == "void" for run in runs), told(runs)
    unlimited = [run for run in seen.runs[0] if (run.server_busy_share or 0) < SERVER_FULL]
    assert all(run.status == "void" for run in unlimited), told(unlimited)
    assert all("do-nothing server" in (run.reason or "") for run in unlimited), told(unlimited)
