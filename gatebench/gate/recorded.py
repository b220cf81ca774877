"""What was measured before, made into a gate's session: two stacks of one file, or of two.

Knows sessions and what makes them comparable. Must not know how they are judged, nor files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from gatebench.errors import UsageError
from gatebench.gate.alike import Measured, aged, check_parts, check_sessions, listed
from gatebench.gate.sequence import ERROR, GATE, MARGINS, SHORT
from gatebench.metrics import TABLE
from gatebench.model import Gate, Measure, Origin, Run, Session

DRIFT = "Base and head come from two sessions: what drifted between them, the machine included, is in the figure."
CLOCK_S = 1.0  # to which the starts of runs are known


def recorded(
    sessions: Sequence[Session],
    *,
    base: str | None,
    head: str | None,
    scenarios: Sequence[str],
    leading: str,
    margins: Mapping[str, float],
) -> Session:
    """Make one gate's session of one or two that were measured; UsageError where they do not compare.

    A gate's own session is given back as it is where no stack is named.
    """
    if len(sessions) == 1 and base is None and head is None and sessions[0].gate is not None:
        return sessions[0]
    margins = _margins(leading, margins)
    arms = _arms(sessions, base, head)
    if len(sessions) > 1:
        check_sessions(*arms)
    chosen, notices = _chosen(*arms, scenarios)
    check_parts(*arms, list(chosen.values()))
    names = [f"{arm.role}:{arm.stack}" for arm in arms]
    runs = tuple(
        replace(run, stack=name, part=GATE, session=arms[1].session.name)
        for measure, parts in chosen.items()
        for arm, name, part in zip(arms, names, parts, strict=True)
        for run in arm.parts(measure)[part]
    )
    blocks = len({run.block for run in runs})
    gate = Gate(
        base=names[0],
        head=names[1],
        again=None,
        arms={name: _words(arm, len(sessions)) for arm, name in zip(arms, names, strict=True)},
        leading=leading,
        margins=margins,
        looks=(max(1, blocks),),
        errors=(ERROR,),
        beside=_duets(runs),
        budget_s=0.0,
        confirm=False,
    )
    numbered = tuple(replace(run, number=number) for number, run in enumerate(runs))
    made = _joined(arms, gate, list(chosen), list(chosen.values()), numbered)
    return replace(made, notices=(*made.notices, *notices))


def _margins(leading: str, margins: Mapping[str, float]) -> dict[str, float]:
    """Give the margins, that of the leading metric first; UsageError where one is unknown."""
    unknown = [metric for metric in (leading, *margins) if metric not in TABLE]
    if unknown:
        raise UsageError(f"There is no metric {unknown[0]}: name one of {listed([*SHORT, *TABLE])}.")
    if leading not in {**MARGINS, **margins}:
        raise UsageError(f"The metric {leading} has no margin of its own: say by how much it may get worse.")
    return {leading: {**MARGINS, **margins}[leading], **margins}


def _joined(
    arms: tuple[Measured, Measured],
    gate: Gate,
    measures: Sequence[Measure],
    parts: Sequence[tuple[str, str]],
    runs: tuple[Run, ...],
) -> Session:
    one, other = (arm.session for arm in arms)
    old = other.plan.part(parts[0][1])
    part = replace(
        old, name=GATE, stacks=(gate.base, gate.head), measures=tuple(measures), blocks=gate.looks[-1], stage=0
    )
    stacks = {
        name: arm.session.stacks.get(arm.stack, {}) for name, arm in zip((gate.base, gate.head), arms, strict=True)
    }
    notices = dict.fromkeys([*one.notices, *other.notices])
    if len(set(parts)) > 1:
        several = dict.fromkeys(name for pair in sorted(set(parts)) for name in pair)
        notices[f"The findings come from several parts: {', '.join(several)}."] = None
    origin = None
    if one is not other:
        origin = Origin(name=one.name, started_at=one.started_at, seed=one.plan.seed, commit=one.commit)
        notices[DRIFT] = None
        notices |= dict.fromkeys(aged(*arms))
    return replace(
        other,
        plan=replace(other.plan, parts=(part,)),
        stacks=stacks,
        scenarios={**one.scenarios, **other.scenarios},
        waits={**one.waits, **other.waits},
        gate=gate,
        runs=runs,
        interrupted=one.interrupted or other.interrupted,
        notices=tuple(notices),
        base_from=origin,
    )


def _duets(runs: Sequence[Run]) -> bool:
    """Tell whether base and head were measured at the same time: whether all that are paired overlap evidently."""
    spans: dict[tuple[int, str, str], list[tuple[float, float]]] = {}
    for run in runs:
        start = datetime.fromisoformat(run.started_at).timestamp()
        end = start + (run.elapsed_s or 0.0)  # of one that is not known nothing is evident
        spans.setdefault((run.block, run.scenario, run.load), []).append((start, end))
    pairs = [found for found in spans.values() if len(found) > 1]
    overlaps = [min(end for _, end in pair) - max(start for start, _ in pair) for pair in pairs]
    return bool(overlaps) and min(overlaps) > CLOCK_S


def _arms(sessions: Sequence[Session], base: str | None, head: str | None) -> tuple[Measured, Measured]:
    if len(sessions) not in (1, 2):
        raise UsageError(f"A gate judges one results file or two, not {len(sessions)}: name these.")
    one, other = sessions[0], sessions[-1]
    _check_declared(sessions)
    if len(sessions) == 1:
        if base is None or head is None:
            raise UsageError(
                f"The session {one.name} is no gate's of its own: name two of its stacks with --base and --head; "
                f"it has {listed(_stacks(one))}."
            )
        if base == head:
            raise UsageError(f"--base and --head both name {base}: nothing differs from itself; name two stacks.")
    else:
        _check_apart(one, other, base, head)
        if base is None and head is None:
            base = head = _common(one, other)
    # Of two files one name may do for both; an empty one is a name that there is not.
    base, head = (head if base is None else base) or "", (base if head is None else head) or ""
    for name, session, option in ((base, one, "--base"), (head, other, "--head")):
        if name not in _stacks(session):
            raise UsageError(
                f"{option} {name}: the session {session.name} has no such stack; it has {listed(_stacks(session))}."
            )
    return Measured(role="base", session=one, stack=base), Measured(role="head", session=other, stack=head)


def _check_declared(sessions: Sequence[Session]) -> None:
    """Refuse a gate's own session: nothing of it is chosen anew once its figures are known."""
    for session in sessions:
        if session.gate is not None:
            raise UsageError(
                f"The session {session.name} is a gate's own: its arms were declared with looks and margins before "
                "it was measured; `gatebench gate FILE`, with this file alone and neither --base nor --head, judges "
                "it as it was."
            )


