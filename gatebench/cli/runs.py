"""The verb that measures: run."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import typer

from gatebench import plan, store
from gatebench.cli.terms import App, Backend, Root, Stacks, app, check_name, given, out, telling
from gatebench.errors import ContractError, GatebenchError, Interrupted, MachineError, UntrustedError, UsageError
from gatebench.model import Plan, Run, Session, Trial
from gatebench.own import NAME as OWN_SCENARIO
from gatebench.parties import Parties
from gatebench.plan.files import MOST_BLOCKS
from gatebench.progress import Watcher
from gatebench.run import Conductor, commit, now
from gatebench.session import Tree, Wish, opened, parties
from gatebench.stacks import everything
from gatebench.store import Writer
from gatebench.toml import find

GOES_ON_WITH = ("resume", "minutes", "root")  # what may be said of a session that goes on


@app.command()
def run(  # noqa: PLR0917 - options, which typer gives by name
    ctx: typer.Context,
    plan_name: Annotated[
        str | None,
        typer.Option("--plan", help="A plan of scenarios/plans/.", show_default="flagship; quick for an --app"),
    ] = None,
    stack: Stacks = None,
    scenario: Annotated[
        list[str] | None, typer.Option("--scenario", help="Only this scenario; may be given again.")
    ] = None,
    backend: Backend = "auto",
    generator: Annotated[
        str, typer.Option(help="process; or container, where the host cannot share its network with containers.")
    ] = "process",
    network: Annotated[
        str | None, typer.Option(help="host or bridge, for containers.", show_default="the plan's")
    ] = None,
    own: App = None,
    folder: Annotated[Path, typer.Option("--out", help="Where the results file goes.")] = Path("results"),
    session: Annotated[
        str | None, typer.Option(help="The results file's name.", show_default="plan, time and chance")
    ] = None,
    part: Annotated[
        list[str] | None, typer.Option("--part", help="Only this part of the plan; may be given again.")
    ] = None,
    blocks: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_BLOCKS, help="How often each cell is measured.", show_default="the plan's"),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Begin no trial after so many minutes; --resume goes on.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with this results file, after its last trial.", show_default=False)
    ] = None,
    root: Root = Path(),
) -> None:
    """Measure a plan, trial by trial, into one results file; `gatebench report` makes the page from it."""
    check_name(session)
    before = None
    if resume is not None:
        if others := [option for name, option in given(ctx).items() if name not in GOES_ON_WITH]:
            raise UsageError(f"--resume goes on with what its file says; leave out {', '.join(others)}.")
        before = _interrupted(resume)
        if before is None:
            _say(f"{resume} has all its trials; there is nothing to go on with.")
            return
        backend, generator = before.backend, str(before.surroundings.get("generator", "process"))
    tree = Tree.load(root.resolve(), own)
    asked = _Asked(stacks=stack or (), scenarios=scenario or (), parts=part or ())
    wanted = before.plan if before else _wanted(tree, plan_name, asked, own)
    if blocks is not None:
        wanted = plan.in_blocks(wanted, blocks)
    if network is not None:
        if backend in {"process", "fake"}:
            raise UsageError(f"--network is for containers; leave it out with --backend {backend}.")
        wanted = plan.networked(wanted, network)
    plan.check(wanted, tree.stacks, tree.scenarios)
    done = {(run.block, run.part, run.stack, run.scenario, run.load) for run in before.runs} if before else set()
    left = [
        trial
        for trial in plan.trials(wanted)
        if (trial.block, trial.part, trial.stack, trial.scenario, str(trial.load)) not in done
    ]
    with out.status("starting") as status:
        told = telling(status)
        wish = Wish(backend=backend, generator=generator, python=wanted.python, container=wanted.container)
        with (
            parties(tree.root, wish, told) as who,
            _able(tree, who, stack or ()),
            opened(tree, wanted, who, name=session, before=before, told=told) as (header, conductor),
        ):
            status.stop()
            with _writer(resume, folder, header, tree) as writer:
                shared = header.placement.shared
                apart = f"; {shared}" if shared else ""
                _say(
                    f"{len(left)} trials of plan {wanted.name}, backend {_described(header)}{apart}; "
                    f"results go to {writer.path}"
                )
                tally = _measured(conductor, left, writer, minutes)
    if tally.trials < len(left):
        _say(f"{len(left) - tally.trials} trials are left: `gatebench run --resume {writer.path}` goes on.")
    tally.judge()


def _say(text: str) -> None:
    out.print(text, soft_wrap=True, highlight=False, markup=False)


def _interrupted(path: Path) -> Session | None:
    """Read a session that can be gone on with; None where it is whole."""
    found = store.read(path)
    if found.ended_at is not None and not found.interrupted:
        return None
    if found.gate is not None:
        raise UsageError(f"{path} is a gate's, which is measured in one go; `gatebench gate {path}` judges it.")
    if OWN_SCENARIO in found.scenarios:
        raise UsageError(f"{path} is of an app of your own, which is measured in one go; begin another session.")
    return found


def _writer(resume: Path | None, folder: Path, header: Session, tree: Tree) -> Writer:
    if resume is None:
        return Writer.new(folder / f"{header.name}.jsonl", header)
    return Writer.again(resume, at=now(), commit=commit(tree.root))


@dataclass(slots=True)
class _Tally:
    """What became of the trials, without keeping them: a session may have thousands."""

    trials: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    windows_s: float = 0.0
    elapsed_s: float = 0.0
    faults: dict[str, dict[str, None]] = field(default_factory=dict)  # kind -> what was said, each once
    reasons: dict[str, None] = field(default_factory=dict)

    def add(self, run: Run) -> None:
        self.trials += 1
        self.statuses[run.status] += 1
        self.windows_s += run.window_s or 0.0
        self.elapsed_s += run.elapsed_s or 0.0
        if run.fault:
            self.faults.setdefault(run.fault, {})[f"{run.stack}: {run.reason}"] = None
        if run.reason:
            self.reasons[run.reason] = None

    def judge(self) -> None:
        """Say it, and raise where it is a failure."""
        share = ""
        if self.windows_s < self.elapsed_s:  # invented windows take no time
            share = f"; {self.windows_s / self.elapsed_s:.0%} of the time was spent in measuring windows"
        ok, void, failed = (self.statuses[status] for status in ("ok", "void", "failed"))
        _say(f"{ok} trials are valid, {void} void, {failed} failed{share}.")
        for fault, kind in (("machine", MachineError), ("contract", ContractError)):
            if said := self.faults.get(fault):
                raise kind("; ".join(said))
        if not ok and self.trials:
            raise UntrustedError(f"No trial is valid: {'; '.join(list(self.reasons)[:3])}")


def _measured(conductor: Conductor, left: Sequence[Trial], writer: Writer, minutes: float | None) -> _Tally:
    """Make the trials, as far as time allows; what was made is kept, however it ends."""
    tally = _Tally()
    until = None if minutes is None else time.monotonic() + 60 * minutes
    in_time = itertools.takewhile(lambda _: until is None or time.monotonic() < until, left)
    with Watcher(out, len(left)) as watcher:
        try:
            for one in conductor.runs(in_time, watcher.begun):
                writer.add(one)
                tally.add(one)
                watcher.ended(one)
        except (Interrupted, GatebenchError) as error:
            with contextlib.suppress(MachineError):  # a full disk has been told already
                writer.end(ended_at=now(), interrupted=True)
            if isinstance(error, Interrupted):
                own = OWN_SCENARIO in conductor.scenarios  # which nothing resumes
                goes_on = "" if own else f": `gatebench run --resume {writer.path}` goes on"
                raise Interrupted(f"{error} What was measured is kept{goes_on}.") from None
            raise
    writer.end(ended_at=now(), interrupted=tally.trials < len(left))
    return tally


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What of a plan was asked for; nothing where all of it is."""

    stacks: Sequence[str]
    scenarios: Sequence[str]
    parts: Sequence[str]


