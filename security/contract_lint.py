"""What could be better about a contract: advice, and never a reason to refuse it.

Names as protobuf's style guide spells them, a version in the package's name, and a comment on
whatever others will read. Each piece of advice names its element. Pure.

Source: docs/spec, "Contracts: advice"; protobuf.dev, "Style Guide".
"""

import re
from collections.abc import Collection, Iterator
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from security.contract_card import Comment

# Beyond these the rest is counted.
MAX_ADVICE: Final = 100

_VERSIONED: Final = re.compile(r".*\.v[1-9][0-9]*((alpha|beta)[1-9]?[0-9]*)?")
_PACKAGE: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_PASCAL: Final = re.compile(r"[A-Z][A-Za-z0-9]*")
_SNAKE: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_UPPER: Final = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")


def advice(descriptor_set: bytes, package: str, comments: Collection[Comment]) -> tuple[str, ...]:
    """What could be better about a package, one sentence each."""
    said = {comment.element for comment in comments}
    found = list(_of_package(package))
    for file in FileDescriptorSet.FromString(descriptor_set).file:
        if file.package == package:
            found += _of_file(file, said)
    if len(found) > MAX_ADVICE:
        return (*found[:MAX_ADVICE], f"and {len(found) - MAX_ADVICE} more like these")
    return tuple(found)


def _of_package(package: str) -> Iterator[str]:
    if _PACKAGE.fullmatch(package) is None:
        yield f"{package}: write a package in lower case"
    if _VERSIONED.fullmatch(package) is None:
        yield f"{package}: end the package's name in a version, as in {package}.v1"


def _of_file(file: FileDescriptorProto, said: Collection[str]) -> Iterator[str]:
    prefix = f"{file.package}."
    if file.syntax in ("", "proto2"):
        yield f"{file.name}: write it in proto3 or an edition"
    for service in file.service:
        name = f"{prefix}{service.name}"
        yield from _named(_PASCAL, name, service.name, "a service in PascalCase")
        yield from _commented(name, said)
        for method in service.method:
            full = f"{name}.{method.name}"
            yield from _named(_PASCAL, full, method.name, "a method in PascalCase")
            yield from _commented(full, said)
    for message in file.message_type:
        yield from _of_message(prefix, message, said)
    for enum in file.enum_type:
        yield from _of_enum(prefix, enum, said)


def _of_message(prefix: str, message: DescriptorProto, said: Collection[str]) -> Iterator[str]:
    if message.options.map_entry:
        return
    name = f"{prefix}{message.name}"
    yield from _named(_PASCAL, name, message.name, "a message in PascalCase")
    yield from _commented(name, said)
    for field in message.field:
        full = f"{name}.{field.name}"
        yield from _named(_SNAKE, full, field.name, "a field in lower_snake_case")
        yield from _commented(full, said)
    for inner in message.nested_type:
        yield from _of_message(f"{name}.", inner, said)
    for enum in message.enum_type:
        yield from _of_enum(f"{name}.", enum, said)


def _of_enum(prefix: str, enum: EnumDescriptorProto, said: Collection[str]) -> Iterator[str]:
    name = f"{prefix}{enum.name}"
    yield from _named(_PASCAL, name, enum.name, "an enum in PascalCase")
    yield from _commented(name, said)
    for value in enum.value:
        full = f"{name}.{value.name}"
        yield from _named(_UPPER, full, value.name, "a value in UPPER_SNAKE_CASE")
    first = enum.value[0].name if enum.value else ""
    if not first.endswith(("_UNSPECIFIED", "_UNKNOWN")):
        yield f"{name}: let the value 0 end in _UNSPECIFIED, so that nothing said means nothing"


def _named(pattern: re.Pattern[str], full: str, name: str, how: str) -> Iterator[str]:
    if pattern.fullmatch(name) is None:
        yield f"{full}: write {how}"


def _commented(full: str, said: Collection[str]) -> Iterator[str]:
    if full not in said:
        yield f"{full}: say in a comment what it is"