def _check_apart(one: Session, other: Session, base: str | None, head: str | None) -> None:
    """Refuse one session given twice: nothing differs from itself, and a pass would say so."""
    if (one.name, one.started_at) == (other.name, other.started_at):
        two = f"--base {base} --head {head}" if base and head and base != head else "two stacks as --base and --head"
        raise UsageError(
            f"Base and head are the same session, {one.name}: name another session's file for one of them, or give "
            f"this one file alone, which is enough for {two}."
        )


def _common(one: Session, other: Session) -> str:
    common = [stack for stack in _stacks(one) if stack in _stacks(other)]
    if len(common) == 1:
        return common[0]
    if common:
        raise UsageError(
            f"The sessions {one.name} and {other.name} have several stacks in common, {listed(common)}: "
            "name one of them with --base, or two with --base and --head."
        )
    raise UsageError(
        f"The sessions {one.name} ({listed(_stacks(one))}) and {other.name} ({listed(_stacks(other))}) have no "
        "stack in common: name one of each with --base and --head."
    )


def _stacks(session: Session) -> list[str]:
    """Name the stacks of a session: those it planned, and those it has runs of."""
    return list(dict.fromkeys([*session.plan.stacks, *(run.stack for run in session.runs)]))


def _chosen(
    base: Measured, head: Measured, scenarios: Sequence[str]
) -> tuple[dict[Measure, tuple[str, str]], list[str]]:
    """Give the measures that both arms have, with the part of each whose blocks are most, and what to tell of others.

    UsageError where one arm alone has any that are asked for: what is not judged is never left out in silence.
    """
    tried = dict.fromkeys([*_tried(base), *_tried(head)])
    both = {measure: parts for measure in tried if (parts := _parts(base, head, measure)) is not None}
    if not both:
        raise _nothing_common(base, head)
    common = list(dict.fromkeys(each.scenario for each in both))
    apart = _apart(base, head, [measure for measure in tried if measure not in both])
    # Within one session a scenario that is named may be judged under the loads that both have.
    narrowed = common if scenarios and base.session is head.session else []
    refused = [text for name, text in apart.items() if name not in narrowed and (not scenarios or name in scenarios)]
    if refused:
        known = common if base.session is head.session else [name for name in common if name not in apart]
        helps = f"name what both have with --scenario ({listed(known)})" if known else "measure both alike"
        raise UsageError(f"Base and head were not measured under the same loads: {'; '.join(refused)}; {helps}.")
    for scenario in scenarios:
        if scenario not in common:
            raise UsageError(
                f"--scenario {scenario}: {base.stack} and {head.stack} were not both measured on it under one load; "
                f"both have {listed(common)}."
            )
    notices = [
        f"Only the loads that both arms have are judged: {apart[name]}." for name in scenarios if name in apart
    ]
    return {key: parts for key, parts in both.items() if not scenarios or key.scenario in scenarios}, notices


