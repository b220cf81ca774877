"""A judgement in the forms that other programs read, each under the name of its file.

Knows judgements and those forms. Must not know how a word was come to, nor write files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from gatebench.gate import markdown, words
from gatebench.metrics import TABLE
from gatebench.model import Estimate, Finding, Judgement, Session
from gatebench.records import encode

VERSION = 1  # of gate.json; raised when a field changes its meaning
SCALES = {"s": (1e3, "ms")}  # a page of curves is easier to read so
NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
THROUGHPUT = "throughput"  # Bencher's own measure of operations a second
PER_S, US = "rate_rps", 1e6


def document(judgement: Judgement, session: Session) -> str:
    """Write the whole judgement with what was declared for it: `gate.json`."""
    whole = {
        "kind": "gate",
        "format_version": VERSION,
        "session": session.name,
        "started_at": session.started_at,
        "commit": session.commit,
        "base_from": None if session.base_from is None else encode(session.base_from),
        "backend": session.backend,
        "machine": encode(session.machine),
        "declared": None if session.gate is None else encode(session.gate),
        "judgement": encode(judgement),
    }
    return _json(whole)


def junit(judgement: Judgement, session: Session) -> str:
    """Write a test case a finding: a fail that stands is a failure, whatever else is no pass is an error.

    An arm that broke is a failure of its contract; what was to be judged and was not is skipped.
    """
    suite = ET.Element("testsuite", name="gatebench gate", timestamp=session.started_at[:19])
    for finding in judgement.findings:
        case = _case(suite, f"gate.{words.where(finding)}", TABLE[finding.metric][0].title)
        _outcome(case, finding, judgement, session)
    if judgement.broken is not None:
        _told(_case(suite, "gate", "contract"), "failure", judgement.broken, judgement.sentence, kind="broken")
    if judgement.word != "pass" and not any(
        len(case) for case in suite
    ):  # what no finding tells is told by the whole
        _told(_case(suite, "gate", "verdict"), "error", "nothing is told by a finding", judgement.sentence)
    for what, why in judgement.left_out.items():
        ET.SubElement(_case(suite, "gate.left out", what), "skipped", message=_clean(why))
    paths = {"tests": "testcase", "failures": "*/failure", "errors": "*/error", "skipped": "*/skipped"}
    counts = {name: str(len(suite.findall(path))) for name, path in paths.items()}
    for name, count in counts.items():
        suite.set(name, count)
    _text(ET.SubElement(suite, "system-out"), judgement.sentence)
    root = ET.Element("testsuites", {name: counts[name] for name in ("tests", "failures", "errors")})
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _outcome(case: ET.Element, finding: Finding, judgement: Judgement, session: Session) -> None:
    """Say what became of a finding, and why: of itself, whatever the others came to."""
    if finding.word == "pass":
        return
    text = words.told(finding, judgement, session) if finding.blocks else judgement.sentence
    change = "no figure" if finding.change is None else words.percent(finding.change.value)
    said = f"{change}, margin {words.bound(finding)}{words.kind(session)}"
    if judgement.broken is not None:  # what it is called a regression for may be that
        _told(case, "error", f"{said}: an arm broke", judgement.sentence)
    elif words.stands(finding, judgement):
        _told(case, "failure", said, text)
    elif finding.word == "fail":
        _told(case, "error", f"{said}: not confirmed", text)
    else:
        _told(case, "error", f"{said}: {finding.reason or 'not decided'}", text)


def _case(suite: ET.Element, place: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=_clean(place), name=_clean(name))


def _told(case: ET.Element, what: str, message: str, text: str, *, kind: str | None = None) -> None:
    kind = kind or {"failure": "regression", "error": "unsure"}[what]
    _text(ET.SubElement(case, what, message=_clean(message), type=kind), text)


def _text(element: ET.Element, text: str) -> None:
    element.text = _clean(text)


def _clean(text: str) -> str:
    """Replace what no XML may hold, such as a terminal's colours in a server's log."""
    return NO_XML.sub("\ufffd", text)


def github_action_benchmark(judgement: Judgement, session: Session) -> str:
    """Write head's figures as that action's `customSmallerIsBetter` has them; a rate becomes a time per request."""
    entries = [
        {
            "name": f"{_stack(session)}, {words.where(each.finding)}: {each.name}",
            "unit": each.unit,
            "value": each.value,
            **({"range": each.range} if each.range else {}),
            "extra": each.extra,
        }
        for each in _smaller_is_better(judgement)
    ]
    return _json(entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Smaller:
    """One figure of which less is better."""

    finding: Finding
    name: str
    unit: str
    value: float
    range: str | None
    extra: str


def _smaller_is_better(judgement: Judgement) -> Iterator[_Smaller]:
    for finding in judgement.findings:
        metric, head = TABLE[finding.metric][0], finding.head
        if head is None:
            continue
        if metric.better == "lower":
            factor, unit = SCALES.get(metric.unit, (1.0, metric.unit))
            ends, name = [head.value, head.low, head.high], metric.title
        elif metric.name == PER_S:
            factor, unit, name = US, "µs", "Time per request (1 / requests per second)"
            ends = [1 / end if end else None for end in (head.value, head.high, head.low)]
        else:  # nothing that is smaller where it is better
            continue
        value, low, high = (None if end is None else end * factor for end in ends)
        if value is not None:
            spread = None if low is None or high is None else f"{low:.6g} to {high:.6g}"
            yield _Smaller(finding=finding, name=name, unit=unit, value=value, range=spread, extra=_extra(finding))


def _extra(finding: Finding) -> str:
    change = finding.change
    beside = "no change known" if change is None else f"{words.percent(change.value)} ({words.interval(change)})"
    name = TABLE[finding.metric][0].title
    lines = f"{name} of head against base: {beside}", f"margin {words.bound(finding)}: {finding.word}"
    return "\n".join([*lines, f"blocks: {finding.blocks}"])


def bencher(judgement: Judgement, session: Session) -> str:
    """Write head's figures in Bencher's Metric Format: benchmark, measure, value with its ends."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for finding in judgement.findings:
        if finding.head is not None:
            measures = found.setdefault(f"{_stack(session)}, {words.where(finding)}", {})
            measures[_slug(finding.metric)] = _ends(finding.head)
    return _json(found)


def _ends(estimate: Estimate) -> dict[str, float]:
    ends = {"value": estimate.value, "lower_value": estimate.low, "upper_value": estimate.high}
    return {name: end for name, end in ends.items() if end is not None}


def _slug(metric: str) -> str:
    return THROUGHPUT if metric == PER_S else metric.replace("_", "-")


def _stack(session: Session) -> str:
    """Name the stack that head is, so that its curve goes on from one gate to the next."""
    return "" if session.gate is None else session.gate.head.removeprefix("head:")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


FORMATS: Mapping[str, Callable[[Judgement, Session], str]] = {
    "gate.json": document,
    "gate.md": markdown.page,
    "junit.xml": junit,
    "github-action-benchmark.json": github_action_benchmark,
    "bencher.json": bencher,
}
