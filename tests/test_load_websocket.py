"""The generator over WebSockets: round trips in a closed loop, and connections that are held."""

import time
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from driving import SCENARIOS, figures, job, together
from loadservers import echo_server, http_server, reply

pytestmark = pytest.mark.server


def counts(seen: dict[str, Any]) -> tuple[int, ...]:
    """How many connections were offered, opened and kept."""
    told = seen["connections"]
    assert set(told) == {"offered", "opened", "kept", "late", "unopened", "opening_s"}
    assert told["opening_s"] >= 0
    assert told["offered"] == told["opened"] + sum(told["unopened"].values())
    return tuple(told[key] for key in ("offered", "opened", "kept"))


async def missing(_path: str) -> bytes:
    return reply(b"", status=404)


def test_every_round_trip_over_a_websocket_is_a_request_and_what_goes_wrong_an_error() -> None:
    talk = partial(job, scenario=SCENARIOS / "websocket.py")
    with ExitStack() as stack:
        fine, bad, lossy = (
            stack.enter_context(server)
            for server in (echo_server(), echo_server(spoil=True), echo_server(drop_each=100))
        )
        none, _ = stack.enter_context(http_server(missing))
        answers = together([talk(fine), talk(none), talk(bad), talk(lossy, timeout_s=0.1)])
    seen, refused, spoilt, dropped = (figures for _, figures in answers)
    assert (seen["errors"], seen["connections"]) == (0, None)
    assert seen["bodies_checked"] == seen["requests"] > 0
    assert 0 < seen["in_flight_mean"] <= 4
    assert (refused["requests"], refused["error_reasons"]) == (0, {"handshake answered with status 404": 4})
    assert spoilt["requests"] == 0
    assert spoilt["error_reasons"] == {"echo other than the message": spoilt["errors"]}
    assert dropped["requests"] > 0, "the user goes on over another connection"
    assert dropped["error_reasons"] == {"no echo within 0.1 s": dropped["errors"]}


def test_users_whose_connection_never_opens_are_errors_and_hold_nobody_up() -> None:
    begun = time.perf_counter()
    with echo_server(at_a_time=1) as host:
        seen = figures(host, scenario=SCENARIOS / "websocket.py", load=("closed", 16))
    assert time.perf_counter() - begun < 12
    assert seen["requests"] > 0
    assert seen["error_reasons"] == {"connection not opened within 3 s": 15}


def test_held_connections_are_counted_and_each_speaks_once() -> None:
    with echo_server() as host:
        seen = figures(host, scenario=SCENARIOS / "websocket.py", load=("hold", 300))
    assert counts(seen) == (300, 300, 300)
    assert (seen["requests"], seen["errors"]) == (300, 0)
    assert seen["warmup_settled"] is True


def test_a_server_that_takes_few_of_many_connections_is_no_error_and_soon_known() -> None:
    begun = time.perf_counter()
    with echo_server(at_a_time=16) as host:
        seen = figures(host, scenario=SCENARIOS / "websocket.py", load=("hold", 1000))
    assert time.perf_counter() - begun < 15
    assert counts(seen) == (1000, 16, 16)
    assert (seen["requests"], seen["errors"]) == (16, 0)
    assert set(seen["connections"]["unopened"]) == {
        "connection not opened within 3 s",
        "given up, as none had opened for 4 s",
    }, "those that were tried, and those that were not"


def test_connections_that_stay_silent_are_opened_and_not_kept() -> None:
    with echo_server(drop_each=1) as host:
        seen = figures(host, scenario=SCENARIOS / "websocket.py", load=("hold", 20))
    assert counts(seen) == (20, 20, 0)
    assert (seen["requests"], seen["errors"]) == (0, 0)


def test_a_server_that_speaks_unasked_over_a_held_connection_spoils_it_and_it_counts_once() -> None:
    with echo_server(greet=True) as host:
        seen = figures(host, scenario=SCENARIOS / "websocket.py", load=("hold", 20))
    assert counts(seen) == (20, 20, 0)
    assert seen["requests"] == 0
