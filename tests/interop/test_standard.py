"""Health and reflection by stock clients at the gateway: the node answers what a server would."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from tests.interop.calling import channel
from tests.interop.federation import SERVICES, SUBSYSTEM, Ways

SERVING = health_pb2.HealthCheckResponse.SERVING
TEST_SERVICE = SERVICES[0]
VERSIONS = ("v1", "v1alpha")
Request = reflection_pb2.ServerReflectionRequest


async def health_of(ways: Ways, service: str, metadata: Any) -> int | grpc.StatusCode:
    """What a stock health client is told."""
    async with channel(ways.nodes) as opened:
        stub: Any = health_pb2_grpc.HealthStub(opened)  # type: ignore[no-untyped-call]
        try:
            request = health_pb2.HealthCheckRequest(service=service)
            return int((await stub.Check(request, metadata=metadata, timeout=5)).status)
        except aio.AioRpcError as error:
            return error.code()


async def test_health_of_the_node_and_of_a_remote_service(ways: Ways) -> None:
    own = tuple(pair for pair in ways.nodes.metadata if pair[0] == "simpul-token")
    assert await health_of(ways, "", own) == SERVING
    assert await health_of(ways, TEST_SERVICE, ways.nodes.metadata) == SERVING
    assert await health_of(ways, "nobody.v1.Nothing", ways.nodes.metadata) is (
        grpc.StatusCode.NOT_FOUND
    )


async def test_health_watched(ways: Ways) -> None:
    async with channel(ways.nodes) as opened:
        stub: Any = health_pb2_grpc.HealthStub(opened)  # type: ignore[no-untyped-call]
        request = health_pb2.HealthCheckRequest(service=TEST_SERVICE)
        call = stub.Watch(request, metadata=ways.nodes.metadata, timeout=10)
        assert (await call.read()).status == SERVING
        # It stays open, and says nothing while nothing changes.
        silent = asyncio.ensure_future(call.read())
        assert not (await asyncio.wait({silent}, timeout=0.3))[0]
        call.cancel()
        await asyncio.gather(silent, return_exceptions=True)
    ways.nothing_is_left()


async def reflected(ways: Ways, version: str, *requests: Any) -> list[Any]:
    """The answers of one reflection stream, as a stock client of that version asks."""
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    async with channel(ways.nodes) as opened:
        call = opened.stream_stream(
            path,
            request_serializer=Request.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )(iter(requests), metadata=ways.nodes.metadata, timeout=10)
        return [answer async for answer in call]


@pytest.mark.parametrize("version", VERSIONS)
async def test_list_describe_and_call_without_a_contract_in_hand(ways: Ways, version: str) -> None:
    """What grpcurl does: it knows an address, and learns the rest."""
    listed, described = await reflected(
        ways,
        version,
        Request(list_services="*"),
        Request(file_containing_symbol=TEST_SERVICE),
    )
    names = {service.name for service in listed.list_services_response.service}
    assert set(SERVICES) <= names
    pool = DescriptorPool()
    files = [
        FileDescriptorProto.FromString(data)
        for data in described.file_descriptor_response.file_descriptor_proto
    ]
    # Its imports come with it, in an order that is the server's.
    waiting = {file.name: file for file in files}
    while waiting:
        ready = [
            file
            for file in waiting.values()
            if not any(name in waiting and name != file.name for name in file.dependency)
        ]
        assert ready, sorted(waiting)
        for file in ready:
            pool.Add(file)
            del waiting[file.name]
    method = pool.FindServiceByName(TEST_SERVICE).FindMethodByName("UnaryCall")
    request: Any = GetMessageClass(method.input_type)(response_size=1000)
    answer_type: Any = GetMessageClass(method.output_type)
    async with channel(ways.nodes) as opened:
        unary = opened.unary_unary(
            f"/{TEST_SERVICE}/UnaryCall",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer_type.FromString,
        )
        answer = await unary(request, metadata=ways.nodes.metadata, timeout=10)
    assert len(answer.payload.body) == 1000


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_may_not_be_called_is_not_described(ways: Ways, version: str) -> None:
    (answer,) = await reflected(ways, version, Request(file_containing_symbol="nobody.v1.Nothing"))
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


@pytest.mark.parametrize("version", VERSIONS)
async def test_who_asks_without_a_credential_learns_nothing(ways: Ways, version: str) -> None:
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    async with channel(ways.nodes) as opened:
        call = opened.stream_stream(path)(metadata=(("simpul-to", SUBSYSTEM),), timeout=5)
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
