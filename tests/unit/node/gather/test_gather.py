"""Gathers through two nodes: one app, several regencies, real links and seals."""

from __future__ import annotations

import asyncio

import pytest

from node.calls import HalfClose, Message, OutboundRequest, Trailers, UnaryAnswer
from node.exchange.asks import MAX_KEPT_BYTES
from node.journal.model import CallNote, Direction
from security.entry import parse_entry
from security.errors import Code
from security.kinds import EntryKind, Open
from simpul.v1 import gather_pb2
from tests.conformance import fixed
from tests.support.pair import FakeCall, Pair, ServiceSide, pair
from tests.support.regions import asked_as, host, tourism

CODES = ("53.15", "53.16", "52.08")
HOSTED = [tourism(code).member for code in CODES]


def regions(text: str, *more: tuple[str, bytes], method: str = "List") -> FakeCall:
    """A call of `List` at many regions."""
    said = (("simpul-region", text.encode()), *more)
    return FakeCall(method, Message(b"q"), HalfClose(), to=None, metadata=said)


def answering(two: Pair, by_agreement: dict[str, str], *, dead: str = "") -> None:
    """Each region's service says its code twice; a dead one says nothing."""

    async def stream(side: ServiceSide) -> None:
        code = asked_as(side.request, by_agreement)
        if code == dead:
            return
        for _ in range(2):
            await side.outgoing.put(Message(code.encode()))
        await side.outgoing.put(Trailers(0))

    async def single(request: OutboundRequest, _: Message) -> UnaryAnswer:
        code = asked_as(request, by_agreement)
        if code == dead:
            return UnaryAnswer((), None, Trailers(5, "nothing here"))
        return UnaryAnswer((), Message(code.encode()), Trailers(0))

    two.provider.services.on_stream = stream
    two.provider.services.on_unary = single


def counts(call: FakeCall) -> tuple[str, ...]:
    """Parts, answered, missing, messages."""
    said = dict(call.trailers.metadata)
    names = ("parts", "answered", "missing", "messages")
    return tuple(said[f"simpul-gather-{name}"].decode() for name in names)


def opens(two: Pair) -> list[Open]:
    """The opens that the consumer sealed."""
    found = (
        parse_entry(sealed.entry).kind
        for record in two.consumer.journal.records
        for sealed in record.entries
    )
    return [kind for kind in found if isinstance(kind, Open)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", set(CODES)),
        ("53.*", {"53.15", "53.16"}),
        ("53.15, 52.08", {"53.15", "52.08"}),
        ("53.15,53.*,53.16", {"53.15", "53.16"}),
    ],
)
async def test_one_stream_of_all_regions_messages(text: str, expected: set[str]) -> None:
    async with pair(hosts=HOSTED) as two:
        answering(two, host(two, CODES))
        call = await two.consumer.run(regions(text))
        assert call.trailers.status == 0
        assert {data.decode() for data in call.messages} == expected
        number = len(expected)
        assert counts(call) == (str(number), str(number), "0", str(2 * number))
        gather_id = dict(call.headers)["simpul-gather-id"]
        assert dict(call.trailers.metadata)["simpul-gather-id"] == gather_id
        # Each part is a call of its own, under its own agreement, of one gather.
        made = opens(two)
        assert {str(kind.service.subsystem) for kind in made} == {
            str(tourism(code)) for code in expected
        }
        assert {kind.gather_id for kind in made} == {bytes.fromhex(gather_id.decode())}
        assert len({kind.agreement for kind in made}) == number
        # The service is told which gather it is a part of.
        seen = two.provider.services.seen[0]
        assert dict(seen.metadata)["simpul-gather-id"] == gather_id


async def test_a_part_s_request_goes_in_the_parcel_of_its_open() -> None:
    async with pair(hosts=HOSTED) as two:
        answering(two, host(two, CODES))
        call = await two.consumer.run(regions("*"))
        assert counts(call) == ("3", "3", "0", "6")
        parcels = [
            [parse_entry(sealed.entry).kind.kind for sealed in record.entries]
            for record in two.consumer.journal.records
            if record.direction is Direction.SENT and record.entries
        ]
        assert parcels == [[EntryKind.OPEN, EntryKind.MESSAGE, EntryKind.HALF_CLOSE]] * len(CODES)
        heard = [side.incoming for side in two.provider.services.sides]
        assert [each.get_nowait() for each in heard] == [Message(b"q")] * len(CODES)
        assert [each.get_nowait() for each in heard] == [HalfClose()] * len(CODES)


async def test_a_request_too_long_to_be_kept_follows_its_open() -> None:
    async with pair(hosts=HOSTED) as two:
        answering(two, host(two, CODES))
        call = regions("53.15", ("simpul-partial", b"ok"))
        call.incoming = asyncio.Queue()
        long = Message(bytes(MAX_KEPT_BYTES + 1))
        for event in (long, HalfClose()):
            call.incoming.put_nowait(event)
        await two.consumer.run(call)
        assert counts(call) == ("1", "1", "0", "2")
        assert two.provider.services.sides[0].incoming.get_nowait() == long


