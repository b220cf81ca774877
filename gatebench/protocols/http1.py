"""HTTP/1: versions, keep-alive, pipelining, bodies in chunks, trailers, 100-continue.

Knows requests byte for byte and, by `h11`, the grammar of answers. Must not know how a stack was started.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field

import h11

from gatebench.protocols.talk import Place, Record, RefusedError, Seen, Wire

PIECES = (b"the first piece, ", b"the second, " * 20, b"and the last")  # of a body in chunks
BODY = b"".join(PIECES)
DIGEST = hashlib.sha256(BODY).hexdigest().encode()
NUMBERS = (101, 102, 103)  # of requests in one packet
LIMIT_BYTES = 1 << 20
TRAILER = b"x-gatebench-trailer"  # what the route /trailers sends after its body


@dataclass(slots=True)
class Reply:
    """One answer."""

    status: int = 0
    version: str = ""
    headers: dict[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    hints: list[int] = field(default_factory=list)  # statuses of 1xx that came before
    arrivals: list[tuple[float, int]] = field(default_factory=list)  # moment, bytes of the body there were by then

    @property
    def closes(self) -> bool:
        """Say whether the server announced that it ends the connection."""
        return "close" in self.headers.get("connection", "").lower()


def head(place: Place, target: str, *more: str, method: str = "GET", version: str = "1.1") -> bytes:
    """Give the head of a request as it goes out."""
    lines = [f"{method} {target} HTTP/{version}", f"Host: {place.authority}", *more, "", ""]
    return "\r\n".join(lines).encode()


def taken(wire: Wire, until: float, *, continued: bool = False, into: Reply | None = None) -> Reply:
    """Take one answer; what came after it is left on the wire. With `continued`, stop at a 100 as well.

    RefusedError where it is no whole answer of HTTP/1, TimeoutError where it does not come; what came is in `into`.
    """
    http, reply = h11.Connection(h11.CLIENT), Reply() if into is None else into
    http.send(h11.Request(method="GET", target="/", headers=[("Host", "any")]))
    http.send(h11.EndOfMessage())
    try:
        while not _complete(http, reply, wire, until, continued=continued):
            pass
    except h11.RemoteProtocolError as error:
        raise RefusedError(f"no whole answer of HTTP/1 ({error})") from None
    wire.left = http.trailing_data[0] + wire.left
    return reply


def unended(wire: Wire, until: float) -> Reply:
    """Take one answer, or what there is of it by then: some servers leave open whether more is to come."""
    reply = Reply()
    try:
        return taken(wire, until, into=reply)
    except TimeoutError:
        if not reply.status:
            raise
        return reply


def _complete(http: h11.Connection, reply: Reply, wire: Wire, until: float, *, continued: bool) -> bool:
    """Take the next event into a reply; say whether it is whole."""
    event = http.next_event()
    if event is h11.NEED_DATA:
        data = wire.receive(until)
        if not data and not reply.status:
            raise RefusedError("the server closed without an answer")
        http.receive_data(data)
    elif isinstance(event, h11.InformationalResponse):
        reply.hints.append(event.status_code)
        return continued and event.status_code == 100
    elif isinstance(event, h11.Response):
        reply.status, reply.version = event.status_code, event.http_version.decode()
        reply.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
    elif isinstance(event, h11.Data):
        reply.body += event.data
        reply.arrivals.append((time.perf_counter(), len(reply.body)))
        if len(reply.body) > LIMIT_BYTES:
            raise RefusedError(f"more than {LIMIT_BYTES} bytes")
    elif isinstance(event, h11.EndOfMessage):
        reply.trailers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        return True
    else:
        raise RefusedError("a change of protocol that nobody asked for")
    return False


def good(reply: Reply, expected: bytes | None = None) -> Reply:
    """Give an answer that is 200 and has this body; RefusedError for any other."""
    if reply.status != 200:
        raise RefusedError(f"it answered {reply.status}")
    if expected is not None and reply.body != expected:
        raise RefusedError(f"it answered another body than the right one ({len(reply.body)} bytes)")
    return reply


def old(place: Place, record: Record) -> Seen:
    """Ask by HTTP/1.0: a whole answer, not in chunks, and the end of the connection."""
    with Wire(place, record) as wire:
        wire.send(head(place, place.path, version="1.0"))
        reply = good(taken(wire, place.until()))
        if "transfer-encoding" in reply.headers:
            raise RefusedError("it answered in chunks, which HTTP/1.0 does not know")
        ended = wire.ended or wire.ends()
        return Seen(why="a whole answer, and the connection ended" if ended else "a whole answer, left open after it")


def old_kept(place: Place, record: Record) -> Seen:
    """Ask twice by HTTP/1.0 over a connection that is asked to be kept, in the spelling of its day."""
    return _twice(place, record, head(place, place.path, "Connection: Keep-Alive", version="1.0"))


def plain(place: Place, record: Record) -> Seen:
    """Ask by HTTP/1.1: an answer of that version."""
    with Wire(place, record) as wire:
        wire.send(head(place, place.path, "Connection: close"))
        reply = good(taken(wire, place.until()))
        if reply.version != "1.1":
            raise RefusedError(f"it answered by HTTP/{reply.version}")
        return Seen(why="a whole answer of this version")


def described(place: Place, record: Record) -> Seen:
    """Ask for the app's description of itself, where frameworks that make one have it."""
    with Wire(place, record) as wire:
        wire.send(head(place, "/openapi.json", "Connection: close"))
        reply = good(taken(wire, place.until()))
        try:
            paths = json.loads(reply.body)["paths"]
        except (ValueError, KeyError, TypeError):
            raise RefusedError("what it answered at /openapi.json is no description of paths") from None
        return Seen(why=f"its own description names {len(paths)} paths", figure=float(len(paths)))


