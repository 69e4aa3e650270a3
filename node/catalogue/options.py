"""Options, read back into the text of a `.proto` file; a contract's own options too.

Options that the set itself defines are unknown fields to this program, so they are read with the
types of the contract. One that not even the contract defines can't be written, and is left out.
"""

from __future__ import annotations

from typing import Final

from google.protobuf import descriptor_pb2, message_factory, text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message

_TEXTS: Final = frozenset({FieldDescriptor.CPPTYPE_STRING})


class Options:
    """Reads options with the types of one contract."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def of(self, options: Message) -> list[str]:
        """Each as `name = value`."""
        said = self._typed(options)
        found = []
        for field, value in said.ListFields():
            name = f"(.{field.full_name})" if field.is_extension else field.name
            values = value if field.is_repeated else (value,)
            found += [f"{name} = {_value(field, each)}" for each in values]
        return found

    def _typed(self, options: Message) -> Message:
        try:
            kind = self._pool.FindMessageTypeByName(options.DESCRIPTOR.full_name)
        except KeyError:
            # It doesn't import descriptor.proto, so it defines none of its own.
            return options
        return message_factory.GetMessageClass(kind).FromString(options.SerializeToString())


def quoted(text: str) -> str:
    """A text as a `.proto` file writes it."""
    holder = descriptor_pb2.FileDescriptorProto(name=text)
    return text_format.MessageToString(holder, as_one_line=True, as_utf8=True)[len("name: ") :]


def _value(field: FieldDescriptor, value: object) -> str:
    if isinstance(value, Message):
        inside = text_format.MessageToString(value, as_one_line=True)
        return f"{{ {inside} }}" if inside else "{ }"
    if field.enum_type is not None:
        return str(field.enum_type.values_by_number[value].name)  # type: ignore[index]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return '"' + "".join(f"\\{byte:03o}" for byte in value) + '"'
    if field.cpp_type in _TEXTS:
        return quoted(str(value))
    return str(value)
