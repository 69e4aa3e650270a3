"""A node that stops says so in a header: what it did not begin goes elsewhere, without an error."""

import asyncio

import pytest

from node.calls import HalfClose, Message, OutboundRequest, Trailers, UnaryAnswer
from node.journal.model import Direction
from security.entry import parse_entry
from security.errors import Code
from security.kinds import EntryKind
from tests.support.pair import FakeCall, Half, ServiceSide, pair, unary
from tests.unit.node.link.hostile import greeted, until


def stop_beginning(half: Half) -> None:
    """As a worker does when it is told to drain."""
    half.providing.stop_beginning()
    half.server.announce_drain()


def kinds(half: Half, direction: Direction) -> list[EntryKind]:
    """What a node has recorded that way."""
    return [
        parse_entry(sealed.entry).kind.kind
        for record in half.journal.records
        if record.direction is direction
        for sealed in record.entries
    ]


async def test_the_calls_under_way_end_and_the_peer_ends_the_link() -> None:
    go_on = asyncio.Event()

    async def wait(request: OutboundRequest, message: Message) -> UnaryAnswer:
        await go_on.wait()
        return UnaryAnswer((), message, Trailers(0))

    async with pair() as two:
        two.provider.services.on_unary = wait
        call = unary()
        running = asyncio.create_task(two.consumer.run(call))
        await until(lambda: two.provider.services.seen)
        stop_beginning(two.provider)
        # Begun before: it is no error of theirs.
        (link,) = two.consumer.dialler.links
        await until(lambda: not link.alive)
        assert (await two.consumer.run(unary())).error() == Code.NODE_DRAINING
        go_on.set()
        await running
        assert call.trailers.status == 0
        # By the dialler, when its last call is done, and not by a timeout.
        async with asyncio.timeout(1):
            await two.provider.server.drain()
        assert two.provider.server.links == ()
        assert len(two.provider.services.seen) == 1


async def test_what_came_after_the_drain_has_not_started_and_both_journals_say_so() -> None:
    async with pair() as two:
        await two.consumer.run(unary())
        two.provider.journal.hold(only=Direction.RECEIVED)
        call = unary()
        running = asyncio.create_task(two.consumer.run(call))
        await until(lambda: two.provider.journal.held)
        stop_beginning(two.provider)
        await running
        assert (call.error(), call.trailers.status) == (Code.NODE_DRAINING, 14)
        two.provider.journal.release()
        await until(lambda: kinds(two.consumer, Direction.RECEIVED).count(EntryKind.REFUSE) == 1)
        assert kinds(two.provider, Direction.SENT).count(EntryKind.REFUSE) == 1
        assert len(two.provider.services.seen) == 1


async def test_a_link_on_which_nothing_came_ends_and_what_was_on_its_way_has_not_started() -> None:
    async with pair() as two:
        node = two.consumer.current.snapshot.directory.node(two.provider.node)
        await two.consumer.dialler.shared(node)
        stop_beginning(two.provider)
        # Its reader has not heard yet: the open leaves, and is taken by nobody.
        assert (await two.consumer.run(unary())).error() == Code.NODE_DRAINING
        assert two.provider.journal.records == []


async def test_the_header_says_it_and_keeps_saying_it() -> None:
    async with pair() as two, greeted(two, agreed=True) as hostile:
        await hostile.send(hostile.prepare())
        await hostile.hear(two.provider)
        stop_beginning(two.provider)
        assert (await hostile.hear(two.provider)).fields.drain == 0
        await hostile.send(hostile.prepare())
        heard = await hostile.hear(two.provider)
        assert heard.fields.drain == 0
        assert [entry.parsed.kind.kind for entry in heard.entries] == [EntryKind.REFUSE]


@pytest.mark.parametrize("method", ["Get", "Watch"])
async def test_calls_move_to_the_other_node_and_none_sees_an_error(method: str) -> None:
    async def echo(side: ServiceSide) -> None:
        while isinstance(event := await side.incoming.get(), Message):
            await side.outgoing.put(event)
        await side.outgoing.put(Trailers(0))

    async with pair(second=True) as two:
        halves = (two.provider, two.second)
        for half in halves:
            half.services.on_stream = echo
        calls: list[FakeCall] = []

        async def load() -> None:
            while len(calls) < 400:
                call = FakeCall(method, Message(b"%d" % len(calls)), HalfClose())
                calls.append(call)
                await two.consumer.run(call)

        loads = [asyncio.create_task(load()) for _ in range(20)]
        await until(lambda: len(calls) > 100)
        first = max(halves, key=lambda half: len(half.services.seen))
        stop_beginning(first)
        await first.providing.drain()
        await first.server.drain()
        served = len(first.services.seen)
        await asyncio.gather(*loads)
        assert {call.error() for call in calls} == {""}
        # Each was answered with its own message, and none was served twice.
        assert [call.messages for call in calls] == [[b"%d" % n] for n in range(400)]
        assert sum(len(half.services.seen) for half in halves) == 400
        assert len(first.services.seen) == served < 400