def _nothing_common(base: Measured, head: Measured) -> UsageError:
    """Say where each arm was measured: of one session in no part that both have, or under nothing that both had."""
    if {*_tried(base)}.isdisjoint(_tried(head)):
        cells = [(arm, listed([f"{each.scenario} {each.load}" for each in _tried(arm)])) for arm in (base, head)]
        loads = "; ".join(f"{arm.stack} of {arm.session.name} has {named}" for arm, named in cells)
        return UsageError(
            f"No scenario and load is there of both arms: {loads}. Name two stacks that were measured alike, or "
            "measure these so."
        )
    loads = "; ".join(f"{arm.stack} has {_measured(arm)}" for arm in (base, head))
    beside = {name: stacks for arm in (base, head) for name, stacks in _beside(arm).items() if len(stacks) > 1}
    known = "; ".join(f"{name} has {listed(stacks)}" for name, stacks in beside.items())
    helps = f"name two of one part ({known})" if known else "measure both in one part of a plan"
    return UsageError(
        f"{base.stack} and {head.stack} were measured in different parts of {base.session.name}, so at different "
        f"times: {loads}. Stacks compare within a part alone: {helps}, or gate them at the same time with "
        "`gatebench gate --base … --head …`."
    )


def _measured(arm: Measured) -> str:
    """Name an arm's scenarios and loads, each with the parts of the plan that it was measured in."""
    return listed([f"{each.scenario} {each.load} in part {' and '.join(arm.parts(each))}" for each in _tried(arm)])


def _beside(arm: Measured) -> dict[str, list[str]]:
    """Give the stacks of each part that an arm was measured in."""
    names = {name for measure in _tried(arm) for name in arm.parts(measure)}
    return {part.name: [*part.stacks] for part in arm.session.plan.parts if part.name in names}


def _apart(base: Measured, head: Measured, measures: Sequence[Measure]) -> dict[str, str]:
    """Say of each scenario of these measures who has it under which loads."""
    found = {}
    for scenario in dict.fromkeys(each.scenario for each in measures):
        first, second = (
            [str(each.load) for each in _tried(arm) if each.scenario == scenario] for arm in (base, head)
        )
        if {*first} == {*second}:
            found[scenario] = f"{scenario} ({listed(first)}) in base and head, but in different parts"
        elif first and second:
            found[scenario] = f"{scenario} under {listed(first)} in base and under {listed(second)} in head"
        else:
            found[scenario] = f"{scenario} ({listed(first or second)}) in {'base' if first else 'head'} alone"
    return found


def _parts(base: Measured, head: Measured, measure: Measure) -> tuple[str, str] | None:
    """Choose the parts with most blocks, of one session one part; None where no part has both arms."""
    one, other = base.parts(measure), head.parts(measure)
    if base.session is head.session:
        common = [(name, name) for name in one if name in other]
    else:
        common = [(first, second) for first in one for second in other]
    return max(common, key=lambda each: min(len(one[each[0]]), len(other[each[1]])), default=None)


def _tried(arm: Measured) -> list[Measure]:
    return [each for each in dict.fromkeys(arm.session.plan.measures) if arm.parts(each)]


def _words(arm: Measured, sessions: int) -> str:
    if sessions == 1:
        return arm.stack
    commit = f", commit {arm.session.commit}" if arm.session.commit else ""
    return f"{arm.stack} of {arm.session.name}{commit}"
