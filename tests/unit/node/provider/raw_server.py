"""A server that says any frames at all: each test scripts what it answers to a call."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from hpack import Decoder

from node.provider.frames import (
    PREFACE,
    Flag,
    Frame,
    FrameParser,
    Kind,
    Setting,
    print_block,
    print_fields,
    print_frame,
    print_settings,
)

HEAD = print_fields([(b":status", b"200"), (b"content-type", b"application/grpc")])
OK = print_fields([(b"grpc-status", b"0")])
X = b"\0\0\0\0\1x"


@dataclass
class Peer:
    """One connection, as the script sees it."""

    writer: asyncio.StreamWriter
    number: int
    # The streams that calls came on, their headers, and all frames.
    calls: list[int] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    decoder: Decoder = field(default_factory=Decoder)

    def send(self, kind: Kind, flags: int, stream: int, payload: bytes = b"") -> None:
        """One frame."""
        self.writer.write(print_frame(kind, flags, stream, payload))

    def answer(self, stream: int, message: bytes = X) -> None:
        """A whole answer that is in order."""
        self.writer.write(print_block(stream, HEAD, 16_384, Flag.NONE))
        self.send(Kind.DATA, Flag.NONE, stream, message)
        self.writer.write(print_block(stream, OK, 16_384, Flag.END_STREAM))


@dataclass
class Raw:
    """The server."""

    target: str
    peers: list[Peer] = field(default_factory=list)


Script = Callable[[Peer, int], Awaitable[None] | None]


@contextlib.asynccontextmanager
async def raw_server(
    script: Script,
    settings: dict[Setting, int] | None = None,
    *,
    greeting: bytes | None = None,
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[Raw]:
    """Has `script` run for each call; `greeting` is said instead of settings."""
    raw = Raw("")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(writer, len(raw.peers))
        raw.peers.append(peer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            writer.write(print_settings(settings or {}) if greeting is None else greeting)
            assert await reader.readexactly(len(PREFACE)) == PREFACE
            parser = FrameParser(1 << 20)
            while data := await reader.read(65_536):
                for frame in parser.feed(data):
                    peer.frames.append(frame)
                    if frame.kind == Kind.HEADERS:
                        peer.calls.append(frame.stream)
                        fields = peer.decoder.decode(frame.payload)
                        peer.headers.append({str(k): str(v) for k, v in fields})
                        done = script(peer, frame.stream)
                        if done is not None:
                            await done
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    host, port = server.sockets[0].getsockname()
    raw.target = f"{host}:{port}"
    try:
        yield raw
    finally:
        server.close()
        for peer in raw.peers:
            peer.writer.close()
        await server.wait_closed()
