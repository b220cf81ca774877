"""The protocols of a server, found by speaking them: each is seen to be a yes, and each to be a no."""

from __future__ import annotations

import socket
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from protocolservers import faking, faking_h3

from gatebench.errors import UsageError
from gatebench.model import Capability
from gatebench.protocols import PROTOCOLS, speak
from gatebench.protocols.talk import Record

NAMES = [name for name, _ in PROTOCOLS]


@pytest.fixture(scope="session")
def certificate(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    sys.path.insert(0, str(root / "compose" / "launchers"))
    try:
        from certifying import certify  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    key, made = certify(tmp_path_factory.mktemp("certificate"), "127.0.0.1")
    return key, made


def one(server: AbstractContextManager[int], protocol: str, *, tls: bool = False) -> Capability:
    with server as port:
        found = speak(host="127.0.0.1", port=port, tls=tls, protocols=[protocol])
    assert [entry.protocol for entry in found] == [protocol]
    assert bool(found[0].transcript) == (found[0].answer == "no"), "what was said is kept where the answer is no"
    return found[0]


def test_a_good_server_in_clear_speaks_all_that_can_be_had_in_clear() -> None:
    with faking("keeps 1.0") as port:
        found = {entry.protocol: entry for entry in speak(host="127.0.0.1", port=port)}
    assert list(found) == NAMES
    assert {name for name, entry in found.items() if entry.answer != "yes"} == {"h2", "h3", "h3 multiplexing"}
    assert found["sse streams"].figure == 200


def test_a_good_server_with_tls_speaks_all_over_tls(certificate: tuple[Path, Path]) -> None:
    with faking("keeps 1.0", certificate=certificate) as port:
        found = {entry.protocol: entry for entry in speak(host="127.0.0.1", port=port, tls=True)}
    assert {name for name, entry in found.items() if entry.answer != "yes"} == {"h2c", "h3", "h3 multiplexing"}
    assert found["sse streams"].figure == 200


def test_a_server_with_one_thread_is_not_blamed_for_its_queue() -> None:
    with faking("one thread", "closes", "no 100", "no prior knowledge", "no upgrade") as port:
        found = {entry.protocol: entry for entry in speak(host="127.0.0.1", port=port)}
    yes = {name for name, entry in found.items() if entry.answer == "yes"}
    assert yes >= {"http/1.0", "http/1.1", "chunked request", "chunked response", "websocket", "sse"}
    assert found["100-continue"].answer == "no"
    assert (found["sse streams"].answer, found["sse streams"].figure) == ("no", 1)


@pytest.mark.parametrize(
    ("protocol", "faults", "why"),
    [
        ("http/1.0", ["no 1.0"], "it answered 400"),
        ("http/1.0 keep-alive", [], "a second one not: the server closed"),
        ("http/1.1", ["old"], "by HTTP/1.0"),
        ("http/1.1 keep-alive", ["closes"], "a second one not: the server closed"),
        ("pipelining", ["disorder"], "answer 1 is not that of request 1"),
        ("pipelining", ["closes"], "1 of 3 requests in one packet were answered"),
        ("chunked request", ["no chunks"], "another body"),
        ("chunked response", ["unframed"], "up to the connection's end, not in chunks"),
        ("h2c", ["no prior knowledge", "no upgrade"], "by Upgrade: asked to upgrade, it answered HTTP/1.1 200"),
        ("h2c", ["no h2"], "it answered 503"),
        ("h2 multiplexing", ["in a row"], "that wait 0.5 s each took"),
        ("websocket", ["no websocket"], "it answered 200 to the handshake"),
        ("websocket", ["parrot"], "another message"),
        ("websocket over h2", ["no connect"], "do not offer the extended CONNECT"),
        ("sse", ["holds back"], "they were held back"),
        ("request trailers", ["no trailers"], "it answered 400"),
        ("response trailers", ["no trailers out", "no trailers out of h2"], "without its trailer"),
        ("response trailers", ["no route", "no trailers out of h2"], "no route"),
        ("100-continue", ["no 100"], "no 100 within"),
        ("openapi", ["undescribed"], "no description of paths"),
        ("http/1.1", ["silence"], "nothing more came within"),
    ],
)
def test_a_fault_is_a_no_that_says_what_was_seen(protocol: str, faults: list[str], why: str) -> None:
    found = one(faking(*faults), protocol)
    assert found.answer == "no"
    assert why in found.why


def test_streams_are_counted_up_to_what_a_worker_keeps() -> None:
    few, single = one(faking(streams=5), "sse streams"), one(faking(streams=1), "sse streams")
    assert (few.answer, few.figure) == ("yes", 5)
    assert (single.answer, single.figure) == ("no", 1)


@pytest.mark.parametrize(
    ("without", "way"),
    [("no upgrade", "prior knowledge"), ("no prior knowledge", "Upgrade"), ("", "knowledge and by")],
)
def test_http2_in_clear_says_which_way_it_was_had(without: str, way: str) -> None:
    found = one(faking(without), "h2c")
    assert found.answer == "yes"
    assert way in found.why.partition(";")[0]


@pytest.mark.parametrize("protocol", ["h2 multiplexing", "websocket over h2"])
def test_http2_by_upgrade_alone_is_used_for_what_goes_over_it(protocol: str) -> None:
    assert one(faking("no prior knowledge"), protocol).answer == "yes"


def test_trailers_over_http2_alone_are_trailers() -> None:
    found = one(faking("no trailers out"), "response trailers")
    assert found.answer == "yes"
    assert "over HTTP/2" in found.why


def test_tls_without_h2_is_a_no(certificate: tuple[Path, Path]) -> None:
    found = one(faking("no alpn", certificate=certificate), "h2", tls=True)
    assert found.answer == "no"
    assert "not h2" in found.why


def test_tls_is_tried_where_there_is_none() -> None:
    found = one(faking("no h2"), "h2")
    assert found.answer == "no"
    assert found.transcript is not None
    assert "> \\x16\\x03" in found.transcript, "a ClientHello went out"


def test_http3_is_spoken_and_its_streams_overlap(certificate: tuple[Path, Path]) -> None:
    assert one(faking_h3(certificate), "h3").answer == "yes"
    found = one(faking_h3(certificate), "h3 multiplexing")
    assert found.answer == "yes"
    assert found.figure is not None
    assert found.figure >= 0.5


def test_http3_that_fails_or_queues_its_streams_is_a_no(certificate: tuple[Path, Path]) -> None:
    assert one(faking_h3(certificate, status="503"), "h3").why == "it answered 503"
    found = one(faking_h3(certificate, in_a_row=True), "h3 multiplexing")
    assert found.answer == "no"
    assert found.figure is not None
    assert found.figure >= 2.5


def test_a_port_of_udp_that_says_nothing_is_a_no() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        (found,) = speak(host="127.0.0.1", port=mute.getsockname()[1], tls=True, protocols=["h3"], patience_s=0.2)
    assert found.answer == "no"
    assert "within" in found.why


def test_a_server_that_is_not_there_is_a_no_to_all() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = speak(host="127.0.0.1", port=free.getsockname()[1])
    assert {entry.answer for entry in found} == {"no"}
    assert all(entry.transcript for entry in found)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        bytes(range(256)) * 8,
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n" + b"\xff" * 400,
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x03\x01\x04\x00\x00\x00\x01\xff\xff\xff",  # HTTP/2, bad HPACK
        b"\x16\x03\x03\x00\x04abcd" * 9,
    ],
)
def test_nonsense_is_a_no_to_all_and_never_an_error(nonsense: bytes) -> None:
    with faking(nonsense=nonsense) as port:
        found = speak(host="127.0.0.1", port=port, patience_s=0.2)
    assert {entry.answer for entry in found} == {"no"}
    assert all(entry.why and entry.transcript for entry in found)


