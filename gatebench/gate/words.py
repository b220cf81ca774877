"""Words: the one sentence of a judgement, and how its findings are said everywhere.

Knows judgements and what a gate declared. Must not know how a word was come to, nor Markdown or pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal

from gatebench.gate.beside import FEWEST, per_block_s, unlike
from gatebench.gate.sequence import LEAST, MOST
from gatebench.metrics import TABLE, blocks
from gatebench.model import Estimate, Finding, Gate, Judgement, Session
from gatebench.stats import ENOUGH

NAMES = {
    "cpu_us_per_request": "CPU per request",
    "rate_rps": "the rate of requests",
    "response_p50_s": "the median response time",
    "response_p99_s": "p99 of the response time",
}
SLACK = 1.1  # of a suggested budget: blocks are not all alike
FIGURES, EXACT = 3, 12  # significant figures of a bound: the fewest, and those that a margin's float holds for sure
TOLD = 3  # of what was not judged; more of it the sentence only counts
VERDICTS = ("Regression", "No regression", "Unsure")
APART = (
    "; base and head were measured at different times, and what drifts between sessions is in the difference and not "
    "in the certainty: a gate of both at the same time would tell"
)
INVENTED = "invented figures, since the fake backend measures nothing"


def sentence(judgement: Judgement, session: Session) -> str:
    """Say what was found, by how much, how sure, and what to do where it is unsure.

    Where an arm broke under load there is nothing else to say: figures of what is left of it would mislead.
    """
    if judgement.broken is not None:
        return invented(judgement.broken, session)
    return framed({"pass": _passed, "fail": _failed, "unsure": _unsure}[judgement.word](judgement, session), session)


def framed(said: str, session: Session) -> str:
    """End a verdict, with all in it that it would mislead without, since it is often read alone."""
    apart = APART if session.base_from is not None else ""
    return invented(f"{said}{apart}.", session)


def invented(said: str, session: Session) -> str:
    """Say of a verdict or an error, first of all, that nothing was measured; as it is where something was."""
    if session.backend != "fake":
        return said
    word, colon, rest = said.partition(":")
    return f"{word}, of {INVENTED}{colon}{rest}" if word in VERDICTS else f"Of {INVENTED}: {said}"


def kind(session: Session) -> str:
    """Say in a few words, to be put behind a title, that figures are no measured ones, or not of one time."""
    told = {"of invented figures": session.backend == "fake", "of two sessions": session.base_from is not None}
    return "".join(f", {words}" for words, holds in told.items() if holds)


def name_of(metric: str) -> str:
    """Name a metric as it stands in a sentence."""
    title = TABLE[metric][0].title
    return NAMES.get(metric, title[:1].lower() + title[1:])


def percent(ratio: float) -> str:
    """Say a ratio as a change: `+2.5 %`."""
    share = _figure((ratio - 1) * 100)
    return f"{share:+g} %" if share else "0 %"


def interval(change: Estimate) -> str:
    """Say the ends of a change's interval; that there is none where there is none."""
    if change.low is None or change.high is None:
        return "no interval"
    return f"{percent(change.low)} to {percent(change.high)}"


def bound(finding: Finding) -> str:
    """Say how far a finding's figure may change for the worse: `+2.5 %`, or `-4.76 %` where higher is better.

    What was declared stands as it was declared; its inverse has as many figures, and three at least.
    """
    declared = Decimal(f"{100 * finding.margin:.{EXACT}g}").normalize()
    if TABLE[finding.metric][0].better == "lower":
        return f"{declared:+f} %"
    figures = max(FIGURES, len(declared.as_tuple().digits))
    inverse = Decimal(f"{-100 * finding.margin / (1 + finding.margin):.{figures}g}").normalize()
    return f"{inverse:+f} %"


def sure(gate: Gate) -> str:
    """Say how sure an interval is: by the error that all looks together may spend, since any of them may decide."""
    said = f"{float(f'{100 * (1 - sum(gate.errors)):.4g}'):g} % sure on each side"
    return f"{said} over all looks" if len(gate.looks) > 1 else said


def alikeness(finding: Finding) -> str:
    """Say what base beside itself came to: it is no verdict on anybody, but tells whether arms are measured alike."""
    if finding.word == "fail" or unlike(finding):
        return "not alike"
    return "alike" if finding.word == "pass" else "too few duets to tell"


def smallest(judgement: Judgement) -> Iterator[str]:
    """Say, a sentence each, how small a change could be told here, and by what; what too few duets leave open."""
    duets = {each.metric: each.blocks for each in judgement.again}
    known = {metric: share for metric, share in judgement.smallest.items() if metric in duets}
    if known:
        shares = ", ".join(f"{name_of(metric)} {100 * share:.2g} %" for metric, share in known.items())
        yield (
            f"Smallest change that could be told here: {shares} (about half the width of an interval over as many "
            f"blocks, by their spread and that of base beside itself in {_duets(duets)})."
        )
    fewest = min(duets.values(), default=ENOUGH)
    if fewest < FEWEST:
        yield f"Base was beside itself in {_duets(duets)}, too few to tell how small a change could be told here."
    if fewest < ENOUGH:
        yield (
            f"Base beside itself takes {ENOUGH} duets for an interval, and has {fewest}: whether the two arms are "
            "measured alike cannot be told, and nothing warns where they are not; a longer gate makes more of them."
        )


