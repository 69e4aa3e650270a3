"""Whatever a peer does wrong is counted each time, and logged once with the peer's name."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from node.calls import Message
from node.link.frames import chunk_frame, max_frame_bytes, taken_frame
from security.errors import Code
from security.parcel import Received
from security.seal import make_seals
from security.sender import OutgoingEntry
from simpul.v1 import exchange_pb2, parcel_pb2
from tests.conformance import fixed
from tests.support.pair import Pair, ServiceSide, pair
from tests.unit.node.link.hostile import Hostile, counted, greeted, lives_on, raw

TIMES = 3


async def _on_a_link(two: Pair, spoil: Callable[[Hostile], Awaitable[object]]) -> Code:
    async with greeted(two, credit=100_000, agreed=True) as hostile:
        await spoil(hostile)
        return await hostile.refusal()


async def _too_many_entries(hostile: Hostile) -> None:
    wire = parcel_pb2.Parcel(
        header=hostile.prepare().header,
        seal=b"x",
        entries=[parcel_pb2.SealedEntry(entry=b"x")] * 100_000,
    )
    frame = exchange_pb2.LinkRequest(frame=exchange_pb2.Frame(parcel=wire))
    await hostile.stream.write(frame.SerializeToString())


async def _too_large(hostile: Hostile) -> None:
    await hostile.stream.write(bytes(max_frame_bytes(hostile.sender.context.limits) + 1))


async def _garbage(hostile: Hostile) -> None:
    await hostile.stream.write(b"\xff")


async def _twice(hostile: Hostile) -> None:
    frame = await hostile.send(hostile.parcel())
    await hostile.stream.write(frame)


async def _beyond_credit(hostile: Hostile) -> None:
    for _ in range(5):
        await hostile.send(hostile.prepare(opens=256))


async def _false_receipt(hostile: Hostile) -> None:
    hostile.sender.durable(Received(7, bytes(32)))
    await hostile.send(hostile.parcel())


async def _unpromised_chunk(hostile: Hostile) -> None:
    await hostile.stream.write(chunk_frame(bytes(32), 0, b"x"))


async def _takes_what_was_not_sent(hostile: Hostile) -> None:
    await hostile.stream.write(taken_frame(1))


async def _foreign_seal(hostile: Hostile) -> None:
    parcel = hostile.parcel()
    seal = make_seals(fixed.key("stranger"), [parcel.header_hash])[0]
    message = parcel_pb2.Parcel(header=parcel.header, seal=seal)
    frame = exchange_pb2.LinkRequest(frame=exchange_pb2.Frame(parcel=message))
    await hostile.stream.write(frame.SerializeToString())


async def _streams_on_a_shared_link(hostile: Hostile) -> None:
    await hostile.send(hostile.prepare(unary=False))


async def _another_payload(hostile: Hostile) -> None:
    opening: OutgoingEntry = hostile.opening()
    changed = replace(opening, sealed=replace(opening.sealed, payload=b"Question"))
    await hostile.send(hostile.parcel(changed))


FAULTS = {
    "100,000 entries": (_too_many_entries, 1, Code.PARCEL_TOO_LARGE),
    "a frame over the limit": (_too_large, 1, Code.PARCEL_TOO_LARGE),
    "garbage": (_garbage, 2, Code.PARCEL_MALFORMED),
    "a parcel twice": (_twice, 4, Code.PARCEL_ORDER),
    "opens beyond the credit": (_beyond_credit, 4, Code.CREDIT_EXCEEDED),
    "a receipt for what was not sent": (_false_receipt, 4, Code.PARCEL_ORDER),
    "a chunk that nobody waits for": (_unpromised_chunk, 4, Code.PARCEL_ORDER),
    "more taken than was sent": (_takes_what_was_not_sent, 4, Code.PARCEL_ORDER),
    "a seal of another key": (_foreign_seal, 7, Code.PARCEL_SEAL),
    "a stream on a shared link": (_streams_on_a_shared_link, 10, Code.ENTRY_STATE),
    "another payload": (_another_payload, 12, Code.COMMITMENT_MISMATCH),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_of_a_link(name: str) -> None:
    spoil, step, code = FAULTS[name]
    async with pair() as two:
        held = code is Code.CREDIT_EXCEEDED
        with capture_logs() as logs:
            for _ in range(TIMES):
                if held:
                    # Nothing ends meanwhile, and so no further credit is granted.
                    two.provider.journal.hold()
                assert await _on_a_link(two, spoil) is code
                two.provider.journal.release()
        _told_once(two, logs, code, step=step)
        assert counted(two.provider, "simpul_link_faults_total", step=str(step), code=code) == TIMES
        await lives_on(two)


async def test_a_peer_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.link.greet.GREETING_LOOK_S", 0.01)
    async with pair() as two:
        with capture_logs() as logs:
            for _ in range(TIMES):
                async with raw(two.consumer, two.provider) as stream:
                    silent = Hostile(stream, None)  # type: ignore[arg-type]
                    assert await silent.refusal() is Code.GREETING_MALFORMED
        _told_once(two, logs, Code.GREETING_MALFORMED, step=1)
        faults = {"step": "1", "code": Code.GREETING_MALFORMED}
        assert counted(two.provider, "simpul_link_faults_total", **faults) == TIMES


async def test_a_peer_that_is_refused_too_often() -> None:
    async with pair() as two:
        with capture_logs() as logs:
            for _ in range(TIMES):
                async with greeted(two) as hostile:
                    await hostile.send(hostile.prepare(opens=256))
                    assert await hostile.refusal() is Code.REFUSALS_EXCEEDED
                # It may come again.
                account = two.provider.server._rooms.refusals._account(two.consumer.node)
                account.tokens, account.expelled = 100.0, False
        told = [line for line in logs if line["event"] == "peer over its budget of refusals"]
        assert {line["peer"] for line in told} == {str(two.consumer.node)}
        refused = {"code": Code.REFUSALS_EXCEEDED}
        assert counted(two.provider, "simpul_links_refused_total", **refused) == TIMES


async def test_a_peer_that_gives_no_receipts_for_a_stream_gets_no_more_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It reads all and acknowledges nothing: what must be kept of headers has a bound."""
    monkeypatch.setattr("node.link.sending.MAX_UNACKNOWLEDGED", 16)

    given = 0

    async def endless(side: ServiceSide) -> None:
        nonlocal given
        while not side.cancelled.is_set():
            await side.outgoing.put(Message(bytes(32 * 1024)))
            given += 1

    async with pair() as two, greeted(two, agreed=True) as hostile:
        two.provider.services.on_stream = endless
        call_id = hostile.opening(unary=False).call_id
        child = await hostile.child(call_id)
        await child.send(child.parcel(child.opening(call_id=call_id, unary=False)))
        parcels = 0
        with pytest.raises(TimeoutError):
            while True:
                async with asyncio.timeout(2):
                    data = await child.stream.read()
                assert data is not None
                parcels += 1
        assert parcels < 40
        # The service waits as well, with no more than what queues hold under way.
        assert given < 100
        await lives_on(two)


def _told_once(two: Pair, logs: Sequence[Mapping[str, object]], code: Code, *, step: int) -> None:
    told = [line for line in logs if line.get("code") == code and "link" in str(line["event"])]
    found = [(line["peer"], line["step"]) for line in told]
    assert found == [(str(two.consumer.node), step)]
