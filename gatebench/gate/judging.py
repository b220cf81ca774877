"""Judging: blocks of log-ratios to words, look by look, and a session's runs to a judgement.

Knows arms, margins and looks. Must not know how runs came about, nor how a judgement is shown.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gatebench.errors import UsageError
from gatebench.gate import beside, words
from gatebench.gate.alike import check_trials, sameness
from gatebench.gate.findings import Sheet, finding, left_out, sheets
from gatebench.gate.pairs import Trials, ratios
from gatebench.gate.sequence import AGAIN, CONFIRM, ERROR, GATE
from gatebench.metrics import TABLE
from gatebench.model import Finding, Gate, GateWord, Judgement, Session
from gatebench.stats import sign_flips

__all__ = ["Settled", "decided", "judge", "ratios", "settle"]

UNSURE: GateWord = "unsure"
FEWEST_VOID, VOID = 3, 0.1  # blocks, and share of them, that head may be void in and base not


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What the looks at some findings came to."""

    word: GateWord  # of all together
    words: tuple[GateWord, ...]  # of each
    p_worse: tuple[float, ...]  # of each, adjusted by Holm
    look: int | None = None  # whose error was spent last, from 1; None where there was no look
    blocks: int = 0  # that it rests on


def settle(
    values: Sequence[np.ndarray],
    margins_log: Sequence[float],
    looks: Sequence[int],
    errors: Sequence[float],
    *,
    live: bool = False,
) -> Settled:
    """Look at blocks of log-ratios until they are decided: the whole method on plain numbers.

    `values` has an array a finding, all of one length, a value a block: above 0 where head is worse, NaN where the
    block has none. The first look at which all pass or any fails decides. Where the blocks end before a declared
    look, one is taken at what there is, with that look's error, unless they are still being made (`live`).
    """
    made = len(values[0]) if values else 0
    settled = _unsettled(len(values))
    for look, (blocks, error) in enumerate(_steps(made, looks, errors, live=live), start=1):
        settled = _look([each[:blocks] for each in values], margins_log, error)
        settled = replace(settled, look=look, blocks=blocks)
        if settled.word != "unsure":
            break
    return settled


def _unsettled(findings: int) -> Settled:
    return Settled(word=UNSURE, words=(UNSURE,) * findings, p_worse=(1.0,) * findings)


def _steps(made: int, looks: Sequence[int], errors: Sequence[float], *, live: bool) -> Iterator[tuple[int, float]]:
    for count, error in zip(looks, errors, strict=True):
        if count <= made:
            yield count, error
        elif not live and made not in (0, *looks):
            yield made, error
            return
        else:
            return


def _look(values: Sequence[np.ndarray], margins_log: Sequence[float], error: float) -> Settled:
    known = [each[~np.isnan(each)] for each in values]
    adjusted = _holm([sign_flips(each, margin) for each, margin in zip(known, margins_log, strict=True)])
    # The interval lies wholly before the margin just where the same test the other way round says so.
    within = [sign_flips(-each, -margin) <= error for each, margin in zip(known, margins_log, strict=True)]
    said: tuple[GateWord, ...] = tuple(
        "fail" if p <= error else "pass" if before else "unsure" for p, before in zip(adjusted, within, strict=True)
    )
    word: GateWord = "fail" if "fail" in said else "unsure" if "unsure" in said or not said else "pass"
    return Settled(word=word, words=said, p_worse=adjusted)


def _holm(chances: Sequence[float]) -> tuple[float, ...]:
    """Adjust p-values so that all of them together err no more often than one."""
    adjusted, largest = [1.0] * len(chances), 0.0
    for place, at in enumerate(sorted(range(len(chances)), key=lambda at: chances[at])):
        largest = max(largest, min(1.0, (len(chances) - place) * chances[at]))
        adjusted[at] = largest
    return tuple(adjusted)


