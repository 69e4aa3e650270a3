"""Very many calls at once through one pair of nodes."""

import asyncio
import time
from functools import partial

import pytest

from tests.interop.calling import channel, gather_some, start
from tests.interop.federation import Way, Ways
from tests.interop.probe import SERVICE, Side

IDLE = 10_000
# Python's client and service cost a second core: what is measured is the nodes.
CHANNELS = 10
MIB = 1024 * 1024


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_two_hundred_streams_of_small_messages(ways: Ways) -> None:
    """Another HTTP/2 client ended the connection, with every call on it."""

    async def many(side: Side) -> None:
        await side.read_all()
        for number in range(2000):
            await side.write(b"%d" % number)

    name = ways.probe.behave(many)
    expected = [b"%d" % number for number in range(2000)]

    async def one(way: Way) -> None:
        async with channel(way) as opened:
            call = start(opened, way, "ServerStream", name, timeout_s=240)
            await call.done_writing()
            got = []
            while isinstance(message := await call.read(), bytes):
                got.append(message)
            assert got == expected, (await call.code(), await call.details(), len(got))

    await gather_some([partial(one, ways.nodes) for _ in range(200)], 200)
    ways.nothing_is_left()


async def test_a_thousand_unary_calls_at_once_and_the_nodes_stay_quick(ways: Ways) -> None:
    """All of them wait at the service at the same time, and one more passes them."""
    release = asyncio.Event()
    loop: list[asyncio.AbstractEventLoop] = []

    async def hold(side: Side) -> None:
        loop[:] = [asyncio.get_running_loop()]
        message = await side.read()
        await release.wait()
        await side.write(message or b"")

    async def echo(side: Side) -> None:
        await side.write(await side.read() or b"")

    held, quick = ways.probe.behave(hold), ways.probe.behave(echo)
    async with channel(ways.nodes) as opened:
        method = opened.unary_unary(f"/{SERVICE}/Unary")
        metadata = ways.nodes.with_probe(held)
        calls = [
            asyncio.ensure_future(method(b"%d" % n, metadata=metadata, timeout=60))
            for n in range(1000)
        ]
        async with asyncio.timeout(30):
            while len(ways.probe.calls(held)) < 1000:
                await asyncio.sleep(0.02)
        began = time.monotonic()
        assert await method(b"x", metadata=ways.nodes.with_probe(quick), timeout=10) == b"x"
        assert time.monotonic() - began < 1
        loop[0].call_soon_threadsafe(release.set)
        assert await asyncio.gather(*calls) == [b"%d" % n for n in range(1000)]
    ways.nothing_is_left()
