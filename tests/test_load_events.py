"""The generator as a listener: streams of events that are opened, heard and kept, and what may become of them."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from driving import SCENARIOS, drive, job
from hypothesis import given
from hypothesis import strategies as st
from loadservers import Pieces, echo_server, events, http_server, in_a_stream, reply

from gatebench.histogram import from_json, percentile
from gatebench.swarm.events import Numbered
from gatebench.swarm.wire import Parser, WireError

SCENARIO = """
from gatebench.swarm import EngineUser, Events


class Listener(EngineUser):
    mix = Events("/sse?n=99&every=0.1", every_s=0.1)
"""


def listened(tmp_path: Path, pieces: Pieces | bytes, **changes: Any) -> dict[str, Any]:
    """Hold ten streams of a server that sends these pieces."""

    async def behaviour(path: str) -> Pieces | bytes:
        assert path == "/sse?n=99&every=0.1"
        return pieces

    return held(tmp_path, behaviour, **changes)


def held(tmp_path: Path, behaviour: Callable[[str], Awaitable[Any]], **changes: Any) -> dict[str, Any]:
    path = tmp_path / "listener.py"
    path.write_text(SCENARIO)
    with http_server(behaviour) as (host, _):
        code, seen = drive(job(host, scenario=path, **{"load": ("hold", 10), "window_s": 1.5, **changes}))
    assert code == 0, seen
    told = seen["connections"]
    assert told["offered"] == told["opened"] + sum(told["unopened"].values())
    return seen


def counts(seen: dict[str, Any]) -> tuple[int, ...]:
    return tuple(seen["connections"][key] for key in ("opened", "kept", "late"))


@pytest.mark.server
@pytest.mark.parametrize("chunked", [True, False])
def test_each_event_in_the_window_is_a_request_and_a_stream_that_goes_on_is_kept(
    tmp_path: Path, chunked: bool
) -> None:
    seen = listened(tmp_path, in_a_stream(events(99, 0.1), chunked=chunked))
    assert counts(seen) == (10, 10, 0)
    assert seen["errors"] == 0
    assert 10 < seen["requests"] <= 10 * 16
    assert seen["bodies_checked"] == seen["requests"]


@pytest.mark.server
def test_an_event_takes_as_long_as_it_is_late(tmp_path: Path) -> None:
    seen = listened(tmp_path, in_a_stream(events(99, 0.4)))
    median_s = percentile(from_json(seen["response"]), 0.5)
    assert median_s is not None
    assert 0.25 < median_s < 1.0, "0.4 s after the one before, where 0.1 s was to be"
    assert counts(seen) == (10, 10, 0)


@pytest.mark.server
def test_a_stream_that_falls_silent_is_not_kept_although_it_stays_open(tmp_path: Path) -> None:
    seen = listened(tmp_path, in_a_stream([*events(3, 0.1), 60.0]), window_s=3.0)
    assert counts(seen)[:2] == (10, 0)
    assert (seen["errors"], seen["error_reasons"]) == (0, {})


@pytest.mark.server
@pytest.mark.parametrize("chunked", [True, False])
def test_a_stream_that_ends_in_the_window_is_lost(tmp_path: Path, chunked: bool) -> None:
    seen = listened(tmp_path, in_a_stream(events(4, 0.1), chunked=chunked))
    assert (counts(seen), seen["errors"]) == ((10, 0, 0), 0)


@pytest.mark.server
def test_a_stream_that_leaves_a_number_out_is_wrong_and_lost(tmp_path: Path) -> None:
    spoilt: Pieces = [*events(3, 0.1), 0.1, b"data: 5\n\n", 0.1, b"data: 6\n\n", 60.0]
    seen = listened(tmp_path, in_a_stream(spoilt))
    assert counts(seen) == (10, 0, 0)
    assert seen["error_reasons"] == {"event other than the next number": seen["errors"]}
    assert seen["errors"] > 0


@pytest.mark.server
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ([reply(b"", status=404)], "status 404 where 200 was expected"),
        ([reply(b"data: 1\n\n")], "answer of a known length where a stream was expected"),
        (in_a_stream([b"hello\n\n", 60.0]), "event other than the next number"),
        (in_a_stream([]), "stream ended"),
        (in_a_stream([], chunked=False), "connection closed before the first event"),
        ([None], "connection closed before the first event"),
        (in_a_stream([b"data: 1\n", 60.0]), "connection not opened within 3 s"),
    ],
)
def test_a_stream_opens_with_its_first_event_and_else_it_is_told_why_not(
    tmp_path: Path, answer: Pieces, reason: str
) -> None:
    seen = listened(tmp_path, answer)
    assert counts(seen) == (0, 0, 0)
    assert seen["connections"]["unopened"] == {reason: 10}
    assert (seen["requests"], seen["errors"]) == (0, 0)


@pytest.mark.parametrize("load", [("closed", 4), ("open", 10)])
def test_who_listens_asks_nothing_and_is_refused_where_asking_is_measured(load: tuple[str, int]) -> None:
    code, said = drive(job("http://127.0.0.1:9", scenario=SCENARIOS / "push.py", load=load))
    assert code == 2
    assert "take hold(CONNECTIONS)" in said["error"]


@pytest.mark.server
def test_a_scenario_of_echoes_is_held_beside_those_of_events() -> None:
    with echo_server() as host:
        _, seen = drive(job(host, scenario=SCENARIOS / "websocket.py", load=("hold", 8)))
    assert counts(seen) == (8, 8, 0)


@given(st.data(), st.integers(1, 25))
def test_events_are_the_same_however_they_are_cut(data: st.DataObject, count: int) -> None:
    text = b"".join(b"data: %d\n\n" % number for number in range(1, count + 1))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    numbered = Numbered()
    told = [numbered.feed(text[a:b]) for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert (sum(told), numbered.count) == (count, count)
    assert numbered.length == len(b"data: %d\n\n" % count)


@pytest.mark.parametrize(
    "text", [b"data: 2\n\n", b"data:1\n\n", b": ping\n\n", b"data: 1\r\n\r\n", b"data: 1\n\ndata: 1"]
)
def test_what_is_not_the_next_event_is_seen_at_its_first_wrong_byte(text: bytes) -> None:
    with pytest.raises(WireError, match="event other than the next number"):
        Numbered().feed(text)


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_without_end_is_given_and_forgotten(chunked: bool) -> None:
    parser = Parser()
    came = b""
    for piece in in_a_stream([b"a" * 700, b"b" * 70_000, b"c"], chunked=chunked):
        if isinstance(piece, bytes):
            parser.feed(piece)
            came += parser.drain()
            assert parser.drain() == b""
            assert parser.length == 0
    assert came == b"a" * 700 + b"b" * 70_000 + b"c"


def test_a_body_of_a_known_length_is_not_taken_apart() -> None:
    parser = Parser()
    assert parser.drain() == b""
    parser.feed(reply(b"12345")[:-2])
    assert parser.drain() == b""
    assert parser.feed(b"45")
    assert parser.body() == b"12345"
