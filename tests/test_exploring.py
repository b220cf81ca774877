"""The table of all cells: what it gives the page's script of any two stacks that stand beside each other."""

from __future__ import annotations

import sessions
from sessions import FASTAPI, GTHREAD, SYNC, part

from gatebench.metrics import TIMES
from gatebench.report import exploring
from gatebench.report.found import Found, find
from gatebench.report.wording import PLAIN, times


def test_a_cell_of_a_sweep_says_how_many_loads_its_command_measures() -> None:
    swept = part("curves.users", (GTHREAD, FASTAPI), ("plain closed(1)", "plain closed(16)", "db closed(16)"))
    made = exploring.rows(find(sessions.session(parts=[swept, part("flagship")])), PLAIN)
    assert {(row.scenario, row.swept) for row in made if row.part == "curves.users"} == {("plain", 2), ("db", 1)}


def told(found: Found, metric: str) -> dict[tuple[int, int], str]:
    """Give the factor of every two stacks of the first measure, as the script puts it together."""
    said: dict[tuple[int, int], str] = {}
    for text in exploring.related(found)["0"].get(str(exploring.COLUMNS.index(metric)), []):
        both, first, second = text.split("|")
        one, other = map(int, both.split())
        said |= {(one, other): first, (other, one): second}
    return said


def test_a_factor_has_the_same_digits_both_ways_as_anywhere_on_the_page() -> None:
    found = find(sessions.session(parts=[part("flagship", (SYNC, GTHREAD, FASTAPI), ("plain closed(64)",))]))
    measure = found.measures[0]
    for metric in ("rate_rps", "response_p99_s", "cpu_us_per_request"):
        said = told(found, metric)
        assert len(said) == 6
        for (one, other), text in said.items():
            factor = times(measure.ratio(measure.cells[one], measure.cells[other], metric), PLAIN)
            value, low, high = text.split(" ")
            assert (f"{value}{TIMES}", f"{low} to {high}{TIMES}") == (factor.value, factor.interval)


def test_connections_of_which_all_offered_were_kept_make_a_bound_and_none_where_both_kept_all() -> None:
    found = find(sessions.session(parts=[part("flagship", (SYNC, FASTAPI), ("websocket hold(2000)",))]))
    assert told(found, "connections") == {(0, 1): "≤0.000500", (1, 0): "≥2,000"}
    both = find(sessions.session(parts=[part("flagship", (FASTAPI, "fastapi+hypercorn"), ("websocket hold(20)",))]))
    assert [cell.estimate("connections") is None for cell in both.measures[0].cells] == [False, False]
    assert told(both, "connections") == {}
