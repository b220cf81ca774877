"""What an EngineUser sends, declared: requests or messages with random values in them, and what must come back.

Knows text, chance and expectations. Must not know sockets, clocks or Locust.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from random import Random
from typing import NamedTuple, TypeAlias

from gatebench.swarm.wire import render


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


@dataclass(frozen=True, slots=True)
class Judge:
    """What says yes to a body, told also what values of the request have become: `says_yes(body, *texts)`."""

    says_yes: Callable[..., bool]
    values: tuple[Value, ...]

    def fits(self, drawn: Drawn, body: bytes) -> bool:
        """Say whether it does; KeyError where the request does not hold a value."""
        return self.says_yes(body, *[drawn[value].decode("ascii") for value in self.values])


class Expect(NamedTuple):
    """What an answer must be; anything else is a failure."""

    status: int = 200
    length: int | None = None  # exact length of the body in bytes; None takes any, or what `body` says
    body: Text | Callable[[bytes], bool] | Judge | None = None  # the bytes, or what says yes to them; None takes any


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
        return self.found(drawn, body) is not None

    def found(self, drawn: Drawn, body: bytes) -> dict[Value, bytes] | None:
        """Give what a body has in the places of its values; None where it is not what was expected."""
        # To compile an expression takes longer than all else, so all values are looked at by their form first.
        match = _form(self.pieces).fullmatch(body)
        if match is None:
            return None
        values = [piece for piece in self.pieces if isinstance(piece, Value)]
        found = dict(zip(values, match.groups(), strict=True))
        if all(drawn.get(value, text) == text for value, text in zip(values, match.groups(), strict=True)):
            return found
        # Two values that touch each other may have been cut in another place than they were joined.
        pieces = tuple(drawn.get(piece, piece) if isinstance(piece, Value) else piece for piece in self.pieces)
        match = _expression(pieces).fullmatch(body)
        return (
            None
            if match is None
            else dict(zip([one for one in values if one not in drawn], match.groups(), strict=True))
        )


def _expression(pieces: tuple[bytes | Value, ...]) -> re.Pattern[bytes]:
    parts = [re.escape(one) if isinstance(one, bytes) else b"(%b)" % one.pattern.encode() for one in pieces]
    return re.compile(b"".join(parts), re.DOTALL)


_form = lru_cache(_expression)


def judged(expect: Expect) -> tuple[int | None, Callable[[bytes], bool] | None]:
    """Give the exact length of a body, and what says yes to its bytes, where the request held no values."""
    body = expect.body
    if isinstance(body, Judge):
        raise TypeError("a Judge is told values of a mix; in a task, write a function that knows them")
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
class Flow:
    """Requests in their order, each sent when the one before it was answered as expected; else the flow is over.

    A value is the same text in all of them. One that stands first in an expected body is taken from that answer.
    """

    requests: Sequence[Request]
    weight: float = 1.0  # how often it is begun, beside the other parts of a mix


@dataclass(frozen=True, slots=True)
class Echo:
    """A message over a WebSocket whose echo is awaited; the connection is opened once and kept."""

    path: str
    message: Text = Hex(32)  # noqa: RUF009 - a value may be shared
    name: str | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Events:
    """A stream of the server's events, `data: 1`, `data: 2` and so on, asked for once and listened to."""

    path: str
    every_s: float  # between one event and the next, as the path asks for it
    name: str | None = None


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

    __slots__ = ("_answer", "_body", "_expect", "_head", "_method", "_values", "alike", "constant", "key")

    def __init__(self, request: Request, netloc: str, prefix: str = "", known: Collection[Value] = ()) -> None:
        """Render what never changes, but not what is `known`; ValueError where a text would split the request."""
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
        held = [value for value in dict.fromkeys(values) if value is not _LENGTH]
        self._values = tuple(value for value in held if value not in known)
        body = request.expect.body
        self._answer: Answer | Judge | None = None
        if isinstance(body, Judge):
            if not {*body.values} <= {*held, *known}:
                raise ValueError("a Judge is told values that its request holds, and no others")
            self._answer = body
        elif body is not None and not callable(body):
            self._answer = Answer(_pieces(body))
        self.constant = None if held or known else self.draw(Random(0))  # noqa: S311 - there is nothing to draw
        # Whether one good answer is as another, and cheaply compared.
        self.alike = self.constant is not None and self.constant.length is not None and not callable(body)

    @property
    def values(self) -> tuple[Value, ...]:
        """Give the values that are drawn for it."""
        return self._values

    @property
    def hoped(self) -> tuple[Value, ...]:
        """Give the values of the expected body."""
        pieces = self._answer.pieces if isinstance(self._answer, Answer) else ()
        return tuple(piece for piece in pieces if isinstance(piece, Value))

    def found(self, drawn: Drawn, body: bytes) -> Mapping[Value, bytes] | None:
        """Give what a body has in the places of its values; None where it is not what was expected."""
        return self._answer.found(drawn, body) if isinstance(self._answer, Answer) else {}

    def draw(self, random: Random, known: dict[Value, bytes] | None = None) -> Sent:
        """Draw the values and give the request; they are added to what is `known`."""
        drawn = {value: value.draw(random).encode("ascii") for value in self._values}
        if known is not None:
            known.update(drawn)
            drawn = known
        payload = b""
        if self._body is not None:
            payload = self._body.fill(drawn)
            drawn[_LENGTH] = b"%d" % len(payload)
        expect, answer = self._expect, self._answer
        length = expect.length
        fits: Callable[[bytes], bool] | None = None
        if answer is not None:
            if length is None and isinstance(answer, Answer):
                length = answer.length(drawn)
            fits = partial(answer.fits, drawn)
        elif callable(expect.body):
            fits = expect.body
        return Sent(self._head.fill(drawn) + payload, expect.status, length, fits, self._method == "HEAD")


_LENGTH = Value("length", lambda _random: "", r"\d+", None)
_MARK = "gatebench_value_"


class Step(NamedTuple):
    """A request of a flow, ready to be sent."""

    rendering: Rendering
    takes: tuple[Value, ...]  # from its answer, for those that follow


def steps(flow: Flow, netloc: str, prefix: str = "") -> tuple[Step, ...]:
    """Give a flow's requests, ready to be sent; ValueError where one cannot be."""
    known: dict[Value, None] = {}
    renderings, fresh = [], []
    for request in flow.requests:
        renderings.append(Rendering(request, netloc, prefix, known))
        known.update(dict.fromkeys(renderings[-1].values))
        fresh.append({value for value in renderings[-1].hoped if value not in known})
        known.update(dict.fromkeys(fresh[-1]))
    found = []
    wanted: set[Value] = set()
    for request, rendering, new in zip(reversed(flow.requests), reversed(renderings), reversed(fresh), strict=True):
        found.append(Step(rendering, tuple(new & wanted)))
        wanted |= _values_of(request)
    return tuple(reversed(found))


def _values_of(request: Request) -> set[Value]:
    """Give all values that a request, or what is expected of it, names."""
    body = request.expect.body
    told = {*body.values} if isinstance(body, Judge) else set()
    texts = [request.path, request.body, None if callable(body) or isinstance(body, Judge) else body]
    return told | {one for text in texts if text is not None for one in _whole(text) if isinstance(one, Value)}


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
