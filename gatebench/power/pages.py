"""What the experiments found, in Markdown: docs/gate-power.md. Every table names the files that it came from.

Knows how figures are written. Must not know how they were made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from gatebench import metrics
from gatebench.gate import ERROR, MARGINS
from gatebench.power.cells import at_most, change, counted, files, flowed, interval, percent, table
from gatebench.power.experiments import SHORT_GATE, Tried
from gatebench.power.fits import MEANS
from gatebench.power.found import BRIEF, NAMES, Found, ordered, place
from gatebench.power.pieces import CONDITIONS, METRICS
from gatebench.power.recording import LONGER
from gatebench.power.sections import lived, peers, small
from gatebench.power.trying import LEVEL, WORDS, Share
from gatebench.power.variants import EVERY, SLEEP_S, SLEEPY, TWIN

AIMS = ((TWIN, 0.01), ("slow5", 0.90), ("slow10", 0.99))  # share that may fail, or has to
HEADINGS = ("condition", "injected", "blocks at most", "gates", *WORDS, "minutes, mean")


def page(found: Found, figure: str) -> str:
    """Write the whole page; `figure` is the name of the drawing beside it."""
    parts = [_head(found)]
    if found.recording.pieces:
        told = (_injected(found), _scatter(found), _drawn(found, figure), _windows(found), peers(found), small(found))
        parts += [f"{part}\n\n{_pieces(found)}" for part in told]
    if found.recording.live:
        parts.append(lived(found))
    return "\n\n".join(flowed(part.rstrip()) for part in parts) + "\n"


def _pieces(found: Found) -> str:
    return files(name for names in found.recording.files.values() for name in names)


def _head(found: Found) -> str:
    recording = found.recording
    sessions = [*recording.pieces, *(session for _, session in recording.live)]
    first = sessions[0]
    measure = first.plan.parts[0].measures[0]
    duets = sum(len(one.elapsed_s) for one in recording.found.values())
    invented = " **All figures are invented: it was made with the fake backend.**" if first.backend == "fake" else ""
    commits = Counter(session.commit or "unknown" for session in sessions)
    by_commit = ", ".join(f"{commit} ({count})" for commit, count in commits.most_common())
    dirty = any("+" in commit for commit in commits)
    beyond = ' "+changes" is a tree that held more than its commit, and what, no file says.' if dirty else ""
    return f"""# What the gate was seen to tell

Made by `python -m gatebench.power report` from the files that each table names; [gate.md](gate.md) says what the
words mean and how it was done. No figure on this page was put in by hand.{invented}

- Machine: {first.machine.cpu}, {first.machine.cpus} CPUs, {first.machine.system}, kernel {first.machine.kernel};
  servers as {first.backend}. All files are of this one machine, placement, scenario version, settings and versions:
  a report of others together is refused.
- Arms: {first.plan.parts[0].stacks[0].partition(":")[2]}, {measure.scenario} under {measure.load}, in windows of
  {first.plan.parts[0].window_s:g} s ("{NAMES[SLEEPY]}": {LONGER:g} times as long).
  Commits of the tool, with how many of the {len(sessions)} files each made: {by_commit}.{beyond}
- Recorded: {duets} duets in {len(recording.pieces)} pieces, {_hours(found):.2f} hours of them, of which identical
  arms {_hours(found, TWIN):.2f} hours
  ({", ".join(f"{_hours(found, TWIN, name):.2f} {name}" for name in CONDITIONS)}); and {len(recording.live)} live
  gates.
- Margins: {", ".join(f"{BRIEF[name]} {percent(margin)}" for name, margin in MARGINS.items())}; budget
  {found.settings.budget_s:.0f} s; {found.settings.gates} gates drawn of each kind, seed {found.settings.seed}.
- Intervals are at {percent(LEVEL, 0)}; those of shares are exact (Clopper and Pearson)."""


def _hours(found: Found, variant: str | None = None, condition: str | None = None) -> float:
    chosen = [
        one
        for one in found.recording.found.values()
        if variant in (None, one.variant) and condition in (None, one.condition)
    ]
    return sum(sum(one.elapsed_s) for one in chosen) / 3600


def _injected(found: Found) -> str:
    rows = [
        (
            one.condition,
            NAMES[one.variant],
            f"{one.pieces}",
            f"{one.pairs}",
            f"{one.void}",
            *map(change, one.changes.values()),
        )
        for one in ordered(found.injected)
    ]
    titles = [metrics.TABLE[name][0].title for name in METRICS]
    headings = ("condition", "injected", "pieces", "duets", "not valid", *titles)
    single = [f"{NAMES[one.variant]}, {one.condition}" for one in ordered(found.injected) if one.pieces == 1]
    alone = f" Recorded in one piece, so that what varies between pieces is not seen: {'; '.join(single)}."
    return f"""## What was injected

