"""What is declared: apps, servers, and the stacks that they make; fronts, services, scenarios.

Knows nothing else: no files, no processes, no loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeGuard

Interface = Literal["wsgi", "asgi"]
AnyInterface = Literal["wsgi", "asgi", "both"]  # of a stack alone, or of two behind one front
Side = Literal["sync", "aio"]  # of apps/work
ServiceKind = Literal["postgresql", "mysql", "redis", "http"]
Setting = str | int | float | bool
MATCHED = "matched"  # the profile that a server's own settings are


def spelled(value: Setting) -> str:
    """Spell a setting as a stack's name does."""
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One value of an axis: what a stack has where it takes that value."""

    axis: str
    value: str
    default: bool = False  # what a stack has that names none
    requirements: tuple[str, ...] = ()
    target: str | None = None  # in the place of the app's own
    work: Side | None = None  # the same
    instead: Mapping[str, str] = field(default_factory=dict)  # service -> the one that does its work then
    settings: Mapping[str, Setting] = field(default_factory=dict)  # in the place of the server's
    lacks: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Spell it as a stack's name does."""
        return f"{self.axis}={self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request that somebody's own app declares, and the status that it must be answered with."""

    path: str
    method: str = "GET"
    status: int = 200
    body: str | None = None
    content_type: str | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An application: a folder with app.toml. One framework's reference application, or somebody's own."""

    name: str  # the folder's name
    interface: Interface
    target: str  # import path of the callable inside the folder, "app:app"
    folder: Path
    requirements: tuple[str, ...]  # the lines of requirements.txt
    lacks: Mapping[str, str] = field(default_factory=dict)  # route -> why this app cannot offer it
    work: Side | None = None  # which half of apps/work does its work; None where it has its own
    axes: Mapping[str, tuple[Choice, ...]] = field(default_factory=dict)  # its own, the default first
    visits: tuple[Visit, ...] = ()  # what is asked of somebody's own app; a reference app keeps the contract instead
    services: tuple[str, ...] = ()  # what somebody's own app needs

    @property
    def ready(self) -> str:
        """The path that tells that it is up."""
        gets = (visit.path for visit in self.visits if visit.method == "GET" and visit.status == 200)
        return next(gets, "/plaintext")


@dataclass(frozen=True, slots=True, kw_only=True)
class Takes:
    """How an app of the other interface is run: by a bridge, or by the server itself."""

    target: str  # with {target} in the place of the app's own
    settings: Mapping[str, Setting] = field(default_factory=dict)  # in the place of the server's
    lacks: Mapping[str, str] = field(default_factory=dict)
    lacks_with: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # app -> what this pair lacks


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """What lets an app run on a server of the other interface: a file in compose/bridges/, or "own", the server's."""

    name: str
    takes: Mapping[Interface, Takes]  # the app's interface
    requirements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Other settings for a server than those that all are given alike."""

    settings: Mapping[str, Setting] = field(default_factory=dict)  # in the place of the server's
    command: tuple[str, ...] = ()  # the same; empty where it is the server's


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server in one way of running: a file in compose/servers/."""

    name: str  # the file's name
    interface: Interface
    requirements: tuple[str, ...]
    command: tuple[str, ...]  # words with {python}, {host}, {port}, {target} and the settings' names
    settings: Mapping[str, Setting]  # all that decides a comparison; printed in the report
    protocols: tuple[str, ...]  # what it offers on the wire: "http/1.1", "h2", "h3", "websocket"
    lacks: Mapping[str, str] = field(default_factory=dict)  # route -> why this server cannot offer it
    lacks_with: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # app -> what this pair lacks
    only: tuple[str, ...] = ()  # the apps that it serves; empty where it serves all of its interface
    cannot: Mapping[str, str] = field(default_factory=dict)  # app -> why this pair cannot run at all
    needs: Mapping[str, str] = field(default_factory=dict)  # program or header -> Debian's package that has it
    takes: Mapping[Interface, Takes] = field(default_factory=dict)  # apps of the other interface
    tls: bool = False  # it speaks TLS only
    profiles: Mapping[str, Profile] = field(default_factory=dict)  # beside its own settings, which are the matched
    folder: Path = Path()  # compose/, with launchers and bridges


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """An app on a server, with one value of each axis; through a bridge where their interfaces differ."""

    app: App
    server: Server
    choices: tuple[Choice, ...] = ()  # of every axis, by name
    bridge: Bridge | None = None
    given: Mapping[str, Setting] = field(default_factory=dict)  # in the place of the server's settings
    profile: str = MATCHED
    arm: str | None = None  # of a gate: "base", "head" or "again"
    python: str | None = None  # the version that this arm runs on; None: as all others

    @property
    def name(self) -> str:
        """The stack's one name, `app+server[axis=value,…]@profile`; what it has by default is not said.

        An arm of a gate has the arm's before it: `base:app+server`.
        """
        said = [f"bridge={self.bridge.name}"] if self.bridge else []
        said += [str(choice) for choice in self.choices if not choice.default]
        said += [f"{key}={spelled(value)}" for key, value in self.given.items()]
        brackets = f"[{','.join(sorted(said))}]" if said else ""
        profile = "" if self.profile == MATCHED else f"@{self.profile}"
        arm = f"{self.arm}:" if self.arm else ""
        return f"{arm}{self.app.name}+{self.server.name}{brackets}{profile}"

    @property
    def interface(self) -> Interface:
        """The app's, whatever serves it."""
        return self.app.interface

    @property
    def _takes(self) -> Takes | None:
        return self.bridge.takes[self.app.interface] if self.bridge else None

    @property
    def app_target(self) -> str:
        """Import path of the app's own callable."""
        return next((choice.target for choice in self.choices if choice.target), self.app.target)

    @property
    def target(self) -> str:
        """Import path of what the server is given: the app's callable, or a bridge's."""
        takes = self._takes
        return takes.target.replace("{target}", self.app_target) if takes else self.app_target

    @property
    def settings(self) -> Mapping[str, Setting]:
        """What decides a comparison: the server's settings, as a bridge may change them."""
        # A choice or a bridge is for many servers: what one of them does not know is not told of it. All may be told
        # how many requests they hold.
        known = {*self.server.settings, "concurrency"}
        changed = {key: value for choice in self.choices for key, value in choice.settings.items()}
        changed |= self._takes.settings if self._takes else {}
        changed = {key: value for key, value in changed.items() if key in known}
        found = {**self.server.settings, **self._profile.settings, **changed, **self.given}
        return resolved(found)

    @property
    def _profile(self) -> Profile:
        return self.server.profiles.get(self.profile, Profile())

    @property
    def command(self) -> tuple[str, ...]:
        """The words that start it, with placeholders."""
        return self._profile.command or self.server.command

    @property
    def requirements(self) -> tuple[str, ...]:
        """All that is to be installed, each once."""
        bridge = self.bridge.requirements if self.bridge else ()
        chosen = (line for choice in self.choices for line in choice.requirements)
        return tuple(dict.fromkeys((*self.app.requirements, *self.server.requirements, *bridge, *chosen)))

    @property
    def variables(self) -> dict[str, str]:
        """What the app's environment says of the stack."""
        chosen = {f"GATEBENCH_{choice.axis.upper()}": choice.value for choice in self.choices}
        return {**chosen, "GATEBENCH_TARGET": self.app_target, "GATEBENCH_POOL_SIZE": str(self.settings["pool_size"])}

    @property
    def cannot(self) -> str | None:
        """Say why this pair cannot run at all; None where it can."""
        return self.server.cannot.get(self.app.name)

    @property
    def concurrency(self) -> int | None:
        """How many requests its workers hold at once; None where only memory limits it."""
        value = self.settings.get("concurrency")
        return int(value) * int(self.settings["workers"]) if isinstance(value, int) else None

    @property
    def protocols(self) -> tuple[str, ...]:
        """What it offers on the wire."""
        return self.server.protocols

    @property
    def keep_alive_s(self) -> float:
        """How long it keeps an idle connection; 0 where it closes every one."""
        return float(self.settings["keep_alive_s"])

    @property
    def scheme(self) -> str:
        """The scheme of its addresses."""
        return "https" if self.server.tls else "http"

    @property
    def lacks(self) -> dict[str, str]:
        """Route -> why this stack cannot offer it."""
        found: dict[str, str] = {}
        for one in (self.app, *self.choices, self.server, self._takes):
            found = {**(one.lacks if one else {}), **found}
        for pair in (self.server, self._takes):
            found = {**(pair.lacks_with.get(self.app.name, {}) if pair else {}), **found}
        return found

    def lack(self, route: str) -> str | None:
        """Say why this stack cannot offer a route, or None where it does."""
        return self.lacks.get(route)

    def service(self, name: str) -> str:
        """Name the service that does the work of this one here: MariaDB's drivers have theirs."""
        return next((choice.instead[name] for choice in self.choices if name in choice.instead), name)

    @property
    def visits(self) -> tuple[Visit, ...]:
        """What is asked of somebody's own app."""
        return self.app.visits

    @property
    def ready(self) -> str:
        """The path that tells that it is up."""
        return self.app.ready

    @property
    def file(self) -> Path | None:
        """The file that the route of that name reads; None where the app does its own work."""
        return self.app.folder.parent / "work" / "file.bin" if self.app.work else None

    @property
    def needs(self) -> Mapping[str, str]:
        """What must be on the machine, with Debian's packages."""
        return self.server.needs


