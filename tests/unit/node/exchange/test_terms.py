"""Terms of an agreement, kept while calls are carried: what doesn't pass never reaches the wire."""

import asyncio
import gzip
from collections.abc import Callable
from typing import Final

import pytest

from node.calls import (
    HalfClose,
    Headers,
    Message,
    OutboundRequest,
    Trailers,
    UnaryAnswer,
)
from node.exchange.fields import ALL
from security.agreement import FieldTerm, RateTerm
from tests.conformance import fixed
from tests.support.agreements import TERMS
from tests.support.pair import FakeCall, Half, Pair, ServiceSide, pair, unary

# Of fixed.SERVICE's Island: name is field 1, keeper is field 2.
NAME: Final = b"\x0a\x06Komodo"
KEEPER: Final = b"\x12\x04Budi"
UNKNOWN: Final = b"\x1a\x06secret"
STATUS_DETAILS: Final = ("grpc-status-details-bin", b"Budi")


def names_only(*more: str) -> FieldTerm:
    return FieldTerm((*(f"{method}/name" for method in ("Get", "List", "Import", "Watch")), *more))


def agree(two: Pair, **terms: object) -> None:
    for half in (two.provider, two.consumer):
        half.agree("Get", "List", "Import", "Watch", **terms)


def answering(answer: UnaryAnswer, seen: list[bytes] | None = None) -> Callable[..., object]:
    async def answer_it(request: OutboundRequest, message: Message) -> UnaryAnswer:
        del request
        if seen is not None:
            seen.append(message.data)
        return answer

    return answer_it


async def streaming(side: ServiceSide) -> None:
    await side.outgoing.put(Headers((("x-head", b"Budi"),)))
    while isinstance(event := await side.incoming.get(), Message):
        await side.outgoing.put(Message(event.data + NAME + KEEPER + UNKNOWN))
    await side.outgoing.put(Trailers(0, "", (STATUS_DETAILS, ("x-tail", b"Budi"))))


async def test_an_answer_has_the_agreed_fields_and_nothing_else() -> None:
    async with pair() as two:
        agree(two, response_fields=names_only())
        two.provider.services.on_unary = answering(  # type: ignore[assignment]
            UnaryAnswer(
                (("x-head", b"Budi"),),
                Message(NAME + KEEPER + UNKNOWN),
                Trailers(0, "well", (STATUS_DETAILS, ("x-tail", b"Budi"))),
            )
        )
        call = await two.consumer.run(unary(data=b""))
        assert call.messages == [NAME]
        assert call.headers == ()
        assert [key for key, _ in call.trailers.metadata] == ["simpul-call-id"]
        assert call.trailers.message == "well"


async def test_metadata_passes_where_it_is_named() -> None:
    async with pair() as two:
        agree(two, response_fields=names_only("Get/@x-head", "Get/@grpc-status-details-bin"))
        two.provider.services.on_unary = answering(  # type: ignore[assignment]
            UnaryAnswer((("x-head", b"1"), ("x-no", b"1")), Message(NAME),
                        Trailers(5, "gone", (STATUS_DETAILS, ("x-tail", b"1"))))
        )  # fmt: skip
        call = await two.consumer.run(unary(data=b""))
        assert call.headers == (("x-head", b"1"),)
        assert call.trailers.metadata[0] == STATUS_DETAILS
        assert len(call.trailers.metadata) == 2


@pytest.mark.parametrize("method", ["List", "Import", "Watch"])
async def test_every_message_of_a_stream_is_masked(method: str) -> None:
    async with pair() as two:
        agree(two, response_fields=names_only())
        two.provider.services.on_stream = streaming
        requests = [Message(b"")] if method == "List" else [Message(b""), Message(b"")]
        call = await two.consumer.run(FakeCall(method, *requests, HalfClose()))
        assert call.messages == [NAME] * len(requests)
        assert call.headers == ()
        assert [key for key, _ in call.trailers.metadata] == ["simpul-call-id"]