def _duets(counts: Mapping[str, int]) -> str:
    fewest = min(counts.values())
    return f"{fewest} duet{'s' * (fewest != 1)}"


def told(finding: Finding, judgement: Judgement, session: Session) -> str:
    """Say one finding by itself: what was found, and why it is what it is called."""
    return framed(_alone(finding, judgement, session), session)


def _alone(finding: Finding, judgement: Judgement, session: Session) -> str:
    if finding.word == "unsure":
        return f"Unsure: {_open(finding, judgement, session)}"
    if finding.word == "pass":
        return f"{_said(finding, judgement, session)}, within the margin of {bound(finding)}"
    past = _past([finding], judgement, session)
    if stands(finding, judgement):
        return f"Regression: {past}; {_fresh(finding, judgement)}"
    return f"Unsure: {past}, but {_unconfirmed(finding, judgement)}"


def _unconfirmed(finding: Finding, judgement: Judgement) -> str:
    same = [each for each in judgement.confirmation if _of(each) == _of(finding)]
    if not same:
        return "it is to be confirmed and no fresh blocks were measured"
    return f"fresh blocks did not say the same ({_briefly(same[0])})"


def left_out(judgement: Judgement) -> Iterator[tuple[str, str]]:
    """Name what was to be judged and was not, each with why."""
    names = {f"{TABLE[metric][0].title} on ": f"{name_of(metric)} on " for metric in TABLE}
    for what, why in judgement.left_out.items():
        title = next((each for each in names if what.startswith(each)), "")
        yield names.get(title, "") + what.removeprefix(title), why.rstrip(".")


def stands(finding: Finding, judgement: Judgement) -> bool:
    """Tell whether a finding that failed is what the gate says: fresh blocks, where asked, said it of this one."""
    if finding.word != "fail" or judgement.word != "fail":
        return False
    again = [each for each in judgement.confirmation if _of(each) == _of(finding)]
    return not judgement.confirmation or any(each.word == "fail" for each in again)


def _of(finding: Finding) -> tuple[str, str, str]:
    return finding.scenario, finding.load, finding.metric


def where(finding: Finding) -> str:
    """Name the scenario and load of a finding."""
    return f"{finding.scenario}, {finding.load}"


def changed(finding: Finding) -> str:
    """Say which figure of head changed, and by how much."""
    change, name = finding.change, name_of(finding.metric)
    if change is None:
        return f"{name} of head has no figure"
    off = _figure((change.value - 1) * 100)
    how = f"{abs(off):g} % {'higher' if off > 0 else 'lower'}" if off else "as it was"
    return f"{name} of head is {how}"


def _figure(share: float) -> float:
    """Round a change in percent: to a tenth, and what is smaller than one to a hundredth."""
    return round(share, 1 if abs(share) >= 1 else 2) + 0.0


def _said(finding: Finding, judgement: Judgement, session: Session) -> str:
    """Say a finding with its interval, and where, if there is more than one place."""
    places = {(each.scenario, each.load) for each in judgement.findings}
    at = f" on {where(finding)}" if len(places) > 1 else ""
    if finding.change is None or session.gate is None:
        return changed(finding) + at
    ends = f"{interval(finding.change)}; {blocks(finding.blocks)}"
    surely = f", {sure(session.gate)}" if finding.change.low is not None else ""
    return f"{changed(finding)}{at} ({ends}{surely})"


def _worst(judgement: Judgement) -> Finding:
    """Give the leading metric's finding that comes nearest to its margin."""
    leading = judgement.findings[0].metric

    def worse(finding: Finding) -> float:
        log = math.log(finding.change.value) if finding.change else -math.inf
        return log if TABLE[finding.metric][0].better == "lower" else -log

    return max((each for each in judgement.findings if each.metric == leading), key=worse)


def _passed(judgement: Judgement, session: Session) -> str:
    worst, others = _worst(judgement), len(judgement.findings) - 1
    said = f"No regression: {_said(worst, judgement, session)}, within the margin of {bound(worst)}"
    if others == 1:
        said += "; the other finding is within its margin"
    elif others:
        said += f"; {others} more findings are within theirs"
    return said + _not_judged(judgement)


