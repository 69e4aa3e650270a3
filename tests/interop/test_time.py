"""Deadlines and cancellation: in time, at every hop, and nothing left behind."""

import asyncio
import time
from functools import partial

import pytest

from tests.interop import wire
from tests.interop.calling import ask, channel, start, until
from tests.interop.federation import Way, Ways
from tests.interop.probe import KINDS, SERVICE, Side

kinds = pytest.mark.parametrize("kind", KINDS)

# What the promise allows; and what a busy machine takes beside it.
PROMISED_S = 0.1
SLACK_S = 0.1


async def wait_for_ever(side: Side) -> None:
    """Reads and never answers."""
    await side.read_all()
    await asyncio.sleep(60)


@kinds
async def test_no_deadline_stays_none(ways: Ways, kind: str) -> None:
    async def behave(side: Side) -> None:
        await side.read_all()
        await side.write(b"x")

    name = ways.probe.behave(behave)
    for way in ways.both:
        assert (await ask(way, kind, name, b"x", timeout_s=None)).code == 0
    direct, nodes = ways.probe.wait(name, 2)
    assert direct.timeout_s is None
    assert nodes.timeout_s is None


@kinds
async def test_a_deadline_is_carried_as_time_left(ways: Ways, kind: str) -> None:
    async def behave(side: Side) -> None:
        await side.read_all()
        await side.write(b"x")

    name = ways.probe.behave(behave)
    assert (await ask(ways.nodes, kind, name, b"x", timeout_s=7.5)).code == 0
    (side,) = ways.probe.wait(name)
    assert side.timeout_s is not None
    assert 7.0 < side.timeout_s <= 7.6


@kinds
async def test_a_deadline_that_passes_ends_the_call_at_every_hop(ways: Ways, kind: str) -> None:
    name = ways.probe.behave(wait_for_ever)
    for way in ways.both:
        began = time.monotonic()
        found = await ask(way, kind, name, b"x", timeout_s=0.4)
        assert found.code == 4, way.name
        assert 0.35 < time.monotonic() - began < 0.4 + PROMISED_S + SLACK_S
        side = ways.probe.calls(name)[-1]
        await until(side.done.done)
        assert side.cancelled_at is not None
        assert side.cancelled_at - began < 0.4 + PROMISED_S + SLACK_S, way.name
    ways.nothing_is_left()


@kinds
@pytest.mark.parametrize("said", ["nothing", "message", "half-close"])
async def test_the_node_enforces_what_a_client_does_not(ways: Ways, kind: str, said: str) -> None:
    """A client that sets a deadline, never looks at its clock, and stops anywhere."""
    name = ways.probe.behave(wait_for_ever)
    for way in ways.both:
        async with wire.connect(way.target) as connection:
            began = time.monotonic()
            stream = connection.call(
                f"/{SERVICE}/{kind}",
                [*way.metadata, ("x-probe", name), ("grpc-timeout", "300m")],
            )
            if said != "nothing":
                await stream.message(b"x", end=said == "half-close")
            await stream.wait()
            assert stream.status == 4 or stream.reset is not None, way.name
            assert 0.25 < time.monotonic() - began < 0.3 + PROMISED_S + SLACK_S, way.name
    ways.nothing_is_left()


@kinds
async def test_a_cancel_reaches_the_service(ways: Ways, kind: str) -> None:
    name = ways.probe.behave(wait_for_ever)
    for way in ways.both:
        await _cancel_and_measure(ways, way, kind, name, b"x")
    ways.nothing_is_left()


@pytest.mark.parametrize("kind", ["ClientStream", "BidiStream"])
async def test_a_cancel_before_the_half_close(ways: Ways, kind: str) -> None:
    name = ways.probe.behave(wait_for_ever)
    for way in ways.both:
        await _cancel_and_measure(ways, way, kind, name, None)
    ways.nothing_is_left()


@pytest.mark.parametrize("kind", ["ServerStream", "BidiStream"])
async def test_a_cancel_while_answers_stream(ways: Ways, kind: str) -> None:
    async def behave(side: Side) -> None:
        while True:
            await side.write(bytes(1000))

    name = ways.probe.behave(behave)
    for way in ways.both:
        async with channel(way) as opened:
            call = start(opened, way, kind, name)
            await call.write(b"x")
            for _ in range(50):
                assert await call.read() == bytes(1000)
            began = time.monotonic()
            call.cancel()
            side = ways.probe.calls(name)[-1]
            assert await until(side.done.done) - began < PROMISED_S + SLACK_S
    ways.nothing_is_left()


@kinds
async def test_a_connection_that_breaks_cancels(ways: Ways, kind: str) -> None:
    name = ways.probe.behave(wait_for_ever)
    for way in ways.both:
        before = len(ways.probe.calls(name))
        async with wire.connect(way.target) as connection:
            stream = connection.call(f"/{SERVICE}/{kind}", [*way.metadata, ("x-probe", name)])
            await stream.message(b"x", end=True)
            await until(partial(_more_calls, ways, name, before))
            await asyncio.sleep(0.1)
        began = time.monotonic()
        side = ways.probe.calls(name)[-1]
        assert await until(side.done.done) - began < PROMISED_S + SLACK_S
    ways.nothing_is_left()


@kinds
async def test_a_service_that_aborts_is_told_at_once(ways: Ways, kind: str) -> None:
    async def behave(side: Side) -> None:
        await side.read()
        await side.abort(14, "gone")

    name = ways.probe.behave(behave)
    for way in ways.both:
        async with channel(way) as opened:
            call = start(opened, way, kind, name)
            began = time.monotonic()
            await call.write(b"x")
            if kind in {"Unary", "ServerStream"}:
                await call.done_writing()
            assert (await call.code()).value[0] == 14
            assert time.monotonic() - began < 1
    ways.nothing_is_left()


async def test_many_calls_cancelled_at_once_leave_nothing(ways: Ways) -> None:
    name = ways.probe.behave(wait_for_ever)
    async with channel(ways.nodes) as opened:
        calls = [start(opened, ways.nodes, KINDS[n % 4], name) for n in range(200)]
        for call in calls:
            await call.write(b"x")
            await call.done_writing()
        await until(lambda: len(ways.probe.calls(name)) == 200, 20)
        for call in calls:
            call.cancel()
        sides = ways.probe.calls(name)
        await until(lambda: all(side.done.done() for side in sides), 10)
    ways.nothing_is_left()


def _more_calls(ways: Ways, name: str, before: int) -> bool:
    return len(ways.probe.calls(name)) > before


async def _cancel_and_measure(
    ways: Ways, way: Way, kind: str, name: str, request: bytes | None
) -> None:
    before = len(ways.probe.calls(name))
    async with channel(way) as opened:
        call = start(opened, way, kind, name)
        if request is not None:
            await call.write(request)
            await call.done_writing()
        else:
            await call.write(b"first")
        await until(lambda: len(ways.probe.calls(name)) > before)
        await asyncio.sleep(0.2)
        began = time.monotonic()
        call.cancel()
        side = ways.probe.calls(name)[-1]
        took = await until(side.done.done) - began
        assert took < PROMISED_S + SLACK_S, f"{way.name}: {took * 1000:.0f} ms"
