"""Sessions made up for tests: the same figures from the same seed, of the size that real ones have."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gatebench.histogram import of_seconds
from gatebench.model import Load, Machine, Measure, Placement, Plan, Run, Session, Setting, Step, Usage
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
KEPT = {SYNC: 1, GTHREAD: 16, FASTAPI: 2000}
MIB = 2.0**20
START = datetime(2026, 1, 31, 12, tzinfo=UTC)

Spoil = Callable[[Run], Run]


def session(
    *,
    stacks: Sequence[str] = FLAGSHIP,
    measures: Sequence[str] = MEASURES,
    blocks: int = 6,
    seed: int = 1,
    backend: str = "process",
    spoil: Spoil = lambda run: run,
) -> Session:
    """Make a session up; `spoil` changes each run, for instance into a void one."""
    parsed = [Measure(scenario=name, load=Load.parse(load)) for name, load in (text.split() for text in measures)]
    plan = Plan(
        name="flagship",
        title="Flask on Gunicorn against FastAPI on Uvicorn, matched",
        stacks=tuple(stacks),
        measures=tuple(parsed),
        blocks=blocks,
        seed=seed,
        window_s=3.0,
        warmup_slice_s=0.4,
        warmup_limit_s=2.4,
    )
    runs = tuple(spoil(run) for run in _runs(plan, backend))
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
        stacks={stack: _described(stack) for stack in stacks},
        services={"postgres": {"version": "16.2", "shared_buffers": "128MB"}, "upstream": {"delay_ms": 50}},
        ceilings={"keep-alive": 18000.0, "close": 6100.0, "websocket": 60000.0},
        scenarios={measure.scenario: TITLES.get(measure.scenario, measure.scenario) for measure in parsed},
        runs=runs,
        ended_at=(START + timedelta(seconds=6.1 * len(runs) + 9)).isoformat(),
    )


def write(folder: Path, made: Session) -> Path:
    """Write a session as gatebench run does, and give the file."""
    path = folder / f"{made.name}.jsonl"
    with Writer(path, made) as writer:
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


def _runs(plan: Plan, backend: str) -> list[Run]:
    chance = random.Random(plan.seed)
    made: list[Run] = []
    for block in range(plan.blocks):
        cells = [(measure, stack) for measure in plan.measures for stack in plan.stacks]
        chance.shuffle(cells)
        for measure, stack in cells:
            made.append(_run(plan, backend, number=len(made), block=block, stack=stack, measure=measure))
    return made


def _run(plan: Plan, backend: str, *, number: int, block: int, stack: str, measure: Measure) -> Run:
    # Seeded by the cell, so that a session with fewer stacks or blocks has the same figures for those it has.
    chance = random.Random(f"{plan.seed} {block} {stack} {measure.scenario} {measure.load}")
    interface = interface_of(stack)
    run = Run(
        session="flagship-20260131T120000Z-1a2b",
        number=number,
        block=block,
        stack=stack,
        interface="asgi" if interface == "asgi" else "wsgi",
        profile="matched",
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
        window_s=plan.window_s,
        errors=0,
        ready_s=0.6,
        steal_share=0.001,
        generator_busy_share=0.55,
        generator_delay_share=0.002,
        generator=Usage(cpu_s=1.5, processes=1, threads=4),
    )
    memory = (60 if interface == "wsgi" else 75) * MIB * chance.lognormvariate(0, 0.01)
    if measure.load.kind == "hold":
        kept = min(KEPT.get(stack, 500), measure.load.size)
        return replace(
            run,
            requests=kept,
            connections_offered=measure.load.size,
            connections_opened=kept,
            connections_kept=kept,
            server=Usage(cpu_s=0.2, pss_peak_bytes=memory + kept * 50_000, processes=2, threads=17),
        )
    if measure.load.paced:
        return replace(run, **_paced(plan, measure, chance, memory))  # type: ignore[arg-type]
    return replace(run, **_closed(plan, stack, measure, chance, memory))  # type: ignore[arg-type]


def _closed(plan: Plan, stack: str, measure: Measure, chance: random.Random, memory: float) -> dict[str, object]:
    rates = RATES.get(stack) or RATES[FASTAPI if interface_of(stack) == "asgi" else SYNC]
    rate = rates.get(measure.scenario, 1000) * chance.lognormvariate(0, 0.04)
    response_s, requests = measure.load.size / rate, round(rate * plan.window_s)
    waits = measure.scenario == "external"
    samples = [response_s * chance.lognormvariate(0, 0.25) for _ in range(min(requests, 1500))]
    return {
        "requests": requests,
        "bodies_checked": requests // 100,
        "response": of_seconds(samples),
        "in_flight_mean": measure.load.size * 0.99,
        "overloaded": plan.window_s < 2 * response_s,
        "limit": "the worker's threads" if waits else "the server's CPU",
        "server": Usage(
            cpu_s=plan.window_s * (0.3 if waits else 0.97) * chance.lognormvariate(0, 0.01),
            pss_peak_bytes=memory,
            processes=2,
            threads=17,
        ),
        "server_busy_share": 0.31 if waits else 0.98,
    }


def _paced(plan: Plan, measure: Measure, chance: random.Random, memory: float) -> dict[str, object]:
    search, rate = measure.load.kind == "search", float(measure.load.size)
    steps: tuple[Step, ...] = ()
    if search:
        rate = 800 * chance.lognormvariate(0, 0.04)
        tried = ((2 * rate, None, False), (rate, 0.9 * measure.load.size / 1000, True))
        steps = tuple(
            Step(rate_rps=rps, p99_s=p99_s, errors_share=0.0, achieved_share=0.98, held=held)
            for rps, p99_s, held in tried
        )
    due = round(rate * plan.window_s)
    samples = [0.004 * chance.lognormvariate(0, 0.25) for _ in range(min(due, 1500))]
    return {
        "requests": due - 1,
        "errors": 1,
        "error_reasons": {"no answer": 1},
        "response": of_seconds(samples),
        "service": of_seconds(samples),
        "in_flight_mean": 0.004 * rate,
        "limit": f"a p99 of {measure.load.size} ms" if search else f"the arrival rate of {measure.load.size}/s",
        "server": Usage(cpu_s=plan.window_s * 0.4, pss_peak_bytes=memory, processes=2, threads=17),
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
