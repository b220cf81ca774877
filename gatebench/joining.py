"""Sessions of one machine put together, part by part: a page whose parts were measured at different times.

Knows headers. Must not compare anything across sessions: a part is of one session, whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gatebench.errors import UsageError
from gatebench.model import Run, Session

SAME = ("machine", "placement", "backend")  # of all sessions
AGREE = ("stacks", "services", "scenarios", "waits")  # of what several of them have
FEW = 4  # parts that are named one by one
UNITED = (*AGREE, "ceilings", "tools", "surroundings", "declared")


def joined(sessions: Sequence[Session]) -> Session:
    """Give one session of all parts, that of a later session instead of an earlier one's of the same name.

    Its notices say which parts are not of the first session. UsageError where machine, placement, backend, or what is
    told of a stack or service, are not the same in all.
    """
    first, *others = sessions
    if not others:
        return first
    for other in others:
        _check(first, other)
    parts = {part.name: (part, session) for session in sessions for part in session.plan.parts}
    runs = [run for name, (_, session) in parts.items() for run in _of(session, name)]
    titles = dict.fromkeys(session.plan.title for session in sessions)
    united: dict[str, Any] = {
        name: {key: value for each in sessions for key, value in getattr(each, name).items()} for name in UNITED
    }
    return replace(
        first,
        plan=replace(first.plan, title="; ".join(titles), parts=tuple(part for part, _ in parts.values())),
        runs=tuple(replace(run, number=number, session=first.name) for number, run in enumerate(runs)),
        interrupted=any(session.interrupted for session in sessions),
        ended_at=None,  # it has no beginning and end of its own: what it took is the sum of its trials
        notices=(*(notice for session in sessions for notice in session.notices), *_told(first, parts)),
        **united,
    )


def _of(session: Session, part: str) -> Iterator[Run]:
    only = session.plan.parts[0].name  # what a trial is of that names none
    yield from (replace(run, part=part) for run in session.runs if (run.part or only) == part)


def _told(first: Session, parts: Mapping[str, tuple[Any, Session]]) -> Iterator[str]:
    by_session: dict[str, list[str]] = {}
    for name, (_, session) in parts.items():
        if session is not first:
            by_session.setdefault(f"{session.name}, begun at {session.started_at}", []).append(name)
    for session_name, names in by_session.items():
        plans = {name.partition(".")[0] for name in names}
        if len(names) > FEW and len(plans) == 1:
            yield f"Of the session {session_name}, are {len(names)} parts of the plan {plans.pop()}."
        else:
            yield f"Of the session {session_name}, are the parts {', '.join(names)}."


def _check(first: Session, other: Session) -> None:
    for name in SAME:
        if getattr(first, name) != getattr(other, name):
            raise _unlike(first, other, f"the {name}")
    for name in AGREE:
        mine, theirs = getattr(first, name), getattr(other, name)
        for key in sorted(mine.keys() & theirs.keys()):
            if mine[key] != theirs[key]:
                raise _unlike(first, other, f"what is told of {key} ({name})")
    if first.gate is not None or other.gate is not None:
        raise UsageError("A gate's session is not put together with others: `gatebench gate FILE` judges it.")


def _unlike(first: Session, other: Session, what: str) -> UsageError:
    return UsageError(
        f"{first.name} and {other.name} cannot be on one page, since {what} is not the same in both; "
        "make a page of each, or measure both anew."
    )
