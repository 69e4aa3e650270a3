"""A server that answers exactly what a test says, valid or not, frame by frame."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions

Pairs = list[tuple[str, str]]


@dataclass
class Answer:
    """None leaves a part out; `reset` and `drop` end stream or connection after the rest."""

    head: Pairs | None
    body: bytes = b""
    tail: Pairs | None = None
    end: bool = True
    reset: int | None = None
    drop: bool = False
    delay_s: float = 0.0
    # Between the headers and the body.
    body_delay_s: float = 0.0


@dataclass
class Seen:
    """What clients did."""

    headers: list[Pairs] = field(default_factory=list)
    bodies: dict[int, bytes] = field(default_factory=dict)
    half_closed: asyncio.Event = field(default_factory=asyncio.Event)
    reset: asyncio.Event = field(default_factory=asyncio.Event)
    reset_code: int | None = None
    connections: int = 0


@contextlib.asynccontextmanager
async def odd_server(answer: Answer) -> AsyncIterator[tuple[str, Seen]]:
    """Its `host:port`, and what it sees."""
    seen = Seen()
    writers: list[asyncio.StreamWriter] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        seen.connections += 1
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            await _Connection(answer, seen, reader, writer).run()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}", seen
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


class _Connection:
    def __init__(
        self,
        answer: Answer,
        seen: Seen,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._answer, self._seen, self._reader, self._writer = answer, seen, reader, writer
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._h2 = h2.connection.H2Connection(config)

    async def run(self) -> None:
        self._h2.initiate_connection()
        await self._flush()
        while data := await self._reader.read(65536):
            for event in self._h2.receive_data(data):
                await self._take(event)
            await self._flush()

    async def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self._seen.headers.append([(str(k), str(v)) for k, v in event.headers or []])
                await self._reply(event.stream_id or 0)
            case h2.events.DataReceived():
                before = self._seen.bodies.get(event.stream_id or 0, b"")
                self._seen.bodies[event.stream_id or 0] = before + (event.data or b"")
                self._h2.acknowledge_received_data(
                    event.flow_controlled_length or 0, event.stream_id or 0
                )
            case h2.events.StreamEnded():
                self._seen.half_closed.set()
            case h2.events.StreamReset():
                self._seen.reset_code = int(event.error_code or 0)
                self._seen.reset.set()

    async def _reply(self, stream: int) -> None:
        answer = self._answer
        await asyncio.sleep(answer.delay_s)
        if answer.head is not None:
            only = not answer.body and answer.tail is None and answer.end
            self._h2.send_headers(stream, answer.head, end_stream=only)
        if answer.body_delay_s:
            await self._flush()
            await asyncio.sleep(answer.body_delay_s)
        for at in range(0, len(answer.body), 16_384):
            last = at + 16_384 >= len(answer.body) and answer.tail is None and answer.end
            self._h2.send_data(stream, answer.body[at : at + 16_384], end_stream=last)
        if answer.tail is not None:
            self._h2.send_headers(stream, answer.tail, end_stream=True)
        await self._flush()
        if answer.reset is not None:
            self._h2.reset_stream(stream, answer.reset)
            await self._flush()
        if answer.drop:
            self._writer.close()

    async def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())
        await self._writer.drain()
