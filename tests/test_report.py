import csv
import io
import re
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import everything
import matplotlib as mpl
import pytest
import sessions
from pages import Page, without_scripts
from sessions import FASTAPI, GTHREAD, SYNC, Spoil, make_void
from typer.testing import CliRunner

from gatebench import report, store, tables
from gatebench.cli import app
from gatebench.errors import UntrustedError, UsageError
from gatebench.model import Capability, ControlGroup, Load, Measure, Part, Run, Session, Setting
from gatebench.report import Built, templating
from gatebench.report.language import language
from gatebench.report.wording import bounded

EVIL = (
    "<script>alert(1)</script>",
    r"$\frac{",
    '"onmouseover="x',
    "=HYPERLINK(1)",
    "| a | b `c`\n# d",
    "https://example.org//x",
    "--><blink>",
    "</style><blink>",
    "框架\u202e\x07+\x1b[31m",
    "{{ 7 * 7 }}",
    "name" * 60,
)


def built(folder: Path, session: Session) -> tuple[Built, str]:
    made = report.build(sessions.write(folder / "results", session), folder / "out")
    return made, made.page.read_text(encoding="utf-8")


def small(spoil: Spoil = lambda run: run, *, blocks: int = 3, backend: str = "process") -> Session:
    measures = ("plain closed(64)", "websocket hold(2000)")
    return sessions.session(stacks=(SYNC, FASTAPI), measures=measures, blocks=blocks, spoil=spoil, backend=backend)


@pytest.fixture(scope="module")
def flagship(tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, str]:
    def some_void(run: Run) -> Run:
        return make_void(run) if (run.stack, run.scenario, run.block) == (FASTAPI, "json", 2) else run

    return built(tmp_path_factory.mktemp("flagship"), sessions.session(spoil=some_void))


def figures(made: Built) -> int:
    return sum(row.measured for row in made.headline)


def test_the_page_stands_alone_and_is_small(flagship: tuple[Built, str]) -> None:
    made, text = flagship
    page = Page(text)
    assert made.page.stat().st_size < 1_000_000
    for address in ("http://", "https://", "xmlns", "src=", "@import", "//"):
        assert address not in without_scripts(text)
    assert {tag for tag, _ in page.tags}.isdisjoint({"iframe", "link", "object", "img"})
    for link in page.attributes("href"):
        assert link.startswith("#") or (made.page.parent / link).is_file()


