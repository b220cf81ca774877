"""Whether two arms compare: what must be alike, what is told where it is not, and whether they are the same at all.

Knows sessions. Must not know margins, looks or words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gatebench.errors import UsageError
from gatebench.model import Measure, Part, Placement, Run, Session, Setting

AROUND = ("network", "memory limit, MiB", "processes limit", "generator")  # of containers, that must be the same
BENEATH = ("engine", "base", "base id")  # of containers, that age as kernels do
NEIGHBOUR = "neighbour"  # of whatever backend: what the servers' CPUs were shared with
ASIDE = ("chosen since", "arm")  # of surroundings, that are told and surround nothing
PARTIES = ("server", "generator", "services")
LOOSE = 0.1  # of a window: as much as a generator that was kept waiting may take longer or shorter
MADE_FROM = ("version", "image", "image id")  # of a service; all else of it is a setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
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


def check_sessions(base: Measured, head: Measured) -> None:
    """Refuse two sessions that do not compare, and name all that differs."""
    one, other = base.session, head.session
    found = list(
        _differing(
            ("machine", *(f"{each.machine.identity} ({each.machine.cpu})" for each in (one, other))),
            ("placement", *(_placed(each.placement) for each in (one, other))),
            ("backend", one.backend, other.backend),
            ("Python", *(_python(arm) for arm in (base, head))),
            *_versions(base, head),
            *_around(one, other),
        )
    )
    if found:
        raise _unlike_arms(base, head, found)


def check_parts(base: Measured, head: Measured, parts: Sequence[tuple[str, str]]) -> None:
    """Refuse measures whose trials were not made alike, or not where their session says."""
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
    for first, second in dict.fromkeys(made):
        check_trials(base.session, first, base.stack)
        check_trials(head.session, second, head.stack)


def check_trials(session: Session, part: Part, stack: str) -> None:
    """Refuse trials of a stack that were not made as their session's header says: on other CPUs, in other windows."""
    runs = [run for run in session.runs if (run.part, run.stack) == (part.name, stack)]
    windows = [run.window_s for run in runs if run.status == "ok" and run.window_s is not None]
    unlike = [each for each in windows if abs(each / part.window_s - 1) > LOOSE]
    if unlike:
        raise UsageError(
            f"{stack} of {session.name} cannot be judged, since the windows of {len(unlike)} of its {len(runs)} "
            f"trials were not of the length that the header says ({unlike[0]:g} s, where it says "
            f"{part.window_s:g} s): measure both arms alike, best at the same time with `gatebench gate`."
        )
    declared = replace(session.placement, server=session.placement.server[-part.server_cpus :])
    placed = [{who: run.placement[who] for who in PARTIES if who in run.placement} for run in runs]
    elsewhere = Counter(each for known in placed if (each := replace(declared, **known)) != declared)
    if elsewhere:
        most = elsewhere.most_common(1)[0][0]
        differing = [who for who in PARTIES if getattr(most, who) != getattr(declared, who)]
        raise UsageError(
            f"{stack} of {session.name} cannot be judged, since {elsewhere.total()} of its {len(runs)} trials had "
            f"another placement than the header says ({_placed(most, differing)}, where it says "
            f"{_placed(declared, differing)}): measure both arms in one placement, best at the same time with "
            "`gatebench gate`."
        )


def sameness(session: Session) -> str | None:
    """Say that base and head of a gate hold the same: the same files, settings and versions.

    None where they differ, and where the file does not say what its arms were made of.
    """
    gate = session.gate
    # Arms of other names are slowed down by what no header says (gatebench.power).
    if gate is None or not gate.base.startswith("base:") or not gate.head.startswith("head:"):
        return None
    base, head = (
        (_made_of(session, stack), _known(session, stack), _chosen(session, stack))
        for stack in (gate.base, gate.head)
    )
    # A backend that installs nothing knows no versions, and so nothing of requirements.
    if base != head or not base[0] or not base[1].get("versions"):
        return None
    return (
        "Base and head are the same: the same files, settings and versions; what is found is the machine's and the "
        "method's doing, and says nothing of a change."
    )


def _known(session: Session, stack: str) -> dict[str, Mapping[str, Setting]]:
    """Give what is known of an arm; its image is left out, which has the arm's name, and is made of all this."""
    return {kind: facts for kind, facts in session.stacks.get(stack, {}).items() if kind != "image"}


