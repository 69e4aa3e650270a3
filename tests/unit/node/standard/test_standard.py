"""Health and reflection: what an app is told of, and what it isn't."""

import asyncio

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import (
    ServerReflectionRequest,
    ServerReflectionResponse,
)

from node.calls import HalfClose, Message
from node.standard.own import CONTRACTS
from node.standard.reflection import Contracts
from security.errors import Code
from tests.conformance import fixed
from tests.support.pair import FakeCall, Half, pair, unary

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
V1 = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
V1ALPHA = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


def health(path: str, service: str = "") -> FakeCall:
    question = HealthCheckRequest(service=service).SerializeToString()
    return FakeCall("", Message(question), HalfClose(), path=path, to=None)


async def asked(
    half: Half, *questions: ServerReflectionRequest, path: str = V1
) -> list[ServerReflectionResponse]:
    messages = [Message(question.SerializeToString()) for question in questions]
    call = await half.run(FakeCall("", *messages, HalfClose(), path=path, to=None))
    assert call.trailers.status == 0
    return [ServerReflectionResponse.FromString(data) for data in call.messages]


async def test_the_node_itself_serves() -> None:
    async with pair() as two:
        call = await two.consumer.run(health(CHECK))
        answer = HealthCheckResponse.FromString(call.messages[0])
        assert answer.status == HealthCheckResponse.SERVING
        two.consumer.current.suspend()
        call = await two.consumer.run(health(CHECK))
        answer = HealthCheckResponse.FromString(call.messages[0])
        assert answer.status == HealthCheckResponse.NOT_SERVING


async def test_a_remote_service_serves_while_its_node_is_reached() -> None:
    async with pair() as two:
        call = await two.consumer.run(health(CHECK, fixed.SERVICE))
        answer = HealthCheckResponse.FromString(call.messages[0])
        assert answer.status == HealthCheckResponse.SERVING
        two.provider.server._draining = True
        two.consumer.dialler.sever(lambda _: None)
        await two.consumer.dialler.close()
        call = await two.consumer.run(health(CHECK, fixed.SERVICE))
        answer = HealthCheckResponse.FromString(call.messages[0])
        assert answer.status == HealthCheckResponse.NOT_SERVING


async def test_a_service_that_the_app_may_not_call_is_unknown() -> None:
    async with pair() as two:
        call = await two.consumer.run(health(CHECK, "other.v1.Service"))
        assert call.trailers.status == 5
        two.consumer.agree()
        call = await two.consumer.run(health(CHECK, fixed.SERVICE))
        assert call.trailers.status == 5


async def test_watch_tells_of_changes() -> None:
    async with pair() as two:
        call = health(WATCH)
        running = asyncio.create_task(two.consumer.run(call))
        async with asyncio.timeout(5):
            while not call.messages:
                await asyncio.sleep(0.01)
            two.consumer.current.suspend()
            while len(call.messages) < 2:
                await asyncio.sleep(0.01)
        call.go_away()
        await running
        told = [HealthCheckResponse.FromString(data).status for data in call.messages]
        assert told == [HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING]


async def test_reflection_lists_and_describes_what_the_app_may_call() -> None:
    async with pair() as two:
        for path in (V1, V1ALPHA):
            listed, by_symbol, by_method, by_name = await asked(
                two.consumer,
                ServerReflectionRequest(list_services="*"),
                ServerReflectionRequest(file_containing_symbol=fixed.SERVICE),
                ServerReflectionRequest(file_containing_symbol=f"{fixed.SERVICE}.Get"),
                ServerReflectionRequest(file_by_filename="wisata.proto"),
                path=path,
            )
            names = [service.name for service in listed.list_services_response.service]
            assert names[0] == fixed.SERVICE
            for answer in (by_symbol, by_method, by_name):
                files = answer.file_descriptor_response.file_descriptor_proto
                assert FileDescriptorProto.FromString(files[0]).name == "wisata.proto"


async def test_reflection_knows_nothing_else() -> None:
    async with pair() as two:
        answers = await asked(
            two.consumer,
            ServerReflectionRequest(file_containing_symbol="other.v1.Service"),
            ServerReflectionRequest(file_by_filename="other.proto"),
            ServerReflectionRequest(all_extension_numbers_of_type="wisata.v1.Island"),
        )
        assert [answer.error_response.error_code for answer in answers] == [5, 5, 5]
        two.consumer.agree()
        (listed,) = await asked(two.consumer, ServerReflectionRequest(list_services="*"))
        names = [service.name for service in listed.list_services_response.service]
        assert fixed.SERVICE not in names


