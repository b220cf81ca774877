"""A judgement in Markdown: for a job's summary and a pull request's comment.

Knows judgements and GitHub's Markdown. Must not know how a word was come to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gatebench.gate import words
from gatebench.metrics import TABLE, blocks, show
from gatebench.model import Estimate, Finding, Gate, Judgement, Session

MARKER = "<!-- gatebench-gate -->"  # by which a bot finds the comment that it wrote before
TITLES = {"pass": "No regression", "fail": "Regression", "unsure": "Unsure"}
BROKEN = "Broken arm"
UNFAIR = "What is left of it is no fair sample: the figures below do not count."
SPECIAL = re.compile(r"([\\`*_{}\[\]|~#])")
ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"})  # a name after @ would be notified


def page(judgement: Judgement, session: Session) -> str:
    """Write a judgement: its word and sentence, a table of findings, warnings, and how it was made."""
    # Of an arm that broke, its speed is not what is wrong with it.
    title = TITLES[judgement.word] if judgement.broken is None else BROKEN
    broken = [] if judgement.broken is None else [UNFAIR, ""]
    if judgement.broken not in (None, judgement.sentence):
        broken.insert(0, escaped(judgement.broken or ""))
    lines = [
        MARKER,
        f"## Gate: {title.lower()}",
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
        lines += ["### Base beside itself, where nothing should be found", "", *_table(judgement.again)]
    lines += _told(judgement)
    lines += ["### How it was made", "", *(f"- {line}" for line in _made(judgement, session))]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Write any text so that it stays one line, breaks no table and makes nothing bold, linked or hidden."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return SPECIAL.sub(r"\\\1", line.translate(ENTITIES)).replace("&\\#64;", "&#64;")


def _table(findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return ["Nothing could be judged.", ""]
    head = ("Scenario, load", "Metric", "Base", "Head", "Change", "Margin", "Blocks", "Word")
    rows = [head, ("---",) * 2 + ("---:",) * 5 + ("---",), *map(_row, findings)]
    return [*("| " + " | ".join(row) + " |" for row in rows), ""]


def _row(finding: Finding) -> tuple[str, ...]:
    metric = TABLE[finding.metric][0]
    word = f"**{finding.word}**" + (f": {escaped(finding.reason)}" if finding.reason else "")
    return (
        escaped(words.where(finding)),
        escaped(metric.title),
        _value(finding.base, metric.unit),
        _value(finding.head, metric.unit),
        _change(finding.change),
        words.bound(finding),
        str(finding.blocks),
        word,
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
        how = "at the same time on the same CPUs" if gate.beside else "before, in trials of their own"
        yield f"Base and head were measured {how}, and are paired block by block."
    for metric, share in judgement.smallest.items():
        name = words.name_of(metric)
        yield f"The smallest change of {name} that so many blocks can tell here today: {share * 100:.2g} %."
    yield escaped(f"{machine.cpu}, {machine.cpus} CPUs, {machine.system}; backend {session.backend}.")
    yield escaped(f"Begun {session.started_at}, seed {session.plan.seed}, commit {session.commit or 'not known'}.")
    if gate is None or gate.beside:
        yield (
            f"To judge the same blocks again: `gatebench gate RESULTS/{_code(session.name)}.jsonl`, where RESULTS is "
            "the folder with the results file: `results`, here or in the artifact, unless `--out` named another."
        )


def _looked(judgement: Judgement, gate: Gate) -> str:
    error = f"{float(f'{sum(gate.errors) * 100:.3g}'):g} % of error on each side in all"
    said = f"{blocks(judgement.blocks)}; looks declared after {', '.join(map(str, gate.looks))}, with {error}"
    return f"{said}; look {judgement.look} decided." if judgement.look and judgement.word != "unsure" else f"{said}."


def _code(text: str) -> str:
    """Write a session's name as it stands in a command; whatever no name holds is left out."""
    return re.sub(r"[^\w.+=-]", "", text)