def _wanted(tree: Tree, name: str | None, asked: _Asked, own: Path | None) -> Plan:
    """Give the plan that was asked for: by its name, of these stacks and scenarios, or of somebody's own app."""
    loaded = plan.load(tree.root, name or ("quick" if own else "flagship"))
    if not own:
        return plan.narrow(loaded, asked.stacks, asked.scenarios, asked.parts)
    if asked.scenarios or asked.parts:
        raise UsageError(
            "An app of your own has one scenario, the paths of its app.toml; leave --scenario and --part out."
        )
    every = [one.name for one in everything(tree.stacks)]
    return replace(plan.of_own(loaded, asked.stacks or every, OWN_SCENARIO), title=tree.scenarios[OWN_SCENARIO].title)


@contextlib.contextmanager
def _able(tree: Tree, who: Parties, named: Sequence[str]) -> Iterator[None]:
    """Refuse what was asked for by name and cannot run here; what a plan names is listed as such instead."""
    for name in named:
        stack = find("stack", name, tree.stacks)
        if stack.cannot:
            raise UsageError(f"{name} cannot run: {stack.cannot}.")
        if lacking := who.backend.missing(stack):
            raise MachineError(lacking)
    yield


def _described(header: Session) -> str:
    """Say in a few words which backend it is, and why it was chosen where that was left to us."""
    facts = [
        f"{header.surroundings[name]}{after}"
        for name, after in (("chosen since", ""), ("network", " network"))
        if name in header.surroundings
    ]
    if header.surroundings.get("generator") == "container":
        facts.append("generator in a container")
    return f"{header.backend} ({', '.join(facts)})" if facts else header.backend
