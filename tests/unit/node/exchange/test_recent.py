"""At most once: a call id that comes again is refused, whatever link it comes on."""

import asyncio
import tracemalloc

import pytest

from node.calls import HalfClose, Message, OutboundRequest, Trailers, UnaryAnswer, new_call_id
from node.exchange.recent import MAX_SKEW_MS, RecentCalls
from security.errors import Code, SimpulError
from tests.conformance import fixed
from tests.support.pair import WAIT_S, FakeCall, pair, unary

MAX_CALL_MS = 10_000
WINDOW_MS = MAX_CALL_MS + MAX_SKEW_MS
NOW_MS = fixed.NOW_MS


def call_id(at_ms: int = NOW_MS, number: int = 0) -> bytes:
    return new_call_id(at_ms, number.to_bytes(10, "big"))


def take(recent: RecentCalls, wanted: bytes, now_ms: int = NOW_MS, **who: object) -> str:
    try:
        member = who.get("member", fixed.MINISTRY)
        recent.take(member, wanted, now_ms)  # type: ignore[arg-type]
    except SimpulError as error:
        return error.code
    return ""


def test_an_id_is_taken_once() -> None:
    recent = RecentCalls(max_call_ms=MAX_CALL_MS)
    assert [take(recent, call_id()) for _ in range(3)] == ["", *[Code.CALL_REPEATED] * 2]
    assert take(recent, call_id(number=1)) == ""


def test_another_member_is_not_hindered() -> None:
    recent = RecentCalls(max_call_ms=MAX_CALL_MS)
    assert take(recent, call_id()) == ""
    assert take(recent, call_id(), member=fixed.REGENCY) == ""


def test_ids_are_forgotten_when_they_are_too_old_to_be_taken() -> None:
    recent = RecentCalls(max_call_ms=MAX_CALL_MS)
    assert take(recent, call_id()) == ""
    last_ms = NOW_MS + WINDOW_MS
    assert take(recent, call_id(), last_ms) == Code.CALL_REPEATED
    assert take(recent, call_id(last_ms + 1), last_ms + 1) == ""
    assert len(recent) == 1
    assert take(recent, call_id(), last_ms + 1) == Code.CALL_REPEATED


def test_the_newest_are_known_and_there_are_never_more_than_twice_the_bound() -> None:
    recent = RecentCalls(max_call_ms=MAX_CALL_MS, max_calls=3)
    for number in range(20):
        assert take(recent, call_id(number=number)) == ""
        assert len(recent) <= 6
        for known in range(max(0, number - 2), number + 1):
            assert take(recent, call_id(number=known)) == Code.CALL_REPEATED
    assert take(recent, call_id(number=0)) == ""


def test_many_are_all_known_and_take_little_memory() -> None:
    recent = RecentCalls(max_call_ms=MAX_CALL_MS)
    numbers = range(20_000)
    tracemalloc.start()
    try:
        assert {take(recent, call_id(number=number)) for number in numbers} == {""}
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert {take(recent, call_id(number=number)) for number in numbers} == {Code.CALL_REPEATED}
    # What is mapped is not among it: 8 bytes for each of twice MAX_CALLS, rounded up.
    assert used < 100_000


def test_what_the_journal_tells_is_known() -> None:
    recent = RecentCalls([(fixed.MINISTRY, call_id(), NOW_MS)], max_call_ms=MAX_CALL_MS)
    assert take(recent, call_id()) == Code.CALL_REPEATED


async def test_an_id_that_comes_again_reaches_no_service() -> None:
    async with pair() as two:
        same = call_id()
        two.consumer.consuming._new_call_id = lambda: same
        assert (await two.consumer.run(unary())).error() == ""
        # On the same link, and on one of its own.
        for again in (unary(), FakeCall("Watch", HalfClose())):
            call = await two.consumer.run(again)
            assert (call.error(), call.trailers.status) == (Code.CALL_REPEATED, 6)
        assert len(two.provider.services.seen) == 1
        # And on a new one, after the first has ended.
        for link in two.consumer.dialler.links:
            await link.finish()
        assert (await two.consumer.run(unary())).error() == Code.CALL_REPEATED
        assert len(two.provider.services.seen) == 1


async def test_an_id_of_long_ago_is_refused() -> None:
    async with pair() as two:
        two.consumer.consuming._new_call_id = lambda: call_id(NOW_MS - 3_600_000 - MAX_SKEW_MS - 1)
        assert (await two.consumer.run(unary())).error() == Code.CALL_REPEATED
        two.consumer.consuming._new_call_id = lambda: call_id(NOW_MS - 3_600_000)
        assert (await two.consumer.run(unary())).error() == ""


async def test_a_burst_does_not_pass_the_bound_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.exchange.providing.MAX_REQUEST_BYTES", 1000)
    release = asyncio.Event()

    async def answer(_: OutboundRequest, message: Message) -> UnaryAnswer:
        await release.wait()
        return UnaryAnswer((), message, Trailers(0))

    async with pair() as two:
        await two.consumer.run(unary(data=b""))
        two.provider.services.on_unary = answer
        calls = [unary(data=bytes(400)) for _ in range(50)]
        running = [asyncio.create_task(two.consumer.run(call)) for call in calls]
        async with asyncio.timeout(WAIT_S):
            while sum(task.done() for task in running) < 47:
                await asyncio.sleep(0.01)
        assert two.provider.providing.open_calls == 3
        release.set()
        await asyncio.gather(*running)
        assert sorted(call.error() for call in calls) == ["", "", "", *[Code.OVERLOADED] * 47]
        assert two.provider.providing._request_bytes == 0
