"""Folders and TOML files to App, Server, Bridge, Service and Scenario.

Knows where declarations lie and what may stand in them; a name is its folder's or file's name. Must not know how
anything is started or measured. Every fault is a UsageError that names file, key, what was found, what is expected.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from gatebench.errors import UsageError
from gatebench.model import (
    App,
    Bridge,
    Choice,
    Front,
    Interface,
    Scenario,
    Server,
    Service,
    Setting,
    Side,
    Takes,
    Visit,
)
from gatebench.toml import (
    REQUIRED,
    Table,
    fill,
    flag,
    interface,
    load_toml,
    share,
    table,
    tables,
    text,
    texts,
    texts_by_name,
    whole,
)

NAME = "abcdefghijklmnopqrstuvwxyz0123456789_-"  # what a name may be made of, so that stack names can be read back
RESERVED = ("bridge", "stage", "asgi", "wsgi")  # what stands in a stack's brackets beside axes
READY = "plaintext"  # the route that every app offers
NONE: tuple[str, ...] = ()
KINDS = ("postgresql", "mysql", "redis", "http")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MOST_LETTERS = 60  # of the name of somebody's own app: files are named after it


def _settings(declared: Table, place: str, default: Any = REQUIRED) -> dict[str, Setting]:
    values: dict[str, Setting] = declared.take("settings", "a table of plain values", table, default)
    for key, value in values.items():
        if not isinstance(value, str | int | float | bool):
            raise UsageError(
                f"{place} [settings]: the key '{key}' holds {value!r}; expected a text, a number, true or false."
            )
    return values


def _folder(root: Path, *parts: str) -> Path:
    folder = root.joinpath(*parts)
    if not folder.is_dir():
        place = "/".join(parts)
        raise UsageError(
            f"There is no folder '{place}' in {root}; run gatebench where apps/, compose/ and scenarios/ are, "
            "or name that folder with --root."
        )
    return folder


def _named(path: Path, root: Path) -> str:
    name = path.stem if path.suffix in (".toml", ".py") else path.name
    if not name or set(name) - set(NAME) or not name[0].isalnum():
        raise UsageError(
            f"{path.relative_to(root)}: a name is made of a-z, 0-9, '_' and '-', "
            "and begins with a letter or a digit; this one does not."
        )
    return name


def _lines(path: Path, root: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"{path.relative_to(root)}: cannot be read; expected one requirement a line ({why})."
        ) from error
    stripped = (line.split(" #")[0].strip() for line in lines)
    return tuple(line for line in stripped if line and not line.startswith("#"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What apps/work/axes.toml declares: who may do the work of apps."""

    requirements: tuple[str, ...] = ()  # of all who use it
    axes: Mapping[Side, Mapping[str, tuple[Choice, ...]]] = field(default_factory=dict)  # the default first


def work(root: Path) -> Work | None:
    """Read apps/work/axes.toml; None in a tree whose apps do their work themselves."""
    path = root / "apps" / "work" / "axes.toml"
    if not path.is_file():
        return None
    declared, place = load_toml(path, root), str(path.relative_to(root))
    requirements = declared.take("requirements", "a list of requirements", texts, default=NONE)
    sides: dict[Side, Mapping[str, tuple[Choice, ...]]] = {}
    for side in ("sync", "aio"):
        sides[side] = _axes(declared.take(side, "a table of axes", table, default={}), f"{place} [{side}]")
    declared.done()
    return Work(requirements=requirements, axes=sides)


def _axes(axes: Mapping[str, Any], place: str) -> dict[str, tuple[Choice, ...]]:
    """Read axes, each a table of its values; the first value is the default."""
    read: dict[str, tuple[Choice, ...]] = {}
    for axis, values in axes.items():
        if axis in RESERVED or _name(axis) is None or not isinstance(values, dict) or not values:
            raise UsageError(
                f"{place}: the axis '{axis}' holds {values!r}; expected a table of its values, under a name of a-z, "
                f"0-9, '_' and '-' that is none of {', '.join(RESERVED)}."
            )
        read[axis] = tuple(_choices(axis, values, f"{place} {axis}"))
    return read


