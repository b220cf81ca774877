"""Whether two stacks that were measured before compare: what must be alike, and what is told where it is not.

Knows sessions. Must not know margins, looks or words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gatebench.errors import UsageError
from gatebench.model import Measure, Run, Session, Setting

AROUND = ("network", "memory limit, MiB", "processes limit", "generator")  # of containers, that must be the same
BENEATH = ("engine", "base", "base id")  # of containers, that age as kernels do
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
            ("placement", *(_placed(each) for each in (one, other))),
            ("backend", one.backend, other.backend),
            ("Python", *(_python(arm) for arm in (base, head))),
            *_versions(base, head),
            *_around(one, other),
        )
    )
    if found:
        raise _unlike_arms(base, head, found)


def check_parts(base: Measured, head: Measured, parts: Sequence[tuple[str, str]]) -> None:
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


def _placed(session: Session) -> str:
    place = session.placement
    parties = (("server", place.server), ("generator", place.generator), ("services", place.services))
    return ", ".join(f"{name} on CPU {'+'.join(map(str, cpus)) or 'none'}" for name, cpus in parties)


def _python(arm: Measured) -> str:
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


def aged(base: Measured, head: Measured) -> Iterator[str]:
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


def listed(names: Sequence[str]) -> str:
    """Name them, or say that there are none."""
    return ", ".join(names) or "none"
