"""Services that break HTTP/2, use all of it, or go away: what becomes of the calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from node.calls import HalfClose, Headers, Message, OutboundRequest, Trailers
from node.gateway.limits import CallLimits
from node.provider.connection import MAX_IDLE_FRAMES
from node.provider.frames import (
    Flag,
    Kind,
    Reset,
    Setting,
    print_block,
    print_fields,
    print_frame,
    print_number,
)
from node.provider.services import HttpServices
from node.provider.stream import STREAM_WINDOW_BYTES
from tests.unit.node.provider.raw_server import HEAD, OK, Peer, X, raw_server

ASK = OutboundRequest("/t.T/Ask", (), 5000)


@pytest_asyncio.fixture
async def services() -> AsyncIterator[HttpServices]:
    made = HttpServices(CallLimits())
    yield made
    await made.close()


async def end_of(call: Any) -> Trailers:
    while not isinstance(event := await asyncio.wait_for(call.receive(), 5), Trailers):
        pass
    return event


# What breaks HTTP/2: each ends the connection, and no more.

BREACHES: dict[str, bytes | Callable[[int], bytes]] = {
    "a frame over the limit": b"\xff\xff\xff\0\0\0\0\0\1",
    "http/1.1": b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    "a push": print_frame(Kind.PUSH_PROMISE, Flag.END_HEADERS, 1, b"\0\0\0\2"),
    "data for nobody": print_frame(Kind.DATA, 0, 99, b"x"),
    "data for the connection": print_frame(Kind.DATA, 0, 0, b"x"),
    "headers for nobody": print_frame(Kind.HEADERS, Flag.END_HEADERS, 99, HEAD),
    "headers that are none": print_frame(Kind.HEADERS, Flag.END_HEADERS, 1, b"\xff\xff\xff\xff"),
    "a continuation of nothing": print_frame(Kind.CONTINUATION, Flag.END_HEADERS, 1, HEAD),
    "a block interrupted": print_frame(Kind.HEADERS, 0, 1, HEAD) + print_frame(Kind.PING, 0, 0),
    "a block without end": print_frame(Kind.HEADERS, 0, 1, b"")
    + print_frame(Kind.CONTINUATION, 0, 1, bytes(60_000)) * 20,
    "empty continuations": print_frame(Kind.HEADERS, 0, 1, b"")
    + print_frame(Kind.CONTINUATION, 0, 1) * (MAX_IDLE_FRAMES + 1),
    "pings": print_frame(Kind.PING, 0, 0, bytes(8)) * (MAX_IDLE_FRAMES + 1),
    "settings": print_frame(Kind.SETTINGS, 0, 0) * (MAX_IDLE_FRAMES + 1),
    "empty data": print_frame(Kind.HEADERS, Flag.END_HEADERS, 1, HEAD)
    + print_frame(Kind.DATA, 0, 1) * (MAX_IDLE_FRAMES + 1),
    "settings that are cut": print_frame(Kind.SETTINGS, 0, 0, b"\0"),
    "a tiny frame size": print_frame(Kind.SETTINGS, 0, 0, b"\0\5\0\0\0\1"),
    "a huge window": print_frame(Kind.SETTINGS, 0, 0, b"\0\4\xff\xff\xff\xff"),
    "a window without bound": print_number(Kind.WINDOW_UPDATE, 0, 2**31 - 1),
    "a window of nothing": print_number(Kind.WINDOW_UPDATE, 0, 0),
    "a window that is cut": print_frame(Kind.WINDOW_UPDATE, 0, 0, b"\0"),
    "a goaway that is cut": print_frame(Kind.GOAWAY, 0, 0, b"\0"),
    "more padding than payload": print_frame(Kind.DATA, Flag.PADDED, 1, b"\5a"),
    "more than the window": print_frame(Kind.HEADERS, Flag.END_HEADERS, 1, HEAD)
    + print_frame(Kind.DATA, 0, 1, bytes(60_000)) * (STREAM_WINDOW_BYTES // 60_000 + 1),
    "after the end": print_frame(Kind.HEADERS, Flag.END_HEADERS, 1, HEAD)
    + print_frame(Kind.DATA, Flag.END_STREAM, 1, X)
    + print_frame(Kind.DATA, 0, 1, X),
}  # fmt: skip


@pytest.mark.parametrize("name", BREACHES)
async def test_a_breach_ends_its_connection_and_no_more(services: HttpServices, name: str) -> None:
    breach = BREACHES[name]
    assert isinstance(breach, bytes)

    def script(peer: Peer, stream: int) -> None:
        if peer.number:
            peer.answer(stream)
        else:
            peer.writer.write(breach)

    async with raw_server(script) as raw:
        call = services.start(raw.target, ASK)
        await call.send(HalfClose())
        # Its reader sleeps: what comes is not taken.
        await asyncio.sleep(0.1)
        assert (await end_of(call)).status in {2, 13}
        got = await services.unary(raw.target, ASK, Message(b"x"))
        assert (got.trailers.status, got.message) == (0, Message(b"x"))
        assert len(raw.peers) == 2
        goaway = [frame for frame in raw.peers[0].frames if frame.kind == Kind.GOAWAY]
        assert len(goaway) == 1


# What HTTP/2 allows, and few do.


async def test_padding_priorities_informational_headers_and_unknown_frames(
    services: HttpServices,
) -> None:
    def script(peer: Peer, stream: int) -> None:
        early = print_fields([(b":status", b"103"), (b"link", b"</x>")])
        peer.writer.write(print_block(stream, early, 16_384, Flag.NONE))
        flags = Flag.END_HEADERS | Flag.PRIORITY | Flag.PADDED
        peer.send(Kind.HEADERS, flags, stream, b"\3" + bytes(5) + HEAD + bytes(3))
        peer.writer.write(b"\0\0\2\x2a\xff\0\0\0\1hi")
        peer.send(Kind.PRIORITY, 0, stream, bytes(5))
        peer.send(Kind.DATA, Flag.PADDED, stream, b"\2" + X[:3] + b"\0\0")
        peer.send(Kind.DATA, Flag.NONE, stream, X[3:])
        peer.writer.write(print_block(stream, OK, 1, Flag.END_STREAM))

    async with raw_server(script) as raw:
        got = await services.unary(raw.target, ASK, Message(b"x"))
    assert (got.trailers.status, got.message) == (0, Message(b"x"))


async def test_the_services_windows_and_frames_are_kept(services: HttpServices) -> None:
    data = bytes(range(256)) * 200

    async def script(peer: Peer, stream: int) -> None:
        for size in (10, 1000, 100_000):
            await asyncio.sleep(0.02)
            sent = sum(len(f.payload) for f in peer.frames if f.kind == Kind.DATA)
            allowed.append(sent)
            peer.writer.write(print_number(Kind.WINDOW_UPDATE, stream, size))
        peer.answer(stream)

    allowed: list[int] = []
    async with raw_server(script, {Setting.INITIAL_WINDOW_SIZE: 0}) as raw:
        task = asyncio.create_task(services.unary(raw.target, ASK, Message(data)))
        got = await task
        await asyncio.sleep(0.05)
        frames = [frame for frame in raw.peers[0].frames if frame.kind == Kind.DATA]
    assert got.trailers.status == 0
    assert allowed[0] == 0
    assert all(len(frame.payload) <= 16_384 for frame in frames)


async def test_a_limit_of_streams_means_more_connections_and_then_waiting(
    services: HttpServices,
) -> None:
    at_once = 0
    most = 0

    async def script(peer: Peer, stream: int) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        at_once -= 1
        peer.answer(stream)

    async with raw_server(script, {Setting.MAX_CONCURRENT_STREAMS: 1}) as raw:
        calls = (services.unary(raw.target, ASK, Message(b"x")) for _ in range(100))
        got = await asyncio.gather(*calls)
        assert [each.trailers.status for each in got] == [0] * 100
        assert 1 < most <= 16
        assert len(raw.peers) <= 16


async def test_a_slow_reader_stops_its_own_stream_only(services: HttpServices) -> None:
    """Its window is used up, and the connection's is not."""

    def script(peer: Peer, stream: int) -> None:
        if stream == 1:
            peer.writer.write(print_block(stream, HEAD, 16_384, Flag.NONE))
            for _ in range(STREAM_WINDOW_BYTES // 16_384):
                peer.send(Kind.DATA, Flag.NONE, stream, bytes(16_384))
        else:
            peer.answer(stream)

    async with raw_server(script) as raw:
        slow = services.start(raw.target, ASK)
        assert isinstance(await slow.receive(), Headers)
        for _ in range(200):
            got = await services.unary(raw.target, ASK, Message(b"x"))
            assert got.trailers.status == 0
        (peer,) = raw.peers

        def credit() -> list[int]:
            return [f.stream for f in peer.frames if f.kind == Kind.WINDOW_UPDATE and f.stream]

        assert credit() == []
        for _ in range(STREAM_WINDOW_BYTES // 5):
            assert await slow.receive() == Message(b"")
            if credit():
                break
        await asyncio.sleep(0.05)
        assert credit() == [1]
        slow.cancel()


# Services that go.


async def test_a_call_that_was_not_begun_is_sent_once_more(services: HttpServices) -> None:
    """GOAWAY: the streams above its number were not looked at, those below are answered."""

    async def script(peer: Peer, stream: int) -> None:
        if peer.number:
            peer.answer(stream)
        elif stream == 5:
            peer.send(Kind.GOAWAY, 0, 0, (1).to_bytes(4, "big") + bytes(4))
            await asyncio.sleep(0.05)
            peer.answer(1)

    async with raw_server(script) as raw:
        first = asyncio.create_task(services.unary(raw.target, ASK, Message(b"x")))
        await asyncio.sleep(0.05)
        streamed = services.start(raw.target, ASK)
        second = services.unary(raw.target, ASK, Message(b"x"))
        got = await asyncio.gather(first, second)
        assert [each.trailers.status for each in got] == [0, 0]
        end = await end_of(streamed)
        assert (end.status, end.error) == (14, None)
        assert "has not begun" in end.message
        assert [peer.calls for peer in raw.peers] == [[1, 3, 5], [1]]


async def test_a_refused_stream_is_sent_once_more_and_no_oftener(services: HttpServices) -> None:
    def script(peer: Peer, stream: int) -> None:
        if stream in refused:
            peer.writer.write(print_number(Kind.RST_STREAM, stream, Reset.REFUSED_STREAM))
        else:
            peer.answer(stream)

    refused = {1}
    async with raw_server(script) as raw:
        got = await services.unary(raw.target, ASK, Message(b"x"))
        assert got.trailers.status == 0
        refused.update({5, 7, 9})
        got = await services.unary(raw.target, ASK, Message(b"x"))
        assert got.trailers.status == 14
        assert raw.peers[0].calls == [1, 3, 5, 7]


async def test_one_that_began_to_answer_is_not_sent_again(services: HttpServices) -> None:
    def script(peer: Peer, stream: int) -> None:
        peer.writer.write(print_block(stream, HEAD, 16_384, Flag.NONE))
        peer.writer.write(print_number(Kind.RST_STREAM, stream, Reset.REFUSED_STREAM))

    async with raw_server(script) as raw:
        got = await services.unary(raw.target, ASK, Message(b"x"))
        assert got.trailers.status == 14
        assert raw.peers[0].calls == [1]


async def test_an_answer_that_came_whole_outlives_its_connection(services: HttpServices) -> None:
    async def script(peer: Peer, stream: int) -> None:
        peer.answer(stream)
        await peer.writer.drain()
        peer.writer.close()

    async with raw_server(script) as raw:
        call = services.start(raw.target, ASK)
        await asyncio.sleep(0.1)
        assert isinstance(await call.receive(), Headers)
        assert await call.receive() == Message(b"x")
        assert await call.receive() == Trailers(0)


async def test_an_answer_before_the_requests_end_stops_the_request(services: HttpServices) -> None:
    async with raw_server(lambda peer, stream: peer.answer(stream)) as raw:
        call = services.start(raw.target, ASK)
        assert (await end_of(call)).status == 0
        await call.send(Message(b"too late"))
        await asyncio.sleep(0.05)
        (peer,) = raw.peers
        resets = [frame.payload for frame in peer.frames if frame.kind == Kind.RST_STREAM]
        assert resets == [bytes(4)]
        assert not [frame for frame in peer.frames if frame.kind == Kind.DATA]


async def test_a_gigabyte_ends_at_the_limit(services: HttpServices) -> None:
    """One message is refused at its prefix; a stream waits for its reader."""
    sent = 0

    async def script(peer: Peer, stream: int) -> None:
        nonlocal sent
        peer.writer.write(print_block(stream, HEAD, 16_384, Flag.NONE))
        prefix = b"\0\x40\0\0\0" if peer.headers[-1][":path"] == "/t.T/Ask" else b"\0\0\0\x3f\xfb"
        for _ in range(STREAM_WINDOW_BYTES // 16_384):
            peer.send(Kind.DATA, Flag.NONE, stream, prefix + bytes(16_379))
            sent += 16_384
            await peer.writer.drain()

    async with raw_server(script) as raw:
        got = await services.unary(raw.target, ASK, Message(b"x"))
        assert got.trailers.error is not None
        assert got.trailers.error.code.value == "MESSAGE_TOO_LARGE"
        await asyncio.sleep(0.05)
        (peer,) = raw.peers
        resets = [frame.payload[-1] for frame in peer.frames if frame.kind == Kind.RST_STREAM]
        assert resets == [Reset.CANCEL]
        call = services.start(raw.target, OutboundRequest("/t.T/Many", (), None))
        await asyncio.sleep(0.2)
        assert not [f for f in peer.frames if f.kind == Kind.WINDOW_UPDATE and f.stream == 3]
        call.cancel()
