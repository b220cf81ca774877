"""The generator's HTTP/1.1: its answers against h11 and llhttp, however they are cut, and against garbage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import h11
import pytest
from geventhttpclient._parser import HTTPResponseParser
from hypothesis import given, settings
from hypothesis import strategies as st

from gatebench.swarm import wire
from gatebench.swarm.wire import Parser, WireError, fields, render

REASONS = {
    wire.NOT_HTTP,
    wire.LONG_HEAD,
    wire.LONG_BODY,
    wire.NO_SIZE,
    wire.STRANGE_CODING,
    wire.CONTRADICTION,
    wire.CLOSED_BEFORE,
    wire.CLOSED_WITHIN,
}
OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
FEW = settings(max_examples=200, deadline=None)


class Answer(NamedTuple):
    """An answer on its way."""

    method: str
    raw: bytes
    closes: bool  # the body ends with the connection


class Told(NamedTuple):
    """What a parser made of one."""

    status: int
    body: bytes
    keep_alive: bool


# Answers at random, all valid.

TOKENS = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_!#", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20).map(str.strip)
OURS = {"content-length", "transfer-encoding", "connection", "upgrade", "host", "expect", "proxy-connection"}
CONNECTION = ["", "close", "keep-alive", "Close", "Keep-Alive", "foo, close", "keep-alive , foo", "x,\tkeep-alive,y"]


@st.composite
def chunks(draw: st.DrawFn, body: bytes) -> bytes:
    """Cut a body into chunks, with an extension and trailers at times."""
    raw, at = b"", 0
    while at < len(body):
        size = draw(st.integers(1, len(body) - at))
        digits = draw(st.sampled_from(["%x", "%X", "%04x"])) % size
        extension = draw(st.sampled_from(["", "", ";a=b", ';a="b c"']))
        raw += f"{digits}{extension}\r\n".encode() + body[at : at + size] + b"\r\n"
        at += size
    return raw + b"0\r\n" + draw(st.sampled_from([b"", b"", b"Digest: abc\r\n", b"A: b\r\nC:\r\n"])) + b"\r\n"


@st.composite
def answers(draw: st.DrawFn, *, may_close: bool = True) -> Answer:
    """Draw an answer: any framing, any order and case of its fields, heads before the final one at times."""
    method = draw(st.sampled_from(["GET", "GET", "GET", "POST", "HEAD"]))
    status = draw(st.sampled_from([200, 200, 201, 204, 299, 304, 404, 500, 599]))
    minor = draw(st.sampled_from([1, 1, 1, 0]))
    reason = draw(VALUES)
    body = draw(st.binary(max_size=60) | st.sampled_from([b"\r\n\r\n", b"0\r\n\r\n", HELLO, b"x" * 3000]))
    bodiless = method == "HEAD" or status in (204, 304)
    framings = ["length"]
    if minor:
        framings.append("chunks")
    if may_close or bodiless:
        framings.append("close")
    framing = draw(st.sampled_from(framings))
    lines = [(n, v) for n, v in draw(st.lists(st.tuples(TOKENS, VALUES), max_size=5)) if n.lower() not in OURS]
    sent = body
    if framing == "length":
        lines.append(("Content-Length", str(len(body))))
    elif framing == "chunks":
        lines.append(("Transfer-Encoding", draw(st.sampled_from(["chunked", "Chunked"]))))
        sent = draw(chunks(body))
    if connection := draw(st.sampled_from(CONNECTION)):
        lines.append(("Connection", connection))
    cased: Callable[[str], str] = draw(st.sampled_from([str.title, str.lower, str.upper]))
    blank = draw(st.sampled_from([" ", "", "\t", "  "]))
    text = "".join(f"{cased(name)}:{blank}{value}\r\n" for name, value in draw(st.permutations(lines)))
    before = draw(st.sampled_from(["", "", "", "100 Continue", "103 Early Hints", "102"]))
    interim = f"HTTP/1.1 {before}\r\nLink: <x>\r\n\r\n" if before else ""
    head = f"{interim}HTTP/1.{minor} {status} {reason}\r\n{text}\r\n".encode("latin-1")
    return Answer(method, head + (b"" if bodiless else sent), framing == "close" and not bodiless)


@st.composite
def cut(draw: st.DrawFn, raw: bytes) -> list[bytes]:
    """Cut bytes anywhere: once, into single bytes, or at some places."""
    if draw(st.integers(0, 9)) == 0:
        return [raw[at : at + 1] for at in range(len(raw))]
    places = sorted(draw(st.sets(st.integers(1, max(len(raw) - 1, 1)), max_size=6)))
    return [part for part in (raw[a:b] for a, b in zip([0, *places], [*places, len(raw)], strict=True)) if part]


# The three parsers.


def ours(parser: Parser, answer: Answer, parts: list[bytes]) -> Told:
    parser.begin(bodiless=answer.method == "HEAD")
    assert not parser.begun
    for number, part in enumerate(parts, 1):
        complete = parser.feed(part)
        assert complete or parser.begun
        assert complete == (number == len(parts) and not answer.closes)
    if answer.closes:
        assert parser.end()
    assert not parser.surplus
    assert parser.rest() == b""
    assert parser.length == len(parser.body())
    return Told(parser.status, parser.body(), parser.keep_alive)


def by_h11(answer: Answer) -> Told:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=answer.method, target="/", headers=[("Host", "x"), ("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(answer.raw)
    if answer.closes:
        connection.receive_data(b"")
    status, body = 0, b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        assert not isinstance(event, type)
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
    done = connection.their_state is h11.DONE and connection.our_state is h11.DONE
    return Told(status, body, done and not answer.closes)


class Llhttp(HTTPResponseParser):
    """The parser that Locust uses."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method, self.body = method, b""
        self.told: Told | None = None

    def _on_message_begin(self) -> None: ...

    def _on_status(self, _text: str) -> None: ...

    def _on_header_field(self, _text: str) -> None: ...

    def _on_header_value(self, _text: str) -> None: ...

    def _on_headers_complete(self) -> bool:
        return self.method == "HEAD"

    def _on_body(self, part: bytes) -> None:
        self.body += bytes(part)

    def _on_message_complete(self) -> None:
        if self.get_code() >= 200:
            self.told = Told(self.get_code(), self.body, self.should_keep_alive())