async def test_early_headers_are_masked_too() -> None:
    async def answer(request: OutboundRequest, message: Message) -> UnaryAnswer:
        del request, message
        two.provider.services.on_headers((("x-head", b"Budi"), ("x-known", b"1")))
        return UnaryAnswer((), Message(NAME), Trailers(0))

    async with pair() as two:
        agree(two, response_fields=names_only("Get/@x-known"))
        two.provider.services.on_unary = answer
        call = await two.consumer.run(unary(data=b""))
        assert call.headers == (("x-known", b"1"),)


async def test_a_request_is_masked_before_it_leaves() -> None:
    seen: list[bytes] = []
    async with pair() as two:
        agree(two, request_fields=names_only())
        two.provider.services.on_unary = answering(  # type: ignore[assignment]
            UnaryAnswer((), Message(b""), Trailers(0)), seen
        )
        await two.consumer.run(unary(data=NAME + KEEPER, metadata=(("x-app", b"Budi"),)))
        assert seen == [NAME]
        assert not [key for key, _ in two.provider.services.seen[0].metadata if key == "x-app"]


@pytest.mark.parametrize("careless", ["provider", "consumer"])
@pytest.mark.parametrize("streams", [False, True])
async def test_a_request_is_masked_by_each_node_even_if_the_other_does_not(
    careless: str, *, streams: bool
) -> None:
    seen: list[bytes] = []

    async def service(side: ServiceSide) -> None:
        while isinstance(event := await side.incoming.get(), Message):
            seen.append(event.data)
        await side.outgoing.put(Trailers(0))

    async with pair() as two:
        agree(two, request_fields=names_only())
        half: Half = getattr(two, careless)
        half.keeping.fields._known = _Everything()  # type: ignore[assignment]
        two.provider.services.on_stream = service
        two.provider.services.on_unary = answering(  # type: ignore[assignment]
            UnaryAnswer((), Message(b""), Trailers(0)), seen
        )
        method = "Watch" if streams else "Get"
        await two.consumer.run(FakeCall(method, Message(KEEPER + NAME), HalfClose()))
        assert seen == [NAME]


async def test_a_consumer_that_skips_its_own_check_gets_no_more() -> None:
    async with pair() as two:
        agree(two, response_fields=names_only())
        two.consumer.keeping.fields._known = _Everything()  # type: ignore[assignment]
        two.provider.services.on_unary = answering(  # type: ignore[assignment]
            UnaryAnswer((), Message(NAME + KEEPER), Trailers(0))
        )
        call = await two.consumer.run(unary(data=b""))
        assert call.messages == [NAME]


async def test_a_compressed_answer_is_unpacked_and_masked() -> None:
    async with pair() as two:
        agree(two, response_fields=names_only())
        two.provider.services.on_unary = answering(  # type: ignore[assignment]
            UnaryAnswer((), Message(gzip.compress(NAME + KEEPER), compressed=True), Trailers(0))
        )
        call = await two.consumer.run(unary(data=b""))
        assert call.sent[-2] == Message(NAME)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (Message(b"\x0a\x09x"), "MESSAGE_UNREADABLE"),
        (Message(b"neither", compressed=True), "MESSAGE_UNREADABLE"),
        (Message(gzip.compress(NAME)[:-9], compressed=True), "MESSAGE_UNREADABLE"),
        (Message(gzip.compress(bytes(64 * 1024 * 1024)), compressed=True), "MESSAGE_TOO_LARGE"),
    ],
)
async def test_what_cannot_be_read_does_not_pass(message: Message, code: str) -> None:
    async with pair() as two:
        agree(two, response_fields=names_only())
        two.provider.services.on_unary = answering(  # type: ignore[assignment]
            UnaryAnswer((), message, Trailers(0))
        )
        call = await two.consumer.run(unary(data=b""))
        assert call.messages == []
        assert call.error() == code


async def test_an_agreement_that_no_longer_fits_the_contract_permits_nothing() -> None:
    async with pair() as two:
        agree(two, response_fields=FieldTerm(("Get/price",)))
        call = await two.consumer.run(unary())
        assert call.error() == "ACCESS_FIELDS"
        assert not two.provider.services.seen
        assert not two.consumer.journal.records


