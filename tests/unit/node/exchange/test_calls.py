"""Calls through two nodes' exchanges: all four kinds, both ways they can end."""

import asyncio

import pytest

from node.calls import (
    HalfClose,
    Headers,
    Message,
    OutboundRequest,
    RequestEvent,
    Trailers,
    UnaryAnswer,
)
from node.journal.model import Direction
from security.errors import Code, SimpulError
from security.limits import Limits
from tests.conformance import fixed
from tests.support.pair import FakeCall, Pair, ServiceSide, pair, unary


async def test_unary() -> None:
    async def answer(request: OutboundRequest, message: Message) -> UnaryAnswer:
        assert message.data == b"question"
        return UnaryAnswer(
            (("x-head", b"1"),), Message(b"answer"), Trailers(0, "", (("x-tail", b"2"),))
        )

    async with pair() as two:
        two.provider.services.on_unary = answer
        call = await two.consumer.run(unary())
        assert call.headers == (("x-head", b"1"),)
        assert call.messages == [b"answer"]
        assert call.trailers.status == 0
        assert call.trailers.metadata[0] == ("x-tail", b"2")
        assert call.trailers.metadata[1][0] == "simpul-call-id"


async def test_what_the_service_sees() -> None:
    async with pair() as two:
        extra = (("x-app", b"a"), ("x-app", b"b"), ("simpul-user", b"budi"))
        await two.consumer.run(unary(metadata=extra))
        seen = two.provider.services.seen[0]
        assert seen.path == f"/{fixed.SERVICE}/Get"
        assert [value for key, value in seen.metadata if key == "x-app"] == [b"a", b"b"]
        said = dict(seen.metadata)
        assert said["simpul-from"] == str(fixed.SUPER_APP).encode()
        assert said["simpul-user"] == b"budi"
        assert said["simpul-purpose"] == b"layanan-wisata"
        assert len(said["simpul-agreement"]) == 64
        assert "simpul-to" not in said


async def test_a_status_passes_as_it_is() -> None:
    async def answer(request: OutboundRequest, message: Message) -> UnaryAnswer:
        return UnaryAnswer((), None, Trailers(5, "tidak ada: 50% é", (("x-why", b"gone"),)))

    async with pair() as two:
        two.provider.services.on_unary = answer
        call = await two.consumer.run(unary())
        assert (call.trailers.status, call.trailers.message) == (5, "tidak ada: 50% é")
        assert call.messages == []
        assert call.error() == ""


async def test_server_stream() -> None:
    async def stream(side: ServiceSide) -> None:
        assert await side.incoming.get() == Message(b"all")
        assert await side.incoming.get() == HalfClose()
        await side.outgoing.put(Headers((("x-early", b"1"),)))
        for number in range(300):
            await side.outgoing.put(Message(b"%d" % number))
        await side.outgoing.put(Trailers(0))

    async with pair() as two:
        two.provider.services.on_stream = stream
        call = await two.consumer.run(FakeCall("List", Message(b"all"), HalfClose()))
        assert call.headers == (("x-early", b"1"),)
        assert call.messages == [b"%d" % number for number in range(300)]
        assert call.trailers.status == 0


async def test_client_stream() -> None:
    async def stream(side: ServiceSide) -> None:
        count = 0
        while await side.incoming.get() != HalfClose():
            count += 1
        await side.outgoing.put(Headers())
        await side.outgoing.put(Message(b"%d" % count))
        await side.outgoing.put(Trailers(0))

    async with pair() as two:
        two.provider.services.on_stream = stream
        events = [Message(b"x" * 1000)] * 500
        call = await two.consumer.run(FakeCall("Import", *events, HalfClose()))
        assert call.messages == [b"500"]


