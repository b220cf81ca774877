"""Loads: one spelling each, and what follows from it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebench.model import LARGEST_LOAD, LOAD_KINDS, OPEN_CONNECTIONS, Load

loads = st.builds(Load, kind=st.sampled_from(LOAD_KINDS), size=st.integers(1, LARGEST_LOAD))


@given(loads)
def test_every_load_is_read_back_from_its_spelling(load: Load) -> None:
    assert Load.parse(str(load)) == load


@pytest.mark.parametrize(
    ("text", "load"),
    [
        ("closed(64)", Load(kind="closed", size=64)),
        ("hold(2000)", Load(kind="hold", size=2000)),
        ("open(500)", Load(kind="open", size=500)),
        ("poisson(500)", Load(kind="poisson", size=500)),
        ("search(50ms)", Load(kind="search", size=50)),
    ],
)
def test_a_load_is_spelt_as_documented(text: str, load: Load) -> None:
    assert (Load.parse(text), str(load)) == (load, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "closed",
        "closed()",
        "closed(0)",
        "closed(-1)",
        "closed(064)",
        "closed(1000000)",
        "closed(64) ",
        "closed(64)\n",
        "closed(64ms)",
        "closed(6٤)",
        "open(0.5)",
        "open(500/s)",
        "search(50)",
        "search(0ms)",
        "search(50 ms)",
        "wild(3)",
    ],
)
def test_what_is_no_load_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text) or "^$"):
        Load.parse(text)


@given(loads)
def test_a_load_is_looped_paced_held_or_no_load_at_all(load: Load) -> None:
    assert [load.looped, load.paced, load.held, load.kind == "speak"].count(True) == 1
    assert load.connections == (OPEN_CONNECTIONS if load.paced else load.size)
