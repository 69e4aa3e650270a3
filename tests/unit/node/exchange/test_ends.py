"""Deadlines before a call has left; headers ahead of an answer; the end that a node brings."""

import asyncio

import pytest

from node.calls import HalfClose, Message, OutboundRequest, Trailers, UnaryAnswer
from security.errors import Code, SimpulError
from tests.support.pair import FakeCall, pair, unary


@pytest.mark.parametrize("events", [(), (Message(b"question"),)])
async def test_an_app_that_never_finishes_its_request(events: tuple[Message, ...]) -> None:
    async with pair() as two:
        call = await two.consumer.run(FakeCall("Get", *events, deadline_left_ms=50))
        assert (call.error(), call.trailers.status) == (Code.DEADLINE_EXCEEDED, 4)
        assert two.provider.services.seen == []


async def test_the_service_is_told_what_is_left_and_not_what_there_was() -> None:
    async with pair() as two:
        await two.consumer.run(unary())
        call = FakeCall("Get", deadline_left_ms=1000)
        running = asyncio.create_task(two.consumer.run(call))
        await asyncio.sleep(0.2)
        call.incoming.put_nowait(Message(b"question"))
        call.incoming.put_nowait(HalfClose())
        await running
        left_ms = two.provider.services.seen[-1].timeout_ms
        assert left_ms is not None
        assert left_ms <= 810


async def test_headers_of_a_unary_answer_go_ahead_of_it() -> None:
    release = asyncio.Event()

    async with pair() as two:

        async def answer(request: OutboundRequest, message: Message) -> UnaryAnswer:
            two.provider.services.on_headers((("x-head", b"1"), ("simpul-x", b"forged")))
            await release.wait()
            return UnaryAnswer((("x-head", b"1"),), Message(b"answer"), Trailers(0))

        two.provider.services.on_unary = answer
        call = unary()
        running = asyncio.create_task(two.consumer.run(call))
        async with asyncio.timeout(2):
            while not call.sent:
                await asyncio.sleep(0.001)
        assert call.headers == (("x-head", b"1"),)
        release.set()
        await running
        assert call.messages == [b"answer"]
        assert len(call.sent) == 3


async def test_headers_without_a_message_are_carried() -> None:
    async def answer(request: OutboundRequest, message: Message) -> UnaryAnswer:
        return UnaryAnswer((("x-head", b"1"),), None, Trailers(5, "none"))

    async with pair() as two:
        two.provider.services.on_unary = answer
        call = await two.consumer.run(unary())
        assert call.headers == (("x-head", b"1"),)
        assert (call.trailers.status, call.messages) == (5, [])


async def test_the_providers_nodes_own_end_bears_its_code_and_is_no_refusal() -> None:
    error = SimpulError(Code.SERVICE_UNREACHABLE, "start it")

    async def answer(request: OutboundRequest, message: Message) -> UnaryAnswer:
        return UnaryAnswer((), None, Trailers(14, "start it", (), error))

    async with pair() as two:
        two.provider.services.on_unary = answer
        for _ in range(150):
            call = await two.consumer.run(unary())
            # As a refusal, more than 100 would have cost the peer its link.
            assert (call.error(), call.trailers.status) == (Code.SERVICE_UNREACHABLE, 14)
