from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc import aio
from grpc_reflection.v1alpha import reflection

from node.provider.reflection import reflect
from security.contract import check_contract
from security.errors import Code, SimpulError
from simpul.node.v1 import admin_pb2  # noqa: F401 - registers what the server describes
from simpul.v1 import agreement_pb2

NODE_ADMIN = "simpul.node.v1.NodeAdmin"
AGREEMENTS = "simpul.v1.Agreements"


async def served(*names: str) -> tuple[aio.Server, str]:
    server = aio.server(options=[("grpc.so_reuseport", 0)])
    if names:
        enable: Any = reflection.enable_server_reflection
        enable([*names, reflection.SERVICE_NAME], server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"


async def code_of(target: str, *names: str) -> Code:
    with pytest.raises(SimpulError) as caught:
        await reflect(target, names)
    return caught.value.code


async def test_a_server_describes_itself_imports_first() -> None:
    # This server knows v1alpha alone, so v1 was asked in vain first.
    server, target = await served(AGREEMENTS, NODE_ADMIN)
    data = await reflect(target, [AGREEMENTS, NODE_ADMIN])
    check_contract(data, AGREEMENTS)
    check_contract(data, NODE_ADMIN)
    files = FileDescriptorSet.FromString(data).file
    known: set[str] = set()
    for file in files:
        assert known.issuperset(file.dependency), file.name
        known.add(file.name)
    assert agreement_pb2.DESCRIPTOR.name in known
    assert await reflect(target, []) == data
    assert await code_of(target, "no.such.Service") is Code.PROTOSET_LACKS_SERVICE
    await server.stop(0)
    assert await code_of(target, NODE_ADMIN) is Code.SERVICE_UNREACHABLE


async def test_a_server_without_reflection_is_named() -> None:
    server, target = await served()
    assert await code_of(target, NODE_ADMIN) is Code.METHOD_UNKNOWN
    await server.stop(0)


async def test_a_bad_target_is_refused() -> None:
    assert await code_of("localhost", NODE_ADMIN) is Code.CONFIG_INVALID
