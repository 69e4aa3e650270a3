"""Very many calls at once through one pair of nodes."""

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from tests.interop.calling import ask, channel, finish, gather_some, start
from tests.interop.federation import Way, Ways
from tests.interop.probe import SERVICE, Side
from tests.scenario.harness import OWN_CONNECTION

IDLE = 10_000
# Python's client and service cost a second core: what is measured is the nodes.
CHANNELS = 10


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


async def test_a_thousand_unary_calls_at_once_hold_up_no_other(ways: Ways) -> None:
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
        # While every one of them waits; how long it takes is the bench's to say.
        assert await method(b"x", metadata=ways.nodes.with_probe(quick), timeout=30) == b"x"
        assert not any(call.done() for call in calls)
        loop[0].call_soon_threadsafe(release.set)
        assert await asyncio.gather(*calls) == [b"%d" % n for n in range(1000)]
    ways.nothing_is_left()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_ten_thousand_idle_streams(ways: Ways, record_property: Any) -> None:
    """All are open at once and silent; an echo passes them; then one word on each, and the end."""

    async def behave(side: Side) -> None:
        await side.headers()
        while (message := await side.read()) is not None:
            await side.write(message)

    name = ways.probe.behave(behave)
    before = memory_bytes(ways)
    async with AsyncExitStack() as stack:
        ways_in = [
            await stack.enter_async_context(
                aio.insecure_channel(ways.nodes.target, options=OWN_CONNECTION)
            )
            for _ in range(CHANNELS)
        ]
        began = time.monotonic()
        calls: list[Any] = []
        for batch in range(0, IDLE, 250):
            opened = [
                start(ways_in[n % CHANNELS], ways.nodes, "BidiStream", name, timeout_s=500)
                for n in range(batch, batch + 250)
            ]
            await asyncio.gather(*(call.initial_metadata() for call in opened))
            calls += opened
        opened_s = time.monotonic() - began
        assert len(ways.probe.calls(name)) == IDLE
        each = {who: (now - before[who]) / IDLE for who, now in memory_bytes(ways).items()}
        began = time.monotonic()
        found = await ask(ways.nodes, "Unary", name, b"x")
        echo_s = time.monotonic() - began
        assert found.messages == (b"x",), found.details
        for batch in range(0, IDLE, 250):
            ended = await asyncio.gather(
                *(finish(call, [b"word"]) for call in calls[batch : batch + 250])
            )
            assert {(one.code, one.messages) for one in ended} == {(0, (b"word",))}
    figures = {
        "opened_s": round(opened_s, 1), "echo_s": round(echo_s, 3),
        **{f"{who}_kib_each": round(size / 1024, 1) for who, size in each.items()},
    }  # fmt: skip
    record_property("figures", figures)
    print(figures)  # noqa: T201 - it is what `make interop` is run for
    ways.nothing_is_left(timeout_s=60)


def memory_bytes(ways: Ways) -> dict[str, int]:
    """Of each node: its supervisor and its worker."""
    found = {"consumer": 0, "provider": 0}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_text()
            for who, place in (("consumer", ways.consumer), ("provider", ways.provider)):
                if str(place.home) in command:
                    status = (process / "status").read_text()
                    found[who] += 1024 * int(status.split("VmRSS:")[1].split()[0])
    return found