def kept(place: Place, record: Record) -> Seen:
    """Ask twice by HTTP/1.1 over one connection."""
    return _twice(place, record, head(place, place.path))


def _twice(place: Place, record: Record, request: bytes) -> Seen:
    with Wire(place, record) as wire:
        wire.send(request)
        good(taken(wire, place.until()))
        try:
            wire.send(request)
            good(taken(wire, place.until()))
        except (RefusedError, ConnectionError) as error:
            told = error if isinstance(error, RefusedError) else "the server closed"
            raise RefusedError(f"the first request was answered, a second one not: {told}") from None
        return Seen(why="two requests, one after the other, over one connection")


def pipelined(place: Place, record: Record) -> Seen:
    """Send several requests in one packet: as many answers, in their order."""
    with Wire(place, record) as wire:
        wire.send(b"".join(head(place, f"/json?id={number}") for number in NUMBERS))
        for turn, number in enumerate(NUMBERS):
            try:
                reply = good(taken(wire, place.until()))
            except (RefusedError, OSError) as error:
                told = _told(error)
                raise RefusedError(f"{turn} of {len(NUMBERS)} requests in one packet were answered: {told}") from None
            if f'"id":{number},'.encode() not in reply.body.replace(b" ", b""):
                raise RefusedError(f"answer {turn + 1} is not that of request {turn + 1}")
        return Seen(why=f"{len(NUMBERS)} requests in one packet, {len(NUMBERS)} answers in their order")


def _told(error: Exception) -> str:
    if isinstance(error, RefusedError):
        return str(error)
    return "nothing more came" if isinstance(error, TimeoutError) else "the connection broke"


def _chunked(*trailers: bytes) -> bytes:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in PIECES)
    return chunks + b"0\r\n" + b"".join(b"%s\r\n" % trailer for trailer in trailers) + b"\r\n"


def chunked_request(place: Place, record: Record) -> Seen:
    """Send a body in chunks: the app reads all of it."""
    with Wire(place, record) as wire:
        wire.send(head(place, "/upload", "Transfer-Encoding: chunked", method="POST") + _chunked())
        good(taken(wire, place.until()), DIGEST)
        return Seen(why=f"the app read a body of {len(PIECES)} chunks")


def chunked_response(place: Place, record: Record) -> Seen:
    """Ask for a body whose length nobody knows: it comes in chunks."""
    with Wire(place, record) as wire:
        wire.send(head(place, "/stream?n=4&size=64"))
        reply = unended(wire, place.until())
        good(reply, b"".join(letter * 64 for letter in (b"a", b"b", b"c", b"d")))
        if reply.headers.get("transfer-encoding", "").lower() != "chunked":
            by_end = "up to the connection's end" if wire.ended else "without any sign of its end"
            how = "with a Content-Length" if "content-length" in reply.headers else by_end
            raise RefusedError(f"the right body came {how}, not in chunks")
        return Seen(why="a body without a length came in chunks")


def request_trailers(place: Place, record: Record) -> Seen:
    """Send a body in chunks with a trailer: the app reads the body, and the trailer is not taken for a request."""
    request = head(place, "/upload", "Transfer-Encoding: chunked", "Trailer: X-Digest", method="POST")
    with Wire(place, record) as wire:
        wire.send(request + _chunked(b"X-Digest: " + DIGEST))
        reply = good(taken(wire, place.until()), DIGEST)
        if reply.closes or wire.ended:
            if wire.left:
                raise RefusedError("it took the trailer for a further request")
            return Seen(why="the body was read and the trailer left out; the server ends the connection")
        try:
            wire.send(head(place, place.path))
            good(taken(wire, place.until()))
        except (RefusedError, OSError) as error:
            raise RefusedError(f"after a trailer, the next request was not answered: {_told(error)}") from None
        return Seen(why="the body was read, and the next request on the connection answered")


def response_trailers(place: Place, record: Record) -> Seen:
    """Ask an app for trailers, which it sends where the server says that it can."""
    with Wire(place, record) as wire:
        wire.send(head(place, "/trailers", "TE: trailers"))
        reply = taken(wire, place.until())
        if reply.status == 404:
            raise RefusedError(
                "the app has no route that sends trailers: the bare ASGI app alone has, WSGI has no way to"
            )
        good(reply)
        if TRAILER.decode() not in reply.trailers:
            raise RefusedError("the answer came without its trailer over HTTP/1.1")
        return Seen(why="the trailer came after the body, over HTTP/1.1")


def continued(place: Place, record: Record) -> Seen:
    """Announce a body and wait: the server says 100 before it is sent."""
    length = f"Content-Length: {len(BODY)}"
    with Wire(place, record) as wire:
        wire.send(head(place, "/upload", length, "Expect: 100-continue", method="POST"))
        try:
            reply = taken(wire, place.until(), continued=True)
        except TimeoutError:
            raise RefusedError(f"no 100 within {place.patience_s:.1f} s") from None
        if reply.status:
            raise RefusedError(f"it answered {reply.status} and not 100")
        wire.send(BODY)
        good(taken(wire, place.until()), DIGEST)
        return Seen(why="100 came before the body was sent")