def by_llhttp(answer: Answer) -> Told:
    parser = Llhttp(answer.method)
    parser.feed(answer.raw)
    if answer.closes:
        parser.feed(b"")
    assert parser.told is not None
    return parser.told


@given(st.data())
@FEW
def test_an_answer_cut_anywhere_says_what_h11_and_llhttp_say(data: st.DataObject) -> None:
    answer = data.draw(answers())
    told = ours(Parser(), answer, data.draw(cut(answer.raw)))
    assert told == by_llhttp(answer)
    expected = by_h11(answer)
    if b"HTTP/1.0" in answer.raw:  # h11 never keeps a connection of HTTP/1.0, whatever it says
        assert told[:2] == expected[:2]
    else:
        assert told == expected


@given(st.data())
@FEW
def test_one_parser_takes_answers_one_after_another(data: st.DataObject) -> None:
    parser = Parser()
    for answer in data.draw(st.lists(answers(), min_size=2, max_size=5)):
        expected = by_llhttp(answer)
        assert ours(parser, answer, data.draw(cut(answer.raw))) == expected
        assert ours(parser, answer, [answer.raw]) == expected, "and again, its head being known now"
        assert ours(parser, answer, data.draw(cut(answer.raw))) == expected


@given(st.data())
@FEW
def test_what_follows_an_answer_is_surplus_and_handed_out(data: st.DataObject) -> None:
    answer = data.draw(answers(may_close=False))
    surplus = data.draw(st.binary(min_size=1, max_size=20))
    parser = Parser()
    for _ in range(2):
        parser.begin(bodiless=answer.method == "HEAD")
        assert parser.feed(answer.raw + surplus)
        assert (parser.surplus, parser.keep_alive, parser.rest()) == (True, False, surplus)
        assert (parser.status, parser.body()) == by_llhttp(answer)[:2]


