"""What a new revision of a contract breaks for those who go by the one before.

Message by message, at two levels: `wire`, what binary messages are read by, and `json`, what their
JSON form is read by too. The rules bear the names of buf's categories WIRE and WIRE_JSON, with
which their verdicts are compared in tests; two more say that no service and no method disappears,
because somebody may call it. Messages, enums and services are paired by full name, fields and
values by number, wherever in the files they stand. Pure.

Source: docs/spec, "Contracts: breaking changes".
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FeatureSet,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    MethodOptions,
    ServiceDescriptorProto,
)

from security.contract_shape import json_name

_F = FieldDescriptorProto
_STANDARD: Final = "google.protobuf"

# Kinds of fields whose values are encoded alike: on the wire, and in JSON too.
_WIRE_ALIKE: Final[Mapping[int, int]] = {
    _F.TYPE_INT32: 1, _F.TYPE_INT64: 1, _F.TYPE_UINT32: 1, _F.TYPE_UINT64: 1, _F.TYPE_BOOL: 1,
    _F.TYPE_SINT32: 2, _F.TYPE_SINT64: 2,
    _F.TYPE_FIXED32: 3, _F.TYPE_SFIXED32: 3,
    _F.TYPE_FIXED64: 4, _F.TYPE_SFIXED64: 4,
}  # fmt: skip
_JSON_ALIKE: Final[Mapping[int, int]] = {
    _F.TYPE_INT32: 1, _F.TYPE_UINT32: 1,
    _F.TYPE_INT64: 2, _F.TYPE_UINT64: 2,
    _F.TYPE_FIXED32: 3, _F.TYPE_SFIXED32: 3,
    _F.TYPE_FIXED64: 4, _F.TYPE_SFIXED64: 4,
}  # fmt: skip
_ALONE: Final = 100


class Level(StrEnum):
    """What can't be read any more."""

    WIRE = "wire"
    JSON = "json"
    # A service or method that was there for callers.
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that breaks: where, what, and what to do instead."""

    rule: str
    level: Level
    file: str
    # Full name of a message, enum or service; and of its field, value or method.
    element: str
    part: str
    what: str
    remedy: str

    def __str__(self) -> str:
        """In one line for people."""
        where = f"{self.element}.{self.part}" if self.part else self.element
        return f"{self.file}: {where}: {self.what}; {self.remedy} ({self.rule})"


@dataclass(frozen=True, slots=True)
class _Item:
    """A definition, with the file that it is read by."""

    file: FileDescriptorProto
    name: str
    it: DescriptorProto | EnumDescriptorProto | ServiceDescriptorProto

    def breaks(self, rule: str, level: Level, part: str, what: str, remedy: str) -> Violation:
        return Violation(rule, level, self.file.name, self.name, part, what, remedy)


class _Set:
    """A descriptor set's definitions by full name, but for those of protobuf itself."""

    def __init__(self, descriptor_set: bytes) -> None:
        self.items: dict[str, _Item] = {}
        for file in FileDescriptorSet.FromString(descriptor_set).file:
            if file.package != _STANDARD:
                prefix = f"{file.package}." if file.package else ""
                for message in file.message_type:
                    self._take(file, prefix, message)
                for enum in file.enum_type:
                    self._take(file, prefix, enum)
                for service in file.service:
                    self._take(file, prefix, service)

    def is_map_entry(self, field: FieldDescriptorProto) -> bool:
        """Whether a field's messages are the entries of a map."""
        found = self.items.get(field.type_name.removeprefix("."))
        if found is None or not isinstance(found.it, DescriptorProto):
            return False
        return found.it.options.map_entry

    def enum(self, name: str) -> EnumDescriptorProto | None:
        """An enum by its full name, with or without a dot before it."""
        found = self.items.get(name.removeprefix("."))
        return found.it if found and isinstance(found.it, EnumDescriptorProto) else None

    def _take(
        self,
        file: FileDescriptorProto,
        prefix: str,
        item: DescriptorProto | EnumDescriptorProto | ServiceDescriptorProto,
    ) -> None:
        name = f"{prefix}{item.name}"
        self.items[name] = _Item(file, name, item)
        if isinstance(item, DescriptorProto):
            for inner in item.nested_type:
                self._take(file, f"{name}.", inner)
            for enum in item.enum_type:
                self._take(file, f"{name}.", enum)


def breaking_changes(before: bytes, after: bytes) -> tuple[Violation, ...]:
    """Everything that `after` breaks, of two sets that `contract.contract_pool` has passed."""
    old, new = _Set(before), _Set(after)
    found: list[Violation] = []
    for name, item in old.items.items():
        other = new.items.get(name)
        if isinstance(item.it, ServiceDescriptorProto):
            found += _service(item, other)
        elif other is None or type(other.it) is not type(item.it):
            # A type that nobody uses any more may go; who uses it still is told at the field.
            continue
        elif isinstance(item.it, EnumDescriptorProto):
            found += _enum(item, other)
        else:
            found += _message(old, new, item, other)
    return tuple(found)


