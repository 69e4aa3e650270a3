"""The end of a streamed answer and what is being sent just then: one after the other."""

import asyncio

import pytest

from node.calls import HalfClose, Message, ResponseEvent, Trailers
from security.errors import Code
from tests.support.pair import WAIT_S, FakeCall, ServiceSide, pair


class Stepwise(FakeCall):
    """An app's call whose sending takes steps, as HTTP/2's does."""

    def __init__(self, *, step_s: float, **options: object) -> None:
        super().__init__("Watch", HalfClose(), **options)  # type: ignore[arg-type]
        self.step_s = step_s
        self.sending = 0
        self.overlapped = self.late = False

    async def send(self, event: ResponseEvent) -> None:
        self.late |= bool(self.sent) and isinstance(self.sent[-1], Trailers)
        self.overlapped |= self.sending > 0
        self.sending += 1
        try:
            if not isinstance(event, Trailers):
                await asyncio.sleep(self.step_s)
        finally:
            self.sending -= 1
        await super().send(event)


async def flood(side: ServiceSide) -> None:
    while not side.cancelled.is_set():
        if side.outgoing.full():
            await asyncio.sleep(0.001)
        else:
            side.outgoing.put_nowait(Message(b"x" * 1000))


@pytest.mark.parametrize("end", ["deadline", "cancel", "cut"])
async def test_an_end_waits_for_what_is_being_sent(end: str) -> None:
    async with pair() as two:
        two.provider.services.on_stream = flood
        call = Stepwise(step_s=0.03, deadline_left_ms=300 if end == "deadline" else None)
        running = asyncio.create_task(two.consumer.run(call))
        async with asyncio.timeout(WAIT_S):
            while len(call.sent) < 3:
                await asyncio.sleep(0.001)
        if end == "cancel":
            call.go_away()
        if end == "cut":
            for link in two.provider.server.links:
                link.cut()
        await running
        await asyncio.sleep(0.1)
        assert not call.overlapped
        assert not call.late
        assert call.error() in {Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.OUTCOME_UNKNOWN}


async def test_an_app_that_reads_nothing_keeps_neither_its_call_nor_the_link() -> None:
    async with pair() as two:
        two.provider.services.on_stream = flood
        call = Stepwise(step_s=3600.0, deadline_left_ms=200)
        await two.consumer.run(call)
        assert (call.error(), call.overlapped) == (Code.DEADLINE_EXCEEDED, False)
        assert call.messages == []
        async with asyncio.timeout(WAIT_S):
            while any(not link.shared for link in two.consumer.dialler.links):
                await asyncio.sleep(0.01)
            while two.provider.providing.open_calls:
                await asyncio.sleep(0.01)


async def test_the_deadline_ends_a_call_whose_close_waits_behind_a_slow_app() -> None:
    async def one_and_end(side: ServiceSide) -> None:
        await side.outgoing.put(Message(b"only"))
        await side.outgoing.put(Trailers(0))

    async with pair() as two:
        two.provider.services.on_stream = one_and_end
        call = Stepwise(step_s=3600.0, deadline_left_ms=200)
        await two.consumer.run(call)
        assert call.error() == Code.DEADLINE_EXCEEDED