async def test_both_stream_in_full_duplex() -> None:
    async def stream(side: ServiceSide) -> None:
        while isinstance(event := await side.incoming.get(), Message):
            await side.outgoing.put(Message(event.data.upper()))
        await side.outgoing.put(Trailers(0, "", (("x-tail", b"end"),)))

    async with pair() as two:
        two.provider.services.on_stream = stream
        call = FakeCall("Watch")
        running = asyncio.create_task(two.consumer.run(call))
        for word in (b"satu", b"dua", b"tiga"):
            call.incoming.put_nowait(Message(word))
            async with asyncio.timeout(2):
                while call.messages[-1:] != [word.upper()]:
                    await asyncio.sleep(0.001)
        call.incoming.put_nowait(HalfClose())
        await running
        assert call.trailers.status == 0


async def test_empty_messages_and_empty_streams() -> None:
    async def stream(side: ServiceSide) -> None:
        assert await side.incoming.get() == HalfClose()
        await side.outgoing.put(Trailers(0))

    async with pair() as two:
        two.provider.services.on_stream = stream
        assert (await two.consumer.run(FakeCall("Watch", HalfClose()))).messages == []
        assert (await two.consumer.run(unary(data=b""))).messages == [b""]


async def test_many_calls_at_once_share_parcels() -> None:
    async with pair() as two:
        await two.consumer.run(unary())
        before = len(two.consumer.journal.records)
        calls = await asyncio.gather(*(two.consumer.run(unary()) for _ in range(200)))
        assert all(call.trailers.status == 0 for call in calls)
        parcels = len(two.consumer.journal.records) - before
        assert parcels < 100


async def test_both_sides_record_the_same_parcels() -> None:
    async with pair() as two:
        await two.consumer.run(unary())
        await two.consumer.run(unary())

        def hashes(two: Pair, *, sent_by_consumer: bool) -> tuple[list[bytes], list[bytes]]:
            ours = Direction.SENT if sent_by_consumer else Direction.RECEIVED
            theirs = Direction.RECEIVED if sent_by_consumer else Direction.SENT
            return (
                [r.header_hash for r in two.consumer.journal.records if r.direction is ours],
                [r.header_hash for r in two.provider.journal.records if r.direction is theirs],
            )

        for way in (True, False):
            ours, theirs = hashes(two, sent_by_consumer=way)
            assert ours == theirs != []


@pytest.mark.parametrize(
    ("call", "code", "status"),
    [
        (unary(to=None), Code.ADDRESS_MISSING, 3),
        (FakeCall("Nope", Message(b""), HalfClose()), Code.METHOD_UNKNOWN, 12),
        (unary(path="/other.v1.Service/Get"), Code.SERVICE_UNKNOWN, 12),
        (unary(path="/nothing"), Code.METHOD_UNKNOWN, 12),
        (unary(token="simpul_app_wrong"), Code.APP_CREDENTIAL_WRONG, 16),
        (FakeCall("Get", HalfClose()), Code.REQUEST_MALFORMED, 3),
        (FakeCall("Get", Message(b""), Message(b"")), Code.REQUEST_MALFORMED, 3),
        (unary(metadata=(("simpul-call-id", b"x"),)), Code.METADATA_MALFORMED, 3),
        (unary(metadata=(("simpul-purpose", b"lain"),)), Code.ACCESS_PURPOSE, 7),
        (unary(metadata=(("simpul-user", b"a" * 1025),)), Code.METADATA_MALFORMED, 3),
        (unary(metadata=(("simpul-issue", b"a" * 1025),)), Code.METADATA_MALFORMED, 3),
    ],
)
async def test_refused_here_before_any_traffic(call: FakeCall, code: Code, status: int) -> None:
    async with pair() as two:
        await two.consumer.run(call)
        assert (call.error(), call.trailers.status) == (code, status)
        assert "simpul-call-id" in dict(call.trailers.metadata)
        assert two.provider.journal.records == []