def parsed(raw: bytes, *, bodiless: bool = False) -> Parser:
    """Parse a whole answer, which ends with the connection where nothing else ends it."""
    parser = Parser()
    parser.begin(bodiless=bodiless)
    assert parser.feed(raw) or parser.end()
    return parser


def refusal(*parts: bytes, closed: bool = False) -> str:
    parser = Parser()
    with pytest.raises(WireError) as caught:  # noqa: PT012 - which part is refused is another test's matter
        for part in parts:
            parser.feed(part)
        if closed:
            parser.end()
    assert not parser.keep_alive
    return str(caught.value)


# Heads that are remembered.


@pytest.fixture(autouse=True)
def _no_known_heads() -> Iterator[None]:
    wire._heads.clear()
    yield
    wire._heads.clear()


def test_the_same_head_after_head_and_after_get_has_a_body_only_then() -> None:
    parser = Parser()
    raw = HELLO[:-5]
    for _ in range(3):
        parser.begin(bodiless=True)
        assert parser.feed(raw)
        assert (parser.body(), parser.keep_alive) == (b"", True)
        assert parser.head is not None
        assert parser.head.length == 5
        parser.begin()
        assert not parser.feed(raw)
        assert parser.feed(b"hello")
        assert (parser.body(), parser.keep_alive) == (b"hello", True)


def test_a_known_head_does_not_end_a_longer_or_an_unfinished_body() -> None:
    parser = parsed(HELLO)
    parser.begin()
    assert not parser.feed(HELLO[:-1])
    parser.begin()
    assert parser.feed(HELLO + b"!")
    assert parser.surplus


def test_a_body_after_a_head_request_is_surplus_though_the_head_is_known() -> None:
    parser = parsed(HELLO)
    parser.begin(bodiless=True)
    assert parser.feed(HELLO)
    assert (parser.body(), parser.surplus, parser.rest(), parser.keep_alive) == (b"", True, b"hello", False)


def test_a_head_that_begins_like_a_known_one_is_another() -> None:
    longer = HELLO.replace(b"5\r\n", b"5\r\nX: y\r\nConnection: close\r\n")
    parser = parsed(HELLO)
    for raw, keep_alive in ((longer, False), (HELLO, True), (longer, False)):
        parser.begin()
        assert parser.feed(raw)
        assert (parser.body(), parser.keep_alive) == (b"hello", keep_alive)


def test_a_known_head_is_parsed_once() -> None:
    first, again = parsed(HELLO).head, parsed(HELLO).head
    assert first is again
    assert first is not None


def test_heads_are_remembered_in_bounds() -> None:
    parsed(HELLO.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * wire.REMEMBERED_BYTES + b"\r\n\r\n"))
    assert not wire._heads, "a long one is not"
    for number in range(3 * wire.REMEMBERED_HEADS):
        parsed(HELLO.replace(b"\r\n\r\n", f"\r\nX: {number}\r\n\r\n".encode()))
        assert len(wire._heads) <= wire.REMEMBERED_HEADS


def test_begin_forgets_the_last_answer() -> None:
    parser = parsed(HELLO + b"!")
    parser.begin()
    assert (parser.head, parser.length, parser.keep_alive, parser.surplus, parser.begun) == (None, 0, *[False] * 3)
    assert parser.rest() == b""


# Garbage.

STRAWS = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"\0", b" ", b":", b"0", b"5", b"f", b";", b"-", b"\xff", b",", b"H"]
)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """Draw an answer with parts of it lost, doubled or replaced."""
    raw = draw(answers()).raw
    for _ in range(draw(st.integers(1, 4))):
        a, b = sorted(draw(st.tuples(st.integers(0, len(raw)), st.integers(0, len(raw)))))
        b = draw(st.sampled_from([a, a + 1, b]))
        raw = raw[:a] + draw(STRAWS | st.binary(max_size=8) | st.just(raw[a:b] * 2)) + raw[b:]
    return raw or b"?"


