"""What the experiments found, in Markdown: docs/gate-power.md. Every table names the files that it came from.

Knows how figures are written. Must not know how they were made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gatebench import metrics
from gatebench.gate import MARGINS, SHORT, judge
from gatebench.model import Estimate, GateWord
from gatebench.power.experiments import SHORT_GATE, SMALL, Injected, OfPeer, Settings, Small, Tried
from gatebench.power.living import described
from gatebench.power.noise import Scatter
from gatebench.power.peers import AT_A_TIME
from gatebench.power.pieces import CONDITIONS, METRICS, Recording, condition_of, variant_of
from gatebench.power.trying import WORDS, Share
from gatebench.power.variants import EVERY, SHARES, SLEEP_S, SLEEPY, TWIN, VARIANTS

NAMES = {TWIN: "none (A/A)", SLEEPY: f"sleep in 1 of {EVERY}"} | {
    name: f"{100 * share:.0f} %" for name, share in SHARES.items()
}
BRIEF = {name: short for short, name in SHORT.items()}
ENOUGH = 0.9  # of the gates, for a slowdown to count as found
Row = TypeVar("Row", Injected, Tried)
AIMS = ((TWIN, 0.01), ("slow5", 0.90), ("slow10", 0.99))  # share that may fail, or has to


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that a page tells."""

    recording: Recording
    injected: Sequence[Injected]
    scatters: dict[tuple[str, str], Scatter]
    simulated: Sequence[Tried]
    disjoint: Sequence[Tried]
    bootstrapped: Sequence[tuple[Tried, float]]
    peers: Sequence[OfPeer]
    small: Sequence[Small]
    settings: Settings


def page(found: Found, figure: str) -> str:
    """Write the whole page; `figure` is the name of the drawing beside it."""
    parts = [_head(found)]
    if found.recording.pieces:
        parts += [
            _injected(found),
            _scatter(found),
            _drawn(found, figure),
            _windows(found),
            _peers(found),
            _small(found),
        ]
    if found.recording.live:
        parts.append(_live(found))
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _from(files: Iterable[str]) -> str:
    named = [f"`{name}`" for name in files]
    return f"From: {', '.join(named)}." if named else "From: no file."


def _pieces(found: Found) -> str:
    return _from(name for names in found.recording.files.values() for name in names)


def _share(share: Share) -> str:
    low, high = share.interval
    return f"{_percent(share.value)} ({_percent(low)} to {_percent(high)})"