async def test_a_method_that_no_agreement_names() -> None:
    async with pair() as two:
        two.consumer.agree("List")
        assert (await two.consumer.run(unary())).error() == Code.ACCESS_METHOD
        two.consumer.agree()
        assert (await two.consumer.run(unary())).error() == Code.ACCESS_NO_AGREEMENT
        assert two.provider.journal.records == []


async def test_no_agreement_is_refused_by_the_provider_too() -> None:
    async with pair() as two:
        two.provider.agree()
        call = await two.consumer.run(unary())
        assert call.error() == Code.ACCESS_NO_AGREEMENT
        assert call.trailers.status == 7
        assert two.provider.services.seen == []
        # The refusal is sealed, and in both journals.
        assert len(two.consumer.journal.records) == len(two.provider.journal.records) == 2


async def test_the_provider_acts_only_on_what_is_durable() -> None:
    async with pair() as two:
        await two.consumer.run(unary())
        two.provider.journal.hold()
        call = unary()
        running = asyncio.create_task(two.consumer.run(call))
        await asyncio.sleep(0.2)
        assert len(two.provider.services.seen) == 1
        two.provider.journal.release()
        await running
        assert len(two.provider.services.seen) == 2


async def test_the_answer_is_durable_before_it_is_sent() -> None:
    gate = asyncio.Event()

    async def answer(request: OutboundRequest, message: Message) -> UnaryAnswer:
        await gate.wait()
        return UnaryAnswer((), Message(b"answer"), Trailers(0))

    async with pair() as two:
        two.provider.services.on_unary = answer
        call = unary()
        running = asyncio.create_task(two.consumer.run(call))
        async with asyncio.timeout(2):
            while not two.provider.services.seen:
                await asyncio.sleep(0.001)
        two.provider.journal.hold()
        gate.set()
        await asyncio.sleep(0.2)
        received = [r for r in two.consumer.journal.records if r.direction is Direction.RECEIVED]
        assert received == []
        two.provider.journal.release()
        await running
        assert call.messages == [b"answer"]


async def test_the_app_is_told_only_what_is_durable() -> None:
    async with pair() as two:
        await two.consumer.run(unary())
        two.consumer.journal.hold()
        call = unary()
        running = asyncio.create_task(two.consumer.run(call))
        await asyncio.sleep(0.2)
        # The question travelled while this node's own commit ran, and the answer came back.
        assert len(two.provider.services.seen) == 2
        assert call.sent == []
        two.consumer.journal.release()
        await running
        assert call.trailers.status == 0


async def test_a_deadline_is_kept_and_told() -> None:
    gone = asyncio.Event()

    async def answer(request: OutboundRequest, message: Message) -> UnaryAnswer:
        assert request.timeout_ms is not None
        assert 0 < request.timeout_ms <= 100
        try:
            await asyncio.sleep(5)
        finally:
            gone.set()
        raise AssertionError

    async with pair() as two:
        two.provider.services.on_unary = answer
        call = await two.consumer.run(unary(deadline_left_ms=100))
        assert call.trailers.status == 4
        assert call.error() == Code.DEADLINE_EXCEEDED
        async with asyncio.timeout(1):
            await gone.wait()


async def test_an_app_that_goes_away_cancels_the_service() -> None:
    started, gone = asyncio.Event(), asyncio.Event()

    async def answer(request: OutboundRequest, message: Message) -> UnaryAnswer:
        started.set()
        try:
            await asyncio.sleep(5)
        finally:
            gone.set()
        raise AssertionError

    async with pair() as two:
        two.provider.services.on_unary = answer
        call = unary()
        running = asyncio.create_task(two.consumer.run(call))
        await started.wait()
        call.go_away()
        async with asyncio.timeout(1):
            await gone.wait()
            await running
            while two.provider.providing.open_calls:
                await asyncio.sleep(0.001)


