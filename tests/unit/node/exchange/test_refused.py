"""Calls that a node refuses to its own apps are recorded like any other, before the app is told."""

import asyncio
from collections.abc import Callable

import pytest

from node.calls import HalfClose, Message
from node.exchange.refused import UNPROVEN_BURST
from node.journal.model import CallNote, LinkNote
from node.model import Snapshot
from node.policy.apps import AppBook, AppCredential, token_hash
from security.errors import Code, SimpulError
from security.identifiers import SubsystemId
from tests.conformance import fixed
from tests.support.pair import WAIT_S, FakeCall, Half, Pair, pair, unary

TOKEN = "simpul_app_test"
NOWHERE = SubsystemId.parse("ID/DAERAH/99.99/pariwisata")


def notes(half: Half) -> list[CallNote]:
    return [note for note in half.journal.notes if isinstance(note, CallNote)]


def without_loopback(half: Half) -> None:
    """From now on its apps need a token, and one has it."""
    old = half.current.snapshot
    app = AppCredential("super-app", (fixed.SUPER_APP,), token_sha256=token_hash(TOKEN))
    half.current.replace(Snapshot(old.directory, old.agreements, AppBook((app,)), old.targets))


def unrecorded(half: Half, why: str) -> float:
    name = "simpul_calls_unrecorded_total"
    return half.registry.get_sample_value(name, {"why": why}) or 0.0


Prepare = Callable[[Pair], object]


def nothing(_: Pair) -> None:
    """All is as it should be, but the call."""


