"""Sections of the page that hold the gate against something else: peers, a smaller slowdown, real gates.

Knows how figures are written. Must not know how they were made.
"""

from __future__ import annotations

from gatebench.gate import MARGINS, judge
from gatebench.model import GateWord, Judgement
from gatebench.power.cells import NONE, change, counted, interval, percent, table
from gatebench.power.experiments import SHORT_GATE, SMALL, Small
from gatebench.power.found import NAMES, Found, ordered
from gatebench.power.living import described
from gatebench.power.peers import AT_A_TIME
from gatebench.power.pieces import CONDITIONS, condition_of, variant_of
from gatebench.power.trying import WORDS, Share
from gatebench.power.variants import SHARES, TWIN

ENOUGH = 0.9  # of the gates, for a slowdown to count as found, and for identical arms as told to be so


def peers(found: Found) -> str:
    """Write what others' rules say of the same runs."""
    by_row: dict[tuple[str, str], dict[str, Share]] = {}
    for tried in found.simulated:
        title = f"gatebench, {found.settings.budget_s:.0f} s and as long to confirm, drawn gates (above): fail"
        by_row.setdefault((tried.condition, title), {})[tried.variant] = tried.shares["fail"]
    for one in found.peers:
        by_row.setdefault((one.condition, one.title), {})[one.variant] = one.share
    rows = [
        (condition, title, *(counted(shares[name]) if name in shares else NONE for name in (TWIN, *SHARES)))
        for (condition, title), shares in sorted(by_row.items(), key=lambda row: CONDITIONS.index(row[0][0]))
    ]
    headings = ("condition", "rule", "false alarms (A/A)", *(f"found, {NAMES[name]}" for name in SHARES))
    steps = " and ".join(f"{percent(found.unpaired[name])} {name}" for name in CONDITIONS if name in found.unpaired)
    return f"""## Beside what others do

The same recorded runs. A peer compares requests per second (Welch's t: response times) of a run of the base, or of
{AT_A_TIME} in sequence, with as many of head right after; none across two pieces, and each run in one comparison
only. The gate's own row on recorded runs has {SHORT_GATE} duets, {SHORT_GATE} runs of each side, and as many to
confirm a fail; that of drawn gates is there for comparison. Each cell says in how many comparisons there was an
alarm, and the interval of its share; what is not found is missed. Neighbouring comparisons of a peer overlap in time,
though in no run; the intervals take them as independent. {_near(found)}

Base and head one after the other differ by chance with a standard deviation of {steps or NONE} in requests per
second, a run each. All runs come from duets and share their CPUs with another arm, which adds some scatter to a
peer's figures that it would not have alone: no more than the spread of the rate in duets, above.

{table(headings, rows)}"""


def _near(found: Found) -> str:
    """Say of the small slowdowns what they cost really, since the margin is near."""
    leading = next(iter(MARGINS))
    said = []
    for variant in ("slow2", "slow3"):
        costs = [
            f"{percent(cost.value - 1, sign='+')} {one.condition}"
            for one in ordered(found.injected)
            if one.variant == variant and (cost := one.changes[leading]) is not None
        ]
        said += [f"{NAMES[variant]} cost {' and '.join(costs)}"] if costs else []
    if not said:
        return ""
    return (
        f"By their own blocks, {'; '.join(said)}: so near to the gate's margin of {percent(MARGINS[leading])} that "
        f"{SHORT_GATE} blocks seldom tell. It says *unsure* then, for which these rules have no word."
    )


