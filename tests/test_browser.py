"""The page as a reader meets it: in a real browser, with a keyboard, in the dark, on a telephone, on paper."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import everything
import pytest
import sessions
from axe_playwright_python.sync_playwright import Axe
from browsing import Opened, browser, opened, shot
from playwright.sync_api import Browser, Locator, expect
from test_report import evil_session

from gatebench import report, serving, tables
from gatebench.metrics import TIMES
from gatebench.model import Session
from gatebench.report import exploring
from gatebench.report.wording import NOTHING, PLAIN, times

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def session() -> Session:
    return everything.session(parts=everything.parts(blocks=3))


@pytest.fixture(scope="module")
def pages(session: Session, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    file = sessions.write(folder, session)
    return {lang: report.build(file, folder / lang, lang).page for lang in report.LANGUAGES}


@pytest.fixture
def page(chromium: Browser, pages: dict[str, Path]) -> Iterator[Opened]:
    with opened(chromium, pages["en"].as_uri(), viewport={"width": 1280, "height": 900}) as made:
        yield made


# What is cut off or sticks out on a narrow screen; tables scroll in frames of their own, and the skip link is beside.
WIDER = """[...document.querySelectorAll("body *")]
    .filter((each) => !each.closest(".scroll, svg, .skip, pre"))
    .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
    .map((each) => each.outerHTML.slice(0, 120))"""


def rows(made: Opened) -> list[str]:
    return made.page.locator("#cells tbody tr summary").all_inner_texts()


def head(made: Opened, title: str) -> Locator:
    return made.page.locator("#cells thead th", has_text=title)


def column(made: Opened, place: int) -> list[str]:
    texts = made.page.locator(f"#cells tbody tr[id] > :nth-child({place + 1})").all_inner_texts()
    return [" ".join(text.split()) for text in texts]


def test_the_page_opens_without_an_error_and_asks_for_nothing_but_itself(
    page: Opened, pages: dict[str, Path]
) -> None:
    assert page.problems == []
    assert page.asked == [pages["en"].as_uri()]
    shot(page, "page")


def test_no_other_script_or_style_runs(page: Opened) -> None:
    tried = page.page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.broken = true";
        document.body.append(script);
        return window.broken === true;
    }""")
    assert tried is False
    assert any("Content Security Policy" in problem for problem in page.problems)


def test_the_table_of_cells_is_filtered_sorted_and_searched(page: Opened) -> None:
    every = len(rows(page))
    page.page.select_option("#filters select[name=scenario]", "wait")
    assert 0 < len(rows(page)) < every
    page.page.fill("#filters input[name=q]", "fastapi")
    assert set(rows(page)) == {sessions.FASTAPI}
    head(page, "Requests per second").click()
    expect(head(page, "Requests per second")).to_have_attribute("aria-sort", "ascending")
    assert column(page, 3)[0] == "closed(1)"
    assert page.page.locator("#count").inner_text() == f"{len(rows(page))} of {every} rows"
    page.page.locator("#filters button[name=clear]").click()
    expect(page.page.locator("#count")).to_have_text(f"{every} of {every} rows")


def test_a_view_can_be_linked(page: Opened, chromium: Browser) -> None:
    page.page.select_option("#filters select[name=part]", "servers.order")
    page.page.select_option("#filters select[name=base]", "raw_wsgi+gunicorn-gthread")
    page.page.uncheck("#filters input[name=column][value='5']")
    head(page, "Requests per second").click()
    head(page, "Requests per second").click()
    page.page.wait_for_url("**sort=5.desc")
    address = page.page.url
    with opened(chromium, address) as again:
        assert again.problems == []
        assert rows(again) == rows(page)
        assert again.page.input_value("#filters select[name=base]") == "raw_wsgi+gunicorn-gthread"
        assert "Connections kept" not in again.page.locator("#cells thead").inner_text()
        assert rows(again)[0] == "raw_asgi+uvicorn"
        rates = column(again, 5)
        assert all(TIMES in rate for rate in rates)
        assert rates.count(f"1{TIMES}") == 1


def test_multiples_stand_in_their_own_columns_while_others_are_hidden(page: Opened) -> None:
    page.page.uncheck("#filters input[name=column][value='0']")
    page.page.select_option("#filters select[name=part]", "servers.order")
    page.page.select_option("#filters select[name=base]", "raw_wsgi+gunicorn-gthread")
    page.page.check("#filters input[name=column][value='0']")
    assert column(page, 5).count(f"1{TIMES}") == 1
    assert all(TIMES in text for text in column(page, 5))
    page.page.uncheck("#filters input[name=column][value='0']")
    page.page.select_option("#filters select[name=base]", "")
    page.page.check("#filters input[name=column][value='0']")
    assert all("/s" in text for text in column(page, 5))