def _change(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return "—"
    value, low, high = (_percent(each - 1, sign="+") for each in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"


def _percent(share: float, digits: int = 1, sign: str = "") -> str:
    return f"{100 * share:{sign}.{digits}f} %"


def _ordered(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=_key)


def _key(one: Injected | Tried) -> tuple[int, int]:
    return CONDITIONS.index(one.condition), VARIANTS.index(one.variant)


def _head(found: Found) -> str:
    recording = found.recording
    sessions = [*recording.pieces, *(session for _, session in recording.live)]
    first = sessions[0]
    measure = first.plan.parts[0].measures[0]
    duets = sum(len(one.elapsed_s) for one in recording.found.values())
    hours = sum(sum(one.elapsed_s) for one in recording.found.values()) / 3600
    invented = " **All figures are invented: it was made with the fake backend.**" if first.backend == "fake" else ""
    return f"""# What the gate was seen to tell

Made by `python -m gatebench.power report` from the files that each table names; [gate.md](gate.md) says what the
words mean and how it was done. No figure on this page was put in by hand.{invented}

- Machine: {first.machine.cpu}, {first.machine.cpus} CPUs, {first.machine.system}, kernel {first.machine.kernel};
  servers as {first.backend}.
- Arms: {first.plan.parts[0].stacks[0].partition(":")[2]}, {measure.scenario} under {measure.load}.
- Recorded: {duets} duets in {len(recording.pieces)} pieces, {hours:.2f} hours of them, and {len(recording.live)}
  live gates.
- Margins: {", ".join(f"{BRIEF[name]} {_percent(margin)}" for name, margin in MARGINS.items())}; budget
  {found.settings.budget_s:.0f} s; {found.settings.gates} gates drawn of each kind, seed {found.settings.seed}.
- Intervals are at 95 %; those of shares are exact (Clopper and Pearson)."""


def _injected(found: Found) -> str:
    rows = [
        (one.condition, NAMES[one.variant], f"{one.pairs}", f"{one.void}", *map(_change, one.changes.values()))
        for one in _ordered(found.injected)
    ]
    return f"""## What was injected

Busy work was laid out for a share of a request's CPU; what the blocks themselves say it cost is the pooled
Hodges-Lehmann estimate of variant / base. In "{NAMES[SLEEPY]}" one request of {EVERY} sleeps {SLEEP_S * 1000:.0f} ms.

{_table(("condition", "injected", "duets", "not valid", *(metrics.TABLE[name][0].title for name in METRICS)), rows)}

{_pieces(found)}"""


def _scatter(found: Found) -> str:
    rows = [
        (
            condition,
            BRIEF[name],
            f"{scatter.blocks}",
            f"{_percent(scatter.spread[column], 2)}",
            f"{scatter.kept[column]:.2f}",
            f"{_percent(scatter.between[column], 2)}",
        )
        for (variant, condition), scatter in found.scatters.items()
        if variant == TWIN
        for column, name in enumerate(METRICS)
        if scatter.spread[column] == scatter.spread[column]  # not NaN: it has such figures
    ]
    headings = ("condition", "metric", "blocks", "spread in a piece", "autocorrelation", "spread of pieces beyond it")
    return f"""## How identical arms scatter

Standard deviations of the log-ratio of a block, and how much of its deviation the next block has.

{_table(headings, rows)}

{_pieces(found)}"""


def _tried(rows: Iterable[Tried]) -> list[tuple[str, ...]]:
    return [
        (
            one.condition,
            NAMES[one.variant],
            f"{one.blocks}",
            f"{one.tried}",
            *(_share(one.shares[word]) for word in WORDS),
            f"{one.minutes:.1f}",
        )
        for one in _ordered(rows)
    ]


HEADINGS = ("condition", "injected", "blocks at most", "gates", *WORDS, "minutes, mean")


def _drawn(found: Found, figure: str) -> str:
    return f"""## Gates drawn from the recorded scatter

Each gate is drawn from what was fitted to a variant's blocks (autocorrelation, residuals resampled whole, an offset a
session) and judged as live, a fail confirmed by fresh blocks. "None" is drawn around no change at all.

{_table(HEADINGS, _tried(found.simulated))}

{_aims(found)}

![Share of gates that fail, by slowdown, quiet and with a noisy neighbour]({figure})

{_pieces(found)}"""


def _aims(found: Found) -> str:
    lines = []
    for variant, aim in AIMS:
        for one in _ordered(one for one in found.simulated if one.variant == variant):
            fails = one.shares["fail"]
            reached = fails.value <= aim if variant == TWIN else fails.value >= aim
            wanted = f"{'at most' if variant == TWIN else 'at least'} {_percent(aim, 0)}"
            lines.append(
                f"- {NAMES[variant]}, {one.condition}: {_share(fails)} fail, wanted {wanted}: "
                f"{'reached' if reached else '**not reached**'}."
            )
    return "\n".join(lines)


def _windows(found: Found) -> str:
    overlapping = [
        (*row, f"{worth:.1f}")
        for row, (_, worth) in zip(
            _tried(one for one, _ in found.bootstrapped),
            sorted(found.bootstrapped, key=lambda pair: _key(pair[0])),
            strict=True,
        )
    ]
    disjoint = (
        _table(HEADINGS, _tried(found.disjoint))
        if found.disjoint
        else "Too few blocks for two windows of any variant."
    )
    return f"""## The recorded blocks themselves

Disjoint windows, of the budget's length where the recording holds two, and of {SHORT_GATE} blocks; a fail is
confirmed by the next window.

{disjoint}

Gates put together from runs of neighbouring blocks (moving-block bootstrap). They share blocks, so the last column
says how many independent windows the recording is worth, and the intervals are those of so many gates.

{_table((*HEADINGS, "windows' worth"), overlapping)}

{_pieces(found)}"""


def _peers(found: Found) -> str:
    variants = [TWIN, *SHARES]
    by_row: dict[tuple[str, str], dict[str, Share]] = {}
    for one in found.peers:
        by_row.setdefault((one.condition, one.title), {})[one.variant] = one.share
    rows = [
        (condition, title, *(_share(shares[name]) if name in shares else "—" for name in variants))
        for (condition, title), shares in sorted(by_row.items(), key=lambda row: CONDITIONS.index(row[0][0]))
    ]
    headings = ("condition", "rule", "false alarms (A/A)", *(f"found, {NAMES[name]}" for name in SHARES))
    return f"""## Beside what others do

The same recorded runs. A peer's base is one run, or {AT_A_TIME} in sequence, and its head as many right after.
Windows of {AT_A_TIME} overlap, and the intervals are those of as many windows as have no run in common. What is not
found is missed.

{_table(headings, rows)}

{_pieces(found)}"""


def _small(found: Found) -> str:
    rows = [
        (
            one.condition,
            f"{_percent(one.margin)}",
            f"{one.blocks}",
            f"{one.minutes:.0f}",
            _share(one.false_alarms),
            _share(one.found),
        )
        for one in found.small
    ]
    said = []
    for condition in CONDITIONS:
        enough = [one for one in found.small if one.condition == condition and one.found.value >= ENOUGH]
        if enough:
            least = min(enough, key=lambda one: one.minutes)
            took = f"{least.blocks} blocks, {least.minutes:.0f} minutes"
            said.append(f"- {condition}: {took}, at a margin of {_percent(least.margin)}.")
        elif any(one.condition == condition for one in found.small):
            said.append(f"- {condition}: none of these found it in {_percent(ENOUGH, 0)} of the gates.")
    headings = ("condition", "margin", "blocks", "minutes", "false alarms (A/A)", f"found, {_percent(SMALL, 0)}")
    return f"""## What it would take to find {_percent(SMALL, 0)}

A slowdown of {_percent(SMALL, 0)} is within the default margin, so the gate lets it pass by design. With a smaller
margin, CPU per request alone, and the scatter of identical arms, {_percent(ENOUGH, 0)} of the gates find it, in the
least time, with:

{chr(10).join(said)}

{_table(headings, rows)}

{_pieces(found)}"""


def _live(found: Found) -> str:
    rows: list[tuple[str, ...]] = []
    words: dict[tuple[str, str], list[GateWord]] = {}
    for name, session in found.recording.live:
        judged, variant = judge(session), variant_of(session) or TWIN
        seen = {(run.part, run.block): run.elapsed_s or 0.0 for run in session.runs}
        change = judged.findings[0].change if judged.findings else None
        words.setdefault((variant, condition_of(session)), []).append(judged.word)
        rows.append(
            (
                condition_of(session),
                described(variant),
                judged.word,
                _change(change),
                f"{judged.look or 0} of {judged.looks}",
                f"{judged.blocks}",
                f"{sum(seen.values()) / 60:.1f}",
                f"`{name}`",
            )
        )
    again = [
        f"- {described(variant)}, {condition}: {len(said)} gates, "
        + ", ".join(f"{said.count(word)} {word}" for word in WORDS)
        + f": {'**both pass and fail**' if {'pass', 'fail'} <= {*said} else 'never both pass and fail'}."
        for (variant, condition), said in words.items()
    ]
    headings = ("condition", "head", "word", "CPU per request", "look", "blocks", "minutes", "file")
    return f"""## Live, gate after gate

{chr(10).join(again)}

{_table(headings, rows)}"""
