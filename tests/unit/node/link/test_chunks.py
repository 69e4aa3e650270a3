"""Large payloads: in chunks, between other parcels, whole or not at all."""

import asyncio
import os

import pytest

from node.calls import HalfClose, Message, OutboundRequest, Trailers, UnaryAnswer
from node.link.assembly import Assembly
from node.link.frames import chunk_frame
from node.link.outgoing import CHUNK_BYTES, MAX_UNTAKEN_BYTES, Frame, Outgoing
from security.commitment import commit_payload
from security.errors import Code, LinkFault
from security.limits import INLINE_MAX_BYTES
from simpul.v1 import exchange_pb2
from tests.support.pair import FakeCall, ServiceSide, pair, unary
from tests.unit.node.link.hostile import greeted, lives_on

MIB = 1024 * 1024
SIZES = [
    INLINE_MAX_BYTES, INLINE_MAX_BYTES + 1, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 255,
    2 * CHUNK_BYTES + 256, 2 * CHUNK_BYTES + 257, 16 * MIB,
]  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
async def test_unary_both_ways(size: int) -> None:
    data = os.urandom(size)
    async with pair() as two:
        call = await two.consumer.run(unary(data=data))
        assert call.messages == [data]
        assert call.trailers.status == 0


async def test_a_stream_keeps_its_order() -> None:
    async def shout(side: ServiceSide) -> None:
        while isinstance(event := await side.incoming.get(), Message):
            await side.outgoing.put(event)
        await side.outgoing.put(Trailers(0))

    words = [os.urandom(size) for size in (10, 100_000, 0, 3 * MIB, 1, 65_537, 65_536, 200_000)]
    async with pair() as two:
        two.provider.services.on_stream = shout
        call = FakeCall("Watch", *(Message(word) for word in words), HalfClose())
        await two.consumer.run(call)
        assert call.messages == words


async def test_small_calls_go_between_the_chunks_of_a_large_one() -> None:
    order: list[int] = []

    async def answer(request: OutboundRequest, message: Message) -> UnaryAnswer:
        order.append(len(message.data))
        return UnaryAnswer((), Message(b""), Trailers(0))

    async with pair() as two:
        two.provider.services.on_unary = answer
        await two.consumer.run(unary())
        order.clear()
        large = asyncio.create_task(two.consumer.run(unary(data=bytes(16 * MIB))))
        await asyncio.sleep(0)
        small = [asyncio.create_task(two.consumer.run(unary())) for _ in range(10)]
        await asyncio.gather(large, *small)
        assert order[-1] == 16 * MIB
        assert len(order) == 11


async def test_an_app_that_goes_while_its_payload_travels() -> None:
    async with pair() as two:
        call = unary(data=bytes(16 * MIB))
        running = asyncio.create_task(two.consumer.run(call))
        async with asyncio.timeout(5):
            while not two.consumer.journal.records:
                await asyncio.sleep(0.001)
        call.go_away()
        await running
        # The rest of the payload is taken, the call ends, and the link goes on.
        assert (await two.consumer.run(unary())).trailers.status == 0


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (chunk_frame(bytes(32), 0, b"never promised"), Code.PARCEL_ORDER),
        (chunk_frame(bytes(32), 0, b""), Code.PARCEL_TOO_LARGE),
        (chunk_frame(bytes(32), 0, bytes(CHUNK_BYTES + 1)), Code.PARCEL_TOO_LARGE),
        (b"\x0a\x04\x2a\x02\x08\x01", Code.PARCEL_ORDER),
    ],
)
async def test_chunks_that_nobody_waits_for(frame: bytes, code: Code) -> None:
    async with pair() as two, greeted(two) as hostile:
        await hostile.stream.write(frame)
        assert await hostile.refusal() is code
        await lives_on(two)


async def test_a_payload_that_does_not_match_its_commitment() -> None:
    async with pair() as two, greeted(two) as hostile:
        parcel = hostile.prepare(payload=bytes(200_000))
        await hostile.send(parcel)
        entry = parcel.entries[0]
        commitment = commit_payload(entry.payload_salt, bytes(200_000)).hash
        other = b"\x01" + bytes(199_999)
        for offset in range(0, 200_000, CHUNK_BYTES):
            await hostile.stream.write(
                chunk_frame(commitment, offset, other[offset : offset + CHUNK_BYTES])
            )
        assert await hostile.refusal() is Code.COMMITMENT_MISMATCH
        assert two.provider.services.seen == []


async def test_outgoing_sends_no_more_than_the_peer_takes() -> None:
    outgoing = Outgoing(shared=True)
    outgoing.put_payload(bytes(32), bytes(MIB))
    for _ in range(MAX_UNTAKEN_BYTES // CHUNK_BYTES):
        assert await outgoing.next() is not None
    waiting = asyncio.create_task(outgoing.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    # A parcel passes by the chunks that wait.
    outgoing.put(b"parcel", 7)
    assert await waiting == Frame(b"parcel", 7)
    outgoing.taken(CHUNK_BYTES)
    assert await outgoing.next() is not None
    with pytest.raises(LinkFault):
        outgoing.taken(MIB)
    with pytest.raises(LinkFault):
        outgoing.taken(0)


async def test_on_a_child_link_a_parcel_waits_for_the_payload_before_it() -> None:
    outgoing = Outgoing(shared=False)
    outgoing.put(b"first", 0)
    outgoing.put_payload(bytes(32), bytes(CHUNK_BYTES + 1))
    outgoing.put(b"second", 1)
    outgoing.put_first(b"taken")
    outgoing.finish()
    frames = [await outgoing.next() for _ in range(6)]
    assert [frames[index] for index in (0, 1, 4, 5)] == [
        Frame(b"taken"),
        Frame(b"first", 0),
        Frame(b"second", 1),
        None,
    ]


async def test_one_large_message_and_then_many_small_ones() -> None:
    async def count(side: ServiceSide) -> None:
        total = 0
        while isinstance(event := await side.incoming.get(), Message):
            total += len(event.data)
        await side.outgoing.put(Message(b"%d" % total))
        await side.outgoing.put(Trailers(0))

    async with pair() as two:
        two.provider.services.on_stream = count
        small = [Message(b"x")] * 3000
        call = FakeCall("Import", Message(bytes(4 * MIB)), *small, HalfClose())
        await two.consumer.run(call)
        assert call.messages == [b"%d" % (4 * MIB + 3000)]


async def test_assembly_takes_nothing_out_of_order() -> None:
    assembly = Assembly()
    with pytest.raises(LinkFault) as caught:
        assembly.take(exchange_pb2.Chunk(commitment=bytes(32), offset=0, data=b"x"))
    assert caught.value.step == 4