@pytest.mark.parametrize("clicks", [1, 2])
def test_what_is_missing_comes_last_whichever_way_is_sorted(page: Opened, clicks: int) -> None:
    for _ in range(clicks):
        head(page, "Connections kept").click()
    expect(head(page, "Connections kept")).to_have_attribute("aria-sort", ["ascending", "descending"][clicks - 1])
    kept = column(page, 10)
    known = [text for text in kept if text != "—"]
    assert 0 < len(known) < len(kept)
    assert "—" not in kept[: len(known)]
    counts = [int(text.split()[0].replace(",", "")) for text in known]
    assert counts == sorted(counts, reverse=clicks == 2)


def test_a_third_click_on_a_head_gives_the_plans_order_again_and_an_address_without_one(page: Opened) -> None:
    before = rows(page)
    for _ in range(3):
        head(page, "Response time, p99").click()
    expect(page.page.locator("#cells tbody tr summary")).to_have_text(before)
    assert page.page.url.endswith("#explore?")


@pytest.mark.parametrize("base", [sessions.SYNC, sessions.FASTAPI])
def test_a_multiple_is_the_figure_that_the_rest_of_the_page_has_for_the_two(
    page: Opened, session: Session, base: str
) -> None:
    page.page.select_option("#filters select[name=part]", "flagship")
    page.page.select_option("#filters select[name=base]", base)
    measures = [each for each in tables.measures(session) if each.part == "flagship"]
    for place, metric in enumerate(exploring.COLUMNS):
        expected = []
        for measure in measures:
            based = next(cell for cell in measure.cells if cell.key.stack == base)
            for cell in measure.cells:
                if cell is based:
                    expected.append("—" if cell.estimate(metric) is None else f"1{TIMES}")
                    continue
                factor = times(measure.ratio(cell, based, metric), PLAIN)
                ours, theirs = (tables.at_limit(each, metric) for each in (cell, based))
                factor = NOTHING if ours and theirs else factor
                sign = "≥ " if ours and not theirs else "≤ " if theirs and not ours else ""
                expected.append(f"{sign}{factor.value} {factor.interval}".strip())
        assert column(page, 5 + place) == expected, metric
        assert {"—", f"1{TIMES}"} & set(expected)


def test_details_stand_below_their_cell_as_wide_as_the_frame_is(page: Opened) -> None:
    wide = page.page.locator("#cells").evaluate("each => each.scrollWidth")
    page.page.locator("#cells summary").nth(3).click()
    box = page.page.locator("#cells tr.more div").bounding_box()
    frame = page.page.locator("#explore .scroll").bounding_box()
    assert box is not None
    assert frame is not None
    assert 0.9 * frame["width"] < box["width"] < frame["width"]
    assert page.page.locator("#cells").evaluate("each => each.scrollWidth") == wide
    page.page.fill("#filters input[name=q]", "no such word")
    expect(page.page.locator("#cells tr.more")).to_have_count(0)
    page.page.fill("#filters input[name=q]", "")
    page.page.locator("#cells details[open] summary").click()
    expect(page.page.locator("#cells tr.more")).to_have_count(0)


def test_what_stands_in_the_details_is_found(page: Opened) -> None:
    every = len(rows(page))
    page.page.fill("#filters input[name=q]", "--part migration.STAGES nginx")
    assert 0 < len(rows(page)) < every
    assert all(name.startswith("nginx[") for name in rows(page))


def test_a_broken_link_shows_everything(chromium: Browser, pages: dict[str, Path]) -> None:
    broken = "#explore?scenario=%00&sort=99.up&base=nobody&hide=x&part=%3Cscript%3E"
    with opened(chromium, pages["en"].as_uri() + broken) as made:
        assert made.problems == []
        assert len(rows(made)) > 100


def test_evidence_leads_to_its_cell_and_opens_it(page: Opened) -> None:
    page.page.locator("#ledger .evidence a").first.click()
    anchor = page.page.url.partition("#")[2]
    row = page.page.locator(f"#{anchor}")
    assert row.is_visible()
    assert row.locator("details").get_attribute("open") is not None
    assert "gatebench run --plan" in page.page.locator(f"#{anchor} + tr.more").inner_text()


def test_a_question_is_answered_for_the_scenario_and_load_that_were_asked(page: Opened) -> None:
    page.page.select_option("#question select[name=scenario]", "wait")
    page.page.select_option("#question select[name=load]", "closed(2000)")
    seen = [each for each in page.page.locator("details.question").all() if each.is_visible()]
    assert len(seen) == 1
    text = seen[0].inner_text()
    assert "2,000 users" in text
    assert "ahead" in text


