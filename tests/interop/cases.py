"""gRPC's interoperability cases, as a Python client with `grpc.aio` makes them.

Each is a coroutine that takes a `Client` and raises AssertionError where something is not as the
description says. Whether a message came compressed is not shown by stock clients: those cases use
`wire`.

Source: github.com/grpc/grpc, doc/interop-test-descriptions.md, "Client".
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc import aio

from tests.interop import wire
from tests.interop.federation import Way
from tests.interop.gen import messages_pb2 as pb
from tests.interop.gen import service_pb2_grpc as stubs
from tests.interop.service import ECHO_INITIAL, ECHO_TRAILING, SERVICE, payload

LARGE_REQUEST, LARGE_RESPONSE = 271_828, 314_159
REQUEST_SIZES = (27_182, 8, 1828, 45_904)
RESPONSE_SIZES = (31_415, 9, 2653, 58_979)
MESSAGE = "test status message"
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
ECHOED = ((ECHO_INITIAL, "test_initial_metadata_value"), (ECHO_TRAILING, b"\xab\xab\xab"))
# A case that hangs must fail.
TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Client:
    """Where to call, and what a call has beside what the case says."""

    way: Way
    channel: Any
    stub: Any

    @property
    def common(self) -> dict[str, Any]:
        """Arguments of every call."""
        return {"metadata": self.way.metadata, "timeout": TIMEOUT_S}


@asynccontextmanager
async def client(way: Way) -> Any:
    """A client with a channel of its own."""
    async with aio.insecure_channel(way.target) as channel:
        stub: Any = stubs.TestServiceStub(channel)
        yield Client(way, channel, stub)


def simple(**more: Any) -> pb.SimpleRequest:
    """The request of most unary cases."""
    return pb.SimpleRequest(
        response_size=LARGE_RESPONSE, payload=payload(LARGE_REQUEST), **more
    )  # fmt: skip


def output(request_size: int, *sizes: int, **more: Any) -> pb.StreamingOutputCallRequest:
    """A request for responses of these sizes."""
    return pb.StreamingOutputCallRequest(
        response_parameters=[pb.ResponseParameters(size=size) for size in sizes],
        payload=payload(request_size) if request_size else None,
        **more,
    )


def boolean(value: bool) -> pb.BoolValue:
    return pb.BoolValue(value=value)


@contextmanager
def ends(code: grpc.StatusCode) -> Iterator[list[grpc.RpcError]]:
    """The block ends with this status."""
    found: list[grpc.RpcError] = []
    try:
        yield found
    except grpc.RpcError as error:
        said: Any = error
        assert said.code() is code, f"{said.code()}: {said.details()}"
        found.append(error)
    else:
        raise AssertionError(f"OK, and {code} was expected")


async def empty_unary(one: Client) -> None:
    assert await one.stub.EmptyCall(pb.Empty(), **one.common) == pb.Empty()


async def large_unary(one: Client) -> None:
    response = await one.stub.UnaryCall(simple(), **one.common)
    assert response.payload == payload(LARGE_RESPONSE)


async def client_compressed_unary(one: Client) -> None:
    with ends(grpc.StatusCode.INVALID_ARGUMENT):
        await one.stub.UnaryCall(simple(expect_compressed=boolean(True)), **one.common)
    for compressed in (True, False):
        response = await one.stub.UnaryCall(
            simple(expect_compressed=boolean(compressed)),
            compression=grpc.Compression.Gzip if compressed else None,
            **one.common,
        )
        assert response.payload == payload(LARGE_RESPONSE)


async def server_compressed_unary(one: Client) -> None:
    async with wire.connect(one.way.target) as connection:
        for compressed in (True, False):
            request = simple(response_compressed=boolean(compressed))
            stream = await _raw(connection, one.way, "UnaryCall", (request, False))
            ((flag, data),) = stream.messages
            assert flag is compressed
            assert pb.SimpleResponse.FromString(data).payload == payload(LARGE_RESPONSE)
            assert stream.status == 0


async def client_streaming(one: Client) -> None:
    requests = [pb.StreamingInputCallRequest(payload=payload(size)) for size in REQUEST_SIZES]
    response = await one.stub.StreamingInputCall(iter(requests), **one.common)
    assert response.aggregated_payload_size == sum(REQUEST_SIZES)


async def client_compressed_streaming(one: Client) -> None:
    def request(size: int, *, compressed: bool) -> pb.StreamingInputCallRequest:
        return pb.StreamingInputCallRequest(
            payload=payload(size), expect_compressed=boolean(compressed)
        )

    async with wire.connect(one.way.target) as connection:
        probe = request(27_182, compressed=True)
        stream = await _raw(connection, one.way, "StreamingInputCall", (probe, False))
        assert stream.status == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        stream = await _raw(
            connection, one.way, "StreamingInputCall",
            (request(27_182, compressed=True), True), (request(45_904, compressed=False), False),
        )  # fmt: skip
        assert stream.status == 0
        ((_, data),) = stream.messages
        response = pb.StreamingInputCallResponse.FromString(data)
        assert response.aggregated_payload_size == 73_086


async def server_streaming(one: Client) -> None:
    call = one.stub.StreamingOutputCall(output(0, *RESPONSE_SIZES), **one.common)
    assert [response.payload async for response in call] == [payload(n) for n in RESPONSE_SIZES]


async def server_compressed_streaming(one: Client) -> None:
    wanted = ((True, 31_415), (False, 92_653))
    request = pb.StreamingOutputCallRequest(
        response_parameters=[
            pb.ResponseParameters(size=size, compressed=boolean(compressed))
            for compressed, size in wanted
        ]
    )
    async with wire.connect(one.way.target) as connection:
        stream = await _raw(connection, one.way, "StreamingOutputCall", (request, False))
        assert stream.status == 0
        assert [
            (flag, len(pb.StreamingOutputCallResponse.FromString(data).payload.body))
            for flag, data in stream.messages
        ] == list(wanted)


async def ping_pong(one: Client) -> None:
    call = one.stub.FullDuplexCall(**one.common)
    for request_size, response_size in zip(REQUEST_SIZES, RESPONSE_SIZES, strict=True):
        await call.write(output(request_size, response_size))
        assert (await call.read()).payload == payload(response_size)
    await call.done_writing()
    assert await call.read() is aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def empty_stream(one: Client) -> None:
    call = one.stub.FullDuplexCall(**one.common)
    await call.done_writing()
    assert [response async for response in call] == []


async def half_duplex(one: Client) -> None:
    requests = [output(0, size) for size in RESPONSE_SIZES]
    call = one.stub.HalfDuplexCall(iter(requests), **one.common)
    assert [response.payload async for response in call] == [payload(n) for n in RESPONSE_SIZES]


async def custom_metadata(one: Client) -> None:
    common = {**one.common, "metadata": (*one.way.metadata, *ECHOED)}
    unary = one.stub.UnaryCall(simple(), **common)
    await unary
    await _echoed(unary)
    call = one.stub.FullDuplexCall(iter([output(LARGE_REQUEST, LARGE_RESPONSE)]), **common)
    assert [len(r.payload.body) async for r in call] == [LARGE_RESPONSE]
    await _echoed(call)


async def status_code_and_message(one: Client) -> None:
    await _status(one, MESSAGE, streaming=True)


async def special_status_message(one: Client) -> None:
    await _status(one, SPECIAL, streaming=False)


async def unimplemented_method(one: Client) -> None:
    with ends(grpc.StatusCode.UNIMPLEMENTED):
        await one.stub.UnimplementedCall(pb.Empty(), **one.common)


async def unimplemented_service(one: Client) -> None:
    stub: Any = stubs.UnimplementedServiceStub(one.channel)
    with ends(grpc.StatusCode.UNIMPLEMENTED):
        await stub.UnimplementedCall(pb.Empty(), **one.common)


async def cancel_after_begin(one: Client) -> None:
    call = one.stub.StreamingInputCall(**one.common)
    call.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED


async def cancel_after_first_response(one: Client) -> None:
    call = one.stub.FullDuplexCall(**one.common)
    await call.write(output(REQUEST_SIZES[0], RESPONSE_SIZES[0]))
    assert (await call.read()).payload == payload(RESPONSE_SIZES[0])
    call.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED


async def timeout_on_sleeping_server(one: Client) -> None:
    call = one.stub.FullDuplexCall(metadata=one.way.metadata, timeout=0.001)
    with ends(grpc.StatusCode.DEADLINE_EXCEEDED):
        # So short a deadline may be over before the first word: grpc.aio then takes no more.
        with suppress(asyncio.InvalidStateError):
            await call.write(output(REQUEST_SIZES[0]))
            await call.read()
            await asyncio.sleep(1)
        if await call.code() is not grpc.StatusCode.OK:
            raise aio.AioRpcError(await call.code(), aio.Metadata(), aio.Metadata())


async def concurrent_large_unary(one: Client) -> None:
    # The description says 1000, and has marked the case as "to do" ever since.
    await asyncio.gather(*(large_unary(one) for _ in range(50)))


async def _status(one: Client, message: str, *, streaming: bool) -> None:
    said = pb.EchoStatus(code=2, message=message)
    with ends(grpc.StatusCode.UNKNOWN) as found:
        await one.stub.UnaryCall(pb.SimpleRequest(response_status=said), **one.common)
    if streaming:
        with ends(grpc.StatusCode.UNKNOWN) as more:
            request = pb.StreamingOutputCallRequest(response_status=said)
            call = one.stub.FullDuplexCall(iter([request]), **one.common)
            assert [response async for response in call] == []
        found += more
    for error in found:
        details: Any = error
        assert details.details() == message


async def _echoed(call: Any) -> None:
    initial, trailing = ECHOED
    assert initial in tuple(await call.initial_metadata())
    assert trailing in tuple(await call.trailing_metadata())


async def _raw(
    connection: wire.Connection, way: Way, method: str, *messages: tuple[Message, bool]
) -> wire.Stream:
    """One call by hand: each message with whether it goes compressed."""
    metadata = [("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip"), *way.metadata]
    stream = connection.call(f"/{SERVICE}/{method}", metadata)
    for number, (message, compressed) in enumerate(messages, 1):
        await stream.message(
            message.SerializeToString(), compressed=compressed, end=number == len(messages)
        )
    return await stream.wait()


Case = Callable[[Client], Awaitable[None]]

CASES: tuple[Case, ...] = (
    empty_unary,
    large_unary,
    client_compressed_unary,
    server_compressed_unary,
    client_streaming,
    client_compressed_streaming,
    server_streaming,
    server_compressed_streaming,
    ping_pong,
    empty_stream,
    half_duplex,
    custom_metadata,
    status_code_and_message,
    special_status_message,
    unimplemented_method,
    unimplemented_service,
    cancel_after_begin,
    cancel_after_first_response,
    timeout_on_sleeping_server,
    concurrent_large_unary,
)
