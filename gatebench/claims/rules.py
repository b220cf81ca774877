"""Rules of thumb: where each begins to hold, and where it ceases.

Knows sweeps, comparisons and cells. Must not know runs or pages.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from gatebench import sweeps
from gatebench.claims.evidence import LIKES, Evidence, about, base, compared, in_parts, pair_of, profile_of, said
from gatebench.claims.ratios import TOLERANCE, factor_said
from gatebench.metrics import TABLE, TIMES, show
from gatebench.model import Claim, Comparison, Estimate, Load, Sweep, Verdict
from gatebench.sweeps import EVIDENT

ONE_THREAD = 10  # threads that one event loop may have beside it: resolvers, watchers, a pool at rest
BESIDE = ("connect_load_p99_s", "cpu_us_per_request")  # what is told beside a rate, where it was measured
KNOCKED = "_beside"  # the end of the name of the part that has the knocks, which a rate is measured without

State = Literal["gain", "none", "unclear"]


def no_gain(claim: Claim, evidence: Evidence) -> Iterator[Verdict]:
    """Judge "WSGI does": up to where, within the rule's limit, ASGI shows no evident gain."""
    for sweep in _sweeps(claim, evidence):
        states = [(size, state) for size, state in _states(sweep) if claim.limit is None or size <= claim.limit]
        yield _of_sweep(claim, sweep, _holds_up_to(states))


def gain(claim: Claim, evidence: Evidence) -> Iterator[Verdict]:
    """Judge "ASGI does": from where on, at the rule's limit and above, its gain is evident."""
    for sweep in _sweeps(claim, evidence):
        found = _of_sweep(claim, sweep, _holds_from(_states(sweep), claim.limit))
        yield replace(found, why="; ".join([found.why, *_neighbours(sweep, evidence.comparisons)]))


def no_gain_at_one(claim: Claim, evidence: Evidence) -> Iterator[Verdict]:
    """Judge "async does not help" at one load, with what it does to others told beside."""
    for each in compared(claim, evidence):
        if claim.names and not {each.wsgi, each.asgi} <= set(claim.names):
            continue
        words: dict[State, str] = {"gain": "does not hold", "none": "holds", "unclear": "undecided"}
        word = words[_state(each)] if each.ratio else "undecided" if each.blocks else "void"
        factor = (
            f"ASGI / WSGI is {factor_said(each.ratio, EVIDENT)}"
            if each.ratio
            else each.reason or "no reason was given"
        )
        beside = _beside(each, evidence.comparisons)
        why = "; ".join([f"{factor} at {each.load}; a gain is evident from {EVIDENT:g}{TIMES} on", *beside])
        yield Verdict(claim=claim, word=word, why=why, comparison=each)


def blocking(claim: Claim, evidence: Evidence) -> Iterator[Verdict]:
    """Judge "a waiting request takes a thread on WSGI, and all take one on ASGI" by the threads that there were."""
    for each in compared(claim, evidence):
        size = Load.parse(each.load).size
        wsgi, asgi = each.wsgi_value, each.asgi_value
        if wsgi is None or asgi is None:
            yield Verdict(claim=claim, word="void", why=each.reason or "no reason was given", comparison=each)
            continue
        took = _within(wsgi, size)
        few = min(wsgi.blocks, asgi.blocks) < 2
        word = "undecided" if few else "holds" if took and asgi.value <= ONE_THREAD else "does not hold"
        why = f"{size:,} requests at a time had {said(wsgi, 'threads')} threads on {each.wsgi}"
        why += f" and {said(asgi, 'threads')} on {each.asgi}"
        why += "; one block decides nothing" if few else ""
        if not took and wsgi.value < size:
            why += "; whether fewer threads serve them all, the row's rate and its late answers tell"
        yield Verdict(claim=claim, word=word, why=why, comparison=each)


