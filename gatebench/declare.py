"""Folders and TOML files to App, Server, Service, Scenario and Stack.

Knows where declarations lie and what may stand in them; a name is its folder's or file's name. Must not know how
anything is started or measured. Every fault is a UsageError that names file, key, what was found, what is expected.
"""

from __future__ import annotations

import ast
import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from gatebench.errors import UsageError
from gatebench.model import App, Interface, Scenario, Server, Service, Setting, Stack

T = TypeVar("T")

NAME = "abcdefghijklmnopqrstuvwxyz0123456789_-"  # what a name may be made of, so that stack names can be read back
READY = "plaintext"  # the route that every app offers
REQUIRED: Any = object()


class Table:
    """A TOML table (or a literal) that is read key by key, so that nothing in it goes unread."""

    def __init__(self, place: str, data: Mapping[str, Any]) -> None:
        self._place, self._data, self._known = place, data, set[str]()

    def take(self, key: str, expected: str, read: Callable[[Any], T | None], default: T = REQUIRED) -> T:
        """Read one key; `read` answers None where the value is not as `expected`."""
        self._known.add(key)
        if key not in self._data:
            if default is REQUIRED:
                near = difflib.get_close_matches(key, set(self._data) - self._known, n=1)
                found = f"; found '{near[0]}' instead" if near else ""
                raise UsageError(f"{self._place}: the key '{key}' is missing; expected {expected}{found}.")
            return default
        value = read(self._data[key])
        if value is None:
            found = self._data[key]
            raise UsageError(f"{self._place}: the key '{key}' holds {found!r}; expected {expected}.")
        return value

    def done(self) -> None:
        """Refuse keys that nobody asked for: a misspelt setting must not pass unseen."""
        for key in self._data:
            if key not in self._known:
                hint = suggest(key, self._known) or f"Known are: {', '.join(sorted(self._known))}."
                raise UsageError(f"{self._place}: the key '{key}' is unknown. {hint}")


def text(value: Any) -> str | None:
    """Take a string that is not blank."""
    return value if isinstance(value, str) and value.strip() else None


def texts(value: Any) -> tuple[str, ...] | None:
    """Take a list of strings."""
    return tuple(value) if isinstance(value, list) and all(text(item) for item in value) else None


def whole(value: Any) -> int | None:
    """Take a whole number from 1 to a million."""
    return value if type(value) is int and 1 <= value <= 1_000_000 else None


def seconds(value: Any) -> float | None:
    """Take a positive number of seconds, at most an hour."""
    return float(value) if type(value) in (int, float) and 0 < value <= 3600 else None


def share(value: Any) -> float | None:
    """Take a share of 1 that is less than all."""
    return float(value) if type(value) in (int, float) and 0 <= value < 1 else None


def interface(value: Any) -> Interface | None:
    """Take one of the two gateway interfaces."""
    return value if value in ("wsgi", "asgi") else None


def table(value: Any) -> dict[str, Any] | None:
    """Take a table, whatever stands in it."""
    return dict(value) if isinstance(value, dict) else None


def reasons(value: Any) -> dict[str, str] | None:
    """Take a table of routes with the reason why they are lacking."""
    return dict(value) if isinstance(value, dict) and all(text(item) for item in value.values()) else None


