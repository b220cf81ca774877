"""Server-sent events: whether each arrives when it is made, and how many streams are served at a time.

Knows the route /sse of the contract. Must not know any protocol but HTTP/1.1.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from gatebench.protocols.http1 import good, head, unended
from gatebench.protocols.talk import Place, Record, RefusedError, Seen, Wire

EVENTS = 4
EVERY_S = 0.1
APART_S = EVERY_S / 4  # events that arrive closer together were held back
STREAMS = 200  # opened at most
LASTING = "/sse?n=7&every=0.5"  # it outlasts the counting
FIRST = b"data: 1\n"


def sse(place: Place, record: Record) -> Seen:
    """Ask for events that are made one by one: each arrives before the next is made."""
    with Wire(place, record) as wire:
        begin = time.perf_counter()
        wire.send(head(place, f"/sse?n={EVENTS}&every={EVERY_S}"))
        expected = b"".join(b"data: %d\n\n" % (turn + 1) for turn in range(EVENTS))
        reply = good(unended(wire, place.until(EVENTS * EVERY_S)), expected)
    ends = [turn * len(b"data: 1\n\n") for turn in range(1, EVENTS + 1)]
    came = [next(moment for moment, size in reply.arrivals if size >= end) - begin for end in ends]
    told = ", ".join(f"{moment * 1000:.0f}" for moment in came)
    if any(later - before < APART_S for before, later in itertools.pairwise(came)):
        raise RefusedError(f"events made {EVERY_S * 1000:.0f} ms apart arrived after {told} ms: they were held back")
    return Seen(why=f"events made {EVERY_S * 1000:.0f} ms apart arrived after {told} ms")


def streams(place: Place, record: Record) -> Seen:
    """Open streams, ever twice as many, and count those that have had their first event while all stay open.

    No more are opened once some had none within the patience: a server with a thread each is left with a queue as
    short as may be.
    """
    with contextlib.ExitStack() as opened, ThreadPoolExecutor(STREAMS // 2) as pool:
        served: list[Wire] = []
        asked = 0
        while asked < STREAMS and len(served) == asked:
            wanted = min(max(asked, 1), STREAMS - asked)
            records = [record if asked + turn == 0 else Record() for turn in range(wanted)]
            found = list(pool.map(lambda one: opened.enter_context(_closing(place, one)), records))
            served += [wire for wire in found if wire is not None]
            asked += wanted
        kept = sum(not wire.ends(0.001) for wire in served)
    why = f"{kept} of {asked} streams had their first event within {place.patience_s:.1f} s, while all stayed open"
    if kept <= 1:
        raise RefusedError(why, figure=kept)
    return Seen(why=why, figure=kept)


@contextlib.contextmanager
def _closing(place: Place, record: Record) -> Iterator[Wire | None]:
    """Open a stream and wait for its first event; None where it does not come. On leaving, reset it."""
    wire = None
    served = False
    try:
        wire = Wire(place, record)
        wire.send(head(place, LASTING))
        until, came = place.until(), b""
        while FIRST not in came and not wire.ended:
            came += wire.receive(until)
        served = FIRST in came
    except OSError:
        served = False
    try:
        yield wire if served else None
    finally:
        if wire is not None:
            wire.close(reset=True)
