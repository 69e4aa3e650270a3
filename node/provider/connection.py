"""One HTTP/2 connection to a service: an `asyncio.Protocol` that many calls share.

What calls send in one turn of the event loop leaves in one write. DATA goes round in turns, one
frame a call, so that a large message does not delay small ones; it stops while the service or the
network takes no more.

Rules. The connection's own window is given back as bytes arrive, so a call whose reader is slow
stops its own stream and no other; what is bounded is each stream. A service that breaks HTTP/2
loses the connection and all calls on it, with a status each. Frames that cost memory without
moving a call are counted, and past a bound they end the connection.

Source: RFC 9113.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol, cast

from node.calls import Trailers
from node.provider import answer
from node.provider.blocks import AnswerBlocks, RequestBlocks
from node.provider.faults import Fault
from node.provider.frames import (
    DEFAULT_FRAME_BYTES,
    DEFAULT_WINDOW_BYTES,
    MAX_STREAM_ID,
    MAX_WINDOW_BYTES,
    PREFACE,
    Flag,
    Frame,
    FrameParser,
    Http2Error,
    Kind,
    Reset,
    Setting,
    parse_goaway,
    parse_number,
    parse_settings,
    print_block,
    print_frame,
    print_head,
    print_number,
    print_settings,
    unpadded,
)
from node.provider.stream import STREAM_WINDOW_BYTES, Stream
from security.limits import KIB, MIB

# What all calls of a connection may have under way to this side.
CONNECTION_WINDOW_BYTES: Final = 8 * MIB
FRAME_BYTES: Final = 64 * KIB
# Taken out of the streams in one turn of the loop.
_TURN_BYTES: Final = 256 * KIB
# Of one header block, whatever it says.
_MAX_BLOCK_BYTES: Final = 1 * MIB
# Frames in a row that move no call: pings, settings, empty DATA. gRPC needs a handful.
MAX_IDLE_FRAMES: Final = 10_000
# A connection that says nothing for so long while calls wait is asked whether it lives. Services on
# grpcio and grpc-go end a connection that is asked more often.
PING_EVERY_S: Final = 300.0
PING_TIMEOUT_S: Final = 20.0
_PING: Final = b"simpul\0\0"


class Owner(Protocol):
    """The target that a connection belongs to."""

    def on_room(self) -> None:
        """A stream ended: another call has room."""
        ...

    def on_gone(self, connection: Connection) -> None:
        """It takes no more calls."""
        ...

    def on_closed(self, connection: Connection) -> None:
        """It is no more."""
        ...

    def again(self, stream: Stream, reason: Trailers) -> None:
        """The service said that it has not begun this call."""
        ...


class Connection(asyncio.Protocol):
    """See the module's text. `ready` is done when the service has sent its settings."""

    def __init__(self, scheme: str, authority: str, max_metadata_bytes: int, owner: Owner) -> None:
        self._loop = asyncio.get_running_loop()
        self._max_metadata_bytes = max_metadata_bytes
        self._owner = owner
        self.ready: asyncio.Future[None] = self._loop.create_future()
        # A connection that is given up before it is ready has no reader of the reason.
        self.ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())
        self.draining = False
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, Stream] = {}
        self._next_id = 1
        # What the service allows.
        self._max_streams = MAX_STREAM_ID
        self._max_frame = DEFAULT_FRAME_BYTES
        self._first_window = DEFAULT_WINDOW_BYTES
        self._window = DEFAULT_WINDOW_BYTES
        # To be sent.
        self._out: list[bytes | bytearray] = []
        self._out_bytes = 0
        self._flushing = self._paused = False
        self._row: deque[Stream] = deque()
        self._requests = RequestBlocks(scheme, authority)
        # What comes.
        self._frames = FrameParser(FRAME_BYTES)
        self._answers = AnswerBlocks(max_metadata_bytes)
        self._received = 0
        self._idle_frames = 0
        self._partial: tuple[int, int, bytearray] | None = None
        self._heard_s = self._loop.time()
        self._pinged = False
        self._keeper: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        """It takes no further call now."""
        return self.draining or len(self._streams) >= self._max_streams

    @property
    def calls(self) -> int:
        """How many calls are on it."""
        return len(self._streams)

    # Calls.

    def begin(self, stream: Stream) -> None:
        """Send a call's headers, and what it has to send already."""
        block = self._requests.print(stream.request)
        stream.id, stream.line, stream.window = self._next_id, self, self._first_window
        self._next_id += 2
        self._streams[stream.id] = stream
        if self._next_id > MAX_STREAM_ID:
            self._retire()
        self._write(print_block(stream.id, block, self._max_frame, Flag.NONE))
        if stream.unsent or stream.half_closed:
            self.want(stream)

    def want(self, stream: Stream) -> None:
        """The stream has something to send."""
        if not stream.queued:
            stream.queued = True
            self._row.append(stream)
        self._pump()

    def credit(self, stream: Stream, size: int) -> None:
        """So many bytes of the stream were taken: the service may send as many more."""
        if not stream.remote_done:
            stream.allowed += size
            self._write(print_number(Kind.WINDOW_UPDATE, stream.id, size))

    def forget(self, stream: Stream, code: Reset | None) -> None:
        """The stream is over; with a code, the service has yet to hear of it."""
        if self._streams.pop(stream.id, None) is None:
            return
        if code is not None:
            self._write(print_number(Kind.RST_STREAM, stream.id, code))
        if self.draining:
            self._leave_if_empty()
        else:
            self._owner.on_room()

    def close(self) -> None:
        """End it, and every call on it."""
        self._end(answer.lost(), None)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the preface and this side's settings."""
        # uvloop's are none by their class.
        self._transport = cast("asyncio.Transport", transport)
        settings = print_settings(
            {
                Setting.HEADER_TABLE_SIZE: 0,
                Setting.ENABLE_PUSH: 0,
                Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
                Setting.MAX_FRAME_SIZE: FRAME_BYTES,
                Setting.MAX_HEADER_LIST_SIZE: self._max_metadata_bytes,
            }
        )
        more = CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW_BYTES
        self._write(PREFACE + settings + print_number(Kind.WINDOW_UPDATE, 0, more))
        self._keeper = self._loop.call_later(PING_EVERY_S, self._keep)

    def data_received(self, data: bytes) -> None:
        """Take what came to the calls that it is for."""
        self._heard_s = self._loop.time()
        try:
            for frame in self._frames.feed(data):
                self._take(frame)
        except Http2Error as error:
            self._break(error)
            return
        if self._received >= CONNECTION_WINDOW_BYTES // 4:
            self._write(print_number(Kind.WINDOW_UPDATE, 0, self._received))
            self._received = 0

    def pause_writing(self) -> None:
        """The network takes no more for now."""
        self._paused = True

    def resume_writing(self) -> None:
        """It does again."""
        self._paused = False
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        """The service, or the network, is gone."""
        del exc
        self._end(answer.lost(), Fault.LOST)

    # Sending.

    def _pump(self) -> None:
        row = self._row
        while row and not self._paused and self._out_bytes < _TURN_BYTES:
            stream = row[0]
            left = stream.unsent
            over = stream.line is not self or stream.local_done
            if over or (left and stream.window <= 0):
                # It comes back when the service has taken more.
                row.popleft()
                stream.queued = False
                continue
            size = min(left, stream.window, self._window, self._max_frame)
            if left and size <= 0:
                return
            row.popleft()
            last = size == left and stream.half_closed
            if size or last:
                stream.window -= size
                self._window -= size
                flags = Flag.END_STREAM if last else Flag.NONE
                self._write(print_head(size, Kind.DATA, flags, stream.id))
                if size:
                    self._write(stream.take(size))
                stream.local_done = last
                stream.went()
            if stream.unsent:
                row.append(stream)
            else:
                stream.queued = False

    def _write(self, data: bytes | bytearray) -> None:
        self._out.append(data)
        self._out_bytes += len(data)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        out, self._out, self._out_bytes = self._out, [], 0
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(out))
        self._pump()

    # Receiving.

    def _take(self, frame: Frame) -> None:
        kind = frame.kind
        if self._partial is not None and kind != Kind.CONTINUATION:
            raise Http2Error(Reset.PROTOCOL_ERROR, "a header block that is not continued")
        if kind == Kind.DATA:
            self._take_data(frame)
        elif kind == Kind.HEADERS:
            self._take_headers(frame.stream, frame.flags, unpadded(frame))
        elif kind == Kind.CONTINUATION:
            self._take_continuation(frame)
        elif kind == Kind.WINDOW_UPDATE:
            self._take_window(frame.stream, parse_number(frame.payload))
        elif kind == Kind.RST_STREAM:
            self._take_reset(frame.stream, parse_number(frame.payload))
        else:
            self._take_other(frame)

    def _take_other(self, frame: Frame) -> None:
        self._count_idle()
        if frame.kind == Kind.SETTINGS:
            self._take_settings(frame)
        elif frame.kind == Kind.PING:
            if frame.flags & Flag.ACK:
                self._pinged = False
            else:
                self._write(print_frame(Kind.PING, Flag.ACK, 0, frame.payload))
        elif frame.kind == Kind.GOAWAY:
            self._take_goaway(*parse_goaway(frame.payload))
        elif frame.kind == Kind.PUSH_PROMISE:
            raise Http2Error(Reset.PROTOCOL_ERROR, "a push, which was not allowed")

    def _take_data(self, frame: Frame) -> None:
        size = len(frame.payload)
        self._received += size
        stream = self._streams.get(frame.stream)
        if stream is None:
            self._check_known(frame.stream)
            return
        if stream.remote_done:
            raise Http2Error(Reset.STREAM_CLOSED, "DATA after the end")
        stream.allowed -= size
        if stream.allowed < 0 or self._received > CONNECTION_WINDOW_BYTES:
            raise Http2Error(Reset.FLOW_CONTROL_ERROR, "more DATA than was allowed")
        data = unpadded(frame) if frame.flags & Flag.PADDED else frame.payload
        if frame.flags & Flag.END_STREAM:
            stream.remote_done = True
        if data:
            self._idle_frames = 0
            stream.take_data(data, size)
        else:
            self._count_idle()
        if stream.remote_done:
            stream.take_end()

    def _take_headers(self, stream: int, flags: int, block: bytes) -> None:
        if not flags & Flag.END_HEADERS:
            self._partial = (stream, flags, bytearray(block))
            return
        self._idle_frames = 0
        found = self._streams.get(stream)
        if found is None:
            self._check_known(stream)
            self._answers.read(block)
            return
        if found.remote_done:
            raise Http2Error(Reset.STREAM_CLOSED, "HEADERS after the end")
        last = bool(flags & Flag.END_STREAM)
        found.remote_done = last
        found.take_block(self._answers.read(block), last=last)

    def _take_continuation(self, frame: Frame) -> None:
        if self._partial is None or self._partial[0] != frame.stream:
            raise Http2Error(Reset.PROTOCOL_ERROR, "a continuation of nothing")
        self._count_idle()
        stream, flags, block = self._partial
        block += frame.payload
        if len(block) > _MAX_BLOCK_BYTES:
            raise Http2Error(Reset.ENHANCE_YOUR_CALM, "a header block without end")
        if frame.flags & Flag.END_HEADERS:
            self._partial = None
            self._take_headers(stream, flags | Flag.END_HEADERS, bytes(block))

    def _take_window(self, stream: int, size: int) -> None:
        size &= MAX_WINDOW_BYTES
        if stream == 0:
            self._window += size
            if not size or self._window > MAX_WINDOW_BYTES:
                raise Http2Error(Reset.FLOW_CONTROL_ERROR, "a window without bound")
            self._pump()
            return
        found = self._streams.get(stream)
        if found is None:
            self._count_idle()
            return
        found.window += size
        if not size or found.window > MAX_WINDOW_BYTES:
            found.finish(answer.broken(), Fault.HTTP2)
        elif found.unsent:
            self.want(found)

    def _take_reset(self, stream: int, code: int) -> None:
        found = self._streams.get(stream)
        if found is None:
            self._count_idle()
        elif found.remote_done:
            # It has answered, and wants no more of the request.
            found.local_done = True
        elif code == Reset.REFUSED_STREAM:
            self._give_back(found, answer.reset(code))
        else:
            found.take_reset(code)

    def _take_settings(self, frame: Frame) -> None:
        if frame.flags & Flag.ACK:
            return
        settings = parse_settings(frame.payload)
        self._max_frame = settings.get(Setting.MAX_FRAME_SIZE, self._max_frame)
        self._max_streams = settings.get(Setting.MAX_CONCURRENT_STREAMS, self._max_streams)
        if Setting.HEADER_TABLE_SIZE in settings:
            self._requests.name_table()
        first = settings.get(Setting.INITIAL_WINDOW_SIZE, self._first_window)
        more, self._first_window = first - self._first_window, first
        for stream in self._streams.values():
            stream.window += more
            if more > 0 and stream.unsent and not stream.queued:
                stream.queued = True
                self._row.append(stream)
        self._write(print_frame(Kind.SETTINGS, Flag.ACK, 0))
        if not self.ready.done():
            self.ready.set_result(None)
        self._pump()
        self._owner.on_room()

    def _take_goaway(self, last: int, _code: int) -> None:
        self._retire()
        for stream in [one for number, one in self._streams.items() if number > last]:
            self._give_back(stream, answer.not_begun())
        self._leave_if_empty()

    def _give_back(self, stream: Stream, reason: Trailers) -> None:
        """The service has not begun this call, and says so."""
        del self._streams[stream.id]
        stream.line = None
        self._owner.again(stream, reason)

    def _check_known(self, stream: int) -> None:
        """A stream that is over may still say something; one that never was may not."""
        if stream == 0 or stream % 2 == 0 or stream >= self._next_id:
            raise Http2Error(Reset.PROTOCOL_ERROR, f"stream {stream}, which nobody opened")
        self._count_idle()

    def _count_idle(self) -> None:
        self._idle_frames += 1
        if self._idle_frames > MAX_IDLE_FRAMES:
            raise Http2Error(Reset.ENHANCE_YOUR_CALM, "too many frames that say nothing")

    # The end.

    def _keep(self) -> None:
        """Ask a silent service whether it lives, and end the connection if it doesn't say."""
        silent_s = self._loop.time() - self._heard_s
        if self._pinged and silent_s >= PING_TIMEOUT_S:
            self._end(answer.lost(), Fault.LOST)
            return
        wait_s = PING_EVERY_S - silent_s
        if wait_s <= 0 and self._streams:
            self._pinged = True
            self._write(print_frame(Kind.PING, Flag.NONE, 0, _PING))
            wait_s = PING_TIMEOUT_S
        self._keeper = self._loop.call_later(max(wait_s, PING_TIMEOUT_S), self._keep)

    def _retire(self) -> None:
        if not self.draining:
            self.draining = True
            self._owner.on_gone(self)

    def _leave_if_empty(self) -> None:
        if not self._streams:
            self._end(answer.lost(), None)

    def _break(self, error: Http2Error) -> None:
        self._out.append(
            print_frame(Kind.GOAWAY, Flag.NONE, 0, bytes(4) + int(error.code).to_bytes(4, "big"))
        )
        if not self.ready.done():
            self.ready.set_exception(error)
        self._end(answer.broken(), Fault.HTTP2)

    def _end(self, trailers: Trailers, fault: Fault | None) -> None:
        self._retire()
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("the connection ended before it began"))
        if self._keeper is not None:
            self._keeper.cancel()
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.lose(trailers, fault)
        self._row.clear()
        transport, self._transport = self._transport, None
        if transport is not None and not transport.is_closing():
            transport.write(b"".join(self._out))
            transport.close()
        self._out.clear()
        self._owner.on_closed(self)