Busy work was laid out for a share of a request's CPU; what the blocks themselves say it cost is the pooled
Hodges-Lehmann estimate of variant / base, which takes blocks as independent. In "{NAMES[SLEEPY]}" one request of
{EVERY} sleeps {SLEEP_S * 1000:.0f} ms.{alone if single else ""}

{table(headings, rows)}"""


def _scatter(found: Found) -> str:
    alike = [
        (
            condition,
            NAMES[variant],
            f"{fit.pieces}",
            f"{fit.blocks}",
            *(
                text
                for column in range(len(METRICS))
                for text in (percent(fit.spread[column], 2), f"{fit.kept[column]:.2f}")
            ),
        )
        for (variant, condition), fit in found.scatters.items()
    ]
    columns = [text for name in METRICS for text in (f"{BRIEF[name]}: spread", "autocorrelation")]
    twins = [one for one in found.recording.pieces if any(TWIN in part.name for part in one.plan.parts)]
    alone = sum(len(one.plan.parts) == 1 for one in twins)
    return f"""## How blocks scatter

Standard deviations of the log-ratio of a block within a piece, and how much of its deviation the next block has (a
negative one is taken for none). Of the {len(twins)} pieces with identical arms {alone} hold nothing else, so that
there blocks follow each other as in a gate; in the others neighbours of one variant are a round of all variants
apart.

{table(("condition", "injected", "pieces", "blocks", *columns), alike)}

What whole pieces share beyond that, from the pieces of all variants of a condition together, since few pieces of
one variant tell little of it: how far pieces lie apart, and what they drift by from end to end. In brackets the
upper end of its interval; where that is nothing, pieces were more alike than chance would have them.

{table(("condition", "metric", "pieces of a variant", "apart", "drift"), _shared(found))}

Whether gates that are drawn from this are like recorded ones is seen where verdicts rest on it: in the standard
deviation of the mean of {MEANS} neighbouring blocks of identical arms. Where the drawn one is larger, the fit errs on
the careful side.

{table(("condition", "metric", f"means of {MEANS}", "recorded", "drawn"), _means(found))}"""


def _shared(found: Found) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for condition in CONDITIONS:
        keys = [key for key in found.scatters if key[1] == condition]
        for column, name in enumerate(METRICS):
            if not any(np.isfinite(found.scatters[key].spread[column]) for key in keys):
                continue
            fit, wide = found.scatters[keys[0]], found.widest[keys[0]]
            pieces = ", ".join(f"{found.scatters[key].pieces}" for key in keys)
            apart = f"{percent(fit.between[column], 2)} ({percent(wide.between[column], 2)})"
            drift = f"{percent(fit.drift[column], 2)} ({percent(wide.drift[column], 2)})"
            rows.append((condition, BRIEF[name], pieces, apart, drift))
    return rows


def _means(found: Found) -> list[tuple[str, ...]]:
    return [
        (one.condition, BRIEF[one.metric], f"{one.windows}", percent(one.recorded, 2), percent(one.drawn, 2))
        for one in found.means
    ]


def _tried(rows: Iterable[Tried], words: Sequence[str] = ()) -> list[tuple[str, ...]]:
    return [
        (
            one.condition,
            NAMES[one.variant],
            f"{one.blocks}",
            f"{one.tried}",
            *(interval(one.shares[word]) for word in WORDS),
            f"{one.minutes:.1f}",
            *((interval(one.in_time),) if "in time" in words else ()),
        )
        for one in ordered(rows)
    ]


def _drawn(found: Found, figure: str) -> str:
    headings = (*HEADINGS, f"fail, all within {found.settings.budget_s:.0f} s")
    return f"""## Gates drawn from the recorded scatter

Each gate is drawn from what was fitted to a variant's blocks (autocorrelation, residuals resampled whole, an offset
and a drift a session) around their middle, and judged as live, a fail confirmed by fresh blocks. The intervals are
those of the drawing: how well the fit holds is not in them. The last column has the fails whose blocks, the base's
beside itself and the fresh ones included, took no longer than the budget, which by itself is without the fresh
ones.

