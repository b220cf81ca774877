"""Records: the frozen dataclasses of gatebench.model to JSON values and back, led by their type hints.

Texts are read as what can be shown: what a terminal would obey, or what would hide or turn others round, is replaced.
Pure conversion. Must not know files, lines or what a field means.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable, Collection, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from gatebench import histogram
from gatebench.model import Histogram, Load

T = TypeVar("T")

LARGEST = 2.0**64  # no count, size, time or seed of ours is larger, and sums of such stay finite
UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, direction and breaks of lines, as Unicode's categories have them
INSTEAD = "\N{REPLACEMENT CHARACTER}"
NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", NoneType: "null"}


class Mismatch(Exception):  # noqa: N818 -- it names what was seen, and never leaves the reading of a file
    """A value is not what its field holds; `helps` says what to do, where it is not what helps with every line."""

    def __init__(self, key: str, found: object, expected: str, *, helps: str | None = None) -> None:
        seen = "nothing" if found is MISSING else _short(found)
        super().__init__(f"{key or 'the line'} is {seen}, expected {expected}")
        self.helps = helps


MISSING = object()


def encode(record: Any, *, without: Collection[str] = ()) -> dict[str, Any]:
    """Give a dataclass as JSON values: fields in their order, keys of mappings sorted."""
    return {name: _encode_value(getattr(record, name)) for name in names_of(type(record)) if name not in without}


def names_of(record: type) -> tuple[str, ...]:
    """Name the fields of a dataclass, in order."""
    return tuple(name for name, _, _ in _fields_of(cast("Any", record)))


class Reader:
    """Turns JSON values into dataclasses; collects the keys that no field has."""

    def __init__(self, lines: Collection[str] = ()) -> None:
        """Begin without any; `lines` names the fields whose texts may have several lines."""
        self.unknown: list[str] = []
        self._lines = lines

    def decode(self, value: Any, record: type[T], key: str) -> T:
        """Read a dataclass of type `record`; Mismatch where a value is not what its field holds."""
        if not isinstance(value, dict):
            raise Mismatch(key, value, "an object")
        found = {}
        fields = _fields_of(cast("Any", record))
        for name, hint, optional in fields:
            if name in value:
                found[name] = self._value(value[name], hint, _join(key, name))
            elif not optional:
                raise Mismatch(_join(key, name), MISSING, "a value: the field is required")
        if len(found) < len(value):
            known = {name for name, _, _ in fields}
            self.unknown += [_join(key, shown(name)) for name in value if name not in known]
        return record(**found)

    def _value(self, value: Any, hint: Any, key: str) -> Any:
        if get_origin(hint) is not None:
            return self._generic(value, hint, key)
        if hint in SPELLINGS:
            return _spelled(value, hint, key)
        if hint in NAMES:
            return self._scalar(value, hint, key)
        return self.decode(value, hint, key)

    def _generic(self, value: Any, hint: Any, key: str) -> Any:
        origin, args = get_origin(hint), get_args(hint)
        if origin in (Union, UnionType):
            return self._either(value, args, key)
        if origin is Literal:
            if value not in args or type(value) is not str:
                raise Mismatch(key, value, "one of " + ", ".join(args))
            return value
        if origin is tuple:
            if not isinstance(value, list):
                raise Mismatch(key, value, "a list")
            return tuple(self._value(item, args[0], f"{key}[{place}]") for place, item in enumerate(value))
        # What is left is a mapping: the model has no other generic.
        if not isinstance(value, dict):
            raise Mismatch(key, value, "an object")
        named = [(self._scalar(name, str, key), item) for name, item in value.items()]
        if len(dict(named)) != len(named):
            raise Mismatch(key, value, "names that differ in what can be seen of them")
        return {name: self._value(item, args[1], _join(key, name)) for name, item in named}

    def _either(self, value: Any, options: tuple[Any, ...], key: str) -> Any:
        if value is None and NoneType in options:
            return None
        others = [option for option in options if option is not NoneType]
        if len(others) == 1:
            return self._value(value, others[0], key)
        # A setting may be of any plain type and below zero; which one is told by the value itself.
        if type(value) not in others:
            raise Mismatch(key, value, " or ".join(NAMES[option] for option in others))
        return self._scalar(value, type(value), key, least=-LARGEST)

    def _scalar(self, value: Any, hint: Any, key: str, *, least: float = 0.0) -> Any:
        found = _scalar(value, hint, key, least=least)
        if hint is not str:
            return found
        return shown(found, "\n\t" if key.rpartition(".")[2].partition("[")[0] in self._lines else "")


def shown(text: str, kept: str = "") -> str:
    """Give a text as it can be shown anywhere, with a mark for each character that cannot but those in `kept`."""
    if text.isprintable():  # as nearly every one is
        return text
    return "".join(INSTEAD if unicodedata.category(each) in UNSEEN and each not in kept else each for each in text)


def _encode_value(value: Any) -> Any:
    if type(value) in SPELLINGS:
        return SPELLINGS[type(value)].write(value)
    if dataclasses.is_dataclass(value):
        return encode(value)
    if isinstance(value, Mapping):
        return {str(name): _encode_value(value[name]) for name in sorted(value)}
    if isinstance(value, tuple | list):
        return [_encode_value(item) for item in value]
    return value


def _scalar(value: Any, hint: Any, key: str, *, least: float) -> Any:
    if type(value) is not hint and not (hint is float and type(value) is int):
        raise Mismatch(key, value, NAMES[hint])
    if hint in (int, float):
        if not least <= value < LARGEST:  # false of NaN as well
            raise Mismatch(key, value, f"{NAMES[hint]} from {least:g} to {LARGEST:g}")
        return hint(value)
    if hint is str and not _is_text(value):
        raise Mismatch(key, value, "text without half characters")
    return value


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _spelled(value: Any, hint: Any, key: str) -> Any:
    spelling = SPELLINGS[hint]
    if not isinstance(value, spelling.form):
        raise Mismatch(key, value, spelling.expected)
    try:
        return spelling.read(value)
    except ValueError as error:
        raise Mismatch(key, value, f"{spelling.expected} ({error})") from None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Spelling:
    """A type with a form of its own in JSON."""

    form: type
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]
    expected: str


SPELLINGS: Mapping[type, _Spelling] = {
    Histogram: _Spelling(form=dict, write=histogram.to_json, read=histogram.from_json, expected="a histogram"),
    Load: _Spelling(form=str, write=str, read=Load.parse, expected="a load such as closed(64)"),
}


@cache
def _fields_of(record: type) -> tuple[tuple[str, Any, bool], ...]:
    """Give name, type and whether there is a default, of every field."""
    hints = get_type_hints(record)
    return tuple(
        (item.name, hints[item.name], not (item.default is item.default_factory is dataclasses.MISSING))
        for item in dataclasses.fields(record)
    )


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _short(value: object) -> str:
    text = repr(value) if not isinstance(value, dict | list) else type(value).__name__
    return text if len(text) <= 60 else text[:57] + "…"