def small(found: Found) -> str:
    """Write what it would take to find a slowdown within the margin."""
    rows = [
        (
            one.condition,
            percent(one.margin),
            f"{one.blocks}",
            f"{one.minutes:.0f}",
            *(interval(one.same[word]) for word in ("fail", "unsure")),
            *(interval(one.slower[word]) for word in ("fail", "unsure")),
        )
        for one in found.small
    ]
    kinds = [f"{arms}: {word}" for arms in ("identical arms", percent(SMALL, 0)) for word in ("fail", "unsure")]
    said = [line for condition in CONDITIONS for line in _least(found, condition)]
    return f"""## What it would take to find {percent(SMALL, 0)}

A slowdown of {percent(SMALL, 0)} is within the default margin, so the gate lets it pass by design. These gates have a
smaller margin, CPU per request alone, and the scatter of identical arms. A margin that small asks for more blocks to
pass identical arms than to find the slowdown: with few, the gate is *unsure* of most changes that cost nothing. The
minutes are those of all blocks; a fail takes as many again at most.

{chr(10).join(said)}

{table(("condition", "margin", "blocks", "minutes", *kinds), rows)}"""


def _least(found: Found, condition: str) -> list[str]:
    tried = sorted((one for one in found.small if one.condition == condition), key=lambda one: one.minutes)
    if not tried:
        return []
    finds = [one for one in tried if one.slower["fail"].value >= ENOUGH]
    both = [one for one in finds if one.same["pass"].value >= ENOUGH]
    share, slowdown = percent(ENOUGH, 0), percent(SMALL, 0)
    told = (
        f"{_took(finds[0])}; identical arms are unsure in {percent(finds[0].same['unsure'].value)} there"
        if finds
        else "none"
    )
    passing = _took(both[0]) if both else "none"
    return [
        f"- {condition}, finds {slowdown} in {share} of the gates, in the least time: {told}.",
        f"- {condition}, finds it and passes identical arms, each in {share}: {passing}.",
    ]


def _took(one: Small) -> str:
    return f"{one.blocks} blocks, {one.minutes:.0f} minutes, at a margin of {percent(one.margin)}"


def lived(found: Found) -> str:
    """Write what real gates said."""
    rows: list[tuple[str, ...]] = []
    words: dict[str, dict[str, list[GateWord]]] = {}
    for name, session in found.recording.live:
        judged, variant, condition = judge(session), variant_of(session) or TWIN, condition_of(session)
        seen = {(run.part, run.block): run.elapsed_s or 0.0 for run in session.runs}
        words.setdefault(variant, {}).setdefault(condition, []).append(judged.word)
        rows.append(
            (
                condition,
                described(variant),
                judged.word,
                change(judged.findings[0].change if judged.findings else None),
                f"{judged.look or 0} of {judged.looks}",
                f"{judged.blocks}",
                *_itself(judged),
                f"{sum(seen.values()) / 60:.1f}",
                f"`{name}`",
            )
        )
    headings = ("condition", "head", "word", "CPU per request", "look", "blocks", "base beside itself", "least told")
    again = [_again(variant, conditions) for variant, conditions in words.items()]
    return f"""## Live, gate after gate

{chr(10).join(again)}

"Base beside itself" is the A/A arm of each gate, CPU per request: a gate that is decided early has few of its
duets, and fewer than six have no interval. "Least told" is the smallest effect that the gate could have told at its
last look, by the spread of these duets and of those of base and head.

{table((*headings, "minutes", "file"), rows)}"""


def _again(variant: str, conditions: dict[str, list[GateWord]]) -> str:
    every = [word for said in conditions.values() for word in said]
    counts = [
        f"{word} {counted(Share(count=every.count(word), tried=len(every)))}" for word in WORDS if word in every
    ]
    split = ", ".join(f"{len(said)} {condition}" for condition, said in conditions.items())
    both = "**both pass and fail**" if {"pass", "fail"} <= {*every} else "never both pass and fail"
    return f"- {described(variant)}: {len(every)} gates, {split}: {', '.join(counts)}; {both}."


def _itself(judged: Judgement) -> tuple[str, str]:
    """Write what the base beside itself gave, of the leading metric."""
    if not judged.again:
        return NONE, NONE
    first, least = judged.again[0], judged.smallest.get(judged.again[0].metric)
    off = first.change
    value = NONE if off is None else change(off) if off.low is not None else percent(off.value - 1, sign="+")
    return f"{first.blocks} duets: {value}", NONE if least is None else percent(least)