{table(headings, _tried(found.simulated, ("in time",)))}

The same, were sessions as far apart, and drifting as much, as the upper ends above allow:

{table(headings, _tried(found.apart, ("in time",)))}

{_aims(found)}
{_at_margin(found)}

{_evidence(found)}

![Share of gates that fail, by slowdown, quiet and with a noisy neighbour]({figure})"""


def _aims(found: Found) -> str:
    lines = []
    for variant, aim in AIMS:
        wanted = f"wanted at {'most' if variant == TWIN else 'least'} {percent(aim, 0)}"
        for one in ordered(one for one in found.simulated if one.variant == variant):
            wide = next(each for each in found.apart if place(each) == place(one))
            fails = [each.shares["fail"] if variant == TWIN else each.in_time for each in (one, wide)]
            said = [f"{counted(share)}, {_reached(share, aim, most=variant == TWIN)}" for share in fails]
            within = "" if variant == TWIN else " within the budget"
            lines.append(
                f"- {NAMES[variant]}, {one.condition}, {wanted} that fail{within}. Drawn {said[0]}; with sessions as "
                f"far apart as the pieces allow {said[1]}."
            )
    return "\n".join(lines)


def _at_margin(found: Found) -> str:
    """Say how often a gate fails where its error is spent to the full: at a slowdown of just the margin."""
    margin = MARGINS[METRICS[0]]
    said = [
        f"{condition} {counted(share)}"
        for condition in CONDITIONS
        for slowdown, share in found.curve.get(condition, ())
        if slowdown == margin
    ]
    return (
        f"- a slowdown of just the margin of {percent(margin)}, which is still allowed, and where a gate cries wolf "
        f"most often: at most {percent(ERROR)} are to fail before fresh blocks are asked. Drawn, fresh blocks "
        f"included: {'; '.join(said) or 'none'}."
    )


def _reached(share: Share, aim: float, *, most: bool) -> str:
    """Say whether an aim is reached: only where the whole interval is on its side."""
    low, high = share.interval
    if (high <= aim) if most else (low >= aim):
        return "reached"
    missed = low > aim if most else high < aim
    return "**not reached**" if missed else "too few gates to say"


def _evidence(found: Found) -> str:
    """Say what the conclusion about identical arms rests on."""
    drawn = _together([one.shares["fail"] for one in found.simulated if one.variant == TWIN])
    if drawn is None:
        return ""
    windows: dict[int, list[Share]] = {}
    for one in found.disjoint:
        if one.variant == TWIN:
            windows.setdefault(0 if one.blocks == SHORT_GATE else 1, []).append(one.shares["fail"])
    beside = [
        f"{at_most(share)} {'windows of the length of a gate' if length else f'windows of {SHORT_GATE} blocks'}"
        for length, shares in sorted(windows.items(), reverse=True)
        if (share := _together(shares)) is not None
    ]
    return (
        "What is said of identical arms rests on these drawn gates, of which in both conditions together "
        f"{at_most(drawn)} failed, and so on the fit. Recorded windows stand beside them and need no fit, but are "
        f"too few to show 1 % by themselves: {'; '.join(beside) or 'none'} failed."
    )


def _together(shares: Sequence[Share]) -> Share | None:
    if not shares:
        return None
    return Share(count=sum(one.count for one in shares), tried=sum(one.tried for one in shares))


def _windows(found: Found) -> str:
    pairs = sorted(found.bootstrapped, key=lambda pair: place(pair[0]))
    overlapping = [
        (*row, f"{worth:.1f}") for row, (_, worth) in zip(_tried(one for one, _ in pairs), pairs, strict=True)
    ]
    none = "Too few blocks for two windows of any variant."
    disjoint = table(HEADINGS, _tried(found.disjoint)) if found.disjoint else none
    return f"""## The recorded blocks themselves

Disjoint windows, none across two pieces, of the budget's length where the recording holds two, and of {SHORT_GATE}
blocks, the fewest that a gate may have; a fail is confirmed by the next window, so that windows which fail are not
quite independent of their neighbours.

{disjoint}

Gates put together from runs of neighbouring blocks (moving-block bootstrap), no run across two pieces. They share
blocks, so the last column says how many independent windows the recording is worth, and the intervals are those of so
many gates.

{table((*HEADINGS, "windows' worth"), overlapping)}"""
