"""HTTP/3, spoken by the contract's own client; what went over the wire is encrypted, so it is told in words.

Knows what is asked. Must not know QUIC.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from gatebench.contract import http3
from gatebench.contract.wire import Answer, Server
from gatebench.protocols import http2
from gatebench.protocols.talk import Place, Record, RefusedError, Seen


def h3(place: Place, record: Record) -> Seen:
    """Ask by QUIC on the same port."""
    _asked(place, record, [place.path], place.patience_s)
    return Seen(why="a request was answered over QUIC, on the same port")


def multiplexed(place: Place, record: Record) -> Seen:
    """Ask for answers that wait, on streams of one connection: they end together."""
    begin = time.perf_counter()
    wait_s = http2.WAIT_S * http2.STREAMS
    _asked(place, record, [f"/sleep?s={http2.WAIT_S}"] * http2.STREAMS, place.patience_s + wait_s)
    return http2.together(time.perf_counter() - begin)


def _asked(place: Place, record: Record, targets: Sequence[str], patience_s: float) -> list[Answer]:
    record.note(f"a QUIC Initial with ALPN h3 to UDP port {place.port}, then GET {', '.join(targets)}")
    until = time.perf_counter() + patience_s
    server = Server(host=place.host, port=place.port, until=until, tls=True, patience_s=patience_s)
    answers = http3.ask(server, targets)
    for answer in answers:
        record.note(f"came: status {answer.status}, {len(answer.body)} bytes, {answer.fault or 'whole'}")
        if answer.fault:
            raise RefusedError(answer.fault)
        if answer.status != 200:
            raise RefusedError(f"it answered {answer.status}")
    return answers
