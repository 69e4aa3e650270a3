"""A peer with a good certificate and bad manners: refused by name, and the port lives on."""

import asyncio
import os
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from node.calls import Message, OutboundRequest, Trailers, UnaryAnswer, new_call_id
from node.link.frames import child_frame, max_frame_bytes, parcel_frame
from security.errors import Code, SimpulError
from security.identifiers import NodeId, SubsystemId
from security.kinds import Cancel, CancelReason, EntryKind, HalfClose, Refuse
from security.kinds import Message as MessageKind
from security.seal import make_seals
from security.sender import OutgoingEntry
from simpul.v1 import exchange_pb2, parcel_pb2
from tests.conformance import fixed
from tests.support.pair import Half, pair, unary
from tests.unit.node.link.hostile import (
    SEAL,
    Hostile,
    counted,
    greeted,
    lives_on,
    raw,
    until,
)


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
        assert await hostile.refusal() is Code.PARCEL_TOO_LARGE
        await lives_on(two)


async def test_a_frame_so_large_that_grpcio_refuses_it() -> None:
    async with pair() as two, greeted(two) as hostile:
        await hostile.stream.write(bytes(2 * max_frame_bytes(two.consumer.greeter.limits) + 1))
        # It names no code of ours.
        assert await hostile.refusal() is Code.OVERLOADED
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
    monkeypatch.setattr("node.link.greet.GREETING_LOOK_S", 0.01)
    async with pair() as two, raw(two.consumer, two.provider) as stream:
        assert await Hostile(stream, None).refusal() is Code.GREETING_MALFORMED  # type: ignore[arg-type]


@pytest.mark.parametrize("unary", [True, False], ids=["unary", "stream"])
async def test_step_11_an_open_for_a_member_that_is_hosted_elsewhere(*, unary: bool) -> None:
    elsewhere = SubsystemId.parse("ID/DAERAH/74.07/pariwisata")
    async with pair() as two, greeted(two, agreed=True) as hostile:
        link, first = hostile, new_call_id(fixed.NOW_MS, os.urandom(10))
        if not unary:
            link = await hostile.child(first)
        await link.send(link.parcel(link.opening(call_id=first, provider=elsewhere, unary=unary)))
        heard = await link.hear(two.provider)
        (refused,) = (entry.parsed.kind for entry in heard.entries)
        assert isinstance(refused, Refuse)
        assert (refused.code, refused.status) == (Code.SUBSYSTEM_UNKNOWN, 5)
        # Nobody here can seal for that member; who is hosted here can say so.
        assert heard.fields.member == fixed.REGENCY
        assert two.provider.services.seen == []
        # The link goes on.
        await hostile.send(hostile.prepare())
        heard = await hostile.hear(two.provider)
        assert [entry.parsed.kind.kind for entry in heard.entries] == [EntryKind.CLOSE]


async def test_step_10_a_streaming_call_on_a_shared_link() -> None:
    async with pair() as two, greeted(two) as hostile:
        await hostile.send(hostile.prepare(unary=False))
        assert await hostile.refusal() is Code.ENTRY_STATE
        assert two.provider.journal.records == []
        await lives_on(two)


_STATE = ("10", Code.ENTRY_STATE)


def _made(hostile: Hostile, call_id: bytes) -> dict[str, OutgoingEntry]:
    """A whole streaming call's entries, each good in its own place."""
    return {
        "open": hostile.opening(unary=False, call_id=call_id),
        "first": hostile.say(MessageKind(), call_id, b"one"),
        "second": hostile.say(MessageKind(), call_id, b"two"),
        "half-close": hostile.say(HalfClose(), call_id),
        "cancel": hostile.say(Cancel(CancelReason.APP), call_id),
    }


