"""The server of gRPC's interoperability test cases: `python -m tests.interop.service [PORT]`.

It offers `grpc.testing.TestService` to the public description and knows nothing of Simpul. Whether
a request came compressed is not told to a Python server, so this one has gRPC hand it messages as
they came, and looks: gzip and deflate begin with bytes that no message of ours begins with.

Source: github.com/grpc/grpc, doc/interop-test-descriptions.md, "Server".
"""

import asyncio
import gzip
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio

from tests.interop.gen import messages_pb2 as pb

SERVICE = "grpc.testing.TestService"
ECHO_INITIAL = "x-grpc-test-echo-initial"
ECHO_TRAILING = "x-grpc-test-echo-trailing-bin"

# Messages come as they were sent; sizes are for the nodes to limit.
OPTIONS = [
    ("grpc.per_message_decompression", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_metadata_size", 256 * 1024),
    ("grpc.so_reuseport", 0),
    # A window that does not follow the line: what is held on the way to here can be counted.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1024 * 1024),
]

Context = aio.ServicerContext[Any, Any]
M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Received(Generic[M]):
    """A request, and whether it came compressed."""

    message: M
    compressed: bool


def receive(kind: type[M]) -> Callable[[bytes], Received[M]]:
    """A deserializer that keeps what the length prefix said of compression."""

    def parse(data: bytes) -> Received[M]:
        if data.startswith(b"\x1f\x8b"):
            return Received(kind.FromString(gzip.decompress(data)), compressed=True)
        if data.startswith(b"\x78"):
            return Received(kind.FromString(zlib.decompress(data)), compressed=True)
        return Received(kind.FromString(data), compressed=False)

    return parse


async def empty_call(_request: Received[pb.Empty], context: Context) -> pb.Empty:
    await _echo_metadata(context)
    return pb.Empty()


async def unary_call(received: Received[pb.SimpleRequest], context: Context) -> pb.SimpleResponse:
    request = received.message
    await _echo_metadata(context)
    if request.response_type != pb.COMPRESSABLE:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "unknown response_type")
    await _expect_compression(request, compressed=received.compressed, context=context)
    await _echo_status(request, context)
    if request.response_compressed.value:
        context.set_compression(grpc.Compression.Gzip)
        # In a unary method it is heard by this alone.
        await context.send_initial_metadata(())
    return pb.SimpleResponse(payload=payload(request.response_size))


async def streaming_output_call(
    received: Received[pb.StreamingOutputCallRequest], context: Context
) -> AsyncIterator[pb.StreamingOutputCallResponse]:
    async for response in _responses(received.message, context):
        yield response


async def streaming_input_call(
    requests: AsyncIterator[Received[pb.StreamingInputCallRequest]], context: Context
) -> pb.StreamingInputCallResponse:
    await _echo_metadata(context)
    size = 0
    async for received in requests:
        request = received.message
        await _expect_compression(request, compressed=received.compressed, context=context)
        size += len(request.payload.body)
    return pb.StreamingInputCallResponse(aggregated_payload_size=size)


async def full_duplex_call(
    requests: AsyncIterator[Received[pb.StreamingOutputCallRequest]], context: Context
) -> AsyncIterator[pb.StreamingOutputCallResponse]:
    await _echo_metadata(context)
    async for received in requests:
        async for response in _responses(received.message, context):
            yield response


async def half_duplex_call(
    requests: AsyncIterator[Received[pb.StreamingOutputCallRequest]], context: Context
) -> AsyncIterator[pb.StreamingOutputCallResponse]:
    await _echo_metadata(context)
    for received in [received async for received in requests]:
        async for response in _responses(received.message, context):
            yield response


def payload(size: int) -> pb.Payload:
    """So many zeros."""
    return pb.Payload(type=pb.COMPRESSABLE, body=bytes(size))


async def _responses(
    request: pb.StreamingOutputCallRequest, context: Context
) -> AsyncIterator[pb.StreamingOutputCallResponse]:
    await _echo_status(request, context)
    if any(each.compressed.value for each in request.response_parameters):
        context.set_compression(grpc.Compression.Gzip)
    for each in request.response_parameters:
        await asyncio.sleep(each.interval_us / 1_000_000)
        if each.HasField("compressed") and not each.compressed.value:
            context.disable_next_message_compression()
        yield pb.StreamingOutputCallResponse(payload=payload(each.size))


async def _expect_compression(
    request: pb.SimpleRequest | pb.StreamingInputCallRequest, *, compressed: bool, context: Context
) -> None:
    if request.HasField("expect_compressed") and request.expect_compressed.value != compressed:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "compression was not as expected")


async def _echo_status(
    request: pb.SimpleRequest | pb.StreamingOutputCallRequest, context: Context
) -> None:
    if request.response_status.code:
        code = next(c for c in grpc.StatusCode if c.value[0] == request.response_status.code)
        await context.abort(code, request.response_status.message)


async def _echo_metadata(context: Context) -> None:
    said = dict(context.invocation_metadata() or ())
    if ECHO_TRAILING in said:
        context.set_trailing_metadata(((ECHO_TRAILING, said[ECHO_TRAILING]),))
    if ECHO_INITIAL in said:
        await context.send_initial_metadata(((ECHO_INITIAL, said[ECHO_INITIAL]),))


def handlers() -> grpc.GenericRpcHandler:
    """All methods but the one that no server has."""

    def handler(kind: Callable[..., Any], request: type[Message], behaviour: Any) -> Any:
        return kind(behaviour, receive(request), lambda response: response.SerializeToString())

    output = pb.StreamingOutputCallRequest
    methods = {
        "EmptyCall": handler(grpc.unary_unary_rpc_method_handler, pb.Empty, empty_call),
        "UnaryCall": handler(grpc.unary_unary_rpc_method_handler, pb.SimpleRequest, unary_call),
        "StreamingOutputCall": handler(
            grpc.unary_stream_rpc_method_handler, output, streaming_output_call
        ),
        "StreamingInputCall": handler(
            grpc.stream_unary_rpc_method_handler, pb.StreamingInputCallRequest, streaming_input_call
        ),
        "FullDuplexCall": handler(grpc.stream_stream_rpc_method_handler, output, full_duplex_call),
        "HalfDuplexCall": handler(grpc.stream_stream_rpc_method_handler, output, half_duplex_call),
    }
    return grpc.method_handlers_generic_handler(SERVICE, methods)


async def serve(port: int, *more: grpc.GenericRpcHandler) -> tuple[aio.Server, int]:
    """Starts the server on loopback; with 0 it chooses the port."""
    server = aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((handlers(), *more))
    chosen = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return server, chosen


async def main(port: int) -> None:
    """Serves until it is killed."""
    server, chosen = await serve(port)
    sys.stdout.write(f"listening on 127.0.0.1:{chosen}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
