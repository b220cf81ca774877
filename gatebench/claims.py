"""The published comparison, and what measured ratios say of each of its rows.

Knows the copy of the comparison in data/claims.toml and the words of a verdict. Must not know runs or pages.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

from gatebench.metrics import three
from gatebench.model import Claim, Comparison, Estimate, Load, Verdict
from gatebench.stats import blocks_to_decide, inverse

TOLERANCE = 0.25  # how far from the published factor a measured one may lie and still confirm it
PUBLISHED_PAIR = ("flask+gunicorn-sync", "fastapi+uvicorn")
KINDS = {  # of tables whose rows do not say it themselves
    "frameworks": "capability",
    "framework_facts": "fact",
    "servers": "order",
    "drivers": "order",
    "mixed_deployment": "fact",
}


def load() -> tuple[Claim, ...]:
    """Give every row of every published table, in order."""
    text = resources.files("gatebench").joinpath("data", "claims.toml").read_text(encoding="utf-8")
    return tuple(
        _claim(table, key, row)
        for table, entries in tomllib.loads(text).items()
        for name, entry in entries.items()
        for key, row in _rows(name, entry)
    )


def judge(claims: Iterable[Claim], comparisons: Sequence[Comparison]) -> tuple[Verdict, ...]:
    """Give at least one verdict a claim, in the claims' order, and one a pair of stacks where several measured it.

    The pair of the published comparison comes first, then the others by name.
    """
    return tuple(verdict for claim in claims for verdict in _verdicts(claim, comparisons))


def _rows(key: str, entry: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give an entry of a table as rows: itself, or one a list's item."""
    if isinstance(entry, dict):
        yield key, entry
        return
    for item in entry:
        if isinstance(item, str):
            yield f"{key}.{item}", {"label": item, key: "listed"}
        elif "stage" in item:
            label = f"Stage {item['stage']} of a migration: {item['note']}"
            yield (
                f"{key}.{item['stage']}",
                {"label": label, **{side: f"{item[side]:.0%}" for side in ("wsgi", "asgi")}},
            )
        else:
            said = f"{item['year']}, {item['stars']} stars" if "year" in item else f"{item['stars']} of 5 stars"
            yield f"{key}.{item['name']}", {"label": item["name"], key: said}


def _claim(table: str, key: str, row: Mapping[str, Any]) -> Claim:
    factor = row.get("factor")
    label = row["label"]
    if "effort" in row:
        label = f"{label} (effort to move: {row['effort']} of 5)"
    return Claim(
        table=table,
        key=key,
        kind=row.get("kind") or KINDS[table],
        label=label,
        label_zh=row.get("label_zh"),
        unit=row.get("unit"),
        wsgi=_shown(row.get("wsgi")),
        asgi=_shown(row.get("asgi", row.get("through"))),
        factor=float(factor) if isinstance(factor, int | float) else None,
        at_least=row.get("factor_is") == "at least",
        lower_is_better=row.get("lower_is_better", False),
        scenario=row.get("scenario"),
        load=row.get("load"),
        metric=row.get("metric"),
    )


def _shown(value: Any) -> str | None:
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:,}" if isinstance(value, int) else value


def _verdicts(claim: Claim, comparisons: Sequence[Comparison]) -> Iterator[Verdict]:
    if claim.kind == "opinion":
        yield Verdict(claim=claim, word="not measurable", why="an opinion: there is nothing to measure")
        return
    if claim.scenario is None or claim.factor is None:
        yield Verdict(claim=claim, word="not yet measured", why="no scenario of this version settles it")
        return
    found = [
        comparison
        for comparison in comparisons
        if (comparison.scenario, comparison.metric) == (claim.scenario, claim.metric)
        and Load.parse(comparison.load).kind == claim.load
    ]
    if not found:
        why = f"this session has no trials of {claim.scenario} under a load of the kind {claim.load} for both sides"
        yield Verdict(claim=claim, word="not yet measured", why=why)
    found.sort(key=lambda each: ((each.wsgi, each.asgi) != PUBLISHED_PAIR, each.wsgi, each.asgi, each.load))
    for comparison in found:
        word, why = _word(claim, claim.factor, comparison)
        yield Verdict(claim=claim, word=word, why=why, comparison=comparison)


def advantage(claim: Claim, ratio: Estimate) -> Estimate:
    """Turn ASGI / WSGI into how many times better ASGI is, as the comparison publishes it."""
    return inverse(ratio) if claim.lower_is_better else ratio


def _word(claim: Claim, factor: float, comparison: Comparison) -> tuple[str, str]:
    if comparison.ratio is None:
        word = "undecided" if comparison.blocks else "void"
        return word, comparison.reason or "no reason was given"
    measured = advantage(claim, comparison.ratio)
    low, high = measured.low or 0.0, measured.high or math.inf
    shown = f"{three(measured.value)} ({three(low)} to {three(high)})" if low and high < math.inf else "a factor"
    notes = []
    # Who keeps all that is offered might keep more, so one end of the interval is not known.
    if comparison.asgi_at_limit:
        high = math.inf
        notes.append("ASGI kept all connections that were offered, so the factor is a lower bound")
    if comparison.wsgi_at_limit:
        low = 0.0
        notes.append("WSGI kept all connections that were offered, so the factor is an upper bound")
    least, most = (1 - TOLERANCE) * factor, math.inf if claim.at_least else (1 + TOLERANCE) * factor
    margin = f"{least:g} or more" if claim.at_least else f"{least:g} to {most:g}"
    word, where = _place(low, high, least, most)
    if word == "undecided":
        notes.append(_what_decides(measured, least, most, open_ended=bool(notes)))
    if comparison.ratio.few:
        notes.append(f"{comparison.ratio.blocks} blocks only")
    return word, "; ".join([f"{shown} {where} {margin}", *notes])


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
        return "offering more connections would decide"
    distance = min(abs(math.log(measured.value / edge)) for edge in (least, most) if math.isfinite(edge))
    blocks = blocks_to_decide(measured, distance)
    if blocks is None:
        return "too near an edge to say how many blocks would decide"
    return f"about {blocks} blocks would decide"
