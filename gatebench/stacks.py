"""Stacks: every app on every server, with one value of each axis, found by name.

Knows how a stack's name is spelled and what may be paired. Must not know files, nor how anything is started.
Nothing lists the pairs: they follow from what is declared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gatebench.declare import Work
from gatebench.errors import UsageError
from gatebench.model import MATCHED, AnyStack, App, Bridge, Choice, Front, Mixed, Server, Setting, Stack
from gatebench.toml import find

TOLD = ("pool_size",)  # settings that the app is told of, and no command line
OWN = "own"  # the bridge that a server is by itself
SPELLED = re.compile(r"([^+\[\]@]+)\+([^+\[\]@]+)(?:\[([^\[\]]*)\])?(?:@([a-z]+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stacks(Mapping[str, AnyStack]):
    """Stacks by name: iterating gives each pair as it is by default; any value of any axis can be asked for."""

    apps: Mapping[str, App]
    servers: Mapping[str, Server]
    bridges: Mapping[str, Bridge] = field(default_factory=dict)
    fronts: Mapping[str, Front] = field(default_factory=dict)
    work: Work | None = None
    arms: Mapping[str, Stack] = field(default_factory=dict)  # of a gate, by their whole names

    def __iter__(self) -> Iterator[str]:
        """Name every app on every server of its interface."""
        for app in self.apps.values():
            for server in self.servers.values():
                if app.interface == server.interface and _serves(server, app):
                    yield f"{app.name}+{server.name}"

    def __len__(self) -> int:
        """Count the pairs."""
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        """Say whether there are an app and a server, or a front, of these names."""
        if not isinstance(name, str):
            return False
        if name in self.arms or name.partition("[")[0] in self.fronts:
            return True
        spelled = SPELLED.fullmatch(name)
        if spelled is None or spelled[1] not in self.apps or spelled[2] not in self.servers:
            return False
        app, server = self.apps[spelled[1]], self.servers[spelled[2]]
        return _serves(server, app) and (app.interface == server.interface or "bridge=" in (spelled[3] or ""))

    def __getitem__(self, name: str) -> AnyStack:
        """Give the stack of a name; KeyError where there is none, UsageError where what its brackets say is not."""
        if name not in self:
            raise KeyError(name)
        front = self.fronts.get(name.partition("[")[0])
        return self.one(name) if front is None else self._mixed(name, front)

    def one(self, name: str) -> Stack:
        """Give a stack that stands alone."""
        if name in self.arms:
            return self.arms[name]
        spelled = SPELLED.fullmatch(name)
        if spelled is None or name not in self:
            find("stack", name, self)
            raise UsageError(f"{name} is no stack that stands alone; expected app+server.")
        app, server = self.apps[spelled[1]], self.servers[spelled[2]]
        wanted = _wanted(name, spelled[3])
        bridge = wanted.pop("bridge", None)
        profile = spelled[4] or MATCHED
        find(f"profile of {server.name}", profile, {MATCHED: None, **server.profiles})
        given = {
            key: _setting(name, server, profile, key, wanted.pop(key)) for key in [*wanted] if key in server.settings
        }
        return Stack(
            app=app,
            server=server,
            choices=self._choices(name, app, wanted),
            bridge=None if bridge is None else self._bridge(name, app, server, bridge),
            given=dict(sorted(given.items())),
            profile=profile,
        )

    def varied(self, stack: Stack, said: str) -> Stack:
        """Give a stack with other values, spelled as in its brackets and after them: `threads=32@tuned`."""
        values, _, profile = said.partition("@")
        parts = [part.partition("=") for part in values.split(",")] if values else []
        new = {key.strip(): value for key, _, value in parts}
        if len(new) < len(parts):
            raise UsageError(f"'{values}' names a setting twice.")
        name = replace(stack, arm=None, profile=MATCHED).name
        plain, _, brackets = name.removesuffix("]").partition("[")
        given = {**_wanted(name, brackets or None), **new}
        inside = ",".join(f"{key}={value}" for key, value in given.items())
        return self.one(f"{plain}{f'[{inside}]' if inside else ''}@{profile or stack.profile}")

    def _mixed(self, name: str, front: Front) -> Mixed:
        """Give two stacks behind a front, as in nginx[asgi=fastapi+uvicorn,stage=1,wsgi=flask+gunicorn-gthread]."""
        brackets = name.removeprefix(front.name)
        if brackets and not (brackets.startswith("[") and brackets.endswith("]")):
            raise UsageError(f"{name}: its brackets do not close as they open.")
        wanted = _wanted(name, brackets[1:-1]) if len(brackets) > 2 else {}
        if set(wanted) != {"wsgi", "asgi", "stage"}:
            raise UsageError(f"{name}: expected {front.name}[asgi=STACK,stage=STAGE,wsgi=STACK].")
        find(f"stage of {front.name}", wanted["stage"], front.stages)
        parts = {side: self.one(wanted[side]) for side in ("wsgi", "asgi")}
        for side, part in parts.items():
            if part.interface != side:
                raise UsageError(f"{name}: {part.name} is no {side.upper()} stack.")
        for part in parts.values():
            if part.scheme != "http":
                raise UsageError(f"{name}: {part.server.name} speaks TLS only, and {front.name} asks in the clear.")
        if parts["wsgi"].service("postgres") != parts["asgi"].service("postgres"):
            raise UsageError(f"{name}: the two have their rows in different databases; expected drivers of one.")
        return Mixed(front=front, stage=wanted["stage"], wsgi=parts["wsgi"], asgi=parts["asgi"])

    def axes(self, app: App) -> dict[str, tuple[Choice, ...]]:
        """Give every axis of an app as it is by default."""
        return {**app.axes, **self._work_axes(app, ())}

    def bridged(self, app: App, server: Server) -> list[str]:
        """Name the bridges by which an app can run on a server of the other interface."""
        if app.interface == server.interface or not _serves(server, app):
            return []
        own = [OWN] if app.interface in server.takes else []
        return own + [bridge.name for bridge in self.bridges.values() if app.interface in bridge.takes]

    def _work_axes(self, app: App, chosen: tuple[Choice, ...]) -> Mapping[str, tuple[Choice, ...]]:
        """Give the axes of the half of apps/work that does the work."""
        side = next((choice.work for choice in chosen if choice.work), app.work)
        return self.work.axes.get(side, {}) if self.work and side else {}

    def _choices(self, name: str, app: App, wanted: dict[str, str]) -> tuple[Choice, ...]:
        own = tuple(_chosen(name, axis, values, wanted) for axis, values in app.axes.items())
        works = self._work_axes(app, own)
        chosen = (*own, *(_chosen(name, axis, values, wanted) for axis, values in works.items()))
        for axis in wanted:
            known = {choice.axis: choice for choice in chosen} | {"bridge": None}
            find(f"axis or setting (in {name})", axis, known)
        return tuple(sorted(chosen, key=lambda choice: choice.axis))

    def _bridge(self, name: str, app: App, server: Server, bridge: str) -> Bridge:
        if app.interface == server.interface:
            raise UsageError(
                f"{name}: {app.name} and {server.name} are both {app.interface.upper()}; no bridge is needed."
            )
        able = self.bridged(app, server)
        if bridge == OWN and OWN in able:
            return Bridge(name=OWN, takes={app.interface: server.takes[app.interface]})
        return self.bridges[find(f"bridge for {app.name} on {server.name}", bridge, {one: one for one in able})]


def pairs(stacks: Stacks) -> list[Stack]:
    """Give every app on every server of its interface, but for the pairs that cannot run."""
    found = (stacks.one(name) for name in stacks)
    return [stack for stack in found if not stack.cannot]


def variants(stacks: Stacks) -> list[Stack]:
    """Give every other value of every axis, and every bridge, on each app and server that has it."""
    found = []
    for stack in pairs(stacks):
        for choices in stacks.axes(stack.app).values():
            found += [stacks.one(f"{stack.name}[{choice}]") for choice in choices if not choice.default]
    for app in stacks.apps.values():
        for server in stacks.servers.values():
            bridged = [stacks.one(f"{app.name}+{server.name}[bridge={name}]") for name in stacks.bridged(app, server)]
            found += [stack for stack in bridged if not stack.cannot]
    return found


def everything(stacks: Stacks, able: Callable[[Stack], bool] = lambda _: True) -> list[Stack]:
    """Give every pair, and as few variants as meet every choice and every bridge once."""
    return [*pairs(stacks), *_met(variants(stacks), _choices, able)]


def covering(stacks: Stacks, able: Callable[[Stack], bool] = lambda _: True) -> list[Stack]:
    """Give as few stacks as one needs to meet every framework, server, choice and bridge once."""
    return _met([*pairs(stacks), *variants(stacks)], lambda stack: _parts(stack) | _choices(stack), able)


def fronted(stacks: Stacks) -> list[Mixed]:
    """Give each front in its middle stage, before the stack of each interface that lacks least."""
    found = []
    for front in stacks.fronts.values():
        plain = [stack for stack in pairs(stacks) if stack.scheme == "http"]
        parts = {side: [stack for stack in plain if stack.interface == side] for side in ("wsgi", "asgi")}
        if all(parts.values()):
            wsgi, asgi = (min(each, key=lambda stack: len(stack.lacks)) for each in parts.values())
            stage = list(front.stages)[len(front.stages) // 2]
            found.append(Mixed(front=front, stage=stage, wsgi=wsgi, asgi=asgi))
    return found


def _met(every: Sequence[Stack], parts: Callable[[Stack], set[str]], able: Callable[[Stack], bool]) -> list[Stack]:
    """Meet all parts, by stacks that can run here wherever there are such: what is missing is to be told."""
    can = [stack for stack in every if able(stack)]
    met = set[str]().union(*map(parts, can))
    return [*cover(can, parts), *cover(every, lambda stack: parts(stack) - met)]


def cover(candidates: Iterable[Stack], parts: Callable[[Stack], set[str]]) -> list[Stack]:
    """Choose greedily, the one with most parts that are not yet met first, so that every part is met."""
    left = {stack.name: (stack, parts(stack)) for stack in candidates}
    unmet = set[str]().union(*(each for _, each in left.values()))
    chosen = []
    while unmet:
        name = max(left, key=lambda one: len(left[one][1] & unmet))
        stack, met = left.pop(name)
        unmet -= met
        chosen.append(stack)
    return chosen


def _parts(stack: Stack) -> set[str]:
    """Name app and server, where they meet without a bridge."""
    return set() if stack.bridge else {f"app {stack.app.name}", f"server {stack.server.name}"}


def _choices(stack: Stack) -> set[str]:
    """Name what makes a stack a variant: its choices by who makes them, its bridge by whom it joins."""
    found = set()
    for choice in stack.choices:
        whose = stack.app.name if choice.axis in stack.app.axes else stack.app.work
        if not choice.default:
            found.add(f"{whose} {choice}")
    if stack.bridge is not None:
        whose = stack.server.name if stack.bridge.name == OWN else stack.interface
        found.add(f"{whose} through {stack.bridge.name}")
    return found


def _setting(name: str, server: Server, profile: str, key: str, text: str) -> Setting:
    """Read a setting that a stack's name gives; UsageError where the server has no word for it."""
    command = (server.profiles[profile].command if profile != MATCHED else ()) or server.command
    followers = [other for other, value in server.settings.items() if value == f"{{{key}}}"]
    if not any(f"{{{one}}}" in word for one in (key, *followers) for word in command) and key not in TOLD:
        raise UsageError(f"{name}: {server.name} is started without a word for '{key}'; leave it out.")
    return _read(name, key, server.settings[key], text)


