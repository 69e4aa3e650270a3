"""Which version of the wire two nodes speak, and what becomes of what a version does not know."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from node.exchange import asks
from node.link.frames import greeting_frame, parse_frame
from node.link.greet import Greeter
from security.entry import SealedEntry
from security.errors import Code, SimpulError
from security.greeting import (
    GreetingFields,
    make_greeting,
    parse_greeting,
    print_greeting,
)
from security.identifiers import NodeId
from security.limits import Limits
from security.parcel import VERSIONS
from security.sender import OutgoingEntry
from simpul.v1 import exchange_pb2, parcel_pb2
from tests.conformance import fixed
from tests.support.pair import Half, Pair, pair, unary
from tests.unit.node.link.hostile import counted, greeted, lives_on, raw

LATER = (max(VERSIONS) + 1, max(VERSIONS) + 2)
# Fields that no message of this version has: a number, and an empty message.
UNKNOWN_NUMBER = b"\xf8\x07\x01"
UNKNOWN_KIND = b"\xfa\x07\x00"


def fields(half: Half, peer: NodeId, **changes: Any) -> GreetingFields:
    said = half.greeter._fields(peer, in_reply_to=None, credit=0, unsettled=())
    return replace(said, **changes)


async def answer(two: Pair, signed: exchange_pb2.SignedGreeting) -> GreetingFields:
    """What the provider's node says to a greeting of the consumer's."""
    async with raw(two.consumer, two.provider) as stream, asyncio.timeout(5):
        await stream.write(greeting_frame(signed))
        data = await stream.read()
    assert data is not None
    return parse_greeting(parse_frame(data, Limits()).greeting.greeting)


def signed(two: Pair, **changes: Any) -> exchange_pb2.SignedGreeting:
    half = two.consumer
    return make_greeting(fields(half, two.provider.node, **changes), half.greeter.node_key)


async def test_a_node_that_speaks_later_versions_too_is_spoken_to_in_the_highest_of_both() -> None:
    async with pair() as two:
        said = await answer(two, signed(two, versions=(*VERSIONS, *LATER)))
        assert said.versions == VERSIONS
        async with greeted(two) as link:
            assert link.sender.context.version == max(VERSIONS)


async def test_a_node_that_speaks_only_later_versions_is_refused_in_words() -> None:
    async with pair() as two:
        with pytest.raises(SimpulError) as caught:
            await answer(two, signed(two, versions=LATER))
        assert caught.value.code is Code.GREETING_VERSION
        for versions in (VERSIONS, LATER):
            assert str(list(versions)) in caught.value.message
        name = "simpul_link_faults_total"
        assert counted(two.provider, name, step="9", code=Code.GREETING_VERSION) == 1
        assert two.provider.journal.records == []
        await lives_on(two)


async def test_an_app_is_told_of_a_provider_that_speaks_only_later_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original: Callable[..., GreetingFields] = Greeter._fields

    def of_tomorrow(greeter: Greeter, peer: NodeId, **said: Any) -> GreetingFields:
        found = original(greeter, peer, **said)
        mine = greeter.identity.node == fixed.REGENCY_NODE
        return replace(found, versions=LATER) if mine else found

    monkeypatch.setattr(Greeter, "_fields", of_tomorrow)
    async with pair() as two:
        call = await two.consumer.run(unary())
        assert call.error() == Code.GREETING_VERSION
        assert "versions" in call.trailers.message
        assert two.provider.services.seen == []


async def test_a_feature_that_nobody_knows_is_ignored() -> None:
    async with pair() as two:
        said = await answer(two, signed(two, features=("zz-of-tomorrow",)))
        assert "zz-of-tomorrow" not in said.features


async def test_a_field_that_no_greeting_has_is_refused() -> None:
    async with pair() as two:
        data = print_greeting(fields(two.consumer, two.provider.node)) + UNKNOWN_NUMBER
        with pytest.raises(SimpulError) as caught:
            await answer(two, exchange_pb2.SignedGreeting(greeting=data, signature=bytes(64)))
        assert caught.value.code is Code.GREETING_MALFORMED
        await lives_on(two)


def _unknown_field(entry: SealedEntry) -> bytes:
    return entry.entry + UNKNOWN_NUMBER


def _unknown_kind(entry: SealedEntry) -> bytes:
    message = parcel_pb2.Entry.FromString(entry.entry)
    message.ClearField(message.WhichOneof("kind") or "open")
    return message.SerializeToString(deterministic=True) + UNKNOWN_KIND


@pytest.mark.parametrize("change", [_unknown_field, _unknown_kind])
async def test_an_entry_with_what_this_version_does_not_know_ends_the_link(
    change: Callable[[SealedEntry], bytes],
) -> None:
    """Sealed in order, so that nothing but the entry itself is at fault."""
    async with pair() as two:
        async with greeted(two, agreed=True) as link:
            good: OutgoingEntry = link.opening()
            entry = replace(good.sealed, entry=change(good.sealed))
            await link.send(link.parcel(replace(good, sealed=entry)))
            assert await link.refusal() is Code.PARCEL_MALFORMED
        name = "simpul_link_faults_total"
        assert counted(two.provider, name, step="2", code=Code.PARCEL_MALFORMED) == 1
        assert two.provider.services.seen == []
        await lives_on(two)


def test_a_refusal_s_code_that_nobody_knows_is_internal() -> None:
    assert asks._known("A_CODE_OF_TOMORROW") is Code.INTERNAL
    assert asks._known(Code.ACCESS_NO_AGREEMENT.value) is Code.ACCESS_NO_AGREEMENT
