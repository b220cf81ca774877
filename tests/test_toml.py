from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gatebench import toml
from gatebench.errors import UsageError


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no stack named 'flsk\+some'. Did you mean flask\+some"):
        toml.find("stack", "flsk+some", {"flask+some": 1, "other+server": 2})
    with pytest.raises(UsageError, match="Known are: aaa"):
        toml.find("stack", "zzz", {"aaa": 1})
    with pytest.raises(UsageError, match="Known are: none"):
        toml.find("stack", "zzz", {})


def test_a_known_name_gives_what_it_names() -> None:
    assert toml.find("stack", "aaa", {"aaa": 1}) == 1


def test_booleans_are_filled_as_words_a_command_knows() -> None:
    assert toml.fill(["--x={flag}", "{number}"], {"flag": False, "number": 2.5}) == ["--x=false", "2.5"]


def test_a_word_that_cannot_be_filled_is_told_with_what_is_known() -> None:
    with pytest.raises(
        UsageError, match=r"the word '\{x\}' of the command cannot be filled .*known are \{a\}, \{b\}"
    ):
        toml.fill(["{x}"], {"b": 1, "a": 2})


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        (toml.text, ["x"], ["", "  ", 1, None]),
        (toml.texts, [[], ["x"]], ["x", ["x", ""], [1]]),
        (toml.whole, [1, 1_000_000], [0, 1_000_001, 1.0, True, "1"]),
        (toml.seconds, [1, 0.1, 3600], [0, -1, 3601, True, "1", float("nan")]),
        (toml.share, [0, 0.5], [1, -0.1, True, float("nan")]),
        (toml.flag, [True, False], [0, 1, "true"]),
        (toml.interface, ["wsgi", "asgi"], ["cgi", 1]),
        (toml.tables, [{}, {"a": {}}], [{"a": 1}, []]),
        (toml.texts_by_name, [{}, {"a": "x"}], [{"a": ""}, {"a": 1}, []]),
    ],
)
def test_a_reader_takes_what_it_says_and_nothing_else(read: Any, good: list[object], bad: list[object]) -> None:
    assert all(read(value) is not None for value in good)
    assert [value for value in bad if read(value) is not None] == []


def test_a_key_is_read_once_and_none_is_left_unread() -> None:
    table = toml.Table("here", {"one": "x", "tow": "y"})
    assert table.take("one", "a text", toml.text) == "x"
    assert table.take("two", "a text", toml.text, default="z") == "z"
    with pytest.raises(UsageError, match=r"here: the key 'tow' is unknown. Did you mean two"):
        table.done()


def test_a_file_that_cannot_be_read_is_told_by_its_place_in_the_tree(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^a/b.toml: cannot be read: No such file"):
        toml.load_toml(tmp_path / "a" / "b.toml", tmp_path)
