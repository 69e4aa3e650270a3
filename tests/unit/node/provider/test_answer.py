"""What a service's answer may weigh, and what becomes of it when it is more."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from node.calls import Message, OutboundRequest
from node.gateway.limits import CallLimits
from node.provider.services import HttpServices
from security.errors import Code
from security.private import Metadata
from tests.unit.node.provider.odd_server import Answer, odd_server

HEAD = [(":status", "200"), ("content-type", "application/grpc")]
BODY = b"\0\0\0\0\0"
OK = ("grpc-status", "0")
REQUEST = OutboundRequest("/t.T/Unary", (), 5000)


@pytest_asyncio.fixture
async def services() -> AsyncIterator[HttpServices]:
    one = HttpServices(CallLimits())
    yield one
    await one.close()


def pairs(count: int) -> list[tuple[str, str]]:
    return [(f"x-{number}", "v" * 1000) for number in range(count)]


@pytest.mark.parametrize("count", [14, 40, 60])
async def test_metadata_up_to_the_limit_comes_whole(services: HttpServices, count: int) -> None:
    for head, tail in ((HEAD, [OK, *pairs(count)]), ([*HEAD, *pairs(count)], [OK])):
        async with odd_server(Answer(head, BODY, tail)) as (target, _):
            got = await services.unary(target, REQUEST, Message(b""))
            assert got.trailers.status == 0
            assert len(got.headers) + len(got.trailers.metadata) == count


@pytest.mark.parametrize("count", [64, 100, 300])
async def test_metadata_over_the_limit_ends_its_call_only(
    services: HttpServices, count: int
) -> None:
    """300 of them are over what is even read."""
    for head, tail in ((HEAD, [OK, *pairs(count)]), ([*HEAD, *pairs(count)], [OK])):
        answer = Answer(head, BODY, tail)
        async with odd_server(answer) as (target, seen):
            got = await services.unary(target, REQUEST, Message(b""))
            assert got.trailers.status == 8
            assert got.trailers.error is not None
            assert got.trailers.error.code is Code.METADATA_TOO_LARGE
            assert "from the service" in got.trailers.message
            answer.head, answer.tail = HEAD, [OK]
            got = await services.unary(target, REQUEST, Message(b""))
            assert got.trailers.status == 0
            assert seen.connections == 1


async def test_a_header_that_gRPC_cannot_carry_is_the_services_fault(  # noqa: N802
    services: HttpServices,
) -> None:
    async with odd_server(Answer([*HEAD, ("x-bad", "a\nb")], BODY, [OK])) as (target, _):
        got = await services.unary(target, REQUEST, Message(b""))
        assert got.trailers.status == 13
        assert "the service breaks gRPC" in got.trailers.message


@pytest.mark.parametrize(("delay_s", "told"), [(0.0, 0), (0.2, 1)])
async def test_headers_are_told_where_no_message_follows_soon(
    services: HttpServices, delay_s: float, told: int
) -> None:
    found: list[Metadata] = []
    answer = Answer([*HEAD, ("x-head", "1")], BODY, [OK], body_delay_s=delay_s)
    async with odd_server(answer) as (target, _):
        got = await services.unary(target, REQUEST, Message(b""), found.append)
        assert got.message == Message(b"")
        assert found == [(("x-head", b"1"),)] * told