def _read(name: str, key: str, declared: Setting, text: str) -> Setting:
    """Read a setting as one of the kind that is declared; UsageError where it is none."""
    if isinstance(declared, bool):
        if text in ("true", "false"):
            return text == "true"
        expected = "true or false"
    elif isinstance(declared, str) and not declared.startswith("{"):
        return text
    else:
        least = 0 if key.endswith("_s") else 1
        if re.fullmatch(r"[0-9]{1,7}", text, re.ASCII) and int(text) >= least:
            return int(text)
        expected = f"a whole number from {least} to 9999999"
    raise UsageError(f"{name}: the setting '{key}' holds '{text}'; expected {expected}.")


def _serves(server: Server, app: App) -> bool:
    return not server.only or app.name in server.only


def _wanted(name: str, brackets: str | None) -> dict[str, str]:
    """Read what stands in a name's brackets, in which further brackets may stand."""
    wanted: dict[str, str] = {}
    if brackets is not None and not re.fullmatch(r"([^\[\]]|\[[^\[\]]*\])*", brackets):
        raise UsageError(f"{name}: its brackets do not close as they open.")
    for part in re.findall(r"(?:[^,\[\]]|\[[^\[\]]*\])+", brackets) if brackets is not None else ():
        axis, equals, value = part.strip().partition("=")
        if not (axis and equals and value) or axis in wanted:
            raise UsageError(f"{name}: '{part}' is no choice; expected axis=value, each axis once.")
        wanted[axis] = value
    if brackets is not None and not wanted:
        raise UsageError(f"{name}: its brackets are empty; leave them out.")
    return wanted


def _chosen(name: str, axis: str, values: tuple[Choice, ...], wanted: Mapping[str, str]) -> Choice:
    if axis not in wanted:
        return values[0]
    return find(f"value of the axis {axis} (in {name})", wanted[axis], {choice.value: choice for choice in values})