@pytest.mark.parametrize("partial", [True, False])
async def test_parts_without_agreement_say_so_and_the_others_go_on(partial: bool) -> None:
    async with pair(hosts=HOSTED) as two:
        answering(two, host(two, CODES, without=["53.16"]))
        more = (("simpul-partial", b"ok"),) if partial else ()
        call = await two.consumer.run(regions("*", *more))
        assert {data.decode() for data in call.messages} == {"53.15", "52.08"}
        assert counts(call) == ("3", "2", "1", "4")
        if partial:
            assert call.trailers.status == 0
        else:
            assert (call.trailers.status, call.error()) == (14, Code.GATHER_INCOMPLETE)
            assert "ACCESS_NO_AGREEMENT 1" in call.trailers.message
        (note,) = two.consumer.journal.notes
        assert isinstance(note, CallNote)
        assert (note.provider, note.code) == (str(tourism("53.16")), "ACCESS_NO_AGREEMENT")
        assert note.gather_id == opens(two)[0].gather_id


async def test_a_named_region_without_a_provider_is_missing() -> None:
    async with pair(hosts=HOSTED) as two:
        answering(two, host(two, CODES))
        call = await two.consumer.run(regions("53.15,53.99"))
        assert counts(call) == ("2", "1", "1", "2")
        (note,) = two.consumer.journal.notes
        assert isinstance(note, CallNote)
        assert (note.region, note.provider, note.code) == ("53.99", "", "REGION_UNSERVED")


async def test_partial_is_not_nothing() -> None:
    async with pair(hosts=HOSTED) as two:
        host(two, CODES, without=CODES)
        call = await two.consumer.run(regions("*", ("simpul-partial", b"ok")))
        assert (call.messages, call.error()) == ([], Code.GATHER_INCOMPLETE)


@pytest.mark.parametrize(
    ("text", "more", "method", "code"),
    [
        ("99.*", (), "List", Code.REGION_UNSERVED),
        ("53.99,53.98", (), "List", Code.REGION_UNSERVED),
        ("99.99,*x", (), "List", Code.ID_MALFORMED),
        (",", (), "List", Code.ID_MALFORMED),
        ("5*", (), "List", Code.ID_MALFORMED),
        ("*", (), "Get", Code.GATHER_METHOD),
        ("*", (), "Watch", Code.GATHER_METHOD),
        ("*", (), "Import", Code.GATHER_METHOD),
        ("*", (), "Nothing", Code.METHOD_UNKNOWN),
        ("*", (("simpul-partial", b"yes"),), "List", Code.METADATA_MALFORMED),
        ("*", (("simpul-gather-first", b"0"),), "List", Code.METADATA_MALFORMED),
        ("*", (("simpul-gather-first", b"-1"),), "List", Code.METADATA_MALFORMED),
        ("*", (("simpul-gather-part-ms", b"1s"),), "List", Code.METADATA_MALFORMED),
        ("*", (("simpul-to", str(fixed.TOURISM).encode()),), "List", Code.METADATA_MALFORMED),
        ("*", (("simpul-purpose", b"else"),), "List", Code.GATHER_INCOMPLETE),
    ],
)
async def test_what_can_t_be_gathered_is_refused(
    text: str, more: tuple[tuple[str, bytes], ...], method: str, code: Code
) -> None:
    async with pair(hosts=HOSTED) as two:
        answering(two, host(two, CODES))
        call = await two.consumer.run(regions(text, *more, method=method))
        assert call.error() == code
        assert two.provider.services.seen == []


async def test_terms_of_a_gather_need_regions() -> None:
    async with pair(hosts=HOSTED) as two:
        call = FakeCall("List", Message(b"q"), HalfClose(), metadata=(("simpul-partial", b"ok"),))
        assert (await two.consumer.run(call)).error() == Code.METADATA_MALFORMED


async def test_one_region_with_terms_is_a_gather_of_one() -> None:
    async with pair(hosts=HOSTED) as two:
        answering(two, host(two, CODES))
        call = await two.consumer.run(regions("53.15", ("simpul-partial", b"ok")))
        assert counts(call) == ("1", "1", "0", "2")


async def test_the_first_is_enough() -> None:
    async with pair(hosts=HOSTED) as two:
        answering(two, host(two, CODES), dead="53.15")
        call = await two.consumer.run(regions("*", ("simpul-gather-first", b"1")))
        assert (call.trailers.status, len(call.messages)) == (0, 2)
        assert counts(call)[1:3] == ("1", "0")


async def test_a_dead_region_ends_by_its_deadline_and_is_cancelled_there() -> None:
    async with pair(hosts=HOSTED) as two:
        answering(two, host(two, CODES), dead="53.16")
        call = await two.consumer.run(regions("*", ("simpul-gather-part-ms", b"200")))
        assert counts(call) == ("3", "2", "1", "4")
        assert "DEADLINE_EXCEEDED 1" in call.trailers.message
        async with asyncio.timeout(2):
            while sum(side.cancelled.is_set() for side in two.provider.services.sides) != 1:
                await asyncio.sleep(0.01)


