"""What a body may look like: forms that it is held against, each with the words that a finding has for it.

Knows texts and JSON. Must not know routes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gatebench.contract.finding import shown

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a body."""

    told: str
    fits: Callable[[bytes], bool]


def exactly(body: bytes | str) -> Form:
    """Demand one body, byte for byte."""
    wanted = body.encode() if isinstance(body, str) else body
    return Form(shown(wanted), lambda found: found == wanted)


def like(pattern: str) -> Form:
    """Demand what a regular expression matches."""
    compiled = re.compile(pattern.encode())
    return Form(re.sub(r"\\(.)", r"\1", pattern), lambda found: compiled.fullmatch(found) is not None)


def written(value: Any) -> Form:
    """Demand a value as compact JSON, its keys in order; which letters of a text are escaped is free."""
    told = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return Form(shown(told.encode()), lambda found: _compact(found) and _same(parsed(found), value))


def rows(count: int) -> Form:
    """Demand a list of so many rows of the table `world`."""
    row = r'\{"id":[1-9][0-9]{0,4},"value":[1-9][0-9]{4}\}'
    pattern = re.compile((r"\[" + ",".join([row] * count) + r"\]").encode())
    return Form(f'a list of {count} {{"id":…,"value":…}}', lambda found: pattern.fullmatch(found) is not None)


def parsed(body: bytes) -> Any:
    """Read JSON; None where it is none, which no route answers."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _compact(body: bytes) -> bool:
    return not re.search(rb"\s", _STRING.sub(b"", body))


def _same(found: Any, wanted: Any) -> bool:
    """Compare with the order of keys, and with no number for a truth or a fraction for a whole number."""
    return json.dumps(found) == json.dumps(wanted)