def judge(session: Session) -> Judgement:
    """Judge a gate's session by what it declared; UsageError where it declared none.

    What was measured is judged just as it was live: at the first of the declared looks that decides, and else at the
    last that was taken.
    """
    gate = declared(session)
    _check_made(session, gate)
    trials = Trials(session, GATE)
    looked = _looked(trials, gate, live=session.interrupted)
    settled, findings = looked.settled, _findings(trials, gate, looked)
    confirmation, word = _confirmed(session, gate, looked)
    blocks = len(trials.blocks(gate.base, gate.head))
    again, smallest, unlike = beside.itself(session, gate, settled.blocks or blocks)
    judgement = Judgement(
        word=word,
        sentence="",
        base=gate.arms.get(gate.base, gate.base),
        head=gate.arms.get(gate.head, gate.head),
        findings=findings,
        confirmation=confirmation,
        again=again,
        smallest=smallest,
        look=settled.look,
        looks=len(gate.looks),
        blocks=blocks,
        void=beside.void(session, gate),
        left_out=looked.missing,
        broken=beside.broken(session, gate),
        warnings=(*filter(None, [sameness(session)]), *unlike, *beside.warned(session, gate), *session.notices),
    )
    if judgement.broken:
        judgement = replace(judgement, word="fail")
    elif judgement.word == "pass" and (why := _unfair(trials, gate)):
        sentence = words.framed(f"Unsure: {why}: see why, and gate again", session)
        return replace(judgement, word="unsure", sentence=sentence)
    return replace(judgement, sentence=words.sentence(judgement, session))


def _check_made(session: Session, gate: Gate) -> None:
    """Refuse a gate's own runs that were not made as it says; those of other sessions were looked at in theirs."""
    parts = [part for part in session.plan.parts if part.name in (GATE, AGAIN, CONFIRM)] if gate.beside else []
    for part in parts:
        for stack in part.stacks:
            check_trials(session, part, stack)


def _unfair(trials: Trials, gate: Gate) -> str | None:
    """Say that head gave nothing much more often than base: what is left is no fair sample. None where it is one."""
    valid = {arm: {run.block for run in trials.tried(arm) if run.status == "ok"} for arm in (gate.base, gate.head)}
    void = {arm: {run.block for run in trials.tried(arm) if run.status != "ok"} for arm in (gate.base, gate.head)}
    heads, bases = len(void[gate.head] & valid[gate.base]), len(void[gate.base] & valid[gate.head])
    blocks = len(trials.blocks(gate.base, gate.head))
    if heads < FEWEST_VOID or heads <= VOID * blocks or heads <= 2 * bases:
        return None
    return (
        f"head gave nothing in {heads} of {blocks} blocks in which base was valid, and base in {bases} the other way "
        "round, so that what is left is no fair sample"
    )


def decided(session: Session, part: str) -> bool:
    """Tell, while a gate is measured, whether the looks that its whole blocks have reached decide a part of it."""
    gate = declared(session)
    trials = Trials(session, part)
    if len(trials.whole(gate.base, gate.head)) < gate.looks[0]:
        return False
    only = None if part == GATE else _failed(_looked(Trials(session, GATE), gate))
    return _looked(trials, gate, only, live=True).settled.word != "unsure"


def declared(session: Session) -> Gate:
    """Give what a session declared of its gate; UsageError where it is no gate's."""
    if session.gate is None:
        raise UsageError(
            f"The session {session.name} is no gate's: name two of its stacks with --base and --head, "
            f"such as {', '.join(session.plan.stacks[:2])}."
        )
    if wrong := _wrong(session.gate):
        raise UsageError(f"The session {session.name} declares a gate that cannot be: {wrong}; measure again.")
    return session.gate


