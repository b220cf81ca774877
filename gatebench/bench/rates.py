"""How many requests a second each generator sends from one core, beside wrk, against one do-nothing server.

Knows the generators and their order. Must not know how one is run.
"""

from __future__ import annotations

from collections import defaultdict

from gatebench.bench.outcome import Outcome, Settings, at_least, median, percent, ratios, spread
from gatebench.bench.parties import Server, drive, nothing, shared
from gatebench.bench.tools import Sample, missing, wrk
from gatebench.errors import MachineError

WRK = "wrk -t1"
ENGINE, HTTP = "EngineUser", "HttpUser"
SCENARIO = {ENGINE: "engine", HTTP: "http", "Locust FastHttpUser": "fast", "Locust HttpUser": "stock"}
CONNECTIONS = (32, 256)
LEAST_OF_WRK = {ENGINE: 0.85, HTTP: 0.55}
NO_WRK = "wrk is not installed (on Debian: apt install wrk)"
Key = tuple[int, str]  # connections, generator


def rates(settings: Settings) -> Outcome:
    """Measure all generators in turn, as many rounds as are wanted."""
    if len(settings.cpus) < 2:
        raise MachineError("One CPU is not enough to measure rates: server and generator would share it.")
    found = Outcome(
        title="Requests per second from one core, against a do-nothing server on another",
        headings=("connections", "generator", "requests/s", "of wrk", "generator CPU", "server CPU"),
    )
    names = [*([] if missing("wrk") else [WRK]), *SCENARIO]
    samples: dict[Key, list[Sample]] = defaultdict(list)
    with nothing(settings.placement.server) as server:
        for connections in CONNECTIONS:
            for turn in range(settings.rounds):
                # There and back again: what drifts meets all alike.
                for name in names if turn % 2 == 0 else reversed(names):
                    settings.told(f"{connections} connections, round {turn + 1}: {name}")
                    one = sample(settings, name, server, connections)
                    samples[connections, name].append(one)
                    found.records.append(_record("rates", connections, name, turn, one))
    _fill(found, samples)
    if missing("wrk"):
        found.notes.append(f"{WRK} is not measured: {NO_WRK}")
    found.notes.append(
        f"medians of {settings.rounds} round(s) of {settings.seconds:g} s (least..most); ratios are of one round"
    )
    _second(settings, names, found)
    return found


def sample(settings: Settings, name: str, server: Server, connections: int) -> Sample:
    """Measure one generator once; MachineError where any of its requests failed."""
    if name == WRK:
        return wrk(settings, server, connections)
    seen = drive(settings, SCENARIO[name], server, "closed", connections)
    if seen.figures["errors"]:
        reasons = "; ".join(seen.figures["error_reasons"])
        raise MachineError(f"{name} with {connections} connections saw {seen.figures['errors']} errors: {reasons}.")
    return Sample(rate=seen.rate, generator_share=seen.generator_share, server_share=seen.server_share)


def _fill(found: Outcome, samples: dict[Key, list[Sample]]) -> None:
    of_wrk: dict[Key, list[float]] = {}
    for (connections, name), ours in samples.items():
        base = samples.get((connections, WRK), [])
        of_wrk[connections, name] = ratios([s.rate for s in ours], [s.rate for s in base]) if base else []
        found.rows.append(
            (
                str(connections),
                name,
                spread([s.rate for s in ours], ",.0f"),
                spread(of_wrk[connections, name]),
                percent(median([s.generator_share for s in ours])),
                percent(median([s.server_share for s in ours])),
            )
        )
    for name, least in LEAST_OF_WRK.items():
        for connections in CONNECTIONS:
            what = f"{name} of wrk, {connections} connections"
            found.targets.append(at_least(what, least, of_wrk[connections, name], NO_WRK))


def _second(settings: Settings, names: list[str], found: Outcome) -> None:
    """Show whether a second do-nothing server changes anything: if not, the first one was not the limit."""
    if len(settings.cpus) < 3:
        found.notes.append("whether a second do-nothing server changes anything is not measured: it takes three CPUs")
        return
    connections, (server_cpu,) = CONNECTIONS[-1], settings.placement.server
    another = next(cpu for cpu in settings.cpus if cpu not in (server_cpu, *settings.placement.generator))
    compared = [name for name in names if name in (WRK, ENGINE)]
    seen: dict[tuple[str, int], list[Sample]] = defaultdict(list)
    with nothing(settings.placement.server) as one, shared((server_cpu, another)) as two:
        for turn in range(settings.rounds):
            for name in compared:
                for server in (one, two):
                    count = len(server.pids)
                    settings.told(f"{count} do-nothing server(s), round {turn + 1}: {name}")
                    got = sample(settings, name, server, connections)
                    seen[name, count].append(got)
                    found.records.append({**_record("second", connections, name, turn, got), "servers": count})
    for name in compared:
        rate = {count: [s.rate for s in seen[name, count]] for count in (1, 2)}
        found.notes.append(
            f"{name}, {connections} connections: {spread(rate[2], ',.0f')} requests/s against two do-nothing servers "
            f"(a CPU each), {spread(rate[1], ',.0f')} against one, ratio {spread(ratios(rate[2], rate[1]))}"
        )


def _record(part: str, connections: int, name: str, turn: int, one: Sample) -> dict[str, object]:
    return {
        "part": part,
        "connections": connections,
        "generator": name,
        "round": turn,
        "rate_rps": one.rate,
        "generator_cpu_share": one.generator_share,
        "server_cpu_share": one.server_share,
    }