def suggest(name: str, known: Iterable[str]) -> str:
    """Name the nearest known names, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)
    return f"Did you mean {' or '.join(near)}?" if near else ""


def find(kind: str, name: str, known: Mapping[str, T]) -> T:
    """Look a name up; UsageError with the nearest names where there is none."""
    if name not in known:
        hint = suggest(name, known) or f"Known are: {', '.join(sorted(known)) or 'none'}."
        raise UsageError(f"There is no {kind} named '{name}'. {hint}")
    return known[name]


def load_toml(path: Path, root: Path) -> Table:
    """Read a TOML file whose place is named relative to `root`."""
    place = str(path.relative_to(root))
    try:
        return Table(place, tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{place}: this is not TOML: {error}.") from error
    except OSError as error:
        raise UsageError(f"{place}: cannot be read: {error.strerror}.") from error


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
        raise UsageError(
            f"{path.relative_to(root)}: cannot be read; expected one requirement a line ({error})."
        ) from error
    stripped = (line.split(" #")[0].strip() for line in lines)
    return tuple(line for line in stripped if line and not line.startswith("#"))


def apps(root: Path) -> dict[str, App]:
    """Find every folder of apps/ that holds an app.toml."""
    return {path.parent.name: _app(path, root) for path in sorted(_folder(root, "apps").glob("*/app.toml"))}


def _app(path: Path, root: Path) -> App:
    declared = load_toml(path, root)
    spoken: Interface = declared.take("interface", '"wsgi" or "asgi"', interface)
    work = {"wsgi": "requirements-sync.txt", "asgi": "requirements-aio.txt"}[spoken]
    shared = path.parent.parent / "work" / work
    app = App(
        name=_named(path.parent, root),
        interface=spoken,
        target=declared.take("target", 'an import path such as "app:app"', text),
        folder=path.parent,
        requirements=_lines(path.parent / "requirements.txt", root)
        + (_lines(shared, root) if shared.exists() else ()),
        lacks=declared.take("lacks", "a table of routes with reasons", reasons, default={}),
    )
    declared.done()
    if READY in app.lacks:
        raise UsageError(f"{path.relative_to(root)}: the route '{READY}' may not be lacking: it tells who is ready.")
    return app


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
        lacks=declared.take("lacks", "a table of routes with reasons", reasons, default={}),
    )
    declared.done()
    settings = Table(f"{place} [settings]", server.settings)
    settings.take("workers", "a whole number from 1", whole)
    settings.take("pool_size", "a whole number from 1", whole)
    settings.take("keep_alive_s", "seconds, 0 where every connection is closed", _keep_alive)
    settings.take("concurrency", "a whole number from 1: requests that a worker holds at once", whole, default=1)
    _check_words(path, root, server.command, server.settings, ("python", "host", "port", "target"))
    return server


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


def fill(words: Iterable[str], values: Mapping[str, Setting]) -> list[str]:
    """Put values in the place of {names}; booleans come out as true and false."""
    plain = {key: str(value).lower() if isinstance(value, bool) else value for key, value in values.items()}
    filled = []
    for word in words:
        try:
            filled.append(word.format_map(plain))
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise UsageError(
                f"the word '{word}' of the command cannot be filled ({error}); "
                f"known are {', '.join('{' + name + '}' for name in sorted(plain))}."
            ) from error
    return filled


def services(root: Path) -> dict[str, Service]:
    """Find every file of compose/services/; a tree without services has none."""
    folder = root / "compose" / "services"
    return {path.stem: _service(path, root) for path in sorted(folder.glob("*.toml"))}


def _service(path: Path, root: Path) -> Service:
    declared = load_toml(path, root)
    seed = declared.take("seed", "the path of an SQL file beside this one", text, default="")
    service = Service(
        name=_named(path, root),
        kind=declared.take("kind", '"postgresql" or "http"', lambda v: v if v in ("postgresql", "http") else None),
        variable=declared.take("variable", "the name of an environment variable", text),
        url=declared.take("url", "a URL with {port}", text),
        requirements=declared.take("requirements", "a list of requirements", texts),
        command=declared.take("command", "a list of words", texts),
        prepare=declared.take("prepare", "a list of words", texts, default=()),
        settings=_settings(declared, str(path.relative_to(root)), default={}),
        programs=declared.take("programs", "the folder of its programs, with a / at its end", text, default=""),
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


def stacks(root: Path) -> dict[str, Stack]:
    """Pair every app with every server of its interface; nothing lists the pairs."""
    found = (
        Stack(app=app, server=server)
        for app in apps(root).values()
        for server in servers(root).values()
        if app.interface == server.interface
    )
    return {stack.name: stack for stack in found}
