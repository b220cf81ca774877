"""One connection and its exchanges, one at a time: opened when needed, watched over, closed when spoilt.

Knows sockets, TLS and HTTP/1.1 answers. Must not know what is asked for, whether an answer is the expected one, nor
Locust: an owner hears of the end of each exchange.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
from collections.abc import Callable
from time import perf_counter
from typing import Protocol, TypeAlias

from gatebench.swarm.engine import Engine
from gatebench.swarm.target import Target, Tls
from gatebench.swarm.wire import Parser, WireError

IN, OUT = select.EPOLLIN, select.EPOLLOUT
FEW_BYTES = 479  # taken at a time: they make an object that Python's own allocator still serves
MANY_BYTES = 65536  # from the first time that those were not enough
AGAIN_S = 0.002  # between tries to connect where a Unix socket's line is full
Append: TypeAlias = Callable[[float], None]
UNASKED = "bytes that nobody had asked for"


class Owner(Protocol):
    """Who asks, and hears what became of it."""

    def done(self, reason: str, now: float) -> None:
        """Hear that the exchange has ended; the reason is empty where an answer has come."""

    def unasked(self) -> None:
        """Hear that bytes came while no exchange went on; the connection is closed."""


class Connection:
    """A connection over which requests go out and HTTP answers come in."""

    __slots__ = (
        "__weakref__",
        "_bodiless",
        "_counted",
        "_engine",
        "_fd",
        "_leaving",
        "_opening",
        "_out",
        "_owner",
        "_receive",
        "_room",
        "_same",
        "_send",
        "_socket",
        "_target",
        "_timed",
        "_timeout_s",
        "_tls",
        "_until",
        "_used",
        "_wire",
        "began",
        "busy",
        "done",
        "parser",
        "retries",
    )

    def __init__(self, engine: Engine, target: Target, owner: Owner, timeout_s: float) -> None:
        self.parser = Parser()
        self.busy = False  # an exchange goes on
        self.began = 0.0  # when it did, or the last one
        self.retries = 0  # requests sent again, since the server had closed the idle connection
        self._engine = engine
        self._target = target
        self._owner = owner
        self.done: Callable[[str, float], object] = owner.done
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._fd = -1
        self._opening = False  # has a door, or waits for one
        self._leaving = False  # has something to send, and its turn is to come
        self._used = False  # has had an answer
        self._room = FEW_BYTES
        self._bodiless = False
        self._wire = b""
        self._out = b""  # what the socket has not taken yet
        self._tls: Tls | None = None

    @property
    def is_open(self) -> bool:
        """Say whether an exchange would find a connection."""
        return self._socket is not None and not self._opening

    @property
    def opening(self) -> bool:
        """Say whether the connection is being opened, or stands in line for it."""
        return self._opening

    def ask(self, wire: bytes, bodiless: bool = False) -> None:
        """Send a request, when the engine has taken in what has come; the owner hears of its end."""
        self.busy = self._leaving = True
        self._wire = wire
        self._bodiless = bodiless
        if self._engine.turning:
            self._engine.leaving.append(self)
        else:
            self.go()

    def go(self) -> None:
        """Send what is to be sent."""
        if not self._leaving:
            return
        self._leaving = False
        self.began = perf_counter()
        wire = self._wire
        if self._socket is None:
            self._open()
        elif self._tls is not None or self._out:
            self._say(wire)
        else:  # the same, for the many
            parser = self.parser
            if parser.begun or self._bodiless:
                parser.begin(bodiless=self._bodiless)
            send = self._send
            try:
                sent = send(wire)
            except OSError as error:
                self._unsent(wire, error)
            else:
                if sent != len(wire):
                    self._later(wire[sent:])

    def repeat(self, until: float, began: Append, took: Append) -> None:
        """Answer answers that equal the last one, byte for byte, by asking the same again, without the owner.

        It hears of the first other answer, or of one after `until`; `began` and `took` hear of those between.
        """
        if self._socket is not None and self._tls is None and not self.parser.begun:
            self._same, self._until, self._counted, self._timed = self.parser.answer(), until, began, took
            self._engine.handlers[self._fd] = self._repeated

    def close(self) -> None:
        """Close at once and forget the exchange that goes on; the next one opens the connection again."""
        self.busy = self._leaving = False
        self._shut()

    def expire(self, now: float) -> None:
        """Fail the exchange that takes too long."""
        if self.busy and now - self.began > self._timeout_s:
            late = "connection not opened in time" if self._opening else f"no answer within {self._timeout_s:g} s"
            self._fail(late, now)

    # opening

    def _open(self) -> None:
        self._opening = True
        self._used = False
        self.parser.begin()  # what the last connection said is no answer of this one, nor the beginning of one
        self._engine.enter(self._connect)

    def _connect(self, since: float | None = None) -> None:
        """Begin to connect, or go on with what began then; who calls has a door."""
        if not self._opening or self._socket is not None or since not in {None, self.began}:  # given up meanwhile
            self._engine.leave()
            return
        # To stand in line for a door is the generator's own affair.
        self.began = began = perf_counter() if since is None else since
        try:
            self._socket = self._target.connect()
        except BlockingIOError:  # a Unix socket whose line is full, and nobody tells when it is shorter
            self._engine.watched[self] = None
            self._engine.at(perf_counter() + AGAIN_S, lambda _due, _now: self._connect(began))
            return
        except OSError as error:
            reason = reason_of(error)
            self._opening = False
            self._engine.leave()
            self._engine.soon(lambda _due, now: self._fail(reason, now) if self.began == began else None)
            return
        self._fd = self._socket.fileno()
        self._receive, self._send = self._socket.recv, self._socket.send
        self._engine.watched[self] = None
        self._engine.register(self._fd, self._connected, OUT)

    def _connected(self, _events: int, now: float) -> None:
        assert self._socket is not None  # noqa: S101 - it is registered
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._fail(reason_of(OSError(error, os.strerror(error))), now)
            return
        self._engine.handlers[self._fd] = self._happened
        self._engine.modify(self._fd, IN)
        if self._target.tls:
            self._tls = Tls(self._target)
            self._put(self._tls.begin())
        else:
            self._ready()

    def _ready(self) -> None:
        """Go on with the request for which the connection was opened."""
        self._opened()
        self._say(self._wire)

    def _opened(self) -> None:
        self._opening = False
        self._engine.leave()

    # sending

    def _say(self, wire: bytes) -> None:
        self.parser.begin(bodiless=self._bodiless)
        self._transmit(wire)

    def _transmit(self, data: bytes) -> None:
        self._put(data if self._tls is None else self._tls.seal(data))

    def _put(self, data: bytes) -> None:
        if self._out:
            self._out += data
            return
        try:
            sent = self._send(data)
        except OSError as error:
            self._unsent(data, error)
        else:
            if sent != len(data):
                self._later(data[sent:])

    def _unsent(self, data: bytes, error: OSError) -> None:
        if isinstance(error, BlockingIOError):
            self._later(data)
        else:
            broken = self._socket  # the next one may well have the same number
            self._engine.soon(lambda _due, now: self._lost(error, now) if self._socket is broken else None)

    def _later(self, data: bytes) -> None:
        self._out = data
        self._engine.modify(self._fd, IN | OUT)

    def _flush(self) -> None:
        data, self._out = self._out, b""
        self._put(data)
        if not self._out and self._socket is not None:
            self._engine.modify(self._fd, IN)

    # receiving

    def _happened(self, events: int, now: float) -> None:
        if events & OUT and self._out:
            self._flush()
        receive, done, parser = self._receive, self.done, self.parser  # to call a slot by way of `self` is slower
        try:
            data = receive(self._room)
            if len(data) == parser.whole and self.busy and data.startswith(parser.raw):
                parser.data = data  # the same as below, for the many
                self.busy = False
                done("", now)
                return
            if not data:
                self._ended(now)
                return
            if len(data) == self._room:
                self._room = MANY_BYTES
            if self._tls is None:
                self._received(data, now)
            else:
                self._unsealed(data, now)
        except BlockingIOError:
            pass
        except OSError as error:
            self._lost(error, now)

    def _repeated(self, events: int, now: float) -> None:
        receive, counted, timed = self._receive, self._counted, self._timed
        try:
            data = receive(self._room)
        except OSError:
            data = b""
        if data == self._same and now < self._until:
            began = self.began
            counted(began)
            timed(now - began)
            self._leaving = True
            self._engine.leaving.append(self)
            return
        self._engine.handlers[self._fd] = self._happened
        if data:
            self._received(data, now)
        else:
            self._happened(events, now)

    def _unsealed(self, data: bytes, now: float) -> None:
        assert self._tls is not None  # noqa: S101 - seen by who calls
        tls, was_ready = self._tls, self._tls.ready
        try:
            data, back = tls.take(data)
        except ssl.SSLError:
            self._fail("TLS not agreed on", now)
            return
        if back:
            self._put(back)
        if tls.ready and not was_ready:
            self._ready()
        if data:
            self._received(data, now)
        if tls.ended and self._tls is tls:
            self._ended(now)

    def _received(self, data: bytes, now: float) -> None:
        parser = self.parser
        if not self.busy:
            self._shut()
            self._owner.unasked()
            return
        try:
            complete = parser.feed(data)
        except WireError as error:
            self._fail(str(error), now)
            return
        if complete:
            self.busy = False
            if parser.keep_alive:
                self._used = True
                self.done("", now)
            else:
                self._shut()
                self.done("more bytes after the end of the answer" if parser.surplus else "", now)

    def _ended(self, now: float) -> None:
        """Take in that the peer has closed."""
        if not self.busy or self._leaving:  # what has not been sent yet will find no connection, and open one
            self._shut()
            return
        try:
            self.parser.end()
        except WireError as error:
            if not self._again():
                self._fail(str(error), now)
            return
        self.busy = False
        self._shut()
        self.done("", now)

    def _lost(self, error: OSError, now: float) -> None:
        if not self.busy:
            self._shut()
        elif not self._again():
            self._fail("connection closed within the answer" if self.parser.begun else reason_of(error), now)

    def _again(self) -> bool:
        """Send the request once more where the server had closed an idle connection: that is nobody's error."""
        if not self._used or self.parser.begun:
            return False
        self._shut()
        self.retries += 1
        self._open()
        return True

    # the end

    def _fail(self, reason: str, now: float) -> None:
        was_busy, self.busy = self.busy, False
        self._leaving = False
        self._shut()
        if was_busy:
            self.done(reason, now)

    def _shut(self) -> None:
        if self._socket is not None:
            self._engine.forget(self._fd)
            self._socket.close()
            self._socket = None
            self._fd = -1
            if self._opening:
                self._opening = False
                self._engine.leave()
        self._engine.watched.pop(self, None)
        self._opening = False
        self._out = b""
        self._tls = None


def reason_of(error: OSError) -> str:
    """Say why an exchange failed, without any value that another exchange would not have."""
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "connection closed before the answer"
    if isinstance(error, ConnectionRefusedError) or error.errno == errno.ECONNREFUSED:
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return "host not found"
    if error.errno == errno.EADDRNOTAVAIL:
        return "no free port left to connect from"
    if error.errno == errno.EMFILE:
        return "no open file left; raise the limit with `ulimit -n`"
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__
