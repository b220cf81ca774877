"""Sessions made up for tests: the same figures from the same seed, of the size that real ones have."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gatebench.histogram import of_seconds
from gatebench.model import (
    Answer,
    Capability,
    Connects,
    Load,
    Machine,
    Measure,
    Part,
    Placement,
    Plan,
    Run,
    Session,
    Setting,
    Step,
    Usage,
)
from gatebench.store import FORMAT_VERSION, Writer

SYNC, GTHREAD, FASTAPI = "flask+gunicorn-sync", "flask+gunicorn-gthread", "fastapi+uvicorn"
FLAGSHIP = (SYNC, GTHREAD, FASTAPI)
MEASURES = (
    "plain closed(64)",
    "json closed(64)",
    "db closed(64)",
    "external closed(64)",
    "websocket closed(16)",
    "websocket hold(2000)",
)
TITLES = {
    "plain": "Thirteen bytes of plain text",
    "json": "A small JSON document",
    "db": "One row of 10,000 by its id, from PostgreSQL",
    "external": "One call to an upstream that answers after 50 ms",
    "websocket": "Messages echoed over WebSocket",
}
RATES: dict[str, dict[str, float]] = {  # requests per second, by stack and scenario
    SYNC: {"plain": 2900, "json": 2700, "db": 1450, "external": 19.2, "websocket": 6100},
    GTHREAD: {"plain": 2300, "json": 2250, "db": 1180, "external": 242, "websocket": 5200},
    FASTAPI: {"plain": 8900, "json": 7600, "db": 3300, "external": 690, "websocket": 14800},
}
WAITS = {"wait": 0.1, "wait_2s": 2.0}  # seconds that a request waits by design
SPOKEN: dict[str, dict[str, Answer]] = {  # what a stack speaks where a test does not say
    "wsgi": {"http/1.1": "yes", "http/2": "no", "websocket": "no"},
    "asgi": {"http/1.1": "yes", "http/2": "yes", "websocket": "yes"},
}
KEPT = {SYNC: 1, GTHREAD: 16, FASTAPI: 2000}
MIB = 2.0**20
START = datetime(2026, 1, 31, 12, tzinfo=UTC)

Spoil = Callable[[Run], Run]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is so in a made-up session, where a test wants to know it; None leaves a figure as it usually is."""

    rate: Callable[[str, str, int], float | None] = lambda stack, scenario, size: None  # requests a second
    cost_us: Callable[[str, str, int], float | None] = lambda stack, scenario, size: None  # CPU a request
    kept: Callable[[str, str, int], int | None] = lambda stack, scenario, size: None  # connections
    speaks: Callable[[str], Mapping[str, Answer]] = lambda stack: SPOKEN[interface_of(stack)]
    noise: float = 1.0  # 0: every block is the same, but for rounding to whole requests


def part(
    name: str,
    stacks: Sequence[str] = FLAGSHIP,
    measures: Sequence[str] = MEASURES,
    *,
    blocks: int = 6,
    stage: int = 0,
    knock: bool = False,
) -> Part:
    """Make one part of a plan up."""
    parsed = [Measure(scenario=scenario, load=Load.parse(load)) for scenario, load in map(str.split, measures)]
    return Part(
        name=name,
        title="Flask on Gunicorn against FastAPI on Uvicorn, matched",
        stacks=tuple(stacks),
        measures=tuple(parsed),
        blocks=blocks,
        window_s=3.0,
        warmup_slice_s=0.4,
        warmup_limit_s=2.4,
        stage=stage,
        knock=knock,
    )


def session(
    *,
    stacks: Sequence[str] = FLAGSHIP,
    measures: Sequence[str] = MEASURES,
    blocks: int = 6,
    seed: int = 1,
    backend: str = "process",
    spoil: Spoil = lambda run: run,
    parts: Sequence[Part] = (),
    waits: Mapping[str, float] = WAITS,
    truth: Truth = Truth(),
) -> Session:
    """Make a session up; `spoil` changes each run, for instance into a void one.

    With `parts`, of those; without, of one part named flagship.
    """
    plan = Plan(
        name="full" if parts else "flagship",
        title="Flask on Gunicorn against FastAPI on Uvicorn, matched",
        parts=tuple(parts) or (part("flagship", stacks, measures, blocks=blocks),),
        seed=seed,
    )
    scenarios = {measure.scenario: TITLES.get(measure.scenario, measure.scenario) for measure in plan.measures}
    runs = tuple(spoil(run) for run in _runs(plan, backend, truth))
    return Session(
        format_version=FORMAT_VERSION,
        name="flagship-20260131T120000Z-1a2b",
        started_at=START.isoformat(),
        plan=plan,
        machine=Machine(
            identity="9f2c51d0aa34",
            cpu="An Example CPU at 3.0 GHz",
            cpus=4,
            memory_bytes=16 * 2**30,
            kernel="6.1.0",
            system="Debian GNU/Linux 12",
            python="3.11.9",
            open_files=65536,
        ),
        placement=Placement(server=(3,), generator=(2,), services=(0, 1)),
        backend=backend,
        commit="0123456789ab",
        tools={"gatebench": "0.1.0", "locust": "2.40.0", "python": "3.11.9"},
        stacks={stack: _described(stack) for stack in plan.stacks},
        services={"postgres": {"version": "16.2", "shared_buffers": "128MB"}, "upstream": {"delay_ms": 50}},
        ceilings={"keep-alive": 18000.0, "close": 6100.0, "websocket": 60000.0},
        scenarios=scenarios,
        waits={scenario: waits[scenario] for scenario in scenarios if scenario in waits},
        runs=runs,
        ended_at=(START + timedelta(seconds=6.1 * len(runs) + 9)).isoformat(),
    )