def _service(old: _Item, new: _Item | None) -> Iterator[Violation]:
    if not isinstance(old.it, ServiceDescriptorProto):
        return
    if new is None or not isinstance(new.it, ServiceDescriptorProto):
        yield old.breaks(
            "PACKAGE_SERVICE_NO_DELETE", Level.CALL, "", "the service is gone",
            "keep it, and mark it deprecated",
        )  # fmt: skip
        return
    methods = {method.name: method for method in new.it.method}
    for method in old.it.method:
        if method.name not in methods:
            yield new.breaks(
                "RPC_NO_DELETE", Level.CALL, method.name, "the method is gone",
                "keep it, and mark it deprecated",
            )  # fmt: skip
        else:
            yield from _method(new, method, methods[method.name])


def _method(
    item: _Item, old: MethodDescriptorProto, new: MethodDescriptorProto
) -> Iterator[Violation]:
    level = MethodOptions.IdempotencyLevel.Name
    for rule, what, one, other in (
        ("RPC_SAME_REQUEST_TYPE", "takes", old.input_type, new.input_type),
        ("RPC_SAME_RESPONSE_TYPE", "gives", old.output_type, new.output_type),
        (
            "RPC_SAME_CLIENT_STREAMING", "takes",
            _streams(streams=old.client_streaming), _streams(streams=new.client_streaming),
        ),
        (
            "RPC_SAME_SERVER_STREAMING", "gives",
            _streams(streams=old.server_streaming), _streams(streams=new.server_streaming),
        ),
        (
            "RPC_SAME_IDEMPOTENCY_LEVEL", "is",
            level(old.options.idempotency_level), level(new.options.idempotency_level),
        ),
    ):  # fmt: skip
        if one != other:
            yield item.breaks(
                rule, Level.WIRE, new.name, f"{what} {_bare(other)} and no longer {_bare(one)}",
                "add a new method beside it",
            )  # fmt: skip


def _enum(old: _Item, new: _Item) -> Iterator[Violation]:
    before, after = old.it, new.it
    if not isinstance(before, EnumDescriptorProto) or not isinstance(after, EnumDescriptorProto):
        return
    names, previous = _by_number(after), _by_number(before)
    for number, called in previous.items():
        part = called[0]
        if number in names:
            lost = [name for name in called if name not in names[number]]
            if lost:
                yield new.breaks(
                    "ENUM_VALUE_SAME_NAME", Level.JSON, lost[0],
                    f"value {number} is called {names[number][0]}",
                    "keep its name, or allow an alias",
                )  # fmt: skip
            continue
        if not any(item.start <= number <= item.end for item in after.reserved_range):
            yield new.breaks(
                "ENUM_VALUE_NO_DELETE_UNLESS_NUMBER_RESERVED", Level.WIRE, part,
                f"value {number} is gone", f"write `reserved {number};`",
            )  # fmt: skip
        if not set(called) <= set(after.reserved_name):
            yield new.breaks(
                "ENUM_VALUE_NO_DELETE_UNLESS_NAME_RESERVED", Level.JSON, part,
                f"value {part} is gone", f'write `reserved "{part}";`',
            )  # fmt: skip
    yield from _reserved(
        new, "RESERVED_ENUM_NO_DELETE",
        [(item.start, item.end) for item in before.reserved_range],
        [(item.start, item.end) for item in after.reserved_range],
        (before.reserved_name, after.reserved_name),
    )  # fmt: skip
    if _allows_json(old, before.options.features) and not _allows_json(new, after.options.features):
        yield new.breaks(
            "ENUM_SAME_JSON_FORMAT", Level.JSON, "", "its JSON form is no longer sure",
            "keep the file's syntax",
        )  # fmt: skip


def _message(olds: _Set, news: _Set, old: _Item, new: _Item) -> Iterator[Violation]:
    before, after = old.it, new.it
    if not isinstance(before, DescriptorProto) or not isinstance(after, DescriptorProto):
        return
    if before.options.map_entry or after.options.map_entry:
        # Judged with the field that is the map.
        return
    fields = {field.number: field for field in after.field}
    for field in before.field:
        other = fields.get(field.number)
        if other is None:
            yield from _gone(new, field, after)
        else:
            yield from _field(_Pair(olds, news, old, new, field, other))
    yield from _required(new, before, after)
    yield from _reserved(
        new, "RESERVED_MESSAGE_NO_DELETE",
        [(item.start, item.end - 1) for item in before.reserved_range],
        [(item.start, item.end - 1) for item in after.reserved_range],
        (before.reserved_name, after.reserved_name),
    )  # fmt: skip
    if _allows_json(old, before.options.features) and not _allows_json(new, after.options.features):
        yield new.breaks(
            "MESSAGE_SAME_JSON_FORMAT", Level.JSON, "", "its JSON form is no longer sure",
            "keep the file's syntax",
        )  # fmt: skip


