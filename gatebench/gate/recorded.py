"""What was measured before, made into a gate's session: two stacks of one file, or of two.

Knows sessions and what makes them comparable. Must not know how they are judged, nor files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gatebench.errors import UsageError
from gatebench.gate.sequence import ERROR, GATE, MARGINS, SHORT
from gatebench.metrics import TABLE
from gatebench.model import Gate, Measure, Run, Session, Setting

DRIFT = "Base and head come from two sessions: what drifted between them, the machine included, is in the figure."
AROUND = ("network", "memory limit, MiB", "processes limit", "generator")  # of containers, that must be the same
BENEATH = ("engine", "base", "base id")  # of containers, that age as kernels do
MADE_FROM = ("version", "image", "image id")  # of a service; all else of it is a setting


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arm:
    """A stack of a session that was measured before."""

    role: str  # "base" or "head"
    session: Session
    stack: str

    def parts(self, measure: Measure) -> dict[str, list[Run]]:
        """Give the runs of a measure by the part they are of; a part in which none were made has none."""
        parts = [part for part in self.session.plan.parts if self.stack in part.stacks and measure in part.measures]
        found: dict[str, list[Run]] = {part.name: [] for part in parts}
        for run in self.session.runs:
            if (run.stack, run.scenario, run.load) == (self.stack, measure.scenario, str(measure.load)):
                found.setdefault(run.part or self.session.plan.parts[0].name, []).append(run)
        return found


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
        _check_sessions(*arms)
    chosen, notices = _chosen(*arms, scenarios)
    _check_parts(*arms, list(chosen.values()))
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
        beside=False,
        budget_s=0.0,
        confirm=False,
    )
    made = _joined(arms, gate, list(chosen), list(chosen.values()), runs)
    return replace(made, notices=(*made.notices, *notices))


def _margins(leading: str, margins: Mapping[str, float]) -> dict[str, float]:
    """Give the margins, that of the leading metric first; UsageError where one is unknown."""
    unknown = [metric for metric in (leading, *margins) if metric not in TABLE]
    if unknown:
        raise UsageError(f"There is no metric {unknown[0]}: name one of {_listed([*SHORT, *TABLE])}.")
    if leading not in {**MARGINS, **margins}:
        raise UsageError(f"The metric {leading} has no margin of its own: say by how much it may get worse.")
    return {leading: {**MARGINS, **margins}[leading], **margins}


def _joined(
    arms: tuple[_Arm, _Arm],
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
    if one is not other:
        notices[DRIFT] = None
        notices |= dict.fromkeys(_aged(*arms))
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
    )


def _arms(sessions: Sequence[Session], base: str | None, head: str | None) -> tuple[_Arm, _Arm]:
    if len(sessions) not in (1, 2):
        raise UsageError(f"A gate judges one results file or two, not {len(sessions)}: name these.")
    one, other = sessions[0], sessions[-1]
    _check_declared(sessions)
    if len(sessions) == 1:
        if base is None or head is None:
            raise UsageError(
                f"The session {one.name} is no gate's of its own: name two of its stacks with --base and --head; "
                f"it has {_listed(_stacks(one))}."
            )
        if base == head:
            raise UsageError(f"--base and --head both name {base}: nothing differs from itself; name two stacks.")
    else:
        _check_apart(one, other, base, head)
        if base is None and head is None:
            base = head = _common(one, other)
    base, head = base or head or "", head or base or ""  # of two files one name may do for both
    for name, session, option in ((base, one, "--base"), (head, other, "--head")):
        if name not in _stacks(session):
            raise UsageError(
                f"{option} {name}: the session {session.name} has no such stack; it has {_listed(_stacks(session))}."
            )
    return _Arm(role="base", session=one, stack=base), _Arm(role="head", session=other, stack=head)


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
            f"The sessions {one.name} and {other.name} have several stacks in common, {_listed(common)}: "
            "name one of them with --base, or two with --base and --head."
        )
    raise UsageError(
        f"The sessions {one.name} ({_listed(_stacks(one))}) and {other.name} ({_listed(_stacks(other))}) have no "
        "stack in common: name one of each with --base and --head."
    )


def _stacks(session: Session) -> list[str]:
    """Name the stacks of a session: those it planned, and those it has runs of."""
    return list(dict.fromkeys([*session.plan.stacks, *(run.stack for run in session.runs)]))


def _check_sessions(base: _Arm, head: _Arm) -> None:
    """Refuse two sessions that do not compare, and name all that differs."""
    one, other = base.session, head.session
    found = list(
        _differing(
            ("machine", *(f"{each.machine.identity} ({each.machine.cpu})" for each in (one, other))),
            ("placement", *(_placed(each) for each in (one, other))),
            ("backend", one.backend, other.backend),
            ("Python", *(_python(arm) for arm in (base, head))),
            *_versions(base, head),
            *_around(one, other),
        )
    )
    if found:
        raise _unlike_arms(base, head, found)


def _check_parts(base: _Arm, head: _Arm, parts: Sequence[tuple[str, str]]) -> None:
    """Refuse measures whose trials were not made alike."""
    made = [(base.session.plan.part(first), head.session.plan.part(second)) for first, second in parts]
    found = [
        difference
        for first, second in made
        for difference in _differing(
            ("window", f"{first.window_s:g} s", f"{second.window_s:g} s"),
            ("slice of the warm-up", f"{first.warmup_slice_s:g} s", f"{second.warmup_slice_s:g} s"),
            ("limit of the warm-up", f"{first.warmup_limit_s:g} s", f"{second.warmup_limit_s:g} s"),
            ("CPUs of the server", f"{first.server_cpus}", f"{second.server_cpus}"),
            ("fresh connections beside the load", f"{first.knock}", f"{second.knock}"),
        )
    ]
    if found:
        raise _unlike_arms(base, head, list(dict.fromkeys(found)))


def _unlike_arms(base: _Arm, head: _Arm, found: Sequence[str]) -> UsageError:
    return UsageError(
        f"{base.stack} of {base.session.name} and {head.stack} of {head.session.name} do not compare, since they "
        f"differ in {'; in '.join(found)}: measure both alike, best at the same time with `gatebench gate`."
    )


def _differing(*facts: tuple[str, ...]) -> Iterator[str]:
    yield from (f"{what} ({one} and {other})" for what, one, other in facts if one != other)


def _versions(base: _Arm, head: _Arm) -> Iterator[tuple[str, str, str]]:
    versions = [
        {run.scenario: run.scenario_version for run in arm.session.runs if run.stack == arm.stack}
        for arm in (base, head)
    ]
    for scenario in sorted(versions[0].keys() & versions[1].keys()):
        yield (f"version of the scenario {scenario}", f"{versions[0][scenario]}", f"{versions[1][scenario]}")


def _placed(session: Session) -> str:
    place = session.placement
    parties = (("server", place.server), ("generator", place.generator), ("services", place.services))
    return ", ".join(f"{name} on CPU {'+'.join(map(str, cpus)) or 'none'}" for name, cpus in parties)


def _python(arm: _Arm) -> str:
    """Name the Python that a stack ran on; the harness's where it is not said."""
    versions = arm.session.stacks.get(arm.stack, {}).get("versions", {})
    return str(versions.get("python", arm.session.plan.python or arm.session.machine.python))