def _choices(axis: str, values: Mapping[str, Any], place: str) -> Iterator[Choice]:
    for number, (value, given) in enumerate(values.items()):
        if _name(value) is None or not isinstance(given, dict):
            raise UsageError(
                f"{place}: the value '{value}' holds {given!r}; expected a table under a name of a-z, 0-9, '_', '-'."
            )
        declared = Table(f"{place}.{value}", given)
        yield Choice(
            axis=axis,
            value=value,
            default=number == 0,
            requirements=declared.take("requirements", "a list of requirements", texts, default=()),
            target=declared.take("target", 'an import path such as "app:app"', text, default=None),
            work=declared.take("work", '"sync" or "aio"', _side, default=None),
            instead=declared.take("instead", "a table of services", texts_by_name, default={}),
            lacks=declared.take("lacks", "a table of routes with reasons", texts_by_name, default={}),
        )
        declared.done()


def _side(value: Any) -> Side | None:
    return value if value in ("sync", "aio") else None


def apps(root: Path) -> dict[str, App]:
    """Find every folder of apps/ that holds an app.toml."""
    shared = work(root)
    return {path.parent.name: _app(path, root, shared) for path in sorted(_folder(root, "apps").glob("*/app.toml"))}


def _app(path: Path, root: Path, shared: Work | None) -> App:
    declared, place = load_toml(path, root), str(path.relative_to(root))
    spoken: Interface = declared.take("interface", '"wsgi" or "asgi"', interface)
    usual: Side = "sync" if spoken == "wsgi" else "aio"
    app = App(
        name=_named(path.parent, root),
        interface=spoken,
        target=declared.take("target", 'an import path such as "app:app"', text),
        folder=path.parent,
        requirements=_lines(path.parent / "requirements.txt", root) + (shared.requirements if shared else ()),
        lacks=declared.take("lacks", "a table of routes with reasons", texts_by_name, default={}),
        work=declared.take("work", '"sync" or "aio"', _side, default=usual) if shared else None,
        axes=_axes(declared.take("axes", "a table of axes", table, default={}), f"{place} [axes]"),
    )
    declared.done()
    if READY in app.lacks:
        raise UsageError(f"{place}: the route '{READY}' may not be lacking: it tells who is ready.")
    for axis in app.axes:
        if shared and any(axis in axes for axes in shared.axes.values()):
            raise UsageError(
                f"{place} [axes]: the axis '{axis}' is one of apps/work/axes.toml; expected another name."
            )
    return app


def own(folder: Path) -> App:
    """Read somebody's own app, wherever it lies: what it is, what it requires, and which of its paths are visited."""
    path = _own_file(folder)
    declared = load_toml(path, folder)
    lines = _lines(folder / "requirements.txt", folder) if (folder / "requirements.txt").exists() else NONE
    name = declared.take(
        "name",
        f"at most {MOST_LETTERS} of a-z, 0-9, '_' and '-', beginning with a letter or digit",
        _name,
        default=_name(folder.resolve().name),
    )
    if name is None:
        raise UsageError(
            f"app.toml: the folder's name '{folder.resolve().name}' cannot be the app's; add a key 'name'."
        )
    app = App(
        name=name,
        interface=declared.take("interface", '"wsgi" or "asgi"', interface),
        target=declared.take("target", 'an import path such as "app:app"', _target),
        folder=folder.resolve(),
        requirements=lines + declared.take("requirements", "a list of requirements", texts, default=NONE),
        visits=tuple(_visits(declared)),
        services=declared.take("services", "a list of services", texts, default=NONE),
    )
    declared.done()
    for line in app.requirements:
        _check_requirement(line, "requirements.txt" if line in lines else "app.toml")
    if not any(visit.method == "GET" and visit.status == 200 for visit in app.visits):
        raise UsageError(
            "app.toml: no path is answered with 200 to a GET; one of them has to tell that the app is up."
        )
    return app


