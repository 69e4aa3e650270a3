"""Every RPC of a program's own sockets has a row in its table: a missing one would be refused."""

import pytest
from google.protobuf.descriptor import FileDescriptor

from node import authorization as node
from registry import authorization as registry
from simpul.node.v1 import admin_pb2 as node_admin
from simpul.node.v1 import control_pb2
from simpul.registry.v1 import admin_pb2 as registry_admin
from simpul.v1 import registry_pb2

TABLES = {
    "node": (set(node.TABLE), (node_admin.DESCRIPTOR, control_pb2.DESCRIPTOR)),
    "registry": (set(registry.TABLE), (registry_admin.DESCRIPTOR, registry_pb2.DESCRIPTOR)),
}


@pytest.mark.parametrize("program", TABLES)
def test_the_table_is_exactly_the_methods_in_the_protos(program: str) -> None:
    rows, files = TABLES[program]
    assert rows == {method for file in files for method in _methods(file)}


def _methods(file: FileDescriptor) -> set[str]:
    return {
        f"/{service.full_name}/{method.name}"
        for service in file.services_by_name.values()
        for method in service.methods
    }
