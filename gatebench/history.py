"""Each cell over the sessions of one machine: its figure session by session, and where its level changed.

A judging room: it knows sessions as they were read from files, and change points. Must not know files, pages or how
anything was measured. The last session is never held against the one before it: a change is a level that others
follow, found over the whole series.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median

from gatebench import metrics
from gatebench.changes import changes
from gatebench.model import AnyInterface, Estimate, Run, Session
from gatebench.stats import median_interval

SHOWN = ("cpu_us_per_request", "rate_rps", "response_p99_s")  # the metrics of a history where none is named
ERROR = 0.01  # share of unchanged series that a change point is found in; a history has many series
FEWEST = 11  # sessions of which a change can be told with that error
TIMES_OF_BLOCKS = ("response_", "connect_")  # metrics of which all valid trials have a figure, or none counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What must be the same for figures of two sessions to be held against each other."""

    machine: str  # its identity
    cpu: str
    backend: str
    network: str | None  # of containers
    neighbour: str | None  # that was made to share the servers' CPUs
    python: str  # that stacks run on, as far as "3.11": a newer patch is a change to be seen
    server: tuple[int, ...]  # CPUs
    generator: tuple[int, ...]
    services: tuple[int, ...]

    def __str__(self) -> str:
        """Say it in one line."""
        where = f"{self.backend}, network {self.network}" if self.network else self.backend
        cpus = (
            f"{party} on {','.join(map(str, placed)) or 'none'}"
            for party, placed in (("server", self.server), ("generator", self.generator), ("services", self.services))
        )
        beside = f"; with a neighbour, {self.neighbour}" if self.neighbour else ""
        return f"machine {self.machine} ({self.cpu}), {where}, Python {self.python}, CPUs: {'; '.join(cpus)}{beside}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A cell's figure in one session."""

    session: str
    started_at: str
    commit: str | None
    estimate: Estimate  # its blocks are those with a valid figure
    trials: int  # that were made
    facts: Mapping[str, str]  # what may explain a change: versions, settings, kernel

    @property
    def day(self) -> str:
        """When it was measured, as far as a reader wants it."""
        return datetime.fromisoformat(self.started_at).strftime("%Y-%m-%d %H:%M")


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Points between two changes, or all of them."""

    start: int  # index of its first point
    end: int  # and of the one after its last
    value: float  # median


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A place where a series changed its level."""

    before: Level
    after: Level
    p_value: float
    better: bool
    last: Point  # of the old level
    first: Point  # of the new one
    differs: tuple[str, ...]  # what the two have otherwise, the commit first: "flask 3.1.2 → 3.1.3"

    @property
    def share(self) -> float | None:
        """By how much of the old level it changed; None where that is nothing to divide by."""
        return self.after.value / self.before.value - 1 if self.before.value > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One metric of one cell over sessions, oldest first."""

    room: Room
    part: str
    stack: str
    interface: AnyInterface
    scenario: str
    scenario_version: int
    load: str
    window_s: float | None
    metric: str
    points: tuple[Point, ...]
    missing: int  # sessions in which the cell has no figure
    levels: tuple[Level, ...]  # empty where too few sessions tell
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        """Name the cell; sessions with another window or version of the scenario have a series of their own."""
        version = f" version {self.scenario_version}" if self.scenario_version != 1 else ""
        window = f" for {self.window_s:g} s" if self.window_s else ""
        return f"{self.part}: {self.stack}, {self.scenario}{version} {self.load}{window}"

    @property
    def latest(self) -> Point:
        """The newest session's figure."""
        return self.points[-1]

    @property
    def enough(self) -> bool:
        """Whether there are so many sessions that a change could be told."""
        return bool(self.levels)

    @property
    def too_few(self) -> str:
        """Say why no change is looked for."""
        return f"too few to tell: {len(self.points)} of the {FEWEST} sessions that it takes"


@dataclass(frozen=True, slots=True)
class _Cell:
    """What tells one series from another, but for its metric."""

    room: Room
    part: str
    stack: str
    scenario: str
    scenario_version: int
    load: str
    window_s: float | None


def histories(
    sessions: Iterable[Session],
    *,
    metric_names: Sequence[str] = SHOWN,
    stacks: Collection[str] = (),
    scenarios: Collection[str] = (),
) -> tuple[Series, ...]:
    """Give each cell's series, machine by machine; a gate's sessions have none, since arms are not the same twice.

    Of all stacks and scenarios where none is named. Cells follow each other as in the newest session that has them;
    a session that is given twice counts once.
    """
    cells: dict[_Cell, list[tuple[Session, list[Run]]]] = {}
    places: dict[_Cell, tuple[int, int]] = {}
    for number, session in enumerate(ordered(sessions)):
        if session.gate is None:
            for place, (cell, runs) in enumerate(_cells(session).items()):
                if cell.stack in (stacks or (cell.stack,)) and cell.scenario in (scenarios or (cell.scenario,)):
                    cells.setdefault(cell, []).append((session, runs))
                    places[cell] = -number, place
    in_order = sorted(cells, key=lambda cell: (str(cell.room), places[cell]))
    made = (_series(cell, name, cells[cell]) for cell in in_order for name in metric_names)
    return tuple(each for each in made if each is not None)


