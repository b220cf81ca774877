"""Texts that differ in their figures only, put as one."""

from __future__ import annotations

import pytest

from gatebench.tables.spans import shape, spanned

DASH = "\N{EN DASH}"


def test_a_figure_that_differs_becomes_its_span_and_one_that_does_not_stays() -> None:
    texts = ["late by 4.2 ms, 1 ms is borne", "late by 1.28 ms, 1 ms is borne", "late by 10 ms, 1 ms is borne"]
    assert len({shape(text) for text in texts}) == 1
    assert spanned(texts) == f"late by 1.28{DASH}10 ms, 1 ms is borne"


def test_figures_with_thousands_are_ordered_as_figures() -> None:
    assert spanned(["9,000 of 10,000", "10,000 of 10,000"]) == f"9,000{DASH}10,000 of 10,000"


@pytest.mark.parametrize("text", ["HTTP/1.1", "h2", "version 0.28.1", "h2(64), 100%", "", "none"])
def test_a_text_alone_stays_as_it_is(text: str) -> None:
    assert spanned([text]) == text


def test_what_is_part_of_a_name_is_no_figure() -> None:
    assert shape("h2 and h3, version 0.28.1") == "h2 and h3, version 0.28.1"
    assert shape("h2: 5 ms") != shape("h3: 5 ms")
