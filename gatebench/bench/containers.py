"""The same stacks as processes and as containers, in turn: whether a container changes a figure, and by how much.

Knows sessions and how their trials are paired. Must not know how either backend starts anything.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from gatebench import metrics, records
from gatebench.bench.outcome import Outcome, Settings
from gatebench.errors import GatebenchError, MachineError
from gatebench.metrics import TIMES, show
from gatebench.model import Estimate, Load, Measure, Plan, Run, Session
from gatebench.plan import trials
from gatebench.run import Conductor
from gatebench.session import Tree, Wish, opened, parties
from gatebench.stats import median_interval, ratio

STACKS = ("flask+gunicorn-gthread", "fastapi+uvicorn")
COMPARED = ("rate_rps", "response_p50_s", "cpu_us_per_request", "pss_bytes")
FIGURES: dict[str, tuple[str, Callable[[Run], float | None]]] = {  # title -> unit, and how it is read
    **{metrics.TABLE[name][0].title: (metrics.TABLE[name][0].unit, metrics.TABLE[name][1]) for name in COMPARED},
    "Resident memory, peak": ("B", lambda run: run.server.rss_peak_bytes),
    "Start to first answer": ("s", lambda run: run.ready_s),
}
APART = 0.05  # more than this between process and container is to be explained
# An image's interpreter is seldom the harness's: the third arm tells what of a difference is Python's alone.
PROCESS, CONTAINER, ITS_PYTHON = "process", "container", "process, image's Python"

Arm = tuple[Session, Conductor]
Runs = dict[tuple[str, str], list[Run]]  # arm and stack -> a run each round


def containers(settings: Settings) -> Outcome:
    """Measure the stacks in each arm, round by round, in random order."""
    found = Outcome(
        title="The same stacks as processes and as containers on the host's network, on plain",
        headings=("stack", "figure", "against a", "process", "container", "container / process"),
    )
    tree = Tree.load(settings.root)
    wanted = Plan.alone(
        name="containers",
        title=found.title,
        stacks=STACKS,
        measures=(Measure(scenario="plain", load=Load(kind="closed", size=64)),),
        blocks=settings.rounds,
        seed=20261121,
        window_s=settings.seconds,
        warmup_slice_s=0.4,
        warmup_limit_s=2.4,
    )
    with contextlib.ExitStack() as stack:
        arms = {
            name: stack.enter_context(_opened(tree, wanted, Wish(backend=name), settings))
            for name in (CONTAINER, PROCESS)
        }
        versions = {name: str(header.stacks[STACKS[0]]["versions"]["python"]) for name, (header, _) in arms.items()}
        if versions[CONTAINER] != versions[PROCESS]:
            wish = Wish(backend="process", python=versions[CONTAINER])
            try:
                arms[ITS_PYTHON] = stack.enter_context(_opened(tree, wanted, wish, settings))
            except GatebenchError:
                found.notes.append(
                    f"Python {versions[CONTAINER]} of the image is not on this machine to compare with"
                )
        runs = _measured(wanted, arms, settings)
    found.notes.append(", ".join(f"{name}: Python {version}" for name, version in versions.items()))
    found.notes += [f"{key}: {value}" for key, value in arms[CONTAINER][0].surroundings.items()]
    found.records = [
        {"part": "containers", "arm": arm, **records.encode(run)} for (arm, _), made in runs.items() for run in made
    ]
    found.rows = [
        _row(runs, stack, title, against, settings.rounds)
        for stack in STACKS
        for title in FIGURES
        for against in (PROCESS, ITS_PYTHON)
        if against in arms
    ]
    return found


@contextlib.contextmanager
def _opened(tree: Tree, wanted: Plan, wish: Wish, settings: Settings) -> Iterator[Arm]:
    with (
        parties(tree.root, wish, settings.told) as who,
        opened(tree, wanted, who, placement=settings.placement, told=settings.told) as arm,
    ):
        yield arm


def _measured(wanted: Plan, arms: Mapping[str, Arm], settings: Settings) -> Runs:
    runs: Runs = {}
    chance = random.Random(wanted.seed)  # noqa: S311 - an order, not a secret
    for trial in trials(wanted):
        for arm in chance.sample(list(arms), len(arms)):
            settings.told(f"{trial.stack}, {arm}, round {trial.block + 1}")
            run = arms[arm][1].measure(trial)
            if run.status == "failed":
                raise MachineError(f"{arm}: {trial.stack}: {run.reason}")
            runs.setdefault((arm, trial.stack), []).append(run)
    return runs


def _row(runs: Runs, stack: str, title: str, against: str, rounds: int) -> tuple[str, ...]:
    unit, read = FIGURES[title]
    pairs = [
        (plain, contained)
        for first, second in zip(runs[against, stack], runs[CONTAINER, stack], strict=True)
        if first.status == second.status == "ok"
        and (plain := read(first)) is not None
        and (contained := read(second)) is not None
    ]
    if not pairs:
        return (stack, title, against, "-", "-", f"no valid pair of {rounds}")
    figures = (_shown([pair[side] for pair in pairs], unit) for side in (0, 1))
    return (stack, title, against, *figures, _told(ratio(pairs), len(pairs), rounds))


def _shown(values: Sequence[float], unit: str) -> str:
    return show(median_interval(values).value, unit)


def _told(found: Estimate | None, pairs: int, rounds: int) -> str:
    if found is None or found.low is None or found.high is None:
        return "one round shows no interval"
    said = f"{found.value:.3f}{TIMES} ({found.low:.3f} to {found.high:.3f})"
    missing = f", {pairs} of {rounds} rounds" if pairs < rounds else ""
    return said + missing + (", more than 5 % apart" if abs(found.value - 1) > APART else "")
