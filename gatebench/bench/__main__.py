"""The benchmark's command line: which parts, how often, how long; a table and its targets for each part.

Exit codes: 0 all parts were measured, whatever they reached; 2 wrong usage; 4 a part could not be measured;
130 interrupted.
"""

from __future__ import annotations

import contextlib
import json
import platform
import signal
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gatebench import machine
from gatebench.backends.programs import scratch_folder
from gatebench.bench.connections import connections
from gatebench.bench.containers import containers
from gatebench.bench.fixed import fixed
from gatebench.bench.outcome import Outcome, Settings
from gatebench.bench.rates import rates
from gatebench.bench.reports import reports
from gatebench.bench.waiting import waiting
from gatebench.bench.workers import workers
from gatebench.errors import GatebenchError, Interrupted, MachineError, UsageError

PARTS: dict[str, Callable[[Settings], Outcome]] = {
    "rates": rates,
    "fixed": fixed,
    "connections": connections,
    "waiting": waiting,
    "workers": workers,
    "containers": containers,
    "reports": reports,
}
OF_GENERATOR = ("rates", "fixed", "connections", "waiting", "workers")
WIDE = 160  # columns where no terminal says how many it has

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
out = Console(highlight=False) if sys.stdout.isatty() else Console(width=WIDE, highlight=False)


@app.command()
def bench(
    only: Annotated[str, typer.Option("--only", help="The parts to measure, with commas.")] = ",".join(OF_GENERATOR),
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=100, help="Of what is compared in turn.")] = 5,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, max=60, help="Of one measurement.")] = 2.0,
    lines: Annotated[Path | None, typer.Option("--json", help="Write every measurement there, a line each.")] = None,
    root: Annotated[Path, typer.Option("--root", help="The folder with apps/ and compose/.")] = Path(),
) -> None:
    """Measure the generator against its targets, or containers against processes, with all load on the loopback."""
    chosen = [name.strip() for name in only.split(",")]
    for name in chosen:
        if name not in PARTS:
            raise UsageError(f"There is no part named '{name}'. Known are: {', '.join(PARTS)}.")
    machine.raise_open_files()  # children inherit it
    cpus = machine.usable_cpus()
    placement = machine.place(cpus)
    facts = machine.facts()
    out.print(
        f"benchmark: {escape(facts.cpu)}, {facts.cpus} CPUs, {escape(facts.system)}, {facts.kernel}, "
        f"Python {platform.python_version()}, Locust {version('locust')}"
    )
    failed = False
    with contextlib.ExitStack() as stack:
        written = stack.enter_context(lines.open("w", encoding="utf-8")) if lines else None
        scratch = stack.enter_context(scratch_folder())
        status = stack.enter_context(out.status("")) if out.is_terminal else None
        settings = Settings(
            root=root.resolve(),
            scratch=scratch,
            placement=placement,
            cpus=cpus,
            rounds=rounds,
            seconds=seconds,
            told=lambda what: status.update(escape(what)) if status else None,
        )
        stack.enter_context(machine.pinned(placement.services))
        for name in chosen:
            try:
                found = PARTS[name](settings)
            except GatebenchError as error:
                failed = True
                out.print(f"\n[bold]{name}[/]: not measured: {escape(str(error))}", soft_wrap=True)
                continue
            show(found)
            if written:
                written.writelines(json.dumps(record) + "\n" for record in found.records)
                written.flush()
    if failed:
        raise typer.Exit(MachineError.exit_code)


def show(found: Outcome) -> None:
    """Print what a part found."""
    table = Table()
    for number, heading in enumerate(found.headings):
        table.add_column(heading, justify="left" if number < 2 else "right")
    for row in found.rows:
        table.add_row(*map(escape, row))
    out.print(f"\n[bold]{escape(found.title)}[/]", soft_wrap=True)
    out.print(table)
    for note in found.notes:
        out.print(f"  {escape(note)}", soft_wrap=True)
    for target in found.targets:
        verdict = {True: "[green]reached[/]", False: "[red]not reached[/]", None: "[yellow]not judged[/]"}
        said = f"{target.what}: {target.found}, wanted {target.wanted}"
        out.print(f"  {verdict[target.reached]}: {escape(said)}", soft_wrap=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Stop once: what cleans up must not be interrupted in its turn."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Interrupted("Interrupted.")


def main() -> None:
    """Run the command line; a mistake is one sentence and an exit code, never a traceback."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(prog_name="python -m gatebench.bench")
    except (GatebenchError, Interrupted) as error:
        Console(stderr=True, soft_wrap=True, emoji=False).print(f"benchmark: {error}", markup=False, highlight=False)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