def _own_file(folder: Path) -> Path:
    """Find the app.toml of somebody's own app, in a folder that can be imported from."""
    path = folder / "app.toml"
    try:
        found, is_folder, is_there = path.is_file(), folder.is_dir(), folder.exists()
    except OSError as error:
        raise UsageError(f"The folder {folder} cannot be looked into ({error.strerror}).") from error
    if not is_there:
        raise UsageError(f"There is no folder {folder}; --app takes the one that holds your app.toml.")
    if not is_folder:
        raise UsageError(f"{folder} is no folder; --app takes the one that holds your app.toml.")
    if not found:
        raise UsageError(f"There is no app.toml in {folder}; docs/own-app.md shows what stands in one.")
    if os.pathsep in str(folder.resolve()):
        raise UsageError(
            f"Python cannot import from {folder.resolve()}: there is a '{os.pathsep}' in it; move the app elsewhere."
        )
    return path


def _check_requirement(line: str, place: str) -> None:
    """Refuse what cannot be locked, before anything is built."""
    try:
        wanted = Requirement(line)
    except InvalidRequirement:
        wanted = None
    if wanted is None or wanted.url:
        raise UsageError(
            f"{place}: '{line}' cannot be locked; expected a package's name with or without versions, such as "
            '"flask>=3": no option, no file, no address.'
        )


def _target(value: Any) -> str | None:
    """Take module:callable, each of names with dots between them."""
    module, colon, attribute = value.partition(":") if isinstance(value, str) else ("", "", "")
    names = (*module.split("."), *attribute.split("."))
    return value if colon and all(map(str.isidentifier, names)) and not module.endswith(".py") else None


def _content_type(value: Any) -> str | None:
    sound = isinstance(value, str) and value.strip() and value.isascii() and value.isprintable()
    return value if sound else None


def _name(value: Any) -> str | None:
    """Take what a stack's and a file's name can hold."""
    sound = isinstance(value, str) and 0 < len(value) <= MOST_LETTERS and not set(value) - set(NAME)
    return value if sound and value[0].isalnum() else None


def _visits(declared: Table) -> Iterator[Visit]:
    for number, given in enumerate(
        declared.take("paths", "a list of tables [[paths]], each with a path", _tables), 1
    ):
        one = Table(f"app.toml [[paths]] {number}", given)
        yield Visit(
            path=one.take("path", 'a path such as "/items?page=1"', _path),
            method=one.take("method", f"one of {', '.join(METHODS)}", _method, default="GET"),
            status=one.take("status", "a status from 200 to 599", _status, default=200),
            body=one.take("body", "the request's body, a text", _any_text, default=None),
            content_type=one.take("content_type", "the body's kind, in ASCII", _content_type, default=None),
            weight=one.take("weight", "a number above 0: how often, beside the others", _weight, default=1.0),
        )
        one.done()


def _tables(value: Any) -> list[dict[str, Any]] | None:
    sound = isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
    return value if sound else None


def _path(value: Any) -> str | None:
    sound = (
        isinstance(value, str)
        and value.startswith("/")
        and value.isascii()
        and value.isprintable()
        and not set(value) & set(" #")
    )
    return value if sound else None


def _method(value: Any) -> str | None:
    return value if value in METHODS else None


def _status(value: Any) -> int | None:
    return value if type(value) is int and 200 <= value <= 599 else None


