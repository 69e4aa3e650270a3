"""How links end: in order with all that was said, by a fault, because of who the peer is."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from node.calls import HalfClose, Message, OutboundRequest, Trailers, UnaryAnswer, new_call_id
from node.journal.model import Direction
from node.link.dial import Dialler
from node.link.frames import parse_frame
from node.link.greet import Greeter
from node.link.stream import DialledStream
from security.errors import Code, SimpulError
from security.limits import Limits
from simpul.v1 import directory_pb2
from tests.conformance import fixed
from tests.support import directories
from tests.support.pair import FakeCall, Half, Pair, ServiceSide, pair, snapshot, unary
from tests.unit.node.link.hostile import counted, greeted, lives_on, until


async def test_an_end_in_order_waits_for_the_answer_that_the_disk_has_not_got_yet() -> None:
    ending: list[asyncio.Task[None]] = []

    async with pair() as two:

        async def answer(request: OutboundRequest, message: Message) -> UnaryAnswer:
            # The sealer takes the answer and the last receipt in one round, and holds both: what a
            # provider says is durable before it is sent.
            two.provider.journal.hold(only=Direction.SENT)
            (link,) = two.provider.server.links
            ending.append(asyncio.create_task(link.finish()))
            return UnaryAnswer((), message, Trailers(0))

        two.provider.services.on_unary = answer
        call = unary()
        running = asyncio.create_task(two.consumer.run(call))
        await until(lambda: two.provider.journal.held)
        await asyncio.sleep(0.1)
        two.provider.journal.release()
        await asyncio.gather(running, *ending)
        assert (call.error(), call.messages) == ("", [b"question"])


async def test_a_link_whose_end_is_cut_short_tells_its_calls_all_the_same() -> None:
    async def never(request: OutboundRequest, message: Message) -> UnaryAnswer:
        await asyncio.Event().wait()
        raise AssertionError

    async with pair() as two:
        two.provider.services.on_unary = never
        running = asyncio.create_task(two.consumer.run(unary()))
        await until(lambda: two.provider.services.seen)
        (link,) = two.consumer.dialler.links
        (dialled,) = two.consumer.dialler._dialled.values()
        # As grpcio does to what serves a stream whose peer goes while it ends.
        for _ in range(3):
            dialled.running.cancel()
            await asyncio.sleep(0)
        assert (await running).error() == Code.OUTCOME_UNKNOWN
        assert link.idle
        assert counted(two.consumer, "simpul_links", kind="shared") == 0


async def test_a_refused_streaming_call_costs_its_peer_all_links() -> None:
    async with pair() as two, greeted(two) as hostile:
        two.provider.agree()
        codes = set()
        for _ in range(120):
            codes.add((await two.consumer.run(FakeCall("Watch", HalfClose()))).error())
        assert codes >= {Code.ACCESS_NO_AGREEMENT, Code.REFUSALS_EXCEEDED}
        # This one asked for nothing; it is the same peer's.
        assert await hostile.refusal() is Code.REFUSALS_EXCEEDED
        assert two.provider.server.links == ()
        assert counted(two.provider, "simpul_links_refused_total", code=Code.REFUSALS_EXCEEDED) > 0


async def test_a_child_of_a_peer_over_its_budget_does_not_begin() -> None:
    async with pair() as two, greeted(two) as hostile:
        refusals = two.provider.server._rooms.refusals
        refusals.on_exceeded(lambda _peer, _error: None)
        for _ in range(101):
            refusals.spend(two.consumer.node, Code.ACCESS_NO_AGREEMENT)
        child = await hostile.child(bytes(16))
        assert await child.refusal() is Code.REFUSALS_EXCEEDED


async def test_faults_count_like_refusals() -> None:
    async with pair() as two:
        codes = [await ended_for_garbage(two)]
        while codes[-1] is not Code.REFUSALS_EXCEEDED and len(codes) < 400:
            codes.append(await ended_for_garbage(two))
        assert set(codes) == {Code.PARCEL_MALFORMED, Code.REFUSALS_EXCEEDED}
        assert len(codes) > 100
        faults = counted(
            two.provider, "simpul_link_faults_total", step="2", code=Code.PARCEL_MALFORMED
        )
        assert len(codes) - 1 <= faults <= len(codes)


async def ended_for_garbage(two: Pair) -> Code:
    """A link on which garbage is sent, if it may begin: what it ends with."""
    try:
        async with greeted(two) as hostile:
            await hostile.stream.write(b"\xff\xff")
            return await hostile.refusal()
    except SimpulError as error:
        return error.code


async def test_a_call_has_a_link_of_its_own_once() -> None:
    async def end(side: ServiceSide) -> None:
        await side.incoming.get()

    async with pair() as two, greeted(two, agreed=True) as hostile:
        two.provider.services.on_stream = end
        call_id = new_call_id(fixed.NOW_MS, bytes(10))
        first = await hostile.child(call_id)
        await first.send(first.parcel(first.opening(unary=False, call_id=call_id)))
        await until(lambda: len(two.provider.services.seen) == 1)
        first.stream.close()
        await until(lambda: len(two.provider.server.links) == 1)
        again = await hostile.child(call_id)
        await again.send(again.parcel(again.opening(unary=False, call_id=call_id)))
        assert await again.refusal() is Code.ENTRY_STATE
        assert len(two.provider.services.seen) == 1


@pytest.mark.parametrize("method", ["Get", "Watch"])
async def test_a_link_that_broke_unseen_is_dialled_again_for_the_call_that_met_it(
    method: str,
) -> None:
    async def echo(side: ServiceSide) -> None:
        event = await side.incoming.get()
        assert isinstance(event, Message)
        await side.outgoing.put(event)
        await side.outgoing.put(Trailers(0))

    async with pair() as two:
        two.provider.services.on_stream = echo
        question = (Message(b"question"), HalfClose())
        assert (await two.consumer.run(FakeCall(method, *question))).trailers.status == 0
        for link in two.consumer.dialler.links:
            # Its reader has not heard of it yet.
            link._stream.close()
        call = await two.consumer.run(FakeCall(method, *question))
        assert (call.error(), call.messages) == ("", [b"question"])
        assert len(two.provider.services.seen) == 2


Wrapped = Callable[..., Awaitable[object]]


def revoked_meanwhile(half: Half, name: str, peer: Half, monkeypatch: pytest.MonkeyPatch) -> None:
    """While this node greets, its directory comes to list the peer as revoked."""
    original: Wrapped = getattr(Greeter, name)

    async def greet(self: Greeter, *args: object) -> object:
        context = await original(self, *args)
        if self is half.greeter:
            revoke(half, peer)
        return context

    monkeypatch.setattr(Greeter, name, greet)


def revoke(half: Half, peer: Half) -> None:
    """As a worker takes a snapshot: it goes in force, and links to who is out are cut."""
    records = {
        fixed.REGENCY_NODE: directories.regency_record(),
        fixed.MINISTRY_NODE: directories.ministry_record(),
    }
    records[peer.node].nodes[0].state = directory_pb2.NODE_STATE_REVOKED
    half.current.replace(snapshot(directories.directory(*records.values()), half.node))
    for links in (half.server, half.dialler):
        sever(links, peer)


def sever(links: object, peer: Half) -> None:
    links.sever(  # type: ignore[attr-defined]
        lambda node: SimpulError(Code.NODE_REVOKED, "out") if node == peer.node else None
    )


async def test_a_dialler_revoked_while_it_greets_gets_no_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with pair() as two:
        revoked_meanwhile(two.provider, "accept", two.consumer, monkeypatch)
        call = await two.consumer.run(unary())
        assert call.error() in {Code.NODE_REVOKED, Code.OUTCOME_UNKNOWN, Code.NOT_STARTED}
        assert two.provider.server.links == ()
        assert two.provider.services.seen == []


async def test_an_acceptor_revoked_while_it_is_dialled_gets_no_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with pair() as two:
        revoked_meanwhile(two.consumer, "dial", two.provider, monkeypatch)
        assert (await two.consumer.run(unary())).error() == Code.NODE_REVOKED
        await until(lambda: two.consumer.dialler.links == ())
        assert two.provider.services.seen == []


async def test_a_link_that_takes_no_more_calls_ends_after_those_it_has() -> None:
    done = asyncio.Event()

    async def wait(side: ServiceSide) -> None:
        await done.wait()
        await side.outgoing.put(Trailers(0))

    async with pair() as two:
        two.provider.services.on_stream = wait
        call = FakeCall("Watch", HalfClose())
        running = asyncio.create_task(two.consumer.run(call))
        await until(lambda: two.provider.services.sides)
        dialler: Dialler = two.consumer.dialler
        for each in tuple(dialler._dialled.values()):
            each.link.retire()
        await lives_on(two)
        done.set()
        await running
        # On the connection of the link that was retired.
        assert call.trailers.status == 0
        await until(lambda: len(dialler.links) == 1)


async def test_a_connection_is_not_closed_under_a_call_that_begins_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held, go_on = asyncio.Event(), asyncio.Event()
    write = DialledStream.write

    async def slowly(self: DialledStream, frame: bytes) -> None:
        if parse_frame(frame, Limits()).WhichOneof("kind") == "child" and not go_on.is_set():
            held.set()
            await go_on.wait()
        await write(self, frame)

    async def end(side: ServiceSide) -> None:
        await side.outgoing.put(Trailers(0))

    monkeypatch.setattr(DialledStream, "write", slowly)
    async with pair() as two:
        two.provider.services.on_stream = end
        call = FakeCall("Watch", HalfClose())
        running = asyncio.create_task(two.consumer.run(call))
        await held.wait()
        (bulk,) = two.consumer.dialler._dialled.values()
        bulk.link.retire()
        await asyncio.sleep(0.1)
        assert bulk.link in two.consumer.dialler.links
        go_on.set()
        await running
        # On another connection: this one takes no more.
        assert call.error() == ""
        await until(lambda: bulk.link not in two.consumer.dialler.links)


async def test_links_that_grow_old_are_replaced_under_load_and_no_call_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.link.dial.MAX_LINK_AGE_S", 0.1)
    used: set[bytes] = set()

    async def end(side: ServiceSide) -> None:
        await side.outgoing.put(await side.incoming.get())  # type: ignore[arg-type]
        await side.outgoing.put(Trailers(0))

    async with pair() as two:
        two.provider.services.on_stream = end
        dialler = two.consumer.dialler
        over = asyncio.get_running_loop().time() + 1.5
        calls: list[FakeCall] = []

        async def load(method: str) -> None:
            while asyncio.get_running_loop().time() < over:
                calls.append(FakeCall(method, Message(b"%d" % len(calls)), HalfClose()))
                await two.consumer.run(calls[-1])
                used.update(each.link.context.link_id for each in dialler._dialled.values())

        await asyncio.gather(*(load(method) for method in ("Get", "Watch") * 4))
        assert {call.error() for call in calls} == {""}
        # Each was served once.
        assert len(two.provider.services.seen) == len(calls) > 20
        assert len(used) > 6
        # Of the old ones none is left, at either end: shared and bulk, and no child.
        await until(lambda: len(dialler.links) <= 2 and len(two.provider.server.links) <= 2)
