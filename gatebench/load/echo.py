"""One user's WebSocket: a message out, its echo in, compared, and told to Locust's request event.

Knows websocket-client, and the two ways of load: a closed loop, where a connection that does not open or does not
last is an error, and held connections, where it is the result. Must not know windows, histograms or jobs.
"""

from __future__ import annotations

from time import perf_counter, time

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from locust import User
from locust.exception import CatchResponseError, StopUser
from websocket import ABNF, WebSocket, WebSocketBadStatusException, WebSocketException

from gatebench.load.client import Target, reason_of, shut

HANDSHAKE_S = 3.0  # a connection whose handshake is not answered within it is not opened
DOORS = 128  # connections being opened at once, where they are held
KEPT_S = 1.0  # a held connection that answers within it is kept

OPENING = "OPEN"  # Locust's request type of a connection that did not open
FAILURES = (WebSocketException, OSError, ValueError, IndexError)  # the last two: a handshake that is not HTTP


class NotOpenedError(Exception):
    """The connection of a user did not open."""


class Hold:
    """Connections that are held open: who may open one, how many did, and when each one's turn to speak comes."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self.opened = 0
        self.kept = 0  # answered within KEPT_S
        self.last_opened_s = perf_counter()
        self._doors = BoundedSemaphore(DOORS)
        self._waiting: set[gevent.Greenlet] = set()
        self._go = Event()

    def admit(self, client: EchoClient) -> int:
        """Open a user's connection when there is a door free; give its place in the row, or raise NotOpenedError."""
        user = gevent.getcurrent()
        self._waiting.add(user)
        try:
            with self._doors:
                client.open()
        finally:
            self._waiting.discard(user)
        self.last_opened_s = perf_counter()
        self.opened += 1
        return self.opened - 1

    def wait_turn(self, place: int) -> None:
        """Wait until all are open, and then for this one's moment; the last has time for its echo in the window."""
        self._go.wait()
        gevent.sleep(max(self._window_s - KEPT_S, self._window_s / 2) * place / self.opened)

    def turn_away(self) -> None:
        """End the users that still wait for a connection."""
        gevent.killall(list(self._waiting), timeout=KEPT_S)

    def begin(self) -> None:
        """Let the turns begin."""
        self._go.set()


class EchoClient:
    """What a scenario calls as `self.client`: each call is one round trip."""

    in_flight_since: float | None = None  # perf_counter of the message whose echo is awaited

    def __init__(self, user: User, target: Target, path: str, *, hold: Hold | None, timeout_s: float) -> None:
        self.bodies_checked = 0
        self.retries = 0
        self._user = user
        self._target = target
        self._path = path
        self._hold = hold
        self._timeout_s = timeout_s
        self._socket: WebSocket | None = None
        self._late = False

    def open(self) -> None:
        """Open the connection, or raise NotOpenedError."""
        began, start = time(), perf_counter()
        reason = self._handshake()
        if reason:
            if self._hold is None:
                self._tell(OPENING, perf_counter() - start, 0, reason, began)
            raise NotOpenedError(reason)

    def echo(self, message: str) -> None:
        """Send a text and take back its echo; a connection that was lost is opened once more, or the user ends."""
        if self._socket is None:
            try:
                self.open()
            except NotOpenedError:
                raise StopUser from None
        began = time()
        self.in_flight_since = start = perf_counter()
        try:
            reason, lost = self._round_trip(message.encode()), False
        except FAILURES as error:
            reason, lost = self._reason(error), True
            self.close()
        took_s = perf_counter() - start
        self.in_flight_since = None
        if self._hold is not None:
            if lost:
                raise StopUser
            self._hold.kept += not reason and took_s <= KEPT_S
        self._tell("WS", took_s, len(message), reason, began)

    def give_up(self) -> None:
        """Fail the round trip in flight for its lateness: shutting the connection wakes who reads from it."""
        if self._socket is not None and self._socket.sock is not None:
            self._late = True
            shut(self._socket.sock)

    def close(self) -> None:
        """Say goodbye where there is someone to say it to, and close the connection without waiting for an answer."""
        self._late = False
        if self._socket is not None:
            connection, self._socket = self._socket, None
            try:
                connection.send_close()
            except FAILURES:
                pass
            finally:
                connection.shutdown()  # type: ignore[no-untyped-call]

    def _handshake(self) -> str:
        """Connect and shake hands; give what went wrong, or nothing."""
        url = f"ws://{self._target.netloc}{self._target.prefix}{self._path}"
        ws = WebSocket(enable_multithread=False, skip_utf8_validation=True)
        try:
            with gevent.Timeout(HANDSHAKE_S, False):
                connection = self._target.connect(HANDSHAKE_S)
                ws.connect(url, socket=connection, redirect_limit=0)  # type: ignore[no-untyped-call]
                self._socket = ws
                return ""
        except WebSocketBadStatusException as error:
            return f"handshake answered with status {error.status_code}"
        except OSError as error:
            return reason_of(error)
        except FAILURES:
            return "handshake not completed"
        return f"connection not opened within {HANDSHAKE_S:g} s"

    def _round_trip(self, message: bytes) -> str:
        assert self._socket is not None  # noqa: S101 - echo has opened it
        self._socket.send(message, ABNF.OPCODE_TEXT)
        opcode, echo = self._socket.recv_data()
        if opcode == ABNF.OPCODE_CLOSE:
            raise ConnectionResetError
        self.bodies_checked += 1
        return "" if opcode == ABNF.OPCODE_TEXT and echo == message else "echo other than the message"

    def _reason(self, error: Exception) -> str:
        if self._late:
            return f"no echo within {self._timeout_s:g} s"
        if isinstance(error, WebSocketException):
            return "connection closed before the echo"
        return reason_of(error)

    def _tell(self, kind: str, took_s: float, length: int, reason: str, began: float) -> None:
        self._user.environment.events.request.fire(
            request_type=kind,
            name=self._path,
            response_time=took_s * 1000,
            response_length=length,
            response=None,
            context=self._user.context(),
            exception=CatchResponseError(reason) if reason else None,
            start_time=began,
            url=self._path,
        )
