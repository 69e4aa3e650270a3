"""What a snippet is made of: one method of a contract, its messages, and where to call it.

The contract is another member's word, and a snippet is source that people run. So every name that
comes into it is checked here, by the form that it has in a `.proto` file, and all else is quoted by
the language's own rules. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from security.contract import contract_pool
from security.errors import Code, SimpulError

MAX_JSON_CHARS: Final = 65_536
DEADLINE_S: Final = 10
TOKEN_VARIABLE: Final = "SIMPUL_TOKEN"  # noqa: S105 - the name of a variable
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PACKAGE: Final = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*\.)*[A-Za-z_][A-Za-z0-9_]*")
# No part of it begins with a dot or a hyphen: no way out of a folder, and no option.
_FILE: Final = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*/)*[A-Za-z0-9_][A-Za-z0-9_.-]*\.proto")
_BROUGHT: Final = "google/protobuf/"


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where apps reach the node."""

    # `HOST:PORT`, or `unix:PATH`.
    address: str
    tls: bool

    @property
    def is_socket(self) -> bool:
        """Whether it is a file, and not a port."""
        return self.address.startswith("unix:")


@dataclass(frozen=True, slots=True)
class Called:
    """One method with its request, and where it is called: all that a language needs."""

    package: str
    method: MethodDescriptor
    request: Message
    # The contract's own files, all of which are compiled.
    files: tuple[str, ...]
    gateway: Gateway
    # Without the token.
    metadata: tuple[tuple[str, str], ...]

    @property
    def service(self) -> str:
        """The service's own name."""
        return str(self.method.containing_service.name)

    @property
    def file(self) -> FileDescriptor:
        """The file that has the service."""
        found: FileDescriptor = self.method.containing_service.file
        return found

    @property
    def path(self) -> str:
        """`wisata.v1.Wisata/Get`."""
        return f"{self.method.containing_service.full_name}/{self.method.name}"

    @property
    def request_json(self) -> str:
        """The request in protobuf's JSON, on one line."""
        said = json_format.MessageToDict(self.request, always_print_fields_with_no_presence=True)
        return json.dumps(_without_empty(said), ensure_ascii=False)


def make_called(
    descriptor_set: bytes,
    package: str,
    service: str,
    method: str,
    request_json: str,
    gateway: Gateway,
    metadata: tuple[tuple[str, str], ...],
) -> Called:
    """A method of a contract, with a request; an empty `method` is the first that is unary.

    Raises:
        SimpulError: METHOD_UNKNOWN; REQUEST_MALFORMED for a request that isn't the method's;
            PROTOSET_INVALID for names that no source could hold.
    """
    pool = contract_pool(descriptor_set)
    found = pool.FindServiceByName(service)
    chosen = _method(list(found.methods), service, method)
    files = (file.name for file in FileDescriptorSet.FromString(descriptor_set).file)
    own = tuple(name for name in files if not name.startswith(_BROUGHT))
    _check(own, chosen)
    request = _request(chosen.input_type, request_json)
    return Called(package, chosen, request, own, gateway, metadata)


def parts(message: Descriptor) -> tuple[str, ...]:
    """A message's name within its file: of a nested one, those around it too."""
    around = () if message.containing_type is None else parts(message.containing_type)
    return (*around, str(message.name))


def tree(message: Message) -> dict[str, object]:
    """A request as nested values, by the names of the `.proto` file; enums by name.

    Without fields that have one value, it's the skeleton of a request.
    """
    fields = list(_shown(message))
    return {field.name: _value(field, getattr(message, field.name)) for field in fields}


def _shown(message: Message) -> Iterator[FieldDescriptor]:
    set_ones = {field.name for field, _ in message.ListFields()}
    descriptor: Any = message.DESCRIPTOR
    for field in descriptor.fields:
        # What has no value and would not be a plain empty one is left out.
        if field.name in set_ones or not (field.has_presence or field.is_repeated):
            yield field


def _value(field: FieldDescriptor, value: object) -> object:
    if field.is_repeated:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            inner = field.message_type.fields_by_name["value"]
            items = value.items()  # type: ignore[attr-defined]  # protobuf's map
            return {key: _single(inner, each) for key, each in items}
        return [_single(field, each) for each in value]  # type: ignore[attr-defined]
    return _single(field, value)


def _single(field: FieldDescriptor, value: object) -> object:
    if isinstance(value, Message):
        return tree(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(int(str(value)))
        return value if known is None else str(known.name)
    return value


def _without_empty(said: dict[str, object]) -> dict[str, object]:
    """Empty lists and maps say nothing."""
    return {key: value for key, value in said.items() if value not in ([], {})}


def _method(methods: list[MethodDescriptor], service: str, name: str) -> MethodDescriptor:
    if name:
        found = next((each for each in methods if each.name == name), None)
    else:
        unary = (e for e in methods if not (e.client_streaming or e.server_streaming))
        found = next(unary, methods[0] if methods else None)
    if found is None:
        known = ", ".join(str(each.name) for each in methods)
        raise SimpulError(
            Code.METHOD_UNKNOWN, f"{service} has no method {name[:80]!a}; it has {known}"
        )
    return found


def _request(kind: Descriptor, text: str) -> Message:
    message: Message = GetMessageClass(kind)()
    if not text:
        return message
    if len(text) > MAX_JSON_CHARS:
        raise SimpulError(
            Code.REQUEST_MALFORMED, f"the request has over {MAX_JSON_CHARS} characters"
        )
    try:
        json_format.Parse(text, message)
    except (json_format.ParseError, RecursionError) as error:
        why = " ".join(str(error).split())[:200]
        raise SimpulError(
            Code.REQUEST_MALFORMED, f"the request is no {kind.full_name} in JSON: {why!a}"
        ) from None
    return message


def _check(files: tuple[str, ...], method: MethodDescriptor) -> None:
    names = [
        str(method.containing_service.name), str(method.name), *parts(method.input_type),
        *(str(field.name) for field in method.input_type.fields),
    ]  # fmt: skip
    for name in names:
        if _IDENTIFIER.fullmatch(name) is None:
            raise _strange("name", name)
    packages = (method.containing_service.file.package, method.input_type.file.package)
    for package in packages:
        if package and _PACKAGE.fullmatch(package) is None:
            raise _strange("package", package)
    for name in files:
        if _FILE.fullmatch(name) is None:
            raise _strange("file", name)


def _strange(what: str, name: str) -> SimpulError:
    return SimpulError(
        Code.PROTOSET_INVALID,
        f"the contract has a {what} that no snippet can hold: {name[:200]!a}; its owner must "
        "publish it under a plain one",
    )
