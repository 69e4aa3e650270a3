"""One call over ASGI, without a stack: what becomes of a wait that is given up."""

import asyncio

import pytest

from node.calls import CallRequest, HalfClose, Message
from node.gateway.call import AsgiCall, Event
from node.gateway.poller import Poller
from node.gateway.turn import EndOfTurn


async def test_a_wait_that_is_given_up_leaves_the_stacks_future_alone() -> None:
    """The stack completes its future whatever happens, and a cancelled one would be a fault."""
    coming: list[asyncio.Future[Event]] = []

    def receive() -> asyncio.Future[Event]:
        coming.append(asyncio.get_running_loop().create_future())
        return coming[-1]

    async def send(event: Event) -> None:
        raise AssertionError(event)

    request = CallRequest("/a.B/C", (), None)
    call = AsgiCall(request, receive, send, Poller(), EndOfTurn(), 100)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await call.receive()
    (future,) = coming
    assert not future.done()
    # Nothing is lost: who asks again gets what came.
    future.set_result({"type": "http.request", "body": b"\0\0\0\0\1x", "more_body": False})
    assert await call.receive() == Message(b"x")
    assert await call.receive() == HalfClose()
    assert len(coming) == 1
