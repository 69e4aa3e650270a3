"""The same cases with Python's `grpc`, the client without asyncio, which is another client in C.

What only `wire` can show is not repeated. Each is a function that takes a `Client` of `cases`.
"""

import queue
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from tests.interop.cases import (
    ECHOED,
    LARGE_REQUEST,
    LARGE_RESPONSE,
    MESSAGE,
    REQUEST_SIZES,
    RESPONSE_SIZES,
    SPECIAL,
    Client,
    boolean,
    ends,
    output,
    simple,
)
from tests.interop.federation import Way
from tests.interop.gen import messages_pb2 as pb
from tests.interop.gen import service_pb2_grpc as stubs
from tests.interop.service import payload


@contextmanager
def client(way: Way) -> Iterator[Client]:
    """A client with a channel of its own."""
    with grpc.insecure_channel(way.target) as channel:
        yield Client(way, channel, stubs.TestServiceStub(channel))


def empty_unary(one: Client) -> None:
    assert one.stub.EmptyCall(pb.Empty(), **one.common) == pb.Empty()


def large_unary(one: Client) -> None:
    assert one.stub.UnaryCall(simple(), **one.common).payload == payload(LARGE_RESPONSE)


def client_compressed_unary(one: Client) -> None:
    with ends(grpc.StatusCode.INVALID_ARGUMENT):
        one.stub.UnaryCall(simple(expect_compressed=boolean(True)), **one.common)
    for compressed in (True, False):
        response = one.stub.UnaryCall(
            simple(expect_compressed=boolean(compressed)),
            compression=grpc.Compression.Gzip if compressed else None,
            **one.common,
        )
        assert response.payload == payload(LARGE_RESPONSE)


def server_compressed_unary(one: Client) -> None:
    for compressed in (True, False):
        request = simple(response_compressed=boolean(compressed))
        assert one.stub.UnaryCall(request, **one.common).payload == payload(LARGE_RESPONSE)


def client_streaming(one: Client) -> None:
    requests = [pb.StreamingInputCallRequest(payload=payload(size)) for size in REQUEST_SIZES]
    response = one.stub.StreamingInputCall(iter(requests), **one.common)
    assert response.aggregated_payload_size == sum(REQUEST_SIZES)


def server_streaming(one: Client) -> None:
    call = one.stub.StreamingOutputCall(output(0, *RESPONSE_SIZES), **one.common)
    assert [response.payload for response in call] == [payload(size) for size in RESPONSE_SIZES]


def server_compressed_streaming(one: Client) -> None:
    request = pb.StreamingOutputCallRequest(
        response_parameters=[
            pb.ResponseParameters(size=31_415, compressed=boolean(True)),
            pb.ResponseParameters(size=92_653, compressed=boolean(False)),
        ]
    )
    call = one.stub.StreamingOutputCall(request, **one.common)
    assert [len(response.payload.body) for response in call] == [31_415, 92_653]


def ping_pong(one: Client) -> None:
    requests = _Requests()
    call = one.stub.FullDuplexCall(requests, **one.common)
    for request_size, response_size in zip(REQUEST_SIZES, RESPONSE_SIZES, strict=True):
        requests.put(output(request_size, response_size))
        assert next(call).payload == payload(response_size)
    requests.end()
    assert list(call) == []
    assert call.code() is grpc.StatusCode.OK


def empty_stream(one: Client) -> None:
    assert list(one.stub.FullDuplexCall(iter(()), **one.common)) == []


def half_duplex(one: Client) -> None:
    call = one.stub.HalfDuplexCall(iter([output(0, n) for n in RESPONSE_SIZES]), **one.common)
    assert [response.payload for response in call] == [payload(size) for size in RESPONSE_SIZES]


def custom_metadata(one: Client) -> None:
    common = {**one.common, "metadata": (*one.way.metadata, *ECHOED)}
    _, unary = one.stub.UnaryCall.with_call(simple(), **common)
    call = one.stub.FullDuplexCall(iter([output(LARGE_REQUEST, LARGE_RESPONSE)]), **common)
    assert [len(response.payload.body) for response in call] == [LARGE_RESPONSE]
    for each in (unary, call):
        assert ECHOED[0] in [tuple(pair) for pair in each.initial_metadata()]
        assert ECHOED[1] in [tuple(pair) for pair in each.trailing_metadata()]


def status_code_and_message(one: Client) -> None:
    said = pb.EchoStatus(code=2, message=MESSAGE)
    with ends(grpc.StatusCode.UNKNOWN) as found:
        one.stub.UnaryCall(pb.SimpleRequest(response_status=said), **one.common)
    with ends(grpc.StatusCode.UNKNOWN) as more:
        request = pb.StreamingOutputCallRequest(response_status=said)
        list(one.stub.FullDuplexCall(iter([request]), **one.common))
    details: list[Any] = [*found, *more]
    assert [error.details() for error in details] == [MESSAGE, MESSAGE]


def special_status_message(one: Client) -> None:
    said = pb.EchoStatus(code=2, message=SPECIAL)
    with ends(grpc.StatusCode.UNKNOWN) as found:
        one.stub.UnaryCall(pb.SimpleRequest(response_status=said), **one.common)
    error: Any = found[0]
    assert error.details() == SPECIAL


def unimplemented_method(one: Client) -> None:
    with ends(grpc.StatusCode.UNIMPLEMENTED):
        one.stub.UnimplementedCall(pb.Empty(), **one.common)


def unimplemented_service(one: Client) -> None:
    with ends(grpc.StatusCode.UNIMPLEMENTED):
        stubs.UnimplementedServiceStub(one.channel).UnimplementedCall(pb.Empty(), **one.common)


def cancel_after_begin(one: Client) -> None:
    requests = _Requests()
    call = one.stub.StreamingInputCall.future(requests, **one.common)
    call.cancel()
    requests.end()
    assert call.code() is grpc.StatusCode.CANCELLED


def cancel_after_first_response(one: Client) -> None:
    requests = _Requests()
    call = one.stub.FullDuplexCall(requests, **one.common)
    requests.put(output(REQUEST_SIZES[0], RESPONSE_SIZES[0]))
    assert next(call).payload == payload(RESPONSE_SIZES[0])
    call.cancel()
    requests.end()
    assert call.code() is grpc.StatusCode.CANCELLED


def timeout_on_sleeping_server(one: Client) -> None:
    requests = _Requests()
    requests.put(output(REQUEST_SIZES[0]))
    call = one.stub.FullDuplexCall(requests, metadata=one.way.metadata, timeout=0.001)
    with ends(grpc.StatusCode.DEADLINE_EXCEEDED):
        time.sleep(0.05)
        list(call)
    requests.end()


def concurrent_large_unary(one: Client) -> None:
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: large_unary(one), range(50)))


class _Requests:
    """A request stream that stays open until it is told."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[pb.StreamingOutputCallRequest | None] = queue.SimpleQueue()

    def put(self, request: pb.StreamingOutputCallRequest) -> None:
        self._queue.put(request)

    def end(self) -> None:
        self._queue.put(None)

    def __iter__(self) -> "_Requests":
        return self

    def __next__(self) -> pb.StreamingOutputCallRequest:
        found = self._queue.get()
        if found is None:
            raise StopIteration
        return found


Case = Callable[[Client], None]

CASES: tuple[Case, ...] = (
    empty_unary,
    large_unary,
    client_compressed_unary,
    server_compressed_unary,
    client_streaming,
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