async def test_a_stream_that_the_app_leaves_is_cancelled() -> None:
    async def stream(side: ServiceSide) -> None:
        while True:
            await side.outgoing.put(Message(b"more"))

    async with pair() as two:
        two.provider.services.on_stream = stream
        call = FakeCall("Watch")
        running = asyncio.create_task(two.consumer.run(call))
        async with asyncio.timeout(2):
            while len(call.messages) < 10:
                await asyncio.sleep(0.001)
        call.go_away()
        async with asyncio.timeout(2):
            await two.provider.services.sides[0].cancelled.wait()
            await running
        for task in two.provider.services.tasks:
            task.cancel()


async def test_a_slow_app_slows_the_service() -> None:
    sent = 0

    async def stream(side: ServiceSide) -> None:
        nonlocal sent
        for _ in range(2000):
            await side.outgoing.put(Message(bytes(16 * 1024)))
            sent += 1
        await side.outgoing.put(Trailers(0))

    async with pair() as two:
        two.provider.services.on_stream = stream
        call = FakeCall("Watch", HalfClose())
        call.slow = asyncio.Event()
        running = asyncio.create_task(two.consumer.run(call))
        await asyncio.sleep(1)
        assert sent < 1500
        call.slow.set()
        async with asyncio.timeout(20):
            await running
        assert len(call.messages) == 2000


@pytest.mark.parametrize("code", [Code.JOURNAL_FULL, Code.OVERLOADED])
async def test_what_a_journal_does_not_take_now_is_refused_and_the_node_goes_on(code: Code) -> None:
    async with pair() as two:
        two.consumer.journal.error = SimpulError(code, "not now")
        call = await two.consumer.run(unary())
        assert (call.error(), call.trailers.status) == (code, 8)
        two.consumer.journal.error = None
        assert (await two.consumer.run(unary())).error() == ""


async def test_a_link_ends_with_a_gap_in_its_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    # The peer's receipt would meet the full journal too, and end the link by itself.
    monkeypatch.setattr("node.link.receipts.AFTER_S", 600.0)
    go_on = asyncio.Event()

    async def wait(request: OutboundRequest, message: Message) -> UnaryAnswer:
        # As would the answer.
        await go_on.wait()
        return UnaryAnswer((), Message(b"answer"), Trailers(0))

    async with pair() as two:
        two.provider.services.on_unary = wait
        two.consumer.journal.error = SimpulError(Code.JOURNAL_FULL, "not now")
        async with asyncio.timeout(2):
            assert (await two.consumer.run(unary())).error() == Code.JOURNAL_FULL
        two.consumer.journal.error = None
        go_on.set()
        assert (await two.consumer.run(unary())).error() == ""
        # On a link of its own: in the other's chain a parcel would be missing.
        sent = [each for each in two.consumer.journal.records if each.direction is Direction.SENT]
        assert sent[0].number == 0


async def test_a_journal_that_fails_for_good_ends_the_sealer() -> None:
    async with pair() as two:
        two.consumer.journal.error = SimpulError(Code.JOURNAL_FAILED, "the disk failed")
        with pytest.raises(SimpulError, match="disk failed"):
            async with asyncio.timeout(2):
                running = asyncio.create_task(two.consumer.run(unary()))
                await two.consumer.sealing
        running.cancel()
        assert two.provider.services.seen == []


SMALL = Limits(max_message_bytes=1000, max_metadata_bytes=1000)


async def test_messages_up_to_the_limit_pass_and_one_byte_more_does_not() -> None:
    async with pair(limits=SMALL) as two:
        assert (await two.consumer.run(unary(data=bytes(1000)))).trailers.status == 0
        call = await two.consumer.run(unary(data=bytes(1001)))
        assert (call.error(), call.trailers.status) == (Code.MESSAGE_TOO_LARGE, 8)
        assert "1001 bytes" in call.trailers.message
        assert "1000" in call.trailers.message
        # The link goes on.
        assert (await two.consumer.run(unary())).trailers.status == 0