def _made_of(session: Session, stack: str) -> dict[str, str]:
    """Give the digests of what an arm is made of, without the arm's name."""
    arm, colon, _ = stack.partition(":")
    names = {
        **{f"{kind} {arm}:": f"{kind} " for kind in ("app", "server")},
        **{f"{kind} of {arm}": kind for kind in ("bridges", "work")},
    }
    return {
        plain + what.removeprefix(told): digest
        for what, digest in (session.declared.items() if colon else ())
        for told, plain in names.items()
        if what == told or (told.endswith(":") and what.startswith(told))
    }


def _chosen(session: Session, stack: str) -> tuple[str, frozenset[str]]:
    """Give what an arm's name says of it beyond its settings, which may come to the same all the same."""
    named, at, profile = stack.partition(":")[2].partition("@")
    plain, _, inside = named.removesuffix("]").partition("[")
    settings = session.stacks.get(stack, {}).get("settings", {})
    items = [each for each in inside.split(",") if each and each.partition("=")[0] not in settings]
    return plain + at + profile, frozenset(items)


def _unlike_arms(base: Measured, head: Measured, found: Sequence[str]) -> UsageError:
    return UsageError(
        f"{base.stack} of {base.session.name} and {head.stack} of {head.session.name} do not compare, since they "
        f"differ in {'; in '.join(found)}: measure both alike, best at the same time with `gatebench gate`."
    )


def _differing(*facts: tuple[str, ...]) -> Iterator[str]:
    yield from (f"{what} ({one} and {other})" for what, one, other in facts if one != other)


def _versions(base: Measured, head: Measured) -> Iterator[tuple[str, str, str]]:
    versions = [
        {run.scenario: run.scenario_version for run in arm.session.runs if run.stack == arm.stack}
        for arm in (base, head)
    ]
    for scenario in sorted(versions[0].keys() & versions[1].keys()):
        yield (f"version of the scenario {scenario}", f"{versions[0][scenario]}", f"{versions[1][scenario]}")


def _placed(place: Placement, who: Sequence[str] = PARTIES) -> str:
    parties = [(name, getattr(place, name)) for name in who]
    return ", ".join(f"{name} on CPU {'+'.join(map(str, cpus)) or 'none'}" for name, cpus in parties)


def _python(arm: Measured) -> str:
    """Name the Python that a stack ran on; the harness's where it is not said."""
    versions = arm.session.stacks.get(arm.stack, {}).get("versions", {})
    return str(versions.get("python", arm.session.plan.python or arm.session.machine.python))


def _around(one: Session, other: Session) -> Iterator[tuple[str, str, str]]:
    """Give what the servers had beside and around them, and the services with their settings.

    A service that one session alone has is none where scenarios may be the cause that it alone has as well.
    """
    yield from _each("", one.surroundings, other.surroundings, (NEIGHBOUR,))
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


def aged(base: Measured, head: Measured) -> Iterator[str]:
    """Tell what differs between two sessions and may well be what is sought, or beside the point."""
    one, other = base.session, head.session
    facts = [(what, *(getattr(each.machine, what) for each in (one, other))) for what in ("kernel", "system")]
    facts += _each("", one.tools, other.tools, sorted({*one.tools, *other.tools}))
    facts += _each(" of the containers", one.surroundings, other.surroundings, BENEATH)
    known = {*AROUND, *BENEATH, *ASIDE, NEIGHBOUR}
    facts += _each("", one.surroundings, other.surroundings, sorted({*one.surroundings, *other.surroundings} - known))
    for service in sorted({*one.services, *other.services}):
        was, now = (each.services.get(service, {}) for each in (one, other))
        facts += _each(f" of the service {service}", was, now, MADE_FROM)
    for kind in ("settings", "versions") if base.stack == head.stack else ():
        was, now = (each.stacks.get(base.stack, {}).get(kind, {}) for each in (one, other))
        facts += _each(f" of {base.stack}", was, now, sorted({*was, *now}))
    found = list(_differing(*facts))
    if found:
        yield f"The sessions differ in {'; in '.join(found)}: what that does is in the figure."


def listed(names: Sequence[str]) -> str:
    """Name them, or say that there are none."""
    return ", ".join(names) or "none"