def held(parser: Parser) -> int:
    """Bytes that the parser keeps."""
    return len(parser._buffer) + len(parser.rest()) + (0 if parser.data is parser._buffer else len(parser.data))


@given(st.data(), st.booleans())
@settings(max_examples=500, deadline=None)
def test_garbage_is_an_answer_or_refused_for_a_known_reason(data: st.DataObject, bodiless: bool) -> None:
    raw = data.draw(st.binary(min_size=1, max_size=200) | spoiled())
    parser = Parser()
    parser.begin(bodiless=bodiless)
    fed, complete = 0, False
    try:
        for part in data.draw(cut(raw)):
            fed += len(part)
            complete = parser.feed(part)
            assert held(parser) <= fed + 2
            if complete:
                break
        complete = complete or parser.end()
    except WireError as error:
        assert str(error) in REASONS  # noqa: PT017 - an answer is as good
    else:
        assert complete
        assert 200 <= parser.status <= 999 or parser.status == 101
        assert len(parser.body()) == parser.length <= fed


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/2 200 OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 099 OK",
        b"HTTP/1.1 2\xb20 OK",
        b"HTTP/1.1 200 O\0K",
        b"HTTP/1.1 200 O\x07K",
        b"\r\nHTTP/1.1 200 OK",
        b"http/1.1 200 OK",
        OK + b"a: b\r\n folded: c",
        OK + b"a: b\r\n\tfolded",
        OK + b"a : b",
        OK + b": b",
        OK + b"a",
        OK + b"a\x7f: b",
        OK + b"\xe4: b",
        OK + b"a: b\rc: d",
        OK + b"a: b\nc: d",
        OK + b"a: b\r\r\nc: d",
        OK + b"a: \0",
        OK + b"Content-Length:",
        OK + b"Content-Length: +5",
        OK + b"Content-Length: -5",
        OK + b"Content-Length: 0x5",
        OK + b"Content-Length: 5_0",
        OK + b"Content-Length: 5 0",
        OK + b"Content-Length: 5,",
        OK + b"Content-Length: \xb2",
        OK + b"Content-Length: " + b"9" * 5000,
    ],
)
def test_a_head_that_is_none_is_refused(head: bytes) -> None:
    raw = head + b"\r\n\r\n"
    assert refusal(raw) == wire.NOT_HTTP
    assert refusal(*[raw[at : at + 1] for at in range(len(raw))]) == wire.NOT_HTTP
    assert refusal(raw) == wire.NOT_HTTP, "it is not remembered as a good one"


def test_garbage_is_refused_as_soon_as_it_shows() -> None:
    assert refusal(b"S") == wire.NOT_HTTP
    assert refusal(b"HTTP/1.1 200 OK\n") == wire.NOT_HTTP
    assert refusal(CHUNKED + b"5\n") == wire.NO_SIZE
    assert refusal(CHUNKED + b"5\r\nhellox") == wire.NO_SIZE


@pytest.mark.parametrize(
    "line", [b"", b"x", b"-5", b"+5", b"0x5", b" 5", b"5 5", b"5\n", b"5;\0", b"5;\rx", b"f" * 17]
)
def test_a_chunk_without_a_size_is_refused(line: bytes) -> None:
    assert refusal(CHUNKED + line + b"\r\nhello\r\n0\r\n\r\n") == wire.NO_SIZE


def test_a_chunk_longer_than_its_size_is_refused() -> None:
    assert refusal(CHUNKED + b"4\r\nhello\r\n0\r\n\r\n") == wire.NO_SIZE


@pytest.mark.parametrize("trailer", [b"a b", b" a: b", b"a: b\rc", b"a: b\nc: d", b"a: \0"])
def test_a_trailer_that_is_none_is_refused(trailer: bytes) -> None:
    assert refusal(CHUNKED + b"0\r\n" + trailer + b"\r\n\r\n") == wire.NOT_HTTP