def _any_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _weight(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and 0 < value <= 1_000_000 else None


def servers(root: Path) -> dict[str, Server]:
    """Find every file of compose/servers/."""
    return {path.stem: _server(path, root) for path in sorted(_folder(root, "compose", "servers").glob("*.toml"))}


def _server(path: Path, root: Path) -> Server:
    declared, place = load_toml(path, root), str(path.relative_to(root))
    server = Server(
        name=_named(path, root),
        interface=declared.take("interface", '"wsgi" or "asgi"', interface),
        requirements=declared.take("requirements", "a list of requirements", texts),
        command=declared.take("command", "a list of words", texts),
        settings=_settings(declared, place),
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
        folder=path.parent.parent,
    )
    declared.done()
    if server.interface in server.takes:
        raise UsageError(f"{place}: [takes.{server.interface}] is its own interface; expected the other one.")
    settings = Table(f"{place} [settings]", server.settings)
    settings.take("workers", "a whole number from 1", whole)
    settings.take("pool_size", "a whole number from 1", whole)
    settings.take("keep_alive_s", "seconds, 0 where every connection is closed", _keep_alive)
    settings.take("concurrency", "a whole number from 1: requests that a worker holds at once", whole, default=1)
    given = ("python", "host", "port", "target", "bin", "launchers", "scratch")
    _check_words(path, root, server.command, server.settings, given)
    return server


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
            settings=_settings(declared, f"{place} {name}", default={}),
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
        name=_named(path, root),
        requirements=requirements,
        takes=_takes({name: one for name, one in given.items() if one is not None}, place, REQUIRED),
    )
    declared.done()
    if not bridge.takes:
        raise UsageError(f"{place}: takes no app; expected a table [wsgi] or [asgi].")
    return bridge


