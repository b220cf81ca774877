"""Rows that two figures settle: published factors, and which side is said to be above the other.

Knows comparisons and the words for them. Must not know runs or pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from gatebench.claims.evidence import Evidence, above, compared, has_interval, profile_of, said
from gatebench.metrics import TIMES, Bound, blocks, show, show_interval
from gatebench.model import Claim, Comparison, Estimate, Load, Verdict
from gatebench.stats import blocks_to_decide, inverse

TOLERANCE = 0.25  # how far from the published factor a measured one may lie and still confirm it
PROFILES = "profiles.headline"
LOW, HIGH = 0.5, 0.8  # of the server's CPU: what is below the one is low, and what is above the other high
MORE = "offering more connections would decide"
AT_LEAST = {"confirmed": "is not below", "overstated": "lies below", "undecided": "may lie below or above"}
DECIDED = ("confirmed", "overstated", "understated", "reversed")


def ratio(claim: Claim, evidence: Evidence) -> Iterator[Verdict]:
    """Hold every pair's factor against the published one; profiles that disagree are said to first."""
    if claim.factor is None:
        return
    verdicts = [_judged(claim, claim.factor, each, evidence) for each in compared(claim, evidence)]
    by_profile = [each for each in verdicts if each.comparison and each.comparison.part == PROFILES]
    if len({each.word for each in by_profile} & set(DECIDED)) < 2:
        yield from verdicts
        return
    depends = _depends(by_profile)
    yield depends
    yield from (each for each in verdicts if each.comparison != depends.comparison)


def sides(claim: Claim, evidence: Evidence) -> Iterator[Verdict]:
    """Say whether the side that is published as better is so: ASGI above WSGI, or below it where less is better."""
    for each in compared(claim, evidence):
        word, why = _side(claim, each)
        where = f"{each.part}, {each.scenario}, {each.load}"
        why = "; ".join([f"{where}: {why}", *_served(each, evidence)])
        yield Verdict(claim=claim, word=word, why=why, comparison=each)


def shares(claim: Claim, evidence: Evidence) -> Iterator[Verdict]:
    """Say whether WSGI's CPU is low and ASGI's high, each at its highest rate; with what a request costs.

    How busy a server is tells nothing of how much it does: no ratio of the two is given. What each used where both
    were offered as much follows, and decides nothing.
    """
    for each in compared(replace(claim, metric="cpu_us_per_request"), evidence):
        wsgi, asgi = _of_cells(each, "cpu_share", evidence)
        if wsgi is None or asgi is None:
            continue
        word, why = _low_and_high(wsgi, asgi)
        costs = (said(cost, each.metric) for cost in (each.wsgi_value, each.asgi_value))
        cost = f"a request cost {' of CPU on WSGI, and on ASGI '.join(costs)}"
        yield Verdict(
            claim=claim,
            word=word,
            why=f"{each.scenario}, {each.load}: {why}; {cost}",
            wsgi=f"{each.wsgi}: {said(wsgi, 'cpu_share')}",
            asgi=f"{each.asgi}: {said(asgi, 'cpu_share')}",
        )
    yield from _offered(claim, evidence)


def _low_and_high(wsgi: Estimate, asgi: Estimate) -> tuple[str, str]:
    """Hold each side's share against its own word: WSGI is published as low, ASGI as high."""
    if not (has_interval(wsgi) and has_interval(asgi)):
        return "undecided", "one block: neither is told to be low or high"
    low = _held((wsgi.high or 0.0) < LOW, (wsgi.low or 0.0) >= LOW)
    high = _held((asgi.low or 0.0) > HIGH, (asgi.high or 0.0) <= HIGH)
    says = {True: "is {}", False: "is not {}", None: "may be {} or not"}
    why = [f"WSGI at {said(wsgi, 'cpu_share')} {says[low].format('low')}"]
    why += [f"ASGI at {said(asgi, 'cpu_share')} {says[high].format('high')}"]
    why += [f"low is below {LOW:.0%} of the server's CPU, and high is above {HIGH:.0%}".replace("%", " %")]
    if above(wsgi, asgi):
        return "reversed", "; ".join(why)
    word = "refuted" if False in (low, high) else "undecided" if None in (low, high) else "confirmed"
    return word, "; ".join(why)