@pytest.mark.parametrize(
    ("rate", "code"),
    [(RateTerm(1, 3, 0), "ACCESS_RATE"), (RateTerm(0, 0, 3), "ACCESS_QUOTA")],
)
async def test_so_many_calls_and_no_more(rate: RateTerm, code: str) -> None:
    async with pair() as two:
        agree(two, rate=rate)
        calls = await asyncio.gather(*(two.consumer.run(unary()) for _ in range(10)))
        assert sum(call.trailers.status == 0 for call in calls) == 3
        assert {call.error() for call in calls if call.trailers.status} == {code}
        # The consumer's node counts too: what would be refused has not travelled.
        assert len(two.provider.services.seen) == 3


@pytest.mark.parametrize("careless", ["provider", "consumer"])
async def test_each_node_counts_even_if_the_other_does_not(careless: str) -> None:
    async def endless(agreement: bytes, side: object, wanted: int) -> int:
        del agreement, side
        return wanted

    async with pair() as two:
        agree(two, rate=RateTerm(0, 0, 2))
        half: Half = getattr(two, careless)
        half.keeping.allowance._lease = endless
        calls = await asyncio.gather(*(two.consumer.run(unary()) for _ in range(6)))
        assert sum(call.trailers.status == 0 for call in calls) == 2
        assert {call.error() for call in calls if call.trailers.status} == {"ACCESS_QUOTA"}
        assert len(two.provider.services.seen) == 2


async def test_a_call_that_is_refused_for_another_reason_uses_nothing_up() -> None:
    async with pair() as two:
        agree(two, rate=RateTerm(0, 0, 1))
        refused = await two.consumer.run(unary(metadata=(("simpul-purpose", b"other"),)))
        assert refused.error() == "ACCESS_PURPOSE"
        assert (await two.consumer.run(unary())).trailers.status == 0


async def begun_call(two: Pair, method: str) -> tuple[FakeCall, asyncio.Task[FakeCall]]:
    """A call that the service has begun to answer, and doesn't end."""
    begun = asyncio.Event()

    async def streaming_on(side: ServiceSide) -> None:
        await side.outgoing.put(Message(NAME))
        begun.set()
        await side.cancelled.wait()

    async def unary_on(request: OutboundRequest, message: Message) -> UnaryAnswer:
        del request, message
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    two.provider.services.on_stream = streaming_on
    two.provider.services.on_unary = unary_on
    events = [Message(b"")] if method == "Watch" else [Message(b""), HalfClose()]
    call = FakeCall(method, *events)
    running = asyncio.create_task(two.consumer.run(call))
    async with asyncio.timeout(5):
        await begun.wait()
    return call, running


@pytest.mark.parametrize("method", ["Get", "List", "Watch"])
@pytest.mark.parametrize("where", ["provider", "consumer"])
async def test_a_call_under_way_ends_with_its_agreement(method: str, where: str) -> None:
    async with pair() as two:
        call, running = await begun_call(two, method)
        half: Half = getattr(two, where)
        snapshot = half.current.snapshot
        half.keeping.under_way.recheck(snapshot.agreements, snapshot.directory, fixed.NOW_MS)
        await asyncio.sleep(0.05)
        assert not running.done(), "it is in force still"
        half.agree()
        snapshot = half.current.snapshot
        half.keeping.under_way.recheck(snapshot.agreements, snapshot.directory, fixed.NOW_MS)
        async with asyncio.timeout(5):
            await running
        assert call.error() == "ACCESS_NO_AGREEMENT"
        assert call.trailers.status == 7
        async with asyncio.timeout(5):
            while two.provider.providing.open_calls:
                await asyncio.sleep(0.01)


async def test_a_call_under_way_ends_when_its_agreement_is_over() -> None:
    async with pair() as two:
        call, running = await begun_call(two, "Watch")
        over_ms = TERMS.valid_until_ms
        now = two.provider.current.snapshot
        two.provider.keeping.under_way.recheck(now.agreements, now.directory, over_ms - 1)
        await asyncio.sleep(0.05)
        assert not running.done()
        two.provider.keeping.under_way.recheck(now.agreements, now.directory, over_ms)
        async with asyncio.timeout(5):
            await running
        assert call.error() == "ACCESS_EXPIRED"


class _Everything(dict[object, object]):
    """Answers every question with: all fields."""

    def get(self, key: object, default: object = None) -> object:
        del key, default
        return ALL
