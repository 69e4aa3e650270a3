"""Connections, of apps and to services: pings, silence, and ends that are no end of their calls."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc import aio

from tests.interop import wire
from tests.interop.calling import ask, finish, start
from tests.interop.federation import ODD, Way, Ways, serve_odd
from tests.interop.probe import KINDS, Side

# As eagerly as this client can: once a second, with no call open too.
EAGER = (
    ("grpc.keepalive_time_ms", 1000),
    ("grpc.keepalive_timeout_ms", 500),
    ("grpc.http2.ping_timeout_ms", 500),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
    # The connection that broke must not be replaced in silence.
    ("grpc.enable_retries", 0),
)
PINGS = 500
# A service that ends each connection after a while, and gives its calls so long to end.
AGE_MS, GRACE_MS = 300, 1500


async def echo(side: Side) -> None:
    """Answers what comes."""
    while (message := await side.read()) is not None:
        await side.write(message)


async def test_an_app_that_pings_eagerly_keeps_its_silent_calls(ways: Ways) -> None:
    """Another stack's server ends such a connection after four pings: "too many pings"."""
    name = ways.probe.behave(echo)
    async with aio.insecure_channel(ways.nodes.target, options=EAGER) as opened:
        calls = [start(opened, ways.nodes, kind, name, timeout_s=30) for kind in KINDS]
        await asyncio.sleep(6.5)
        for call in calls:
            found = await finish(call, [b"still here"])
            assert (found.code, found.messages) == (0, (b"still here",)), found.details
    ways.nothing_is_left()


async def test_hundreds_of_pings_at_once_end_no_call(ways: Ways) -> None:
    name = ways.probe.behave(echo)
    async with wire.connect(ways.nodes.target) as connection:
        stream = connection.call(
            "/simpul.testing.v1.Probe/BidiStream", [*ways.nodes.metadata, ("x-probe", name)]
        )
        await stream.message(b"before")
        # Length 8, kind 6, no flags, stream 0.
        connection.raw(b"".join(b"\0\0\x08\x06\0\0\0\0\0" + bytes(8) for _ in range(PINGS)))
        await stream.message(b"after", end=True)
        await stream.wait()
        assert stream.status == 0
        assert stream.messages == [(False, b"before"), (False, b"after")]
        assert connection.went_away is None
    assert (await ask(ways.nodes, "Unary", name, b"x")).messages == (b"x",)
    ways.nothing_is_left()


class Aging:
    """A service whose connections have a largest age; it counts what it was asked, and on which."""

    def __init__(self) -> None:
        self.asked: Counter[bytes] = Counter()
        self.connections: set[str] = set()

    async def ask(self, request: bytes, context: Any) -> bytes:
        """The question is the answer."""
        self.asked[request] += 1
        self.connections.add(context.peer())
        await asyncio.sleep(0.02)
        return request

    async def stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """As many answers as the question says, ten a second."""
        self.connections.add(context.peer())
        for number in range(int(request)):
            await asyncio.sleep(0.1)
            yield b"%d" % number

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Its address."""
        server = aio.server(
            options=(
                ("grpc.max_connection_age_ms", AGE_MS),
                ("grpc.max_connection_age_grace_ms", GRACE_MS),
            )
        )
        handlers: dict[str, Any] = {
            "Ask": grpc.unary_unary_rpc_method_handler(self.ask),
            "Stream": grpc.unary_stream_rpc_method_handler(self.stream),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(ODD, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(0)


async def test_a_service_that_ends_its_connections_by_their_age(ways: Ways) -> None:
    """Through nodes no unary call fails; none is run twice; a stream has the time that is given.

    Directly one may fail: a client that asks just as the service says goodbye isn't always asked
    again by gRPC.
    """
    service = Aging()
    async with service.running() as target:
        await asyncio.to_thread(serve_odd, ways, target)
        told = {}
        for way in (Way("direct", target, ()), ways.nodes):
            service.connections.clear()
            async with aio.insecure_channel(way.target, options=EAGER) as opened:
                apps = [_ask_for_a_while(opened, way, number) for number in range(8)]
                streams = [_stream(opened, way, count) for count in (3, 10, 60)]
                asked, ends = await asyncio.gather(asyncio.gather(*apps), asyncio.gather(*streams))
            questions = [question for each in asked for question in each]
            assert len(questions) > 100
            assert {service.asked[question] for question in questions} == {1}
            assert len(service.connections) > 4, service.connections
            told[way.name] = [(code, count == wanted) for code, count, wanted in ends]
    # The last is longer than age and grace together, on every way.
    assert told["nodes"] == told["direct"] == [("OK", True), ("OK", True), ("UNAVAILABLE", False)]
    ways.nothing_is_left()


async def _ask_for_a_while(opened: Any, way: Way, number: int) -> list[bytes]:
    method, until_s = opened.unary_unary(f"/{ODD}/Ask"), asyncio.get_running_loop().time() + 3
    asked: list[bytes] = []
    for tried in itertools.count():
        if asyncio.get_running_loop().time() >= until_s:
            break
        question = f"{way.name} {number} {tried}".encode()
        try:
            assert await method(question, metadata=way.metadata, timeout=20) == question
        except aio.AioRpcError as error:
            if way.name != "direct" or error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            continue
        asked.append(question)
    return asked


async def _stream(opened: Any, way: Way, wanted: int) -> tuple[str, int, int]:
    call = opened.unary_stream(f"/{ODD}/Stream")(b"%d" % wanted, metadata=way.metadata, timeout=20)
    count = 0
    try:
        async for _ in call:
            count += 1
    except aio.AioRpcError as error:
        return error.code().name, count, wanted
    return "OK", count, wanted