def _held(holds: bool, fails: bool) -> bool | None:
    """Tell whether a word holds; None where the interval leaves that open."""
    return True if holds else False if fails else None


def _offered(claim: Claim, evidence: Evidence) -> Iterator[Verdict]:
    """Tell what each side's CPU did at every rate that both were offered, a verdict a scenario and pair."""
    asked = replace(claim, load="open", metric="cpu_us_per_request")
    by_pair: dict[tuple[str, str, str], list[Comparison]] = {}
    for each in compared(asked, evidence):
        by_pair.setdefault((each.scenario, each.wsgi, each.asgi), []).append(each)
    for (scenario, wsgi, asgi), found in by_pair.items():
        rates = sorted(found, key=lambda each: Load.parse(each.load).size)
        shares = [(each.load, *_of_cells(each, "cpu_share", evidence)) for each in rates]
        costs = [
            f"at {each.load} a request cost {said(each.wsgi_value, each.metric)} of CPU on WSGI, and on ASGI "
            f"{said(each.asgi_value, each.metric)}"
            for each in rates
            if each.wsgi_value or each.asgi_value
        ]
        sides = [[(load, side[at]) for load, *side in shares if side[at]] for at in (0, 1)]
        lines = ["; ".join(f"{said(value, 'cpu_share')} at {load}" for load, value in side) for side in sides]
        if all(lines):
            yield Verdict(
                claim=claim,
                word="measured",
                why="; ".join([f"{scenario}, both offered as much: how busy each is decides nothing there", *costs]),
                wsgi=f"{wsgi}: {lines[0]}",
                asgi=f"{asgi}: {lines[1]}",
            )


def advantage(claim: Claim, ratio: Estimate) -> Estimate:
    """Turn ASGI / WSGI into how many times better ASGI is, as the comparison publishes it."""
    return inverse(ratio) if claim.lower_is_better else ratio


def factor_said(estimate: Estimate, *edges: float, bound: Bound = "") -> str:
    """Put a factor and its interval in words; `edges` are what its verdict hangs on, `bound` is what it is of it."""
    if not estimate.low or estimate.high in (None, math.inf):
        return f"{show(estimate.value, TIMES, bound=bound)}, without an interval"
    value, interval = show_interval(estimate, TIMES, bound=bound, edges=edges)
    return f"{value} ({interval})" if interval else value


def _of_cells(each: Comparison, metric: str, evidence: Evidence) -> tuple[Estimate | None, Estimate | None]:
    """Give another metric of both sides of a comparison."""
    found = {
        cell.stack: cell.estimate
        for cell in evidence.cells
        if (cell.part, cell.scenario, cell.load, cell.metric) == (each.part, each.scenario, each.load, metric)
    }
    return found.get(each.wsgi), found.get(each.asgi)


def _served(each: Comparison, evidence: Evidence) -> Iterator[str]:
    """Say how many of those who were to wait were served at a time: a full CPU serves fewer than were asked."""
    wsgi, asgi = _of_cells(each, "served_at_once", evidence)
    if wsgi or asgi:
        sides = (f"{name} served {said(value, 'served_at_once')}" for name, value in (("WSGI", wsgi), ("ASGI", asgi)))
        yield f"of {Load.parse(each.load).size:,} requests at a time {' and '.join(sides)} at a time"


def _judged(claim: Claim, factor: float, each: Comparison, evidence: Evidence) -> Verdict:
    word, why = _word(claim, factor, each)
    if claim.metric != "rate_rps":
        why = "; ".join([why, *_served(each, evidence)])
    if "." in each.part and len(claim.parts) + len(claim.also) > 1:
        why = f"{each.part}: {why}"
    return Verdict(claim=claim, word=word, why=why, comparison=each)


