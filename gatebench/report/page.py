"""A session and its verdicts to the text of the page: what it says, in which order, and safely escaped.

Knows all values that the templates show. Must not write files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from gatebench.claims import DECIDED, SILENT
from gatebench.metrics import blocks, show
from gatebench.model import Comparison, Part, Run, Session, Setting
from gatebench.report import templating
from gatebench.report.published import Measured, PublishedTable, Row
from gatebench.report.sections import Section
from gatebench.stats import ENOUGH, LEVEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Names down, stacks across, a value or nothing in each place."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Trials of one cell that are void or failed for one reason."""

    cell: str
    status: str
    blocks: str
    reason: str
    log: str


def content(
    session: Session,
    published: Sequence[PublishedTable],
    sections: Sequence[Section],
    compared: Sequence[Comparison],
) -> dict[str, Any]:
    """Give everything the templates show, by name."""
    valid = sum(run.status == "ok" for run in session.runs)
    rows_of_factors = [row for table in published if table.figures for row in table.rows if row.factor]
    tiles = [(row, each) for row in rows_of_factors if (each := _first(row))]
    rows = [(row, each) for table in published for row in table.rows for each in row.measured]
    ratios = sum(each.ratio is not None for each in compared)
    decided = sum(each.word in DECIDED and each.has_figure for _, each in rows)
    return {
        "session": session,
        "valid": valid,
        "banners": _banners(session, valid),
        "summary": _summary(session, valid, tiles),
        "tiles": tiles,
        "published": published,
        "silent": SILENT,
        "unmeasured": sum(not (table.figures or table.told) for table in published),
        "sections": sections,
        "ratios": ratios,
        "decided": decided,
        "misses": _by_chance(ratios),
        "wrong": _by_chance(decided),
        "few": _fewest(session) < ENOUGH,
        "spoken": any(run.capabilities for run in session.runs),
        "share": measuring_share(session),
        "facts": _facts(session),
        "matrices": _matrices(session),
        "rejected": _rejected(session),
        "stacks": session.plan.stacks,
    }


def html(values: dict[str, Any]) -> str:
    """Give the page."""
    return templating.html("report.html.j2", values)


def markdown(values: dict[str, Any]) -> str:
    """Give the same in Markdown, without figures."""
    return templating.filled("report.md.j2", values, _escape_markdown)


def measuring_share(session: Session) -> float | None:
    """Say which share of the session's wall time was spent in measuring windows."""
    windows = sum(run.window_s or 0.0 for run in session.runs)
    wall = _wall_s(session)
    # An invented session's windows are longer than the time it took.
    return windows / wall if 0 < windows <= wall else None


def _wall_s(session: Session) -> float:
    if session.ended_at is None:
        return sum(run.elapsed_s or 0.0 for run in session.runs)
    ended, started = (datetime.fromisoformat(text) for text in (session.ended_at, session.started_at))
    return (ended - started).total_seconds()


def _escape_markdown(value: Any) -> Markup:
    text = re.sub(r"([\\`*_{}\[\]<>|#~$&!])", r"\\\1", " ".join(str(value).split()))
    return Markup(text.replace("//", r"/\/"))  # noqa: S704 -- escaped


def _first(row: Row) -> Measured | None:
    return next((each for each in row.measured if each.has_figure), None)


WIDEST = 12  # stacks that stand beside each other; more of them stand below each other
PARTS = (
    ("settings", "Settings of each stack"),
    ("versions", "Versions installed for each stack"),
    ("image", "Image of each stack"),
)


def _banners(session: Session, valid: int) -> list[tuple[str, str]]:
    found = []
    if session.surroundings.get("network") == "bridge":
        inside = session.surroundings.get("generator") == "container"
        text = (
            "Containers were on a bridge, and the generator among them: load went over their own loopback."
            if inside
            else "Containers were on a bridge: what its published ports cost is part of every figure."
        )
        found.append(("note", text))
    if session.backend == "fake":
        text = "The figures of this page are invented: the session tests the pipeline and measured nothing."
        found.append(("alarm", text))
    if not valid:
        text = "No trial of this session is valid, so the page holds no figure; the last section says why."
        found.append(("alarm", text))
    if valid and _fewest(session) < ENOUGH:
        some = "" if len(session.plan.parts) == 1 else "Some parts have few blocks, at least one of them "
        text = (
            f"{some}{blocks(_fewest(session))} only: intervals are wide, rest on an assumption that {ENOUGH} blocks "
            "would not need, and are marked few."
        )
        found.append(("note", text))
    if session.interrupted:
        found.append(("note", f"The session was interrupted after {len(session.runs)} trials; the page shows these."))
    if shared := session.placement.shared:
        found.append(("note", f"CPUs were not apart: {shared}."))
    return found + [("note", notice) for notice in session.notices]


def _fewest(session: Session) -> int:
    """Give the smallest number of blocks of a part; what is spoken once is no figure."""
    measured = [
        part.blocks for part in session.plan.parts if any(each.load.kind != "speak" for each in part.measures)
    ]
    return min(measured, default=ENOUGH)


