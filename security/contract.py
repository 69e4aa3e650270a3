"""Contracts: what a set of protobuf files says about the gRPC service that it defines.

A contract is carried as a FileDescriptorSet with all imports. It isn't parsed strictly: options of
other people's making are unknown fields here, and are kept as they are; the bytes are what is
hashed.

It calls nothing and translates no messages.

Source: docs/spec, "Contracts"; google/protobuf/descriptor.proto.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message

from security.errors import Code, SimpulError
from security.identifiers import check_method_name, check_service_name

MAX_DESCRIPTOR_SET_BYTES: Final = 4 * 1024 * 1024

_MAX_WHY_CHARS: Final = 200
# What protoc takes for a name that is reserved.
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_HOW: Final = "make it with protoc --include_imports --descriptor_set_out=FILE"


@dataclass(frozen=True, slots=True)
class MethodKind:
    """Which sides of a method stream."""

    client_streaming: bool
    server_streaming: bool


@dataclass(frozen=True, slots=True)
class ContractMethods:
    """The services of a descriptor set, by full name, each with its methods by name."""

    services: Mapping[str, Mapping[str, MethodKind]]

    def of(self, service: str) -> Mapping[str, MethodKind]:
        """Return a service's methods by name.

        Raises:
            SimpulError: PROTOSET_LACKS_SERVICE if the set doesn't define it, or it has no method.
        """
        methods = self.services.get(service, {})
        if len(methods) == 0:
            known = ", ".join(sorted(self.services)) or "none"
            raise SimpulError(
                Code.PROTOSET_LACKS_SERVICE,
                f"the protoset doesn't define {service} with methods; it defines: {known}; compile "
                "the file that defines it",
            )
        return methods


def parse_descriptor_set(data: bytes) -> ContractMethods:
    """Read which services and methods a descriptor set defines.

    Raises:
        SimpulError: PROTOSET_INVALID if it is too large, can't be parsed, lacks an import, or
            names a service or method as protobuf doesn't.
    """
    files = _parse(data)
    by_name = {file.name: file for file in files}
    if len(by_name) != len(files) or len(files) == 0:
        raise _invalid("has no file, or one twice")
    for file in files:
        for wanted in file.dependency:
            if wanted not in by_name:
                raise _invalid(f"lacks {wanted[:200]!a}, which a file imports")
    services = {}
    for file in files:
        for service in file.service:
            name = f"{file.package}.{service.name}" if file.package else service.name
            if name in services:
                raise _invalid(f"has a service twice: {name[:200]!a}")
            services[name] = _methods(name, service)
    return ContractMethods(MappingProxyType(services))


def check_contract(data: bytes, service: str) -> Mapping[str, MethodKind]:
    """Check thoroughly a descriptor set that is about to be published, and return its methods.

    Beyond `parse_descriptor_set`, every type that a file names must be defined.

    Raises:
        SimpulError: PROTOSET_INVALID or PROTOSET_LACKS_SERVICE.
    """
    methods = parse_descriptor_set(data).of(service)
    contract_pool(data)
    _check_texts(data)
    return methods


def check_sound(data: bytes) -> None:
    """Check a set beyond what its library does: every type is there, and nothing reserved is used.

    Raises:
        SimpulError: PROTOSET_INVALID.
    """
    contract_pool(data)
    _check_texts(data)
    for file in _parse(data):
        for message in file.message_type:
            _check_message(message)
        for enum in file.enum_type:
            _check_enum(enum)


def contract_pool(data: bytes) -> DescriptorPool:
    """Return all types of a descriptor set, in a pool of their own.

    Raises:
        SimpulError: PROTOSET_INVALID.
    """
    pool = DescriptorPool()
    waiting = {file.name: file for file in _parse(data)}
    while waiting:
        ready = [
            file
            for file in waiting.values()
            if not any(wanted in waiting for wanted in file.dependency)
        ]
        if not ready:
            raise _invalid("has files that import each other in a circle")
        for file in ready:
            del waiting[file.name]
            _add(pool, file)
    return pool


def _parse(data: bytes) -> list[FileDescriptorProto]:
    if len(data) > MAX_DESCRIPTOR_SET_BYTES:
        raise _invalid(f"has {len(data)} bytes and may have {MAX_DESCRIPTOR_SET_BYTES}")
    try:
        files = list(FileDescriptorSet.FromString(data).file)
    except DecodeError:
        raise _invalid("can't be parsed") from None
    # Descriptors are of protobuf's second edition, whose texts may be any bytes.
    if any(type(text) is not str for file in files for text in _names(file)):
        raise _invalid("has a name that isn't UTF-8")
    return files


def _check_texts(data: bytes) -> None:
    """Names, defaults and comments are UTF-8: protobuf's library doesn't say so of all."""
    try:
        for file in _parse(data):
            _check_texts_in(file)
    except UnicodeDecodeError:
        raise _invalid("has a text that isn't UTF-8") from None


def _check_texts_in(message: Message) -> None:
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            texts = (value,) if isinstance(value, str | bytes) else value
            if any(type(text) is not str for text in texts):
                raise _invalid(f"has a text that isn't UTF-8, in a {field.name}")
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for item in (value,) if isinstance(value, Message) else value:
                _check_texts_in(item)


def _names(file: FileDescriptorProto) -> Iterator[str]:
    yield from (file.name, file.package, *file.dependency)
    for service in file.service:
        yield service.name
        yield from (method.name for method in service.method)


def _methods(name: str, service: ServiceDescriptorProto) -> Mapping[str, MethodKind]:
    methods: dict[str, MethodKind] = {}
    try:
        check_service_name(name)
        for method in service.method:
            check_method_name(method.name)
            methods[method.name] = MethodKind(method.client_streaming, method.server_streaming)
    except SimpulError as error:
        raise _invalid(f"has a bad name: {error.message}") from None
    if len(methods) != len(service.method):
        raise _invalid(f"has a method twice, in {name}")
    return MappingProxyType(methods)


def _check_message(message: DescriptorProto) -> None:
    _check_identifiers(message.name, message.reserved_name)
    for field in message.field:
        taken = any(item.start <= field.number < item.end for item in message.reserved_range)
        if taken or field.name in message.reserved_name:
            raise _reserved(message.name, field.name)
    for inner in message.nested_type:
        _check_message(inner)
    for enum in message.enum_type:
        _check_enum(enum)


def _check_enum(enum: EnumDescriptorProto) -> None:
    _check_identifiers(enum.name, enum.reserved_name)
    for value in enum.value:
        taken = any(item.start <= value.number <= item.end for item in enum.reserved_range)
        if taken or value.name in enum.reserved_name:
            raise _reserved(enum.name, value.name)


def _check_identifiers(where: str, names: Sequence[str]) -> None:
    for name in names:
        if _IDENTIFIER.fullmatch(name) is None:
            raise _invalid(f"reserves what is no name, in {where[:200]!a}: {name[:200]!a}")


def _reserved(where: str, name: str) -> SimpulError:
    return _invalid(f"uses what it reserves itself: {where[:200]!a} has {name[:200]!a}")


def _add(pool: DescriptorPool, file: FileDescriptorProto) -> None:
    try:
        pool.AddSerializedFile(file.SerializeToString())
    except TypeError as error:
        # What the library says of it, behind its own words that something can't be built.
        why = " ".join(str(error).rpartition("descriptor pool: ")[2].split())[:_MAX_WHY_CHARS]
        raise _invalid(f"has a file that isn't sound: {file.name[:200]!a}: {why!a}") from None


def _invalid(what: str) -> SimpulError:
    return SimpulError(Code.PROTOSET_INVALID, f"the protoset {what}; {_HOW}")