REFUSED: dict[str, tuple[Prepare, Callable[[], FakeCall], Code, tuple[str, str]]] = {
    "no agreement": (
        lambda two: two.consumer.agree(),
        unary,
        Code.ACCESS_NO_AGREEMENT,
        (str(fixed.TOURISM), "Get"),
    ),
    "unknown provider": (
        nothing,
        lambda: unary(to=NOWHERE),
        Code.MEMBER_UNKNOWN,
        (str(NOWHERE), "Get"),
    ),
    "unknown service": (
        nothing,
        lambda: FakeCall(path="/other.v1.Other/Get"),
        Code.SERVICE_UNKNOWN,
        (str(fixed.TOURISM), "Get"),
    ),
    "unknown method": (
        nothing,
        lambda: FakeCall("Drop"),
        Code.METHOD_UNKNOWN,
        (str(fixed.TOURISM), "Drop"),
    ),
    "no path of gRPC's": (
        nothing,
        lambda: FakeCall(path="/-/'; drop"),
        Code.ID_MALFORMED,
        (str(fixed.TOURISM), ""),
    ),
    "no address": (nothing, lambda: unary(to=None), Code.ADDRESS_MISSING, ("", "Get")),
    "malformed metadata": (
        nothing,
        lambda: unary(metadata=(("simpul-x", b"1"),)),
        Code.METADATA_MALFORMED,
        ("", "Get"),
    ),
    "supervisor lost": (
        lambda two: two.consumer.current.suspend(),
        unary,
        Code.SUPERVISOR_LOST,
        (str(fixed.TOURISM), "Get"),
    ),
    "deadline before the request is complete": (
        nothing,
        lambda: FakeCall("Get", deadline_left_ms=20),
        Code.DEADLINE_EXCEEDED,
        (str(fixed.TOURISM), "Get"),
    ),
    "two messages": (
        nothing,
        lambda: FakeCall("Get", Message(b"1"), Message(b"2"), HalfClose()),
        Code.REQUEST_MALFORMED,
        (str(fixed.TOURISM), "Get"),
    ),
    "too much metadata": (
        nothing,
        lambda: unary(metadata=(("x-much", b"x" * 100_000),)),
        Code.METADATA_TOO_LARGE,
        (str(fixed.TOURISM), "Get"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_each_is_recorded_with_its_code(name: str) -> None:
    prepare, make, code, (provider, method) = REFUSED[name]
    async with pair() as two:
        prepare(two)
        call = await two.consumer.run(make())
        assert call.error() == code
        (note,) = notes(two.consumer)
        assert (note.code, note.status) == (code, call.trailers.status)
        assert note.call_id.hex().encode() == dict(call.trailers.metadata)["simpul-call-id"]
        assert (note.consumer, note.provider) == (str(fixed.SUPER_APP), provider)
        assert note.method == method
        assert two.consumer.journal.records == []


async def test_a_peer_that_is_down_is_recorded_with_the_agreement() -> None:
    async with pair() as two:

        async def down(*_: object) -> object:
            raise SimpulError(Code.PEER_UNREACHABLE, "it is down")

        two.consumer.dialler.shared = down  # type: ignore[assignment,method-assign]
        await two.consumer.run(unary())
        (note,) = notes(two.consumer)
        assert (note.code, note.purpose) == (Code.PEER_UNREACHABLE, "layanan-wisata")
        assert note.agreement is not None


async def test_what_the_provider_refuses_needs_no_note() -> None:
    async with pair() as two:
        two.provider.agree()
        call = await two.consumer.run(unary())
        assert call.error() == Code.ACCESS_NO_AGREEMENT
        assert two.consumer.journal.notes == []


async def test_the_app_is_told_when_the_note_is_durable_and_not_before() -> None:
    async with pair() as two:
        two.consumer.agree()
        two.consumer.journal.hold()
        call = unary()
        running = asyncio.create_task(two.consumer.run(call))
        async with asyncio.timeout(WAIT_S):
            while not notes(two.consumer):
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        assert call.sent == []
        two.consumer.journal.release()
        await running
        assert call.error() == Code.ACCESS_NO_AGREEMENT


async def test_refusals_at_once_wait_for_the_disk_together() -> None:
    async with pair() as two:
        two.consumer.agree()
        appends = 0
        append = two.consumer.journal.append_nowait

        def counted(*items: object) -> asyncio.Future[None]:
            nonlocal appends
            appends += 1
            return append(*items)  # type: ignore[arg-type]

        two.consumer.journal.append_nowait = counted  # type: ignore[method-assign,assignment]
        await asyncio.gather(*(two.consumer.run(unary()) for _ in range(200)))
        assert len(notes(two.consumer)) == 200
        assert appends < 20


async def test_where_the_journal_takes_nothing_the_app_is_told_all_the_same() -> None:
    async with pair() as two:
        two.consumer.agree()
        two.consumer.journal.error = SimpulError(Code.JOURNAL_FULL, "no room")
        call = await two.consumer.run(unary())
        assert call.error() == Code.ACCESS_NO_AGREEMENT
        assert unrecorded(two.consumer, "journal") == 1


async def test_callers_who_prove_nothing_are_recorded_as_a_sample() -> None:
    async with pair() as two:
        without_loopback(two.consumer)
        for token in (None, "wrong"):
            for _ in range(50):
                call = await two.consumer.run(unary(token=token))
                assert call.trailers.status == 16
        sample = notes(two.consumer)
        assert len(sample) == UNPROVEN_BURST
        assert {note.consumer for note in sample} == {""}
        assert unrecorded(two.consumer, "unproven") == 100 - UNPROVEN_BURST
        # And whoever proves something is recorded, whatever they do.
        two.consumer.agree()
        without_loopback(two.consumer)
        for _ in range(30):
            await two.consumer.run(unary(token=TOKEN))
        assert len(notes(two.consumer)) == UNPROVEN_BURST + 30


async def test_what_the_gateway_turns_away_has_an_id_and_a_record() -> None:
    async with pair() as two:
        call = unary()
        await two.consumer.consuming.turn_away(call, SimpulError(Code.OVERLOADED, "full"))
        (note,) = notes(two.consumer)
        assert (note.code, note.consumer) == (Code.OVERLOADED, str(fixed.SUPER_APP))
        assert note.call_id.hex().encode() == dict(call.trailers.metadata)["simpul-call-id"]


async def test_what_the_node_answers_itself_is_no_call() -> None:
    async with pair() as two:
        call = FakeCall(path="/grpc.health.v1.Health/Check")
        call.incoming.put_nowait(HalfClose())
        await two.consumer.run(call)
        assert call.error() == Code.REQUEST_MALFORMED
        assert notes(two.consumer) == []


async def test_a_lost_call_is_told_when_its_loss_is_durable() -> None:
    async with pair() as two:
        await two.consumer.run(unary())
        called = asyncio.Event()

        async def hang(*_: object) -> object:
            called.set()
            return await asyncio.Event().wait()

        two.provider.services.on_unary = hang  # type: ignore[assignment]
        call = unary()
        running = asyncio.create_task(two.consumer.run(call))
        await called.wait()
        two.consumer.journal.hold()
        (link,) = two.consumer.dialler.links
        link.cut()
        async with asyncio.timeout(WAIT_S):
            while not two.consumer.journal.notes:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        assert call.sent == []
        two.consumer.journal.release()
        await running
        assert call.error() == Code.OUTCOME_UNKNOWN
        for half in (two.consumer, two.provider):
            async with asyncio.timeout(WAIT_S):
                while not half.journal.notes:
                    await asyncio.sleep(0.001)
            (note,) = half.journal.notes
            assert isinstance(note, LinkNote)
            assert note.link_id == link.context.link_id


async def test_a_loss_that_finds_no_room_is_noted_when_there_is_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.link.notes.RETRY_S", 0.05)
    async with pair() as two:
        await two.consumer.run(unary())
        called = asyncio.Event()

        async def hang(*_: object) -> object:
            called.set()
            return await asyncio.Event().wait()

        two.provider.services.on_unary = hang  # type: ignore[assignment]
        running = asyncio.create_task(two.consumer.run(unary()))
        await called.wait()
        two.consumer.journal.error = SimpulError(Code.JOURNAL_FULL, "no room")
        (link,) = two.consumer.dialler.links
        link.cut()
        await running
        assert unrecorded(two.consumer, "journal") == 1
        assert two.consumer.journal.notes == []
        two.consumer.journal.error = None
        async with asyncio.timeout(WAIT_S):
            while not two.consumer.journal.notes:
                await asyncio.sleep(0.01)
