"""Reading declarations: a TOML table key by key, and words with {names} in them.

Knows what a value may be. Must not know what is declared. Every fault is a UsageError that names place, key, what was
found, what is expected.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from gatebench.errors import UsageError
from gatebench.model import Interface, Setting

T = TypeVar("T")

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


def flag(value: Any) -> bool | None:
    """Take true or false."""
    return value if isinstance(value, bool) else None


def interface(value: Any) -> Interface | None:
    """Take one of the two gateway interfaces."""
    return value if value in ("wsgi", "asgi") else None


def table(value: Any) -> dict[str, Any] | None:
    """Take a table, whatever stands in it."""
    return dict(value) if isinstance(value, dict) else None


def tables(value: Any) -> dict[str, dict[str, Any]] | None:
    """Take a table of tables."""
    return dict(value) if isinstance(value, dict) and all(isinstance(item, dict) for item in value.values()) else None


def texts_by_name(value: Any) -> dict[str, str] | None:
    """Take a table of strings: routes with the reason why they are lacking, programs with their packages."""
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
