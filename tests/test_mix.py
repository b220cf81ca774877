"""What is declared of requests, and what becomes of it: texts filled in, answers judged, weights drawn."""

import re
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebench.swarm.mix import (
    Answer,
    Digits,
    Expect,
    Flow,
    Hex,
    Judge,
    Rendering,
    Request,
    Template,
    Value,
    Whole,
    choice,
    judged,
    mismatch,
    steps,
)

HOST = "127.0.0.1:80"
SEEDS = st.integers(0, 2**32)


def rendered(request: Request, seed: int = 0) -> bytes:
    return Rendering(request, HOST).draw(Random(seed)).wire


def line(wire: bytes, name: str) -> bytes | None:
    """A header's value, None where it is not there."""
    found = re.search(rb"\r\n%b: ([^\r]*)\r\n" % name.encode(), wire)
    return found and found[1]


# values


@given(st.integers(-1000, 10**9), st.integers(0, 10**9), SEEDS)
def test_a_whole_number_lies_between_its_bounds(low: int, span: int, seed: int) -> None:
    value = Whole(low, low + span)
    drawn = value.draw(Random(seed))
    assert low <= int(drawn) <= low + span
    assert re.fullmatch(value.pattern, drawn)
    assert value.length in (None, len(drawn))


def test_every_whole_number_between_the_bounds_is_drawn_as_often_as_another() -> None:
    value, random = Whole(3, 7), Random(1)
    seen = Counter(value.draw(random) for _ in range(5000))
    assert set(seen) == {"3", "4", "5", "6", "7"}
    assert all(850 < count < 1150 for count in seen.values())


@pytest.mark.parametrize(
    ("value", "length"),
    [(Whole(10, 99), 2), (Whole(1, 99), None), (Whole(-9, -1), None), (Digits(5), 5), (Hex(7), 7)],
)
def test_a_value_tells_its_length_only_where_there_is_but_one(value: Value, length: int | None) -> None:
    assert value.length == length


@given(st.integers(1, 15), SEEDS)
def test_digits_and_hex_are_as_long_as_they_say(count: int, seed: int) -> None:
    for value in (Digits(count), Hex(count)):
        drawn = value.draw(Random(seed))
        assert len(drawn) == count == value.length
        assert re.fullmatch(value.pattern, drawn)
    assert Digits(count).draw(Random(seed))[0] != "0"


def test_leading_zeros_of_hex_are_kept() -> None:
    random = Random(1)
    assert {len(Hex(2).draw(random)) for _ in range(500)} == {2}


def test_a_range_that_holds_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("Whole(5, 4) holds no number")):
        Whole(5, 4)


# templates


def test_a_text_without_values_is_always_the_same() -> None:
    assert Template("100 %").fill({}) == b"100 %"
    assert Template(b"\x00%b").fill({}) == b"\x00%b"
    assert Template(("Gr", "ün")).fill({}) == "Grün".encode()


def test_values_stand_where_they_were_put_and_a_percent_sign_stays_one() -> None:
    one, two = Whole(1, 9), Whole(1, 9)
    template = Template(("5% of ", one, "+", two, "=%d ", one))
    assert template.fill({one: b"3", two: b"4"}) == b"5% of 3+4=%d 3"
    assert template.values == (one, two, one)


def test_a_value_that_was_not_drawn_cannot_be_filled_in() -> None:
    with pytest.raises(KeyError):
        Template(Hex(4)).fill({})


# requests


def test_a_request_without_values_is_rendered_once() -> None:
    rendering = Rendering(Request("/a?b=%20", headers={"X-Y": "z"}), HOST)
    assert rendering.constant is not None
    assert rendering.constant.wire == rendering.draw(Random(1)).wire == rendering.draw(Random(2)).wire
    assert rendering.constant.wire.startswith(b"GET /a?b=%20 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n")
    assert line(rendering.constant.wire, "X-Y") == b"z"
    assert line(rendering.constant.wire, "Content-Length") is None