def write(folder: Path, made: Session) -> Path:
    """Write a session as gatebench run does, and give the file."""
    path = folder / f"{made.name}.jsonl"
    with Writer.new(path, made) as writer:
        for run in made.runs:
            writer.add(run)
        if made.ended_at is not None:
            writer.end(ended_at=made.ended_at, interrupted=made.interrupted)
    return path


def make_void(run: Run, reason: str = "the generator may have been the limit: its CPUs were 91% busy") -> Run:
    """Give the run as a void one."""
    return replace(run, status="void", reason=reason)


def interface_of(stack: str) -> str:
    """Tell a made-up stack's interface by its app's name."""
    return "asgi" if stack.startswith(("fastapi", "raw_asgi", "starlette")) else "wsgi"


def _runs(plan: Plan, backend: str, truth: Truth) -> list[Run]:
    chance = random.Random(plan.seed)
    made: list[Run] = []
    for stage in sorted({part.stage for part in plan.parts}):
        parts = [part for part in plan.parts if part.stage == stage]
        for block in range(max(part.blocks for part in parts)):
            here = [part for part in parts if block < part.blocks]
            cells = [(part, measure, stack) for part in here for measure in part.measures for stack in part.stacks]
            chance.shuffle(cells)
            for part, measure, stack in cells:
                cell = _Cell(plan=plan, part=part, stack=stack, measure=measure, block=block, truth=truth)
                made.append(_run(cell, backend, number=len(made)))
    return made


@dataclass(frozen=True, kw_only=True)
class _Cell:
    plan: Plan
    part: Part
    stack: str
    measure: Measure
    block: int
    truth: Truth

    def chance(self) -> random.Random:
        # Seeded by the cell, so that a session with fewer stacks or blocks has the same figures for those it has.
        part = "" if self.part.name == "flagship" else f"{self.part.name} "
        where = f"{self.block} {self.stack} {self.measure.scenario} {self.measure.load}"
        return random.Random(f"{part}{self.plan.seed} {where}")

    def told(self, which: str) -> float | None:
        """Ask the truth about this cell."""
        asked: float | None = getattr(self.truth, which)(self.stack, self.measure.scenario, self.measure.load.size)
        return asked


def _run(cell: _Cell, backend: str, *, number: int) -> Run:
    measure, stack, noise = cell.measure, cell.stack, cell.truth.noise
    chance = cell.chance()
    interface = interface_of(stack)
    run = Run(
        session="flagship-20260131T120000Z-1a2b",
        number=number,
        block=cell.block,
        part=cell.part.name,
        stack=stack,
        interface="asgi" if interface == "asgi" else "wsgi",
        profile=stack.partition("@")[2] or "matched",
        scenario=measure.scenario,
        scenario_version=1,
        load=str(measure.load),
        backend=backend,
        seed=chance.getrandbits(31),
        started_at=(START + timedelta(seconds=6 * number)).isoformat(),
        elapsed_s=round(chance.uniform(5.5, 6.5), 3),
        placement={"server": (3,), "generator": (2,), "services": (0, 1)},
        status="ok",
        warmup_s=1.2,
        window_s=cell.part.window_s,
        errors=0,
        ready_s=0.6,
        steal_share=0.001,
        generator_busy_share=0.55,
        generator_delay_share=0.002,
        generator=Usage(cpu_s=1.5, processes=1, threads=4),
    )
    if measure.load.kind == "speak":
        spoken = cell.truth.speaks(stack).items()
        found = tuple(Capability(protocol=name, answer=answer, why=f"made up: {answer}") for name, answer in spoken)
        return replace(run, capabilities=found, window_s=None, warmup_s=None, errors=None)
    memory = (60 if interface == "wsgi" else 75) * MIB * chance.lognormvariate(0, 0.01 * noise)
    rest = Usage(rss_peak_bytes=1.2 * memory, pss_peak_bytes=memory, processes=2, threads=3)
    run = replace(run, server_at_rest=replace(rest, rss_mean_bytes=1.2 * memory, pss_mean_bytes=memory))
    how = _held if measure.load.held else _paced if measure.load.paced else _closed
    run = replace(run, **how(cell, chance, memory))  # type: ignore[arg-type]
    if not cell.part.knock:
        return run
    slower = 1.0 if interface == "asgi" else 40.0  # where every thread is taken, a fresh connection waits
    return replace(
        run, connect_at_rest=_connects(0.002, chance), connect_under_load=_connects(0.003 * slower, chance)
    )


