"""HTTP/1.1: a connection has one request at a time.

Knows, by h11, the grammar. An answer that equals a checked one byte for byte is not parsed again: `Date` moves once a
second, and until then all good answers are alike.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import h11

from gatebench.streams.job import Job
from gatebench.streams.lane import BODY, PATH, STATUS, Lane, Line, Turn
from gatebench.streams.tls import Secured, agreed, connected, unverified

LONGEST = 1 << 20  # bytes of an answer: it is wrong long before


@dataclass(slots=True)
class Known:
    """The last answer that was as expected and left its connection open."""

    answer: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole one."""

    status: int
    body: bytes
    kept: bool  # the connection takes another request


def parsed(data: bytes, *, ended: bool = False) -> Answer | None:
    """Read an answer; None where more of it must come, h11.RemoteProtocolError where it is none."""
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method="GET", target=PATH, headers=[("Host", "server")]))
    http.send(h11.EndOfMessage())
    http.receive_data(data)
    if ended:
        http.receive_data(b"")
    status, body = 0, b""
    while True:
        event = http.next_event()
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status, body, kept=http.their_state is h11.DONE and not ended and not http.trailing_data[0])
        elif not isinstance(event, h11.InformationalResponse):
            return None


class Http1(Secured):
    """A connection and its request."""

    def __init__(self, opened: ssl.SSLSocket, lane: Lane, request: bytes, known: Known) -> None:
        super().__init__(opened, lane)
        self._request = request
        self._known = known
        self._turn: Turn | None = None
        self._got = b""
        self._used = False  # it has given an answer before

    @property
    def room(self) -> bool:
        """Whether it takes a request now."""
        return self._turn is None and not self._retired

    def ask(self, turn: Turn) -> None:
        """Take a request."""
        self._turn = turn
        self._out += self._request

    def give_up(self, _turn: Turn) -> None:
        """Forget the request; what comes for it now belongs to nobody."""
        self._turn = None
        self.close()

    def busy(self) -> bool:
        """Say whether a request waits for its answer."""
        return self._turn is not None

    def received(self, data: bytes) -> None:
        """Take in a part of an answer."""
        if self._turn is None:
            self.retire()  # nobody has asked
            return
        self._got += data
        known = self._known.answer
        if self._got == known:
            self._answered(Answer(STATUS, BODY, kept=True))
        elif not known.startswith(self._got):
            self._read(ended=False)

    def ended(self, reason: str) -> None:
        """Take what has come for the answer, or ask again where the server had left before it heard the request."""
        if self._turn is None:
            return
        if not self._got and self._used:
            turn, self._turn = self._turn, None
            self._lane.refused(turn)
        elif not self._got:
            self._failed(f"{reason} before an answer")
        else:
            self._read(ended=True)

    def _read(self, *, ended: bool) -> None:
        try:
            answer = parsed(self._got, ended=ended)
        except h11.RemoteProtocolError as error:
            self._failed("the connection ended within an answer" if ended else f"no HTTP/1.1 ({error})")
            return
        if answer is None and len(self._got) > LONGEST:
            self._failed(f"an answer of more than {LONGEST} bytes")
        elif answer is not None:
            if (answer.status, answer.body, answer.kept) == (STATUS, BODY, True):
                self._known.answer = self._got
            self._answered(answer)

    def _answered(self, answer: Answer) -> None:
        turn, self._turn = self._turn, None
        self._got, self._used = b"", True
        if turn is not None:
            self._lane.answered(turn, answer.status, answer.body)
        if not answer.kept:
            self.retire()

    def _failed(self, reason: str) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            self._lane.failed(turn, reason)
        self.retire()


class Http1Opener:
    """Opens connections that speak HTTP/1.1."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._context = unverified("http/1.1")
        self._request = f"GET {PATH} HTTP/1.1\r\nHost: {job.authority}\r\nAccept: */*\r\n\r\n".encode()
        self._known = Known()

    async def __call__(self, lane: Lane) -> Line:
        """Open one; OSError or OpeningError where that fails."""
        opened = await connected(self._job, self._context)
        agreed(opened, "http/1.1", silence=True)
        return Http1(opened, lane, self._request, self._known)