def test_the_page_allows_its_own_script_and_style_and_nothing_else(flagship: tuple[Built, str]) -> None:
    page = Page(flagship[1])
    policy = next(attrs["content"] for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs)
    assert policy is not None
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}
    scripts = re.findall(r"<script>(.*?)</script>", flagship[1], flags=re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", flagship[1], flags=re.DOTALL)
    assert rules == {
        "default-src": ["'none'"],
        "script-src": [str(templating.digest(script)) for script in scripts],
        "style-src": [str(templating.digest(style)) for style in styles],
        "style-src-attr": ["'unsafe-inline'"],  # matplotlib's figures
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    assert (len(scripts), len(styles)) == (2, 1)


def test_every_name_on_the_page_is_unique_and_every_reference_finds_it(flagship: tuple[Built, str]) -> None:
    page = Page(flagship[1])
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    targets = {link[1:] for link in page.attributes("href") if link.startswith("#")}
    targets |= set(re.findall(r"url\(#([^)]*)\)", flagship[1]))
    assert targets <= set(ids)


def test_the_same_file_gives_the_same_bytes_wherever_it_lies(tmp_path: Path) -> None:
    made, _ = built(tmp_path / "a", small())
    moved = tmp_path / "elsewhere" / "renamed.jsonl"
    moved.parent.mkdir()
    shutil.copy(next((tmp_path / "a" / "results").iterdir()), moved)
    with mpl.rc_context({"font.size": 30, "svg.fonttype": "path"}):  # somebody's own settings
        report.build(moved, tmp_path / "b")
    names = sorted(path.relative_to(made.page.parent) for path in made.page.parent.rglob("*") if path.is_file())
    assert [str(name) for name in names] == ["index.html", "report.md"] + [
        f"tables/{name}"
        for name in ("cells.csv", "columns.csv", "comparisons.csv", "results.jsonl", "runs.csv", "void.csv")
    ]
    for name in names:
        data = (tmp_path / "b" / name).read_bytes()
        assert data == (made.page.parent / name).read_bytes()
        assert str(tmp_path).encode() not in data


def headings(text: str) -> list[str]:
    return [found.strip() for found in re.findall(r"<h2>(.*?)<", text)]


def test_the_headline_comes_first_in_the_published_order(flagship: tuple[Built, str]) -> None:
    made, text = flagship
    labels = list(dict.fromkeys(row.label for row in made.headline))
    assert labels[:4] == ["Simple request (no I/O)", "Database query", "External API call", "WebSocket connections"]
    assert headings(text) == [
        "The published comparison, row by row",
        "Which should I take?",
        "Explore",
        "Methods",
        "Stacks and machine",
        "Void and failed trials",
    ]
    simple = [row for row in made.headline if row.label == labels[0]]
    assert [row.wsgi.splitlines()[0] for row in simple] == [SYNC, GTHREAD]
    assert simple[0].claimed == "10,000 : 40,000, 4\N{MULTIPLICATION SIGN}"
    assert figures(made) == 8
    unmeasured = {row.verdict for row in made.headline if not row.measured and row.label != "CPU utilisation"}
    assert unmeasured == {"not yet measured", "not measurable"}
    assert len([row for row in made.headline if row.label == "CPU utilisation"]) == 4
    assert "MB 500 100" in Page(text).text


def test_a_void_trial_is_listed_with_its_reason(flagship: tuple[Built, str]) -> None:
    made, text = flagship
    assert (made.valid, made.trials) == (107, 108)
    listed = Page(text).text.split("Void and failed trials")[-1]
    assert f"{FASTAPI}, json, closed(64) void 1 2 the generator may have been the limit" in listed


def test_void_trials_whose_reasons_differ_in_figures_only_are_one_row_without_an_empty_log(tmp_path: Path) -> None:
    def late(run: Run) -> Run:
        reason = f"requests were sent late: by {run.block + 1}.5 ms (p99), 1 ms would be borne"
        return replace(make_void(run, reason), log="it wrote nothing") if run.stack == FASTAPI else run

    _, text = built(tmp_path, small(late))
    listed = section_of(text, "void")
    assert f"{FASTAPI}, plain, closed(64) void 3 0, 1, 2 requests were sent late: by 1.5\N{EN DASH}3.5 ms" in listed
    assert "log" not in listed


def test_the_head_says_when_and_on_what_it_was_measured(flagship: tuple[Built, str]) -> None:
    head = Page(flagship[1]).text.split("To the figures")[1].split("The published comparison")[0]
    assert "Measured on 2026-01-31: An Example CPU at 3.0 GHz, 4 usable CPUs" in head
    assert "Backend: process. Versions: Python 3.11.9, flask 3.1.2, gunicorn 23.0.0, fastapi 0.120.0" in head


def test_what_stands_in_backticks_is_code_on_the_page_and_text_in_markdown(tmp_path: Path) -> None:
    made, text = built(tmp_path, small(lambda run: make_void(run, "too few: run `ulimit -n 5` or `<blink>`")))
    assert "run <code>ulimit -n 5</code> or <code>&lt;blink&gt;</code>" in text
    assert r"run \`ulimit -n 5\` or" in (made.page.parent / "report.md").read_text(encoding="utf-8")


def test_stacks_with_the_same_settings_stand_together_and_each_can_be_linked_to(tmp_path: Path) -> None:
    stacks = tuple(f"{FASTAPI}[threads={count}]" for count in range(1, 14))
    session = sessions.session(stacks=stacks, measures=("plain closed(64)",), blocks=2)
    same = {stack: {"settings": {"loop": "uvloop"}, "versions": {"uvicorn": "0.38.0"}} for stack in stacks}
    other = {stacks[0]: {"settings": {"loop": "none"}, "versions": {}}}
    page = Page(built(tmp_path, replace(session, stacks=same | other))[1])
    assert page.text.count("loop uvloop") == 1
    assert page.text.count("loop none") == 1
    assert {f"#settings-{place}" for place in range(13)} <= set(page.attributes("href"))


def test_settings_versions_machine_and_placement_are_printed(flagship: tuple[Built, str]) -> None:
    said = Page(flagship[1]).text
    for text in (
        "keep_alive_s 0 75 75",
        "uvloop",
        "psycopg",
        "shared_buffers 128MB",
        "An Example CPU",
        "0123456789ab",
        "Server's CPUs 3",
        "Services' CPUs 0, 1",
        "18,000/s",
        "Seed 1",
        "expected to be wrong by chance",
    ):
        assert text in said


def test_tables_and_figures_can_be_read_out(flagship: tuple[Built, str]) -> None:
    page = Page(flagship[1])
    assert all("scope" in attrs for tag, attrs in page.tags if tag == "th")
    assert all(attrs.get("role") == "img" and attrs.get("aria-label") for tag, attrs in page.tags if tag == "svg")


def evil_session() -> Session:
    """A session whose every text is somebody's attempt to break the page."""
    spell = dict(zip((SYNC, GTHREAD, FASTAPI), EVIL[:3], strict=True))
    made = sessions.session(measures=("plain closed(64)",), blocks=2)

    def ruin(run: Run) -> Run:
        run = replace(run, part=EVIL[6], profile=EVIL[6], stack=spell[run.stack], scenario=EVIL[4], warnings=EVIL)
        return (
            replace(run, status="void", reason=EVIL[run.number % len(EVIL)], log="\n".join(EVIL))
            if run.block
            else run
        )

    plan = replace(
        made.plan,
        title=EVIL[0],
        parts=(
            replace(
                made.plan.parts[0],
                name=EVIL[6],
                title=EVIL[0],
                stacks=tuple(spell.values()),
                measures=(Measure(scenario=EVIL[4], load=Load(kind="closed", size=64)),),
            ),
        ),
    )
    return replace(
        made,
        plan=plan,
        machine=replace(made.machine, cpu=EVIL[5], system=EVIL[0]),
        commit=EVIL[5],
        tools={text: text for text in EVIL},
        stacks={name: {"settings": {text: text for text in EVIL}, "versions": {}} for name in spell.values()},
        services={EVIL[0]: {EVIL[2]: EVIL[5]}},
        scenarios={EVIL[4]: EVIL[7]},
        runs=tuple(ruin(run) for run in made.runs),
    )


def test_no_text_of_a_file_can_break_the_page(tmp_path: Path) -> None:
    _, text = built(tmp_path, evil_session())
    page = Page(text)
    plain = Page(built(tmp_path / "plain", small())[1])
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in plain.tags} | {"b", "pre"}
    assert {name for _, attrs in page.tags for name in attrs} <= {name for _, attrs in plain.tags for name in attrs}
    for address in ("http://", "https://", "//"):
        assert address not in without_scripts(text)
    for spoken in ("<script>alert(1)</script>", r"$\frac{", "https://example.org//x", "{{ 7 * 7 }}"):
        assert spoken in page.text


def test_no_text_of_a_plan_of_many_parts_can_break_the_page(tmp_path: Path) -> None:
    spoken = sessions.part("protocols.spoken", measures=("plain speak(1)",), blocks=1)
    parts = [replace(spoken, title=EVIL[0]), sessions.part(EVIL[2], measures=("plain closed(64)",), blocks=2)]

    def ruin(run: Run) -> Run:
        said = [replace(each, protocol=EVIL[2], why=EVIL[0], transcript=EVIL[6]) for each in run.capabilities]
        return replace(run, capabilities=tuple(said))

    _, text = built(tmp_path, sessions.session(parts=parts, spoil=ruin))
    page = Page(text)
    assert "blink" not in {tag for tag, _ in page.tags}
    assert [tag for tag, _ in page.tags].count("script") == 3
    assert not page.attributes("onmouseover")
    for text_of_file in (EVIL[0], EVIL[2], EVIL[6]):
        assert text_of_file in page.text


def test_figures_are_well_formed_whatever_stacks_are_called(tmp_path: Path) -> None:
    part = sessions.part("rules.crud", (SYNC, FASTAPI), [f"crud closed({size})" for size in (1, 16, 64)], blocks=2)
    spell = {SYNC: EVIL[0], FASTAPI: EVIL[1]}
    session = sessions.session(parts=[part], spoil=lambda run: replace(run, stack=spell[run.stack]))
    spelled = replace(part, stacks=tuple(spell[stack] for stack in part.stacks))
    _, text = built(tmp_path, replace(session, plan=replace(session.plan, parts=(spelled,))))
    drawn = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert len(drawn) == 1
    written = " ".join(element.text or "" for svg in drawn for element in ET.fromstring(svg).iter("text"))
    assert "<script>alert(1)</script>" in written
    assert r"$\frac{" in written


def test_no_cell_of_a_table_is_a_formula(tmp_path: Path) -> None:
    made, _ = built(tmp_path, evil_session())
    for path in sorted((made.page.parent / "tables").glob("*.csv")):
        for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8"))):
            assert not [value for value in row if value.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert "'=HYPERLINK(1)" in (made.page.parent / "tables" / "void.csv").read_text(encoding="utf-8")


def test_the_markdown_keeps_its_tables_whatever_it_is_told(tmp_path: Path) -> None:
    parted = everything.session(parts=everything.parts(blocks=2))
    for name, session in (("evil", evil_session()), ("plain", small()), ("parted", parted)):
        made, _ = built(tmp_path / name, session)
        text = (made.page.parent / "report.md").read_text(encoding="utf-8")
        columns = 0
        for line in text.splitlines():
            cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
            assert cells in (columns, 0) or columns == 0
            columns = cells
        assert "<script>" not in text
        assert "://" not in text


def test_few_blocks_are_noted_and_marked(tmp_path: Path) -> None:
    made, text = built(tmp_path, small())
    assert "Some cells have 3 blocks only: their intervals are wide" in Page(text).text
    assert text.count('class="few"') > figures(made)
    markdown = (made.page.parent / "report.md").read_text(encoding="utf-8")
    assert ", few |" in markdown
    assert "| Claimed: WSGI | ASGI |" in markdown


def test_six_blocks_need_no_such_note(tmp_path: Path) -> None:
    assert "blocks only" not in Page(built(tmp_path, small(blocks=6))[1]).text


def test_invented_figures_are_called_invented(tmp_path: Path) -> None:
    for backend, expected in (("fake", True), ("process", False)):
        _, text = built(tmp_path / backend, small(backend=backend))
        assert ("figures of this page are invented" in Page(text).text) == expected


def test_a_page_of_containers_says_how_they_were_made_and_on_which_network(tmp_path: Path) -> None:
    about: dict[str, Setting] = {
        "engine": "Docker 29.1",
        "network": "bridge",
        "generator": "process",
        "memory limit, MiB": 2048,
    }
    charged = ControlGroup(memory_peak_bytes=2**27)
    made = replace(small(lambda run: replace(run, server_group=charged), backend="container"), surroundings=about)
    images = {name: {**parts, "image": {"image id": "0123456789ab"}} for name, parts in made.stacks.items()}
    text = Page(built(tmp_path / "one", replace(made, stacks=images))[1]).text
    assert "what its published ports cost is part of every figure" in text
    for said in ("Docker 29.1", "Memory limit, MiB", "0123456789ab", "Memory charged to the container 128 MiB"):
        assert said in text
    inside = replace(made, surroundings={**about, "generator": "container"})
    assert "load went over their own loopback" in Page(built(tmp_path / "two", inside)[1]).text
    on_host = replace(made, surroundings={**about, "network": "host"})
    assert "were on a bridge" not in Page(built(tmp_path / "three", on_host)[1]).text


def test_a_page_without_a_valid_trial_says_so_plainly_and_has_no_figure(tmp_path: Path) -> None:
    made, text = built(tmp_path, small(lambda run: make_void(run, "starved")))
    assert (figures(made), made.valid) == (0, 0)
    assert "No trial of this session is valid" in Page(text).text
    assert "<svg" not in text
    assert {row.verdict for row in made.headline[:1]} == {"void"}


def test_a_session_that_was_killed_before_its_first_trial_still_gives_a_page(tmp_path: Path) -> None:
    made, text = built(tmp_path, replace(small(), runs=(), ended_at=None))
    assert (figures(made), made.trials) == (0, 0)
    assert "The file holds no trial." in Page(text).text


def test_what_was_found_wrong_with_the_file_is_on_the_page(tmp_path: Path) -> None:
    file = sessions.write(tmp_path, small())
    file.write_bytes(file.read_bytes()[:-90])
    made = report.build(file, tmp_path / "out")
    said = Page(made.page.read_text(encoding="utf-8")).text
    assert made.notices
    assert all(notice in said for notice in made.notices)


def test_every_load_says_what_it_means(tmp_path: Path) -> None:
    loads = ("open(500)", "poisson(1500)", "search(50ms)", "closed(64)", "hold(2000)")
    session = sessions.session(
        stacks=(SYNC, FASTAPI), measures=tuple(f"websocket {load}" for load in loads), blocks=6
    )
    said = Page(built(tmp_path, session)[1]).text
    for load, means in (
        ("open", "As many requests a second at even distances"),
        ("poisson", "As many requests a second at random"),
        ("search", "whose p99 stays below so many ms"),
        ("closed", "As many users, each of whom"),
        ("hold", "As many connections are offered"),
    ):
        assert f"{load} : {means}" in said or f"{load}: {means}" in said or means in said


def section_of(text: str, anchor: str) -> str:
    found = re.search(rf'<section id="{anchor}">.*?</section>', text, flags=re.DOTALL)
    assert found
    return Page(found[0]).text


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, str]:
    return built(tmp_path_factory.mktemp("whole"), everything.session(parts=everything.parts(blocks=3)))


def test_a_page_of_everything_has_all_its_sections_in_order_and_can_be_read(whole: tuple[Built, str]) -> None:
    made, text = whole
    page = Page(text)
    assert headings(text) == [
        "The published comparison, row by row",
        "Where a speed-up comes from",
        "Load curves",
        "Which should I take?",
        "Explore",
        "Methods",
        "Stacks and machine",
        "What each stack was heard to speak",
        "Void and failed trials",
    ]
    assert made.page.stat().st_size < 2_000_000
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    targets = {link[1:] for link in page.attributes("href") if link.startswith("#")}
    assert targets <= set(ids)


def test_a_curve_has_its_values_as_a_table_with_sizes_down_and_stacks_and_factors_across(
    whole: tuple[Built, str],
) -> None:
    section = section_of(whole[1], "curves")
    title = "wait: The part rules.concurrency: Requests per second"
    assert title in section
    assert "2,000" in section.split(title)[1]
    assert f"{FASTAPI} against {GTHREAD}" in section
    assert "a gain of more than 1.1 begins between 16 and 64" in section
    assert f"The band of {GTHREAD}: ASGI's gain over it begins between 16 and 64 users." in section


def test_what_was_spoken_is_one_table_and_a_no_says_what_was_said(tmp_path: Path) -> None:
    def spoil(run: Run) -> Run:
        said = tuple(replace(each, transcript="> GET /\n< 505") for each in run.capabilities)
        return replace(run, capabilities=said)

    spoken = sessions.part("protocols.spoken", measures=("plain speak(1)",), blocks=1)
    for parts in ([spoken], [spoken, sessions.part("flagship", measures=("plain closed(64)",), blocks=2)]):
        session = sessions.session(parts=parts, spoil=spoil)
        made, text = built(tmp_path / str(len(parts)), session)
        said = Page(text).text
        assert said.count("What each stack was heard to speak") == 1
        assert f"{FASTAPI} yes yes yes" in said
        assert "505" in said
        assert "tables/capabilities.csv" in text
        assert (made.page.parent / "tables" / "capabilities.csv").is_file()


def test_figures_of_what_was_spoken_have_their_units(tmp_path: Path) -> None:
    took = Capability(protocol="h2 multiplexing", answer="yes", why="x", figure=0.503)
    many = Capability(protocol="sse streams", answer="yes", why="x", figure=16.0)
    one = Capability(protocol="sse streams", answer="no", why="x", figure=1.0)

    def spoil(run: Run) -> Run:
        return replace(run, capabilities=(took, many) if run.stack == FASTAPI else (one,))

    spoken = sessions.part("protocols.spoken", (SYNC, FASTAPI), measures=("plain speak(1)",), blocks=1)
    said = section_of(built(tmp_path, sessions.session(parts=[spoken], spoil=spoil))[1], "protocols")
    assert f"{SYNC} no (1 stream) —" in said
    assert f"{FASTAPI} yes (16 streams) yes (503 ms)" in said


def test_a_ladder_has_a_figure_a_sentence_and_a_table_of_its_steps(whole: tuple[Built, str]) -> None:
    section = section_of(whole[1], "waterfall")
    assert f" on {GTHREAD} and" in section
    assert "of the server's CPU on" in section
    assert "Where they differ most is" in section
    for step in ("server and interface", "routing core", "framework", "driver", "in all"):
        assert step in section
    assert "the share attributed to the server is" in section
    assert "no bare callable ran on" not in section


def test_every_row_is_on_the_page_with_its_verdict_and_why(whole: tuple[Built, str]) -> None:
    said = Page(whole[1]).text
    for word in ("depends", "refuted", "runs", "holds up to 16", "holds", "as published", "not measurable"):
        assert word in said
    assert "by an extension: gunicorn-gthread" in said
    assert "place 3 of 3" in said


def test_an_interrupted_session_is_called_so(tmp_path: Path) -> None:
    whole = small()
    cut = replace(whole, runs=whole.runs[:7], interrupted=True)
    assert "interrupted after 7 trials" in Page(built(tmp_path, cut)[1]).text


def test_where_the_published_pair_is_void_another_one_speaks_in_its_row_and_not_at_the_head(tmp_path: Path) -> None:
    made, text = built(
        tmp_path,
        sessions.session(
            measures=("plain closed(64)",), blocks=2, spoil=lambda run: make_void(run) if run.stack == SYNC else run
        ),
    )
    assert figures(made) == 1
    assert [(row.verdict == "void", row.measured) for row in made.headline[:2]] == [(True, False), (False, True)]
    head, _, rows = Page(text).text.partition("The published comparison, row by row")
    assert "How many times better" not in head
    assert GTHREAD in rows


def test_a_stack_of_one_interface_alone_gives_a_page_without_factors(tmp_path: Path) -> None:
    session = sessions.session(stacks=(FASTAPI,), measures=("plain closed(64)",), blocks=6)
    made, text = built(tmp_path, session)
    assert figures(made) == 0
    assert "8,8" in text or "9,0" in text
    assert made.headline[0].verdict == "not yet measured"


def test_extreme_figures_are_drawn_all_the_same(tmp_path: Path) -> None:
    def extreme(run: Run) -> Run:
        return replace(run, requests=2**63 if run.stack == FASTAPI else 1)

    made, text = built(tmp_path, small(extreme, blocks=6))
    assert figures(made) == 2
    assert not re.search(r"\b(nan|inf)\b", text, flags=re.IGNORECASE)


def test_an_old_page_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = sessions.write(tmp_path, small())
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.html").write_text("old")
    report.build(file, out)
    assert "old" not in (out / "index.html").read_text(encoding="utf-8")[:100]
    assert sorted(path.name for path in out.iterdir()) == ["index.html", "report.md", "tables"]


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    file = sessions.write(tmp_path, small())
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UsageError, match=r"cannot be written .*--out"):
        report.build(file, tmp_path / "taken")