def _wrong(gate: Gate) -> str | None:
    """Say what is wrong with a declaration that a file holds; None where nothing is."""
    rising = all(one < other for one, other in itertools.pairwise((0, *gate.looks)))
    sound = {
        "its base and head are not two of its arms": gate.base != gate.head
        and {gate.base, gate.head} <= {*gate.arms},
        "its looks are no rising numbers of blocks": bool(gate.looks) and rising,
        "it has no error for each look": len(gate.errors) == len(gate.looks) and min(gate.errors, default=0) > 0,
        f"its looks spend an error of more than {ERROR:.1%} a side": sum(gate.errors) <= ERROR * (1 + 1e-9),
        "its leading metric has no margin": gate.leading in gate.margins,
        "a margin is of no known metric": {*gate.margins} <= {*TABLE},
        "a margin is not above zero, or is over 100 %": all(0 < margin <= 1 for margin in gate.margins.values()),
    }
    return next((what for what, holds in sound.items() if not holds), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """What the looks at a part came to, and what they were at."""

    settled: Settled
    judged: Sequence[Sheet]
    missing: Mapping[str, str]  # what else was to be judged -> why it is not
    blocks: tuple[int, ...] = ()  # that the last look was at
    error: float  # that it spent


def _looked(trials: Trials, gate: Gate, only: Sequence[Sheet] | None = None, *, live: bool = False) -> _Looked:
    """Look at a part, at each look as if nothing had been measured after it: so a file is judged as it was live.

    `only` has what is judged, where it is not all that can be. `live`: at declared looks alone, since more may come,
    or would have come if nobody had stopped it.
    """
    made = trials.whole(gate.base, gate.head) if live else trials.blocks(gate.base, gate.head)
    looked = _look_at(trials, gate, made, only, gate.errors[0])
    looked = replace(looked, settled=_unsettled(len(looked.judged)))
    for look, (count, error) in enumerate(_steps(len(made), gate.looks, gate.errors, live=live), start=1):
        looked = _look_at(trials, gate, made[:count], only, error)
        looked = replace(looked, settled=replace(looked.settled, look=look, blocks=count))
        if looked.settled.word != "unsure":
            break
    return looked


def _look_at(
    trials: Trials, gate: Gate, blocks: tuple[int, ...], only: Sequence[Sheet] | None, error: float
) -> _Looked:
    here = trials.of(blocks)
    every = [(sheet, left_out(sheet, gate)) for sheet in sheets(here, gate)] if only is None else []
    judged = only if only is not None else [sheet for sheet, why in every if why is None]
    values = [sheet.of(here, gate).worse(blocks) for sheet in judged]
    return _Looked(
        settled=_look(values, [math.log1p(sheet.margin) for sheet in judged], error),
        judged=judged,
        missing={sheet.name: why for sheet, why in every if why is not None},
        blocks=blocks,
        error=error,
    )


def _findings(trials: Trials, gate: Gate, looked: _Looked) -> tuple[Finding, ...]:
    """Say what was found at the last look."""
    told = zip(looked.judged, looked.settled.words, looked.settled.p_worse, strict=True)
    here = trials.of(looked.blocks)
    return tuple(
        finding(
            sheet.of(here, gate),
            looked.blocks,
            word=word,
            p_worse=p,
            error=looked.error,
            gate=gate,
            beside=len(looked.judged),
        )
        for sheet, word, p in told
    )


def _failed(looked: _Looked) -> list[Sheet]:
    return [sheet for sheet, word in zip(looked.judged, looked.settled.words, strict=True) if word == "fail"]


def _confirmed(session: Session, gate: Gate, looked: _Looked) -> tuple[tuple[Finding, ...], GateWord]:
    """Judge the fresh blocks by what had failed; a fail stands where they say the same, and else is unsure."""
    if looked.settled.word != "fail" or not gate.confirm:
        return (), looked.settled.word
    trials = Trials(session, CONFIRM)
    if not trials.blocks(gate.base, gate.head):
        return (), "unsure"
    again = _looked(trials, gate, _failed(looked), live=session.interrupted)
    return _findings(trials, gate, again), "fail" if again.settled.word == "fail" else "unsure"
