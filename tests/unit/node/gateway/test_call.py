"""One call over ASGI, without a stack: a wait that is given up, and what is left of a call."""

import asyncio
import gc
import weakref

import pytest

from node.calls import CallRequest, HalfClose, Message, Trailers
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


class Asking:
    """Holds the call that it waits for the end of, as the exchange does."""

    def __init__(self, call: AsgiCall) -> None:
        self.call = call
        call.on_cancel(self.app_gone)

    def app_gone(self) -> None:
        raise AssertionError("an answered call has no app to wait for")


async def test_an_answered_call_is_freed_without_the_garbage_collector() -> None:
    """Its messages may be 32 MiB, and the collector looks once in thousands of objects."""

    async def receive() -> Event:
        return {"type": "http.request", "body": b"\0\0\0\0\1x", "more_body": False}

    async def send(event: Event) -> None:
        pass

    call = AsgiCall(CallRequest("/a.B/C", (), None), receive, send, Poller(), EndOfTurn(), 100)
    asking = Asking(call)
    assert await call.receive() == Message(b"x")
    await call.send(Message(b"y"))
    await call.send(Trailers(0))
    # The loop's turn ends, and the poller lets go of calls that are over.
    await asyncio.sleep(0.1)
    left = weakref.ref(asking)
    gc.disable()
    try:
        del call, asking
        assert left() is None
    finally:
        gc.enable()
