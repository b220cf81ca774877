"""What was measured on what: the session's facts, stacks, what was spoken, and what is void.

Knows sessions. Must not know figures or verdicts, nor how a page looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gatebench import tables
from gatebench.metrics import show
from gatebench.model import Part, Run, Session, Setting
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.wording import figure
from gatebench.tables.spans import shape, spanned

WIDEST = 12  # stacks that stand beside each other; more of them stand below each other
PARTS = {
    "settings": "Settings of each stack",
    "versions": "Versions installed for each stack",
    "image": "Image of each stack",
}
UNITS = {"h2 multiplexing": "s", "h3 multiplexing": "s", "sse streams": "streams", "openapi": "paths"}  # of figures
SILENT = ("it wrote nothing", "it left no log")  # what a backend says in place of a log


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Names down, values across, a value or nothing in each place."""

    anchor: str
    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    head_anchors: tuple[str, ...] = ()
    row_anchors: tuple[tuple[tuple[str, str], ...], ...] = ()  # of each name that a row is of, with the name


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Trials of one cell that are void or failed for one reason, whose figures may differ."""

    cell: str
    anchor: str | None
    status: str
    trials: int
    blocks: str
    reason: str
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The stacks that do not speak a protocol for one reason, and what the first of them said."""

    protocol: str
    why: str
    stacks: tuple[str, ...]
    transcript: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """What each stack was heard to speak, and what was said where it does not."""

    protocols: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    refusals: tuple[Refusal, ...]


def head(session: Session, say: Language) -> tuple[str, ...]:
    """Say when and on what it was measured, and of which versions the first part's apps and servers are."""
    machine = session.machine
    days = dict.fromkeys(time[:10] for time in (session.started_at, session.ended_at) if time)
    versions: dict[str, dict[str, None]] = {"Python": {}}
    for stack in session.plan.parts[0].stacks:
        named = {"python", *re.split(r"[^A-Za-z0-9]+", stack)}
        for name, version in session.stacks.get(stack, {}).get("versions", {}).items():
            if name in named:
                versions.setdefault("Python" if name == "python" else name, {})[str(version)] = None
    versions["Python"] = versions["Python"] or {machine.python: None}
    return (
        say(
            "Measured on {date}: {cpu}, {cpus}, {memory} of memory, {system}, kernel {kernel}.",
            date=" \N{EN DASH} ".join(days),
            cpu=machine.cpu,
            cpus=_usable(session, say),
            memory=_memory(session),
            system=machine.system,
            kernel=machine.kernel,
        ),
        say(
            "Backend: {backend}. Versions: {versions}.",
            backend=session.backend,
            versions=", ".join(f"{name} {' / '.join(found)}" for name, found in versions.items()),
        ),
    )


def _usable(session: Session, say: Language) -> str:
    cpus = session.machine.cpus
    return say("1 usable CPU") if cpus == 1 else say("{cpus} usable CPUs", cpus=cpus)


def _memory(session: Session) -> str:
    return f"{session.machine.memory_bytes / 2**30:.1f} GiB"


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


def facts(session: Session, say: Language) -> list[tuple[str, str]]:
    """Give what there is to know of the session and its machine, by name."""
    machine, placement = session.machine, session.placement
    share = measuring_share(session)
    windows = [part for part in session.plan.parts[:1] if len(session.plan.parts) == 1]
    return [
        (say("Session"), session.name),
        (say("Plan"), f"{session.plan.name}{say(': ')}{say.told(session.plan.title)}"),
        (say("Started"), session.started_at),
        (say("Lasted"), _duration(_wall_s(session), say)),
        (
            say("In measuring windows"),
            "—" if share is None else say("{share} of the time", share=f"{100 * share:.0f} %"),
        ),
        (say("Blocks"), str(session.plan.blocks)),
        (say("Seed"), str(session.plan.seed)),
        *((say("Window"), _window(part, say)) for part in windows),
        (say("Profile"), ", ".join(dict.fromkeys(run.profile for run in session.runs)) or "—"),
        (say("Backend"), session.backend),
        *(
            (say.told(f"{name[0].upper()}{name[1:]}"), say.told(spelled(value, say)))
            for name, value in _around(session)
        ),
        (say("Commit"), session.commit or "—"),
        (say("Processor"), f"{machine.cpu}{say(', ')}{_usable(session, say)}"),
        (say("Memory"), _memory(session)),
        (say("System"), say("{system}, kernel {kernel}", system=machine.system, kernel=machine.kernel)),
        ("Python", machine.python),
        (say("Machine"), machine.identity),
        (say("Server's CPUs"), _cpus(placement.server)),
        (say("Generator's CPUs"), _cpus(placement.generator)),
        (say("Services' CPUs"), _cpus(placement.services)),
        *(
            (say("Version of {tool}", tool=tool), version)
            for tool, version in sorted(session.tools.items())
            if tool != "python"  # which stands above
        ),
        *(
            (say("Generator's ceiling, {kind}", kind=name), figure(rate, "1/s", say))
            for name, rate in sorted(session.ceilings.items())
        ),
    ]


def _around(session: Session) -> Iterator[tuple[str, Setting]]:
    yield from ((name, value) for name, value in session.surroundings.items() if name)


def _window(part: Part, say: Language) -> str:
    return say(
        "{window} s after at most {limit} s of warm-up", window=f"{part.window_s:g}", limit=f"{part.warmup_limit_s:g}"
    )


def _cpus(cpus: Sequence[int]) -> str:
    return ", ".join(str(cpu) for cpu in cpus) or "—"


def _duration(seconds: float, say: Language) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return say("{minutes} min {seconds} s", minutes=minutes, seconds=rest) if minutes else f"{rest} s"


