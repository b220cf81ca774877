"""What an EngineUser sends, declared: requests or messages with random values in them, and what must come back.

Knows text, chance and expectations. Must not know sockets, clocks or Locust.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import NamedTuple, TypeAlias

from gatebench.load.wire import render


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A part of a text that is drawn anew for every request; the same object stands for the same text within one.

    In an expected body, a value that the request does not hold is one that only its form is known of.
    """

    name: str
    draw: Callable[[Random], str]
    pattern: str  # regular expression of all it may be
    length: int | None  # in bytes, where all it may be are of one length


def Whole(low: int, high: int) -> Value:  # noqa: N802 - reads as the noun it makes
    """Make a whole number from low to high, both included."""
    count = high - low + 1
    if count < 1:
        raise ValueError(f"Whole({low}, {high}) holds no number; the first must not be above the second")

    def draw(random: Random) -> str:
        return str(low + int(random.random() * count))  # a third of what randint costs

    one_length = len(str(low)) == len(str(high)) and low >= 0
    return Value("number", draw, r"-?\d+", len(str(low)) if one_length else None)


def Digits(count: int) -> Value:  # noqa: N802
    """Make a number of so many decimal digits, the first not 0."""
    if count < 1:
        raise ValueError(f"Digits({count}) holds no digit; give it one at least")
    whole = Whole(10 ** (count - 1), 10**count - 1)
    return Value("digits", whole.draw, rf"[1-9]\d{{{count - 1}}}", count)


def Hex(count: int) -> Value:  # noqa: N802
    """Make so many hexadecimal digits in lower case."""
    if count < 1:
        raise ValueError(f"Hex({count}) holds no digit; give it one at least")
    return Value("hex", lambda random: f"{random.getrandbits(4 * count):0{count}x}", f"[0-9a-f]{{{count}}}", count)


Text: TypeAlias = str | bytes | Value | Sequence[str | Value]  # in pieces, where values are among them
Drawn: TypeAlias = Mapping[Value, bytes]  # what a request's values have become


class Expect(NamedTuple):
    """What an answer must be; anything else is a failure."""

    status: int = 200
    length: int | None = None  # exact length of the body in bytes; None takes any, or what `body` says
    body: Text | Callable[[bytes], bool] | None = None  # the bytes, or what says yes to them; None takes any


OK = Expect()
BODIES_CHECKED = 0.01  # share of answers whose bytes are compared, beside each user's first
OTHER_BODY = "body other than expected"


def mismatch(expected: int, expected_length: int | None, status: int, length: int) -> str:
    """Say what of an answer is not as expected, without any value that another request would not have."""
    if status != expected:
        return f"status {status} where {expected} was expected"
    if expected_length is not None and length != expected_length:
        more = length - expected_length
        return f"body {abs(more)} bytes {'longer' if more > 0 else 'shorter'} than expected"
    return ""


class Template:
    """A text in pieces, ready to be filled in."""

    __slots__ = ("_constant", "_form", "values")

    def __init__(self, text: Text | Sequence[bytes | Value]) -> None:
        pieces = _pieces(text)
        self.values = tuple(piece for piece in pieces if isinstance(piece, Value))
        self._form = b"".join(b"%b" if isinstance(one, Value) else one.replace(b"%", b"%%") for one in pieces)
        self._constant = b"" if self.values else b"".join(one for one in pieces if isinstance(one, bytes))

    def fill(self, drawn: Drawn) -> bytes:
        """Put the drawn values in; KeyError where one is missing."""
        return self._form % tuple([drawn[value] for value in self.values]) if self.values else self._constant


@dataclass(frozen=True, slots=True)
class Answer:
    """An expected body: its exact length for every request, and its bytes or their form for the sample."""

    pieces: tuple[bytes | Value, ...]

    def length(self, drawn: Drawn) -> int | None:
        """Give the body's length, None where a value of unknown length is in it."""
        total = 0
        for piece in self.pieces:
            one = len(piece) if isinstance(piece, bytes) else len(drawn[piece]) if piece in drawn else piece.length
            if one is None:
                return None
            total += one
        return total

    def fits(self, drawn: Drawn, body: bytes) -> bool:
        """Say whether a body is what was expected."""
        if len(self.pieces) == 1 and isinstance(self.pieces[0], bytes):
            return body == self.pieces[0]
        pattern = b"".join(
            re.escape(piece if isinstance(piece, bytes) else drawn[piece])
            if isinstance(piece, bytes) or piece in drawn
            else b"(?:%b)" % piece.pattern.encode()
            for piece in self.pieces
        )
        return re.fullmatch(pattern, body, re.DOTALL) is not None


