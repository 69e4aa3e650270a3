"""Shows a protobuf message's bytes field by field, for a worked example in the documentation.

It reads the wire format by hand, so that what is shown is what was sent and not what a library made
of it, and takes names from the descriptor. It judges nothing: vectors are sound.

Source: the protobuf encoding guide, "Message structure".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

_TAG_BITS: Final = 3
_MORE: Final = 0x80
_LOW_BITS: Final = 0x7F


@dataclass(frozen=True, slots=True)
class Field:
    """One field as it stands: its tag (and length) in hex, its name, its value in words."""

    prefix: str
    name: str
    value: str


def fields(descriptor: Descriptor, data: bytes, above: str = "") -> Iterator[Field]:
    """The fields of a message in their order, those of messages inside after the field itself.

    Raises:
        ValueError: for a wire type other than the two that the wire standard's messages have.
    """
    at = 0
    while at < len(data):
        start = at
        tag, at = _varint(data, at)
        field = descriptor.fields_by_number[tag >> _TAG_BITS]
        name = above + field.name
        match tag & ((1 << _TAG_BITS) - 1):
            case 0:
                number, end = _varint(data, at)
                yield Field(data[start:end].hex(), name, str(number))
                at = end
            case 2:
                length, at = _varint(data, at)
                content = data[at : at + length]
                yield Field(data[start:at].hex(), name, _text(field, content))
                if field.message_type is not None:
                    yield from fields(field.message_type, content, f"{name}.")
                at += length
            case kind:
                raise ValueError(f"{name} has wire type {kind}, which no message of ours has")


def _text(field: FieldDescriptor, content: bytes) -> str:
    if field.message_type is not None:
        return f"{len(content)} bytes, below"
    if field.type == FieldDescriptor.TYPE_STRING:
        return content.decode()
    return content.hex()


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where what follows it begins."""
    number = shift = 0
    while data[at] & _MORE:
        number |= (data[at] & _LOW_BITS) << shift
        shift += 7
        at += 1
    return number | data[at] << shift, at + 1
