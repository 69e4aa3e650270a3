"""How a call ends: codes, messages, details; before, between and after messages; on all kinds."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.interop import wire
from tests.interop.calling import Outcome, ask
from tests.interop.federation import Way, Ways
from tests.interop.probe import KINDS, SERVICE, UNARY, Side

DETAILS = ("grpc-status-details-bin", bytes(range(256)))
MESSAGES = (
    "",
    "tidak ada",
    "é ☺ 😈 \u202e \ufeff",
    "100% %41 %zz %",
    "\t\ntest with whitespace\r\n\0\x7f",
    "x" * 3000,
    "漢" * 1000,
)

kinds = pytest.mark.parametrize("kind", KINDS)


async def same(ways: Ways, kind: str, behaviour: Callable[[Side], Awaitable[None]]) -> Outcome:
    """A call that the service treats so, both ways; it must come out the same."""
    name = ways.probe.behave(behaviour)
    direct, nodes = [await ask(way, kind, name, b"request") for way in ways.both]
    assert nodes.plain == direct.plain
    assert nodes.value("simpul-error") is None
    assert len(str(nodes.value("simpul-call-id"))) == 32
    return direct


@kinds
@pytest.mark.parametrize("code", range(1, 17))
async def test_every_status_before_the_first_message(ways: Ways, kind: str, code: int) -> None:
    async def behave(side: Side) -> None:
        await side.read_all()
        await side.abort(code, f"kode {code}", DETAILS, ("x-tail", "1"), ("x-tail", "2"))

    found = await same(ways, kind, behave)
    assert (found.code, found.details, found.messages) == (code, f"kode {code}", ())
    assert found.value("grpc-status-details-bin") == DETAILS[1]


@kinds
async def test_ok_with_details(ways: Ways, kind: str) -> None:
    async def behave(side: Side) -> None:
        await side.read_all()
        side.trailers(DETAILS, ("x-tail", "1"))
        await side.write(b"answer")

    found = await same(ways, kind, behave)
    assert (found.code, found.messages) == (0, (b"answer",))


@pytest.mark.parametrize("message", MESSAGES, ids=range(len(MESSAGES)))
async def test_any_message(ways: Ways, message: str) -> None:
    async def behave(side: Side) -> None:
        await side.read_all()
        await side.abort(9, message)

    for kind in KINDS:
        assert (await same(ways, kind, behave)).details == message


@kinds
async def test_an_error_after_headers_and_no_message(ways: Ways, kind: str) -> None:
    async def behave(side: Side) -> None:
        await side.read_all()
        await side.headers(("x-head", "1"))
        await side.abort(9, "no", ("x-tail", "2"))

    found = await same(ways, kind, behave)
    assert ("x-head", "1") in found.initial
    assert found.value("x-tail") == "2"


@kinds
async def test_an_error_after_messages(ways: Ways, kind: str) -> None:
    count = 1 if kind in {"Unary", "ClientStream"} else 3

    async def behave(side: Side) -> None:
        await side.headers(("x-head", "1"))
        await side.read_all()
        for number in range(count):
            await side.write(b"%d" % number)
        await side.abort(15, "lost", DETAILS)

    found = await same(ways, kind, behave)
    assert (found.code, len(found.messages)) == (15, count)


@pytest.mark.parametrize("kind", ["ServerStream", "BidiStream"])
async def test_an_error_between_messages_while_the_app_waits(ways: Ways, kind: str) -> None:
    async def behave(side: Side) -> None:
        await side.write(b"first")
        await asyncio.sleep(0.05)
        await side.abort(10, "aborted")

    found = await same(ways, kind, behave)
    assert (found.code, found.messages) == (10, (b"first",))


@pytest.mark.parametrize("kind", ["ClientStream", "BidiStream"])
async def test_an_early_end_while_the_app_still_sends(ways: Ways, kind: str) -> None:
    async def behave(side: Side) -> None:
        await side.read()
        await side.abort(3, "enough", ("x-tail", "1"))

    name = ways.probe.behave(behave)
    for way in ways.both:
        for _ in range(30):
            found = await ask(way, kind, name, *([bytes(1000)] * 100))
            assert (found.code, found.details) == (3, "enough"), way.name
            assert found.value("x-tail") == "1"
    ways.nothing_is_left()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_an_early_end_is_told_right_300_times_of_300(ways: Ways) -> None:
    async def behave(side: Side) -> None:
        await side.abort(3, "enough")

    name = ways.probe.behave(behave)
    for _ in range(300):
        found = await ask(ways.nodes, "BidiStream", name, *([bytes(1000)] * 100))
        assert (found.code, found.details) == (3, "enough")
    ways.nothing_is_left()


async def test_an_answer_of_trailers_alone_stays_one(ways: Ways) -> None:
    async def behave(side: Side) -> None:
        await side.read_all()
        await side.abort(5, "none")

    async def headers_first(side: Side) -> None:
        await side.read_all()
        await side.headers()
        await side.abort(5, "none")

    for behaviour, alone in ((behave, True), (headers_first, False)):
        name = ways.probe.behave(behaviour)
        for kind in KINDS:
            for way in ways.both:
                found = await _raw(way, kind, name)
                assert (found.trailers is None) is alone, f"{way.name} {kind}"
                assert found.status == 5


async def test_a_message_on_ok_is_carried(ways: Ways) -> None:
    async def behave(side: Side) -> None:
        await side.read_all()
        side.context.set_details("baik")
        await side.write(b"x")

    name = ways.probe.behave(behave)
    for way in ways.both:
        found = await _raw(way, UNARY, name)
        assert ("grpc-message", "baik") in (found.trailers or [])


async def _raw(way: Way, kind: str, name: str) -> wire.Stream:
    async with wire.connect(way.target) as connection:
        stream = connection.call(f"/{SERVICE}/{kind}", [*way.metadata, ("x-probe", name)])
        await stream.message(b"request", end=True)
        return await stream.wait()