async def test_an_answer_past_the_limit() -> None:
    async def answer(request: OutboundRequest, message: Message) -> UnaryAnswer:
        return UnaryAnswer((), Message(bytes(1001)), Trailers(0))

    async with pair(limits=SMALL) as two:
        two.provider.services.on_unary = answer
        call = await two.consumer.run(unary())
        assert (call.error(), call.trailers.status) == (Code.MESSAGE_TOO_LARGE, 8)


async def test_metadata_past_the_limit() -> None:
    async with pair(limits=SMALL) as two:
        call = await two.consumer.run(unary(metadata=(("x-long", b"a" * 1000),)))
        assert (call.error(), call.trailers.status) == (Code.METADATA_TOO_LARGE, 8)


async def test_a_streamed_message_past_the_limit_ends_the_call_on_both_sides() -> None:
    async def stream(side: ServiceSide) -> None:
        await side.outgoing.put(Message(bytes(1000)))
        await side.outgoing.put(Message(bytes(1001)))
        await side.cancelled.wait()

    async with pair(limits=SMALL) as two:
        two.provider.services.on_stream = stream
        call = await two.consumer.run(FakeCall("List", Message(b""), HalfClose()))
        assert call.messages == [bytes(1000)]
        assert (call.error(), call.trailers.status) == (Code.MESSAGE_TOO_LARGE, 8)
        call = await two.consumer.run(FakeCall("Watch", Message(bytes(1001))))
        assert (call.error(), call.trailers.status) == (Code.MESSAGE_TOO_LARGE, 8)
        async with asyncio.timeout(2):
            for side in two.provider.services.sides:
                await side.cancelled.wait()


async def test_a_node_that_stops_begins_no_call() -> None:
    async with pair() as two:
        await two.provider.providing.drain()
        call = await two.consumer.run(unary())
        assert (call.error(), call.trailers.status) == (Code.NODE_DRAINING, 14)
        assert two.provider.services.seen == []


async def test_a_stream_that_breaks_off_with_a_bad_message() -> None:
    class Broken(FakeCall):
        async def receive(self) -> RequestEvent:
            event = await super().receive()
            if event == Message(b"bad"):
                raise SimpulError(Code.REQUEST_MALFORMED, "no message; send gRPC's framing")
            return event

    async with pair() as two:
        call = Broken("Watch", Message(b"good"))
        running = asyncio.create_task(two.consumer.run(call))
        async with asyncio.timeout(2):
            while not two.provider.services.sides:
                await asyncio.sleep(0.001)
        call.incoming.put_nowait(Message(b"bad"))
        await running
        assert (call.error(), call.trailers.status) == (Code.REQUEST_MALFORMED, 3)
        async with asyncio.timeout(2):
            while not two.provider.services.sides:
                await asyncio.sleep(0.001)
            await two.provider.services.sides[0].cancelled.wait()


async def test_a_worker_without_its_supervisor_begins_nothing_and_ends_what_it_has() -> None:
    async def shout(side: ServiceSide) -> None:
        while isinstance(event := await side.incoming.get(), Message):
            await side.outgoing.put(Message(event.data.upper()))
        await side.outgoing.put(Trailers(0))

    async with pair() as two:
        two.provider.services.on_stream = shout
        under_way = FakeCall("Watch", Message(b"satu"))
        running = asyncio.create_task(two.consumer.run(under_way))
        async with asyncio.timeout(2):
            while not under_way.messages:
                await asyncio.sleep(0.001)
        two.provider.current.suspend()
        assert (await two.consumer.run(unary())).error() == Code.SUPERVISOR_LOST
        two.consumer.current.suspend()
        assert (await two.consumer.run(unary())).error() == Code.SUPERVISOR_LOST
        under_way.incoming.put_nowait(Message(b"dua"))
        under_way.incoming.put_nowait(HalfClose())
        await running
        assert under_way.messages == [b"SATU", b"DUA"]
        assert under_way.trailers.status == 0
