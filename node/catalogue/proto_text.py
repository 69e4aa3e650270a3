"""A descriptor set's files as `.proto` text, with the comments that the set has kept.

protoc makes the same descriptors of the text again: syntax, packages, imports, nested types, maps,
groups, oneofs, extensions, reserved names and numbers, defaults, the contract's own options. What
descriptors don't hold (blank lines, the comments of options) is not brought back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    Edition,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
    SourceCodeInfo,
)

from node.catalogue.names import Names
from node.catalogue.options import Options, quoted
from security.contract import contract_pool

INDENT: Final = "  "
# Those that protoc brings along.
BROUGHT: Final = "google/protobuf/"
_MAX_NUMBER: Final = 1 << 29
_MAX_VALUE: Final = (1 << 31) - 1
_Path = tuple[int, ...]
_Lines = Iterator[str]
_TEXT_DEFAULTS: Final = frozenset(
    {FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_BYTES}
)


def proto_files(descriptor_set: bytes) -> dict[str, str]:
    """The texts by file name, in the set's order, but for those that protoc has itself.

    Raises:
        SimpulError: PROTOSET_INVALID.
    """
    pool = contract_pool(descriptor_set)
    files = FileDescriptorSet.FromString(descriptor_set).file
    names, options = Names(files), Options(pool)
    return {
        file.name: _File(file, names, options).text()
        for file in files
        if not file.name.startswith(BROUGHT)
    }


class _File:
    """One file, on its way to text."""

    def __init__(self, file: FileDescriptorProto, names: Names, options: Options) -> None:
        self._file = file
        self._names = names
        self._options = options
        self._said = {tuple(at.path): at for at in file.source_code_info.location}

    def text(self) -> str:
        lines = [line.rstrip() for line in self._lines()]
        return "\n".join(lines).strip("\n") + "\n"

    def _lines(self) -> _Lines:
        file = self._file
        yield from self._before((12,))
        yield self._syntax()
        yield ""
        if file.package:
            yield from self._declared((2,), f"package {file.package};")
            yield ""
        yield from self._imports()
        for option in self._options.of(file.options):
            yield f"option {option};"
        yield ""
        for number, enum in enumerate(file.enum_type):
            yield from self._enum(enum, (5, number))
        for number, message in enumerate(file.message_type):
            yield from self._message(message, (4, number), file.package)
        yield from self._extensions(file.extension, (7,), file.package, ())
        for number, service in enumerate(file.service):
            yield from self._service(service, (6, number))

    def _syntax(self) -> str:
        match self._file.syntax:
            case "editions":
                edition = Edition.Name(self._file.edition).removeprefix("EDITION_")
                return f'edition = "{edition}";'
            case said:
                return f'syntax = "{said or "proto2"}";'

    def _imports(self) -> _Lines:
        file = self._file
        for number, name in enumerate(file.dependency):
            kind = "public " if number in file.public_dependency else ""
            kind = "weak " if number in file.weak_dependency else kind
            yield from self._declared((3, number), f"import {kind}{quoted(name)};")
        for name in file.option_dependency:
            yield f"import option {quoted(name)};"
        yield ""

    # Messages.

    def _message(self, message: DescriptorProto, path: _Path, scope: str) -> _Lines:
        head = f"{_seen(message.visibility)}message {message.name} {{"
        yield from self._block(path, head, self._body(message, path, _join(scope, message.name)))

    def _body(self, message: DescriptorProto, path: _Path, scope: str) -> _Lines:
        for option in self._options.of(message.options):
            yield f"option {option};"
        yield from self._reserved(message)
        for number, enum in enumerate(message.enum_type):
            yield from self._enum(enum, (*path, 4, number))
        printed = _Printed(message)
        groups = [each for each in message.extension if _is_group(each)]
        of_extensions = {_last(each.type_name) for each in groups}
        for number, nested in enumerate(message.nested_type):
            owner = printed.owner(nested)
            if owner is None and nested.name not in of_extensions:
                yield from self._message(nested, (*path, 3, number), scope)
            elif owner is not None:
                # A map's or group's type is made by its field: fields up to it come first.
                yield from self._fields(message, path, scope, printed.until(owner))
        yield from self._fields(message, path, scope, printed.until(len(message.field) - 1))
        yield from self._extensions(message.extension, (*path, 6), scope, message.nested_type)
        for span in message.extension_range:
            said = _in_brackets(self._options.of(span.options))
            yield f"extensions {_range(span.start, span.end - 1, _MAX_NUMBER - 1)}{said};"

    def _fields(
        self, message: DescriptorProto, path: _Path, scope: str, numbers: Iterable[int]
    ) -> _Lines:
        open_oneof: int | None = None
        for number in numbers:
            field = message.field[number]
            index = field.oneof_index if _in_oneof(field) else None
            if open_oneof is not None and index != open_oneof:
                yield "}"
            if index is not None and index != open_oneof:
                oneof = message.oneof_decl[index]
                yield from self._before((*path, 8, index))
                yield f"oneof {oneof.name} {{"
                yield from self._after((*path, 8, index))
                for option in self._options.of(oneof.options):
                    yield f"{INDENT}option {option};"
            open_oneof = index
            lines = self._field(field, (*path, 2, number), scope, message.nested_type)
            yield from _indented(lines) if index is not None else lines
        if open_oneof is not None:
            yield "}"

    def _field(
        self,
        field: FieldDescriptorProto,
        path: _Path,
        scope: str,
        nested: Iterable[DescriptorProto],
    ) -> _Lines:
        said = _in_brackets([*self._written_beside(field), *self._options.of(field.options)])
        own = {each.name: (number, each) for number, each in enumerate(nested)}
        inner = own.get(_last(field.type_name))
        if inner is not None and inner[1].options.map_entry and self._is_map(field, scope):
            key, value = inner[1].field
            kind = f"map<{self._type(key, scope)}, {self._type(value, scope)}>"
            yield from self._declared(path, f"{kind} {field.name} = {field.number}{said};")
        elif inner is not None and _is_group(field):
            number, group = inner
            head = f"{self._label(field)}group {group.name} = {field.number}{said} {{"
            at = (*path[:-2], 3, number)
            yield from self._block(path, head, self._body(group, at, _join(scope, group.name)))
        else:
            kind = f"{self._label(field)}{self._type(field, scope)}"
            yield from self._declared(path, f"{kind} {field.name} = {field.number}{said};")

    def _is_map(self, field: FieldDescriptorProto, scope: str) -> bool:
        return field.type_name.removeprefix(".").rpartition(".")[0] == scope

    def _label(self, field: FieldDescriptorProto) -> str:
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            return "repeated "
        if _in_oneof(field) or self._file.syntax == "editions":
            return ""
        if field.label == FieldDescriptorProto.LABEL_REQUIRED:
            return "required "
        if self._file.syntax == "proto3" and not field.proto3_optional:
            return ""
        return "optional "

    def _type(self, field: FieldDescriptorProto, scope: str) -> str:
        if field.type_name:
            return self._names.short(field.type_name, scope)
        return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()

    def _written_beside(self, field: FieldDescriptorProto) -> _Lines:
        if field.HasField("default_value"):
            value = field.default_value
            if field.type in _TEXT_DEFAULTS:
                # Of bytes it is escaped already.
                is_text = field.type == FieldDescriptorProto.TYPE_STRING
                value = quoted(value) if is_text else f'"{value}"'
            yield f"default = {value}"
        if field.HasField("json_name") and field.json_name != _json_name(field.name):
            yield f"json_name = {quoted(field.json_name)}"

    def _extensions(
        self,
        fields: Iterable[FieldDescriptorProto],
        path: _Path,
        scope: str,
        nested: Iterable[DescriptorProto],
    ) -> _Lines:
        around = nested or self._file.message_type
        for number, field in enumerate(fields):
            lines = self._field(field, (*path, number), scope, around)
            yield f"extend {self._names.short(field.extendee, scope)} {{"
            yield from _indented(lines)
            yield "}"

    def _reserved(self, message: DescriptorProto) -> _Lines:
        for span in message.reserved_range:
            yield f"reserved {_range(span.start, span.end - 1, _MAX_NUMBER - 1)};"
        yield from self._reserved_names(message.reserved_name)

    def _reserved_names(self, names: Iterable[str]) -> _Lines:
        bare = self._file.syntax == "editions"
        for name in names:
            yield f"reserved {name if bare else quoted(name)};"

    # Enums and services.

    def _enum(self, enum: EnumDescriptorProto, path: _Path) -> _Lines:
        head = f"{_seen(enum.visibility)}enum {enum.name} {{"
        yield from self._block(path, head, self._values(enum, path))

    def _values(self, enum: EnumDescriptorProto, path: _Path) -> _Lines:
        for option in self._options.of(enum.options):
            yield f"option {option};"
        for span in enum.reserved_range:
            yield f"reserved {_range(span.start, span.end, _MAX_VALUE)};"
        yield from self._reserved_names(enum.reserved_name)
        for number, value in enumerate(enum.value):
            said = _in_brackets(self._options.of(value.options))
            yield from self._declared((*path, 2, number), f"{value.name} = {value.number}{said};")

    def _service(self, service: ServiceDescriptorProto, path: _Path) -> _Lines:
        scope = _join(self._file.package, service.name)
        yield from self._block(
            path, f"service {service.name} {{", self._methods(service, path, scope)
        )

    def _methods(self, service: ServiceDescriptorProto, path: _Path, scope: str) -> _Lines:
        for option in self._options.of(service.options):
            yield f"option {option};"
        for number, method in enumerate(service.method):
            at = (*path, 2, number)
            head = self._signature(method, scope)
            options = [f"option {each};" for each in self._options.of(method.options)]
            # `{}` alone says something too: that there are options, and none.
            if method.HasField("options"):
                yield from self._block(at, f"{head} {{", iter(options))
            else:
                yield from self._declared(at, f"{head};")

    def _signature(self, method: MethodDescriptorProto, scope: str) -> str:
        asked = self._names.short(method.input_type, scope)
        told = self._names.short(method.output_type, scope)
        asked = f"stream {asked}" if method.client_streaming else asked
        told = f"stream {told}" if method.server_streaming else told
        return f"rpc {method.name}({asked}) returns ({told})"

    # Comments.

    def _block(self, path: _Path, head: str, body: _Lines) -> _Lines:
        yield from self._before(path)
        yield head
        yield from self._after(path)
        yield from _indented(body)
        yield "}"
        yield ""

    def _declared(self, path: _Path, line: str) -> _Lines:
        yield from self._before(path)
        yield line
        yield from self._after(path, indent="")

    def _before(self, path: _Path) -> _Lines:
        said = self._said.get(path, SourceCodeInfo.Location())
        for text in said.leading_detached_comments:
            yield ""
            yield from _comment(text)
            yield ""
        if said.HasField("leading_comments"):
            yield from _comment(said.leading_comments)

    def _after(self, path: _Path, indent: str = INDENT) -> _Lines:
        said = self._said.get(path)
        if said is not None and said.HasField("trailing_comments"):
            for line in _comment(said.trailing_comments):
                yield indent + line
            # Otherwise it would be what comes next that it is about.
            yield ""


class _Printed:
    """Which of a message's fields have had their turn."""

    def __init__(self, message: DescriptorProto) -> None:
        self._next = 0
        self._owners = {
            _last(field.type_name): number
            for number, field in enumerate(message.field)
            if _is_group(field) or field.label == FieldDescriptorProto.LABEL_REPEATED
        }
        self._groups = {_last(each.type_name) for each in message.field if _is_group(each)}

    def owner(self, nested: DescriptorProto) -> int | None:
        """The field that makes a nested type: of a map or a group."""
        if nested.options.map_entry or nested.name in self._groups:
            return self._owners.get(nested.name)
        return None

    def until(self, field: int) -> range:
        """Those whose turn it is, if `field` is the last of them."""
        first, self._next = self._next, max(self._next, field + 1)
        return range(first, field + 1)


def _comment(text: str) -> _Lines:
    for line in text.removesuffix("\n").split("\n"):
        yield f"//{line}"


def _indented(lines: Iterable[str]) -> _Lines:
    for line in lines:
        yield INDENT + line if line else line


def _in_brackets(options: list[str]) -> str:
    return f" [{', '.join(options)}]" if options else ""


def _range(first: int, last: int, most: int) -> str:
    if first == last:
        return str(first)
    return f"{first} to {'max' if last >= most else last}"


def _in_oneof(field: FieldDescriptorProto) -> bool:
    return field.HasField("oneof_index") and not field.proto3_optional


def _is_group(field: FieldDescriptorProto) -> bool:
    return field.type == FieldDescriptorProto.TYPE_GROUP


def _seen(visibility: int) -> str:
    return {1: "local ", 2: "export "}.get(visibility, "")


def _json_name(name: str) -> str:
    """As protoc makes it: the letter after an underscore is a capital."""
    first, *others = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in others)


def _join(scope: str, name: str) -> str:
    return f"{scope}.{name}" if scope else name


def _last(name: str) -> str:
    return name.rpartition(".")[2]
