"""A judgement in Markdown: for a job's summary and a pull request's comment.

Knows judgements and GitHub's Markdown. Must not know how a word was come to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from gatebench.gate import words
from gatebench.metrics import TABLE, blocks, show
from gatebench.model import Estimate, Finding, Gate, Judgement, Session

MARKER = "<!-- gatebench-gate -->"  # by which a bot finds the comment that it wrote before
TITLES = {"pass": "No regression", "fail": "Regression", "unsure": "Unsure"}
BROKEN = "Broken arm"
UNFAIR = "What is left of it is no fair sample: the figures below do not count."
SPECIAL = re.compile(r"([\\`*_{}\[\]|~#])")
ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"})  # a name after @ would be notified


def page(judgement: Judgement, session: Session, *, again: str = "", where: str = "") -> str:
    """Write a judgement: its word and sentence, a table of findings, warnings, and how it was made.

    `again` is the command that judges the same blocks again, and `where` where it is to be called.
    """
    # Of an arm that broke, its speed is not what is wrong with it.
    title = TITLES[judgement.word] if judgement.broken is None else BROKEN
    broken = [] if judgement.broken is None else [UNFAIR, ""]
    if judgement.broken is not None and judgement.broken not in judgement.sentence:
        broken.insert(0, escaped(judgement.broken))
    lines = [
        MARKER,
        f"## Gate: {title.lower()}{words.kind(session)}",
        "",
        escaped(judgement.sentence),
        "",
        *broken,
        f"Base: {escaped(judgement.base)}. Head: {escaped(judgement.head)}.",
        "",
        *_table(judgement.findings),
    ]
    if judgement.confirmation:
        lines += ["### Fresh blocks, to confirm it", "", *_table(judgement.confirmation)]
    if judgement.again:
        lines += ["### Base beside itself: are both arms measured alike?", "", *_beside(judgement), ""]
        lines += [*(f"- {escaped(line)}" for line in words.smallest(judgement)), ""]
    lines += _told(judgement)
    lines += ["### How it was made", "", *(f"- {line}" for line in _made(judgement, session))]
    if again:
        lines.append(f"- To judge the same blocks again: {_code(again)}{where}.")
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Write any text so that it stays one line, breaks no table and makes nothing bold, linked or hidden."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return SPECIAL.sub(r"\\\1", line.translate(ENTITIES)).replace("&\\#64;", "&#64;")


def _table(findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return ["Nothing could be judged.", ""]
    head = ("Scenario, load", "Metric", "Base", "Head", "Change", "Margin", "Blocks", "Word")
    return [*_grid(head, 5, map(_row, findings)), ""]


def _beside(judgement: Judgement) -> list[str]:
    """Write what base beside itself is measured for, which is no verdict."""
    head = ("Scenario, load", "Metric", "Base", "Again", "Change", "Smallest change told", "Duets", "")
    rows = []
    for each in judgement.again:
        share = judgement.smallest.get(each.metric)
        told = "—" if share is None else f"{100 * share:.2g} %"
        rows.append((*_figures(each), told, str(each.blocks), words.alikeness(each)))
    return _grid(head, 5, rows)


def _grid(head: tuple[str, ...], numbers: int, rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Write a table whose first two columns and whose last are text."""
    every = [head, ("---",) * 2 + ("---:",) * numbers + ("---",), *rows]
    return ["| " + " | ".join(row) + " |" for row in every]


def _row(finding: Finding) -> tuple[str, ...]:
    word = f"**{finding.word}**" + (f": {escaped(finding.reason)}" if finding.reason else "")
    return (*_figures(finding), words.bound(finding), str(finding.blocks), word)


def _figures(finding: Finding) -> tuple[str, ...]:
    metric = TABLE[finding.metric][0]
    return (
        escaped(words.where(finding)),
        escaped(metric.title),
        _value(finding.base, metric.unit),
        _value(finding.head, metric.unit),
        _change(finding.change),
    )


def _value(estimate: Estimate | None, unit: str) -> str:
    return show(None if estimate is None else estimate.value, unit)


def _change(change: Estimate | None) -> str:
    return "—" if change is None else f"{words.percent(change.value)} ({words.interval(change)})"


def _told(judgement: Judgement) -> list[str]:
    """List what was not judged, warnings and void trials, each under a title where there are any."""
    titles = [
        ("Not judged", [f"{what}: {why}" for what, why in words.left_out(judgement)]),
        ("Warnings", judgement.warnings),
        ("Trials that gave nothing", [f"{count}: {reason}" for reason, count in judgement.void.items()]),
    ]
    return [
        line
        for title, texts in titles
        if texts
        for line in (f"### {title}", "", *(f"- {escaped(text)}" for text in texts), "")
    ]


def _made(judgement: Judgement, session: Session) -> Iterator[str]:
    gate, machine = session.gate, session.machine
    if gate is not None:
        yield _looked(judgement, gate)
        yield f"Base and head were measured {_how(session, gate)}, and are paired block by block."
    yield escaped(f"{machine.cpu}, {machine.cpus} CPUs, {machine.system}; backend {session.backend}.")
    begun = _begun(session.started_at, session.plan.seed, session.commit)
    if (base := session.base_from) is not None:
        yield escaped(f"Base, session {base.name}: begun {_begun(base.started_at, base.seed, base.commit)}.")
        yield escaped(f"Head, session {session.name}: begun {begun}.")
    else:
        yield escaped(f"Begun {begun}.")


def _how(session: Session, gate: Gate) -> str:
    if session.base_from is not None:
        return "in two sessions, at different times"
    return "at the same time on the same CPUs" if gate.beside else "before, in trials of their own"


def _begun(started_at: str, seed: int, commit: str | None) -> str:
    return f"{started_at}, seed {seed}, commit {commit or 'not known'}"


def _looked(judgement: Judgement, gate: Gate) -> str:
    error = f"{float(f'{sum(gate.errors) * 100:.3g}'):g} % of error on each side in all"
    if not gate.budget_s:  # nothing was declared before these were measured
        return f"{blocks(judgement.blocks)}, looked at once, all of them, with {error.removesuffix(' in all')}."
    said = f"{blocks(judgement.blocks)}; looks declared after {', '.join(map(str, gate.looks))}, with {error}"
    decided = judgement.look and judgement.word != "unsure" and not judgement.broken
    return f"{said}; look {judgement.look} decided." if decided else f"{said}."


def _code(text: str) -> str:
    """Write a command; as text where a code span could not hold it."""
    return escaped(text) if "`" in text or not text.isprintable() else f"`{text}`"
