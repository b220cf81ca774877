"""What was recorded, read back: of each variant and condition the log-ratios block by block, and the runs themselves.

Knows results files and which surroundings say what. Must not know how a piece was recorded, nor judge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gatebench import metrics, store
from gatebench.errors import UsageError
from gatebench.gate import MARGINS
from gatebench.model import Run, Session
from gatebench.power.living import HEAD
from gatebench.power.recording import NOISE, PLAN, TURN

METRICS = tuple(MARGINS)  # the leading one first; the columns of all arrays here
CONDITIONS = ("quiet", "noisy")
TOLD = 200  # characters of two facts that differ, beyond which a sentence does not hold them


@dataclass(frozen=True, slots=True)
class Pair:
    """One duet in which both arms are valid."""

    piece: int  # which file, from 0
    base: Run
    other: Run
    ratios: tuple[float, ...]  # log(other / base) a metric; NaN where there is none


@dataclass(slots=True, kw_only=True)
class Recorded:
    """One variant beside the base under one condition, in order of time over all pieces."""

    variant: str
    condition: str
    pairs: list[Pair] = field(default_factory=list)
    void: int = 0  # duets without two valid runs
    elapsed_s: list[float] = field(default_factory=list)  # of every duet

    @property
    def ratios(self) -> np.ndarray:
        """A row a block, a column a metric."""
        return np.array([pair.ratios for pair in self.pairs]).reshape(-1, len(METRICS))

    @property
    def by_piece(self) -> list[np.ndarray]:
        """The same, an array a piece: what is next to each other in one piece followed each other."""
        pieces = [pair.piece for pair in self.pairs]
        return [self.ratios[np.array(pieces) == piece] for piece in dict.fromkeys(pieces)]

    @property
    def block_s(self) -> float | None:
        """How long a duet took, typically."""
        return float(np.median(self.elapsed_s)) if self.elapsed_s else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """All that lies in a folder of recordings."""

    pieces: tuple[Session, ...]
    files: Mapping[str, tuple[str, ...]]  # condition -> the names of its pieces
    found: Mapping[tuple[str, str], Recorded]  # variant and condition
    live: tuple[tuple[str, Session], ...]  # real gates, with the names of their files

    def of(self, condition: str) -> list[Recorded]:
        """Give the variants of one condition, in the order in which they were first planned."""
        return [one for (_, name), one in self.found.items() if name == condition]

    @property
    def share_of_turn(self) -> float | None:
        """What a turn of busy work was taken to cost."""
        return next((float(cost) for one in self.pieces if (cost := one.surroundings.get(TURN))), None)


def condition_of(session: Session) -> str:
    """Say whether a neighbour was there."""
    return CONDITIONS[session.surroundings.get(NOISE, "none") != "none"]


def variant_of(session: Session) -> str | None:
    """Say which variant head is in a live gate."""
    found = session.surroundings.get(HEAD)
    return found if isinstance(found, str) else None


def recording(folder: Path) -> Recording:
    """Read all pieces and live gates of a folder; UsageError where there is none, or they do not fit together."""
    sessions = [(path.name, store.read(path)) for path in sorted(folder.glob("*.jsonl"))]
    sessions.sort(key=lambda one: one[1].started_at)
    pieces = [(name, session) for name, session in sessions if session.plan.name == PLAN]
    # A gate that is under way, or was killed, has said nothing yet.
    live = [
        (name, session) for name, session in sessions if session.gate is not None and session.ended_at is not None
    ]
    if not pieces and not live:
        raise UsageError(f"{folder} holds no recording: `python -m gatebench.power record` makes one.")
    _check(sessions)
    found: dict[tuple[str, str], Recorded] = {}
    for number, (_, session) in enumerate(pieces):
        for part in session.plan.parts:
            _, other = part.stacks
            key = other.partition(":")[0], condition_of(session)
            one = found.setdefault(key, Recorded(variant=key[0], condition=key[1]))
            _take(one, number, [run for run in session.runs if run.part == part.name], part.stacks)
    return Recording(
        pieces=tuple(session for _, session in pieces),
        files={
            condition: tuple(name for name, session in pieces if condition_of(session) == condition)
            for condition in CONDITIONS
        },
        found=found,
        live=tuple(live),
    )


def _check(sessions: Sequence[tuple[str, Session]]) -> None:
    """Refuse recordings of two machines, two placements or two kinds of work."""
    seen: dict[str, tuple[str, str]] = {}
    for name, session in sessions:
        load = session.plan.parts[0].measures[0]
        facts = {
            "machine": session.machine.identity,
            "kernel": session.machine.kernel,
            "placement": str(session.placement),
            "backend": session.backend,
            "stack": session.plan.parts[0].stacks[0],
            "measure": f"{load.scenario} {load.load}",
            "cost of a turn": str(session.surroundings.get(TURN)),
            "settings and versions": str(session.stacks.get(session.plan.parts[0].stacks[0])),
        }
        if session.runs:
            facts["scenario version"] = str(session.runs[0].scenario_version)
        if session.plan.name == PLAN:
            facts |= {f"window of {part.name}": f"{part.window_s:g} s" for part in session.plan.parts}
        for key, fact in facts.items():
            before, first = seen.setdefault(key, (fact, name))
            if before != fact:
                told = f" ({fact}, and {before} there)" if len(fact + before) < TOLD else ""
                raise UsageError(f"{name} has another {key} than {first}{told}: keep them in two folders.")


def _take(one: Recorded, piece: int, runs: Sequence[Run], stacks: Sequence[str]) -> None:
    blocks: dict[int, dict[str, Run]] = {}
    for run in runs:
        blocks.setdefault(run.block, {})[run.stack] = run
    for _, duet in sorted(blocks.items()):
        if set(duet) != set(stacks):  # cut short
            continue
        base, other = (duet[name] for name in stacks)
        if base.elapsed_s is not None:
            one.elapsed_s.append(base.elapsed_s)
        ratios = tuple(_ratio(base, other, metric) for metric in METRICS)
        if base.status == other.status == "ok" and math.isfinite(ratios[0]):
            one.pairs.append(Pair(piece=piece, base=base, other=other, ratios=ratios))
        else:
            one.void += 1


def _ratio(base: Run, other: Run, metric: str) -> float:
    first, second = (metrics.read(metric, run) for run in (base, other))
    return math.log(second / first) if first and second else math.nan
