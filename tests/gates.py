"""Gates made up for tests: sessions whose log-ratios of head to base are given, block by block."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from math import exp

from sessions import START, session

from gatebench.gate import AGAIN, CONFIRM, ERROR, GATE, errors
from gatebench.histogram import of_seconds
from gatebench.model import Gate, Histogram, Load, Measure, Part, Plan, Run, Session, Usage

STACK = "flask+gunicorn-gthread"
BASE, HEAD, SAME = f"base:{STACK}", f"head:{STACK}", f"again:{STACK}"
ARMS = {BASE: "commit 1a2b3c4d5e6f", HEAD: "the working tree", SAME: "commit 1a2b3c4d5e6f"}
COST_US, RATE, P50_S = 400.0, 2400.0, 0.02  # of base in every block
PLAIN = "plain closed(64)"
DUET_S = 3.0  # one duet, from start to end

Spoil = Callable[[Run], Run]


def flat(shift: float, blocks: int, *, sd: float = 0.013, seed: int = 1) -> list[float]:
    """Draw log-ratios of head to base: normal about `shift`."""
    chance = random.Random(seed)
    return [chance.gauss(shift, sd) for _ in range(blocks)]


def gate_session(
    cost: Sequence[float],
    *,
    rate: Sequence[float] | None = None,
    p99: Sequence[float] | None = None,
    again: Sequence[float] = (),
    confirm: Sequence[float] = (),
    measures: Sequence[str] = (PLAIN,),
    margins: Mapping[str, float] | None = None,
    looks: Sequence[int] | None = None,
    confirmed: bool = True,
    budget_s: float = 300.0,
    spoil: Spoil = lambda run: run,
) -> Session:
    """Make a gate's session up whose blocks have these log-ratios of head to base, alike under every measure.

    `cost`, `rate` and `p99` are those of CPU per request, requests a second and p99; `again` is base beside itself
    and `confirm` the fresh blocks, both by cost. Without `looks` there is one, after all blocks.
    """
    declared = tuple(looks or (len(cost),))
    parts = [part(GATE, (BASE, HEAD), measures, declared[-1])]
    if again:
        parts.append(part(AGAIN, (BASE, SAME), measures, len(again)))
    if confirmed:
        parts.append(part(CONFIRM, (BASE, HEAD), measures, declared[-1]))
    made = session(parts=[part(GATE, (BASE, HEAD, SAME), measures, 1)])  # for all but plan and runs
    gate = Gate(
        base=BASE,
        head=HEAD,
        again=SAME if again else None,
        arms={name: ARMS[name] for name in (BASE, HEAD, *([SAME] if again else []))},
        leading="cpu_us_per_request",
        margins=margins or {"cpu_us_per_request": 0.025},
        looks=declared,
        errors=errors(declared) if len(declared) > 1 else (ERROR,),
        beside=True,
        budget_s=budget_s,
        confirm=confirmed,
    )
    runs: list[Run] = []
    for name, other, logs in ((GATE, HEAD, cost), (AGAIN, SAME, again), (CONFIRM, HEAD, confirm)):
        for block, log in enumerate(logs):
            extra = (rate[block] if rate else 0.0, p99[block] if p99 else 0.0) if name == GATE else (0.0, 0.0)
            for measure in measures:
                runs.append(_run(name, BASE, block, measure, (0.0, 0.0, 0.0), number=len(runs)))
                runs.append(_run(name, other, block, measure, (log, *extra), number=len(runs)))
    plan = Plan(name="gate", title="Base and head at the same time on the same CPUs", parts=tuple(parts), seed=1)
    return replace(made, name="gate-20260131T120000Z-1a2b", plan=plan, gate=gate, runs=tuple(map(spoil, runs)))


def part(name: str, stacks: Sequence[str], measures: Sequence[str], blocks: int) -> Part:
    """Make one part of a gate's plan up."""
    parsed = [Measure(scenario=scenario, load=Load.parse(load)) for scenario, load in map(str.split, measures)]
    return Part(
        name=name,
        title="Base and head",
        stacks=tuple(stacks),
        measures=tuple(parsed),
        blocks=blocks,
        window_s=1000.0,
        warmup_slice_s=0.25,
        warmup_limit_s=0.5,
    )


def _run(name: str, stack: str, block: int, measure: str, logs: tuple[float, float, float], *, number: int) -> Run:
    cost, rate, p99 = map(exp, logs)
    scenario, load = measure.split()
    requests = round(RATE * rate * 1000)  # so many that rounding to whole ones changes no figure by 1 in a million
    return Run(
        session="gate-20260131T120000Z-1a2b",
        number=number,
        block=block,
        part=name,
        stack=stack,
        interface="wsgi",
        profile="matched",
        scenario=scenario,
        scenario_version=1,
        load=load,
        backend="process",
        seed=block,
        started_at=(START + timedelta(seconds=DUET_S * (number // 2))).isoformat(),
        elapsed_s=DUET_S,
        placement={"server": (3,), "generator": (2,), "services": (0, 1)},
        status="ok",
        warmup_s=0.5,
        window_s=1000.0,
        requests=requests,
        errors=0,
        response=times(P50_S, P50_S * 2 * p99),
        server=Usage(cpu_s=COST_US * cost * requests / 1e6, processes=2, threads=17),
        server_beside_share=0.5,
        server_busy_share=0.98,
    )


@cache
def times(median_s: float, p99_s: float, count: int = 2000) -> Histogram:
    """Give a histogram of so many response times with this median and p99."""
    slow = count // 50
    return of_seconds([median_s] * (count - slow) + [p99_s] * slow)
