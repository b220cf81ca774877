"""The generator's WebSocket frames, against those of `websockets`, however they are cut, and against garbage."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_wire import cut, parsed
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from gatebench.swarm import frames
from gatebench.swarm.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frames, accepted, frame, handshake
from gatebench.swarm.wire import WireError

REASONS = {
    frames.MASKED,
    frames.RESERVED,
    frames.WRONG_CONTROL,
    frames.STRAY,
    frames.NESTED,
    frames.LONG_MESSAGE,
}
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455's example, as is the next
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
SWITCHED = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    f"Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
)
SIZES = [0, 1, 125, 126, 65535, 65536]
MASKS = st.integers(0, 2**32 - 1)


def of_server(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    return Frame(Opcode(opcode), payload, fin=fin).serialize(mask=False)


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    size = draw(st.sampled_from(SIZES) | st.integers(0, 300))
    return (draw(st.binary(min_size=1, max_size=7)) * size)[:size]


@st.composite
def talks(draw: st.DrawFn) -> tuple[bytes, list[tuple[int, bytes]]]:
    """Draw what a server sends, messages in fragments with control frames between, and what that says."""
    raw, said = b"", []
    for _ in range(draw(st.integers(1, 4))):
        opcode, payload = draw(st.sampled_from([TEXT, BINARY])), draw(payloads())
        places = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        for number, (a, b) in enumerate(zip([0, *places], [*places, len(payload)], strict=True)):
            if draw(st.integers(0, 3)) == 0:
                control = draw(st.sampled_from([PING, PONG])), draw(st.binary(max_size=125))
                raw += of_server(*control)
                said.append(control)
            raw += of_server(CONTINUATION if number else opcode, payload[a:b], fin=number == len(places))
        said.append((opcode, payload))
    return raw, said


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_messages_cut_anywhere_come_out_whole_and_in_order(data: st.DataObject) -> None:
    raw, said = data.draw(talks())
    parts = data.draw(cut(raw[:2000])) + ([raw[2000:]] if len(raw) > 2000 else [])
    received = Frames()
    assert [message for part in parts for message in received.feed(part)] == said
    assert received._buffer is None, "an idle connection holds nothing"
    assert received._message is None


@given(st.lists(st.tuples(st.sampled_from([TEXT, BINARY]), payloads(), MASKS), max_size=4))
@settings(max_examples=100, deadline=None)
def test_our_frames_are_read_by_a_server(messages: list[tuple[int, bytes, int]]) -> None:
    server = ServerProtocol(state=OPEN, max_size=None)
    server.receive_data(b"".join(frame(*message) for message in messages))
    read = [event for event in server.events_received() if isinstance(event, Frame)]
    assert [(event.opcode, event.data) for event in read] == [message[:2] for message in messages]
    assert server.parser_exc is None


def test_our_control_frames_are_read_by_a_server() -> None:
    server = ServerProtocol(state=OPEN)
    server.receive_data(frame(PING, b"x", 7) + frame(CLOSE, Close(1000, "").serialize(), 0xFFFFFFFF))
    assert [str(event) for event in server.events_received()] == [
        "PING 'x' [text, 1 byte]",
        "CLOSE 1000 (OK) [2 bytes]",
    ]
    pong, close = Frames().feed(b"".join(server.data_to_send()))
    assert (pong, close[0]) == ((PONG, b"x"), CLOSE)


@pytest.mark.parametrize("size", SIZES)
def test_a_mask_covers_every_byte_of_a_payload(size: int) -> None:
    raw = frame(BINARY, bytes(size), 0x01020304)
    masked = raw[len(raw) - size :]
    assert masked == (b"\x01\x02\x03\x04" * size)[:size]


def test_a_whole_message_within_another_is_not_taken_by_the_short_way() -> None:
    received = Frames()
    assert received.feed(of_server(TEXT, b"a", fin=False)) == []
    with pytest.raises(WireError, match=frames.NESTED):
        received.feed(of_server(TEXT, b"b"))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (frame(TEXT, b"a", 1), frames.MASKED),
        (frame(PING, b"", 1), frames.MASKED),
        *((bytes([0x80 | bit | TEXT, 0]), frames.RESERVED) for bit in (0x40, 0x20, 0x10)),
        *((bytes([0x80 | opcode, 0]), frames.RESERVED) for opcode in (3, 7, 11, 15)),
        (bytes([PING, 0]), frames.WRONG_CONTROL),
        (bytes([0x80 | CLOSE, 126]), frames.WRONG_CONTROL),
        (bytes([0x80 | PONG, 127]), frames.WRONG_CONTROL),
        (of_server(CONTINUATION, b"a"), frames.STRAY),
        (of_server(TEXT, b"a") + of_server(CONTINUATION, b"a"), frames.STRAY),
        (of_server(TEXT, b"a", fin=False) + of_server(CONTINUATION, b"") * 2, frames.STRAY),
        (of_server(TEXT, b"a", fin=False) + of_server(BINARY, b"b", fin=False), frames.NESTED),
        (bytes([0x80 | TEXT, 127]) + ((64 << 20) + 1).to_bytes(8, "big"), frames.LONG_MESSAGE),
        (bytes([0x80 | TEXT, 127]) + b"\xff" * 8, frames.LONG_MESSAGE),
    ],
)
def test_a_server_that_breaks_the_protocol_is_refused_with_its_reason(raw: bytes, reason: str) -> None:
    for parts in ([raw], [raw[at : at + 1] for at in range(len(raw))]):
        received = Frames()
        with pytest.raises(WireError) as caught:  # noqa: PT012 - which part is refused is no matter
            for part in parts:
                received.feed(part)
        assert str(caught.value) == reason


def test_a_message_at_the_limit_is_taken_and_its_fragments_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MESSAGE_LIMIT", 10)
    begin = of_server(TEXT, b"x" * 6, fin=False) + of_server(PING, b"y" * 125)
    assert Frames().feed(begin + of_server(CONTINUATION, b"x" * 4))[1:] == [(TEXT, b"x" * 10)]
    with pytest.raises(WireError, match=r"^message longer than 64 MiB$"):
        Frames().feed(begin + of_server(CONTINUATION, b"x" * 5)[:2])


def test_a_long_message_in_small_parts_is_joined_in_the_time_that_a_test_has() -> None:
    raw = of_server(BINARY, bytes(range(256)) * (32 << 12))
    received = Frames()
    found = [m for at in range(0, len(raw), 512) for m in received.feed(raw[at : at + 512])]
    assert found == [(BINARY, raw[10:])]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_garbage_is_messages_or_refused_for_a_known_reason(data: st.DataObject) -> None:
    raw = data.draw(talks())[0][:500]
    at = data.draw(st.integers(0, len(raw)))
    raw = data.draw(st.just(raw[:at]) | st.just(b"")) + data.draw(st.binary(min_size=1, max_size=20)) + raw[at:]
    received, fed = Frames(), 0
    try:
        for part in data.draw(cut(raw)):
            fed += len(part)
            for opcode, payload in received.feed(part):
                assert opcode in {TEXT, BINARY, CLOSE, PING, PONG}
                assert len(payload) < fed
            assert len(received._buffer or b"") + len(received._message or b"") <= fed
    except WireError as error:
        assert str(error) in REASONS  # noqa: PT017 - messages are as good


def test_our_handshake_is_accepted_by_a_server_and_its_answer_by_us() -> None:
    server = ServerProtocol()
    server.receive_data(handshake("/ws?a=b", "localhost:80", KEY))
    (request,) = server.events_received()
    assert isinstance(request, Request)
    assert request.path == "/ws?a=b"
    assert request.headers["Host"] == "localhost:80"
    assert "Sec-WebSocket-Extensions" not in request.headers
    response = server.accept(request)
    assert isinstance(response, Response)
    assert response.status_code == 101
    server.send_response(response)
    server.send_text(b"hello")
    parser = parsed(b"".join(server.data_to_send()))
    assert parser.head is not None
    assert accepted(parser.head, KEY) == ""
    assert Frames().feed(parser.rest()) == [(TEXT, b"hello")]


def said_of(answer: str) -> str:
    head = parsed(answer.encode()).head
    assert head is not None
    return accepted(head, KEY)


def test_a_handshake_is_accepted_in_any_case_and_among_other_options() -> None:
    assert said_of(SWITCHED) == ""


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        ("Upgrade: WebSocket", "Upgrade: h2c"),
        ("Upgrade: WebSocket\r\n", ""),
        ("keep-alive, Upgrade", "keep-alive"),
        (ACCEPT, ACCEPT.lower()),
        (f"Sec-WebSocket-Accept: {ACCEPT}\r\n", ""),
        ("\r\n\r\n", f"\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"),
        ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        ("\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat\r\n\r\n"),
    ],
)
def test_a_handshake_that_lacks_a_part_or_adds_one_is_not_completed(part: str, instead: str) -> None:
    assert said_of(SWITCHED.replace(part, instead)) == "handshake not completed"


def test_a_handshake_with_another_status_says_which() -> None:
    assert said_of("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") == "handshake answered with status 403"
