"""Calls that name a region, and the providers that stand in for each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.calls import HalfClose, Message, new_call_id
from node.exchange.asks import Asked
from node.exchange.routing import find_routes
from security.errors import Code
from tests.conformance import fixed
from tests.support.pair import FakeCall, Half, pair, unary

REGION = ("simpul-region", b"53.15")


@pytest.mark.parametrize("method", ["Get", "Watch"])
async def test_a_region_is_called_and_the_app_is_told_who_answered(method: str) -> None:
    async with pair() as two:
        call = FakeCall(method, Message(b"question"), HalfClose(), to=None, metadata=(REGION,))
        if method == "Watch":
            call.incoming.get_nowait()
            call.incoming.get_nowait()
            call.go_away()
        await two.consumer.run(call)
        trailers = dict(call.trailers.metadata)
        if method == "Get":
            assert call.messages == [b"question"]
            assert trailers["simpul-provider"] == str(fixed.TOURISM).encode()
            assert trailers["simpul-region"] == b"53.15"
        assert "simpul-call-id" in trailers


async def test_who_was_named_is_not_told_again() -> None:
    async with pair() as two:
        call = await two.consumer.run(unary())
        assert "simpul-provider" not in dict(call.trailers.metadata)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ((("simpul-region", b"99.99"),), Code.REGION_UNKNOWN),
        ((("simpul-region", b"53.99"),), Code.REGION_UNSERVED),
        ((("simpul-region", b"5315"),), Code.ID_MALFORMED),
        ((REGION, ("simpul-to", str(fixed.TOURISM).encode())), Code.METADATA_MALFORMED),
        ((), Code.ADDRESS_MISSING),
    ],
)
async def test_what_is_wrong_with_a_region_is_said(
    said: tuple[tuple[str, bytes], ...], code: Code
) -> None:
    async with pair() as two:
        call = await two.consumer.run(unary(to=None, metadata=said))
        assert call.error() == code
        assert two.provider.services.seen == []


async def test_without_an_agreement_the_region_s_provider_is_named() -> None:
    async with pair() as two:
        two.consumer.agree()
        call = await two.consumer.run(unary(to=None, metadata=(REGION,)))
        assert call.error() == Code.ACCESS_NO_AGREEMENT
        assert str(fixed.TOURISM) in call.trailers.message


async def two_ways(consumer: Half, first: Half, second: Half, asked: Asked) -> int:
    """Carry a call that may go to either of two providers, each with one node."""
    snapshot = consumer.current.snapshot
    (route,) = find_routes(
        asked.call.request, consumer.identity, snapshot, consumer.keeping.fields, fixed.NOW_MS
    )
    ways = [replace(route, nodes=(snapshot.directory.node(half.node),)) for half in (first, second)]
    return await consumer.attempts.carry(asked, tuple(ways))


async def test_another_provider_is_asked_when_the_first_has_not_begun() -> None:
    async with pair(second=True) as three:
        await three.provider.providing.drain()
        call = unary()
        asked = Asked(call, new_call_id(fixed.NOW_MS, bytes(10)), None)
        assert await two_ways(three.consumer, three.provider, three.second, asked) == 0
        assert call.messages == [b"question"]
        assert (three.provider.services.seen, len(three.second.services.seen)) == ([], 1)


async def test_a_provider_that_has_begun_is_the_only_one_asked() -> None:
    async with pair(second=True) as three:
        call = unary()
        asked = Asked(call, new_call_id(fixed.NOW_MS, bytes(10)), None)
        assert await two_ways(three.consumer, three.provider, three.second, asked) == 0
        assert len(three.provider.services.seen) == 1
        assert three.second.services.seen == []