def one_at_once(claim: Claim, evidence: Evidence) -> Iterator[Verdict]:
    """Judge "a sync worker serves one at a time" by how many were served at once, for every number of workers."""
    cells = [each for each in evidence.cells if in_parts(claim, each.part) and about(claim, each)]
    for each in (each for each in cells if each.estimate and each.interface == "wsgi"):
        workers = int(found[1]) if (found := re.search(r"workers=(\d+)", each.stack)) else 1
        few = each.estimate is None or each.estimate.blocks < 2
        word = (
            "undecided" if few else "holds" if each.estimate and _within(each.estimate, workers) else "does not hold"
        )
        figure = f"{each.stack}: {said(each.estimate, each.metric)} at once"
        yield Verdict(
            claim=claim,
            word=word,
            why=f"{workers} worker{'s' * (workers > 1)}, {each.scenario}, {each.load}{'; one block' * few}",
            wsgi=figure,
        )


def kept(claim: Claim, evidence: Evidence) -> Iterator[Verdict]:
    """Judge "ASGI suits long connections": by how many each side kept, then by what a kept one takes."""
    by_metric = {
        metric: {(each.wsgi, each.asgi): each for each in compared(replace(claim, metric=metric), evidence)}
        for metric in ("connections", "pss_per_connection_bytes")
    }
    for pair, first in by_metric["connections"].items():
        found = [made[pair] for made in by_metric.values() if pair in made]
        texts = [_told(each) for each in found]
        words = [(each, _state(each)) for each in found if each.ratio]
        decisive = next((each for each, state in words if state == "gain" or _loses(each)), None)
        if decisive is None:
            word = "does not hold" if words and all(state == "none" for _, state in words) else "undecided"
        else:
            word = "does not hold" if _loses(decisive) else "holds"
        yield Verdict(claim=claim, word=word, why="; ".join(texts), comparison=decisive or first)


def as_rule(claim: Claim, verdict: Verdict) -> Verdict:
    """Turn another row's verdict into one of a rule that says that ASGI does better."""
    comparison = verdict.comparison
    better = sweeps.gain(comparison) if comparison else None
    if better is None:
        return replace(verdict, claim=claim)
    word = "holds" if (better.low or 0.0) > 1 else "does not hold" if (better.high or math.inf) < 1 else "undecided"
    return replace(verdict, claim=claim, word=word)


def _sweeps(claim: Claim, evidence: Evidence) -> list[Sweep]:
    found = [
        each
        for each in evidence.sweeps
        if in_parts(claim, each.part)
        and each.metric == claim.metric
        and (not claim.scenarios or each.scenario in claim.scenarios)
        and profile_of(each.wsgi) == profile_of(each.asgi)
    ]
    likes = [wsgi for wsgi, _ in LIKES]

    def place(each: Sweep) -> tuple[object, ...]:
        own = base(each.wsgi)
        return each.scenario, likes.index(own) if own in likes else len(likes), each.wsgi, each.asgi

    return sorted(found, key=place)


def _states(sweep: Sweep) -> list[tuple[int, State]]:
    return [(point.size, _state(point.comparison)) for point in sweep.points if point.comparison.ratio]


def _state(each: Comparison) -> State:
    """Say whether ASGI's gain is evident, evidently absent, or neither; who keeps all offered might keep more."""
    ratio = sweeps.gain(each)
    if ratio is None:
        return "unclear"
    if (ratio.low or 0.0) > EVIDENT:
        return "gain"
    return "none" if (ratio.high or math.inf) < EVIDENT else "unclear"


def _loses(each: Comparison) -> bool:
    ratio = sweeps.gain(each)
    return ratio is not None and (ratio.high or math.inf) < 1 / EVIDENT


