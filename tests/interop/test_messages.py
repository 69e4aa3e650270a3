"""Messages: none, empty, many, large; half-close and full duplex; and one byte too many."""

import asyncio
from functools import partial

import pytest

from tests.interop.calling import ask, channel, finish, gather_some, start
from tests.interop.federation import Ways
from tests.interop.probe import KINDS, SERVICE, Side

kinds = pytest.mark.parametrize("kind", KINDS)

LIMIT = 16 * 1024 * 1024
# Where payloads change their way, and the limit.
SIZES = (0, 1, 5, 16_384, 65_531, 65_536, 65_537, 262_144, 262_145, 1_048_577, 4 * 1024 * 1024 + 1)


async def echo(side: Side) -> None:
    """Answers what comes."""
    while (message := await side.read()) is not None:
        await side.write(message)


@kinds
@pytest.mark.parametrize("size", SIZES)
async def test_every_size_up_to_the_limit(ways: Ways, kind: str, size: int) -> None:
    name = ways.probe.behave(echo)
    data = bytes(range(256)) * (size // 256 + 1)
    found = await ask(ways.nodes, kind, name, data[:size])
    assert (found.code, found.details) == (0, "")
    assert found.messages == (data[:size],)


@kinds
async def test_the_largest_message(ways: Ways, kind: str) -> None:
    name = ways.probe.behave(echo)
    found = await ask(ways.nodes, kind, name, bytes(LIMIT))
    assert (found.code, found.details, len(found.messages[0])) == (0, "", LIMIT)


@kinds
async def test_a_request_one_byte_past_the_limit(ways: Ways, kind: str) -> None:
    name = ways.probe.behave(echo)
    found = await ask(ways.nodes, kind, name, bytes(LIMIT + 1), timeout_s=5)
    assert (found.code, found.value("simpul-error")) == (8, "MESSAGE_TOO_LARGE")
    assert "from the app" in found.details
    assert str(LIMIT) in found.details
    ways.nothing_is_left()


@kinds
async def test_an_answer_one_byte_past_the_limit(ways: Ways, kind: str) -> None:
    async def behave(side: Side) -> None:
        await side.read_all()
        await side.write(bytes(LIMIT + 1))

    name = ways.probe.behave(behave)
    found = await ask(ways.nodes, kind, name, b"x", timeout_s=5)
    assert (found.code, found.value("simpul-error")) == (8, "MESSAGE_TOO_LARGE")
    assert "from the service" in found.details
    assert str(LIMIT) in found.details
    ways.nothing_is_left()


async def test_a_later_message_past_the_limit_ends_the_call(ways: Ways) -> None:
    name = ways.probe.behave(echo)
    async with channel(ways.nodes) as opened:
        call = start(opened, ways.nodes, "BidiStream", name, timeout_s=5)
        await call.write(b"small")
        assert await call.read() == b"small"
        found = await finish(call, [bytes(LIMIT + 1)])
        assert (found.code, found.value("simpul-error")) == (8, "MESSAGE_TOO_LARGE")
    (side,) = ways.probe.wait(name)
    assert side.received == [b"small"]
    ways.nothing_is_left()


async def test_empty_streams_and_empty_messages(ways: Ways) -> None:
    name = ways.probe.behave(echo)
    for way in ways.both:
        for kind in ("ClientStream", "BidiStream"):
            found = await ask(way, kind, name)
            assert (found.code, found.messages) == (0, ())
            found = await ask(way, kind, name, b"", b"", b"")
            assert found.messages == (b"", b"", b"")
        for kind in KINDS:
            assert (await ask(way, kind, name, b"")).messages == (b"",)


async def test_no_answer_at_all(ways: Ways) -> None:
    async def behave(side: Side) -> None:
        await side.read_all()

    name = ways.probe.behave(behave)
    for kind in KINDS:
        direct, nodes = [await ask(way, kind, name, b"x") for way in ways.both]
        assert direct.plain == nodes.plain
        assert (nodes.code, nodes.messages) == (0, ())


async def test_a_service_goes_on_after_the_apps_half_close(ways: Ways) -> None:
    async def behave(side: Side) -> None:
        await side.read_all()
        for number in range(20):
            await side.write(b"%d" % number)
            await asyncio.sleep(0.005)

    name = ways.probe.behave(behave)
    for way in ways.both:
        found = await ask(way, "BidiStream", name, b"1", b"2")
        assert found.messages == tuple(b"%d" % number for number in range(20))


async def test_an_answer_that_ends_before_the_apps_half_close(ways: Ways) -> None:
    async def behave(side: Side) -> None:
        await side.read()
        await side.write(b"enough")
        side.trailers(("x-tail", "1"))

    name = ways.probe.behave(behave)
    for way in ways.both:
        for kind in ("ClientStream", "BidiStream"):
            async with channel(way) as opened:
                call = start(opened, way, kind, name)
                await call.write(b"first")
                assert await call.read() == b"enough"
                assert (await call.code()).value[0] == 0
                assert ("x-tail", "1") in tuple(await call.trailing_metadata())
    ways.nothing_is_left()


async def test_full_duplex_answers_before_the_request_ends(ways: Ways) -> None:
    name = ways.probe.behave(echo)
    for way in ways.both:
        async with channel(way) as opened:
            call = start(opened, way, "BidiStream", name)
            for number in range(100):
                await call.write(b"%d" % number)
                assert await call.read() == b"%d" % number
            assert (await finish(call)).code == 0


async def test_thousands_of_messages_in_order(ways: Ways) -> None:
    name = ways.probe.behave(echo)
    sent = [b"%d" % number * (number % 7) for number in range(3000)]
    found = await ask(ways.nodes, "BidiStream", name, *sent)
    assert found.messages == tuple(sent)


async def test_two_hundred_mixed_calls_at_once_keep_their_own(ways: Ways) -> None:
    name = ways.probe.behave(echo)

    async with channel(ways.nodes) as opened:

        async def one(number: int) -> None:
            sent = [b"%d-%d" % (number, n) * 50 for n in range(1 + 9 * (number % 4 > 1))]
            call = start(opened, ways.nodes, KINDS[number % 4], name, timeout_s=30)
            found = await finish(call, sent)
            assert (found.code, found.messages) == (0, tuple(sent))

        await gather_some([partial(one, n) for n in range(200)], 200)
    ways.nothing_is_left()


async def test_a_burst_of_a_thousand_unary_calls(ways: Ways) -> None:
    """None of them is cancelled, however many come at once."""
    name = ways.probe.behave(echo)
    async with channel(ways.nodes) as opened:
        method = opened.unary_unary(f"/{SERVICE}/Unary")
        calls = [
            method(b"%d" % n, metadata=ways.nodes.with_probe(name), timeout=30) for n in range(1000)
        ]
        assert await asyncio.gather(*calls) == [b"%d" % n for n in range(1000)]
    ways.nothing_is_left()