WRONG_ORDERS = [
    ("first",),
    ("half-close",),
    ("cancel",),
    ("first", "open"),
    ("half-close", "open"),
    ("open", "open"),
    ("open", "second"),
    ("open", "first", "first"),
    ("open", "second", "first"),
    ("open", "half-close", "first"),
    ("open", "first", "half-close"),
    ("open", "first", "second", "half-close", "half-close"),
    ("open", "first", "second", "half-close", "first"),
    ("open", "cancel"),
    ("open", "first", "second", "cancel"),
    ("open", "first", "second", "half-close", "cancel", "cancel"),
    ("open", "first", "second", "half-close", "cancel", "first"),
    ("open", "first", "second", "half-close", "cancel", "open"),
]


@pytest.mark.parametrize("order", WRONG_ORDERS, ids="+".join)
async def test_entries_in_a_wrong_order(order: tuple[str, ...]) -> None:
    async with pair() as two, greeted(two, agreed=True) as hostile:
        call_id = new_call_id(fixed.NOW_MS, os.urandom(10))
        child = await hostile.child(call_id)
        made = _made(child, call_id)
        await child.send(child.parcel(*(made[name] for name in order)))
        # A second open is beyond the one that a child link has room for: step 4 comes first.
        step, code = ("4", Code.CREDIT_EXCEEDED) if order.count("open") > 1 else _STATE
        assert await child.refusal() is code
        # Nothing of it was begun or recorded, not even the entries before the wrong one.
        assert two.provider.journal.records == []
        assert two.provider.services.seen == []
        await lives_on(two)
        assert counted(two.provider, "simpul_link_faults_total", step=step, code=code) == 1


async def test_step_1_a_parcel_of_100_000_entries() -> None:
    async with pair() as two, greeted(two) as hostile:
        parcel = hostile.prepare()
        wire = parcel_pb2.Parcel(
            header=parcel.header,
            seal=b"x",
            entries=[parcel_pb2.SealedEntry(entry=b"x")] * 100_000,
        )
        frame = exchange_pb2.LinkRequest(frame=exchange_pb2.Frame(parcel=wire))
        await hostile.stream.write(frame.SerializeToString())
        assert await hostile.refusal() is Code.PARCEL_TOO_LARGE
        assert two.provider.journal.records == []
        await lives_on(two)


async def test_a_flood_of_garbage_is_one_line_in_the_log_with_the_peers_name() -> None:
    async with pair() as two:
        with capture_logs() as logs:
            for _ in range(20):
                async with greeted(two) as hostile:
                    await hostile.stream.write(b"\xff\xff")
                    assert await hostile.refusal() is Code.PARCEL_MALFORMED
        peer = str(two.consumer.node)
        told = [line for line in logs if line.get("code") == Code.PARCEL_MALFORMED]
        assert [(line["peer"], line["step"]) for line in told] == [(peer, 2)]
        faults = counted(
            two.provider, "simpul_link_faults_total", step="2", code=Code.PARCEL_MALFORMED
        )
        assert faults == 20


async def test_a_flood_of_receipts_fills_no_queue_and_stops_nobody() -> None:
    async with pair() as two, greeted(two) as hostile:
        for _ in range(2000):
            await hostile.send(hostile.parcel())
        await lives_on(two)
        (link,) = (x for x in two.provider.server.links if x.context == _theirs(x, hostile))
        assert link._sending.waiting_bytes == 0
        assert link._delivery._pending.qsize() <= 64
        # Each is a record: that they come at all is bounded by the disk's own pace.
        await until(lambda: link.parcels[1] == 2000)


def _theirs(link: object, hostile: Hostile) -> object:
    context = link.context  # type: ignore[attr-defined]
    return context if context.link_id == hostile.sender.context.link_id else None