def test_a_question_can_be_linked_and_so_can_it_beside_a_view(page: Opened, chromium: Browser) -> None:
    page.page.select_option("#filters select[name=part]", "servers.order")
    page.page.select_option("#question select[name=scenario]", "wait")
    page.page.select_option("#question select[name=load]", "closed(2000)")
    assert "#choose?" in page.page.url
    with opened(chromium, page.page.url) as again:
        assert again.problems == []
        assert again.page.input_value("#question select[name=load]") == "closed(2000)"
        assert again.page.locator("details.question:visible").count() == 1
        assert "2,000 users" in again.page.locator("details.question:visible").inner_text()
        assert again.page.input_value("#filters select[name=part]") == "servers.order"


def test_a_stack_can_be_taken_out_of_a_figure(page: Opened) -> None:
    figure = page.page.locator("#curves figure").first
    box = figure.locator("input[type=checkbox]").first
    box.uncheck()
    assert figure.locator(".series.faint").count() > 0
    box.check()
    assert figure.locator(".series.faint").count() == 0


def test_everything_is_reached_by_keyboard_and_the_first_step_skips_to_the_figures(page: Opened) -> None:
    page.page.keyboard.press("Tab")
    assert page.page.evaluate("document.activeElement.className") == "skip"
    page.page.keyboard.press("Enter")
    assert page.page.url.endswith("#main")
    summary = page.page.locator("#cells summary").first
    summary.focus()
    page.page.keyboard.press("Enter")
    assert page.page.locator("#cells details[open]").count() == 1
    assert page.page.locator("#cells tr.more").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("lang", report.LANGUAGES)
def test_axe_finds_no_violation(chromium: Browser, pages: dict[str, Path], lang: str, scheme: str) -> None:
    with opened(chromium, pages[lang].as_uri(), color_scheme=scheme, bypass_csp=True) as made:
        found = Axe().run(made.page)
        assert found.violations_count == 0, found.generate_report()
        shot(made, f"{lang}-{scheme}")


@pytest.mark.parametrize("names", [("full",), ("curves", "ladders")], ids="+".join)
def test_axe_finds_no_violation_on_a_page_that_is_published(
    chromium: Browser, tmp_path: Path, names: tuple[str, ...]
) -> None:
    files = [Path(__file__).parent.parent / "results" / "reference" / f"{name}.jsonl" for name in names]
    page = report.build(files, tmp_path, see=("zh-Hant=zh-Hant/index.html", "Further=more/index.html")).page
    with opened(chromium, page.as_uri(), bypass_csp=True) as made:
        found = Axe().run(made.page)
        assert found.violations_count == 0, found.generate_report()
        shot(made, "+".join(names))


