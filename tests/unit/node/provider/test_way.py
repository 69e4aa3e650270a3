"""A service that does not answer, comes back, or gets more calls than it may."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest
from prometheus_client import CollectorRegistry

from node.calls import Message, OutboundRequest
from node.gateway.limits import CallLimits
from node.provider.breaker import FIRST_PAUSE_S, MAX_PAUSE_S, Breaker
from node.provider.services import HttpServices
from security.errors import Code, SimpulError
from tests.unit.node.provider.raw_server import Peer, raw_server

ASK = OutboundRequest("/t.T/Ask", (), 5000)


def test_a_pause_grows_up_to_a_bound_and_ends_with_an_answer() -> None:
    breaker = Breaker()
    assert breaker.closed
    now_s = 1000.0
    pauses = []
    for _ in range(10):
        pauses.append(breaker.failed(now_s))
        assert breaker.left_s(now_s) == pytest.approx(pauses[-1])
        assert breaker.left_s(now_s + pauses[-1] / 2) == pytest.approx(pauses[-1] / 2)
        now_s += pauses[-1] + 0.001
        assert breaker.left_s(now_s) == 0
        assert not breaker.closed
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-2:] == [MAX_PAUSE_S, MAX_PAUSE_S]
    breaker.succeeded()
    assert breaker.closed
    assert breaker.failed(now_s) == FIRST_PAUSE_S


def of(registry: CollectorRegistry, name: str, fault: str | None = None) -> float:
    labels = None if fault is None else {"fault": fault}
    return registry.get_sample_value(name, labels) or 0


async def code_of(services: HttpServices, target: str) -> Code | None:
    """None: answered."""
    try:
        got = await services.unary(target, ASK, Message(b"x"))
    except SimpulError as error:
        return error.code
    return None if got.trailers.error is None else got.trailers.error.code


async def test_a_service_that_is_down_is_left_alone_and_tried_again() -> None:
    registry = CollectorRegistry()
    services = HttpServices(CallLimits(), registry=registry)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    target = f"127.0.0.1:{port}"
    # The first ones wait for the attempt, those in the pause don't.
    calls = [asyncio.create_task(code_of(services, target)) for _ in range(20)]
    assert await asyncio.gather(*calls) == [Code.SERVICE_UNREACHABLE] * 20
    assert of(registry, "simpul_services_paused") == 1
    before = of(registry, "simpul_service_faults_total", "unreachable")
    began = time.monotonic()
    for _ in range(200):
        assert await code_of(services, target) is Code.SERVICE_UNREACHABLE
        if time.monotonic() - began > FIRST_PAUSE_S / 2:
            break
    assert of(registry, "simpul_service_faults_total", "unreachable") == before
    assert of(registry, "simpul_service_faults_total", "paused") > 10

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\0\0\0\4\0\0\0\0\0")
        while await reader.read(1000):
            pass
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    async with asyncio.timeout(5):
        while of(registry, "simpul_services_paused"):
            with contextlib.suppress(SimpulError):
                services.start(target, ASK).cancel()
            await asyncio.sleep(0.01)
    assert of(registry, "simpul_service_connections") == 1
    await services.close()
    assert of(registry, "simpul_service_connections") == 0
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.05)


async def test_a_port_that_accepts_and_says_nothing_costs_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the first attempt, a call waits for no more than a probe, and most for nothing."""
    monkeypatch.setattr("node.provider.way.CONNECT_TIMEOUT_S", 0.3)
    monkeypatch.setattr("node.provider.way.PROBE_TIMEOUT_S", 0.5)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        target = f"127.0.0.1:{mute.getsockname()[1]}"
        services = HttpServices(CallLimits())
        assert await code_of(services, target) is Code.SERVICE_UNREACHABLE
        await asyncio.sleep(FIRST_PAUSE_S + 0.05)
        probe = asyncio.create_task(code_of(services, target))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        assert await code_of(services, target) is Code.SERVICE_UNREACHABLE
        assert time.monotonic() - began < 0.1
        assert not probe.done()
        assert await probe is Code.SERVICE_UNREACHABLE
        await services.close()


async def test_calls_at_one_service_are_bounded() -> None:
    registry = CollectorRegistry()
    services = HttpServices(CallLimits(), max_calls=10, registry=registry)
    release = asyncio.Event()

    async def answer(peer: Peer, stream: int) -> None:
        await release.wait()
        peer.answer(stream)

    async with raw_server(answer) as slow, raw_server(lambda p, s: p.answer(s)) as quick:
        calls = [asyncio.create_task(code_of(services, slow.target)) for _ in range(10)]
        await asyncio.sleep(0.1)
        assert await code_of(services, slow.target) is Code.OVERLOADED
        assert of(registry, "simpul_service_faults_total", "overloaded") == 1
        # Another service is not touched by it.
        assert await code_of(services, quick.target) is None
        release.set()
        assert await asyncio.gather(*calls) == [None] * 10
        assert await code_of(services, slow.target) is None
    await services.close()


async def test_a_service_that_closes_at_once_and_one_that_never_answers() -> None:
    registry = CollectorRegistry()
    services = HttpServices(CallLimits(), registry=registry)

    async with raw_server(lambda peer, _: peer.writer.close()) as raw:
        got = await services.unary(raw.target, ASK, Message(b"x"))
        assert (got.trailers.status, got.trailers.error) == (14, None)
    assert of(registry, "simpul_service_faults_total", "lost") == 1
    async with raw_server(lambda _peer, _stream: None) as raw:
        request = OutboundRequest("/t.T/Ask", (), 50)
        got = await services.unary(raw.target, request, Message(b"x"))
        assert got.trailers.error is not None
        assert got.trailers.error.code is Code.DEADLINE_EXCEEDED
    assert of(registry, "simpul_service_faults_total", "too_late") == 1
    await services.close()