async def test_streams_on_which_nothing_comes_are_bounded_by_peer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.link.accept.MAX_LINKS_PER_PEER", 3)
    async with pair() as two, greeted(two) as hostile:
        assert hostile.channel is not None
        silent: list[Any] = [
            hostile.channel.stream_stream("/simpul.v1.Exchange/Link")() for _ in range(3)
        ]
        await until(lambda: max(two.provider.server._open.values()) >= 3)
        assert (await two.consumer.run(unary())).error() == Code.OVERLOADED
        refused = counted(two.provider, "simpul_links_refused_total", code=Code.OVERLOADED)
        assert refused >= 1
        for call in silent:
            call.cancel()
        await until(lambda: max(two.provider.server._open.values()) <= 1)
        await lives_on(two)


def answer_nothing(half: Half) -> None:
    """Every open is refused, for a reason that costs the peer nothing."""
    half.providing._max_open = 0


async def test_both_directions_are_saturated_and_every_open_is_refused() -> None:
    """Readers that waited for their writers would wait for each other for ever."""
    async with pair() as two:
        answer_nothing(two.provider)
        big = bytes(32 * 1024)
        async with asyncio.timeout(40):
            calls = await asyncio.gather(
                *(two.consumer.run(unary(data=big)) for _ in range(1500)),
            )
        assert {call.error() for call in calls} == {Code.OVERLOADED}
        assert two.provider.services.seen == []
        # What was refused has left nothing behind, on either side.
        for half in (two.consumer, two.provider):
            for link in (*half.dialler.links, *half.server.links):
                assert link.idle
        await until(lambda: not two.provider.server.links[0]._sending.waiting_bytes)


async def test_two_links_each_way_saturated_at_once_by_opens_that_are_refused() -> None:
    async with (
        pair() as two,
        greeted(two, agreed=True) as one,
        greeted(two, agreed=True) as other,
    ):
        answer_nothing(two.provider)

        async def flood(hostile: Hostile) -> int:
            """Opens as far as the credit goes; nothing is read meanwhile."""
            for _ in range(4):
                await hostile.send(hostile.prepare(opens=256))
            refused = 0
            while refused < 1024:
                refused += len((await hostile.hear(two.provider)).entries)
            return refused

        async with asyncio.timeout(30):
            assert list(await asyncio.gather(flood(one), flood(other))) == [1024, 1024]
        assert two.provider.services.seen == []


async def test_a_full_node_is_no_free_ride_for_who_may_not_call() -> None:
    """What a node says no to because it is full costs nothing: but not to a stranger."""
    async with pair() as two, greeted(two) as hostile:
        answer_nothing(two.provider)
        await hostile.send(hostile.prepare(opens=150))
        assert await hostile.refusal() is Code.REFUSALS_EXCEEDED


async def test_a_link_of_refused_opens_costs_the_disk_what_its_budget_is() -> None:
    async with pair() as two, greeted(two) as hostile:
        sent = 0
        with pytest.raises(SimpulError):
            while sent < 3000:
                await hostile.send(hostile.prepare(opens=10))
                sent += 10
                await asyncio.sleep(0)
            await hostile.stream.read()
        records = [r for r in two.provider.journal.records if r.direction == "sent"]
        refusals = sum(len(record.entries) for record in records)
        # A hundred at once, and ten for each second that this takes here.
        assert refusals < 300
        assert counted(two.provider, "simpul_links_refused_total", code=Code.REFUSALS_EXCEEDED) == 1


async def test_a_service_that_is_slow_holds_up_no_other_call_of_its_link() -> None:
    go_on = asyncio.Event()

    async def slow(request: OutboundRequest, message: Message) -> UnaryAnswer:
        if message.data == b"slow":
            await go_on.wait()
        return UnaryAnswer((), message, Trailers(0))

    async with pair() as two:
        two.provider.services.on_unary = slow
        waiting = [asyncio.create_task(two.consumer.run(unary(data=b"slow"))) for _ in range(50)]
        await until(lambda: len(two.provider.services.seen) == 50)
        assert (await two.consumer.run(unary())).trailers.status == 0
        go_on.set()
        assert {(await each).trailers.status for each in waiting} == {0}