def judged(expect: Expect) -> tuple[int | None, Callable[[bytes], bool] | None]:
    """Give the exact length of a body, and what says yes to its bytes, where the request held no values."""
    body = expect.body
    if body is None or callable(body):
        return expect.length, body
    answer = Answer(_pieces(body))
    return answer.length({}) if expect.length is None else expect.length, partial(answer.fits, {})


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a mix."""

    path: Text
    method: str = "GET"
    name: str | None = None  # under which it is counted; None: the path, values by their names
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Text | None = None
    expect: Expect = OK
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Echo:
    """A message over a WebSocket whose echo is awaited; the connection is opened once and kept."""

    path: str
    message: Text = Hex(32)  # noqa: RUF009 - a value may be shared
    name: str | None = None
    weight: float = 1.0


@dataclass(slots=True)
class Sent:
    """One request as it goes out, with what is expected of its answer."""

    wire: bytes
    status: int
    length: int | None
    fits: Callable[[bytes], bool] | None
    bodiless: bool


class Rendering:
    """A request of a mix, ready to be sent to one server."""

    __slots__ = ("_answer", "_body", "_expect", "_head", "_method", "_values", "constant", "key")

    def __init__(self, request: Request, netloc: str, prefix: str = "") -> None:
        """Render what never changes; ValueError where a text would split the request."""
        path = _texts(request.path)
        self.key = (request.method, request.name or "".join(map(_named, path)))
        self._method = request.method
        self._expect = request.expect
        self._body = None if request.body is None else Template(request.body)
        # The head is rendered with a mark in the place of each value, and cut at the marks.
        marks: dict[str, Value] = {}
        marked = prefix + "".join(_mark(one, marks) for one in path)
        head = render(request.method, marked, netloc, request.headers, None if self._body is None else b"")
        # The parts of the other headers that are no ASCII stay the bytes they are.
        text = head.decode("latin-1").replace(
            "\r\nContent-Length: 0\r\n", f"\r\nContent-Length: {_mark(_LENGTH, marks)}\r\n"
        )
        pieces = re.split(f"({_MARK}[0-9]+_)", text)
        self._head = Template([marks.get(piece, piece.encode("latin-1")) for piece in pieces])
        values = (*self._head.values, *(self._body.values if self._body is not None else ()))
        self._values = tuple(value for value in dict.fromkeys(values) if value is not _LENGTH)
        body = request.expect.body
        self._answer = None if body is None or callable(body) else Answer(_pieces(body))
        self.constant = None if self._values else self.draw(Random(0))  # noqa: S311 - there is nothing to draw

    def draw(self, random: Random) -> Sent:
        """Draw the values and give the request."""
        drawn = {value: value.draw(random).encode("ascii") for value in self._values}
        payload = b""
        if self._body is not None:
            payload = self._body.fill(drawn)
            drawn[_LENGTH] = b"%d" % len(payload)
        expect, answer = self._expect, self._answer
        length = expect.length
        fits: Callable[[bytes], bool] | None = None
        if answer is not None:
            length = answer.length(drawn) if length is None else length
            fits = partial(answer.fits, drawn)
        elif callable(expect.body):
            fits = expect.body
        return Sent(self._head.fill(drawn) + payload, expect.status, length, fits, self._method == "HEAD")


_LENGTH = Value("length", lambda _random: "", r"\d+", None)
_MARK = "gatebench_value_"


def _mark(piece: str | Value, marks: dict[str, Value]) -> str:
    if isinstance(piece, str):
        return piece
    mark = f"{_MARK}{len(marks)}_"
    marks[mark] = piece
    return mark


def _named(piece: str | Value) -> str:
    return f"{{{piece.name}}}" if isinstance(piece, Value) else piece


def choice(weights: Sequence[float]) -> Callable[[Random], int]:
    """Give what draws an index by its weight; ValueError where no weight is above 0."""
    total = sum(weights)
    if not weights or min(weights) < 0 or not total > 0:
        raise ValueError("the weights of a mix must not be below 0, and one must be above")
    bounds, upto = [], 0.0
    for weight in weights:
        upto += weight / total
        bounds.append(upto)

    def draw(random: Random) -> int:
        at = random.random()
        for index, bound in enumerate(bounds):
            if at < bound:
                return index
        return len(bounds) - 1

    return draw


def _texts(text: Text) -> list[str | Value]:
    return [one.decode("ascii") if isinstance(one, bytes) else one for one in _whole(text)]


def _pieces(text: Text | Sequence[bytes | Value]) -> tuple[bytes | Value, ...]:
    return tuple(one.encode() if isinstance(one, str) else one for one in _whole(text))


def _whole(text: Text | Sequence[bytes | Value]) -> Sequence[str | bytes | Value]:
    """Give a text in its pieces; TypeError where it is none."""
    pieces = [text] if isinstance(text, str | bytes | Value) else text
    if not isinstance(pieces, list | tuple) or not all(isinstance(one, str | bytes | Value) for one in pieces):
        raise TypeError(f"a text is a string, a value, or a list of these, not {text!r}")
    return pieces
