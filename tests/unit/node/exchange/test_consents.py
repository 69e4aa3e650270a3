"""Calls by a consent: what the service is told, and that they end when the consent does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import pytest

from node.calls import HalfClose, Message, Trailers
from node.consent.model import Question
from node.exchange import consents as module
from node.exchange.consents import Consents
from security.agreement_terms import LegalBasis, PurposeTerm
from security.errors import Code, SimpulError
from tests.conformance import fixed
from tests.support.pair import SERVICE_ID, FakeCall, Pair, ServiceSide, pair

PURPOSE: Final = "layanan-wisata"
SUBJECT: Final = "6471 0140 0190 0001"
REFERENCE, ANOTHER = "cns-samarinda", "cns-bontang"
LATER: Final = fixed.NOW_MS + 60_000


def question(reference: str, method: str = "Watch") -> Question:
    return Question(reference, fixed.SUPER_APP, SERVICE_ID, method, PURPOSE, SUBJECT)


def call_by(reference: str, method: str, *events: Message | HalfClose) -> FakeCall:
    said = (("simpul-consent", reference.encode()), ("simpul-subject", SUBJECT.encode()))
    return FakeCall(method, *events, metadata=said)


@asynccontextmanager
async def by_consent() -> AsyncIterator[Pair]:
    """Two nodes with an agreement that rests on consent, and two consents."""
    async with pair() as two:
        purposes = (PurposeTerm(PURPOSE, LegalBasis.CONSENT, ""),)
        for half in (two.provider, two.consumer):
            half.agree("Get", "Watch", purposes=purposes)
        for reference in (REFERENCE, ANOTHER):
            two.provider.register.give(question(reference), LATER)
        yield two


class Call:
    """One that says why it ended."""

    refusal: SimpulError | None = None

    def end(self, error: SimpulError) -> None:
        self.refusal = error


async def echo_for_ever(side: ServiceSide) -> None:
    while isinstance(event := await side.incoming.get(), Message):
        await side.outgoing.put(event)
    await side.outgoing.put(Trailers(0))


async def streaming(two: Pair, reference: str) -> tuple[FakeCall, asyncio.Task[FakeCall]]:
    """A stream of which a message has gone there and back."""
    two.provider.services.on_stream = echo_for_ever
    call = call_by(reference, "Watch", Message(b"question"))
    running = asyncio.create_task(two.consumer.run(call))
    async with asyncio.timeout(10):
        while not call.messages:
            await asyncio.sleep(0.005)
    return call, running


async def test_the_open_says_it_and_the_service_is_told_whose_it_is() -> None:
    async with by_consent() as two:
        call = await two.consumer.run(call_by(REFERENCE, "Get", Message(b""), HalfClose()))
        assert call.error() == ""
        (request,) = two.provider.services.seen
        told = dict(request.metadata)
        assert told["simpul-consent"] == REFERENCE.encode()
        assert told["simpul-subject"] == SUBJECT.encode()
        assert two.provider.register.asked == [question(REFERENCE, "Get")]


async def test_a_service_is_told_of_no_subject_where_no_consent_is_named() -> None:
    async with pair() as two:
        said = (("simpul-subject", SUBJECT.encode()),)
        await two.consumer.run(FakeCall("Get", Message(b""), HalfClose(), metadata=said))
        (request,) = two.provider.services.seen
        assert not {"simpul-consent", "simpul-subject"} & dict(request.metadata).keys()
        assert two.provider.register.asked == []


@pytest.mark.parametrize(
    "reference", ["6471014001900001", "short", "with space", "x" * 129, "é" * 9]
)
async def test_what_is_no_reference_never_travels(reference: str) -> None:
    async with by_consent() as two:
        call = await two.consumer.run(call_by(reference, "Get", Message(b""), HalfClose()))
        assert call.error() == Code.CONSENT_MALFORMED
        assert two.provider.journal.records == []


async def test_a_withdrawal_ends_its_streams_and_no_others() -> None:
    async with by_consent() as two:
        call, running = await streaming(two, REFERENCE)
        other, going_on = await streaming(two, ANOTHER)
        two.provider.register.withdraw(REFERENCE)
        two.provider.keeping.consents.end([REFERENCE, "cns-unknown"])
        async with asyncio.timeout(10):
            await running
        assert call.error() == Code.CONSENT_WITHDRAWN
        assert call.trailers.status == 7
        other.incoming.put_nowait(Message(b"more"))
        other.incoming.put_nowait(HalfClose())
        await going_on
        assert other.error() == ""
        assert other.messages == [b"question", b"more"]
        again = await two.consumer.run(call_by(REFERENCE, "Get", Message(b""), HalfClose()))
        assert again.error() == Code.CONSENT_WITHDRAWN


async def test_a_withdrawal_that_comes_while_it_is_asked_for_counts() -> None:
    async with by_consent() as two:
        register = two.provider.register
        register.slow = asyncio.Event()
        call = call_by(REFERENCE, "Get", Message(b""), HalfClose())
        running = asyncio.create_task(two.consumer.run(call))
        async with asyncio.timeout(10):
            while not register.asked:
                await asyncio.sleep(0.005)
            # The register has affirmed it; the withdrawal overtakes its answer.
            two.provider.keeping.consents.end([REFERENCE])
            register.slow.set()
            await running
        assert call.error() == Code.CONSENT_WITHDRAWN
        assert two.provider.services.seen == []


async def test_a_stream_ends_when_its_consent_is_over() -> None:
    async with by_consent() as two:
        call, running = await streaming(two, REFERENCE)
        consents = two.provider.keeping.consents
        consents.recheck(LATER - 1)
        await asyncio.sleep(0)
        assert not running.done()
        consents.recheck(LATER)
        await running
        assert call.error() == Code.CONSENT_EXPIRED


async def test_what_is_affirmed_anew_goes_on_until_its_new_time() -> None:
    async with by_consent() as two:
        call, running = await streaming(two, REFERENCE)
        consents = two.provider.keeping.consents
        two.provider.register.give(question(REFERENCE), LATER + 10)
        await consents.confirm()
        consents.recheck(LATER + 9)
        await asyncio.sleep(0.01)
        assert not running.done()
        consents.recheck(LATER + 10)
        await running
        assert call.error() == Code.CONSENT_EXPIRED


@pytest.mark.parametrize("how", ["withdrawn", "silent", "lost", "failing"])
async def test_what_isnt_affirmed_anew_ends(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONFIRM_S", 0.1)
    expected = Code.CONSENT_UNVERIFIED
    async with by_consent() as two:
        call, running = await streaming(two, REFERENCE)
        register = two.provider.register
        match how:
            case "withdrawn":
                register.withdraw(REFERENCE)
                expected = Code.CONSENT_WITHDRAWN
            case "silent":
                register.slow = asyncio.Event()
            case "lost":
                register.fault = SimpulError(Code.SUPERVISOR_LOST, "gone")
            case "failing":
                register.fault = SimpulError(Code.CONSENT_UNVERIFIED, "gone")
        await two.provider.keeping.consents.confirm()
        await running
        assert call.error() == expected


async def test_who_waits_for_a_place_has_its_time_for_the_answer_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CONFIRM_S", 1.0)
    monkeypatch.setattr(module, "MAX_AT_ONCE", 1)

    async def verify(asked: Question) -> int:
        # Each takes over half of the time that it has.
        await asyncio.sleep(0 if asked.reference in first else 0.6)
        return LATER + len(first)

    first = {REFERENCE, ANOTHER}
    consents = Consents(verify)
    ends = {reference: Call() for reference in first}
    async with AsyncExitStack() as stack:
        for reference, end in ends.items():
            under = consents.call(question(reference), end, lambda: fixed.NOW_MS)
            await stack.enter_async_context(under)
        first.clear()
        await consents.confirm()
        assert [end.refusal for end in ends.values()] == [None, None]


async def test_a_lost_supervisor_affirms_nothing() -> None:
    async with by_consent() as two:
        two.provider.register.fault = SimpulError(Code.SUPERVISOR_LOST, "gone")
        call = await two.consumer.run(call_by(REFERENCE, "Get", Message(b""), HalfClose()))
        assert call.error() == Code.CONSENT_UNVERIFIED
        assert call.trailers.status == 14
        assert two.provider.services.seen == []


async def test_nothing_is_left_of_calls_that_have_ended() -> None:
    async with by_consent() as two:
        for reference in (REFERENCE, "cns-unknown"):
            await two.consumer.run(call_by(reference, "Get", Message(b""), HalfClose()))
        async with asyncio.timeout(10):
            while two.provider.providing.open_calls:
                await asyncio.sleep(0.005)
        assert two.provider.keeping.consents._uses == {}