def ordered(sessions: Iterable[Session]) -> list[Session]:
    """Give sessions oldest first, each once: of two with one name that which has more trials."""
    found: dict[str, Session] = {}
    for session in sessions:
        other = found.get(session.name)
        if other is None or len(session.runs) > len(other.runs):
            found[session.name] = session
    return sorted(found.values(), key=lambda session: (_started(session), session.name))


def _started(session: Session) -> datetime:
    return datetime.fromisoformat(session.started_at)


def _cells(session: Session) -> dict[_Cell, list[Run]]:
    """Give a session's trials by cell, in the plan's order of parts, scenarios and stacks."""
    windows = {part.name: part.window_s for part in session.plan.parts}
    parts = {part.name: place for place, part in enumerate(session.plan.parts)}
    measures = {(each.scenario, str(each.load)): place for place, each in enumerate(session.plan.measures)}
    stacks = {stack: place for place, stack in enumerate(session.plan.stacks)}

    def place(run: Run) -> tuple[int, ...]:
        measure = measures.get((run.scenario, run.load), len(measures))
        return parts.get(run.part or "", 0), measure, stacks.get(run.stack, len(stacks)), run.block

    found: dict[_Cell, list[Run]] = {}
    for run in sorted(session.runs, key=place):
        part = run.part or session.plan.parts[0].name
        cell = _Cell(
            room=_room(session, run),
            part=part,
            stack=run.stack,
            scenario=run.scenario,
            scenario_version=run.scenario_version,
            load=run.load,
            window_s=windows.get(part),
        )
        found.setdefault(cell, []).append(run)
    return found


def _room(session: Session, run: Run) -> Room:
    versions = session.stacks.get(run.stack, {}).get("versions", {})
    python = session.plan.python or ".".join(str(versions.get("python", session.machine.python)).split(".")[:2])
    network, neighbour = (session.surroundings.get(name) for name in ("network", "neighbour"))
    placed = session.placement
    return Room(
        machine=session.machine.identity,
        cpu=session.machine.cpu,
        backend=session.backend,
        network=None if network is None else str(network),
        neighbour=None if neighbour in (None, "none") else str(neighbour),
        python=python,
        # A part may want another number of CPUs than the plan's other parts.
        server=run.placement.get("server", placed.server),
        generator=run.placement.get("generator", placed.generator),
        services=run.placement.get("services", placed.services),
    )


def _series(cell: _Cell, metric: str, found: Sequence[tuple[Session, list[Run]]]) -> Series | None:
    points = [point for session, runs in found if (point := _point(session, runs, metric)) is not None]
    if not points:
        return None
    levels, steps = _levels(points, metric)
    return Series(
        room=cell.room,
        part=cell.part,
        stack=cell.stack,
        interface=found[-1][1][0].interface,
        scenario=cell.scenario,
        scenario_version=cell.scenario_version,
        load=cell.load,
        window_s=cell.window_s,
        metric=metric,
        points=tuple(points),
        missing=len(found) - len(points),
        levels=levels,
        steps=steps,
    )


def _point(session: Session, runs: Sequence[Run], metric: str) -> Point | None:
    """Give a cell's figure in a session; None where no valid trial has one."""
    waits_s = session.waits.get(runs[0].scenario)
    valid = [run for run in runs if run.status == "ok"]
    read = [_figure(run, metric, waits_s) for run in valid]
    if metric.startswith(TIMES_OF_BLOCKS) and None in read:
        return None  # only the faster blocks have one, and they alone would mislead
    values = [value for value in read if value is not None]
    if not values:
        return None
    described = session.stacks.get(runs[0].stack, {})
    facts = {name: value for kind in ("versions", "settings") for name, value in described.get(kind, {}).items()}
    return Point(
        session=session.name,
        started_at=session.started_at,
        commit=session.commit,
        estimate=median_interval(values),
        trials=len(runs),
        facts={**{name: str(value) for name, value in facts.items()}, "kernel": session.machine.kernel},
    )


def _figure(run: Run, metric: str, waits_s: float | None) -> float | None:
    if run.overloaded and metric.startswith("response_"):
        return None  # lower bounds
    value = metrics.read(metric, run, waits_s)
    return None if value is None else float(value)


def _levels(points: Sequence[Point], metric: str) -> tuple[tuple[Level, ...], tuple[Step, ...]]:
    """Find levels and changes; on the logarithms, where there are some, since speed changes by factors."""
    if len(points) < FEWEST:
        return (), ()
    values = [point.estimate.value for point in points]
    found = changes([math.log(value) for value in values] if min(values) > 0 else values, error=ERROR)
    ends = pairwise([0, *(change.at for change in found), len(values)])
    levels = tuple(Level(start=start, end=end, value=median(values[start:end])) for start, end in ends)
    higher = metrics.TABLE[metric][0].better == "higher"
    steps = (
        Step(
            before=before,
            after=after,
            p_value=change.p_value,
            better=(after.value > before.value) == higher,
            last=points[change.at - 1],
            first=points[change.at],
            differs=_differs(points[change.at - 1], points[change.at]),
        )
        for change, (before, after) in zip(found, pairwise(levels), strict=True)
    )
    return levels, tuple(steps)


def _differs(last: Point, first: Point) -> tuple[str, ...]:
    sides = [{"commit": point.commit or "not known", **point.facts} for point in (last, first)]
    names = dict.fromkeys([*sides[0], *sides[1]])
    both = ((name, *(side.get(name, "none") for side in sides)) for name in names)
    return tuple(f"{name} {old} → {new}" for name, old, new in both if old != new)
