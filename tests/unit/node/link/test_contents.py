"""Which node keeps what of a call: by the agreement, on both sides, whatever the kind of call."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from node.calls import HalfClose, Headers, Message, OutboundRequest, Trailers, UnaryAnswer
from node.journal.model import LatePayload, ParcelRecord
from node.policy.rules import AgreementBook
from security.agreement import PayloadKeeper, ServiceTerm
from security.entry import parse_entry
from security.errors import Code, SimpulError
from security.persons import Persons
from tests.conformance import fixed
from tests.support import agreements
from tests.support.memory_journal import MemoryJournal
from tests.support.pair import (
    ALL_METHODS,
    FakeCall,
    Half,
    Pair,
    ServiceSide,
    pair,
    unary,
)

LARGE = b"large " * 20_000


def agree(both: Pair, keeper: PayloadKeeper) -> None:
    terms = replace(
        agreements.TERMS,
        services=(ServiceTerm(fixed.SERVICE, ALL_METHODS),),
        payload_keeper=keeper,
    )
    book = AgreementBook([agreements.signed(terms).agreement])
    for half in (both.provider, both.consumer):
        half.current.replace(replace(half.current.snapshot, agreements=book))


def kinds(record: ParcelRecord, numbers: tuple[int, ...]) -> Iterator[str]:
    for number in numbers:
        yield parse_entry(record.entries[number].entry).kind.kind.value


def kept(half: Half) -> list[str]:
    return [kind for record in half.journal.records for kind in kinds(record, record.kept)]


def said(half: Half) -> list[str]:
    return [
        kind
        for record in half.journal.records
        for kind in kinds(record, tuple(range(len(record.entries))))
    ]


@pytest.mark.parametrize(
    ("keeper", "consumer", "provider"),
    [
        (PayloadKeeper.NONE, False, False),
        (PayloadKeeper.CONSUMER, True, False),
        (PayloadKeeper.PROVIDER, False, True),
        (PayloadKeeper.BOTH, True, True),
    ],
)
async def test_the_agreement_says_who_keeps(
    keeper: PayloadKeeper, *, consumer: bool, provider: bool
) -> None:
    async with pair() as both:
        agree(both, keeper)
        await both.consumer.run(unary())
        assert kept(both.consumer) == (["open", "close"] if consumer else [])
        assert kept(both.provider) == (["open", "close"] if provider else [])


async def test_every_message_of_a_stream_is_kept() -> None:
    async def echo(side: ServiceSide) -> None:
        await side.outgoing.put(Headers((("x-took", b"3"),)))
        while not isinstance(event := await side.incoming.get(), HalfClose):
            await side.outgoing.put(event)
        await side.outgoing.put(Trailers(0))

    async with pair() as both:
        agree(both, PayloadKeeper.BOTH)
        both.provider.services.on_stream = echo
        call = FakeCall("Watch", Message(b"one"), Message(LARGE), HalfClose())
        await both.consumer.run(call)
        assert call.messages == [b"one", LARGE]
        wanted = ["close", "half_close", "head", "message", "message", "message", "message", "open"]
        for half in (both.consumer, both.provider):
            assert sorted(kept(half)) == wanted
            # Of the large one each side has the other's in pieces, after its parcel.
            (late,) = half.journal.late
            assert late.payload == LARGE
            (of,) = [
                record
                for record in half.journal.records
                if (record.link_id, record.direction, record.number)
                == (late.link_id, late.direction, late.number)
            ]
            assert late.entry_no in of.kept
            assert of.entries[late.entry_no].payload is None


async def test_a_large_answer_reaches_the_app_when_it_is_kept() -> None:
    async def answer(_request: OutboundRequest, _message: Message) -> UnaryAnswer:
        return UnaryAnswer((), Message(LARGE), Trailers(0))

    async with pair() as both:
        agree(both, PayloadKeeper.CONSUMER)
        both.provider.services.on_unary = answer
        call = await both.consumer.run(unary())
        assert call.messages == [LARGE]
        assert [late.payload for late in both.consumer.journal.late] == [LARGE]
        assert both.provider.journal.late == []


async def test_whom_a_call_names_is_told_to_both_journals() -> None:
    metadata = (("simpul-subject", b"3171234567890123"), ("simpul-issue", b"AB/12"))
    async with pair() as both:
        await both.consumer.run(unary(metadata=metadata))
        await both.consumer.run(unary())
        for half in (both.consumer, both.provider):
            named = [item for record in half.journal.records for item in record.persons]
            assert named == [(0, Persons("3171234567890123", "", "AB/12"))]
            assert kept(half) == []
            assert said(half).count("open") == 2


async def test_a_refused_call_of_others_is_not_kept() -> None:
    async with pair() as both:
        agree(both, PayloadKeeper.BOTH)
        both.provider.agree()
        call = await both.consumer.run(unary())
        assert call.error() == "ACCESS_NO_AGREEMENT"
        assert kept(both.provider) == []
        assert kept(both.consumer) == ["open", "refuse"]


class NoRoomForLarge(MemoryJournal):
    """Takes parcels, and no payload that comes after one."""

    def keep_late_nowait(self, late: LatePayload) -> asyncio.Future[None]:
        del late
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        failed.set_exception(SimpulError(Code.JOURNAL_FULL, "no room"))
        return failed


class Overloaded(MemoryJournal):
    """As `NoRoomForLarge`, and says so at once."""

    def keep_late_nowait(self, late: LatePayload) -> asyncio.Future[None]:
        del late
        raise SimpulError(Code.OVERLOADED, "too many wait")


@pytest.mark.parametrize("journal", [NoRoomForLarge, Overloaded])
async def test_what_could_not_be_kept_is_not_acted_on(journal: type[MemoryJournal]) -> None:
    async def answer(_request: OutboundRequest, _message: Message) -> UnaryAnswer:
        return UnaryAnswer((), Message(LARGE), Trailers(0))

    async with pair(journals={fixed.MINISTRY_NODE: journal()}) as both:
        agree(both, PayloadKeeper.CONSUMER)
        both.provider.services.on_unary = answer
        call = await both.consumer.run(unary())
        assert call.messages == []
        assert call.error() == "OUTCOME_UNKNOWN"
