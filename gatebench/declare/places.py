"""What all declarations share: where they lie, how they are named, what stands in several of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gatebench.errors import UsageError
from gatebench.model import (
    Setting,
)
from gatebench.toml import (
    REQUIRED,
    Table,
    fill,
    table,
    text,
    texts,
)

NAME = "abcdefghijklmnopqrstuvwxyz0123456789_-"  # what a name may be made of, so that stack names can be read back
NONE: tuple[str, ...] = ()
MOST_LETTERS = 60  # of a name that files are named after


def settings_of(declared: Table, place: str, default: Any = REQUIRED) -> dict[str, Setting]:
    """Read [settings]: plain values only."""
    values: dict[str, Setting] = declared.take("settings", "a table of plain values", table, default)
    for key, value in values.items():
        if not isinstance(value, str | int | float | bool):
            raise UsageError(
                f"{place} [settings]: the key '{key}' holds {value!r}; expected a text, a number, true or false."
            )
    return values


def folder_of(root: Path, *parts: str) -> Path:
    """Give a folder of the tree; UsageError where it is not there, or may not be listed."""
    folder = root.joinpath(*parts)
    try:
        found = folder.is_dir()
        if found:
            next(folder.iterdir(), None)  # globbing would take one that may not be listed for an empty one
    except OSError as error:
        raise UsageError(f"The folder {folder} cannot be looked into ({error.strerror}).") from error
    if not found:
        place = "/".join(parts)
        raise UsageError(
            f"There is no folder '{place}' in {root}; run gatebench where apps/, compose/ and scenarios/ are, "
            "or name that folder with --root."
        )
    return folder


def named(path: Path, root: Path) -> str:
    """Give the name that a file or folder has; UsageError where it is none."""
    name = path.stem if path.suffix in (".toml", ".py") else path.name
    if not name or set(name) - set(NAME) or not name[0].isalnum():
        raise UsageError(
            f"{path.relative_to(root)}: a name is made of a-z, 0-9, '_' and '-', "
            "and begins with a letter or a digit; this one does not."
        )
    return name


def lines_of(path: Path, root: Path) -> tuple[str, ...]:
    """Read requirements, one a line, without comments."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"{path.relative_to(root)}: cannot be read; expected one requirement a line ({why})."
        ) from error
    stripped = (line.split(" #")[0].strip() for line in lines)
    return tuple(line for line in stripped if line and not line.startswith("#"))


def keep_alive(value: Any) -> float | None:
    """Take seconds, 0 among them."""
    return float(value) if type(value) in (int, float) and value >= 0 else None


def check_words(
    path: Path, root: Path, words: Iterable[str], known: Mapping[str, Setting], given: tuple[str, ...]
) -> None:
    """Fill the words once, so that a placeholder nobody fills is found before anything starts."""
    try:
        fill(words, {**known, **dict.fromkeys(given, "0")})
    except UsageError as error:
        raise UsageError(f"{path.relative_to(root)}: {error}") from error


def contained(declared: Table, place: str) -> dict[str, Any]:
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


def text_of(path: Path, root: Path) -> str:
    """Read a text beside a declaration."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path.relative_to(root)}: cannot be read ({why}).") from error


def name_of(value: Any) -> str | None:
    """Take what a stack's and a file's name can hold."""
    sound = isinstance(value, str) and 0 < len(value) <= MOST_LETTERS and not set(value) - set(NAME)
    return value if sound and value[0].isalnum() else None