def _around(one: Session, other: Session) -> Iterator[tuple[str, str, str]]:
    """Give what containers had around them, and the services with their settings.

    A service that one session alone has is none where scenarios may be the cause that it alone has as well.
    """
    if one.backend == other.backend:
        yield from _each(" of the containers", one.surroundings, other.surroundings, AROUND)
    planned = [{measure.scenario for measure in each.plan.measures} for each in (one, other)]
    for service in sorted({*one.services, *other.services}):
        was, now = (each.services.get(service) for each in (one, other))
        if was is not None and now is not None:
            yield from _each(f" of the service {service}", was, now, sorted({*was, *now} - {*MADE_FROM}))
        elif now is None and planned[0] <= planned[1]:
            yield f"service {service}", "there", "not there"
        elif was is None and planned[1] <= planned[0]:
            yield f"service {service}", "not there", "there"


def _each(
    of: str, was: Mapping[str, Setting], now: Mapping[str, Setting], names: Iterable[str]
) -> Iterator[tuple[str, str, str]]:
    yield from ((f"{name}{of}", f"{was.get(name, 'none')}", f"{now.get(name, 'none')}") for name in names)


def _chosen(base: _Arm, head: _Arm, scenarios: Sequence[str]) -> tuple[dict[Measure, tuple[str, str]], list[str]]:
    """Give the measures that both arms have, with the part of each whose blocks are most, and what to tell of others.

    UsageError where one arm alone has any that are asked for: what is not judged is never left out in silence.
    """
    tried = dict.fromkeys([*_tried(base), *_tried(head)])
    both = {measure: parts for measure in tried if (parts := _parts(base, head, measure)) is not None}
    if not both:
        cells = [(arm, _listed([f"{each.scenario} {each.load}" for each in _tried(arm)])) for arm in (base, head)]
        loads = "; ".join(f"{arm.stack} of {arm.session.name} has {named}" for arm, named in cells)
        raise UsageError(f"No scenario and load is there of both arms: {loads}. Name others.")
    common = list(dict.fromkeys(each.scenario for each in both))
    apart = _apart(base, head, [measure for measure in tried if measure not in both])
    # Within one session a scenario that is named may be judged under the loads that both have.
    narrowed = common if scenarios and base.session is head.session else []
    refused = [text for name, text in apart.items() if name not in narrowed and (not scenarios or name in scenarios)]
    if refused:
        known = common if base.session is head.session else [name for name in common if name not in apart]
        helps = f"name what both have with --scenario ({_listed(known)})" if known else "measure both alike"
        raise UsageError(f"Base and head were not measured under the same loads: {'; '.join(refused)}; {helps}.")
    for scenario in scenarios:
        if scenario not in common:
            raise UsageError(
                f"--scenario {scenario}: {base.stack} and {head.stack} were not both measured on it under one load; "
                f"both have {_listed(common)}."
            )
    notices = [
        f"Only the loads that both arms have are judged: {apart[name]}." for name in scenarios if name in apart
    ]
    return {key: parts for key, parts in both.items() if not scenarios or key.scenario in scenarios}, notices