@given(SEEDS)
def test_a_value_is_one_text_all_over_a_request_and_another_in_the_next(seed: int) -> None:
    number = Whole(1, 10**15)
    request = Request(("/a/", number, "?b=", number), method="POST", body=('{"id":', number, "}"))
    rendering, random = Rendering(request, HOST), Random(seed)
    assert rendering.constant is None
    wires = [rendering.draw(random).wire for _ in range(2)]
    for wire in wires:
        path, _, body = re.fullmatch(rb"POST (\S+) HTTP/1.1(.*)\r\n\r\n(.*)", wire, re.DOTALL).groups()  # type: ignore[union-attr]
        drawn = re.fullmatch(rb"/a/(\d+)\?b=(\d+)", path)
        assert drawn
        assert drawn[1] == drawn[2]
        assert body == b'{"id":%b}' % drawn[1]
        assert line(wire, "Content-Length") == b"%d" % len(body)
    assert wires[0] != wires[1]


def test_the_same_seed_draws_the_same_requests() -> None:
    rendering = Rendering(Request(("/", Hex(8))), HOST)
    first, again, other = ([rendering.draw(random).wire for _ in range(5)] for random in map(Random, (1, 1, 2)))
    assert first == again != other


def test_a_body_has_its_length_even_where_it_is_empty_or_of_many_bytes_a_character() -> None:
    assert line(rendered(Request("/", method="POST", body="")), "Content-Length") == b"0"
    assert line(rendered(Request("/", method="POST", body="ü" * 10)), "Content-Length") == b"20"
    wire = rendered(Request("/", method="PUT", body=b"\xff\x00%s"))
    assert wire.endswith(b"\r\n\r\n\xff\x00%s")


def test_only_the_length_of_the_body_is_filled_in_as_such() -> None:
    wire = rendered(Request("/", method="POST", headers={"X-Content-Length": "0"}, body="abc"))
    assert line(wire, "X-Content-Length") == b"0"
    assert line(wire, "Content-Length") == b"3"


def test_a_header_of_latin_1_text_goes_out_as_it_is() -> None:
    assert line(rendered(Request(("/", Hex(2)), headers={"X-Name": "Grün"})), "X-Name") == "Grün".encode("latin-1")


@pytest.mark.parametrize(
    "request_",
    [
        Request("/a b"),
        Request(("/a?b=", Hex(4), "\r\nX: y")),
        Request("/\x7f"),
        Request("/ü"),
        Request("/", method="GET /x"),
        Request("/", headers={"X-Y": "a\r\nb: c"}),
        Request("/", headers={"X Y": "a"}),
        Request("/", headers={"Content-Length": "3"}, body="abc"),
        Request("/", headers={"Transfer-Encoding": "chunked"}),
    ],
)
def test_a_text_that_would_split_the_request_is_refused(request_: Request) -> None:
    with pytest.raises(ValueError, match=r"must be|follow from the body"):
        Rendering(request_, HOST)


@pytest.mark.parametrize(
    ("request_", "key"),
    [
        (Request("/a?b=c"), ("GET", "/a?b=c")),
        (Request(("/a/", Whole(1, 2), "/", Hex(4)), method="PUT"), ("PUT", "/a/{number}/{hex}")),
        (Request(("/a/", Whole(1, 2)), name="a"), ("GET", "a")),
    ],
)
def test_a_request_is_counted_by_its_method_and_one_name(request_: Request, key: tuple[str, str]) -> None:
    assert Rendering(request_, HOST).key == key


def test_a_prefix_of_the_host_stands_before_the_path_and_not_in_the_name() -> None:
    rendering = Rendering(Request(("/a/", Hex(4))), HOST, "/under")
    assert rendering.draw(Random(1)).wire.startswith(b"GET /under/a/")
    assert rendering.key == ("GET", "/a/{hex}")


def test_only_a_head_request_has_an_answer_without_its_body() -> None:
    assert [Rendering(Request("/", method=method), HOST).draw(Random()).bodiless for method in ("HEAD", "GET")] == [
        True,
        False,
    ]


# what is expected

NUMBER, UNKNOWN, FIXED = Whole(1, 10**6), Whole(1, 10**6), Digits(3)


def sent(**expected: Any) -> Any:
    request = Request(("/?id=", NUMBER), expect=Expect(**expected))
    return Rendering(request, HOST).draw(Random(3))


def id_of(one: Any) -> bytes:
    found: bytes = re.search(rb"id=(\d+)", one.wire)[1]  # type: ignore[index]
    return found


def test_the_length_of_an_expected_body_is_that_of_what_was_drawn() -> None:
    one = sent(body=('{"id":', NUMBER, "}"))
    assert one.length == len(b'{"id":}') + len(id_of(one))
    assert one.fits(b'{"id":%b}' % id_of(one))
    assert not one.fits(b'{"id":%b0}' % id_of(one))
    assert not one.fits(b'{"id":%d}' % (int(id_of(one)) % 10 + 1))


