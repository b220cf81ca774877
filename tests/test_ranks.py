"""Servers held against their stars: what refutes, what confirms, and what a tie leaves open."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import sessions
from sessions import Truth, part

from gatebench import claims, sweeps, tables
from gatebench.model import Verdict

UVICORN, HYPERCORN, DAPHNE = "raw_asgi+uvicorn", "raw_asgi+hypercorn", "raw_asgi+daphne"  # of 5, 4 and 3 stars


def judged(rates: Mapping[str, float]) -> dict[str, Verdict]:
    """Judge servers by what they reached, a block every other one of which is a twentieth slower."""
    order = part("servers.order", tuple(rates), ("plain closed(64)",))
    session = sessions.session(parts=[order], truth=Truth(rate=lambda stack, scenario, size: rates[stack], noise=0.5))
    compared = tables.comparisons(session)
    rows = claims.load()
    found = claims.judge(rows, claims.gather(session, compared, sweeps.sweeps(compared)))
    return {each.claim.key.removeprefix("asgi."): each for each in found if each.claim.key.startswith("asgi.")}


def test_an_order_as_the_stars_have_it_is_confirmed() -> None:
    found = judged({UVICORN: 9000, HYPERCORN: 5000, DAPHNE: 3000})
    assert {name: each.word for name, each in found.items() if name in ("Uvicorn", "Hypercorn", "Daphne")} == {
        "Uvicorn": "confirmed",
        "Hypercorn": "confirmed",
        "Daphne": "confirmed",
    }
    assert "pairs with other stars: 2 as the stars say, 0 tied, 0 against" in found["Hypercorn"].why
    assert found["Hypercorn"].why.startswith("place 2 of 3;")


def test_a_tie_is_not_made_up_for_by_the_pairs_that_agree() -> None:
    found = judged({UVICORN: 9000, HYPERCORN: 3000, DAPHNE: 3000})
    assert found["Uvicorn"].word == "confirmed"
    for name in ("Hypercorn", "Daphne"):
        assert found[name].word == "undecided"
        assert "1 as the stars say, 1 tied, 0 against" in found[name].why
        assert found[name].why.startswith("place 2\N{EN DASH}3 of 3; tied with ")


@pytest.mark.parametrize("name", ["Hypercorn", "Daphne"])
def test_one_pair_against_the_stars_refutes_whatever_the_others_are(name: str) -> None:
    found = judged({UVICORN: 9000, HYPERCORN: 3000, DAPHNE: 5000})[name]
    assert found.word == "refuted"
    assert "1 as the stars say, 0 tied, 1 against" in found.why
