"""What was measured on what: the session's facts, stacks, what was spoken, and what is void.

Knows sessions. Must not know figures or verdicts, nor how a page looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gatebench import tables
from gatebench.metrics import show
from gatebench.model import Part, Run, Session, Setting
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.wording import figure

WIDEST = 12  # stacks that stand beside each other; more of them stand below each other
PARTS = {
    "settings": "Settings of each stack",
    "versions": "Versions installed for each stack",
    "image": "Image of each stack",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Names down, values across, a value or nothing in each place."""

    anchor: str
    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    head_anchors: tuple[str, ...] = ()
    row_anchors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Trials of one cell that are void or failed for one reason."""

    cell: str
    anchor: str | None
    status: str
    blocks: str
    reason: str
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """What each stack was heard to speak, and what was said where it does not."""

    protocols: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    transcripts: tuple[tuple[str, str, str], ...]  # who, why, what was said


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
        (say("Plan"), f"{session.plan.name}: {say.told(session.plan.title)}"),
        (say("Started"), session.started_at),
        (say("Lasted"), _duration(_wall_s(session), say)),
        (say("In measuring windows"), "—" if share is None else say("{share} of the time", share=f"{share:.0%}")),
        (say("Blocks"), str(session.plan.blocks)),
        (say("Seed"), str(session.plan.seed)),
        *((say("Window"), _window(part, say)) for part in windows),
        (say("Profile"), ", ".join(dict.fromkeys(run.profile for run in session.runs)) or "—"),
        (say("Backend"), session.backend),
        *((say.told(f"{name[0].upper()}{name[1:]}"), _setting(value, say)) for name, value in _around(session)),
        (say("Commit"), session.commit or "—"),
        (say("Processor"), say("{cpu}, {cpus} usable CPUs", cpu=machine.cpu, cpus=machine.cpus)),
        (say("Memory"), f"{machine.memory_bytes / 2**30:.1f} GiB"),
        (say("System"), say("{system}, kernel {kernel}", system=machine.system, kernel=machine.kernel)),
        ("Python", machine.python),
        (say("Machine"), machine.identity),
        (say("Server's CPUs"), _cpus(placement.server)),
        (say("Generator's CPUs"), _cpus(placement.generator)),
        (say("Services' CPUs"), _cpus(placement.services)),
        *((say("Version of {tool}", tool=tool), version) for tool, version in sorted(session.tools.items())),
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
    made = [_parts(session, say)] if found.several else []
    for kind, title in PARTS.items():
        columns = {stack: session.stacks[stack].get(kind, {}) for stack in found.stacks}
        anchors = tuple(f"{kind}-{place}" for place in range(len(columns)))
        like = Matrix(anchor=kind, title=say.told(title), heads=(say("Values"),), rows=())
        if not any(columns.values()):
            continue
        if len(columns) > WIDEST:
            listed = tuple((stack, (_listed(column, say),)) for stack, column in columns.items())
            made.append(replace(like, rows=listed, row_anchors=anchors))
        else:
            names = sorted({name for column in columns.values() for name in column})
            rows = tuple((name, tuple(_setting(each.get(name), say) for each in columns.values())) for name in names)
            made.append(replace(like, heads=tuple(columns), rows=rows, head_anchors=anchors))
    services = tuple(
        (f"{service}: {name}", (_setting(value, say),))
        for service, facts in session.services.items()
        for name, value in facts.items()
    )
    made.append(Matrix(anchor="services", title=say("Services"), heads=(say("Values"),), rows=services))
    return [matrix for matrix in made if matrix.rows]


def _parts(session: Session, say: Language) -> Matrix:
    rows = (
        (
            part.name,
            (
                say.told(part.title),
                str(len(part.stacks)),
                str(part.blocks),
                str(part.server_cpus),
                _window(part, say),
            ),
        )
        for part in session.plan.parts
    )
    heads = (say("Title"), say("Stacks"), say("Blocks"), say("CPUs of the server"), say("Window"))
    return Matrix(anchor="parts", title=say("Parts of the plan"), heads=heads, rows=tuple(rows))


def _listed(column: Mapping[str, Setting], say: Language) -> str:
    return ", ".join(f"{name} {_setting(value, say)}" for name, value in sorted(column.items()))


def _setting(value: Setting | None, say: Language) -> str:
    if isinstance(value, bool):
        return say("yes") if value else say("no")
    return "—" if value is None else say.told(str(value))


def rejected(found: Found) -> list[Rejected]:
    """Give the trials that count for nothing, those of one cell and reason together."""
    groups: dict[tuple[str, str, str, str | None], list[Run]] = {}
    only = found.session.plan.parts[0].name
    for run in found.session.runs:
        if run.status != "ok":
            part = f"{run.part}: " if found.several else ""
            anchor = found.anchors.get((run.part or only, run.stack, run.scenario, run.load))
            cell = f"{part}{run.stack}, {run.scenario}, {run.load}"
            groups.setdefault((cell, run.status, run.reason or "no reason was given", anchor), []).append(run)
    return [
        Rejected(
            cell=cell,
            anchor=anchor,
            status=status,
            blocks=", ".join(str(run.block) for run in sorted(group, key=lambda run: run.block)),
            reason=reason,
            log=next((run.log for run in group if run.log), ""),
        )
        for (cell, status, reason, anchor), group in sorted(groups.items(), key=lambda item: item[0][:3])
    ]


def spoken(session: Session) -> Spoken | None:
    """Give what was spoken; None where nothing was asked."""
    table = tables.capabilities(session)
    if table.empty:
        return None
    protocols = list(dict.fromkeys(table["protocol"]))
    answers: dict[str, dict[str, list[str]]] = {}
    for row in table.to_dict("records"):
        told = "" if row["figure"] is None or row["figure"] != row["figure"] else f" ({show(row['figure'], '')})"
        answers.setdefault(row["stack"], {}).setdefault(row["protocol"], []).append(f"{row['answer']}{told}")
    transcripts = {
        (f"{run.stack}, {each.protocol}", each.why): each.transcript or ""
        for run in session.runs
        if run.status == "ok"
        for each in run.capabilities
        if each.answer == "no"
    }
    return Spoken(
        protocols=tuple(protocols),
        rows=tuple(
            (stack, tuple(" / ".join(said.get(protocol, ["—"])) for protocol in protocols))
            for stack, said in answers.items()
        ),
        transcripts=tuple((who, why, said) for (who, why), said in transcripts.items()),
    )
