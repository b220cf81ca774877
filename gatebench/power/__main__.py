"""The command line of what the gate can tell: record blocks, run real gates, report what follows from both.

Exit codes: 0 done; 1 an arm failed the contract; 2 wrong usage; 3 nothing to be believed; 4 the machine; 130
interrupted.
"""

from __future__ import annotations

import secrets
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from gatebench import machine
from gatebench.errors import GatebenchError, Interrupted, UsageError
from gatebench.model import Run
from gatebench.power import living, recording, reporting
from gatebench.power.experiments import SEED, Settings
from gatebench.power.variants import VARIANTS
from gatebench.session import Wish
from gatebench.toml import find

FOLDER = Path("results/power")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
out = Console(highlight=False, soft_wrap=True, emoji=False)

Root = Annotated[Path, typer.Option("--root", help="The folder with apps/, compose/ and scenarios/.")]
Out = Annotated[Path, typer.Option("--out", help="The folder of recordings.")]
StackName = Annotated[str, typer.Option("--stack", help="The stack that is slowed down.")]
Scenario = Annotated[str, typer.Option("--scenario", help="What is asked of it.")]
Noise = Annotated[bool, typer.Option("--noise", help="With a neighbour that is busy in bursts on the server's CPUs.")]
Backend = Annotated[str, typer.Option("--backend", help="process, or fake: the pipeline with invented figures.")]
Seed = Annotated[int | None, typer.Option("--seed", help="What orders follow from; a new one each time.")]


@app.command()
def record(
    *,
    minutes: Annotated[float, typer.Option("--minutes", min=0.1, help="How long, setting up not included.")] = 10.0,
    only: Annotated[str, typer.Option("--only", help="Variants, with commas.")] = ",".join(VARIANTS),
    rounds: Annotated[int | None, typer.Option("--rounds", min=1, help="In the place of minutes.")] = None,
    folder: Out = FOLDER,
    noise: Noise = False,
    stack: StackName = "flask+gunicorn-gthread",
    scenario: Scenario = "plain",
    backend: Backend = "process",
    seed: Seed = None,
    root: Root = Path(),
) -> None:
    """Record one piece: rounds of duets, in each of which every variant runs once beside the base."""
    variants = [name.strip() for name in only.split(",")]
    for name in variants:
        find("variant", name, dict.fromkeys(VARIANTS))
    wanted = _wanted(root, folder, stack, scenario, noise=noise, backend=backend, seed=seed)
    wanted = replace(wanted, variants=variants, minutes=minutes, rounds=rounds)
    statuses: Counter[str] = Counter()
    with out.status("starting") as status:
        path = recording.record(wanted, _shown(status), _counting(statuses, _shown(status)))
    out.print(f"{path}: {_counted(statuses)}", markup=False)


@app.command()
def live(
    *,
    injected: Annotated[str, typer.Option("--injected", help=f"What head is: {', '.join(VARIANTS)}.")] = "aa",
    times: Annotated[int, typer.Option("--times", min=1, max=1000, help="How many gates.")] = 10,
    budget: Annotated[
        float, typer.Option("--budget", min=1, help="Minutes of each, as long again to confirm.")
    ] = 5.0,
    rounds: Annotated[int | None, typer.Option("--blocks", min=1, help="In the place of the budget.")] = None,
    folder: Out = FOLDER,
    noise: Noise = False,
    stack: StackName = "flask+gunicorn-gthread",
    scenario: Scenario = "plain",
    backend: Backend = "process",
    seed: Seed = None,
    root: Root = Path(),
) -> None:
    """Run real gates of the base against one variant, each kept in a file of its own."""
    find("variant", injected, dict.fromkeys(VARIANTS))
    wanted = _wanted(root, folder, stack, scenario, noise=noise, backend=backend, seed=seed)
    statuses: Counter[str] = Counter()
    with out.status("starting") as status:
        living.live(
            replace(wanted, rounds=rounds),
            variant=injected,
            times=times,
            budget_s=60 * budget,
            told=_shown(status),
            kept=_counting(statuses, _shown(status)),
            judged=lambda lived: out.print(
                f"{lived.path}: {lived.judgement.word}. {lived.judgement.sentence}", markup=False
            ),
        )
    out.print(_counted(statuses), markup=False)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The folder of recordings.")] = FOLDER,
    docs: Annotated[Path, typer.Option("--docs", help="Where the page and its figure go.")] = Path("docs"),
    gates: Annotated[int, typer.Option("--gates", min=20, help="How many are drawn of each kind.")] = 2000,
    budget: Annotated[float, typer.Option("--budget", min=0.5, help="Minutes of a gate.")] = 5.0,
    seed: Annotated[int, typer.Option("--seed", help="What all that is drawn follows from.")] = SEED,
) -> None:
    """Try gates on what was recorded, and write gate-power.md and gate-power.svg."""
    if not docs.is_dir():
        raise UsageError(f"There is no folder {docs}: name one with --docs.")
    with out.status("reading") as status:
        settings = Settings(gates=gates, budget_s=60 * budget, seed=seed, told=_shown(status))
        written = reporting.report(folder, docs, settings)
    out.print(", ".join(map(str, written)), markup=False)


def _wanted(
    root: Path, folder: Path, stack: str, scenario: str, *, noise: bool, backend: str, seed: int | None
) -> recording.Wanted:
    find("backend", backend, dict.fromkeys(("process", "fake")))
    machine.raise_open_files()  # children inherit it
    return recording.Wanted(
        root=root.resolve(),
        out=folder,
        stack=stack,
        scenario=scenario,
        variants=VARIANTS,
        minutes=0.0,
        noise=noise,
        seed=secrets.randbits(31) if seed is None else seed,
        wish=Wish(backend=backend),
    )


def _shown(status: Status) -> Callable[[str], None]:
    return lambda what: status.update(escape(what))


def _counting(statuses: Counter[str], update: Callable[[str], None]) -> Callable[[Run], None]:
    def kept(run: Run) -> None:
        statuses[run.status] += 1
        update(f"{_counted(statuses)}; block {run.block}: {run.stack} {run.status}")

    return kept


def _counted(statuses: Counter[str]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())) + " trials"


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Stop once: what cleans up must not be interrupted in its turn."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Interrupted("Interrupted; what was recorded is kept.")


def main() -> None:
    """Run the command line; a mistake is one sentence and an exit code, never a traceback."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(prog_name="python -m gatebench.power")
    except (GatebenchError, Interrupted) as error:
        console = Console(stderr=True, soft_wrap=True, emoji=False, highlight=False)
        console.print(f"gatebench.power: {error}", markup=False)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