async def test_when_the_app_goes_every_region_is_cancelled() -> None:
    async with pair(hosts=HOSTED) as two:
        host(two, CODES)
        call = regions("*")
        running = asyncio.create_task(two.consumer.run(call))
        async with asyncio.timeout(5):
            while len(two.provider.services.sides) < len(CODES):
                await asyncio.sleep(0.01)
            call.go_away()
            for side in two.provider.services.sides:
                await side.cancelled.wait()
        await running


def asked(**fields: object) -> FakeCall:
    """A call of `simpul.v1.Gather/Call`."""
    request = gather_pb2.GatherCallRequest(**fields)  # type: ignore[arg-type]  # any of its fields
    return FakeCall(
        "", Message(request.SerializeToString()), HalfClose(), to=None,
        path="/simpul.v1.Gather/Call",
    )  # fmt: skip


def responses(call: FakeCall) -> dict[str, gather_pb2.GatherCallResponse]:
    """The last response of each region."""
    parsed = map(gather_pb2.GatherCallResponse.FromString, call.messages)
    return {response.region: response for response in parsed}


async def test_single_answers_come_with_who_gave_them() -> None:
    async with pair(hosts=HOSTED) as two:
        answering(two, host(two, CODES, without=["53.16"]), dead="52.08")
        call = await two.consumer.run(
            asked(method="wisata.v1.Wisata/Get", regions=["*", "53.99"], request=b"q")
        )
        assert call.error() == Code.GATHER_INCOMPLETE
        found = responses(call)
        assert set(found) == {*CODES, "53.99"}
        good = found["53.15"]
        assert (good.provider, good.payload) == (str(tourism("53.15")), b"53.15")
        assert (good.end.status, good.end.messages, len(good.end.call_id)) == (0, 1, 32)
        no_agreement = found["53.16"]
        assert (no_agreement.end.code, no_agreement.provider) == (
            "ACCESS_NO_AGREEMENT",
            str(tourism("53.16")),
        )
        assert not no_agreement.HasField("payload")
        assert (found["52.08"].end.status, found["52.08"].end.message) == (5, "nothing here")
        assert (found["53.99"].provider, found["53.99"].end.code) == ("", "REGION_UNSERVED")


async def test_streamed_answers_come_with_who_gave_them() -> None:
    async with pair(hosts=HOSTED) as two:
        answering(two, host(two, CODES))
        call = await two.consumer.run(
            asked(method="wisata.v1.Wisata/List", regions=["53.*"], request=b"q")
        )
        assert call.trailers.status == 0
        parsed = [gather_pb2.GatherCallResponse.FromString(data) for data in call.messages]
        assert [r.payload for r in parsed if r.region == "53.15"] == [b"53.15", b"53.15", b""]
        assert sum(1 for r in parsed if r.HasField("end")) == 2


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"method": "wisata.v1.Wisata/Get"}, Code.METADATA_MALFORMED),
        ({"method": "Get", "regions": ["*"]}, Code.METHOD_UNKNOWN),
        ({"method": "wisata.v1.Wisata/Watch", "regions": ["*"]}, Code.GATHER_METHOD),
        ({"method": "a.B/Get", "regions": ["*"]}, Code.REGION_UNSERVED),
        (
            {"method": "wisata.v1.Wisata/Get", "regions": ["*"], "first": 100_000},
            Code.REQUEST_MALFORMED,
        ),
    ],
)
async def test_a_call_that_can_t_be_made_is_refused(fields: dict[str, object], code: Code) -> None:
    async with pair(hosts=HOSTED) as two:
        host(two, CODES)
        assert (await two.consumer.run(asked(**fields))).error() == code


async def test_garbage_is_no_request() -> None:
    async with pair(hosts=HOSTED) as two:
        for method in ("Call", "Report"):
            call = FakeCall(
                "", Message(b"\xff"), HalfClose(), to=None, path=f"/simpul.v1.Gather/{method}"
            )
            assert (await two.consumer.run(call)).error() == Code.REQUEST_MALFORMED


@pytest.mark.parametrize(
    ("gather_id", "code"),
    [("xy", Code.ID_MALFORMED), ("ab" * 15, Code.ID_MALFORMED), ("ab" * 16, Code.GATHER_UNKNOWN)],
)
async def test_a_report_on_what_was_never_gathered(gather_id: str, code: Code) -> None:
    async with pair(hosts=HOSTED) as two:
        request = gather_pb2.GatherReportRequest(gather_id=gather_id).SerializeToString()
        call = FakeCall("", Message(request), HalfClose(), to=None, path="/simpul.v1.Gather/Report")
        assert (await two.consumer.run(call)).error() == code