def _gone(new: _Item, field: FieldDescriptorProto, after: DescriptorProto) -> Iterator[Violation]:
    number = field.number
    if not any(item.start <= number < item.end for item in after.reserved_range):
        yield new.breaks(
            "FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED", Level.WIRE, field.name,
            f"field {number} is gone", f"write `reserved {number};`",
        )  # fmt: skip
    if field.name not in after.reserved_name:
        yield new.breaks(
            "FIELD_NO_DELETE_UNLESS_NAME_RESERVED", Level.JSON, field.name,
            f"field {field.name} is gone", f'write `reserved "{field.name}";`',
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Pair:
    """A field, before and after."""

    olds: _Set
    news: _Set
    old_item: _Item
    item: _Item
    old: FieldDescriptorProto
    new: FieldDescriptorProto

    def breaks(self, rule: str, level: Level, what: str, remedy: str) -> Violation:
        what = f"field {self.new.number} {what}"
        return self.item.breaks(rule, level, self.old.name, what, remedy)


def _field(pair: _Pair) -> Iterator[Violation]:
    old, new = pair.old, pair.new
    keep = "leave it as it was, and add a field with another number"
    if old.name != new.name:
        yield pair.breaks(
            "FIELD_SAME_NAME", Level.JSON, f"is called {new.name} and no longer {old.name}",
            "keep its name",
        )  # fmt: skip
    if json_name(old) != json_name(new):
        yield pair.breaks(
            "FIELD_SAME_JSON_NAME", Level.JSON,
            f"is {json_name(new)} in JSON and no longer {json_name(old)}",
            f'keep its name, or write [json_name = "{json_name(old)}"]',
        )  # fmt: skip
    if _oneof(pair.old_item, old) != _oneof(pair.item, new):
        yield pair.breaks(
            "FIELD_SAME_ONEOF", Level.WIRE, "moved into, out of, or between oneofs", keep
        )
    before, after = _default(pair.olds, old), _default(pair.news, new)
    if before is not None and after is not None and before != after and old.type == new.type:
        yield pair.breaks("FIELD_SAME_DEFAULT", Level.WIRE, "has another default", keep)
    yield from _cardinality(pair, keep)
    yield from _type(pair, keep)


def _cardinality(pair: _Pair, keep: str) -> Iterator[Violation]:
    before, after = _count(pair.olds, pair.old), _count(pair.news, pair.new)
    if before != after:
        wire = _wire_count(before) != _wire_count(after)
        kind = "WIRE" if wire else "WIRE_JSON"
        yield pair.breaks(
            f"FIELD_{kind}_COMPATIBLE_CARDINALITY",
            Level.WIRE if wire else Level.JSON, f"is {after} and no longer {before}", keep,
        )  # fmt: skip


def _type(pair: _Pair, keep: str) -> Iterator[Violation]:
    old, new = pair.old, pair.new
    if _count(pair.olds, old) == _count(pair.news, new) == "a map":
        yield from _map_types(pair, keep)
        return
    for alike, rule, level in (
        (_WIRE_ALIKE, "FIELD_WIRE_COMPATIBLE_TYPE", Level.WIRE),
        (_JSON_ALIKE, "FIELD_WIRE_JSON_COMPATIBLE_TYPE", Level.JSON),
    ):
        if not _alike(pair, old, new, alike):
            what = f"is of type {_typed(new)} and no longer {_typed(old)}"
            yield pair.breaks(rule, level, what, keep)
            return


def _map_types(pair: _Pair, keep: str) -> Iterator[Violation]:
    old = pair.olds.items[pair.old.type_name.removeprefix(".")].it
    new = pair.news.items[pair.new.type_name.removeprefix(".")].it
    if isinstance(old, DescriptorProto) and isinstance(new, DescriptorProto):
        for one, other in zip(old.field, new.field, strict=False):
            inner = _Pair(pair.olds, pair.news, pair.old_item, pair.item, one, other)
            for found in _type(inner, keep):
                what = f"is a map whose {one.name} {found.what.partition(' ')[2].partition(' ')[2]}"
                yield pair.breaks(found.rule, found.level, what, keep)


def _alike(
    pair: _Pair, old: FieldDescriptorProto, new: FieldDescriptorProto, groups: Mapping[int, int]
) -> bool:
    if old.type == new.type == _F.TYPE_ENUM:
        return old.type_name == new.type_name or _widens(pair, old.type_name, new.type_name)
    if {old.type, new.type} <= {_F.TYPE_MESSAGE, _F.TYPE_GROUP}:
        return old.type == new.type and old.type_name == new.type_name
    if groups is _WIRE_ALIKE and (old.type, new.type) == (_F.TYPE_STRING, _F.TYPE_BYTES):
        return True
    return groups.get(old.type, _ALONE + old.type) == groups.get(new.type, _ALONE + new.type)


def _widens(pair: _Pair, old_name: str, new_name: str) -> bool:
    """Whether an enum of the same short name has all values of the other, under their names."""
    old, new = pair.olds.enum(old_name), pair.news.enum(new_name)
    if old is None or new is None or old.name != new.name:
        return False
    have = {(value.name, value.number) for value in new.value}
    return {(value.name, value.number) for value in old.value} <= have


def _required(new: _Item, before: DescriptorProto, after: DescriptorProto) -> Iterator[Violation]:
    def numbers(message: DescriptorProto) -> dict[int, str]:
        return {
            field.number: field.name
            for field in message.field
            if field.label == _F.LABEL_REQUIRED
            or field.options.features.field_presence == FeatureSet.LEGACY_REQUIRED
        }

    was, now = numbers(before), numbers(after)
    for number in sorted(was.keys() ^ now.keys()):
        done = "no longer required" if number in was else "required"
        yield new.breaks(
            "MESSAGE_SAME_REQUIRED_FIELDS", Level.WIRE, {**was, **now}[number],
            f"field {number} is {done}", "leave it as it was",
        )  # fmt: skip


def _reserved(
    new: _Item,
    rule: str,
    before: list[tuple[int, int]],
    after: list[tuple[int, int]],
    names: tuple[Iterable[str], Iterable[str]],
) -> Iterator[Violation]:
    for first, last in before:
        if not _covers(after, first, last):
            text = str(first) if first == last else f"{first} to {last}"
            what = f"{text} is no longer reserved"
            yield new.breaks(rule, Level.WIRE, "", what, f"write `reserved {text};`")
    for name in sorted(set(names[0]) - set(names[1])):
        what = f'"{name}" is no longer reserved'
        yield new.breaks(rule, Level.WIRE, "", what, f'write `reserved "{name}";`')


def _covers(ranges: list[tuple[int, int]], first: int, last: int) -> bool:
    """Whether ranges together hold all numbers from first to last."""
    for start, end in sorted(ranges):
        if start <= first <= end:
            first = end + 1
    return first > last


def _by_number(enum: EnumDescriptorProto) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for value in enum.value:
        found.setdefault(value.number, []).append(value.name)
    return found


def _count(where: _Set, field: FieldDescriptorProto) -> str:
    if field.label != _F.LABEL_REPEATED:
        return "single"
    return "a map" if where.is_map_entry(field) else "repeated"


def _wire_count(count: str) -> str:
    """A map is a list of entries on the wire."""
    return "repeated" if count == "a map" else count


def _oneof(item: _Item, field: FieldDescriptorProto) -> str | None:
    if not field.HasField("oneof_index") or field.proto3_optional:
        return None
    if not isinstance(item.it, DescriptorProto):
        return None
    return item.it.oneof_decl[field.oneof_index].name


def _default(where: _Set, field: FieldDescriptorProto) -> str | None:
    """A single field's default, in one spelling; None where it can have none."""
    if field.label == _F.LABEL_REPEATED or field.type in (_F.TYPE_MESSAGE, _F.TYPE_GROUP):
        return None
    if field.type == _F.TYPE_ENUM:
        enum = where.enum(field.type_name)
        if enum is None or not enum.value:
            return None
        numbers = {value.name: value.number for value in enum.value}
        return str(numbers.get(field.default_value, enum.value[0].number))
    if field.type in (_F.TYPE_STRING, _F.TYPE_BYTES):
        return field.default_value
    if field.type == _F.TYPE_BOOL:
        return field.default_value or "false"
    return str(float(field.default_value or "0"))


def _allows_json(item: _Item, own: FeatureSet) -> bool:
    for features in (own, item.file.options.features):
        if features.json_format:
            return features.json_format == FeatureSet.ALLOW
    return item.file.syntax not in ("", "proto2")


def _streams(*, streams: bool) -> str:
    return "a stream" if streams else "one message"


def _typed(field: FieldDescriptorProto) -> str:
    return _bare(field.type_name) or _F.Type.Name(field.type).removeprefix("TYPE_").lower()


def _bare(name: str) -> str:
    return name.removeprefix(".")