def _holds_up_to(states: Sequence[tuple[int, State]]) -> str:
    if not states:
        return "undecided"
    held = [size for size, state in states if state == "none"]
    first = next((place for place, (_, state) in enumerate(states) if state != "none"), None)
    if first is None:
        return "holds"
    if states[first][1] == "unclear" and any(state == "none" for _, state in states[first:]):
        return "undecided"
    if first == 0:
        return "does not hold" if states[0][1] == "gain" else "undecided"
    return f"holds up to {held[first - 1]:,}"


def _holds_from(states: Sequence[tuple[int, State]], limit: int | None) -> str:
    """Say from which size on the gain is evident at every measured one, and whether that is where the rule has it."""
    here = [(size, state) for size, state in states if limit is None or size >= limit]
    if not here:
        return "undecided"
    tail: list[int] = []
    for size, state in reversed(states):
        if state != "gain":
            break
        tail.append(size)
    if tail:
        return "holds" if tail[-1] <= here[0][0] else f"holds from {tail[-1]:,}"
    if all(state == "none" for _, state in here):
        return "does not hold"
    gains = [size for size, state in here if state == "gain"]
    return f"holds up to {gains[-1]:,}" if gains and here[0][1] == "gain" else "undecided"


def _of_sweep(claim: Claim, sweep: Sweep, word: str) -> Verdict:
    shown = [point for point in sweep.points if point.comparison.ratio]
    texts = [f"{sweep.asgi} against {sweep.wsgi} on {sweep.scenario}", sweep.why]
    if unclear := [f"{size:,}" for size, state in _states(sweep) if state == "unclear"]:
        texts.append(f"not decided at {', '.join(unclear)}")
    if shown:
        ends = dict.fromkeys((shown[0], shown[-1]))
        gains = ((point.size, sweeps.gain(point.comparison)) for point in ends)
        factors = (f"{size:,}: {factor_said(better, EVIDENT)}" for size, better in gains if better)
        texts.append(f"factor at {'; at '.join(factors)}")
    return Verdict(
        claim=claim,
        word=word,
        why="; ".join(texts),
        wsgi=_ends(sweep, [point.comparison.wsgi_value for point in shown], [point.size for point in shown]),
        asgi=_ends(sweep, [point.comparison.asgi_value for point in shown], [point.size for point in shown]),
    )


def _ends(sweep: Sweep, values: Sequence[Estimate | None], sizes: Sequence[int]) -> str:
    unit = TABLE[sweep.metric][0].unit
    ends = dict.fromkeys((0, len(sizes) - 1)) if sizes else {}
    return ", ".join(f"{show(value.value, unit)} at {sizes[at]:,}" for at in ends if (value := values[at]))


def _beside(each: Comparison, comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Tell of the same pair what its rate leaves out: how long others waited, and what a request cost."""
    knocked = replace(each, part=f"{each.part}{KNOCKED}")
    for metric in BESIDE:
        for like in (each, knocked) if metric == BESIDE[0] else (each,):
            yield from (
                _told(other) for other in comparisons if other.metric == metric and pair_of(other) == pair_of(like)
            )


def _neighbours(sweep: Sweep, comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Tell of a sweep's pair how long others waited beside it, in the part that asked."""
    like = f"{sweep.part}{KNOCKED}", sweep.scenario, sweep.wsgi, sweep.asgi
    for each in comparisons:
        if each.metric == BESIDE[0] and (each.part, each.scenario, each.wsgi, each.asgi) == like:
            yield f"{_told(each)} at {each.load}"


def _told(each: Comparison) -> str:
    title = TABLE[each.metric][0].title
    told = f"{title}: {said(each.wsgi_value, each.metric)} on WSGI, {said(each.asgi_value, each.metric)} on ASGI"
    censored = each.metric.startswith("connect_") and each.reason and not (each.wsgi_value and each.asgi_value)
    return f"{told} ({each.reason})" if censored else told


def _within(estimate: Estimate, expected: float) -> bool:
    return (1 - TOLERANCE) * expected <= estimate.value <= (1 + TOLERANCE) * expected