def _not_judged(judgement: Judgement) -> str:
    """Say what a pass says nothing of; where, if there is more than one place."""
    places = {f" on {where(each)}" for each in judgement.findings}
    here = places.pop() if len(places) == 1 else ""
    every = [f"{what.removesuffix(here)} ({why})" for what, why in left_out(judgement)]
    more = len(every) - TOLD
    said = [*every[:TOLD], *([f"and {more} more"] if more > 0 else [])]
    return f"; not judged: {', '.join(said)}" if said else ""


def _failed(judgement: Judgement, session: Session) -> str:
    standing = [each for each in judgement.findings if stands(each, judgement)]
    others = [each for each in judgement.findings if each.word == "fail" and each not in standing]
    said = f"Regression: {_past(standing, judgement, session)}; {_fresh(standing[0], judgement)}"
    return f"{said}, but not that {' nor that '.join(map(changed, others))}" if others else said


def _past(past: list[Finding], judgement: Judgement, session: Session) -> str:
    said = f"{_said(past[0], judgement, session)}, past the margin of {bound(past[0])}"
    others = [f"{changed(each)} on {where(each)}" for each in past[1:]]
    return f"{said}; and {' and '.join(others)}" if others else said


def _fresh(finding: Finding, judgement: Judgement) -> str:
    if not judgement.confirmation:
        return "no fresh blocks were asked whether they say the same"
    same = next(each for each in judgement.confirmation if _of(each) == _of(finding))
    return f"fresh blocks said the same ({_briefly(same)})"


def _briefly(finding: Finding) -> str:
    if finding.change is None:
        return "no figure"
    return f"{percent(finding.change.value)}, {interval(finding.change)}; {blocks(finding.blocks)}"


def _unsure(judgement: Judgement, session: Session) -> str:
    failed = [each for each in judgement.findings if each.word == "fail"]
    if failed:
        helps = "and see what else the machine does" if judgement.confirmation else "with more time"
        past = _past(failed, judgement, session)
        return f"Unsure: {past}, but {_unconfirmed(failed[0], judgement)}: gate again, {helps}"
    unsure = [each for each in judgement.findings if each.word == "unsure"]
    if not unsure or not judgement.blocks:
        return f"Unsure: {_nothing(judgement)}"
    first = unsure[0]
    why = _open(first, judgement, session)
    if first.change is None:
        return f"Unsure: {why}{_voids(judgement)}: gate again once that is mended"
    return f"Unsure: {why}; {_todo(unsure, judgement, session)}{_voids(judgement)}"


def _open(finding: Finding, judgement: Judgement, session: Session) -> str:
    """Say why a finding is open."""
    if finding.change is None:
        return f"{changed(finding)} on {where(finding)}, since {finding.reason or 'it is not known'}"
    margin = f" (margin {bound(finding)})" if finding.change.low is not None else ""
    return f"{_said(finding, judgement, session)}, and {finding.reason or 'nothing was decided'}{margin}"


def _nothing(judgement: Judgement) -> str:
    if not judgement.blocks:
        return f"no block has a trial of both arms{_voids(judgement)}: measure {LEAST} blocks at least"
    return f"nothing could be judged of {blocks(judgement.blocks)}{_voids(judgement)}"


def _voids(judgement: Judgement) -> str:
    if not judgement.void:
        return ""
    reason, count = max(judgement.void.items(), key=lambda each: each[1])
    total = sum(judgement.void.values())
    most = f"{count} of them " if count < total else ""
    return f"; {total} trial{'s' * (total > 1)} gave nothing ({most}{reason.rstrip('.')})"


def _todo(unsure: list[Finding], judgement: Judgement, session: Session) -> str:
    """Say what would decide it."""
    needed = [each.needed for each in unsure if each.needed is not None]
    if len(needed) < len(unsure):
        if min(each.blocks for each in unsure) < LEAST:
            more_time = ": give it more time with --budget" if session.gate and session.gate.budget_s else ""
            return f"it takes {LEAST} valid blocks at least{more_time}"
        return (
            "by today's spread no number of blocks within reach would decide it: "
            "take a wider margin, or a quieter machine"
        )
    more = max(needed) - judgement.blocks
    if more <= 0:  # blocks enough, had they been looked at with the error that the last look has
        return "it was stopped before its next look: let it run its time"
    said = f"{more} more block{'s' * (more > 1)}"
    gate, each_s = session.gate, per_block_s(session)
    if gate is None or not gate.budget_s or each_s is None:
        return f"{said} would decide it by today's spread"
    if max(needed) > MOST:
        return (
            f"{said} would decide it by today's spread, and a gate makes {MOST} at most: "
            "take a wider margin, a longer window or a quieter machine"
        )
    more_s = more * each_s
    budget = max(math.ceil(max(needed) * each_s * SLACK / 60), math.ceil(gate.budget_s / 60))
    about = f"about {round(more_s / 60)} minutes" if more_s >= 90 else f"about {max(1, round(more_s))} s"
    return f"{said} ({about}) would decide it by today's spread: gatebench gate --budget {budget}m"
