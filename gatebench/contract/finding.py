"""What a check says: findings, and the outcome that they add up to. Knows nothing else."""

from __future__ import annotations

from dataclasses import dataclass

SHOWN = 100  # characters of a body that a finding shows


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule held against one answer."""

    route: str
    rule: str
    ok: bool
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """All findings of one check."""

    findings: tuple[Finding, ...]
    date: str | None  # the last `Date` seen; None where the server sends none

    @property
    def passed(self) -> bool:
        """Say whether every rule was kept."""
        return all(finding.ok for finding in self.findings)

    @property
    def reason(self) -> str | None:
        """Say in one sentence which rule was broken first, and how; None where all were kept."""
        broken = [finding for finding in self.findings if not finding.ok]
        if not broken:
            return None
        first = broken[0]
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        return f"{first.route} breaks the rule '{first.rule}': expected {first.expected}, found {first.found}{more}."


def shown(body: bytes) -> str:
    """Give a body as a finding shows it: one line, readable, not long."""
    text = body.decode("utf-8", "backslashreplace")
    line = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    rest = f"… ({len(body)} bytes)" if len(line) > SHOWN else ""
    return (line[:SHOWN] + rest) or "nothing"
