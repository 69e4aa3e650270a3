"""The way to services: against grpcio, and against a server that answers oddly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc import aio
from prometheus_client import CollectorRegistry

from node.calls import HalfClose, Headers, Message, OutboundRequest, Trailers
from node.gateway.limits import CallLimits
from node.provider.services import HttpServices
from security.errors import Code, SimpulError
from tests.unit.node.provider.odd_server import Answer, Pairs, odd_server

LIMIT = 100_000
HEAD: Pairs = [(":status", "200"), ("content-type", "application/grpc")]
OK: Pairs = [("grpc-status", "0")]
X = b"\0\0\0\0\1x"


class Service(grpc.GenericRpcHandler):
    """A grpcio service: what it saw stands in `seen`."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.cancelled = asyncio.Event()

    def service(self, handler_call_details: Any) -> Any:
        name = handler_call_details.method.rpartition("/")[2].lower()
        handler = getattr(self, name, None)
        if handler is None:
            return None
        if name in {"unary", "fail"}:
            return grpc.unary_unary_rpc_method_handler(handler)
        return grpc.stream_stream_rpc_method_handler(handler)

    async def unary(self, request: bytes, context: Any) -> bytes:
        self.seen.append((context.invocation_metadata(), context.time_remaining()))
        await context.send_initial_metadata((("x-head-bin", b"\0\xff"),))
        context.set_trailing_metadata((("x-tail", "1"), ("x-tail", "2")))
        return request

    async def fail(self, request: bytes, context: Any) -> bytes:
        await context.abort(
            grpc.StatusCode.PERMISSION_DENIED,
            "tidak boleh: 50% é\n",
            (("grpc-status-details-bin", b"\1"),),
        )
        return request

    async def bidi(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        await context.send_initial_metadata((("x-head", "early"),))
        count = 0
        async for request in requests:
            count += 1
            yield request
        yield b"%d" % count

    async def hold(self, _requests: Any, context: Any) -> AsyncIterator[bytes]:
        await context.send_initial_metadata(())
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        yield b""

    async def flood(self, _requests: Any, _context: Any) -> AsyncIterator[bytes]:
        for _ in range(2000):
            self.seen.append(1)
            yield b"x" * 50_000


@pytest.fixture
def service() -> Service:
    return Service()


@pytest_asyncio.fixture
async def target(service: Service) -> AsyncIterator[str]:
    server = aio.server(handlers=[service], options=[("grpc.so_reuseport", 0)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


@pytest_asyncio.fixture
async def services() -> AsyncIterator[HttpServices]:
    made = HttpServices(CallLimits(max_message_bytes=LIMIT, max_metadata_bytes=8192))
    yield made
    await made.close()


def ask(name: str, *metadata: tuple[str, bytes], timeout_ms: int | None = None) -> OutboundRequest:
    return OutboundRequest(f"/t.T/{name}", metadata, timeout_ms)


def code_of(trailers: Trailers) -> str | None:
    return dict(trailers.metadata).get("simpul-error", b"").decode() or None


async def rest(call: Any) -> list[Any]:
    events = []
    while not isinstance(event := await asyncio.wait_for(call.receive(), 5), Trailers):
        events.append(event)
    return [*events, event]


# grpcio.


async def test_a_unary_call_carries_everything(
    services: HttpServices, target: str, service: Service
) -> None:
    request = ask("Unary", ("x-b", b"2"), ("x-a-bin", b"\0\xff"), ("x-b", b"1"), timeout_ms=5000)
    got = await services.unary(target, request, Message(b"halo"))
    assert got.message == Message(b"halo")
    assert ("x-head-bin", b"\0\xff") in got.headers
    assert got.trailers == Trailers(0, "", (("x-tail", b"1"), ("x-tail", b"2")))
    metadata, left_s = service.seen[0]
    assert [value for key, value in metadata if key == "x-b"] == ["2", "1"]
    assert ("x-a-bin", b"\0\xff") in metadata
    assert 4 < left_s <= 5


async def test_many_unary_calls_share_a_connection(services: HttpServices, target: str) -> None:
    numbers = [b"%d" % number for number in range(200)]
    got = await asyncio.gather(
        *(services.unary(target, ask("Unary"), Message(number)) for number in numbers)
    )
    assert [one.message for one in got] == [Message(number) for number in numbers]


async def test_an_error_is_the_services_own(services: HttpServices, target: str) -> None:
    got = await services.unary(target, ask("Fail"), Message(b""))
    assert got.message is None
    assert got.trailers == Trailers(
        7, "tidak boleh: 50% é\n", (("grpc-status-details-bin", b"\1"),)
    )


async def test_an_unknown_method_is_unimplemented(services: HttpServices, target: str) -> None:
    assert (await services.unary(target, ask("NoSuch"), Message(b""))).trailers.status == 12


async def test_a_stream_takes_turns_and_ends(services: HttpServices, target: str) -> None:
    call = services.start(target, ask("Bidi"))
    head = await call.receive()
    assert isinstance(head, Headers)
    assert ("x-head", b"early") in head.metadata
    for data in (b"a", b"", b"c" * 90_000):
        await call.send(Message(data))
        assert await call.receive() == Message(data)
    await call.send(HalfClose())
    assert await rest(call) == [Message(b"3"), Trailers(0)]
    await call.send(Message(b"too late"))
    assert await call.receive() == Trailers(0)


@pytest.mark.parametrize("half_close", [False, True])
async def test_a_cancel_reaches_the_service_at_once(
    services: HttpServices, target: str, service: Service, half_close: bool
) -> None:
    call = services.start(target, ask("Hold"))
    if half_close:
        await call.send(HalfClose())
    assert isinstance(await call.receive(), Headers)
    waiting = asyncio.create_task(rest(call))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    call.cancel()
    await asyncio.wait_for(service.cancelled.wait(), 5)
    assert time.monotonic() - began < 0.1
    assert [event.status for event in await waiting] == [1]


async def test_cancelling_the_waiting_task_resets_a_unary_call(
    services: HttpServices, target: str, service: Service
) -> None:
    task = asyncio.create_task(services.unary(target, ask("Hold"), Message(b"")))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait_for(service.cancelled.wait(), 5)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_deadline_is_kept_here_too(
    services: HttpServices, target: str, service: Service
) -> None:
    began = time.monotonic()
    call = services.start(target, ask("Hold", timeout_ms=200))
    *_, end = await rest(call)
    assert end.status == 4
    assert 0.15 < time.monotonic() - began < 1
    await asyncio.wait_for(service.cancelled.wait(), 5)


async def test_a_slow_reader_slows_the_service(
    services: HttpServices, target: str, service: Service
) -> None:
    call = services.start(target, ask("Flood"))
    await call.send(HalfClose())
    assert isinstance(await call.receive(), Headers)
    await asyncio.sleep(0.5)
    assert len(service.seen) < 1000
    call.cancel()
    assert [event.status for event in await rest(call)] == [1]


# Nobody, or something else.


async def test_an_unreachable_service_is_said(services: HttpServices) -> None:
    with pytest.raises(SimpulError) as caught:
        await services.unary("127.0.0.1:1", ask("Unary", timeout_ms=3000), Message(b""))
    assert caught.value.code is Code.SERVICE_UNREACHABLE
    assert "127.0.0.1" not in caught.value.message
    call = services.start("127.0.0.1:2", ask("Bidi"))
    await call.send(Message(b"x"))
    (end,) = await rest(call)
    assert (end.status, code_of(end)) == (14, "SERVICE_UNREACHABLE")


@pytest.mark.parametrize(
    "target",
    ["unix:", "localhost", "127.0.0.1:0", "nonsense", "http://x:1/a", "ftp://x:1", "unix://x"],
)
async def test_a_target_that_cannot_be_called_is_refused(
    services: HttpServices, target: str
) -> None:
    with pytest.raises(SimpulError) as caught:
        services.start(target, ask("Bidi"))
    assert caught.value.code is Code.CONFIG_INVALID


def http(status: int, content_type: str) -> Pairs:
    return [(":status", str(status)), ("content-type", content_type)]


ODD = {
    "trailers only": (Answer([*HEAD, ("grpc-status", "5"), ("grpc-message", "a%20b")]), 5),
    "http 404": (Answer(http(404, "text/html"), b"<html>"), 12),
    "http 503": (Answer(http(503, "text/plain"), b"no"), 14),
    "http 401": (Answer(http(401, "text/plain")), 16),
    "http 200, text/html": (Answer(http(200, "text/html"), b"<html>"), 2),
    "http 200, grpc-web": (Answer(http(200, "application/grpc-web"), X), 2),
    "http 302": (Answer([*http(302, "text/html"), ("location", "/x")]), 2),
    "no status": (Answer(HEAD, X, [("x", "1")]), 2),
    "no trailers": (Answer(HEAD, X), 2),
    "status 99": (Answer(HEAD, X, [("grpc-status", "99")]), 2),
    "cut message": (Answer(HEAD, X[:-1], OK), 13),
    "bad flag": (Answer(HEAD, b"\7\0\0\0\0", OK), 13),
    "too large": (Answer(HEAD, b"\0\0\1\x86\xa1" + b"x" * 60_000, end=False), 8),
    "metadata malformed": (Answer([*HEAD, ("x-bin", "!")], X, OK), 13),
    "metadata too large": (Answer([*HEAD, ("x-big", "v" * 9000)], X, OK), 8),
    "reset NO_ERROR": (Answer(HEAD, X, end=False, reset=0), 13),
    "reset INTERNAL_ERROR": (Answer(HEAD, X, end=False, reset=2), 13),
    "reset REFUSED_STREAM": (Answer(HEAD, X, end=False, reset=7), 14),
    "reset CANCEL": (Answer(HEAD, X, end=False, reset=8), 1),
    "reset ENHANCE_YOUR_CALM": (Answer(HEAD, X, end=False, reset=11), 8),
    "reset INADEQUATE_SECURITY": (Answer(None, end=False, reset=12), 7),
    "connection dropped": (Answer(HEAD, X, end=False, drop=True), 14),
    "dropped before headers": (Answer(None, end=False, drop=True), 14),
}


@pytest.mark.parametrize("unary", [True, False])
@pytest.mark.parametrize("name", ODD)
async def test_odd_answers_become_statuses(services: HttpServices, name: str, unary: bool) -> None:
    answer, status = ODD[name]
    async with odd_server(answer) as (target, _seen):
        if unary:
            got = await services.unary(target, ask("Odd", timeout_ms=5000), Message(b"x"))
            end = got.trailers
        else:
            call = services.start(target, ask("Odd", timeout_ms=5000))
            await call.send(HalfClose())
            *_, end = await rest(call)
    assert end.status == status, end


async def test_the_hop_is_named_where_a_limit_is_met(services: HttpServices) -> None:
    async with odd_server(ODD["too large"][0]) as (target, seen):
        got = await services.unary(target, ask("Odd"), Message(b""))
        assert "from the service has 100001 bytes, and the limit is 100000" in got.trailers.message
        assert code_of(got.trailers) == "MESSAGE_TOO_LARGE"
        await asyncio.wait_for(seen.reset.wait(), 5)


async def test_a_second_message_is_no_unary_answer(services: HttpServices) -> None:
    async with odd_server(Answer(HEAD, X + X, OK)) as (target, _seen):
        got = await services.unary(target, ask("Odd"), Message(b""))
        assert got.trailers.status == 13


@pytest.mark.parametrize(
    ("body", "fault"), [(X + X, "grpc"), (b"\0\x40\0\0\0" + bytes(100), "too_large")]
)
async def test_a_service_that_answers_twice_or_too_much_is_counted(body: bytes, fault: str) -> None:
    registry = CollectorRegistry()
    services = HttpServices(CallLimits(), registry=registry)
    async with odd_server(Answer(HEAD, body, OK)) as (target, _seen):
        for _ in range(2):
            await services.unary(target, ask("Odd"), Message(b""))
    assert registry.get_sample_value("simpul_service_faults_total", {"fault": fault}) == 2
    await services.close()


async def test_compressed_messages_and_their_headers_pass(services: HttpServices) -> None:
    head = [*HEAD, ("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip")]
    async with odd_server(Answer(head, b"\1\0\0\0\1z", OK)) as (target, seen):
        request = ask("Odd", ("grpc-encoding", b"gzip"), ("user-agent", b"an app's"))
        got = await services.unary(target, request, Message(b"q", compressed=True))
    assert got.message == Message(b"z", compressed=True)
    assert got.headers == (("grpc-encoding", b"gzip"), ("grpc-accept-encoding", b"gzip"))
    assert seen.bodies[1] == b"\1\0\0\0\1q"
    of_http = {":authority", "content-length", "accept"}
    sent = [item for item in seen.headers[0] if item[0] not in of_http]
    assert sorted(sent) == [
        (":method", "POST"), (":path", "/t.T/Odd"), (":scheme", "http"),
        ("content-type", "application/grpc"), ("grpc-encoding", "gzip"), ("te", "trailers"),
        ("user-agent", "an app's"),
    ]  # fmt: skip


async def test_a_cancelled_upload_never_looks_complete(services: HttpServices) -> None:
    async with odd_server(Answer(None, end=False)) as (target, seen):
        for _ in range(20):
            call = services.start(target, ask("Odd"))
            await call.send(Message(b"half"))
            call.cancel()
            call.cancel()
            (end,) = await rest(call)
            assert isinstance(end, Trailers)
            assert (end.status, end.message) == (1, "the call was given up")
        call = services.start(target, ask("Odd"))
        await call.send(Message(b"half"))
        await asyncio.sleep(0.1)
        call.cancel()
        await asyncio.wait_for(seen.reset.wait(), 5)
        await asyncio.sleep(0.1)
        assert not seen.half_closed.is_set()