def _summary(session: Session, valid: int, tiles: Sequence[tuple[Row, Measured]]) -> str:
    said = [f"{valid} of {len(session.runs)} trials in {blocks(session.plan.blocks)} are valid."]
    if tiles:
        pair = tiles[0][1]
        said.append(f"How many times better {pair.asgi_stack} did than {pair.wsgi_stack}:")
        same = [
            (row, each)
            for row, each in tiles
            if (each.wsgi_stack, each.asgi_stack) == (pair.wsgi_stack, pair.asgi_stack)
        ]
        parts = [
            f"{row.claim.label} {each.factor.value} ({each.factor.interval}; published {row.factor}: {each.word})"
            for row, each in same
        ]
        said.append(", ".join(parts) + ".")
    return " ".join(said)


def _by_chance(count: int) -> str:
    expected = (1 - LEVEL) * count
    return "less than one" if expected < 1 else f"about {expected:.0f}"


def _facts(session: Session) -> list[tuple[str, str]]:
    machine, placement = session.machine, session.placement
    share = measuring_share(session)
    return [
        ("Session", session.name),
        ("Plan", f"{session.plan.name}: {session.plan.title}"),
        ("Started", session.started_at),
        ("Lasted", _duration(_wall_s(session))),
        ("In measuring windows", "—" if share is None else f"{share:.0%} of the time"),
        ("Blocks and seed", f"{blocks(session.plan.blocks)}, seed {session.plan.seed}"),
        *(("Window", _window(part)) for part in session.plan.parts[:1] if len(session.plan.parts) == 1),
        ("Profile", ", ".join(dict.fromkeys(run.profile for run in session.runs)) or "none"),
        ("Backend", session.backend),
        *((f"{name[0].upper()}{name[1:]}", _setting(value)) for name, value in session.surroundings.items()),
        ("Commit", session.commit or "not known"),
        ("Processor", f"{machine.cpu}, {machine.cpus} usable CPUs"),
        ("Memory", f"{machine.memory_bytes / 2**30:.1f} GiB"),
        ("System", f"{machine.system}, kernel {machine.kernel}"),
        ("Python", machine.python),
        ("Machine", machine.identity),
        ("Server's CPUs", _cpus(placement.server)),
        ("Generator's CPUs", _cpus(placement.generator)),
        ("Services' CPUs", _cpus(placement.services)),
        *((f"Version of {tool}", version) for tool, version in sorted(session.tools.items())),
        *((f"Generator's ceiling, {name}", show(rate, "1/s")) for name, rate in sorted(session.ceilings.items())),
    ]


def _window(part: Part) -> str:
    return f"{part.window_s:g} s after at most {part.warmup_limit_s:g} s of warm-up"


def _cpus(cpus: Sequence[int]) -> str:
    return ", ".join(str(cpu) for cpu in cpus) or "none"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _matrices(session: Session) -> list[Matrix]:
    planned = [stack for stack in session.plan.stacks if stack in session.stacks]
    stacks = dict.fromkeys([*planned, *session.stacks])
    made = [_parts(session)] if len(session.plan.parts) > 1 else []
    for part, title in PARTS:
        columns = {stack: session.stacks[stack].get(part, {}) for stack in stacks}
        if len(columns) > WIDEST:
            listed = ((stack, (_listed(column),)) for stack, column in columns.items() if column)
            made.append(Matrix(title=title, heads=("values",), rows=tuple(listed)))
            continue
        names = sorted({name for column in columns.values() for name in column})
        rows = tuple((name, tuple(_setting(column.get(name)) for column in columns.values())) for name in names)
        made.append(Matrix(title=title, heads=tuple(columns), rows=rows))
    services = tuple(
        (f"{service}: {name}", (_setting(value),))
        for service, facts in session.services.items()
        for name, value in facts.items()
    )
    made.append(Matrix(title="Services", heads=("value",), rows=services))
    return [matrix for matrix in made if matrix.rows]


def _parts(session: Session) -> Matrix:
    rows = (
        (part.name, (part.title, str(len(part.stacks)), str(part.blocks), str(part.server_cpus), _window(part)))
        for part in session.plan.parts
    )
    heads = ("title", "stacks", "blocks", "CPUs of the server", "window")
    return Matrix(title="Parts of the plan", heads=heads, rows=tuple(rows))


def _listed(column: Mapping[str, Setting]) -> str:
    return ", ".join(f"{name} {_setting(value)}" for name, value in sorted(column.items()))


def _setting(value: Setting | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "—" if value is None else str(value)


def _rejected(session: Session) -> list[Rejected]:
    groups: dict[tuple[str, str, str], list[Run]] = {}
    several = len(session.plan.parts) > 1
    for run in session.runs:
        if run.status != "ok":
            part = f"{run.part}: " if several else ""
            key = f"{part}{run.stack}, {run.scenario}, {run.load}", run.status, run.reason or "no reason was given"
            groups.setdefault(key, []).append(run)
    return [
        Rejected(
            cell=cell,
            status=status,
            blocks=", ".join(str(run.block) for run in sorted(group, key=lambda run: run.block)),
            reason=reason,
            log=next((run.log for run in group if run.log), ""),
        )
        for (cell, status, reason), group in sorted(groups.items())
    ]
