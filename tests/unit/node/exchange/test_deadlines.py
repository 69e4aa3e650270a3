"""Deadlines at each hop: time left, none at all, and the most that the federation allows."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pytest

from node.calls import HalfClose, Message, OutboundRequest, Trailers, UnaryAnswer
from node.exchange import asks
from security.errors import Code
from security.limits import Limits
from tests.support.pair import FakeCall, Pair, ServiceSide, pair, unary

MAX_MS = 300
LIMITS = Limits(max_call_ms=MAX_MS)
# A busy machine is late; a node that forgets is later.
SLACK_S = 2.0


class Forgetful:
    """A service that never answers, and says what it was told and that it was cancelled."""

    def __init__(self, made: Pair) -> None:
        self.timeouts: list[int | None] = []
        self.cancelled = asyncio.Event()
        made.provider.services.on_unary = self._unary
        made.provider.services.on_stream = self._stream

    async def _unary(self, request: OutboundRequest, _message: Message) -> UnaryAnswer:
        self.timeouts.append(request.timeout_ms)
        try:
            await asyncio.sleep(60)
        finally:
            self.cancelled.set()
        return UnaryAnswer((), None, Trailers(0))

    async def _stream(self, side: ServiceSide) -> None:
        self.timeouts.append(side.request.timeout_ms)
        await side.cancelled.wait()
        self.cancelled.set()


def stream(deadline_left_ms: int | None = None) -> FakeCall:
    return FakeCall("List", Message(b"1"), HalfClose(), deadline_left_ms=deadline_left_ms)


def calls(deadline_left_ms: int | None = None) -> list[FakeCall]:
    return [unary(deadline_left_ms=deadline_left_ms), stream(deadline_left_ms)]


@pytest.mark.parametrize("kind", [0, 1], ids=["unary", "stream"])
async def test_without_a_deadline_the_federations_maximum_ends_a_call(kind: int) -> None:
    async with pair(limits=LIMITS) as made:
        service = Forgetful(made)
        began = time.monotonic()
        call = await made.consumer.run(calls()[kind])
        assert (call.trailers.status, call.error()) == (4, Code.DEADLINE_EXCEEDED)
        assert MAX_MS / 1000 <= time.monotonic() - began < MAX_MS / 1000 + SLACK_S
        # None stays none: the service was told of no deadline, and was cancelled all the same.
        assert service.timeouts == [None]
        async with asyncio.timeout(SLACK_S):
            await service.cancelled.wait()


@pytest.mark.parametrize("kind", [0, 1], ids=["unary", "stream"])
async def test_the_providers_node_keeps_the_maximum_by_itself(
    kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a consumer's node forgets."""

    @contextlib.contextmanager
    def never(_ask: object) -> Iterator[None]:
        yield

    monkeypatch.setattr(asks._Ask, "_deadline", never)
    async with pair(limits=LIMITS) as made:
        service = Forgetful(made)
        call = await made.consumer.run(calls()[kind])
        assert (call.trailers.status, call.error()) == (4, Code.DEADLINE_EXCEEDED)
        assert f"{MAX_MS} ms" in call.trailers.message
        async with asyncio.timeout(SLACK_S):
            await service.cancelled.wait()
            while made.provider.providing.open_calls:
                await asyncio.sleep(0.001)


@pytest.mark.parametrize("kind", [0, 1], ids=["unary", "stream"])
async def test_the_stricter_of_both_deadlines_holds(kind: int) -> None:
    async with pair(limits=LIMITS) as made:
        service = Forgetful(made)
        for left_ms, most_s in ((100, MAX_MS / 1000), (60_000, MAX_MS / 1000 + SLACK_S)):
            began = time.monotonic()
            call = await made.consumer.run(calls(left_ms)[kind])
            assert call.error() == Code.DEADLINE_EXCEEDED
            assert time.monotonic() - began < most_s + SLACK_S
        first, second = service.timeouts
        assert first is not None
        assert 0 < first <= 100
        # As the app said it: what the federation allows is for the nodes to keep.
        assert second is not None
        assert 59_000 < second <= 60_000


@pytest.mark.parametrize("kind", [0, 1], ids=["unary", "stream"])
async def test_a_deadline_that_has_passed_already_reaches_nobody(kind: int) -> None:
    async with pair() as made:
        service = Forgetful(made)
        call = await made.consumer.run(calls(0)[kind])
        assert (call.trailers.status, call.error()) == (4, Code.DEADLINE_EXCEEDED)
        await asyncio.sleep(0.05)
        assert all(left == 0 for left in service.timeouts)