async def test_who_asks_must_be_known() -> None:
    async with pair() as two:
        call = FakeCall("", HalfClose(), path=V1, to=None, token="simpul_app_wrong")
        assert (await two.consumer.run(call)).error() == Code.APP_CREDENTIAL_WRONG


async def test_questions_that_are_none() -> None:
    async with pair() as two:
        for path in (V1, CHECK):
            call = FakeCall("", Message(b"\xff\xff"), HalfClose(), path=path, to=None)
            assert (await two.consumer.run(call)).error() == Code.REQUEST_MALFORMED
        assert (await two.consumer.run(unary())).trailers.status == 0


async def test_the_nodes_own_services_are_listed_described_and_serve() -> None:
    async with pair() as two:
        listed, described = await asked(
            two.consumer,
            ServerReflectionRequest(list_services="*"),
            ServerReflectionRequest(file_containing_symbol="simpul.v1.Catalogue.Search"),
        )
        names = [service.name for service in listed.list_services_response.service]
        assert {"simpul.v1.Gather", "simpul.v1.Catalogue"} < set(names)
        files = described.file_descriptor_response.file_descriptor_proto
        came = {FileDescriptorProto.FromString(file).name for file in files}
        # With all that it imports.
        assert {"simpul/v1/catalogue.proto", "simpul/v1/directory.proto"} < came
        assert len(came) == len(files)
        for name in CONTRACTS:
            call = await two.consumer.run(health(CHECK, name))
            answer = HealthCheckResponse.FromString(call.messages[0])
            assert answer.status == HealthCheckResponse.SERVING


def catalogue(method: str, data: bytes = b"question", token: str | None = None) -> FakeCall:
    path = f"/simpul.v1.Catalogue/{method}"
    return FakeCall("", Message(data), HalfClose(), path=path, to=None, token=token)


async def test_the_catalogue_is_asked_in_the_name_of_the_app() -> None:
    async with pair() as two:
        call = await two.consumer.run(catalogue("Search"))
        assert call.messages == [b"Search", b"question", str(fixed.SUPER_APP).encode()]
        assert call.trailers.status == 0
        # A stream without a message has headers, too.
        call = await two.consumer.run(catalogue("Download", b"none"))
        assert (call.messages, call.trailers.status) == ([], 0)
        # It's no call of the federation's.
        assert two.consumer.journal.records == []


async def test_the_catalogue_needs_a_credential_and_one_message() -> None:
    async with pair() as two:
        call = await two.consumer.run(catalogue("Search", token="simpul_app_wrong"))
        assert call.error() == Code.APP_CREDENTIAL_WRONG
        assert call.messages == []
        # The regency's node lets no app in without one.
        call = await two.provider.run(catalogue("Show"))
        assert call.error() == Code.APP_CREDENTIAL_MISSING
        none = FakeCall("", HalfClose(), path="/simpul.v1.Catalogue/Show", to=None)
        assert (await two.consumer.run(none)).error() == Code.REQUEST_MALFORMED


async def test_a_contract_with_very_many_ways_through_its_imports_is_described() -> None:
    # Each of forty files imports two copies of the one before: 2^40 ways, 81 files.
    files = FileDescriptorSet()
    files.file.add(name="0a.proto", syntax="proto3")
    files.file.add(name="0b.proto", syntax="proto3")
    for number in range(1, 40):
        for copy in "ab":
            file = files.file.add(name=f"{number}{copy}.proto", syntax="proto3")
            file.dependency.extend([f"{number - 1}a.proto", f"{number - 1}b.proto"])
    top = files.file.add(name="top.proto", package="top.v1", syntax="proto3")
    top.dependency.extend(["39a.proto", "39b.proto"])
    top.service.add(name="Top")
    shown = Contracts({"top.v1.Top": files.SerializeToString()})
    answer = shown.answer(ServerReflectionRequest(file_containing_symbol="top.v1.Top"))
    assert len(answer.file_descriptor_response.file_descriptor_proto) == 81