def test_what_the_app_has_no_route_for_is_untried() -> None:
    with faking() as port:
        found = speak(
            host="127.0.0.1", port=port, websocket_path=None, lacks={"sse": "no generators", "upload": "no bodies"}
        )
    untried = {entry.protocol: entry.why for entry in found if entry.answer == "untried"}
    assert set(untried) == {
        *(
            "websocket",
            "websocket over h2",
            "sse",
            "sse streams",
            "chunked request",
            "request trailers",
            "100-continue",
        )
    }
    assert untried["sse"] == "the app lacks the route sse: no generators"


@pytest.mark.parametrize("host", ["192.0.2.1", "example.org", "0.0.0.0", "::"])
def test_no_other_machine_is_spoken_to(host: str) -> None:
    with pytest.raises(UsageError, match="loopback only"):
        speak(host=host, port=80)


def test_a_protocol_that_nobody_knows_is_told() -> None:
    with pytest.raises(UsageError, match="There is no protocol 'gopher'"):
        speak(host="127.0.0.1", port=80, protocols=["gopher"])


def test_a_transcript_is_short_and_readable() -> None:
    record = Record()
    record.sent(b"GET /\r\n\x00\xff")
    record.came(b"x" * 5000)
    record.came(b"y")
    told = str(record)
    assert "> GET /\\r\\n\\x00\\xff\n" in told
    assert told.endswith("(5001 bytes)")
    assert len(told) < 700