def _depends(verdicts: Sequence[Verdict]) -> Verdict:
    """Join the verdicts of profiles that disagree, the matched pair's figures first."""
    texts = []
    for each in verdicts:
        if each.comparison and each.comparison.ratio:
            pair = f"{each.comparison.asgi} against {each.comparison.wsgi}"
            factor = factor_said(advantage(each.claim, each.comparison.ratio))
            texts.append(f"{profile_of(each.comparison.asgi)}: {factor}, {each.word} ({pair})")
    matched = (each for each in verdicts if each.comparison and profile_of(each.comparison.asgi) == "matched")
    return replace(next(matched, verdicts[0]), word="depends", why="the profiles disagree; " + "; ".join(texts))


def _side(claim: Claim, each: Comparison) -> tuple[str, str]:
    if each.ratio is None:
        return "undecided" if each.blocks else "void", each.reason or "no reason was given"
    upper, lower = ("WSGI", "ASGI") if claim.lower_is_better else ("ASGI", "WSGI")
    measured = advantage(claim, each.ratio)
    where = f"{upper} / {lower} is {factor_said(measured, 1)}"
    if (measured.low or 0.0) > 1:
        return "confirmed", f"{where}: {upper} above {lower}"
    if (measured.high or math.inf) < 1:
        return "reversed", f"{where}: {lower} above {upper}"
    return "undecided", f"{where}: a tie, as far as the interval tells"


def _word(claim: Claim, factor: float, comparison: Comparison) -> tuple[str, str]:
    if comparison.ratio is None:
        word = "undecided" if comparison.blocks else "void"
        return word, comparison.reason or "no reason was given"
    measured = advantage(claim, comparison.ratio)
    if comparison.asgi_at_limit and comparison.wsgi_at_limit:
        kept = min(each.value for each in (comparison.wsgi_value, comparison.asgi_value) if each)
        why = f"both kept all that were offered (at least {kept:,.0f}), so the factor is not known; {MORE}"
        return "undecided", "; ".join([why, *_few(comparison.ratio)])
    low, high = measured.low or 0.0, measured.high or math.inf
    least, most = (1 - TOLERANCE) * factor, math.inf if claim.at_least else (1 + TOLERANCE) * factor
    bound: Bound = "≥" if comparison.asgi_at_limit else "≤" if comparison.wsgi_at_limit else ""
    known = low and high < math.inf
    shown = factor_said(measured, 1, least, most, bound=bound) if known else "a factor"
    notes = []
    # Who keeps all that is offered might keep more, so one end of the interval is not known.
    if comparison.asgi_at_limit:
        shown = f"at least {shown}"
        high = math.inf
        notes.append("ASGI kept all connections that were offered, so the factor is a lower bound")
    if comparison.wsgi_at_limit:
        shown = f"at most {shown}"
        low = 0.0
        notes.append("WSGI kept all connections that were offered, so the factor is an upper bound")
    margin = f"{least:,g}{TIMES} or more" if claim.at_least else f"{least:,g} to {most:,g}{TIMES}"
    word, where = _place(low, high, least, most)
    if claim.at_least and word in AT_LEAST:
        where, margin = AT_LEAST[word], f"{least:,g}{TIMES}"
    if word == "undecided":
        notes.append(_what_decides(measured, least, most, open_ended=bool(notes)))
    return word, "; ".join([f"{shown} {where} {margin}", *notes, *_few(comparison.ratio)])


def _few(estimate: Estimate) -> list[str]:
    return [f"{blocks(estimate.blocks)} only"] if estimate.few else []


def _place(low: float, high: float, least: float, most: float) -> tuple[str, str]:
    """Say where an interval lies: against no difference, then against what confirms."""
    if high < 1:
        return "reversed", "is below 1, so WSGI wins; confirmed would be"
    if least <= low and high <= most:
        return "confirmed", "lies within"
    if high < least:
        return "overstated", "lies below"
    if low > most:
        return "understated", "lies above"
    return "undecided", "is not wholly inside or outside"


def _what_decides(measured: Estimate, least: float, most: float, *, open_ended: bool) -> str:
    if open_ended:
        return MORE
    distance = min(abs(math.log(measured.value / edge)) for edge in (least, most) if math.isfinite(edge))
    blocks = blocks_to_decide(measured, distance)
    if blocks is None:
        return "too near an edge to say how many blocks would decide"
    return f"about {blocks} blocks would decide"
