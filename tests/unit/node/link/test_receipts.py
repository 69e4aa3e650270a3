"""Receipts and credit, between two nodes: none is lost, and none is given before its time."""

import asyncio

import pytest

from node.calls import Message, OutboundRequest, Trailers, UnaryAnswer
from node.journal.model import Direction
from node.link.link import Link
from node.link.sending import MAX_WAITING_BYTES
from security.errors import Code
from tests.support.pair import Pair, pair, unary
from tests.unit.node.link.hostile import counted, greeted, until


def shared(two: Pair) -> tuple[Link, Link]:
    """Both ends of the link for unary calls: the consumer's, the provider's."""
    (dialled,) = (link for link in two.consumer.dialler.links if link.shared)
    (accepted,) = two.provider.server.links
    return dialled, accepted


async def test_an_answer_is_acknowledged_even_if_a_parcel_left_before_it_was_durable() -> None:
    async with pair() as two:
        await two.consumer.run(unary())
        _, provider = shared(two)
        two.consumer.journal.hold(only=Direction.RECEIVED)
        calls = [asyncio.create_task(two.consumer.run(unary())) for _ in range(2)]
        records = two.consumer.journal.records
        # The first call's answer is here and not durable; the second's open leaves meanwhile.
        await until(lambda: sum(r.direction is Direction.RECEIVED for r in records) >= 2)
        calls.append(asyncio.create_task(two.consumer.run(unary())))
        await until(lambda: len(two.provider.services.seen) == 4)
        two.consumer.journal.release()
        await asyncio.gather(*calls)
        # Nothing else is said: the receipt comes by itself.
        await until(lambda: provider._sender.unacknowledged <= 1, 3.0)
        assert not provider._sender.calls.unheard()


async def test_a_peer_that_acknowledges_nothing_gets_no_further_credit() -> None:
    async with pair() as two, greeted(two, credit=100_000, agreed=True) as hostile:
        for _ in range(4):
            await hostile.send(hostile.prepare(opens=256))
        await until(lambda: len(two.provider.services.seen) == 1024)
        await until(lambda: two.provider.providing.open_calls == 0)
        # All were answered, and no header of the peer's says that it has the answers.
        await hostile.send(hostile.prepare())
        assert await hostile.refusal() is Code.CREDIT_EXCEEDED


async def test_a_peer_that_acknowledges_gets_its_credit_back() -> None:
    async with pair() as two, greeted(two, agreed=True) as hostile:
        for _ in range(4):
            await hostile.send(hostile.prepare(opens=256))
        assert hostile.sender.opens_left == 0
        closes = 0
        while closes < 1024:
            closes += len((await hostile.hear(two.provider)).entries)
        await hostile.send(hostile.parcel())
        while hostile.sender.opens_left == 0:
            await hostile.hear(two.provider)
        assert hostile.sender.opens_left == 1024


async def test_calls_that_wait_for_credit_are_not_kept_waiting_for_a_receipt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.link.receipts.AFTER_S", 600.0)
    monkeypatch.setattr("node.link.greet.CREDIT", 64)
    go_on = asyncio.Event()

    async def answer(request: OutboundRequest, message: Message) -> UnaryAnswer:
        if message.data == b"slow":
            await go_on.wait()
        return UnaryAnswer((), message, Trailers(0))

    async with pair() as two:
        two.provider.services.on_unary = answer
        # More than half of the credit is taken by calls that don't end.
        slow = [asyncio.create_task(two.consumer.run(unary(data=b"slow"))) for _ in range(48)]
        await until(lambda: len(two.provider.services.seen) == 48)
        calls = await asyncio.gather(*(two.consumer.run(unary()) for _ in range(200)))
        assert all(call.trailers.status == 0 for call in calls)
        go_on.set()
        assert {(await each).trailers.status for each in slow} == {0}


async def test_answers_that_nobody_reads_are_bounded_in_bytes() -> None:
    big = bytes(1024 * 1024)

    async def answer(request: OutboundRequest, message: Message) -> UnaryAnswer:
        return UnaryAnswer((), Message(big), Trailers(0))

    async with pair() as two, greeted(two, agreed=True) as hostile:
        two.provider.services.on_unary = answer
        await hostile.send(hostile.prepare(opens=200))
        await until(lambda: len(two.provider.services.seen) == 200)
        await until(lambda: two.provider.providing.open_calls == 0)
        (link,) = two.provider.server.links
        assert link._sending.waiting_bytes <= MAX_WAITING_BYTES + 1024 * 1024
        refused = {"side": "provider", "status": "", "code": Code.OVERLOADED}
        least = 200 - MAX_WAITING_BYTES // len(big) - 1
        await until(lambda: counted(two.provider, "simpul_calls_total", **refused) >= least)
        # Others are served meanwhile.
        two.provider.services.on_unary = None
        assert (await two.consumer.run(unary())).trailers.status == 0
