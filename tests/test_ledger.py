"""The ledger: every published row once, its pair first, and where its evidence is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import everything
import pytest
import sessions
from browsing import browser, opened
from pages import Page
from playwright.sync_api import Browser, expect
from sessions import FASTAPI, GTHREAD, SYNC, Truth

from gatebench import claims, report
from gatebench.metrics import TIMES
from gatebench.model import Run, Session
from gatebench.report import factors, ledger
from gatebench.report.curves import curves
from gatebench.report.drawing.looks import LONGEST, fit
from gatebench.report.found import Found, find
from gatebench.report.grounds import Link, apart
from gatebench.report.language import Language, language
from gatebench.report.ledger import PublishedTable, Row

PLAIN = language("en")
FLAGSHIP = ("plain closed(64)", "db closed(64)", "external closed(64)", "websocket hold(2000)")


def made(found: Found, say: Language = PLAIN) -> tuple[PublishedTable, ...]:
    return ledger.tables(found, say, {each.title: each.anchor for each in curves(found, say)})


def rows(tables: tuple[PublishedTable, ...]) -> dict[str, Row]:
    return {row.claim.name: row for table in tables for row in table.rows}


def page_of(folder: Path, session: Session) -> str:
    return report.build(sessions.write(folder, session), folder / "out").page.read_text(encoding="utf-8")


def ledger_of(text: str) -> str:
    found = re.search(r'<section id="ledger">.*?</section>', text, flags=re.DOTALL)
    assert found
    return found[0]


@pytest.fixture(scope="module")
def whole() -> Found:
    return find(everything.session(parts=everything.parts(blocks=3)))


@pytest.fixture(scope="module")
def found(whole: Found) -> dict[str, Row]:
    return rows(made(whole))


@pytest.fixture(scope="module")
def flagship(tmp_path_factory: pytest.TempPathFactory) -> str:
    return page_of(tmp_path_factory.mktemp("flagship"), sessions.session(measures=FLAGSHIP, blocks=6))


def test_every_published_row_stands_on_the_page_once_and_in_its_order(flagship: str, found: dict[str, Row]) -> None:
    anchors = re.findall(r'<tbody id="(row-[^"]+)"', flagship)
    assert anchors == [row.anchor for row in found.values()]
    assert list(found) == [claim.name for claim in claims.load()]
    assert len(set(anchors)) == len(anchors)


def test_a_row_shows_the_published_pair_and_folds_the_others_away(found: dict[str, Row]) -> None:
    simple = found["performance.simple"]
    assert [(each.wsgi_stack, each.asgi_stack) for each in simple.first] == [(SYNC, FASTAPI)]
    assert len(simple.others) == len(simple.measured) - 1 > 1


def test_a_row_that_depends_shows_every_profile(found: dict[str, Row]) -> None:
    external = found["performance.external"]
    assert external.measured[0].word == "depends"
    assert [each.asgi_stack for each in external.first] == [FASTAPI, f"{FASTAPI}@default", f"{FASTAPI}@tuned"]
    assert external.first[0].brief == "the profiles disagree"


def test_a_row_whose_published_pair_is_void_shows_the_first_figure_too() -> None:
    def spoil(run: Run) -> Run:
        return sessions.make_void(run) if run.stack == SYNC else run

    session = sessions.session(measures=("plain closed(64)",), blocks=2, spoil=spoil)
    row = rows(made(find(session)))["performance.simple"]
    assert [(each.word == "void", each.wsgi_stack) for each in row.first] == [(True, SYNC), (False, GTHREAD)]
    assert row.others == ()


def test_every_row_that_rests_on_trials_says_where_they_are(found: dict[str, Row]) -> None:
    for name, row in found.items():
        assert row.silent or all(each.evidence for each in row.measured), name
        assert not row.silent or not row.measured[0].evidence, name


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("performance.simple", ["WSGI", "ASGI"]),
        ("rules.high_load", ["load curve"]),
        ("rules.rest", ["load curve"]),
        ("protocols.http_2", ["what was spoken"]),
        ("servers.wsgi.uWSGI", ["ranking", "raw_wsgi+uwsgi"]),
        ("overview.compatible", [everything.BRIDGED, everything.UNBRIDGED]),
        ("rules.one_at_once", [SYNC]),
        ("frameworks.asgi.Sanic", ["sanic+uvicorn"]),
    ],
)
def test_evidence_is_of_the_kind_that_the_row_rests_on(found: dict[str, Row], name: str, texts: list[str]) -> None:
    assert [link.text for link in found[name].measured[0].evidence] == texts


def test_evidence_of_one_name_says_where_it_is_and_no_more_than_tells_it_apart() -> None:
    cells = [("plain", "closed(1)", "part"), ("plain", "closed(16)", "part"), ("db", "closed(1)", "part")]
    named = [Link(anchor=str(where), text=FASTAPI, where=where) for where in cells]
    alone = Link(anchor="alone", text=SYNC, where=cells[0])
    assert [each.text for each in apart([*named, alone, Link(anchor="choose", text="ranking")])] == [
        f"{FASTAPI} (plain, closed(1))",
        f"{FASTAPI} (plain, closed(16))",
        f"{FASTAPI} (db)",
        SYNC,
        "ranking",
    ]


def test_a_curve_is_found_in_every_language(whole: Found, found: dict[str, Row]) -> None:
    chinese = rows(made(whole, language("zh-Hant")))["rules.high_load"].measured
    assert [each.evidence[0].anchor for each in chinese] == [
        each.evidence[0].anchor for each in found["rules.high_load"].measured
    ]


def test_a_stack_is_not_taken_for_one_whose_name_begins_alike(whole: Found, found: dict[str, Row]) -> None:
    anchors = [each.evidence[0].anchor for each in found["rules.one_at_once"].measured]
    stacks = [
        cell.key.stack for anchor in anchors for cell in whole.cells if whole.anchors[tuple(cell.key)] == anchor
    ]
    assert stacks == [SYNC, everything.TWO, everything.FOUR]


def test_a_row_that_follows_another_names_it_by_its_label_and_no_key_is_on_the_page(
    found: dict[str, Row], flagship: str
) -> None:
    rest, high = found["rules.rest"], found["rules.high_load"]
    assert rest.follows
    assert (rest.follows.anchor, rest.follows.text) == (high.anchor, high.label)
    assert [each.why for each in rest.measured] == [each.why for each in high.measured]
    upkeep = found["connections_10000.upkeep"]
    assert upkeep.near
    assert upkeep.near.anchor == found["connections_10000.memory"].anchor
    said = Page(ledger_of(flagship)).text
    assert not re.findall(r"\b(?:as|it is) (\w+\.\w+)", said)


def test_a_part_is_called_by_its_title_in_a_reason() -> None:
    part = sessions.part("connections.ws_10000", (GTHREAD, FASTAPI), ("websocket hold(10000)",), blocks=2)
    session = sessions.session(parts=[replace(part, title="10,000 WebSockets")])
    reasons = [each.why for each in rows(made(find(session)))["connections_10000.threads"].measured]
    assert all(why.startswith("10,000 WebSockets: ") for why in reasons)


def test_what_is_not_yet_measured_is_folded_with_the_command_that_would(tmp_path: Path) -> None:
    session = sessions.session(measures=("plain closed(64)",), blocks=2)
    tables = {table.name: table for table in made(find(session))}
    assert tables["servers"].lacking == len(tables["servers"].rows)
    assert tables["servers"].commands == ("gatebench run --plan servers --part servers.order",)
    # Rows of the flagship's own plan have no part to name; the others name theirs.
    assert tables["performance"].commands[-1] == ("gatebench run --plan connections --part connections.waiting_1000")
    text = ledger_of(page_of(tmp_path, session))
    folded = re.findall(r'<details class="folded">\s*<summary>(.*?):', text)
    assert {"Servers", "10,000 concurrent connections"} <= {*folded}  # in the second a row cannot be measured
    assert "Performance" not in folded
    assert "1 of 1 not yet measured" in text


def test_a_row_whose_part_has_no_figure_says_so_and_asks_for_no_part() -> None:
    session = sessions.session(stacks=(FASTAPI,), measures=("plain closed(64)",), blocks=2)
    simple = rows(made(find(session)))["performance.simple"]
    assert simple.measured[0].word == "not yet measured"
    assert not simple.lacking
    assert "has no figure" in simple.measured[0].brief


def test_a_tile_names_pair_and_load_and_the_range_over_all_pairs(flagship: str) -> None:
    tiles = re.findall(r'<li>\s*<a class="tile-label".*?</li>', flagship, flags=re.DOTALL)
    assert len(tiles) == 4
    first = Page(tiles[0]).text
    assert f"{FASTAPI} against {SYNC}, 64 users" in first
    assert re.search(rf"[\d.]+{TIMES} to [\d.]+{TIMES} over 2 pairs and loads", first)
    assert "2,000 connections" in Page(tiles[3]).text
    links = [link for tile in tiles for link in Page(tile).attributes("href")]
    assert {link[1:] for link in links} <= set(Page(flagship).attributes("id"))


def test_where_both_sides_kept_all_there_is_no_factor_and_no_tile(whole: Found, found: dict[str, Row]) -> None:
    pairs = {(each.wsgi_stack, each.asgi_stack): each for each in found["performance.websocket"].measured}
    both = pairs[everything.GEVENT, everything.HYPERCORN]
    assert (both.word, both.factor.value, both.has_figure) == ("undecided", "—", False)
    assert "both kept all that were offered (at least 20,000), so the factor is not known" in both.why
    assert not [tile for tile in ledger.tiles(made(whole)) if not tile.first.has_figure]


@pytest.mark.parametrize("both", [1, 2])
def test_pairs_that_kept_all_on_both_sides_are_counted_beside_a_tiles_range(tmp_path: Path, both: int) -> None:
    asgi = (FASTAPI, everything.HYPERCORN)[:both]
    session = sessions.session(
        stacks=(GTHREAD, everything.GEVENT, *asgi),
        measures=("websocket hold(2000)",),
        blocks=6,
        truth=Truth(kept=lambda stack, scenario, size: 16 if stack == GTHREAD else size),
    )
    [tile] = ledger.tiles(made(find(session)))
    assert (tile.first.factor.value, tile.pairs, tile.tied) == (f"≥ 125{TIMES}", both, both)
    said = f"{both} pair{'s' * (both > 1)} kept all on both sides"
    assert said in Page(page_of(tmp_path, session)).text


def test_a_row_whose_first_pair_is_void_has_no_tile_and_is_not_counted_as_measured(tmp_path: Path) -> None:
    def spoil(run: Run) -> Run:
        return sessions.make_void(run) if run.stack == SYNC and run.scenario == "plain" else run

    session = sessions.session(measures=("plain closed(64)", "db closed(64)"), blocks=2, spoil=spoil)
    tables = made(find(session))
    assert rows(tables)["performance.simple"].first[1].has_figure
    assert [tile.row.claim.key for tile in ledger.tiles(tables)] == ["database"]
    text = page_of(tmp_path, session)
    counted = re.search(r"Of the 84 published rows (\d+) were measured, [^.]*: (.*?)\. ", text)
    assert counted
    assert sum(int(each) for each in re.findall(r"\((\d+)\)", counted[2])) == int(counted[1])
    assert "void" not in counted[2]
    assert "Besides, 1 was tried, and its first pair is void." in text


def test_a_row_whose_other_pairs_say_something_else_says_so_where_they_are_folded_away(
    found: dict[str, Row], flagship: str
) -> None:
    for row in found.values():
        words = [each.word for each in row.others]
        assert dict(row.differing) == (
            {word: words.count(word) for word in words} if {*words} - {row.measured[0].word} else {}
        )
    assert any(row.differing for row in found.values())
    assert re.search(r"<summary>[^<]*other pairs, loads and profiles \(\d+\): \d+ \w+", flagship)


def test_what_is_done_and_what_it_takes_are_figures_of_their_own(whole: Found) -> None:
    rates, resources = (str(each.svg) for each in factors.forests(whole, PLAIN))
    assert "Database query" in rates
    assert "Database query" not in resources
    assert "Memory at 1000 concurrent" in resources
    assert "Memory at 1000 concurrent" not in rates


def test_a_long_reason_is_cut_where_a_clause_ends_and_none_of_it_is_lost(found: dict[str, Row]) -> None:
    cut = [each for row in found.values() for each in row.measured if each.rest]
    assert cut
    assert all(f"{each.brief}; {each.rest}" == each.why for each in cut)


def test_the_page_says_how_many_rows_were_measured(flagship: str, tmp_path: Path) -> None:
    assert re.search(r"Of the 84 published rows \d+ were measured, by their first pairs: \w+ \(\d+\)", flagship)
    nothing = replace(sessions.session(blocks=2), runs=())
    assert "None of the 84 published rows was measured." in page_of(tmp_path, nothing)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("flask+gunicorn-sync", "flask+gunicorn-sync"),
        (
            "flask+gunicorn-gthread[keep_alive_s=300,threads=1100,worker_connections=2000]",
            "flask+gunicorn-gthread[keep_alive_s=300,…]",
        ),
        (f"nginx[asgi={FASTAPI},stage=1,wsgi={GTHREAD}]", f"nginx[asgi={FASTAPI},stage=1,…]"),
        ("a" * 40 + "b" * 40, "a" * 25 + "…" + "b" * 24),
        ("a[,,]\n" * 3, "a[,,] a[,,] a[,,] "),
    ],
)
def test_a_long_name_loses_its_last_settings_first_and_never_its_end(name: str, shown: str) -> None:
    assert fit(name) == shown
    assert len(shown) <= LONGEST


def test_the_columns_are_row_claimed_measured_factor_verdict_and_evidence(flagship: str) -> None:
    text = ledger_of(flagship)
    head = re.search(r"<thead>.*?</thead>", text, flags=re.DOTALL)
    assert head
    assert re.findall(r"<th[^>]*>(.*?)</th>", head[0]) == [
        "Row",
        *(f"{kind}: {side}" for kind in ("Claimed", "Measured") for side in ("WSGI", "ASGI", "Factor")),
        "Verdict",
        "Evidence",
    ]
    row = re.search(r'<tbody id="row-performance-simple">.*?</tr>', text, flags=re.DOTALL)
    assert row
    labels = re.findall(r'data-label="([^"]+)"', row[0])
    assert labels == re.findall(r"<th[^>]*>(.*?)</th>", head[0])[1:]
    assert re.search(r'data-label="Evidence"><span><a href="#cell-[^"]+">WSGI</a>', row[0])


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("folded", [True, False])
def test_the_ledger_fits_its_window_with_every_column(
    chromium: Browser, tmp_path: Path, width: int, folded: bool
) -> None:
    session = everything.session(parts=everything.parts(blocks=2))
    page = report.build(sessions.write(tmp_path, session), tmp_path / "out").page
    with opened(chromium, page.as_uri(), viewport={"width": width, "height": 900}) as made:
        if not folded:
            made.page.evaluate(
                "document.querySelectorAll('#ledger details').forEach((each) => { each.open = true; })"
            )
        cut = made.page.evaluate(
            """[...document.querySelectorAll("#ledger .scroll")]
            .filter((each) => each.scrollWidth > each.clientWidth).map((each) => each.getAttribute("aria-label"))"""
        )
        assert cut == []
        verdict = made.page.locator("#row-performance-simple .verdict").first.bounding_box()
        assert verdict
        assert verdict["x"] + verdict["width"] < width
        link = made.page.locator("#row-performance-simple td.evidence a").first.bounding_box()
        assert link
        assert link["x"] + link["width"] < width
        assert link["height"] < link["width"], "its letters stand below each other"


@pytest.mark.browser
def test_a_tile_leads_to_its_row(chromium: Browser, tmp_path: Path) -> None:
    page = report.build(sessions.write(tmp_path, sessions.session(blocks=2)), tmp_path / "out").page
    with opened(chromium, page.as_uri(), viewport={"width": 1280, "height": 900}) as made:
        made.page.locator(".tile-label").first.click()
        row = made.page.locator("#row-performance-simple")
        expect(row).to_be_in_viewport()
        assert made.page.url.endswith("#row-performance-simple")
