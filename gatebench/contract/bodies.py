"""The routes that are about bodies: a file, what is sent to the server, and answers that come bit by bit.

Knows what these bodies hold and when they may come. Must not know sockets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import pairwise

from gatebench.contract.finding import Finding
from gatebench.contract.forms import Form, exactly
from gatebench.contract.judge import EARLY_S
from gatebench.contract.visit import BYTES, EVENTS, TEXT, Request, Requests, Visit
from gatebench.contract.wire import Answer
from gatebench.errors import MachineError

FILE_BYTES = 65_536
LONGEST = 1 << 20  # bytes of an upload
PIECE = 65_536  # bytes of the largest piece of a stream
EVERY_S = 0.08  # a delayed acknowledgement may hold an event back for 0.04 s
SLOWLY_S = 0.25  # where events seemed to come together: it may have been us who looked away

Judge = Callable[[Answer], Iterator[Finding]]


def file(visit: Visit) -> Requests:
    """Ask twice; where we have the file ourselves, its bytes are compared."""
    form = _file(visit)
    for _again in range(2):
        yield Request(target="/file", kind=BYTES, form=form)


def upload(visit: Visit) -> Requests:
    """Send bytes nobody has seen: some, some in pieces, none at all, and the most that are allowed."""
    for size in (visit.inputs.randint(1, 5000), visit.inputs.randint(100_000, 200_000), 0, LONGEST):
        body = visit.inputs.randbytes(size)
        yield Request(
            method="POST",
            target="/upload",
            body=body,
            content_type="application/octet-stream",
            kind=TEXT,
            form=exactly(hashlib.sha256(body).hexdigest()),
        )


def sse(_: Visit) -> Requests:
    """Ask for events, and see when each came; once more and slowly where two came together."""
    together: list[bool] = []
    for count in (3, 4):
        yield _events(count, EVERY_S, lambda answer: _apart(answer, EVERY_S, together))
    if any(together):
        yield _events(3, SLOWLY_S, lambda answer: _delivered(answer, SLOWLY_S))


def stream(visit: Visit) -> Requests:
    """Ask for few pieces, many, and large ones."""
    drawn = (visit.inputs.randint(2, 5), visit.inputs.randint(1, 5000)), (visit.inputs.randint(27, 99), 100)
    for count, size in (*drawn, (1000, 1), (3, PIECE)):
        body = b"".join(bytes([ord("a") + piece % 26]) * size for piece in range(count))
        target = f"/stream?n={count}&size={size}"
        yield Request(target=target, kind=BYTES, form=exactly(body), length="none")


def _file(visit: Visit) -> Form:
    if visit.file is not None:
        try:
            wanted = visit.file.read_bytes()
        except OSError as error:
            raise MachineError(f"{visit.file} cannot be read; the route 'file' needs it ({error}).") from error
        told = f"the {len(wanted)} bytes of {visit.file.name}"
        return Form(told, lambda body: body == wanted)
    first: list[bytes] = []

    def fits(body: bytes) -> bool:
        first.append(body)
        return len(body) == FILE_BYTES and body == first[0]

    return Form(f"{FILE_BYTES} bytes, the same each time", fits)


def _events(count: int, every_s: float, then: Judge) -> Request:
    return Request(
        target=f"/sse?n={count}&every={every_s}",
        kind=EVENTS,
        form=exactly("".join(f"data: {number}\n\n" for number in range(1, count + 1))),
        length="any",
        wait_s=(count - 1) * every_s - (count - 2) * EARLY_S,
        then=then,
    )


def _apart(answer: Answer, every_s: float, together: list[bool]) -> Iterator[Finding]:
    """Judge what a busy machine cannot spoil, and remember whether two events came together."""
    yield from _early(answer, every_s)
    apart = _one_by_one(answer, every_s)
    together.append(not apart)
    if apart:
        yield from _delivered(answer, every_s)


def _delivered(answer: Answer, every_s: float) -> Iterator[Finding]:
    expected = f"each event when it is made, {every_s:g} s apart"
    yield Finding("sse", "delivery", _one_by_one(answer, every_s), expected, _told(answer))


def _early(answer: Answer, every_s: float) -> Iterator[Finding]:
    """Hold that no event came before it was due."""
    early = [came for number, came in enumerate(_moments(answer)) if came < number * (every_s - EARLY_S)]
    expected = f"the events {every_s:g} s apart, and none sooner"
    yield Finding("sse", "pace", not early, expected, _told(answer))


def _one_by_one(answer: Answer, every_s: float) -> bool:
    return all(later - sooner > every_s / 4 for sooner, later in pairwise(_moments(answer)))


def _moments(answer: Answer) -> list[float]:
    """Give for each event the moment when it was there as a whole."""
    moments, end = [], 0
    for event in answer.body.split(b"\n\n")[:-1]:
        end += len(event) + 2
        moments.append(next(came for came, bytes_there in answer.arrivals if bytes_there >= end))
    return moments


def _told(answer: Answer) -> str:
    return ", ".join(f"{came:.3f}" for came in _moments(answer)) + " s after the request"
