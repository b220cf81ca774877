"""Servers, bridges between the interfaces, and fronts before two stacks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gatebench.declare.places import NONE, check_words, contained, folder_of, keep_alive, named, settings_of, text_of
from gatebench.errors import UsageError
from gatebench.model import MATCHED, Bridge, Front, Interface, Profile, Server, Takes
from gatebench.toml import (
    REQUIRED,
    Table,
    interface,
    load_toml,
    table,
    tables,
    text,
    texts,
    texts_by_name,
    whole,
)


def servers(root: Path) -> dict[str, Server]:
    """Find every file of compose/servers/."""
    return {path.stem: _server(path, root) for path in sorted(folder_of(root, "compose", "servers").glob("*.toml"))}


def _server(path: Path, root: Path) -> Server:
    declared, place = load_toml(path, root), str(path.relative_to(root))
    server = Server(
        name=named(path, root),
        interface=declared.take("interface", '"wsgi" or "asgi"', interface),
        requirements=declared.take("requirements", "a list of requirements", texts),
        command=declared.take("command", "a list of words", texts),
        settings=settings_of(declared, place),
        protocols=declared.take("protocols", "a list of protocols", texts),
        lacks=declared.take("lacks", "a table of routes with reasons", texts_by_name, default={}),
        lacks_with=declared.take(
            "lacks_with", "a table of apps, each with routes and reasons", _lacks_with, default={}
        ),
        only=declared.take("only", "a list of apps", texts, default=()),
        cannot=declared.take("cannot", "a table of apps with reasons", texts_by_name, default={}),
        needs=declared.take("needs", "a table of programs with Debian's packages", texts_by_name, default={}),
        takes=_takes(declared.take("takes", "a table of interfaces", tables, default={}), f"{place} [takes]"),
        tls=declared.take(
            "tls", "true or false", lambda value: value if isinstance(value, bool) else None, default=False
        ),
        profiles=_profiles(declared.take("profiles", "a table of profiles", tables, default={}), place),
        folder=path.parent.parent,
    )
    declared.done()
    if server.interface in server.takes:
        raise UsageError(f"{place}: [takes.{server.interface}] is its own interface; expected the other one.")
    settings = Table(f"{place} [settings]", server.settings)
    settings.take("workers", "a whole number from 1", whole)
    settings.take("pool_size", "a whole number from 1", whole)
    settings.take("keep_alive_s", "seconds, 0 where every connection is closed", keep_alive)
    if server.settings.get("concurrency") != "{threads}":  # as many as it has threads
        settings.take("concurrency", "a whole number from 1: requests that a worker holds at once", whole, default=1)
    given = ("python", "host", "port", "target", "bin", "launchers", "scratch")
    for words in (server.command, *(profile.command for profile in server.profiles.values())):
        check_words(path, root, words, server.settings, given)
    return server


def _profiles(given: Mapping[str, Mapping[str, Any]], place: str) -> dict[str, Profile]:
    """Read settings and commands other than the matched ones."""
    read = {}
    for name, one in given.items():
        declared = Table(f"{place} [profiles.{name}]", one)
        if name == MATCHED or not name.isalpha() or not name.islower():
            raise UsageError(f"{place}: [profiles.{name}] has no name for a profile; expected default or tuned.")
        read[name] = Profile(
            settings=settings_of(declared, f"{place} [profiles.{name}]", default={}),
            command=declared.take("command", "a list of words", texts, default=NONE),
        )
        declared.done()
    return read


def _takes(given: Mapping[str, Mapping[str, Any]], place: str, target: str = "{target}") -> dict[Interface, Takes]:
    """Read how apps of an interface are taken."""
    read: dict[Interface, Takes] = {}
    for name, one in given.items():
        known = interface(name)
        if known is None:
            raise UsageError(f"{place}: the key '{name}' is unknown; expected wsgi or asgi.")
        declared = Table(f"{place} {name}", one)
        read[known] = Takes(
            target=declared.take("target", "an import path", text, default=target),
            settings=settings_of(declared, f"{place} {name}", default={}),
            lacks=declared.take("lacks", "a table of routes with reasons", texts_by_name, default={}),
            lacks_with=declared.take("lacks_with", "a table of apps, each with its lacks", _lacks_with, default={}),
        )
        declared.done()
    return read


def _lacks_with(value: Any) -> dict[str, dict[str, str]] | None:
    given = tables(value)
    return None if given is None or any(texts_by_name(one) is None for one in given.values()) else given


def bridges(root: Path) -> dict[str, Bridge]:
    """Find every file of compose/bridges/; a tree without bridges has none."""
    return {path.stem: _bridge(path, root) for path in sorted((root / "compose" / "bridges").glob("*.toml"))}


def _bridge(path: Path, root: Path) -> Bridge:
    declared, place = load_toml(path, root), str(path.relative_to(root))
    requirements = declared.take("requirements", "a list of requirements", texts, default=NONE)
    given = {name: declared.take(name, "a table", table, default=None) for name in ("wsgi", "asgi")}
    bridge = Bridge(
        name=named(path, root),
        requirements=requirements,
        takes=_takes({name: one for name, one in given.items() if one is not None}, place, REQUIRED),
    )
    declared.done()
    if not bridge.takes:
        raise UsageError(f"{place}: takes no app; expected a table [wsgi] or [asgi].")
    return bridge


def fronts(root: Path) -> dict[str, Front]:
    """Find every file of compose/fronts/; a tree without fronts has none."""
    return {path.stem: _front(path, root) for path in sorted((root / "compose" / "fronts").glob("*.toml"))}


def _front(path: Path, root: Path) -> Front:
    declared, place = load_toml(path, root), str(path.relative_to(root))
    template = path.parent / declared.take("template", "a file beside this one", text)
    container = contained(declared, place)
    front = Front(
        name=named(path, root),
        template=text_of(template, root),
        settings=settings_of(declared, place),
        stages=declared.take("stages", "a table of stages with the share of WSGI", _stages),
        needs=declared.take("needs", "a table of programs with Debian's packages", texts_by_name, default={}),
        image=container["image"],
        packages=container["packages"],
    )
    declared.done()
    Table(f"{place} [settings]", front.settings).take("keep_alive_s", "seconds", keep_alive)
    return front


def _stages(value: Any) -> dict[str, float] | None:
    sound = (
        isinstance(value, dict)
        and value
        and all(type(one) in (int, float) and 0 <= one <= 1 for one in value.values())
    )
    return {key: float(one) for key, one in value.items()} if sound else None
