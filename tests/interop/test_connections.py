"""Connections of apps: pings, silence, and an end by the app that is no end of its calls."""

import asyncio

from grpc import aio

from tests.interop import wire
from tests.interop.calling import ask, finish, start
from tests.interop.federation import Ways
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
