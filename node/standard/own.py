"""The services that a node itself answers to its apps, beside health and reflection: one table.

They are listed by reflection with their contracts, and serve whenever the node does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from node.gather import gather
from simpul.v1 import catalogue_pb2, gather_pb2

CATALOGUE: Final = "simpul.v1.Catalogue"
CATALOGUE_METHODS: Final = tuple(
    method.name for method in catalogue_pb2.DESCRIPTOR.services_by_name["Catalogue"].methods
)


def _contract(file: FileDescriptor) -> bytes:
    """A service's file with all that it imports, each after its imports."""
    files = FileDescriptorSet()
    for each in dict.fromkeys(_with_imports(file)):
        each.CopyToProto(files.file.add())
    return files.SerializeToString()


def _with_imports(file: FileDescriptor) -> Iterator[FileDescriptor]:
    # Ours are few.
    for imported in file.dependencies:
        yield from _with_imports(imported)
    yield file


# Descriptor sets, by the services' full names.
CONTRACTS: Final[Mapping[str, bytes]] = MappingProxyType(
    {
        gather.SERVICE: _contract(gather_pb2.DESCRIPTOR),
        CATALOGUE: _contract(catalogue_pb2.DESCRIPTOR),
    }
)