def test_a_value_that_the_request_does_not_hold_is_known_by_its_form() -> None:
    one = sent(body=("<", FIXED, ">"))
    assert one.length == 5
    assert one.fits(b"<123>")
    assert not one.fits(b"<023>")
    assert not one.fits(b"<12a>")
    assert not one.fits(b"<123>\n")


def test_a_body_with_a_value_of_unknown_length_is_not_measured_but_compared() -> None:
    one = sent(body=("<", UNKNOWN, ">"))
    assert one.length is None
    assert one.fits(b"<7>")
    assert one.fits(b"<123456>")
    assert not one.fits(b"<>")


def test_what_a_regular_expression_would_take_for_its_own_is_taken_as_it_stands() -> None:
    one = sent(body=("a.c[", FIXED, "]*\n"))
    assert one.fits(b"a.c[123]*\n")
    assert not one.fits(b"abc[123]*\n")


def test_an_expected_length_is_kept_whatever_the_body_is_said_to_be() -> None:
    assert sent(length=99, body="abc").length == 99
    assert sent(length=99).length == 99
    assert sent(length=99).fits is None
    assert (sent().length, sent().status) == (None, 200)


def test_a_body_may_be_judged_by_the_scenario_itself() -> None:
    one = sent(status=201, body=lambda body: body.startswith(b"ok"))
    assert (one.length, one.status) == (None, 201)
    assert one.fits(b"okay")
    assert not one.fits(b"no")


@pytest.mark.parametrize("body", [b"<ok>", "<ok>", ("<", "ok", ">")])
def test_a_body_may_be_given_in_any_form_of_text(body: Any) -> None:
    length, fits = judged(Expect(body=body))
    assert fits is not None
    assert (length, fits(b"<ok>"), fits(b"<no>")) == (4, True, False)
    assert judged(Expect(length=9, body=body))[0] == 9


def test_a_judge_is_told_what_the_request_s_values_have_become() -> None:
    told: list[tuple[bytes, str, str]] = []

    def says_yes(body: bytes, number: str, other: str) -> bool:
        told.append((body, number, other))
        return body == b"yes"

    other = Hex(4)
    request = Request(("/?id=", NUMBER, "&o=", other), expect=Expect(body=Judge(says_yes, (other, NUMBER))))
    one = Rendering(request, HOST).draw(Random(3))
    assert one.length is None
    assert one.fits is not None
    assert (one.fits(b"yes"), one.fits(b"no")) == (True, False)
    assert told[0] == (b"yes", re.search(rb"o=(\w+)", one.wire)[1].decode(), id_of(one).decode())  # type: ignore[index]


def test_a_judge_of_values_that_its_request_does_not_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="a Judge is told values that its request holds"):
        Rendering(Request("/", expect=Expect(body=Judge(bool, (NUMBER,)))), HOST)
    with pytest.raises(TypeError, match="a Judge is told values of a mix"):
        judged(Expect(body=Judge(bool, ())))


def test_values_that_touch_each_other_are_found_where_they_were_joined() -> None:
    first, second, third = Whole(1, 10**6), Whole(1, 10**6), Hex(2)
    answer, drawn = Answer((first, second, b"-", third)), {first: b"1", second: b"23"}
    assert answer.found(drawn, b"123-0f") == {third: b"0f"}
    assert answer.found(drawn, b"124-0f") is None
    assert answer.found({}, b"123-0f") == {first: b"12", second: b"3", third: b"0f"}


@pytest.mark.parametrize(
    ("request_", "alike"),
    [
        (Request("/", expect=Expect(body="abc")), True),
        (Request("/", expect=Expect(length=3)), True),
        (Request("/"), False),
        (Request("/", expect=Expect(length=3, body=bool)), False),
        (Request(("/", NUMBER), expect=Expect(body="abc")), False),
    ],
)
def test_answers_are_alike_where_their_bytes_are_known_and_need_no_judge(request_: Request, alike: bool) -> None:
    assert Rendering(request_, HOST).alike is alike


def test_a_request_without_values_may_expect_them_by_their_form() -> None:
    length, fits = judged(Expect(body=("<", FIXED, ">")))
    assert fits is not None
    assert (length, fits(b"<123>"), fits(b"<abc>")) == (5, True, False)


