"""What happens when a provider's node can't be reached, or goes while a call is under way."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from node.calls import HalfClose, Message, OutboundRequest, Trailers, UnaryAnswer, new_call_id
from node.exchange.asks import Asked
from node.exchange.attempts import _may_go_on
from node.exchange.routing import find_routes
from node.model import NodeIdentity
from security.errors import Code, SimpulError
from tests.conformance import fixed
from tests.support.pair import FakeCall, Half, ServiceSide, listed, pair, snapshot, unary


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen(16)
        yield held.getsockname()[1]


def believe(half: Half, port: int) -> None:
    """Have a node's directory say that the provider listens there."""
    half.current.replace(snapshot(listed(port, port), half.node))


async def test_a_deadline_counts_while_the_provider_is_dialled() -> None:
    with silent_port() as port:
        async with pair() as two:
            believe(two.consumer, port)
            began = asyncio.get_running_loop().time()
            call = await two.consumer.run(unary(deadline_left_ms=200))
            assert call.error() == Code.DEADLINE_EXCEEDED
            assert asyncio.get_running_loop().time() - began < 2


async def test_a_node_that_is_not_there() -> None:
    async with pair() as two:
        with silent_port() as port:
            pass
        believe(two.consumer, port)
        call = await two.consumer.run(unary())
        assert (call.error(), call.trailers.status) == (Code.PEER_UNREACHABLE, 14)
        call = await two.consumer.run(FakeCall("Watch", HalfClose()))
        assert (call.error(), call.trailers.status) == (Code.PEER_UNREACHABLE, 14)


async def test_a_link_that_is_cut_under_a_call() -> None:
    async def never(request: OutboundRequest, message: Message) -> UnaryAnswer:
        await asyncio.Event().wait()
        raise AssertionError

    async with pair() as two:
        two.provider.services.on_unary = never
        call = unary()
        running = asyncio.create_task(two.consumer.run(call))
        async with asyncio.timeout(2):
            while not two.provider.services.seen:
                await asyncio.sleep(0.001)
        two.provider.server.sever(lambda node: SimpulError(Code.NODE_REVOKED, f"{node} is out"))
        await running
        assert (call.error(), call.trailers.status) == (Code.OUTCOME_UNKNOWN, 14)
        # Nobody hears the answer: the service's work is given up.
        async with asyncio.timeout(2):
            while two.provider.providing.open_calls:
                await asyncio.sleep(0.001)


async def test_a_link_that_is_cut_is_dialled_again() -> None:
    async with pair() as two:
        assert (await two.consumer.run(unary())).trailers.status == 0
        two.provider.server.sever(lambda node: SimpulError(Code.NODE_DRAINING, f"not now, {node}"))
        async with asyncio.timeout(2):
            while two.consumer.dialler.links:
                await asyncio.sleep(0.001)
        assert (await two.consumer.run(unary())).trailers.status == 0


async def test_a_stream_on_a_link_that_is_cut() -> None:
    async def stream(side: ServiceSide) -> None:
        await side.outgoing.put(Message(b"one"))

    async with pair() as two:
        two.provider.services.on_stream = stream
        call = FakeCall("Watch")
        running = asyncio.create_task(two.consumer.run(call))
        async with asyncio.timeout(2):
            while not call.messages:
                await asyncio.sleep(0.001)
        two.consumer.dialler.sever(lambda node: SimpulError(Code.NODE_REVOKED, f"{node} is out"))
        await running
        assert (call.error(), call.trailers.status) == (Code.OUTCOME_UNKNOWN, 14)
        assert call.messages == [b"one"]
        async with asyncio.timeout(2):
            await two.provider.services.sides[0].cancelled.wait()


async def test_a_node_that_waits_for_its_sibling_permits_nothing() -> None:
    async with pair() as two:
        settled = two.provider.current.snapshot
        unsettled = replace(settled, unsettled=frozenset({fixed.REGENCY}))
        two.provider.current.replace(unsettled)
        call = await two.consumer.run(unary())
        assert (call.error(), call.trailers.status) == (Code.AGREEMENTS_UNSETTLED, 14)
        assert not two.provider.services.seen
        # It costs the consumer nothing: he is not the one who is late.
        calls = await asyncio.gather(*(two.consumer.run(unary()) for _ in range(150)))
        assert {each.error() for each in calls} == {Code.AGREEMENTS_UNSETTLED}
        two.provider.current.replace(settled)
        assert (await two.consumer.run(unary())).trailers.status == 0


async def test_a_status_that_the_service_gives_is_never_tried_again() -> None:
    async def full(request: OutboundRequest, message: Message) -> UnaryAnswer:
        return UnaryAnswer((), None, Trailers(14, "the service is full"))

    async with pair() as two:
        two.provider.services.on_unary = full
        call = await two.consumer.run(unary())
        assert (call.error(), call.trailers.status) == ("", 14)
        assert len(two.provider.services.seen) == 1


