"""In which order a provider's node judges a call: who may call it first, what it costs last."""

import asyncio
from collections.abc import Callable

import pytest

from node.calls import HalfClose, Message
from security.agreement import RateTerm
from security.errors import Code, SimpulError
from tests.support.pair import FakeCall, Half, Pair, pair, unary
from tests.unit.node.link.hostile import counted

METHODS = ("Get", "List", "Import", "Watch")


async def endless(agreement: bytes, side: object, wanted: int) -> int:
    """The consumer's own count, which would hide the provider's."""
    del agreement, side
    return wanted


def full(half: Half) -> None:
    half.providing._max_open = 0


def roomy(half: Half) -> None:
    half.providing._max_open = 1000
    half.services.closed = None


def service_full(half: Half) -> None:
    half.services.closed = SimpulError(Code.OVERLOADED, "15000 calls are under way there")


def service_down(half: Half) -> None:
    half.services.closed = SimpulError(Code.SERVICE_UNREACHABLE, "it did not answer a moment ago")


BUSY: dict[Callable[[Half], None], str] = {
    full: Code.OVERLOADED,
    service_full: Code.OVERLOADED,
    service_down: "SERVICE_UNREACHABLE",
}


def call(method: str) -> FakeCall:
    return FakeCall(method, Message(b"one"), HalfClose())


async def ask(two: Pair, method: str = "Get") -> FakeCall:
    return await two.consumer.run(call(method))


@pytest.mark.parametrize("busy", BUSY, ids=lambda busy: busy.__name__)
@pytest.mark.parametrize("method", ["Get", "Watch"])
async def test_who_may_not_call_learns_nothing_of_how_busy_a_node_is(
    method: str, busy: Callable[[Half], None]
) -> None:
    async with pair() as two:
        busy(two.provider)
        assert (await ask(two, method)).error() == BUSY[busy]
        two.provider.agree()
        assert (await ask(two, method)).error() == Code.ACCESS_NO_AGREEMENT
        two.provider.agree(*METHODS)
        two.provider.agree("List")
        assert (await ask(two, method)).error() == Code.ACCESS_NO_AGREEMENT
        assert two.provider.services.seen == []


@pytest.mark.parametrize("busy", BUSY, ids=lambda busy: busy.__name__)
async def test_what_can_not_be_begun_costs_nothing_of_an_agreement(
    busy: Callable[[Half], None],
) -> None:
    async with pair() as two:
        for half in (two.provider, two.consumer):
            half.agree(*METHODS, rate=RateTerm(0, 0, 1))
        two.consumer.keeping.allowance._lease = endless
        busy(two.provider)
        for _ in range(3):
            assert (await ask(two)).error() == BUSY[busy]
        roomy(two.provider)
        assert (await ask(two)).error() == ""
        assert (await ask(two)).error() == Code.ACCESS_QUOTA


async def test_what_was_not_begun_is_not_remembered_as_handed_on() -> None:
    async with pair() as two:
        same = two.consumer.consuming._new_call_id()
        two.consumer.consuming._new_call_id = lambda: same
        two.consumer.attempts._new_call_id = lambda: same
        full(two.provider)
        assert (await ask(two)).error() == Code.OVERLOADED
        roomy(two.provider)
        two.provider.agree()
        assert (await ask(two)).error() == Code.ACCESS_NO_AGREEMENT
        two.provider.agree(*METHODS)
        assert (await ask(two)).error() == ""
        assert (await ask(two)).error() == Code.CALL_REPEATED


async def test_every_call_that_is_turned_away_is_counted() -> None:
    async with pair() as two:
        full(two.provider)
        calls = [unary() for _ in range(50)]
        await asyncio.gather(*(two.consumer.run(each) for each in calls))
        two.provider.agree()
        await ask(two)
        await asyncio.sleep(1.1)
        for code, wanted in ((Code.OVERLOADED, 50), (Code.ACCESS_NO_AGREEMENT, 1)):
            told = {"side": "provider", "status": "", "code": code}
            # A call is tried once more where its node is full and there is no other.
            assert counted(two.provider, "simpul_calls_total", **told) >= wanted
        assert counted(two.provider, "simpul_calls_open", side="provider") == 0
