"""Through a real channel and server on loopback: what a caller sees of each error."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from runtime import grpc_errors
from runtime.grpc_errors import INTERNAL_TEXT, ErrorInterceptor, from_rpc_error
from runtime.grpc_options import channel_options, server_options
from security.errors import ERRORS, Code, SimpulError

Context = grpc.aio.ServicerContext[bytes, bytes]
Body = Callable[[Context], Awaitable[None]]

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class Service(grpc.GenericRpcHandler):
    """All four kinds, and streams written as coroutine too: each runs `body` and answers once."""

    def __init__(self, body: Body) -> None:
        self.body = body

    async def one(self, _request: object, context: Context) -> bytes:
        await self.body(context)
        return b"answer"

    async def many(self, _request: object, context: Context) -> AsyncIterator[bytes]:
        yield b"answer"
        await self.body(context)

    async def written(self, _request: object, context: Context) -> None:
        await context.write(b"answer")
        await self.body(context)

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        handlers: dict[str, Any] = {
            "/t.T/unary_unary": grpc.unary_unary_rpc_method_handler(self.one),
            "/t.T/unary_stream": grpc.unary_stream_rpc_method_handler(self.many),
            "/t.T/stream_unary": grpc.stream_unary_rpc_method_handler(self.one),
            "/t.T/stream_stream": grpc.stream_stream_rpc_method_handler(self.many),
            "/t.T/written": grpc.stream_stream_rpc_method_handler(self.written),
        }
        return handlers.get(details.method)


@asynccontextmanager
async def serving(body: Body) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server(interceptors=[ErrorInterceptor()], options=server_options())
    server.add_generic_rpc_handlers([Service(body)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{port}", options=channel_options()
        ) as channel:
            yield channel
    finally:
        await server.stop(None)


def begin(channel: grpc.aio.Channel, kind: str, timeout_s: float = 10) -> Any:
    """One call of any kind, under way."""
    shape = "stream_stream" if kind == "written" else kind
    stub: Any = getattr(channel, shape)(f"/t.T/{kind}")
    return stub(iter([b"a"]) if shape.startswith("stream") else b"a", timeout=timeout_s)


async def call(channel: grpc.aio.Channel, kind: str, timeout_s: float = 10) -> list[bytes]:
    """The answers of one call of any kind."""
    begun = begin(channel, kind, timeout_s)
    if kind.endswith("unary"):
        return [await begun]
    return [answer async for answer in begun]


async def failure(channel: grpc.aio.Channel, kind: str = "unary_unary") -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(channel, kind)
    return caught.value


def trailer(error: grpc.aio.AioRpcError, key: str) -> object:
    return dict(error.trailing_metadata()).get(key)


@pytest.mark.parametrize("kind", [*KINDS, "written"])
async def test_a_call_that_succeeds_is_left_alone(kind: str) -> None:
    async def body(_context: Context) -> None:
        return

    async with serving(body) as channel:
        assert await call(channel, kind) == [b"answer"]


async def test_every_code_makes_the_round_trip() -> None:
    codes = list(Code)
    waiting = iter(codes)

    async def body(_context: Context) -> None:
        code = next(waiting)
        raise SimpulError(code, f"{code} happened — do this", key="gateway.listen")

    async with serving(body) as channel:
        for code in codes:
            error = await failure(channel)
            assert error.code().value[0] == ERRORS[code].grpc_status
            assert trailer(error, "simpul-error") == code.value
            back = from_rpc_error(error)
            assert (back.code, back.message) == (code, f"{code} happened — do this")
            assert dict(back.details) == {"key": "gateway.listen"}


@pytest.mark.parametrize("kind", [*KINDS, "written"])
async def test_every_kind_of_call_carries_it(kind: str) -> None:
    async def body(_context: Context) -> None:
        raise SimpulError(Code.NODE_UNKNOWN, "no such node")

    async with serving(body) as channel:
        error = await failure(channel, kind)
    assert from_rpc_error(error).code is Code.NODE_UNKNOWN


async def test_the_details_are_what_any_grpc_client_reads() -> None:
    async def body(_context: Context) -> None:
        raise SimpulError(Code.NODE_UNKNOWN, "no such node", node="ID/~x")

    async with serving(body) as channel:
        error = await failure(channel)
    packed = trailer(error, "grpc-status-details-bin")
    assert isinstance(packed, bytes)
    status = status_pb2.Status.FromString(packed)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (status.code, status.message) == (5, "no such node")
    assert (info.domain, info.reason, dict(info.metadata)) == (
        "simpul", "NODE_UNKNOWN", {"node": "ID/~x"},
    )  # fmt: skip


@pytest.mark.parametrize("kind", [*KINDS, "written"])
async def test_an_unknown_exception_is_a_fixed_text_outside_and_a_traceback_inside(
    kind: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async def body(_context: Context) -> None:
        raise RuntimeError("the password is hunter2")

    with caplog.at_level(logging.DEBUG):
        async with serving(body) as channel:
            error = await failure(channel, kind)
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == INTERNAL_TEXT
    assert "hunter2" not in repr(error.trailing_metadata())
    assert from_rpc_error(error).code is Code.INTERNAL
    written = caplog.text + "".join(capsys.readouterr())
    assert "RuntimeError: the password is hunter2" in written
    assert f"/t.T/{kind}" in written
    assert "error" in written.partition("handler failed")[0]


async def test_trailers_that_the_handler_set_are_kept() -> None:
    async def body(context: Context) -> None:
        context.set_trailing_metadata((("simpul-call-id", "0190"),))
        raise SimpulError(Code.NODE_UNKNOWN, "no such node")

    async with serving(body) as channel:
        error = await failure(channel)
    assert trailer(error, "simpul-call-id") == "0190"
    assert trailer(error, "simpul-error") == "NODE_UNKNOWN"


async def test_a_handlers_own_abort_stays_as_it_is() -> None:
    async def body(context: Context) -> None:
        await context.abort(grpc.StatusCode.DATA_LOSS, "mine")

    async with serving(body) as channel:
        error = await failure(channel)
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "mine")
    assert trailer(error, "simpul-error") is None


@pytest.mark.parametrize("kind", [*KINDS, "written"])
async def test_a_callers_cancel_reaches_the_handler(kind: str) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def body(_context: Context) -> None:
        started.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serving(body) as channel:
        begun = begin(channel, kind)
        await asyncio.wait_for(started.wait(), 5)
        begun.cancel()
        await asyncio.wait_for(cancelled.wait(), 5)
        assert await begun.code() is grpc.StatusCode.CANCELLED


@pytest.mark.parametrize("kind", [*KINDS, "written"])
async def test_a_handler_that_is_cancelled_here_still_answers(kind: str) -> None:
    async def body(_context: Context) -> None:
        raise asyncio.CancelledError

    async with serving(body) as channel:
        error = await asyncio.wait_for(failure(channel, kind), 5)
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_message_is_made_fit_to_travel() -> None:
    async def body(_context: Context) -> None:
        details = {f"k{n}": "v" * 5_000 for n in range(100)}
        raise SimpulError(Code.NODE_UNKNOWN, "one\ntwo\x1b[31m \ud800 " + "é" * 5_000, **details)

    async with serving(body) as channel:
        back = from_rpc_error(await failure(channel))
    assert back.code is Code.NODE_UNKNOWN
    assert back.message.startswith("one two [31m ? éé")
    assert len(back.message) == grpc_errors.MAX_MESSAGE_CHARS
    assert len(back.details) == grpc_errors.MAX_DETAILS


async def test_an_unknown_method_stays_unimplemented() -> None:
    async def body(_context: Context) -> None:
        return

    async with serving(body) as channel:
        stub: Any = channel.unary_unary("/t.T/none")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert from_rpc_error(caught.value).code is Code.METHOD_UNKNOWN


async def test_nobody_there_is_unreachable_in_words_of_ours() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1", options=channel_options()) as channel:
        error = await failure(channel)
    back = from_rpc_error(error, what="the registry", unreachable=Code.REGISTRY_UNREACHABLE)
    assert back.code is Code.REGISTRY_UNREACHABLE
    assert back.message.startswith("the registry can't be reached: ")


async def test_a_deadline_is_a_deadline() -> None:
    async def body(_context: Context) -> None:
        await asyncio.sleep(30)

    async with serving(body) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, "unary_unary", timeout_s=0.05)
    assert from_rpc_error(caught.value).code is Code.DEADLINE_EXCEEDED


def rpc_error(
    status: grpc.StatusCode, *trailers: tuple[str, str | bytes], text: str = "text"
) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        status, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), details=text
    )


def details(reason: str, domain: str = "simpul", **metadata: str) -> tuple[str, bytes]:
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata))
    status = status_pb2.Status(details=[packed])
    return ("grpc-status-details-bin", status.SerializeToString())


def test_the_short_trailer_alone_suffices() -> None:
    error = rpc_error(grpc.StatusCode.NOT_FOUND, ("simpul-error", "NODE_UNKNOWN"))
    assert from_rpc_error(error).code is Code.NODE_UNKNOWN


@pytest.mark.parametrize(
    "trailers",
    [
        (),
        (("simpul-error", "A_CODE_OF_TOMORROW"),),
        (details("A_CODE_OF_TOMORROW"),),
        # A service's own words: without the short trailer they are nobody's code.
        (details("INTERNAL", why="forged"),),
        (("grpc-status-details-bin", b"\xff\xff"),),
        # The code says NOT_FOUND and the status INTERNAL: the code is not believed.
        (("simpul-error", "NODE_UNKNOWN"),),
    ],
)
def test_what_is_not_ours_gets_a_text_of_ours(
    trailers: tuple[tuple[str, str | bytes], ...],
) -> None:
    back = from_rpc_error(rpc_error(grpc.StatusCode.INTERNAL, *trailers, text="secret"))
    assert back.code is Code.INTERNAL
    assert not back.details
    assert "secret" not in back.message
    assert back.message.startswith("the other side answered INTERNAL: ")


@pytest.mark.parametrize("domain", ["example.org", "simpul"])
def test_a_code_in_the_details_alone_is_not_ours(domain: str) -> None:
    foreign = details("NODE_UNKNOWN", domain=domain)
    back = from_rpc_error(rpc_error(grpc.StatusCode.NOT_FOUND, foreign))
    assert back.code is Code.INTERNAL
    assert back.message.startswith("the other side answered NOT_FOUND: ")


def test_details_can_not_take_the_names_of_the_error_itself() -> None:
    hostile = details("NODE_UNKNOWN", code="OK", message="x", self="y", step="9", node="ID/~x")
    short = ("simpul-error", "NODE_UNKNOWN")
    back = from_rpc_error(rpc_error(grpc.StatusCode.NOT_FOUND, short, hostile))
    assert back.code is Code.NODE_UNKNOWN
    assert dict(back.details) == {"node": "ID/~x"}


@given(st.sampled_from(grpc.StatusCode), st.binary(max_size=60), st.text(max_size=30))
def test_whatever_a_peer_sends_it_becomes_one_line(
    status: grpc.StatusCode, packed: bytes, text: str
) -> None:
    error = rpc_error(status, ("grpc-status-details-bin", packed), text=text)
    back = from_rpc_error(error)
    assert isinstance(back, SimpulError)
    assert back.message.isprintable()
