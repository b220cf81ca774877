"""What a server speaks, found by speaking it: one entry a protocol, each a yes, or a no with what was said.

Knows the routes of the contract that it asks for. Must not know how a stack was started, nor its manual. Whatever a
server does becomes an entry; only a wrong argument is an error.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import h2.exceptions
from wsproto.utilities import ProtocolError

from gatebench.errors import UsageError
from gatebench.model import Capability
from gatebench.protocols import events, http1, http2, http3, websocket
from gatebench.protocols.talk import Place, Record, RefusedError, Seen

__all__ = ["PROTOCOLS", "speak"]

Probe = Callable[[Place, Record], Seen]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One protocol: how it is asked for, and what that takes."""

    title: str
    probe: Probe
    route: str | None = None  # of the contract, without which it cannot be asked for
    alone: bool = False  # it takes time by design, or threads, so nothing else is spoken meanwhile
    after: tuple[str, ...] = ()  # without any of these there is nothing to ask for


def _response_trailers(place: Place, record: Record) -> Seen:
    """Ask by HTTP/1.1, and by HTTP/2 where that has none: a server may know them in one of the two."""
    try:
        return http1.response_trailers(place, record)
    except RefusedError as refused:
        try:
            return http2.trailers(place, Record())
        except (*_REFUSALS, OSError):
            raise refused from None


_REFUSALS = (RefusedError, h2.exceptions.H2Error, ProtocolError, ValueError)  # a ValueError: a header that is no text
_H2 = ("h2", "h2c")
_ENTRIES: Mapping[str, _Entry] = {
    "http/1.0": _Entry("HTTP/1.0", http1.old),
    "http/1.0 keep-alive": _Entry("HTTP/1.0, connection kept", http1.old_kept),
    "http/1.1": _Entry("HTTP/1.1", http1.plain),
    "http/1.1 keep-alive": _Entry("HTTP/1.1, connection kept", http1.kept),
    "pipelining": _Entry("Pipelining", http1.pipelined, "json"),
    "chunked request": _Entry("Request in chunks", http1.chunked_request, "upload"),
    "chunked response": _Entry("Response in chunks", http1.chunked_response, "stream"),
    "h2": _Entry("HTTP/2 over TLS", http2.h2_tls),
    "h2c": _Entry("HTTP/2 in clear", http2.h2c),
    "h2 multiplexing": _Entry("HTTP/2, streams side by side", http2.multiplexed, "sleep", alone=True, after=_H2),
    "h3": _Entry("HTTP/3", http3.h3),
    "h3 multiplexing": _Entry("HTTP/3, streams side by side", http3.multiplexed, "sleep", alone=True, after=("h3",)),
    "websocket": _Entry("WebSocket", websocket.websocket, "ws"),
    "websocket over h2": _Entry("WebSocket over HTTP/2", http2.websocket, "ws", alone=True, after=_H2),
    "sse": _Entry("Events, one by one", events.sse, "sse", alone=True),
    "sse streams": _Entry("Streams of events at a time", events.streams, "sse", alone=True),
    "request trailers": _Entry("Request trailers", http1.request_trailers, "upload"),
    "response trailers": _Entry("Response trailers", _response_trailers),
    "100-continue": _Entry("100 Continue", http1.continued, "upload"),
    "openapi": _Entry("Description of itself (OpenAPI)", http1.described),  # of the app, not of its server
}
PROTOCOLS: tuple[tuple[str, str], ...] = tuple((name, entry.title) for name, entry in _ENTRIES.items())


def speak(
    *,
    host: str,
    port: int,
    tls: bool = False,
    websocket_path: str | None = "/ws",
    path: str = "/plaintext",
    protocols: Sequence[str] | None = None,
    lacks: Mapping[str, str] | None = None,
    patience_s: float = 1.0,
) -> tuple[Capability, ...]:
    """Speak these protocols, or all, to a running stack on this machine; give an entry each, in PROTOCOLS' order.

    `tls` says whether it has TLS; what cannot be had then is tried all the same. `path` is any GET that answers 200.
    `lacks` are the contract's routes that the app (not the server) is without, and why: what needs them is untried,
    and so is WebSocket without a path. `patience_s` is how long an answer is waited for beyond what it takes by
    design. UsageError where the address is not of the loopback, or a protocol is unknown.
    """
    _refuse_others(host, protocols)
    lacking = dict(lacks or {})
    if websocket_path is None:
        lacking.setdefault("ws", "the app has no WebSocket")
    place = Place(
        host=host, port=port, tls=tls, path=path, websocket_path=websocket_path or "/ws", patience_s=patience_s
    )
    wanted = [name for name in _ENTRIES if protocols is None or name in protocols]
    found = {name: _untried(name, lacking) for name in wanted if _ENTRIES[name].route in lacking}
    _together(place, [name for name in wanted if name not in found and not _ENTRIES[name].alone], found)
    for name in wanted:
        if name not in found and name != "sse streams":
            found[name] = _after(name, found) or _tried(name, place)
    if "sse streams" in wanted and "sse streams" not in found:  # at last, for it leaves threads busy for a while
        found["sse streams"] = _tried("sse streams", place)
    return tuple(found[name] for name in wanted)


def _together(place: Place, names: Sequence[str], found: dict[str, Capability]) -> None:
    """Speak several at once. Every no is asked again alone: a server with one thread may have been busy."""
    with ThreadPoolExecutor(max(len(names), 1)) as pool:
        found.update(zip(names, pool.map(lambda name: _tried(name, place), names), strict=True))
    again = replace(place, patience_s=place.patience_s / 2)  # by now nobody else is served before it
    for name in names:
        if found[name].answer == "no":
            found[name] = _tried(name, again)


def _tried(name: str, place: Place) -> Capability:
    """Speak one protocol once."""
    record, figure = Record(), None
    try:
        seen = _ENTRIES[name].probe(place, record)
    except TimeoutError:
        why = f"nothing more came within {place.patience_s:.1f} s"
    except ssl.SSLError as error:
        why = f"no TLS ({error.reason or error})".lower().replace("_", " ").replace("no tls", "no TLS")
    except OSError as error:
        why = f"the connection broke ({error.strerror or error})"
    except RefusedError as error:
        why, figure = str(error), error.figure
    except _REFUSALS as error:
        why = f"not understood ({error})"
    else:
        return Capability(protocol=name, answer="yes", why=seen.why, figure=seen.figure)
    return Capability(protocol=name, answer="no", why=why, figure=figure, transcript=str(record))


def _after(name: str, found: Mapping[str, Capability]) -> Capability | None:
    """Give the no that follows from another's; None where there is something to ask for."""
    bases = [found[base] for base in _ENTRIES[name].after if base in found]
    if not bases or any(base.answer == "yes" for base in bases):
        return None
    why = f"it does not speak {' or '.join(base.protocol for base in bases)}, which this goes over"
    transcript = "\n".join(base.transcript or "" for base in bases)
    return Capability(protocol=name, answer="no", why=why, transcript=transcript)


def _untried(name: str, lacking: Mapping[str, str]) -> Capability:
    route = _ENTRIES[name].route or ""
    return Capability(protocol=name, answer="untried", why=f"the app lacks the route {route}: {lacking[route]}")


def _refuse_others(host: str, protocols: Sequence[str] | None) -> None:
    try:
        near = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = False
    if not near:
        raise UsageError(f"Protocols are spoken to this machine's loopback only, and {host} is not of it.")
    if unknown := [name for name in protocols or () if name not in _ENTRIES]:
        raise UsageError(f"There is no protocol '{unknown[0]}'; there are {', '.join(_ENTRIES)}.")