def _keep_alive(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and value >= 0 else None


def _check_words(
    path: Path, root: Path, words: Iterable[str], known: Mapping[str, Setting], given: tuple[str, ...]
) -> None:
    """Fill the words once, so that a placeholder nobody fills is found before anything starts."""
    try:
        fill(words, {**known, **dict.fromkeys(given, "0")})
    except UsageError as error:
        raise UsageError(f"{path.relative_to(root)}: {error}") from error


def fronts(root: Path) -> dict[str, Front]:
    """Find every file of compose/fronts/; a tree without fronts has none."""
    return {path.stem: _front(path, root) for path in sorted((root / "compose" / "fronts").glob("*.toml"))}


def _front(path: Path, root: Path) -> Front:
    declared, place = load_toml(path, root), str(path.relative_to(root))
    template = path.parent / declared.take("template", "a file beside this one", text)
    container = _contained(declared, place)
    front = Front(
        name=_named(path, root),
        template=_text(template, root),
        settings=_settings(declared, place),
        stages=declared.take("stages", "a table of stages with the share of WSGI", _stages),
        needs=declared.take("needs", "a table of programs with Debian's packages", texts_by_name, default={}),
        image=container["image"],
        packages=container["packages"],
    )
    declared.done()
    Table(f"{place} [settings]", front.settings).take("keep_alive_s", "seconds", _keep_alive)
    return front


def _text(path: Path, root: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path.relative_to(root)}: cannot be read ({why}).") from error


def _stages(value: Any) -> dict[str, float] | None:
    sound = (
        isinstance(value, dict)
        and value
        and all(type(one) in (int, float) and 0 <= one <= 1 for one in value.values())
    )
    return {key: float(one) for key, one in value.items()} if sound else None


def services(root: Path) -> dict[str, Service]:
    """Find every file of compose/services/; a tree without services has none."""
    folder = root / "compose" / "services"
    return {path.stem: _service(path, root) for path in sorted(folder.glob("*.toml"))}


def _service(path: Path, root: Path) -> Service:
    declared = load_toml(path, root)
    seed = declared.take("seed", "the path of an SQL file beside this one", text, default="")
    service = Service(
        name=_named(path, root),
        kind=declared.take("kind", f"one of {', '.join(KINDS)}", lambda value: value if value in KINDS else None),
        variable=declared.take("variable", "the name of an environment variable", text),
        url=declared.take("url", "a URL with {port}", text),
        requirements=declared.take("requirements", "a list of requirements", texts),
        command=declared.take("command", "a list of words", texts),
        prepare=declared.take("prepare", "a list of words", texts, default=()),
        settings=_settings(declared, str(path.relative_to(root)), default={}),
        programs=declared.take("programs", "the folder of its programs, with a / at its end", text, default=""),
        installed=declared.take("installed", "where Debian's programs lie, with a / at its end", text, default=""),
        needs=declared.take("needs", "a table of programs with Debian's packages", texts_by_name, default={}),
        **_contained(declared, str(path.relative_to(root))),
        seed=path.parent / seed if seed else None,
        folder=path.parent,
    )
    declared.done()
    if service.seed is not None and not service.seed.is_file():
        raise UsageError(f"{path.relative_to(root)}: the key 'seed' names '{seed}'; expected a file beside it.")
    _check_words(path, root, (service.programs, service.url), {}, ("host", "port", "site_packages"))
    given = ("python", "host", "port", "data", "folder", "programs")
    _check_words(path, root, (*service.prepare, service.after_prepare, *service.command), service.settings, given)
    return service


def _contained(declared: Table, place: str) -> dict[str, Any]:
    """Read [container]: an official image, what stands in for it, and who runs it."""
    nothing: tuple[str, ...] = ()
    given = Table(f"{place} [container]", declared.take("container", "a table", table, default={}))
    read = {
        "image": given.take("image", "the name of an official image", text, default=None),
        "packages": given.take("packages", "a list of Debian's packages", texts, default=nothing),
        "user": given.take("user", "the name of a user", text, default=None),
        "after_prepare": given.take("after_prepare", "a line for the shell", text, default=""),
    }
    given.done()
    return read


def scenarios(root: Path) -> dict[str, Scenario]:
    """Find every Locust file of scenarios/; it is read, never imported: Locust patches whoever imports it."""
    return {path.stem: _scenario(path, root) for path in sorted(_folder(root, "scenarios").glob("*.py"))}


def _scenario(path: Path, root: Path) -> Scenario:
    place = str(path.relative_to(root))
    declared = Table(f"{place} SCENARIO", _literal(path, place))
    scenario = Scenario(
        name=_named(path, root),
        path=path,
        version=declared.take("version", "a whole number from 1", whole),
        title=declared.take("title", "a line of text", text),
        routes=declared.take("routes", "a list of the contract's routes", texts),
        services=declared.take("services", "a list of services", texts, default=()),
        error_limit=declared.take("error_limit", "a share from 0 to below 1", share, default=0.001),
        front=declared.take("front", "true or false", flag, default=False),
    )
    declared.done()
    return scenario


def _literal(path: Path, place: str) -> Mapping[str, Any]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=place)
    except (SyntaxError, ValueError, OSError) as error:
        raise UsageError(f"{place}: this is not Python: {error}.") from error
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["SCENARIO"]:
            try:
                value = ast.literal_eval(node.value)
            except (ValueError, TypeError) as error:
                raise UsageError(f"{place}: SCENARIO must be a plain literal: {error}.") from error
            if isinstance(value, dict) and all(isinstance(key, str) for key in value):
                return value
    raise UsageError(
        f"{place}: holds no SCENARIO; expected a literal such as "
        'SCENARIO = {"version": 1, "title": "…", "routes": ["plaintext"]} at its top level.'
    )


def requirements(root: Path) -> list[str]:
    """List all that any stack or service requires, each line once, in order."""
    shared = work(root)
    axes = [*shared.axes.values()] if shared else []
    axes += [app.axes for app in apps(root).values()]
    choices = [choice.requirements for each in axes for values in each.values() for choice in values]
    found = [one.requirements for one in apps(root).values()]
    found += [one.requirements for one in servers(root).values()]
    found += [one.requirements for one in bridges(root).values()]
    found += [one.requirements for one in services(root).values()]
    return sorted({line for lines in (*found, *choices) for line in lines})
