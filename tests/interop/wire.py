"""A gRPC client that hides nothing: what it sends and gets are HTTP/2 headers, bytes and resets.

Stock clients don't tell whether a message came compressed, don't let a caller compress one message
and not the next, and never break the rules.

Source: gRPC over HTTP/2; RFC 9113.
"""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

Pairs = list[tuple[str, str]]

WINDOW_BYTES = 2**24
WAIT_S = 10.0


@dataclass
class Stream:
    """One call: what came back."""

    number: int
    connection: "Connection"
    headers: Pairs | None = None
    body: bytearray = field(default_factory=bytearray)
    trailers: Pairs | None = None
    # An HTTP/2 error code, where the other side reset the stream.
    reset: int | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """Bytes as they are; waits for the other side's window."""
        await self.connection.send(self.number, data, end=end)

    async def message(self, data: bytes, *, compressed: bool = False, end: bool = False) -> None:
        """One gRPC message; `compressed` gzips it."""
        await self.send(frame(data, compressed=compressed), end=end)

    def cancel(self, code: int = h2.errors.ErrorCodes.CANCEL) -> None:
        """Reset the stream."""
        self.connection.cancel(self.number, code)

    async def wait(self) -> "Stream":
        """Waits for the end of the call."""
        async with asyncio.timeout(WAIT_S):
            await self.ended.wait()
        return self

    @property
    def status(self) -> int | None:
        """`grpc-status`, from the trailers or from a Trailers-Only answer."""
        said = dict(self.trailers or self.headers or [])
        return int(said["grpc-status"]) if "grpc-status" in said else None

    @property
    def messages(self) -> list[tuple[bool, bytes]]:
        """Each message with its compressed flag, decompressed."""
        found, at, body = [], 0, bytes(self.body)
        while at < len(body):
            end = at + 5 + int.from_bytes(body[at + 1 : at + 5], "big")
            data = body[at + 5 : end]
            found.append((body[at] == 1, gzip.decompress(data) if body[at] else data))
            at = end
        return found


class Connection:
    """An HTTP/2 connection, without TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._h2 = h2.connection.H2Connection(config)
        self._streams: dict[int, Stream] = {}
        self._window = asyncio.Event()
        self.closed = asyncio.Event()
        self.went_away: int | None = None

    def open(self, headers: Sequence[tuple[str, str]], *, end: bool = False) -> Stream:
        """Begin a stream with exactly these headers."""
        stream = Stream(self._h2.get_next_available_stream_id(), self)
        self._streams[stream.number] = stream
        self._h2.send_headers(stream.number, headers, end_stream=end)
        self._flush()
        return stream

    def call(
        self, path: str, metadata: Sequence[tuple[str, str]] = (), *, authority: str = "interop"
    ) -> Stream:
        """Begin a gRPC call."""
        return self.open(
            [
                (":method", "POST"), (":scheme", "http"), (":path", path),
                (":authority", authority), ("te", "trailers"),
                ("content-type", "application/grpc"), *metadata,
            ]
        )  # fmt: skip

    async def send(self, number: int, data: bytes, *, end: bool) -> None:
        """Bytes on a stream, as flow control allows; nothing once the stream is over."""
        with contextlib.suppress(h2.exceptions.StreamClosedError):
            at = 0
            while at < len(data):
                room = min(
                    self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size
                )
                if room == 0:
                    self._window.clear()
                    await self._window.wait()
                    continue
                self._h2.send_data(number, data[at : at + room])
                at += room
                self._flush()
            if end:
                self._h2.end_stream(number)
            self._flush()
            await self._writer.drain()

    def cancel(self, number: int, code: int) -> None:
        """Reset a stream."""
        with contextlib.suppress(h2.exceptions.StreamClosedError):
            self._h2.reset_stream(number, code)
        self._flush()

    def raw(self, data: bytes) -> None:
        """Bytes on the connection itself, whatever they are."""
        self._writer.write(data)

    def abort(self) -> None:
        """Leave without a word."""
        self._writer.transport.abort()

    async def run(self) -> None:
        """Take what comes until the connection ends."""
        self._h2.initiate_connection()
        self._h2.update_settings(
            {
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES,
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 2**20,
            }
        )
        self._h2.increment_flow_control_window(WINDOW_BYTES)
        self._flush()
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            while data := await self._reader.read(65536):
                for event in self._h2.receive_data(data):
                    self._take(event)
                self._flush()
        self.closed.set()
        self._window.set()
        for stream in self._streams.values():
            stream.begun.set()
            stream.ended.set()

    def _take(self, event: h2.events.Event) -> None:
        self._window.set()
        if isinstance(event, h2.events.ConnectionTerminated):
            self.went_away = int(event.error_code or 0)
        stream = self._streams.get(getattr(event, "stream_id", 0) or 0)
        if stream is None:
            return
        match event:
            case h2.events.ResponseReceived():
                stream.headers = [(str(k), str(v)) for k, v in event.headers or []]
                stream.begun.set()
            case h2.events.DataReceived():
                stream.body += event.data or b""
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, stream.number)
            case h2.events.TrailersReceived():
                stream.trailers = [(str(k), str(v)) for k, v in event.headers or []]
            case h2.events.StreamReset():
                stream.reset = int(event.error_code or 0)
                stream.begun.set()
                stream.ended.set()
            case h2.events.StreamEnded():
                stream.ended.set()

    def _flush(self) -> None:
        if not self._writer.is_closing():
            self._writer.write(self._h2.data_to_send())


@contextlib.asynccontextmanager
async def connect(target: str) -> AsyncIterator[Connection]:
    """A connection to `host:port` for a block."""
    host, _, port = target.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    connection = Connection(reader, writer)
    running = asyncio.create_task(connection.run())
    try:
        # The settings have to go first.
        await asyncio.sleep(0)
        yield connection
    finally:
        writer.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def frame(data: bytes, *, compressed: bool = False) -> bytes:
    """A message with its prefix; `compressed` gzips it."""
    if compressed:
        data = gzip.compress(data)
    return bytes([compressed]) + len(data).to_bytes(4, "big") + data