def test_where_no_body_is_expected_none_is_looked_at() -> None:
    assert judged(Expect(length=3)) == (3, None)
    assert judged(Expect(body=bool)) == (None, bool)


@given(st.lists(st.one_of(st.binary(max_size=5), st.just(FIXED)), max_size=6), SEEDS)
def test_what_was_expected_fits_and_has_the_length_that_was_said(pieces: list[bytes | Value], seed: int) -> None:
    answer, random = Answer(tuple(pieces)), Random(seed)
    body = b"".join(one if isinstance(one, bytes) else one.draw(random).encode() for one in pieces)
    assert answer.length({}) == len(body)
    assert answer.fits({}, body)
    assert not answer.fits({}, body + b"0")


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ((200, None, 200, 5), ""),
        ((200, 5, 200, 5), ""),
        ((200, 5, 404, 5), "status 404 where 200 was expected"),
        ((200, 0, 200, 5), "body 5 bytes longer than expected"),
        ((200, 13, 200, 5), "body 8 bytes shorter than expected"),
    ],
)
def test_an_answer_s_failing_is_named(told: tuple[int, int | None, int, int], reason: str) -> None:
    assert mismatch(*told) == reason


# flows

KEY, NAME, FORM, LATER = Whole(1, 10**6), Hex(8), Hex(4), Hex(4)
FLOW = Flow(
    (
        Request("/made", method="POST", body=("n=", NAME), expect=Expect(body=(KEY, ":", NAME, ":", FORM))),
        Request(("/at/", KEY), expect=Expect(body=(KEY, "=", NAME, "/", LATER))),
        Request("/gone", expect=Expect(body=(LATER, "!"))),
    )
)


def test_a_flow_takes_from_each_answer_what_is_wanted_after_it_and_nothing_else() -> None:
    assert [step.takes for step in steps(FLOW, HOST)] == [(KEY,), (LATER,), ()]


def test_a_value_of_a_flow_is_one_text_in_all_its_requests() -> None:
    made, at, gone = (step.rendering for step in steps(FLOW, HOST))
    known: dict[Value, bytes] = {}
    first = made.draw(Random(1), known)
    name = known[NAME]
    assert first.wire.endswith(b"n=" + name)
    assert first.length is None
    found = made.found(known, b"77:" + name + b":beef")
    assert found is not None
    assert made.found(known, b"77:" + name[::-1] + b":beef") is None
    known[KEY] = found[KEY]
    second = at.draw(Random(2), known)
    assert second.wire.startswith(b"GET /at/77 HTTP/1.1\r\n")
    assert second.fits is not None
    assert (second.length, known[NAME]) == (2 + 1 + 8 + 1 + 4, name), "nothing is drawn anew"
    assert second.fits(b"77=" + name + b"/0123")
    assert not second.fits(b"78=" + name + b"/0123")
    known[LATER] = b"0123"
    third = gone.draw(Random(3), known)
    assert third.fits is not None
    assert (third.fits(b"0123!"), third.fits(b"3210!")) == (True, False)


def test_a_value_that_only_a_judge_wants_is_taken_too() -> None:
    flow = Flow(
        (Request("/", expect=Expect(body=("<", KEY, ">"))), Request("/b", expect=Expect(body=Judge(bool, (KEY,)))))
    )
    assert [step.takes for step in steps(flow, HOST)] == [(KEY,), ()]


# weights


def test_requests_are_drawn_in_proportion_to_their_weights() -> None:
    draw, random = choice([1, 0, 3, 6]), Random(5)
    seen = Counter(draw(random) for _ in range(20_000))
    assert set(seen) == {0, 2, 3}
    for index, share in ((0, 0.1), (2, 0.3), (3, 0.6)):
        assert seen[index] / 20_000 == pytest.approx(share, abs=0.015)  # over four standard deviations


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20).filter(any), st.floats(0, 1, exclude_max=True))
def test_one_of_the_requests_is_drawn_whatever_the_weights(weights: list[float], at: float) -> None:
    class Fixed(Random):
        def random(self) -> float:
            return at

    assert 0 <= choice(weights)(Fixed()) < len(weights)


def test_the_last_is_drawn_even_where_the_sums_of_weights_are_rounded() -> None:
    class Last(Random):
        def random(self) -> float:
            return 1 - 2**-53

    assert choice([0.1] * 10)(Last()) == 9


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1], [float("nan")]])
def test_weights_of_which_none_can_be_drawn_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        choice(weights)
