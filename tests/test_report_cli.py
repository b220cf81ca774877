"""What `gatebench report` prints, opens and refuses."""

import csv
import io
import json
import re
import webbrowser
from dataclasses import replace
from pathlib import Path

import pytest
import sessions
from sessions import FASTAPI, SYNC
from test_report import evil_session
from typer.testing import CliRunner, Result

from gatebench.cli import app
from gatebench.errors import UsageError
from gatebench.model import Run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return sessions.write(
        tmp_path / "results", sessions.session(stacks=(SYNC, FASTAPI), measures=("plain closed(64)",), blocks=6)
    )


def reported(file: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["report", str(file), "--out", str(file.parent / "page"), *options])


def test_the_terminal_shows_the_headline_and_the_page(file: Path) -> None:
    done = reported(file)
    assert done.exit_code == 0
    assert "The published comparison, measured here" in done.stdout
    assert done.stdout.rstrip().endswith("index.html")


def test_the_terminal_tells_stacks_apart_by_their_last_letters(tmp_path: Path) -> None:
    stacks = [f"flask+gunicorn-gthread[keep_alive_s=30,pool_size=16,threads={threads}]" for threads in (64, 65)]
    part = sessions.part("profiles.headline", (*stacks, FASTAPI), ("plain closed(64)",), blocks=2)
    done = reported(sessions.write(tmp_path / "results", sessions.session(parts=[part])))
    words = "".join(letter for letter in done.stdout if letter not in "│ \n")
    assert all(f"threads={threads}]" in words for threads in (64, 65))


def test_the_terminal_speaks_the_pages_language(file: Path) -> None:
    said = reported(file, "--lang", "zh-Hant").stdout
    for word in ("公布的比較", "宣稱值", "倍數", "判定", "簡單請求", "尚未測量", "頻繁"):
        assert word in said
    for word in ("Claimed", "Factor", "Verdict", "not yet measured", "frequent"):
        assert word not in said


@pytest.mark.parametrize("form", ["terminal", "md", "csv", "json"])
def test_nothing_that_is_printed_can_steer_a_terminal(tmp_path: Path, form: str) -> None:
    file = sessions.write(tmp_path / "results", evil_session())
    said = reported(file, "--format", form).stdout
    assert not re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", said)


def test_markdown_is_the_twin_of_the_page(file: Path) -> None:
    done = reported(file, "--format", "md")
    assert done.stdout.rstrip() == (file.parent / "page" / "report.md").read_text(encoding="utf-8").rstrip()


def test_csv_is_the_table_of_cells(file: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(reported(file, "--format", "csv").stdout)))
    assert {row["stack"] for row in rows} == {SYNC, FASTAPI}
    assert {"rate_rps", "cpu_us_per_request"} <= {row["metric"] for row in rows}


@pytest.mark.parametrize("begin", [*"=+-@\t\n\uff1d\uff0b\uff0d\uff20"])
def test_no_cell_of_the_csv_is_a_formula_however_it_begins(tmp_path: Path, begin: str) -> None:
    def warn(run: Run) -> Run:
        return replace(run, warnings=(f"{begin}1+1",))

    made = sessions.session(stacks=(SYNC,), measures=("plain closed(64)",), blocks=2, spoil=warn)
    rows = list(csv.DictReader(io.StringIO(reported(sessions.write(tmp_path, made), "--format", "csv").stdout)))
    assert {row["warnings"] for row in rows} == {f"'{begin}1+1 (all blocks)"}


def test_json_has_verdicts_and_cells_and_no_nan(file: Path) -> None:
    said = json.loads(reported(file, "--format", "json").stdout)
    simple = next(each for each in said["verdicts"] if each["row"] == "performance.simple")
    assert simple["claimed"] == {"wsgi": "10,000", "asgi": "40,000", "factor": 4.0}
    assert simple["comparison"]["wsgi"] == SYNC
    lacking = [each for each in said["cells"] if each["value"] is None]
    assert all(each["low"] is None for each in lacking)


def test_a_format_that_is_none_is_refused(file: Path) -> None:
    assert reported(file, "--format", "pdf").exit_code == 2


def test_a_page_in_chinese_is_asked_for_by_its_language(file: Path) -> None:
    assert reported(file, "--lang", "zh-Hant").exit_code == 0
    assert '<html lang="zh-Hant">' in (file.parent / "page" / "index.html").read_text(encoding="utf-8")
    refused = reported(file, "--lang", "tlh")
    assert isinstance(refused.exception, UsageError)
    assert "one of en, zh-Hant" in str(refused.exception)


def test_the_page_is_opened_where_that_is_asked_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(webbrowser, "open", seen.append)
    reported(file)
    assert seen == []
    reported(file, "--open")
    assert seen == [(file.parent / "page" / "index.html").as_uri()]


def test_the_results_may_lie_where_the_page_goes(file: Path) -> None:
    out = file.parent / "page"
    assert reported(file).exit_code == 0
    again = CliRunner().invoke(app, ["report", str(out / "tables" / "results.jsonl"), "--out", str(out)])
    assert again.exit_code == 0
    assert (out / "tables" / "results.jsonl").read_bytes() == file.read_bytes()


def test_a_page_links_to_those_that_lie_beside_it(file: Path) -> None:
    done = reported(file, "--see", "Load curves=curves/index.html", "--see", "zh-Hant=../zh-Hant/index.html#explore")
    assert done.exit_code == 0
    page = (file.parent / "page/index.html").read_text(encoding="utf-8")
    assert '<a href="curves/index.html">Load curves</a>' in page
    assert '<a href="../zh-Hant/index.html#explore" lang="zh-Hant" hreflang="zh-Hant">繁體中文</a>' in page
    assert reported(file).exit_code == 0
    assert 'class="further"' not in (file.parent / "page/index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text",
    [
        *(f"Title={path}" for path in ("", "javascript:alert(1)", "https://127.0.0.1/", "//127.0.0.1/", "/a", "%2e")),
        *(f"Title={path}" for path in ("a b", 'a"b', "a\nb", "..//127.0.0.1/", "\u00e4/", "a?b")),
        *("no path", "=curves/", " =curves/", "a\x1bb=curves/", "a\u202eb=curves/"),
    ],
)
def test_what_is_no_link_to_a_page_beside_this_one_is_refused(file: Path, text: str) -> None:
    done = reported(file, "--see", text)
    assert isinstance(done.exception, UsageError)
    assert "is no link: write TITLE=PATH" in str(done.exception)
    assert not (file.parent / "page").exists()


def test_a_links_title_is_text_and_no_markup(file: Path) -> None:
    assert reported(file, "--see", "<script>alert(1)</script>=a/").exit_code == 0
    page = (file.parent / "page/index.html").read_text(encoding="utf-8")
    assert '<a href="a/">&lt;script&gt;alert(1)&lt;/script&gt;</a>' in page