def test_what_is_no_results_file_leaves_no_page(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("{}\n")
    with pytest.raises(UsageError):
        report.build(tmp_path / "x.jsonl", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_report_is_made_from_what_store_reads(tmp_path: Path) -> None:
    session = small()
    made, _ = built(tmp_path, session)
    assert made.trials == len(store.read(next((tmp_path / "results").iterdir())).runs)


def test_a_factor_that_is_missing_is_no_bound() -> None:
    bare = tables.comparisons(sessions.session(stacks=(SYNC, FASTAPI), measures=("websocket hold(2000)",), blocks=1))
    [kept] = [each for each in bare if each.metric == "connections"]
    assert kept.ratio is None
    assert kept.asgi_at_limit
    assert bounded(None, kept, language("en")).value == "—"


def test_one_block_is_called_one_block(tmp_path: Path) -> None:
    text = Page(built(tmp_path, small(blocks=1))[1]).text
    assert "Some cells have 1 block only" in text
    assert "1 blocks" not in text


@pytest.mark.parametrize("knock", [True, False])
def test_a_page_that_knocked_says_what_cpu_is_divided_by(tmp_path: Path, *, knock: bool) -> None:
    part = sessions.part("a.part", measures=("cpu closed(16)",), blocks=2, knock=knock)
    said = Page(built(tmp_path, sessions.session(parts=[part]))[1]).text
    assert ("those answered count among the requests" in said) == knock


IDLE = sessions.part("connections.idle_1000", measures=("idle hold(1000)",), blocks=2)
SPOKEN = sessions.part("protocols.spoken", measures=("plain speak(1)",), blocks=1)


@pytest.mark.parametrize("part", [IDLE, SPOKEN], ids=["idle", "spoken"])
def test_a_session_that_settles_no_row_of_figures_is_a_good_one(tmp_path: Path, part: Part) -> None:
    file = sessions.write(tmp_path, sessions.session(parts=[part]))
    done = CliRunner().invoke(app, ["report", str(file), "--out", str(tmp_path / "page")])
    assert done.exception is None
    assert done.exit_code == 0


def test_a_session_without_a_valid_trial_is_not_to_be_trusted(tmp_path: Path) -> None:
    file = sessions.write(tmp_path, sessions.session(parts=[IDLE], spoil=make_void))
    done = CliRunner().invoke(app, ["report", str(file), "--out", str(tmp_path / "page")])
    assert isinstance(done.exception, UntrustedError)
    assert (tmp_path / "page" / "index.html").exists()
