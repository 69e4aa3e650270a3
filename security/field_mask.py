"""Field masks: a message with the agreed fields in it, and nothing else.

A mask is a set of paths, `pulau.nama`: names of fields from the message inwards. Through a repeated
field a path goes into each of its messages, through a map into each of its values. A path that ends
at a message lets all fields pass that the contract has for it, at any depth, but for those that can
hold what no contract describes: `bytes`, `Any`, `Struct`, `Value`, `ListValue`, `BytesValue`. These
pass where a path ends at them. Unknown fields never pass.

How it is done: from the contract's message a smaller one is made, which has the agreed fields only.
What is parsed as that one has all else as unknown fields, which are discarded. So a message is
walked in the protobuf library and not here. Three things keep its bytes what the service said:
every field of the smaller message has presence, so zeros stay; strings are taken as bytes and enums
as numbers, so neither is judged; maps are repeated entries, so nothing is put in order or lost.

Source: docs/spec, "Field masks"; google/protobuf/field_mask.proto.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, EncodeError, Message

from security.contract_types import inner_message
from security.errors import Code, SimpulError

MAX_PATHS: Final = 1000
MAX_DEPTH: Final = 32

# What these hold is described by no contract, or by another one.
_OPAQUE: Final = frozenset(
    f"google.protobuf.{name}" for name in ("Any", "Struct", "Value", "ListValue", "BytesValue")
)
_PACKAGE: Final = "mask"
_FILE: Final = "mask.proto"
# Taken as they came.
_WIRE_TYPES: Final = {"TYPE_STRING": "TYPE_BYTES", "TYPE_ENUM": "TYPE_INT32"}


@dataclass(frozen=True, slots=True)
class Mask:
    """What passes of one message type. Made by `compile_mask`."""

    of: str
    _smaller: type[Message]

    def apply(self, data: bytes) -> bytes:
        """The message with only the agreed fields.

        Raises:
            SimpulError: MESSAGE_UNREADABLE if it isn't of the contract's type.
        """
        message = self._smaller()
        try:
            message.ParseFromString(data)
            message.DiscardUnknownFields()
            return message.SerializeToString()
        except (DecodeError, EncodeError):
            raise SimpulError(
                Code.MESSAGE_UNREADABLE,
                f"a message isn't a {self.of} of the published contract, so its fields can't be "
                "told apart: publish the contract that the service speaks",
            ) from None


class _Tree(dict[str, "_Tree"]):
    """Paths by their first name; empty: the path ends here."""


def compile_mask(message: Descriptor, paths: Iterable[str]) -> Mask:
    """Make the mask of a message type from its paths.

    Raises:
        SimpulError: ACCESS_FIELDS if there is no path or too many, one names no field of the type,
            goes through what has no fields, or ends at what can't be masked (a proto2 group).
    """
    tree = _tree(message, tuple(paths))
    smaller = _Smaller()
    name = smaller.of(message, tree)
    pool = DescriptorPool()
    pool.AddSerializedFile(smaller.file.SerializeToString())
    made = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
    return Mask(message.full_name, made)


def _tree(message: Descriptor, paths: tuple[str, ...]) -> _Tree:
    if not 0 < len(paths) <= MAX_PATHS:
        raise _refused(
            f"{len(paths)} paths are named for {message.full_name}; name 1 to {MAX_PATHS}"
        )
    root = _Tree()
    for path in paths:
        names = path.split(".")
        if len(names) > MAX_DEPTH:
            raise _refused(f"{path[:200]!a} is deeper than {MAX_DEPTH} fields")
        _check(message, names, path)
        _add(root, names)
    return root


def _add(tree: _Tree, names: list[str]) -> None:
    """Add a path, unless a shorter one includes it; it takes the place of longer ones."""
    *outer, last = names
    for name in outer:
        known = tree.get(name)
        if known is not None and not known:
            return
        tree = tree.setdefault(name, _Tree())
    tree[last] = _Tree()


def _check(message: Descriptor, names: list[str], path: str) -> None:
    current: Descriptor | None = message
    for name in names:
        if current is None:
            raise _refused(f"{path[:200]!a} goes on after a field that is no message")
        field = current.fields_by_name.get(name)
        if field is None:
            raise _refused(f"{path[:200]!a}: {current.full_name} has no field {name[:80]!a}")
        if field.type == FieldDescriptor.TYPE_GROUP:
            raise _refused(f"{path[:200]!a} is a group, which can't be masked")
        current = inner_message(field)


class _Smaller:
    """Collects the smaller messages of one mask in one file."""

    def __init__(self) -> None:
        # Explicit presence is proto2's default, and editions would be judged anew by each release.
        self.file = FileDescriptorProto(name=_FILE, package=_PACKAGE, syntax="proto2")
        self._whole: dict[tuple[str, bool], str] = {}

    def of(self, message: Descriptor, tree: _Tree) -> str:
        """The name of the smaller message for these paths of a type."""
        made = self._new()
        for name, below in tree.items():
            self._take(made, message.fields_by_name[name], below)
        return made.name

    def _take(self, made: DescriptorProto, field: FieldDescriptor, below: _Tree) -> None:
        """A field that is on a path: `below` is what follows; nothing, if the path ends here."""
        inner = inner_message(field)
        if inner is None:
            self._add(made, field, None)
        elif below:
            self._add(made, field, self.of(inner, below))
        else:
            self._add(made, field, self._all(inner, opaque=inner.full_name in _OPAQUE))

    def _all(self, message: Descriptor, *, opaque: bool) -> str:
        """The smaller message with all fields; with what can hold anything only if `opaque`."""
        key = (message.full_name, opaque)
        known = self._whole.get(key)
        if known is not None:
            return known
        made = self._new()
        # Before its fields: a type may have a field of itself.
        self._whole[key] = made.name
        for field in message.fields:
            inner = inner_message(field)
            if field.type == FieldDescriptor.TYPE_GROUP or (not opaque and _is_opaque(field)):
                continue
            self._add(made, field, None if inner is None else self._all(inner, opaque=opaque))
        return made.name

    def _new(self) -> DescriptorProto:
        return self.file.message_type.add(name=f"M{len(self.file.message_type)}")

    def _add(self, made: DescriptorProto, field: FieldDescriptor, inner: str | None) -> None:
        message = field.message_type
        if message is not None and message.GetOptions().map_entry:
            inner = self._entry(message, inner)
        copy = made.field.add(
            name=f"f{field.number}", number=field.number, type=_wire_type(field),
            label=FieldDescriptorProto.LABEL_REPEATED if field.is_repeated
            else FieldDescriptorProto.LABEL_OPTIONAL,
        )  # fmt: skip
        if inner is not None:
            copy.type_name = f".{_PACKAGE}.{inner}"
        if field.is_packed:
            copy.options.packed = True
        if field.containing_oneof is not None:
            # Of several that came, the last counts: that must stay so.
            copy.oneof_index = _oneof(made, f"o{field.containing_oneof.index}")

    def _entry(self, entry: Descriptor, value: str | None) -> str:
        """A map's entry, as an ordinary message with a key and a value."""
        made = self._new()
        self._add(made, entry.fields_by_name["key"], None)
        self._add(made, entry.fields_by_name["value"], value)
        return made.name


def _oneof(made: DescriptorProto, name: str) -> int:
    for index, known in enumerate(made.oneof_decl):
        if known.name == name:
            return index
    made.oneof_decl.add(name=name)
    return len(made.oneof_decl) - 1


def _is_opaque(field: FieldDescriptor) -> bool:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return True
    message = field.message_type
    if message is None:
        return False
    if message.GetOptions().map_entry:
        return _is_opaque(message.fields_by_name["value"])
    return message.full_name in _OPAQUE


def _wire_type(field: FieldDescriptor) -> "FieldDescriptorProto.Type.ValueType":
    kind = FieldDescriptorProto.Type.Name(field.type)  # type: ignore[arg-type] # the same numbers
    return FieldDescriptorProto.Type.Value(_WIRE_TYPES.get(kind, kind))


def _refused(why: str) -> SimpulError:
    return SimpulError(Code.ACCESS_FIELDS, f"{why}; see `simpul contract show`")
