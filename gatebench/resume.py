"""Going on with a session that ended early: what it rested on, and whether all of that is still so.

Knows headers and the files that were declared. Must not know how trials are made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gatebench.errors import UsageError
from gatebench.model import AnyStack, Mixed, Plan, Scenario, Service, Session, Stack
from gatebench.records import encode

ALIKE = ("plan", "machine", "placement", "backend", "tools", "stacks", "services", "surroundings", "declared")
NAMED = 5  # differences that are told; more of them say no more
CACHES = {"__pycache__"}


def check(before: Session, today: Session) -> None:
    """Refuse to go on where anything differs; UsageError names what, and what it was."""
    found = [
        difference for name in ALIKE for difference in _differences(name, encode(before)[name], encode(today)[name])
    ]
    if found:
        more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
        raise UsageError(
            f"The session {before.name} cannot be gone on with, since this has changed: "
            f"{'; '.join(found[:NAMED])}{more}. Begin another one with `gatebench run --plan {before.plan.name}`."
        )


def _differences(name: str, before: Any, today: Any) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(today, Mapping):
        for key in sorted({*before, *today}):
            yield from _differences(f"{name} {key}", before.get(key), today.get(key))
    elif before != today:
        yield f"{name} (was {_short(before)}, is {_short(today)})"


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def digests(
    root: Path, plan: Plan, stacks: Collection[AnyStack], scenarios: Collection[Scenario], services: Iterable[Service]
) -> dict[str, str]:
    """Give a digest of the files of all that a session declares, from plans to services."""
    compose, plans = root / "compose", root / "scenarios" / "plans"
    names = {plan.name, *(part.name.partition(".")[0] for part in plan.parts)}
    found = {f"plan {name}": _digest([plans / f"{name}.toml"]) for name in names}
    alone = [one for stack in stacks for one in ((stack.wsgi, stack.asgi) if isinstance(stack, Mixed) else (stack,))]
    for stack in alone:
        found |= _of_stack(compose, stack)
    for name, folder in (("work", root / "apps" / "work"), ("bridges", compose / "bridges")):
        found[name] = _digest([folder])
    for front in {stack.front.name for stack in stacks if isinstance(stack, Mixed)}:
        found[f"front {front}"] = _digest([compose / "fronts"])
    for service in services:
        found[f"service {service.name}"] = _digest([compose / "services" / f"{service.name}.toml", service.folder])
    for scenario in scenarios:
        if scenario.path.is_file():
            found[f"scenario {scenario.name}"] = _digest([scenario.path])
    return dict(sorted(found.items()))


def _of_stack(compose: Path, stack: Stack) -> dict[str, str]:
    """Digest what a stack is of; the arms of a gate may have it from elsewhere, each for itself."""
    arm, elsewhere = "", {}
    if stack.arm is not None:
        arm, compose = f"{stack.arm}:", stack.server.folder
        elsewhere = {f"bridges of {stack.arm}": _digest([compose / "bridges"])}
        elsewhere |= {f"work of {stack.arm}": _digest([stack.app.folder.parent / "work"])} if stack.app.work else {}
    server = compose / "servers" / f"{stack.server.name}.toml"
    return {
        f"app {arm}{stack.app.name}": _digest([stack.app.folder]),
        f"server {arm}{stack.server.name}": _digest([server, compose / "launchers"]),
        **elsewhere,
    }


def _digest(places: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for place in places:
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        for path in files:
            if path.is_file() and not CACHES & {*path.parts}:
                total.update(str(path.relative_to(place.parent)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]
