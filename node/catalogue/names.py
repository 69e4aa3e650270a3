"""The shortest name by which a `.proto` file may call a type, so that it still means that type.

protoc looks for the first part of a name in the innermost scope, then further out, and takes the
first that it finds, whatever it is. So a short name is used only where nothing nearer has its first
part; everything in the set counts as nearer, imported or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto


class Names:
    """All that the files of a set give a name to."""

    def __init__(self, files: Iterable[FileDescriptorProto]) -> None:
        self._known: set[str] = set()
        for file in files:
            self._known.update(_of_file(file))

    def short(self, full: str, scope: str) -> str:
        """How `scope`, a full name, may write a type's name `.wisata.v1.Island`."""
        wanted = full.removeprefix(".")
        parts = wanted.split(".")
        for count in range(1, len(parts) + 1):
            written = ".".join(parts[-count:])
            if self._means(written, scope) == wanted:
                return written
        return f".{wanted}"

    def _means(self, written: str, scope: str) -> str | None:
        first = written.partition(".")[0]
        within = scope.split(".") if scope else []
        for depth in range(len(within), -1, -1):
            prefix = "".join(f"{part}." for part in within[:depth])
            if prefix + first in self._known:
                return prefix + written
        return None


def _of_file(file: FileDescriptorProto) -> Iterator[str]:
    parts = file.package.split(".") if file.package else []
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count])
    prefix = f"{file.package}." if file.package else ""
    for message in file.message_type:
        yield from _of_message(prefix, message)
    for enum in file.enum_type:
        yield from _of_enum(prefix, enum)
    for field in file.extension:
        yield prefix + field.name
    for service in file.service:
        yield prefix + service.name
        for method in service.method:
            yield f"{prefix}{service.name}.{method.name}"


def _of_message(prefix: str, message: DescriptorProto) -> Iterator[str]:
    name = prefix + message.name
    yield name
    for field in (*message.field, *message.extension):
        yield f"{name}.{field.name}"
    for oneof in message.oneof_decl:
        yield f"{name}.{oneof.name}"
    for enum in message.enum_type:
        yield from _of_enum(f"{name}.", enum)
    for nested in message.nested_type:
        yield from _of_message(f"{name}.", nested)


def _of_enum(prefix: str, enum: EnumDescriptorProto) -> Iterator[str]:
    yield prefix + enum.name
    # Values stand beside their enum, as in C++.
    for value in enum.value:
        yield prefix + value.name