def _apart(base: _Arm, head: _Arm, measures: Sequence[Measure]) -> dict[str, str]:
    """Say of each scenario of these measures who has it under which loads."""
    found = {}
    for scenario in dict.fromkeys(each.scenario for each in measures):
        first, second = (
            [str(each.load) for each in _tried(arm) if each.scenario == scenario] for arm in (base, head)
        )
        if {*first} == {*second}:
            found[scenario] = f"{scenario} ({_listed(first)}) in base and head, but in different parts"
        elif first and second:
            found[scenario] = f"{scenario} under {_listed(first)} in base and under {_listed(second)} in head"
        else:
            found[scenario] = f"{scenario} ({_listed(first or second)}) in {'base' if first else 'head'} alone"
    return found


def _parts(base: _Arm, head: _Arm, measure: Measure) -> tuple[str, str] | None:
    """Choose the parts with most blocks, of one session one part; None where no part has both arms."""
    one, other = base.parts(measure), head.parts(measure)
    if base.session is head.session:
        common = [(name, name) for name in one if name in other]
    else:
        common = [(first, second) for first in one for second in other]
    return max(common, key=lambda each: min(len(one[each[0]]), len(other[each[1]])), default=None)


def _tried(arm: _Arm) -> list[Measure]:
    return [each for each in dict.fromkeys(arm.session.plan.measures) if arm.parts(each)]


def _aged(base: _Arm, head: _Arm) -> Iterator[str]:
    """Tell what differs between two sessions and may well be what is sought, or beside the point."""
    one, other = base.session, head.session
    facts = [(what, *(getattr(each.machine, what) for each in (one, other))) for what in ("kernel", "system")]
    facts += _each("", one.tools, other.tools, sorted({*one.tools, *other.tools}))
    facts += _each(" of the containers", one.surroundings, other.surroundings, BENEATH)
    for service in sorted({*one.services, *other.services}):
        was, now = (each.services.get(service, {}) for each in (one, other))
        facts += _each(f" of the service {service}", was, now, MADE_FROM)
    for kind in ("settings", "versions") if base.stack == head.stack else ():
        was, now = (each.stacks.get(base.stack, {}).get(kind, {}) for each in (one, other))
        facts += _each(f" of {base.stack}", was, now, sorted({*was, *now}))
    found = list(_differing(*facts))
    if found:
        yield f"The sessions differ in {'; in '.join(found)}: what that does is in the figure."


def _words(arm: _Arm, sessions: int) -> str:
    if sessions == 1:
        return arm.stack
    commit = f", commit {arm.session.commit}" if arm.session.commit else ""
    return f"{arm.stack} of {arm.session.name}{commit}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
