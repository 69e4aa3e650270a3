"""A peer with a good certificate and bad manners: refused by name, and the port lives on."""

import asyncio
import os
from dataclasses import replace

import pytest

from node.link.frames import child_frame, max_frame_bytes, parcel_frame
from security.errors import Code, SimpulError
from security.identifiers import NodeId
from security.seal import make_seals
from tests.conformance import fixed
from tests.support.pair import pair, unary
from tests.unit.node.link.hostile import SEAL, Hostile, greeted, lives_on, raw


async def test_a_good_parcel_passes() -> None:
    async with pair() as two, greeted(two) as hostile:
        await hostile.send(hostile.prepare())
        async with asyncio.timeout(5):
            assert await hostile.stream.read() is not None


async def test_step_6_a_tampered_entry() -> None:
    async with pair() as two, greeted(two) as hostile:
        parcel = hostile.prepare()
        entry = parcel.entries[0]
        changed = replace(entry, entry=entry.entry[:-1] + bytes([entry.entry[-1] ^ 1]))
        await hostile.send(replace(parcel, entries=(changed,)))
        assert await hostile.refusal() in {Code.PARCEL_ROOT, Code.PARCEL_MALFORMED}
        assert two.provider.journal.records == []
        await lives_on(two)


async def test_step_7_a_seal_of_another_key() -> None:
    async with pair() as two, greeted(two) as hostile:
        parcel = hostile.prepare()
        stranger = fixed.key("stranger")
        seal = make_seals(stranger, [parcel.header_hash])[0]
        await hostile.stream.write(parcel_frame(parcel.header, seal, parcel.entries))
        assert await hostile.refusal() is Code.PARCEL_SEAL
        assert two.provider.services.seen == []
        await lives_on(two)


async def test_step_12_a_changed_payload() -> None:
    async with pair() as two, greeted(two) as hostile:
        parcel = hostile.prepare()
        changed = replace(parcel.entries[0], payload=b"Question")
        await hostile.send(replace(parcel, entries=(changed,)))
        assert await hostile.refusal() is Code.COMMITMENT_MISMATCH
        await lives_on(two)


async def test_step_4_a_replayed_parcel() -> None:
    async with pair() as two, greeted(two) as hostile:
        frame = await hostile.send(hostile.prepare())
        await hostile.stream.write(frame)
        assert await hostile.refusal() is Code.PARCEL_ORDER
        opens = [r for r in two.provider.journal.records if r.peer == str(two.consumer.node)]
        assert sum(r.number == 0 and r.direction == "received" for r in opens) == 1


async def test_step_4_reordered_parcels() -> None:
    async with pair() as two, greeted(two) as hostile:
        first, second = hostile.prepare(), hostile.prepare()
        await hostile.send(second)
        await hostile.send(first)
        assert await hostile.refusal() is Code.PARCEL_ORDER
        assert two.provider.services.seen == []


async def test_step_4_more_opens_than_credit() -> None:
    async with pair() as two, greeted(two, credit=100_000) as hostile:
        # Nothing ends, and so no new credit is granted.
        two.provider.journal.hold()
        for _ in range(5):
            await hostile.send(hostile.prepare(opens=250))
        assert await hostile.refusal() is Code.CREDIT_EXCEEDED
        two.provider.journal.release()


async def test_a_peer_that_fills_the_journal_with_refusals() -> None:
    async with pair() as two:
        async with greeted(two) as hostile:
            await hostile.send(hostile.prepare(opens=150))
            assert await hostile.refusal() is Code.REFUSALS_EXCEEDED
        # It may not simply dial again.
        assert (await two.consumer.run(unary())).error() == Code.REFUSALS_EXCEEDED


@pytest.mark.parametrize("frame", [b"\xff\xff\xff", b"", b"\x0a\x02\x08\x00", os.urandom(2000)])
async def test_garbage_in_the_place_of_a_parcel(frame: bytes) -> None:
    async with pair() as two, greeted(two) as hostile:
        await hostile.stream.write(frame)
        assert await hostile.refusal() is Code.PARCEL_MALFORMED
        await lives_on(two)


async def test_step_1_a_frame_past_the_limit() -> None:
    async with pair() as two, greeted(two) as hostile:
        await hostile.stream.write(bytes(max_frame_bytes(two.consumer.greeter.limits) + 1))
        # grpcio refuses it before the receiver could, and names no code of ours.
        assert await hostile.refusal() in {Code.OVERLOADED, Code.PARCEL_TOO_LARGE}
        await lives_on(two)


async def test_half_a_parcel_and_then_nothing() -> None:
    async with pair() as two:
        async with greeted(two) as hostile:
            parcel = hostile.prepare()
            seal = make_seals(SEAL, [parcel.header_hash])[0]
            await hostile.stream.write(parcel_frame(parcel.header, seal, parcel.entries)[:-7])
            assert await hostile.refusal() is Code.PARCEL_MALFORMED
        assert two.provider.services.seen == []


@pytest.mark.parametrize("frame", [b"\xff", child_frame(bytes(32), bytes(16))])
async def test_a_bad_first_frame(frame: bytes) -> None:
    async with pair() as two, raw(two.consumer, two.provider) as stream:
        await stream.write(frame)
        code = await Hostile(stream, None).refusal()  # type: ignore[arg-type]
        assert code in {Code.PARCEL_MALFORMED, Code.LINK_UNKNOWN}
        await lives_on(two)


async def test_another_nodes_name() -> None:
    async with pair() as two, raw(two.consumer, two.provider) as stream:
        stranger = replace(
            two.consumer.greeter,
            identity=replace(two.consumer.identity, node=NodeId.parse("ID/~stranger")),
        )
        node = two.consumer.current.snapshot.directory.node(two.provider.node)
        with pytest.raises(SimpulError) as caught:
            await stranger.dial(stream, node)
        assert caught.value.code is Code.NODE_UNKNOWN
        # It looked for a newer directory first.
        assert two.provider.refreshed == [b""]


async def test_a_replayed_greeting_begins_no_link() -> None:
    async with pair() as two:
        greeter = replace(two.consumer.greeter, now_ms=lambda: fixed.NOW_MS - 61_000)
        async with raw(two.consumer, two.provider) as stream:
            node = two.consumer.current.snapshot.directory.node(two.provider.node)
            with pytest.raises(SimpulError) as caught:
                await greeter.dial(stream, node)
        assert caught.value.code is Code.GREETING_STALE


async def test_a_peer_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.link.accept.GREETING_TIMEOUT_S", 0.1)
    async with pair() as two, raw(two.consumer, two.provider) as stream:
        assert await Hostile(stream, None).refusal() is Code.GREETING_MALFORMED  # type: ignore[arg-type]


async def test_step_10_a_streaming_call_on_a_shared_link() -> None:
    async with pair() as two, greeted(two) as hostile:
        await hostile.send(hostile.prepare(unary=False))
        assert await hostile.refusal() is Code.ENTRY_STATE
        assert two.provider.journal.records == []
        await lives_on(two)
