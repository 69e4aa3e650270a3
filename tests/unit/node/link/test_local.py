"""A call between members of one node: no connection, but the same parcels and both records."""

import asyncio
from dataclasses import replace

from node.calls import HalfClose, Message, Trailers
from node.journal.model import Direction, LinkEnd
from node.model import Snapshot
from node.policy.apps import AppBook
from node.policy.rules import AgreementBook
from security.agreement import Party, ServiceTerm, make_agreement
from security.identifiers import SubsystemId
from tests.conformance import fixed
from tests.support import agreements
from tests.support.pair import ALL_METHODS, FakeCall, Half, ServiceSide, pair, unary

OFFICE = SubsystemId.parse(f"{fixed.REGENCY}/kantor")


def serve_itself(half: Half) -> None:
    """An office of the regency calls the regency's own tourism service."""
    terms = replace(
        agreements.TERMS,
        consumer=Party(fixed.REGENCY, agreements.PROVIDER_IDENTITY.public.key_id),
        consumer_subsystems=(OFFICE,),
        services=(ServiceTerm(fixed.SERVICE, ALL_METHODS),),
    )
    now = half.current.snapshot
    book = AgreementBook([make_agreement(terms)])
    half.current.replace(Snapshot(now.directory, book, AppBook((), OFFICE), now.targets))


async def test_unary() -> None:
    async with pair() as two:
        serve_itself(two.provider)
        calls = await asyncio.gather(*(two.provider.run(unary()) for _ in range(20)))
        assert [call.messages for call in calls] == [[b"question"]] * 20
        sent = [r for r in two.provider.journal.records if r.direction is Direction.SENT]
        received = [r for r in two.provider.journal.records if r.direction is Direction.RECEIVED]
        assert {r.header_hash for r in sent} == {r.header_hash for r in received}
        assert {r.end for r in sent} == {LinkEnd.DIALLER, LinkEnd.ACCEPTOR}


async def test_a_stream_both_ways() -> None:
    async def shout(side: ServiceSide) -> None:
        while isinstance(event := await side.incoming.get(), Message):
            await side.outgoing.put(Message(event.data.upper()))
        await side.outgoing.put(Trailers(0))

    async with pair() as two:
        serve_itself(two.provider)
        two.provider.services.on_stream = shout
        words = [Message(b"kata %d" % number) for number in range(100)]
        call = await two.provider.run(FakeCall("Watch", *words, HalfClose()))
        assert call.messages == [word.data.upper() for word in words]
        assert call.trailers.status == 0
