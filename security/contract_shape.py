"""When two descriptor sets define the same contract: by what they define, not by their bytes.

Two compilations of one .proto file differ in bytes: comments, the order and the names of files,
default JSON names, unused imports. Their shape is the same. A shape is what a caller or a provider
can tell: services, methods, and every message and enum that they reach, with names, numbers, kinds,
defaults, reserved names, options, and the syntax that they are read by.

A shape is compared, never kept or sent. Of sets that `contract.contract_pool` has passed. Pure.

Source: docs/spec, "Contracts: the same contract".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

from security.errors import Code, SimpulError

# By full name, in canonical bytes.
Shape = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class _Defined:
    """A message, enum or service, and the file that it is read by."""

    file: FileDescriptorProto
    item: DescriptorProto | EnumDescriptorProto | ServiceDescriptorProto


def service_shape(descriptor_set: bytes, service: str) -> Shape:
    """The shape of one service; raises SimpulError PROTOSET_LACKS_SERVICE."""
    defined = _definitions(descriptor_set)
    found = defined.get(service)
    if found is None or not isinstance(found.item, ServiceDescriptorProto):
        raise SimpulError(
            Code.PROTOSET_LACKS_SERVICE,
            f"the protoset doesn't define {service}: compile the file that defines it",
        )
    return _shape(defined, [service])


def package_shape(descriptor_set: bytes, package: str) -> Shape:
    """The shape of all that a package defines, services or not."""
    defined = _definitions(descriptor_set)
    return _shape(defined, [name for name, it in defined.items() if it.file.package == package])


def json_name(field: FieldDescriptorProto) -> str:
    """A field's name in JSON, also where the compiler left it out."""
    if field.json_name:
        return field.json_name
    first, *rest = field.name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def _definitions(descriptor_set: bytes) -> dict[str, _Defined]:
    found: dict[str, _Defined] = {}
    for file in FileDescriptorSet.FromString(descriptor_set).file:
        prefix = f"{file.package}." if file.package else ""
        for service in file.service:
            found[f"{prefix}{service.name}"] = _Defined(file, service)
        for enum in file.enum_type:
            found[f"{prefix}{enum.name}"] = _Defined(file, enum)
        for message in file.message_type:
            found.update(_nested(file, prefix, message))
    return found


def _nested(
    file: FileDescriptorProto, prefix: str, message: DescriptorProto
) -> Iterator[tuple[str, _Defined]]:
    name = f"{prefix}{message.name}"
    yield name, _Defined(file, message)
    for enum in message.enum_type:
        yield f"{name}.{enum.name}", _Defined(file, enum)
    for inner in message.nested_type:
        yield from _nested(file, f"{name}.", inner)


def _shape(defined: Mapping[str, _Defined], roots: list[str]) -> Shape:
    shape: dict[str, bytes] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in shape or name not in defined:
            continue
        found = defined[name]
        shape[name] = _header(found.file) + _canonical(found.item)
        waiting += _reached(found.item)
    return shape


def _reached(item: DescriptorProto | EnumDescriptorProto | ServiceDescriptorProto) -> Iterator[str]:
    if isinstance(item, ServiceDescriptorProto):
        for method in item.method:
            yield method.input_type.removeprefix(".")
            yield method.output_type.removeprefix(".")
    elif isinstance(item, DescriptorProto):
        for field in item.field:
            if field.type_name:
                yield field.type_name.removeprefix(".")


def _header(file: FileDescriptorProto) -> bytes:
    """How a file's definitions are read."""
    features = file.options.features.SerializeToString(deterministic=True)
    return f"{file.syntax or 'proto2'} {file.edition} {features.hex()}\n".encode()


def _canonical(item: DescriptorProto | EnumDescriptorProto | ServiceDescriptorProto) -> bytes:
    if isinstance(item, ServiceDescriptorProto):
        service = ServiceDescriptorProto()
        service.CopyFrom(item)
        methods = sorted(service.method, key=lambda method: method.name)
        del service.method[:]
        service.method.extend(methods)
        for method in service.method:
            # Both sides unsaid, and both said to be false, are the same.
            method.client_streaming = method.client_streaming
            method.server_streaming = method.server_streaming
        return service.SerializeToString(deterministic=True)
    if isinstance(item, EnumDescriptorProto):
        return item.SerializeToString(deterministic=True)
    message = DescriptorProto()
    message.CopyFrom(item)
    # Each stands under its own name.
    del message.nested_type[:]
    del message.enum_type[:]
    fields = sorted(message.field, key=lambda field: field.number)
    del message.field[:]
    message.field.extend(fields)
    for field in message.field:
        field.json_name = json_name(field)
    return message.SerializeToString(deterministic=True)
