"""What a service's answer may weigh, where the HTTP/2 library has a limit of its own."""

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


async def test_trailers_that_come_whole(services: HttpServices) -> None:
    async with odd_server(Answer(HEAD, BODY, [OK, *pairs(14)])) as (target, _):
        got = await services.unary(target, REQUEST, Message(b""))
        assert (got.trailers.status, len(got.trailers.metadata)) == (0, 14)


@pytest.mark.parametrize("count", [15, 17])
async def test_trailers_that_would_be_cut_are_refused(services: HttpServices, count: int) -> None:
    async with odd_server(Answer(HEAD, BODY, [OK, *pairs(count)])) as (target, _):
        got = await services.unary(target, REQUEST, Message(b""))
        assert got.trailers.status == 8
        assert got.trailers.error is not None
        assert got.trailers.error.code is Code.METADATA_TOO_LARGE
        assert "from the service" in got.trailers.message


async def test_trailers_far_past_the_limit(services: HttpServices) -> None:
    async with odd_server(Answer(HEAD, BODY, [OK, *pairs(40)])) as (target, _):
        got = await services.unary(target, REQUEST, Message(b""))
        assert got.trailers.status == 13
        assert "over 16 KiB" in got.trailers.message


@pytest.mark.parametrize("head", [[*HEAD, *pairs(40)], [*HEAD, ("x-bad", "a\nb")]])
async def test_headers_that_can_not_be_taken(
    services: HttpServices, head: list[tuple[str, str]]
) -> None:
    async with odd_server(Answer(head, BODY, [OK])) as (target, _):
        got = await services.unary(target, REQUEST, Message(b""))
        assert got.trailers.status == 13
        assert "over 16 KiB" in got.trailers.message


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