def unreachable() -> SimpulError:
    return SimpulError(Code.SERVICE_UNREACHABLE, "the service is down")


def its_service_is_down(half: Half) -> None:
    async def refuse(request: OutboundRequest, message: Message) -> UnaryAnswer:
        raise unreachable()

    async def end(side: ServiceSide) -> None:
        await side.outgoing.put(Trailers(14, error=unreachable(), sent=False))

    half.services.on_unary, half.services.on_stream = refuse, end


def it_is_full(half: Half) -> None:
    half.providing._max_open = 0


def its_supervisor_is_lost(half: Half) -> None:
    async def refuse(*_: object) -> None:
        raise SimpulError(Code.SUPERVISOR_LOST, "the worker has lost its supervisor")

    half.keeping.allowance.take = refuse  # type: ignore[method-assign,assignment]


def it_hosts_the_member_no_more(half: Half) -> None:
    half.greeter.identity = NodeIdentity(half.node, frozenset())


REASONS = {
    Code.SERVICE_UNREACHABLE: its_service_is_down,
    Code.OVERLOADED: it_is_full,
    Code.SUPERVISOR_LOST: its_supervisor_is_lost,
    Code.SUBSYSTEM_UNKNOWN: it_hosts_the_member_no_more,
}


@pytest.mark.parametrize("code", REASONS)
@pytest.mark.parametrize("method", ["Get", "Watch"])
async def test_what_one_node_can_not_do_another_does(method: str, code: Code) -> None:
    async def answer(side: ServiceSide) -> None:
        await side.outgoing.put(await side.incoming.get())  # type: ignore[arg-type]
        await side.outgoing.put(Trailers(0))

    async with pair(second=True) as two:
        two.second.services.on_stream = answer
        REASONS[code](two.provider)
        call = await two.consumer.run(FakeCall(method, Message(b"one"), HalfClose()))
        assert (call.error(), call.messages) == ("", [b"one"])
        # Both were asked.
        assert len(two.consumer.dialler._dialled) == 2
        # Where none can, the last one's reason is the answer.
        REASONS[code](two.second)
        for link in two.consumer.dialler.links:
            link.retire()
        await asyncio.sleep(0)
        call = await two.consumer.run(FakeCall(method, Message(b"two"), HalfClose()))
        assert call.error() == code


async def test_the_same_no_after_the_service_has_heard_is_the_answer() -> None:
    async def fail(side: ServiceSide) -> None:
        await side.outgoing.put(Trailers(14, error=unreachable()))

    async def fail_unary(request: OutboundRequest, message: Message) -> UnaryAnswer:
        return UnaryAnswer((), None, Trailers(8, error=SimpulError(Code.OVERLOADED, "full")))

    async with pair(second=True) as two:
        for half in (two.provider, two.second):
            half.services.on_stream, half.services.on_unary = fail, fail_unary
        for method, code in (("Watch", Code.SERVICE_UNREACHABLE), ("Get", Code.OVERLOADED)):
            call = await two.consumer.run(FakeCall(method, Message(b"one"), HalfClose()))
            assert call.error() == code
        assert len(two.provider.services.seen) + len(two.second.services.seen) == 2


async def test_this_nodes_own_no_is_tried_nowhere_else() -> None:
    # Its journal may be full of a call that has left.
    call = FakeCall("Get", Message(b"one"), HalfClose())
    asked = Asked(call, new_call_id(fixed.NOW_MS, bytes(10)), None)
    for code in REASONS:
        assert not _may_go_on(asked, SimpulError(code, "here"))
    asked.refused = True
    assert _may_go_on(asked, unreachable())
    assert not _may_go_on(asked, SimpulError(Code.ACCESS_RATE, "slower"))


async def test_refusals_for_a_nodes_own_reasons_cost_the_peer_nothing() -> None:
    async with pair() as two:
        its_service_is_down(two.provider)
        for _ in range(3):
            calls = await asyncio.gather(*(two.consumer.run(unary()) for _ in range(100)))
            assert {each.error() for each in calls} == {Code.SERVICE_UNREACHABLE}


async def test_a_stream_that_a_node_took_something_of_goes_to_no_other() -> None:
    async with pair() as two:
        await two.provider.providing.drain()
        view = two.consumer.current.snapshot
        node = view.directory.node(two.provider.node)
        call = FakeCall("Watch", Message(b"one"), HalfClose())
        first = new_call_id(fixed.NOW_MS, bytes(10))
        asked = Asked(call, first, None, taken=True)
        route = replace(
            find_routes(
                call.request,
                two.consumer.identity,
                view,
                two.consumer.keeping.fields,
                fixed.NOW_MS,
            )[0],
            nodes=(node, node),
        )
        with pytest.raises(SimpulError) as caught:
            await two.consumer.attempts.carry(asked, (route,))
        assert caught.value.code is Code.NODE_DRAINING
        # Another try would have had another id.
        assert asked.call_id == first
