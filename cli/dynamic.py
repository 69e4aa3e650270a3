"""A contract's messages as JSON: descriptors in a pool of their own, and proto3's JSON mapping.

It calls nothing. Rules: a contract never meets the descriptors of this program, nor those of
another contract; JSON in is strict, and what doesn't fit is said with the path of the field and the
nearest known name; JSON out has every field under the name that the contract gives it, so that keys
do not come and go with values.

Source: the ProtoJSON format of Protocol Buffers.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf import descriptor_pb2, json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from cli.output import refusal
from security.errors import Code, SimpulError

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor

MAX_NAMES = 12
WELL_KNOWN = "google.protobuf."


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a contract."""

    name: str
    client_streaming: bool
    server_streaming: bool
    request: "Descriptor"
    response: "Descriptor"


class Contract:
    """One service's descriptors: finds its methods, turns JSON into their bytes and back."""

    def __init__(self, descriptor_set: bytes, service: str) -> None:
        """Builds the pool.

        Args:
            descriptor_set: A google.protobuf.FileDescriptorSet with all imports.
            service: `wisata.v1.Wisata`.

        Raises:
            SimpulError: PROTOSET_INVALID, or PROTOSET_LACKS_SERVICE.
        """
        self._pool = DescriptorPool()
        try:
            files = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set).file
            for file in _imports_first(files):
                self._pool.AddSerializedFile(file.SerializeToString())
            self._service: ServiceDescriptor = self._pool.FindServiceByName(service)
        except KeyError as error:
            raise refusal(
                Code.PROTOSET_LACKS_SERVICE, f"the contract does not define {service}"
            ) from error
        except (DecodeError, TypeError) as error:
            raise refusal(
                Code.PROTOSET_INVALID, f"the contract of {service} can't be read: {error}"
            ) from error

    def method(self, name: str) -> Method:
        """A method by its name; raises SimpulError METHOD_UNKNOWN, which names those there are."""
        found = self._service.methods_by_name.get(name)
        if found is None:
            known = [method.name for method in self._service.methods]
            service = self._service.full_name
            raise refusal(
                Code.METHOD_UNKNOWN, f"{service} has no method {name}{_suggest(name, known)}"
            )
        return Method(
            name=found.name,
            client_streaming=found.client_streaming,
            server_streaming=found.server_streaming,
            request=found.input_type,
            response=found.output_type,
        )

    def encode(self, descriptor: "Descriptor", value: object) -> bytes:
        """The message that a parsed JSON value describes; raises SimpulError REQUEST_MALFORMED."""
        if not isinstance(value, Mapping) and not descriptor.full_name.startswith(WELL_KNOWN):
            kind = _kind(value)
            raise _malformed(f"{descriptor.full_name} is written as a JSON object, not as {kind}")
        try:
            _check_names(descriptor, value, "")
            message = message_factory.GetMessageClass(descriptor)()
            # The stubs know objects only; well-known types take any JSON value.
            json_format.ParseDict(value, message, descriptor_pool=self._pool)  # type: ignore[arg-type]
            return message.SerializeToString()
        except (json_format.ParseError, TypeError, ValueError, RecursionError) as error:
            told = str(error).splitlines()[0] if str(error) else "it is nested too deeply"
            raise _malformed(f"this is no {descriptor.full_name}: {told}") from error

    def decode(self, descriptor: "Descriptor", data: bytes) -> object:
        """A message's bytes as a JSON value; raises SimpulError INTERNAL where they are none."""
        message = message_factory.GetMessageClass(descriptor)()
        try:
            message.ParseFromString(data)
            return json_format.MessageToDict(
                message,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
                descriptor_pool=self._pool,
            )
        except (DecodeError, json_format.SerializeToJsonError, ValueError, TypeError) as error:
            raise refusal(
                Code.INTERNAL,
                f"the service answered with bytes that are no {descriptor.full_name}: "
                "it does not keep to its contract",
            ) from error


def parse_values(text: str) -> Iterator[object]:
    """The JSON values in a text, one after the other; raises SimpulError REQUEST_MALFORMED."""
    decoder = json.JSONDecoder(object_pairs_hook=_no_duplicates)
    at = _skip_space(text, 0)
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise _malformed(
                f"not JSON at line {error.lineno}, column {error.colno} ({error.msg}): "
                'quote it for the shell, like -d \'{"code": "x"}\''
            ) from error
        except RecursionError as error:
            raise _malformed("this JSON is nested too deeply") from error
        yield value
        at = _skip_space(text, at)


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _malformed(f"field {twice!r} stands twice in one object: keep one of them")
    return found


def _imports_first(
    files: Iterable[descriptor_pb2.FileDescriptorProto],
) -> Iterator[descriptor_pb2.FileDescriptorProto]:
    """Each file after what it imports: a set made by reflection has no order."""
    by_name = {file.name: file for file in files}
    done: set[str] = set()
    waiting = [(name, False) for name in reversed(by_name)]
    while waiting:
        name, imported = waiting.pop()
        if name in done or name not in by_name:
            continue
        if imported:
            done.add(name)
            yield by_name[name]
            continue
        waiting.append((name, True))
        # A circle of imports ends at what is under way; the pool then refuses it.
        under_way = {other for other, begun in waiting if begun}
        waiting.extend((d, False) for d in by_name[name].dependency if d not in under_way)


def _check_names(descriptor: "Descriptor", value: object, path: str) -> None:
    """Finds the first unknown field: the library's own error names no near one."""
    # Any and Struct take any name; the others are no objects.
    if descriptor.full_name.startswith(WELL_KNOWN) or not isinstance(value, Mapping):
        return
    known = {name: field for field in descriptor.fields for name in (field.name, field.json_name)}
    for name, item in value.items():
        if name.startswith("[") and name.endswith("]"):
            continue
        field = known.get(name)
        if field is None:
            names = [field.name for field in descriptor.fields]
            raise _malformed(
                f"{descriptor.full_name} has no field {path + name}{_suggest(name, names)}"
            )
        if field.message_type is not None:
            _check_inside(field, item, f"{path}{name}.")


def _check_inside(field: "FieldDescriptor", item: object, path: str) -> None:
    kind = field.message_type
    if kind is None:
        return
    if kind.GetOptions().map_entry:
        value_type = kind.fields_by_name["value"].message_type
        if value_type is not None and isinstance(item, Mapping):
            for key, value in item.items():
                _check_names(value_type, value, f"{path}{key}.")
    elif isinstance(item, list):
        for value in item:
            _check_names(kind, value, path)
    else:
        _check_names(kind, item, path)


def _suggest(name: str, known: list[str]) -> str:
    if not known:
        return ": it has none"
    shown = ", ".join(known[:MAX_NAMES]) + (", …" if len(known) > MAX_NAMES else "")
    folded = {item.lower(): item for item in known}
    near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    first = f"; did you mean {folded[near[0]]}?" if near else ";"
    return f"{first} It has: {shown}" if near else f"{first} it has: {shown}"


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case _:
            return "a list"


def _malformed(message: str) -> SimpulError:
    return refusal(Code.REQUEST_MALFORMED, message)