def matrices(found: Found, say: Language) -> list[Matrix]:
    """Give the plan's parts, and settings, versions and images stack by stack, with places to link to."""
    session = found.session
    made = [_parts(found, say)] if found.several else []
    for kind, title in PARTS.items():
        columns = {stack: session.stacks[stack].get(kind, {}) for stack in found.stacks}
        anchors = tuple(f"{kind}-{place}" for place in range(len(columns)))
        like = Matrix(anchor=kind, title=say.told(title), heads=(say("Values"),), rows=())
        if not any(columns.values()):
            continue
        if len(columns) > WIDEST:
            alike: dict[str, list[tuple[str, str]]] = {}
            for (stack, column), anchor in zip(columns.items(), anchors, strict=True):
                alike.setdefault(_listed(column, say), []).append((stack, anchor))
            listed = tuple((", ".join(stack for stack, _ in group), (text,)) for text, group in alike.items())
            made.append(replace(like, rows=listed, row_anchors=tuple(map(tuple, alike.values()))))
        else:
            names = sorted({name for column in columns.values() for name in column})
            rows = tuple((name, tuple(spelled(each.get(name), say) for each in columns.values())) for name in names)
            made.append(replace(like, heads=tuple(columns), rows=rows, head_anchors=anchors))
    services = tuple(
        (f"{service}: {name}", (spelled(value, say),))
        for service, facts in session.services.items()
        for name, value in facts.items()
    )
    made.append(Matrix(anchor="services", title=say("Services"), heads=(say("Values"),), rows=services))
    return [matrix for matrix in made if matrix.rows]


def _parts(found: Found, say: Language) -> Matrix:
    rows = (
        (
            part.name,
            (
                say.told(part.title),
                str(len(part.stacks)),
                str(part.blocks),
                _had(found, part, say),
                _window(part, say),
            ),
        )
        for part in found.session.plan.parts
    )
    heads = (say("Title"), say("Stacks"), say("Blocks"), say("CPUs of the server"), say("Window"))
    return Matrix(anchor="parts", title=say("Parts of the plan"), heads=heads, rows=tuple(rows))


def _had(found: Found, part: Part, say: Language) -> str:
    """Give on how many CPUs a part's servers ran, and how many the plan asks for where the machine had others."""
    cpus = found.server_cpus(part.name)
    had = " / ".join(map(str, cpus)) or "—"
    return had if cpus == (part.server_cpus,) else say("{had} (planned: {cpus})", had=had, cpus=part.server_cpus)


def _listed(column: Mapping[str, Setting], say: Language) -> str:
    return ", ".join(f"{name} {spelled(value, say)}" for name, value in sorted(column.items()))


def spelled(value: Setting | None, say: Language) -> str:
    """Put a setting in words: as its server spells it, in every language."""
    if isinstance(value, bool):
        return say("yes") if value else say("no")
    return "—" if value is None else str(value)


def rejected(found: Found, say: Language) -> list[Rejected]:
    """Give the trials that count for nothing, those of one cell together whose reasons differ in figures only."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    only = found.session.plan.parts[0].name
    for run in found.session.runs:
        if run.status != "ok":
            part = f"{run.part}{say(': ')}" if found.several else ""
            cell = f"{part}{run.stack}, {run.scenario}, {run.load}"
            groups.setdefault((cell, run.status, shape(_reason(run))), []).append(run)
    return [
        Rejected(
            cell=cell,
            anchor=found.anchors.get((group[0].part or only, group[0].stack, group[0].scenario, group[0].load)),
            status=status,
            trials=len(group),
            blocks=", ".join(str(block) for block in sorted({run.block for run in group})),
            reason=spanned([_reason(run) for run in group]),
            log=next((run.log for run in group if run.log and run.log not in SILENT), ""),
        )
        for (cell, status, _), group in sorted(groups.items())
    ]


def _reason(run: Run) -> str:
    return run.reason or "no reason was given"


def spoken(session: Session) -> Spoken | None:
    """Give what was spoken; None where nothing was asked."""
    table = tables.capabilities(session)
    if table.empty:
        return None
    protocols = list(dict.fromkeys(table["protocol"]))
    answers: dict[str, dict[str, list[str]]] = {}
    for row in table.to_dict("records"):
        told = "" if row["figure"] is None or row["figure"] != row["figure"] else f" ({_heard(row)})"
        answers.setdefault(row["stack"], {}).setdefault(row["protocol"], []).append(f"{row['answer']}{told}")
    refused: dict[tuple[str, str], dict[str, str]] = {}
    for run in session.runs:
        for each in run.capabilities if run.status == "ok" else ():
            if each.answer == "no":
                refused.setdefault((each.protocol, each.why), {}).setdefault(run.stack, each.transcript or "")
    return Spoken(
        protocols=tuple(protocols),
        rows=tuple(
            (stack, tuple(" / ".join(said.get(protocol, ["—"])) for protocol in protocols))
            for stack, said in answers.items()
        ),
        refusals=tuple(
            Refusal(protocol=protocol, why=why, stacks=tuple(stacks), transcript=said[stacks[0]])
            for (protocol, why), said in sorted(refused.items(), key=lambda each: protocols.index(each[0][0]))
            if (stacks := [stack for stack in answers if stack in said])
        ),
    )


def _heard(row: Mapping[Any, Any]) -> str:
    """Put what was counted or timed as a protocol was spoken in words, with its unit."""
    value, unit = row["figure"], UNITS.get(row["protocol"], "")
    return show(value, unit) if unit in ("", "s") else f"{show(value, '')} {unit if value != 1 else unit[:-1]}"
