"""HTTP/2: a connection has as many requests at a time as the server allows.

Knows, by hyperframe and hpack, the grammar. The library `h2`, which is made of these two, takes no more answers after
a GOAWAY, and the answers to the requests before it are still to come.
"""

from __future__ import annotations

import asyncio
import ssl

from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from gatebench.streams.job import Job
from gatebench.streams.lane import LONGEST_BODY, PATH, Lane, Line, OpeningError, Turn
from gatebench.streams.tls import Secured, agreed, connected, unverified

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9  # of a frame
LONGEST_FRAME = 16384  # nothing else has been allowed
WINDOW_BYTES = 1 << 30  # of the connection, given anew when half of it is used
TABLE_BYTES = 4096  # of headers that are remembered, unless the server wants fewer
REFUSED = 7  # REFUSED_STREAM: the server has not worked on it


class Stream:
    """A request and what has come of its answer."""

    __slots__ = ("body", "status", "turn")

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.status: int | None = None
        self.body = b""


class Http2(Secured):
    """A connection and its streams."""

    def __init__(self, opened: ssl.SSLSocket, lane: Lane, headers: list[tuple[bytes, bytes]]) -> None:
        super().__init__(opened, lane)
        self.greeted: asyncio.Future[None] = self._loop.create_future()  # the server has told its settings
        self._headers = headers
        self._encoder, self._decoder = Encoder(), Decoder()
        self._spelt = b""  # what a request's headers were, when they were last encoded
        self._alike = b""  # and once they were so twice, they stay so: all of them stand in the table
        self._streams: dict[int, Stream] = {}
        self._number = -1  # of the last stream: clients have the odd ones
        self._most = 1 << 31  # streams at a time, until the server says less
        self._got = b""
        self._block = b""  # of headers, as far as it has come
        self._closing = False  # the block's frame is its stream's last one
        self._used_bytes = 0  # of the connection's window
        settings = SettingsFrame(settings={SettingsFrame.ENABLE_PUSH: 0})
        self._out += PREFACE + settings.serialize() + WindowUpdateFrame(0, WINDOW_BYTES).serialize()

    @property
    def room(self) -> bool:
        """Whether the server allows one more stream now."""
        return len(self._streams) < self._most and not self._retired

    def ask(self, turn: Turn) -> None:
        """Open a stream for a request."""
        self._number += 2
        self._streams[self._number] = Stream(turn)
        block = self._alike or self._encoder.encode(self._headers)
        self._alike, self._spelt = block if block == self._spelt else b"", block
        frame = HeadersFrame(self._number, data=block, flags=["END_HEADERS", "END_STREAM"])
        self._out += frame.serialize()

    def give_up(self, turn: Turn) -> None:
        """Forget a request's stream."""
        self._streams = {number: stream for number, stream in self._streams.items() if stream.turn is not turn}

    def busy(self) -> bool:
        """Say whether a stream is open."""
        return bool(self._streams)

    def received(self, data: bytes) -> None:
        """Take in frames."""
        self._got += data
        try:
            self._take_frames()
        except (HyperframeError, HPACKError, ValueError) as error:
            self.ended(f"no HTTP/2 ({type(error).__name__})")
            self.retire()

    def ended(self, reason: str) -> None:
        """Count all open streams as errors."""
        if not self.greeted.done():
            self.greeted.set_exception(OpeningError(reason))
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            self._lane.failed(stream.turn, reason)

    def _take_frames(self) -> None:
        data = memoryview(self._got)
        at = 0
        while len(data) - at >= HEAD_BYTES:
            frame, length = Frame.parse_frame_header(data[at : at + HEAD_BYTES])
            if length > LONGEST_FRAME:
                raise ValueError(length)
            end = at + HEAD_BYTES + length
            if end > len(data):
                break
            frame.parse_body(data[at + HEAD_BYTES : end])
            at = end
            self._take(frame)
        self._got = bytes(data[at:])

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, HeadersFrame | ContinuationFrame):
            self._take_headers(frame)
        elif isinstance(frame, DataFrame):
            self._take_data(frame)
        elif isinstance(frame, SettingsFrame):
            self._take_settings(frame)
        elif isinstance(frame, RstStreamFrame):
            stream = self._streams.pop(frame.stream_id, None)
            if stream is not None and frame.error_code == REFUSED:
                self._lane.refused(stream.turn)
            elif stream is not None:
                self._lane.failed(stream.turn, f"the stream was reset ({frame.error_code})")
        elif isinstance(frame, GoAwayFrame):
            for number in sorted((one for one in self._streams if one > frame.last_stream_id), reverse=True):
                self._lane.refused(self._streams.pop(number).turn)
            self.retire()
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            self._out += PingFrame(0, frame.opaque_data, flags=["ACK"]).serialize()

    def _take_headers(self, frame: HeadersFrame | ContinuationFrame) -> None:
        """Take in headers; also those of streams that are given up, as later ones may refer to them."""
        self._block += frame.data
        if isinstance(frame, HeadersFrame):
            self._closing = "END_STREAM" in frame.flags
        if "END_HEADERS" not in frame.flags:
            return
        block, self._block = self._block, b""
        headers = tuple(self._decoder.decode(block, raw=True))
        stream = self._streams.get(frame.stream_id)
        if stream is None:
            return
        if headers and headers[0][0] == b":status":  # trailers have none
            stream.status = int(headers[0][1])
        if self._closing:
            self._answered(frame.stream_id)

    def _take_data(self, frame: DataFrame) -> None:
        self._used_bytes += frame.flow_controlled_length
        if self._used_bytes > WINDOW_BYTES // 2:
            self._out += WindowUpdateFrame(0, self._used_bytes).serialize()
            self._used_bytes = 0
        stream = self._streams.get(frame.stream_id)
        if stream is None:
            return
        if len(stream.body) <= LONGEST_BODY:
            stream.body += frame.data
        if "END_STREAM" in frame.flags:
            self._answered(frame.stream_id)

    def _take_settings(self, frame: SettingsFrame) -> None:
        if "ACK" in frame.flags:
            return
        self._most = frame.settings.get(SettingsFrame.MAX_CONCURRENT_STREAMS, self._most)
        if (size := frame.settings.get(SettingsFrame.HEADER_TABLE_SIZE)) is not None:
            self._encoder.header_table_size = min(size, TABLE_BYTES)
            self._spelt = self._alike = b""
        self._out += SettingsFrame(flags=["ACK"]).serialize()
        if not self.greeted.done():
            self.greeted.set_result(None)

    def _answered(self, number: int) -> None:
        stream = self._streams.pop(number)
        self._lane.answered(stream.turn, stream.status, stream.body)


class Http2Opener:
    """Opens connections that speak HTTP/2."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._context = unverified("h2")
        self._headers = headers(job)

    async def __call__(self, lane: Lane) -> Line:
        """Open one and hear what the server allows; OSError or OpeningError where that fails."""
        opened = await connected(self._job, self._context)
        agreed(opened, "h2", silence=False)
        line = Http2(opened, lane, self._headers)
        try:
            line.flush()
            await line.greeted
        except BaseException:
            line.close()
            raise
        return line


def headers(job: Job) -> list[tuple[bytes, bytes]]:
    """Give what a request says, in HTTP/2 and HTTP/3."""
    pairs = {":method": "GET", ":scheme": "https", ":authority": job.authority, ":path": PATH, "accept": "*/*"}
    return [(name.encode(), value.encode()) for name, value in pairs.items()]