@pytest.mark.parametrize(
    "coding", [b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"", b"chunked;a=b"]
)
def test_a_coding_other_than_chunks_is_refused(coding: bytes) -> None:
    assert refusal(OK + b"Transfer-Encoding: " + coding + b"\r\n\r\n") == wire.STRANGE_CODING


def test_a_second_coding_in_a_line_of_its_own_is_refused_too() -> None:
    assert refusal(OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n") == wire.STRANGE_CODING


@pytest.mark.parametrize("second", [b"\r\nContent-Length: 6", b", 6"])
def test_lengths_that_differ_are_refused_and_equal_ones_are_one(second: bytes) -> None:
    raw = OK + b"Content-Length: 5" + second + b"\r\n\r\nhello"
    assert refusal(raw) == wire.CONTRADICTION
    assert parsed(raw.replace(b"6", b"05")).body() == b"hello"


def test_a_connection_that_closes_says_where() -> None:
    assert refusal(closed=True) == "connection closed before the answer"
    for raw in (
        OK,
        HELLO[:-1],
        b"HTTP/1.1 100 Continue\r\n\r\n",
        CHUNKED,
        CHUNKED + b"0\r\n",
        CHUNKED + b"5\r\nhello",
    ):
        assert refusal(raw, closed=True) == "connection closed within the answer"


def test_a_connection_that_closes_after_the_answer_leaves_it_as_it_is() -> None:
    parser = parsed(HELLO)
    assert parser.end()
    assert (parser.body(), parser.keep_alive) == (b"hello", True)


# Bounds.


def test_a_head_without_end_is_refused_at_its_limit() -> None:
    room = wire.HEAD_LIMIT - len(OK) - len(b"a: \r\n\r\n")
    fits = OK + b"a: " + b"x" * room + b"\r\n\r\n"
    assert not Parser().feed(fits)
    assert refusal(fits.replace(b"a: ", b"a: x")) == "head longer than 64 KiB"
    parser = Parser()
    single = [bytes([byte]) for byte in b"HTTP/1.1 200 " + bytes(wire.HEAD_LIMIT)]
    assert not any(parser.feed(byte) for byte in single[: wire.HEAD_LIMIT])
    with pytest.raises(WireError, match=wire.LONG_HEAD):
        parser.feed(single[wire.HEAD_LIMIT])
    assert held(parser) == wire.HEAD_LIMIT + 1


def test_chunks_and_trailers_have_the_limit_of_a_head() -> None:
    assert refusal(CHUNKED + b"5;" + b"x" * wire.HEAD_LIMIT) == wire.NO_SIZE
    assert refusal(CHUNKED + b"0\r\n", *[b"a: b\r\n"] * (wire.HEAD_LIMIT // 6 + 1)) == wire.LONG_HEAD


def test_heads_before_the_final_one_are_not_kept() -> None:
    parser = Parser()
    for _ in range(1000):
        assert not parser.feed(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 10)
        assert held(parser) == 0
    assert parser.feed(HELLO)
    assert parser.body() == b"hello"


@pytest.mark.parametrize(
    "raw",
    [
        OK + b"Content-Length: 101\r\n\r\n",
        OK + b"Content-Length: 99999999999999999999\r\n\r\n",
        OK + b"\r\n" + b"x" * 101,
        CHUNKED + b"65\r\n",
        CHUNKED + b"64\r\n" + b"x" * 100 + b"\r\n1\r\n",
        CHUNKED + b"ffffffffffffffff\r\n",
    ],
)
def test_a_body_beyond_its_limit_is_refused_before_it_is_kept(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "BODY_LIMIT", 100)
    assert refusal(raw) == "body longer than 256 MiB"


def test_a_body_at_its_limit_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "BODY_LIMIT", 100)
    body = b"x" * 100
    for raw in (
        OK + b"Content-Length: 100\r\n\r\n" + body,
        OK + b"\r\n" + body,
        CHUNKED + b"64\r\n" + body + b"\r\n0\r\n\r\n",
    ):
        assert parsed(raw).body() == body


def test_a_length_beyond_the_limit_is_no_matter_where_no_body_comes() -> None:
    assert parsed(OK + b"Content-Length: 99999999999\r\n\r\n", bodiless=True).keep_alive


@pytest.mark.parametrize("head", [OK + b"Content-Length: 33554432\r\n\r\n", CHUNKED + b"2000000\r\n", OK + b"\r\n"])
def test_a_long_body_in_small_parts_is_joined_in_the_time_that_a_test_has(head: bytes) -> None:
    parser = Parser()
    parser.feed(head)
    part = bytes(range(256)) * 2
    for _ in range((32 << 20) // len(part)):  # copied at each part, it would be a terabyte
        complete = parser.feed(part)
    assert complete or (parser.feed(b"\r\n0\r\n\r\n") if head.startswith(CHUNKED) else parser.end())
    assert parser.length == 32 << 20
    assert parser.body() == part * (parser.length // len(part))


# Single cases.


def test_an_upgrade_is_final_and_what_follows_is_no_surplus() -> None:
    raw = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    for _ in range(2):
        parser = Parser()
        assert parser.feed(raw + b"\x81\x01a")
        assert (parser.status, parser.body(), parser.rest(), parser.surplus) == (101, b"", b"\x81\x01a", False)
        assert not parser.keep_alive
        assert parser.head is not None
        assert parser.head.upgrade
        assert parser.feed(b"\x81")
        assert parser.rest() == b"\x81\x01a\x81"


def test_an_answer_in_one_piece_needs_no_begin_before_the_next() -> None:
    parser = parsed(HELLO)
    parser.begin()
    for raw, body in ((HELLO, b"hello"), (HELLO, b"hello"), (CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", b"abc")):
        assert not parser.begun
        assert parser.feed(raw)
        assert (parser.length, parser.body(), parser.keep_alive) == (len(body), body, True)
    parser.begin()
    assert parser.feed(HELLO)
    assert not parser.feed(b"HTTP/1.1 5")
    assert (parser.begun, parser.head, parser.status, parser.length) == (True, None, 0, 0)


def test_chunks_win_over_a_length_and_the_connection_is_given_up() -> None:
    parser = parsed(CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n") + b"5\r\nhello\r\n0\r\n\r\n")
    assert (parser.body(), parser.keep_alive) == (b"hello", False)
    assert parser.head is not None
    assert parser.head[1:4] == (None, True, False)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize("field", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"X: y"])
def test_a_status_without_a_body_has_none_whatever_the_head_says(status: bytes, field: bytes) -> None:
    parser = parsed(b"HTTP/1.1 " + status + b"\r\n" + field + b"\r\n\r\n")
    assert parser.head is not None
    assert (parser.length, parser.keep_alive, parser.head.length, parser.head.chunked) == (0, True, 0, False)


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: upgrade , CLOSE", False),
        (b"1.1", b"Connection: foo\r\nConnection: close", False),
        (b"1.1", b"Connection: closed", True),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: Keep-Alive", True),
        (b"1.0", b"Connection: keep-alive, close", False),
    ],
)
def test_a_connection_is_kept_as_the_head_says(version: bytes, connection: bytes, kept: bool) -> None:
    lines = b"\r\n".join(
        [b"HTTP/" + version + b" 200 OK", b"Content-Length: 0", *([connection] if connection else [])]
    )
    assert parsed(lines + b"\r\n\r\n").keep_alive is kept
    assert parsed(lines.replace(b"Content-Length: 0", b"X: y") + b"\r\n\r\n").keep_alive is False, "a body to the end"
    assert parsed(lines.replace(b"Content-Length: 0", b"X: y") + b"\r\n\r\n", bodiless=True).keep_alive is kept


def test_chunks_from_http_1_0_give_the_connection_up() -> None:
    raw = CHUNKED.replace(b"1.1", b"1.0").replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n") + b"0\r\n\r\n"
    assert not parsed(raw).keep_alive


def test_the_length_grows_with_the_body() -> None:
    for head, parts in (
        (HELLO[:-5], [b"he", b"llo"]),
        (CHUNKED, [b"5\r\nhe", b"llo"]),
        (OK + b"\r\n", [b"he", b"llo"]),
    ):
        parser = Parser()
        parser.feed(head)
        seen = []
        for part in parts:
            parser.feed(part)
            seen.append(parser.length)
        assert (parser.status, seen) == (200, [2, 5])


def test_fields_come_in_order_with_lower_case_names() -> None:
    head = parsed(OK + b"B:  x y \r\na:\t\r\nb: \xe4:z\r\nContent-Length: 0\r\n\r\n").head
    assert head is not None
    assert fields(head.raw) == [("b", "x y"), ("a", ""), ("b", "ä:z"), ("content-length", "0")]


# Requests.


def test_a_request_is_what_h11_reads() -> None:
    raw = render("POST", "/a?b=c%20d", "[::1]:80", {"Content-Type": "text/plain", "X": "ä b"}, b"hello")
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(raw)
    request, body = connection.next_event(), connection.next_event()
    assert isinstance(request, h11.Request)
    assert isinstance(body, h11.Data)
    assert (request.method, request.target, bytes(body.data)) == (b"POST", b"/a?b=c%20d", b"hello")
    assert list(request.headers) == [
        (b"host", b"[::1]:80"),
        (b"user-agent", b"gatebench"),
        (b"content-type", b"text/plain"),
        (b"x", "ä b".encode("latin-1")),
        (b"content-length", b"5"),
    ]


def test_a_request_has_a_length_where_it_has_a_body_be_it_empty() -> None:
    assert render("POST", "/", "x", None, b"").endswith(b"\r\nContent-Length: 0\r\n\r\n")
    assert b"content-length" not in render("GET", "/", "x", None, None).lower()


def test_given_headers_take_the_place_of_those_of_the_same_name() -> None:
    raw = render("GET", "/", "x", {"user-AGENT": "me", "HOST": "y", "a": "1", "A": "2"}, None)
    assert raw == b"GET / HTTP/1.1\r\nHOST: y\r\nuser-AGENT: me\r\nA: 2\r\n\r\n"


@pytest.mark.parametrize("sign", [*map(chr, range(0x20)), "\x7f", "ĥ"])
def test_a_request_that_would_split_is_refused(sign: str) -> None:
    for method, path, netloc, headers in (
        (f"G{sign}T", "/", "x", {}),
        ("GET", f"/{sign}", "x", {}),
        ("GET", "/", f"x{sign}", {}),
        ("GET", "/", "x", {f"a{sign}": "b"}),
        *([("GET", "/", "x", {"a": f"b{sign}"})] if sign != "\t" else []),
    ):
        with pytest.raises(ValueError, match=r"^the .* must be ") as caught:
            render(method, path, netloc, headers, None)
        assert not isinstance(caught.value, UnicodeError)


@pytest.mark.parametrize(
    ("method", "path", "netloc", "name"),
    [
        ("", "/", "x", "a"),
        ("GET", "", "x", "a"),
        ("GET", "/a b", "x", "a"),
        ("GET", "/", "", "a"),
        ("GET", "/", "x", "a:"),
    ],
)
def test_a_request_with_an_empty_or_broken_part_is_refused(method: str, path: str, netloc: str, name: str) -> None:
    with pytest.raises(ValueError, match=r"^the .* must be "):
        render(method, path, netloc, {name: "b"}, None)


@pytest.mark.parametrize("name", ["content-length", "Transfer-Encoding"])
def test_the_framing_of_a_request_is_its_bodys_alone(name: str) -> None:
    with pytest.raises(ValueError, match="follow from the body"):
        render("POST", "/", "x", {name: "5"}, b"hello")
