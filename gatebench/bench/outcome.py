"""What a part of the benchmark hands over: rows to read, targets reached or not, and records for a script.

Pure: must not know how anything is measured, nor print.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gatebench.model import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What all parts share."""

    root: Path  # with apps/ and compose/
    scratch: Path
    placement: Placement
    cpus: tuple[int, ...]
    rounds: int
    seconds: float  # of one measurement
    told: Callable[[str], None]  # hears in a few words what is being measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the generator must reach, and what was found."""

    what: str
    wanted: str
    found: str
    reached: bool | None  # None: cannot be judged, and `found` says why


@dataclass(slots=True)
class Outcome:
    """What a part found."""

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)


def at_least(what: str, bound: float, found: Sequence[float], missing: str) -> Target:
    """Judge the median of some figures by a lower bound; without figures, say what is missing."""
    if not found:
        return Target(what=what, wanted=f"at least {bound:g}", found=missing, reached=None)
    middle = statistics.median(found)
    return Target(what=what, wanted=f"at least {bound:g}", found=spread(found), reached=middle >= bound)


def within(what: str, share: float, found: Sequence[float], missing: str) -> Target:
    """Judge the median of some ratios by how far it is from 1; without ratios, say what is missing."""
    wanted = f"within {share:.0%}"
    if not found:
        return Target(what=what, wanted=wanted, found=missing, reached=None)
    reached = abs(statistics.median(found) - 1) <= share
    return Target(what=what, wanted=wanted, found=spread(found), reached=reached)


def spread(values: Sequence[float], form: str = ".3f") -> str:
    """Show a median with its range, `0.91 (0.88..0.93)`; one value by itself, and a dash of nothing."""
    if len(values) < 2:
        return f"{values[0]:{form}}" if values else "-"
    return f"{statistics.median(values):{form}} ({min(values):{form}}..{max(values):{form}})"


def median(values: Sequence[float | None]) -> float | None:
    """Give the median of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def ms(seconds: float | None) -> str:
    """Show a time in milliseconds; a dash where there is none."""
    return "-" if seconds is None else f"{seconds * 1e3:.3f} ms"


def percent(share: float | None) -> str:
    """Show a share in per cent; a dash where there is none."""
    return "-" if share is None else f"{share:.0%}"


def ratios(over: Sequence[float | None], under: Sequence[float | None]) -> list[float]:
    """Divide round by round, leaving out rounds in which one of the two is missing."""
    return [a / b for a, b in zip(over, under, strict=True) if a is not None and b]
