"""The gate's options: what they mean, and which of them go together.

Knows how they are spelled. Must not know how anything is measured, judged or shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gatebench.cli.gate_view import spelled
from gatebench.cli.terms import check_name
from gatebench.errors import UsageError
from gatebench.gate import MARGINS, SHORT
from gatebench.model import Session
from gatebench.toml import find

METRICS = {**SHORT, **{name: name for name in SHORT.values()}}
SECONDS = {"s": 1, "m": 60, "h": 3600}
LONGEST_S = 24 * 3600
WIDEST = 100.0  # per cent of a margin: past it what costs twice as much would pass
JUDGES_WITH = ("results", "base", "head", "scenario", "metric", "margin", "reports", "as_json", "root")
DECLARED = ("scenario", "metric", "margin")  # what a gate's own file says


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for, as it was spelled."""

    said: Mapping[str, str]  # the options that the command line has, by name, as they are spelled
    base: str | None
    head: str | None
    own: Path | None
    stack: str | None
    scenarios: tuple[str, ...]
    metrics: tuple[str, ...]
    margins: tuple[str, ...]
    budget: str
    blocks: int | None
    confirm: bool
    backend: str
    folder: Path
    session: str | None
    root: Path

    def judged(self) -> tuple[str, dict[str, float]]:
        """Give the leading metric, and of each by how much it may get worse."""
        return _margins(self.metrics, self.margins)

    def spelled(self) -> list[str]:
        """Give the options again that say what of recorded results is judged, and by what."""
        given = {
            "base": [self.base] if self.base else [],
            "head": [self.head] if self.head else [],
            "scenario": self.scenarios,
            "metric": self.metrics,
            "margin": self.margins,
        }
        return [word for name, values in given.items() for value in values for word in (f"--{name}", value)]

    def budget_s(self) -> float:
        """Give the time for measuring."""
        match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([smh])", self.budget)
        seconds = float(match[1]) * SECONDS[match[2]] if match else 0.0
        if not 0 < seconds <= LONGEST_S:
            raise UsageError(
                f"--budget '{self.budget}' is no time for measuring; expected such as 90s, 5m or 1h, up to a day."
            )
        return seconds

    def arms(self) -> tuple[str, str]:
        """Give what is to be measured; UsageError where it is not both, or where options say two things."""
        if self.base is None or self.head is None:
            raise UsageError(
                "A gate holds one thing against another: name both, such as --base HEAD~1 --head . for git."
            )
        if "budget" in self.said and "blocks" in self.said:
            raise UsageError("--budget and --blocks each say how long to measure; choose one.")
        check_name(self.session)
        if self.session and (taken := self.folder / f"{self.session}.jsonl").exists():
            raise UsageError(f"{taken} exists already, and results are never written over: give another --session.")
        return self.base, self.head

    def check_files(self, paths: Sequence[Path]) -> None:
        """Refuse what has no meaning where nothing is measured."""
        if len(paths) > 2:
            raise UsageError(f"One results file is judged, or a base's and a head's, not {len(paths)}.")
        if others := [option for name, option in self.said.items() if name not in JUDGES_WITH]:
            raise UsageError(f"Results are judged as they were measured; leave out {', '.join(others)}.")

    def check_sessions(self, paths: Sequence[Path], sessions: Sequence[Session]) -> None:
        """Refuse a session that is not whole, and options that a gate's own file has itself."""
        for path, each in zip(paths, sessions, strict=True):
            if each.ended_at is None:
                raise UsageError(f"{path} is cut short: its session was killed, or is not over; measure again.")
        gates = [path for path, each in zip(paths, sessions, strict=True) if each.gate is not None]
        declared = [option for name, option in self.said.items() if name in (*DECLARED, "base", "head")]
        if gates and len(paths) > 1:
            raise UsageError(
                f"{gates[0]} is a gate's own, whose arms were measured beside each other: judge it alone, by "
                f"`gatebench gate {gates[0]}`."
            )
        if gates and declared:
            raise UsageError(
                f"{gates[0]} says what it is judged by, declared before it was measured: leave out "
                f"{', '.join(declared)}."
            )


def _margins(names: Sequence[str], spellings: Sequence[str]) -> tuple[str, dict[str, float]]:
    chosen = list(dict.fromkeys(find("metric", name, METRICS) for name in names)) or list(MARGINS)
    found: dict[str, float] = {}
    for spelling in spellings:
        match = re.fullmatch(r"(?:([a-z0-9_]+)=)?([0-9]{1,3}(?:\.[0-9]{1,3})?)%", spelling)
        if not match or not 0 < float(match[2]) <= WIDEST:
            raise UsageError(
                f"--margin '{spelling}' is no margin; expected 2.5%, or p99=25% of another metric, and at most "
                f"{WIDEST:g}%, which is twice as bad."
            )
        name = find("metric (in --margin)", match[1], METRICS) if match[1] else chosen[0]
        if name in found:
            raise UsageError(f"--margin says of {spelled(name)} twice how much worse it may get.")
        if name not in chosen:
            judged = " ".join(f"--metric {spelled(one)}" for one in (*chosen, name))
            raise UsageError(f"--margin {spelling}: {spelled(name)} is not judged; ask for it too, {judged}.")
        found[name] = float(match[2]) / 100
    for name in chosen:
        if name not in found and name not in MARGINS:
            help_ = f"say how much worse it may get, such as --margin {spelled(name)}=10%"
            raise UsageError(f"There is no margin for {spelled(name)} unless it is given: {help_}.")
    return chosen[0], {name: found.get(name) or MARGINS[name] for name in chosen}