def _connects(median_s: float, chance: random.Random) -> Connects:
    times = of_seconds([median_s * chance.lognormvariate(0, 0.25) for _ in range(1000)])
    return Connects(asked=1000, refused=0, unanswered=0, times=times)


def _held(cell: _Cell, chance: random.Random, memory: float) -> dict[str, object]:
    size, told = cell.measure.load.size, cell.told("kept")
    kept = min(KEPT.get(cell.stack, 500) if told is None else int(told), size)
    peak = memory + kept * 50_000
    return {
        "requests": kept,
        "connections_offered": size,
        "connections_opened": kept,
        "connections_kept": kept,
        "connections_late": 0,
        "unopened_reasons": {"connection refused": size - kept} if kept < size else {},
        "server": Usage(cpu_s=0.2, rss_peak_bytes=1.2 * peak, pss_peak_bytes=peak, processes=2, threads=17),
    }


def _closed(cell: _Cell, chance: random.Random, memory: float) -> dict[str, object]:
    stack, measure, noise, window_s = cell.stack, cell.measure, cell.truth.noise, cell.part.window_s
    rates = RATES.get(stack) or RATES[FASTAPI if interface_of(stack) == "asgi" else SYNC]
    rate = (cell.told("rate") or rates.get(measure.scenario, 1000)) * chance.lognormvariate(0, 0.04 * noise)
    response_s, requests = measure.load.size / rate, round(rate * window_s)
    waits = measure.scenario in ("external", *WAITS)
    cost_us = cell.told("cost_us")
    samples = [response_s * chance.lognormvariate(0, 0.25) for _ in range(min(requests, 1500))]
    return {
        "requests": requests,
        "bodies_checked": requests // 100,
        "response": of_seconds(samples),
        "in_flight_mean": measure.load.size * 0.99,
        "overloaded": window_s < 2 * response_s,
        "limit": "the worker's threads" if waits else "the server's CPU",
        "server": Usage(
            cpu_s=(window_s * (0.3 if waits else 0.97) if cost_us is None else cost_us * requests / 1e6)
            * chance.lognormvariate(0, 0.01 * noise),
            rss_peak_bytes=1.2 * memory + 4800 * measure.load.size,
            pss_peak_bytes=memory + 4000 * measure.load.size,
            processes=2,
            threads=17 if interface_of(stack) == "wsgi" else 2,
            switches_voluntary=round(requests * (2.1 if interface_of(stack) == "wsgi" else 0.2)),
            switches_involuntary=round(requests * 0.05),
        ),
        "server_busy_share": 0.31 if waits else 0.98,
    }


def _paced(cell: _Cell, chance: random.Random, memory: float) -> dict[str, object]:
    measure, window_s, noise = cell.measure, cell.part.window_s, cell.truth.noise
    search, rate = measure.load.kind == "search", float(measure.load.size)
    steps: tuple[Step, ...] = ()
    if search:
        rate = 800 * chance.lognormvariate(0, 0.04 * noise)
        tried = ((2 * rate, None, False), (rate, 0.9 * measure.load.size / 1000, True))
        steps = tuple(
            Step(rate_rps=rps, p99_s=p99_s, errors_share=0.0, achieved_share=0.98, held=held)
            for rps, p99_s, held in tried
        )
    due = round(rate * window_s)
    samples = [0.004 * chance.lognormvariate(0, 0.25) for _ in range(min(due, 1500))]
    return {
        "requests": due - 1,
        "errors": 1,
        "error_reasons": {"no answer": 1},
        "response": of_seconds(samples),
        "service": of_seconds(samples),
        "in_flight_mean": 0.004 * rate,
        "limit": f"a p99 of {measure.load.size} ms" if search else f"the arrival rate of {measure.load.size}/s",
        "server": Usage(cpu_s=window_s * 0.4, pss_peak_bytes=memory, processes=2, threads=17),
        "server_busy_share": 0.42,
        "arrivals_due": due,
        "arrivals_ended": due - 1,
        "arrivals_overrun": 2,
        "arrivals_unanswered": 1,
        "generator_send_lag_s": 0.0001,
        "generator_loop_lag_s": 0.0004,
        "search_steps": steps,
    }


def _described(stack: str) -> dict[str, dict[str, Setting]]:
    if interface_of(stack) == "asgi":
        return {
            "settings": {"workers": 1, "threads": 1, "loop": "uvloop", "parser": "httptools", "keep_alive_s": 75},
            "versions": {"fastapi": "0.120.0", "uvicorn": "0.38.0", "asyncpg": "0.30.0"},
        }
    threads = 1 if "sync" in stack else 16
    return {
        "settings": {
            "workers": 1,
            "threads": threads,
            "keep_alive_s": 0 if threads == 1 else 75,
            "access_log": False,
        },
        "versions": {"flask": "3.1.2", "gunicorn": "23.0.0", "psycopg": "3.2.10"},
    }
