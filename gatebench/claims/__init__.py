"""The published comparison, and what a session's evidence says of each of its rows.

Knows which judge settles a row; each judge is a function of the row and the evidence. Must not know pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from gatebench.claims import capabilities, ranks, ratios, rules
from gatebench.claims.evidence import LIKES, Evidence, base, compared, gather, in_parts
from gatebench.claims.ratios import DECIDED, advantage
from gatebench.claims.rows import load
from gatebench.model import Claim, Verdict

__all__ = [
    "DECIDED",
    "JUDGES",
    "LIKES",
    "SILENT",
    "Evidence",
    "advantage",
    "base",
    "compared",
    "gather",
    "in_parts",
    "judge",
    "load",
]

SILENT = ("not yet measured", "not measurable", "as published")  # words that rest on no trial

Judge = Callable[[Claim, Evidence], Iterable[Verdict]]
JUDGES: Mapping[str, Judge] = {
    "ratio": ratios.ratio,
    "sides": ratios.sides,
    "shares": ratios.shares,
    "spoken": capabilities.spoken,
    "runs": capabilities.runs,
    "bridges": capabilities.bridges,
    "pairs": ranks.pairs,
    "views": ranks.views,
    "stages": ranks.stages,
    "no_gain": rules.no_gain,
    "gain": rules.gain,
    "no_gain_at_one": rules.no_gain_at_one,
    "blocking": rules.blocking,
    "one_at_once": rules.one_at_once,
    "kept": rules.kept,
}


def judge(claims: Sequence[Claim], evidence: Evidence) -> tuple[Verdict, ...]:
    """Give at least one verdict a claim, in the claims' order, and one a pair of stacks where several measured it.

    The pair of the published comparison comes first, then the others by name.
    """
    return tuple(verdict for claim in claims for verdict in _verdicts(claim, claims, evidence))


def _verdicts(claim: Claim, claims: Sequence[Claim], evidence: Evidence) -> Iterator[Verdict]:
    if claim.see is not None:
        yield from _followed(claim, claims, evidence)
    elif claim.how == "opinion":
        near = next(
            (f"; the measured row nearest to it is {each.name}" for each in claims if each.name == claim.near), ""
        )
        why = f"an opinion: there is nothing to measure{near}"
        yield Verdict(claim=claim, word="not measurable", why=why)
    elif claim.how == "fact":
        yield Verdict(claim=claim, word="as published", why=claim.said or "a fact, and not checked here")
    else:
        found = [*_asked(claim, claims, evidence)]
        yield from found or [_unsettled(claim, evidence)]


def _asked(claim: Claim, claims: Sequence[Claim], evidence: Evidence) -> Iterable[Verdict]:
    if claim.how == "ranked":
        return ranks.ranked(claim, evidence, [each for each in claims if each.how == claim.how])
    return JUDGES[claim.how](claim, evidence) if claim.how else ()


def _followed(claim: Claim, claims: Sequence[Claim], evidence: Evidence) -> Iterator[Verdict]:
    """Give the verdicts of the row that this one hangs on, as verdicts of this one."""
    row = next((each for each in claims if claim.see in (each.name, each.table)), None)
    if row is None:  # asked for some rows only
        yield Verdict(claim=claim, word="not yet measured", why=f"it follows {claim.see}, which was not judged")
        return
    found = list(_verdicts(row, claims, evidence))
    for verdict in _alike(claim, found) if claim.kind == "rule" else found:
        own = replace(verdict, claim=claim, why=f"as {row.name}: {verdict.why}")
        yield rules.as_rule(claim, own) if claim.kind == "rule" and row.kind != "rule" else own


def _alike(claim: Claim, verdicts: Sequence[Verdict]) -> Sequence[Verdict]:
    """Of verdicts on many pairs, keep those of the best part that are about the published ASGI stack and the row."""
    pairs = [(each, each.comparison) for each in verdicts if each.comparison]
    kept = [
        each
        for each, comparison in pairs
        if comparison.part == pairs[0][1].part
        and base(comparison.asgi) == LIKES[0][1]
        and (not claim.names or base(comparison.wsgi) in claim.names)
    ]
    return kept or verdicts


def _unsettled(claim: Claim, evidence: Evidence) -> Verdict:
    """Say what would settle a row."""
    if not claim.parts:
        return Verdict(claim=claim, word="not yet measured", why="no scenario of this version settles it")
    what = f" of {', '.join(claim.scenarios)}" if claim.scenarios else ""
    there = [part for part in sorted(evidence.parts) if in_parts(claim, part)]
    lacks = (
        f"the part {there[0]} of this session has no figure{what}"
        if there
        else f"this session lacks {claim.parts[0]}"
    )
    plan = claim.parts[0].split(".")[0]
    why = f"{lacks}, which would settle it; `gatebench run --plan {plan}` measures it"
    return Verdict(claim=claim, word="not yet measured", why=why)
