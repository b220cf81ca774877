"""The page's languages: a catalogue that is whole, and sentences of other rooms that are recognised."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import resources
from pathlib import Path

import everything
import pytest
import sessions
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from gatebench import report
from gatebench.errors import UsageError
from gatebench.report.language import CATALOGUES, MADE, Language, language

ROOM = Path(report.__file__).parent
METHODS = [
    ("templates/live.html.j2", "ignore"),
    ("live.py", "ignore"),
    ("**.py", "python"),
    ("**.j2", "jinja2.ext.babel_extract"),
]
SLASHED = {"; ": " / ", ": ": " > ", ", ": " + "}
BLANK = re.compile(r"\{(\w+)\}")


def catalogue(code: str) -> Catalog:
    with resources.files("gatebench.report").joinpath("languages", CATALOGUES[code]).open("rb") as file:
        return read_po(file, abort_invalid=True)


def said_by_the_page() -> set[str]:
    found = extract_from_dir(str(ROOM), METHODS, keywords={"say": None, "_": None})
    return {message for _, _, message, _, _ in found if isinstance(message, str)}


@pytest.mark.parametrize("code", CATALOGUES)
def test_every_sentence_of_the_page_is_in_the_catalogue_and_none_is_left_over(code: str) -> None:
    own = {str(message.id) for message in catalogue(code) if message.id and message.context != MADE}
    assert own == said_by_the_page()


@pytest.mark.parametrize("code", CATALOGUES)
def test_every_blank_of_a_sentence_is_in_its_translation(code: str) -> None:
    for message in catalogue(code):
        if message.id:
            assert message.string, message.id
            assert set(BLANK.findall(str(message.id))) == set(BLANK.findall(str(message.string))), message.id


@pytest.mark.parametrize("code", CATALOGUES)
def test_every_sentence_is_one_clause(code: str) -> None:
    for message in catalogue(code):
        if message.context == MADE:
            assert "; " not in re.sub(r"\([^)]*\)", "", str(message.id)), message.id


@pytest.mark.parametrize("code", CATALOGUES)
def test_a_page_of_everything_says_nothing_in_english_but_logs(code: str, tmp_path: Path) -> None:
    file = sessions.write(tmp_path, everything.session(parts=everything.parts(blocks=3)))
    text = report.build(file, tmp_path / "page", code).page.read_text(encoding="utf-8")
    foreign = set(re.findall(r'<span lang="en">(.*?)</span>', text, flags=re.DOTALL))
    assert foreign == {"made up: no", "the generator may have been the limit: its CPUs were 91% busy"}  # by our fake


def test_a_setting_is_spelled_in_every_language_as_its_server_spells_it(tmp_path: Path) -> None:
    session = sessions.session(measures=("plain closed(64)",), blocks=2)
    plain = {stack: {"settings": {"loop": "none"}, "versions": {}} for stack in session.stacks}
    file = sessions.write(tmp_path, replace(session, stacks=plain))
    text = report.build(file, tmp_path / "page", "zh-Hant").page.read_text(encoding="utf-8")
    table = re.search(r'<table id="settings">.*?</table>', text, flags=re.DOTALL)
    assert table
    assert table[0].count("<td>none</td>") == len(session.stacks)


def made(**sentences: str) -> Language:
    from gatebench.report.language import _pattern

    patterns = tuple(_pattern(source.replace("_", " "), text) for source, text in sentences.items())
    return Language("xx", patterns=patterns, joints=SLASHED)


def test_a_sentence_is_known_by_the_words_around_its_blanks_which_are_said_too() -> None:
    say = Language(
        "xx",
        made={"yes": "ja"},
        patterns=made(**{"at_{size}:_{answer}": "bei {size}: {answer}"}).patterns,
        joints=SLASHED,
    )
    assert say.parts("at 16: yes; yes") == (("bei 16: ja", True), (" / ", True), ("ja", True))


def test_what_is_not_known_stays_english_and_is_marked_so() -> None:
    say = Language("xx", made={"yes": "ja"}, joints=SLASHED)
    assert say.parts("no such sentence; yes") == (("no such sentence", False), (" / ", True), ("ja", True))
    assert say.parts("flask+gunicorn-sync") == (("flask+gunicorn-sync", True),)


def test_a_name_before_a_colon_and_clauses_between_commas_are_said_each() -> None:
    say = Language("xx", made={"yes": "ja", "no": "nein"}, joints=SLASHED)
    assert say.told("part.name: yes") == "part.name > ja"
    assert say.told("yes, no; yes") == "ja + nein / ja"
    assert say.told("flask: 94.7 %") == "flask > 94.7 %"


def test_what_is_known_in_part_only_is_not_taken_apart_at_a_comma_or_colon() -> None:
    say = Language("xx", made={"yes": "ja"}, joints=SLASHED)
    assert say.parts("yes, and so on") == (("yes, and so on", False),)
    assert say.parts("so to say: yes") == (("so to say: yes", False),)


def test_a_list_of_names_is_the_same_in_all_languages() -> None:
    assert Language("xx", joints=SLASHED).told("a2wsgi, asgiref") == "a2wsgi, asgiref"


def test_a_sentence_whose_blanks_are_not_known_is_the_last_resort() -> None:
    patterns = made(**{"{a} against {b}": "{a} gegen {b}"}).patterns
    say = Language("xx", made={"one against another, in turn": "reihum"}, patterns=patterns, joints=SLASHED)
    assert say.told("one against another, in turn: 1.90") == "reihum > 1.90"
    assert say.told("one against another, at once: 1.90") == "one gegen another, at once: 1.90"


def test_a_semicolon_within_brackets_ends_no_clause() -> None:
    say = made(**{"void_({why})": "ungültig ({why})"})
    assert say.told("void (a; b)") == "ungültig (a / b)"  # one sentence, whose blank has two clauses


def test_english_is_said_as_it_is() -> None:
    say = language("en")
    assert say("{valid} of {all}", valid=1, all=2) == "1 of 2"
    assert say.told("whatever; this") == "whatever; this"


def test_another_language_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="one of en, zh-Hant"):
        language("de")


@pytest.mark.parametrize("text", ["{evil}", "{0}", "{x.__class__}", "a {size} b", "}{"])
def test_braces_of_a_file_are_text(text: str) -> None:
    say = Language("xx", patterns=made(**{"at_{size}": "bei {size}"}).patterns)
    assert say.told(f"at {text}") == f"bei {text}"
    assert say.told(text) == text