def resolved(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Give settings with others in the place of those that follow them: "{threads}" is as many as threads."""
    return {key: settings.get(value[1:-1], value) if _follows(value) else value for key, value in settings.items()}


def _follows(value: Setting) -> TypeGuard[str]:
    return isinstance(value, str) and value.startswith("{") and value.endswith("}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """What stands in front of two stacks and deals requests out: a file in compose/fronts/."""

    name: str  # the file's name
    template: str  # of its configuration
    settings: Mapping[str, Setting]
    stages: Mapping[str, float]  # stage -> share of 1 that goes to the WSGI stack
    needs: Mapping[str, str] = field(default_factory=dict)  # program -> Debian's package
    image: str | None = None
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """A WSGI and an ASGI stack behind one front: some paths belong to one of them, the others are dealt out."""

    front: Front
    stage: str
    wsgi: Stack
    asgi: Stack
    interface: Literal["both"] = "both"
    profile: str = MATCHED
    scheme: str = "http"
    ready: str = "/plaintext"
    concurrency: None = None
    visits: tuple[Visit, ...] = ()

    @property
    def name(self) -> str:
        """Its one name, as in `nginx[asgi=fastapi+uvicorn,stage=1,wsgi=flask+gunicorn-gthread]`."""
        return f"{self.front.name}[asgi={self.asgi.name},stage={self.stage},wsgi={self.wsgi.name}]"

    @property
    def wsgi_share(self) -> float:
        """The share of 1 that goes to the WSGI stack, of what belongs to neither by its path."""
        return self.front.stages[self.stage]

    @property
    def settings(self) -> Mapping[str, Setting]:
        """The front's settings, and those of both stacks."""
        parts = {"wsgi": self.wsgi.settings, "asgi": self.asgi.settings}
        inner = {f"{part} {key}": value for part, given in parts.items() for key, value in given.items()}
        return {**self.front.settings, "wsgi_share": self.wsgi_share, **inner}

    @property
    def keep_alive_s(self) -> float:
        """How long the front keeps an idle connection."""
        return float(self.front.settings["keep_alive_s"])

    @property
    def protocols(self) -> tuple[str, ...]:
        """What the front offers."""
        return ("http/1.1", "websocket")

    @property
    def cannot(self) -> str | None:
        """Say why this cannot run at all; None where it can."""
        return self.wsgi.cannot or self.asgi.cannot

    @property
    def lacks(self) -> dict[str, str]:
        """Route -> why one of the two cannot offer it; the WebSocket is the ASGI stack's alone."""
        dealt = {route: reason for route, reason in self.wsgi.lacks.items() if route != "ws"}
        return {**dealt, **self.asgi.lacks}

    def lack(self, route: str) -> str | None:
        """Say why a route cannot be offered, or None where it is."""
        return self.lacks.get(route)

    def service(self, name: str) -> str:
        """Name the service that does the work of this one; both stacks have the same."""
        return self.wsgi.service(name)

    @property
    def file(self) -> Path | None:
        """The file that the route of that name reads."""
        return self.wsgi.file

    @property
    def needs(self) -> Mapping[str, str]:
        """What must be on the machine, with Debian's packages."""
        return {**self.front.needs, **self.wsgi.needs, **self.asgi.needs}


AnyStack = Stack | Mixed


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Something a stack needs beside it: a file in compose/services/."""

    name: str  # the file's name
    kind: ServiceKind  # how readiness is seen, and how it is seeded
    variable: str  # environment variable that tells the app where it is, and that names one already running
    url: str  # with {port}
    requirements: tuple[str, ...]
    command: tuple[str, ...]
    prepare: tuple[str, ...] = ()  # run once before the command
    settings: Mapping[str, Setting] = field(default_factory=dict)
    seed: Path | None = None  # SQL that fills a fresh database
    folder: Path = Path()
    programs: str = ""  # where a process has its programs; in a container they are on PATH
    installed: str = ""  # where Debian's own lie, for who asks for the installed ones
    needs: Mapping[str, str] = field(default_factory=dict)  # program -> Debian's package that a process takes it from
    image: str | None = None  # an official image of it; None where it is built as a stack is, of its requirements
    packages: tuple[str, ...] = ()  # Debian's, for where that image cannot be had
    user: str | None = None  # who runs it in a container
    after_prepare: str = ""  # a line for the shell of a container, after what prepares it


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a user does: a Locust file in scenarios/, with its SCENARIO literal."""

    name: str  # the file's name
    path: Path
    version: int  # raised whenever figures before and after no longer compare
    title: str
    routes: tuple[str, ...]  # the contract's routes it uses
    services: tuple[str, ...]  # the services those routes need
    error_limit: float = 0.001  # share of requests that may fail before a trial is void
    front: bool = False  # it is about two stacks behind one front
    holds: bool = False  # its connections can be held open
    waits_s: float | None = None  # what each request waits by design