def test_axe_would_find_one(chromium: Browser, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text('<html><title>x</title><body><img src=""><p style="color:#999">faint</p></body></html>')
    with opened(chromium, bad.as_uri()) as made:
        assert Axe().run(made.page).violations_count >= 2


def test_on_a_telephone_nothing_is_wider_than_the_screen(chromium: Browser, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["en"].as_uri(), viewport={"width": 360, "height": 740}) as made:
        assert made.page.evaluate("document.documentElement.scrollWidth") <= 360
        assert made.page.evaluate(WIDER) == []
        shot(made, "telephone")


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("lang", report.LANGUAGES)
def test_on_a_telephone_a_cell_is_a_card_with_its_stack_above_its_labelled_figures(
    chromium: Browser, pages: dict[str, Path], lang: str, scripts: bool
) -> None:
    window = {"viewport": {"width": 360, "height": 740}, "java_script_enabled": scripts}
    with opened(chromium, pages[lang].as_uri(), **window) as made:
        row = made.page.locator("#cells tr[id]").first
        stack, *cells = row.locator("> *").all()
        above = stack.bounding_box()
        assert above
        assert above["x"] >= 0
        heads = made.page.locator("#cells thead th").all_text_contents()
        for head, cell in list(zip(heads[1:], cells, strict=True))[4:]:
            box = cell.bounding_box()
            assert box
            assert box["y"] > above["y"]
            assert box["x"] + box["width"] <= 360
            assert cell.evaluate("each => getComputedStyle(each, '::before').content") == f'"{head}"'


def test_on_a_telephone_labels_stay_with_their_figures_while_a_column_is_hidden(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    with opened(chromium, pages["en"].as_uri(), viewport={"width": 360, "height": 740}) as made:
        made.page.uncheck("#filters input[name=column][value='0']")
        label = "each => getComputedStyle(each, '::before').content"
        cells = made.page.locator("#cells tr[id]").first.locator("> td")
        assert [cell.evaluate(label) for cell in cells.all()[4:6]] == [
            '"Response time, median"',
            '"Response time, p99"',
        ]


def test_on_a_telephone_a_ranking_shows_stacks_and_what_they_are_ranked_by(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    with opened(chromium, pages["en"].as_uri(), viewport={"width": 360, "height": 740}) as made:
        frames = made.page.locator("#choose details.question:not([hidden]) > .scroll")
        assert frames.count() > 1
        for frame in frames.all():
            box, figure = (each.bounding_box() for each in (frame, frame.locator("tbody td").nth(1)))
            assert box
            assert figure
            assert figure["x"] + figure["width"] <= box["x"] + box["width"]


@pytest.mark.parametrize("scripts", [True, False])
def test_on_a_desk_the_table_of_cells_fits_its_frame(
    chromium: Browser, pages: dict[str, Path], scripts: bool
) -> None:
    window = {"viewport": {"width": 1280, "height": 900}, "java_script_enabled": scripts}
    with opened(chromium, pages["en"].as_uri(), **window) as made:
        frame, table = (made.page.locator(each).bounding_box() for each in ("#explore .scroll", "#cells"))
        assert frame
        assert table
        assert table["x"] + table["width"] <= frame["x"] + frame["width"]


@pytest.mark.parametrize(("width", "scrolls"), [(800, True), (1280, False)])
def test_a_frame_that_scrolls_has_a_shadow_where_more_is_and_no_other_has(
    chromium: Browser, pages: dict[str, Path], width: int, scrolls: bool
) -> None:
    with opened(chromium, pages["en"].as_uri(), viewport={"width": width, "height": 900}) as made:
        shadow = made.page.locator("#explore .scroll").evaluate("each => getComputedStyle(each).boxShadow")
        assert (shadow != "none") is scrolls


def test_with_scripts_off_every_figure_and_table_is_there(chromium: Browser, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["en"].as_uri(), java_script_enabled=False) as made:
        assert made.problems == []
        assert made.page.locator("#cells tbody tr[id]").count() > 100
        assert made.page.locator("#cells tbody tr[id]").last.is_visible()
        assert made.page.locator("#cells tr.more:visible").count() == 0
        assert made.page.locator("svg").count() > 5
        assert made.page.locator("#filters").is_hidden()
        assert made.page.locator("#question").is_hidden()
        made.page.locator("#cells summary").first.click()
        assert "gatebench run --plan" in made.page.locator("#cells tr.more:visible").inner_text()
        shot(made, "scripts-off")


def test_in_chinese_the_page_says_so_and_speaks_it(chromium: Browser, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["zh-Hant"].as_uri()) as made:
        assert made.problems == []
        assert made.page.locator("html").get_attribute("lang") == "zh-Hant"
        assert "簡單請求" in made.page.locator("#ledger").inner_text()
        assert "published comparison" not in made.page.locator("h2").first.inner_text()


def test_on_paper_every_part_is_there(chromium: Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    with opened(chromium, pages["en"].as_uri()) as made:
        made.page.emulate_media(media="print")
        assert made.page.locator("nav").is_hidden()
        assert made.page.locator("#filters").is_hidden()
        assert made.page.locator("#cells").is_hidden()
        assert "tables/cells.csv" in made.page.locator("#explore").inner_text()
        made.page.pdf(path=tmp_path / "page.pdf")
        data = (tmp_path / "page.pdf").read_bytes()
        assert 3 < len(re.findall(rb"/Type\s*/Page\b(?!s)", data)) < 40


def test_a_session_is_seen_while_it_grows(chromium: Browser, tmp_path: Path) -> None:
    lines = sessions.write(tmp_path, sessions.session(blocks=2)).read_text(encoding="utf-8").splitlines(keepends=True)
    growing = tmp_path / "growing.jsonl"
    growing.write_text("".join(lines[:4]), encoding="utf-8")
    with serving.server(lambda: growing, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with opened(chromium, f"http://{serving.HOST}:{server.server_address[1]}/") as made:
                expect(made.page.locator("#summary")).to_contain_text("3 of 36 trials")
                growing.write_text("".join(lines), encoding="utf-8")
                expect(made.page.locator("#summary")).to_contain_text("36 of 36 trials", timeout=15_000)
                expect(made.page.locator("#rows tr")).to_have_count(18)
                assert made.problems == []
                assert all(address.startswith(f"http://{serving.HOST}:") for address in made.asked)
                assert Axe().run(made.page).violations_count == 0
                shot(made, "serve")
        finally:
            server.shutdown()
            thread.join()


def test_nothing_that_a_file_says_runs_or_leaves_the_page(chromium: Browser, tmp_path: Path) -> None:
    file = sessions.write(tmp_path, evil_session())
    page = report.build(file, tmp_path / "page").page
    with opened(chromium, page.as_uri()) as made:
        for summary in made.page.locator("summary").all()[:20]:
            if summary.is_visible():
                summary.click()
        assert made.problems == []
        assert made.asked == [page.as_uri()]
        links = made.page.evaluate("[...document.links].map((link) => link.getAttribute('href'))")
        assert all(link.startswith(("#", "tables/")) for link in links)
