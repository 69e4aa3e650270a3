"""A contract's message types: what its methods take and answer, and what it says of their fields.

Contracts say of a field that it is personal, sensitive, or the citizen whom a request is about, and
of a method that it answers only whether something is so: options of simpul/v1/annotations.proto.

Source: docs/spec, "Contracts: annotations"; law 27/2022, article 4.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

from security.contract import contract_pool
from security.errors import Code, SimpulError
from simpul.v1 import annotations_pb2

MAX_FIELDS: Final = 10_000
_REMEMBERED: Final = 64


@dataclass(frozen=True, slots=True)
class FieldNote:
    """A field that a contract says something of. `path` is as in a field mask."""

    path: str
    personal: bool
    sensitive: bool
    subject: bool


class ContractTypes:
    """The message types of one contract revision. Made by `contract_types`."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def request(self, service: str, method: str) -> Descriptor:
        """The type of a method's requests; raises METHOD_UNKNOWN."""
        return self._method(service, method).input_type

    def response(self, service: str, method: str) -> Descriptor:
        """The type of a method's answers; raises METHOD_UNKNOWN."""
        return self._method(service, method).output_type

    def is_match_only(self, service: str, method: str) -> bool:
        """It answers whether something is so, and nothing else; raises METHOD_UNKNOWN."""
        options = self._method(service, method).GetOptions()
        return bool(options.Extensions[annotations_pb2.match_only])

    def _method(self, service: str, method: str) -> MethodDescriptor:
        try:
            found = self._pool.FindServiceByName(service).methods_by_name[method]
        except KeyError:
            raise SimpulError(
                Code.METHOD_UNKNOWN,
                f"the contract has no method {service}/{method}; see `simpul contract show`",
            ) from None
        return found


@lru_cache(maxsize=_REMEMBERED)
def contract_types(descriptor_set: bytes) -> ContractTypes:
    """Read the types of a contract's descriptor set.

    Raises:
        SimpulError: PROTOSET_INVALID.
    """
    return ContractTypes(contract_pool(descriptor_set))


def notes(message: Descriptor) -> tuple[FieldNote, ...]:
    """What the contract says of a message's fields, at any depth, in the order of the contract.

    A type within itself is not entered again: its fields are noted where it stands first.

    Raises:
        SimpulError: PROTOSET_INVALID for over `MAX_FIELDS` fields.
    """
    found = []
    for number, (field, path) in enumerate(_walk(message, "", frozenset())):
        if number == MAX_FIELDS:
            raise SimpulError(
                Code.PROTOSET_INVALID,
                f"{message.full_name} has over {MAX_FIELDS} fields at all depths; make it flatter",
            )
        options = field.GetOptions()
        sensitive = bool(options.Extensions[annotations_pb2.sensitive])
        note = FieldNote(
            path,
            # What is sensitive is personal, whether or not the contract repeats it.
            personal=sensitive or bool(options.Extensions[annotations_pb2.personal]),
            sensitive=sensitive,
            subject=bool(options.Extensions[annotations_pb2.subject]),
        )
        if note.personal or note.subject:
            found.append(note)
    return tuple(found)


def _walk(
    message: Descriptor, prefix: str, within: frozenset[str]
) -> Iterator[tuple[FieldDescriptor, str]]:
    inside = within | {message.full_name}
    for field in message.fields:
        path = f"{prefix}{field.name}"
        yield field, path
        inner = inner_message(field)
        if inner is not None and inner.full_name not in inside:
            yield from _walk(inner, f"{path}.", inside)


def inner_message(field: FieldDescriptor) -> Descriptor | None:
    """The message that a path goes on in, if any: of a map, its values'."""
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        return inner.fields_by_name["value"].message_type
    return inner
