"""What judging found to the text of the page: what it says and in which order.

Knows all values that the templates show. Must not judge, nor write files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gatebench.claims import DECIDED, SILENT
from gatebench.metrics import TABLE, blocks
from gatebench.model import Load, Session
from gatebench.own import NAME as OWN_SCENARIO
from gatebench.report import across, choosing, curves, exploring, factors, ledger, setup, templating, waterfall
from gatebench.report.found import Found
from gatebench.report.language import Language
from gatebench.report.ledger import Measured, PublishedTable, Row
from gatebench.stats import ENOUGH, LEVEL

SCRIPTS = ("dataTables.min.js", "page.js")
FILES = ("cells", "comparisons", "runs", "void")  # beside the page, always


def content(found: Found, sources: Sequence[str], say: Language) -> dict[str, Any]:
    """Give everything the templates show, by name; `sources` names the results files beside the page."""
    session = found.session
    valid = sum(run.status == "ok" for run in session.runs)
    # Nobody published anything about an app of one's own.
    drawn, beside = curves.curves(found, say), across.across(found, say)
    anchors = {each.title: each.anchor for each in drawn}
    published = () if {*session.scenarios} == {OWN_SCENARIO} else ledger.tables(found, say, anchors)
    measured = [(row, each) for table in published for row in table.rows for each in row.measured]
    ratios = sum(each.ratio is not None for each in found.comparisons)
    decided = sum(each.word in DECIDED and each.has_figure for _, each in measured)
    return {
        "session": session,
        "valid": valid,
        "several": found.several,
        "banners": _banners(session, valid, say),
        "summary": _summary(session, valid, published, say),
        "tiles": ledger.tiles(published),
        "published": published,
        "forests": factors.forests(found, say) if published else (),
        "across": beside,
        "folded": {part for each in beside for part in each.parts},
        "falls": waterfall.falls(found, say),
        "curves": drawn,
        "questions": choosing.questions(found, say),
        "moving": choosing.moving(found, say),
        "columns": exploring.heads(say),
        "rows": list(exploring.rows(found, say)),
        "related": exploring.related(found),
        "spoken": setup.spoken(session),
        "ratios": ratios,
        "decided": decided,
        "misses": _by_chance(ratios, say),
        "wrong": _by_chance(decided, say),
        "share": setup.measuring_share(session),
        "facts": setup.facts(session, say),
        "head": setup.head(session, say),
        "matrices": setup.matrices(found, say),
        "rejected": setup.rejected(found, say),
        "files": (*FILES, *(("capabilities",) if any(run.capabilities for run in session.runs) else ()), "columns"),
        "sources": sources,
        "loads": _loads(session, say),
    }


def html(values: dict[str, Any], say: Language) -> str:
    """Give the page, with its style and scripts within and nothing else allowed."""
    scripts = [templating.text_of("script", name) for name in SCRIPTS]
    own = {
        "scripts": [templating.own(script) for script in scripts],
        "script_digests": [templating.digest(script) for script in scripts],
        "state": templating.own(state(values, say)),  # JSON in which no tag can begin or end
    }
    return templating.html("report.html.j2", values | own, say)


def markdown(values: dict[str, Any], say: Language) -> str:
    """Give the same in Markdown, without figures."""
    return templating.markdown("report.md.j2", values, say)


def _banners(session: Session, valid: int, say: Language) -> list[tuple[str, str]]:
    found = []
    if session.surroundings.get("network") == "bridge":
        inside = session.surroundings.get("generator") == "container"
        text = (
            say("Containers were on a bridge, and the generator among them: load went over their own loopback.")
            if inside
            else say("Containers were on a bridge: what its published ports cost is part of every figure.")
        )
        found.append(("note", text))
    if session.backend == "fake":
        text = say("The figures of this page are invented: the session tests the pipeline and measured nothing.")
        found.append(("alarm", text))
    if not valid:
        text = say("No trial of this session is valid, so the page holds no figure; the last section says why.")
        found.append(("alarm", text))
    fewest = _fewest(session)
    if valid and fewest < ENOUGH:
        text = say(
            "Some cells have {fewest} only: their intervals are wide, rest on an assumption that {enough} blocks "
            "would not need, and are marked few.",
            fewest=say.told(blocks(fewest)),
            enough=ENOUGH,
        )
        found.append(("note", text))
    if session.interrupted:
        text = say(
            "The session was interrupted after {trials} trials; the page shows these.", trials=len(session.runs)
        )
        found.append(("note", text))
    if shared := session.placement.shared:
        found.append(("note", say("CPUs were not apart: {shared}.", shared=say.told(shared))))
    return found + [("note", say.told(notice)) for notice in session.notices]


def _fewest(session: Session) -> int:
    """Give the smallest number of blocks of a part; what is spoken once is no figure."""
    measured = [
        part.blocks for part in session.plan.parts if any(each.load.kind != "speak" for each in part.measures)
    ]
    return min(measured, default=ENOUGH)


def _summary(session: Session, valid: int, published: Sequence[PublishedTable], say: Language) -> str:
    said = [say("{valid} of {all} trials are valid.", valid=f"{valid:,}", all=f"{len(session.runs):,}")]
    if words := ledger.words(published):
        measured = {word: count for word, count in words.most_common() if word not in (*SILENT, "void")}
        counts = (say("{word} ({count})", count=count, word=say.told(word)) for word, count in measured.items())
        said.append(
            say(
                "Of the {all} published rows {measured} were measured, by their first pairs: {words}.",
                all=words.total(),
                measured=sum(measured.values()),
                words=say(", ").join(counts),
            )
            if measured
            else say("None of the {all} published rows was measured.", all=words.total())
        )
        if void := words["void"]:
            said.append(
                say("Besides, {count} were tried, and their first pairs are void.", count=void)
                if void > 1
                else say("Besides, 1 was tried, and its first pair is void.")
            )
    if found := ledger.tiles(published):
        pair = found[0].first.wsgi_stack, found[0].first.asgi_stack
        same = [each for each in found if (each.first.wsgi_stack, each.first.asgi_stack) == pair]
        said.append(say("How many times better {asgi} did than {wsgi}:", asgi=pair[1], wsgi=pair[0]))
        said.append(say("{rows}.", rows=say(", ").join(_said(each.row, each.first, say) for each in same)))
    return say.sentences(said)


def _said(row: Row, each: Measured, say: Language) -> str:
    return say(
        "{row}, {load}: {factor} ({interval}; published {published}: {word})",
        row=row.label,
        load=each.load,
        factor=each.factor.value,
        interval=each.factor.interval,
        published=row.factor,
        word=say.told(each.word),
    )


def _by_chance(count: int, say: Language) -> str:
    expected = (1 - LEVEL) * count
    return say("less than one") if expected < 1 else say("about {count}", count=f"{expected:.0f}")


def _loads(session: Session, say: Language) -> list[tuple[str, str]]:
    """Say of each kind of load that the session has what it means."""
    kinds = dict.fromkeys(Load.parse(run.load).kind for run in session.runs)
    means = {
        "closed": say("As many users, each of whom sends the next request when the last one has been answered."),
        "hold": say("As many connections are offered; how many are opened and kept is counted."),
        "search": say("The highest rate of arrivals whose p99 stays below so many ms, confirmed by a second window."),
        "open": say("As many requests a second at even distances, sent however slow the answers are."),
        "poisson": say("As many requests a second at random, as many users send who know nothing of each other."),
        "speak": say("Each protocol is spoken once, and what comes back is noted."),
    }
    streamed = say("As many requests at a time over TLS, in the version of HTTP that the load's name has.")
    knocked = say(
        "Beside it fresh connections are opened; those answered count among the requests that CPU is divided by."
    )
    beside = [("knock", knocked)] if any(part.knock for part in session.plan.parts) else []
    return [*((kind, means.get(kind, streamed)) for kind in kinds), *beside]


def state(values: Mapping[str, Any], say: Language) -> str:
    """Give what the page's script needs, as JSON that can stand in a page."""
    words = {
        "search": say("Search"),
        "all": say("all"),
        "shown": say("{shown} of {all} rows"),
        "nothing": say("No row fits; loosen a filter."),
        "own": say("the figures themselves"),
        "interval": say("{low} to {high}"),
        "same": say("the same in all blocks"),
        "link": say("Link to this view"),
        "copied": say("The link is in the clipboard."),
    }
    text = json.dumps(
        {
            "words": words,
            "related": values["related"],
            "metrics": [TABLE[each][0].better for each in exploring.COLUMNS],
        },
        ensure_ascii=True,
        separators=(",", ":"),
    )
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
