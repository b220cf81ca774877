"""Refusals: how an error of an arm is told, by the option that asked for the arm.

Knows how options are spelled. Must not know what a reference means.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping

from gatebench.errors import GatebenchError, MachineError, UsageError

LONGEST = 300  # characters of one word, a path or a name, that is told whole
TOLD = 60  # characters of a longer one


def refused(arm: str, ref: str, said: str) -> UsageError:
    """Make an error of an arm, by its option; what is too long to be read is told by its beginning."""
    spelled = f"'{ref}'" if not ref or ref.endswith(":") else ref  # whose end would not be seen
    whole = f"--{arm} {spelled}: {said}"
    return UsageError(re.sub(rf"[^\s:;,?')]{{{LONGEST + 1},}}", lambda word: f"{word[0][:TOLD]}…", whole))


def unread(error: OSError) -> str:
    """Say what of an arm the system would not let us look into, and why."""
    return f"{error.filename or 'this'} cannot be looked into ({error.strerror})."


@contextlib.contextmanager
def as_asked(asked: Mapping[str, tuple[str, str]]) -> Iterator[None]:
    """Tell an error that begins with an arm's stack by that arm's option: that is what its user can change."""
    try:
        yield
    except (UsageError, MachineError) as error:
        for name, (arm, ref) in asked.items():
            if str(error).startswith(f"{name}: "):
                kind: type[GatebenchError] = type(error)
                raise kind(f"--{arm} {ref}: {str(error).removeprefix(f'{name}: ')}") from error
        raise
