"""What of a contract is compared: its services, methods, messages and fields, as concepts.

A contract is a package: all services that the package's own files define, with every message that
their methods reach. Well-known types of Google's are kinds of fields, and are not entered. Comments
count where the descriptor set has them.

Pure. The descriptor set was checked before (`security.contract`): here it is only walked, within
limits, so what is strange costs little and gives few features.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

from runtime.language.words import Concept, comment_concepts, concepts

# A contract past these is compared by its first ones.
MAX_METHODS: Final = 100
MAX_MESSAGES: Final = 100
MAX_FIELDS: Final = 400
MAX_COMMENT_WORDS: Final = 60

# A message with one message in it and at most so many fields, such as a page's token, wraps it.
_WRAPPER_FIELDS: Final = 2

# How much a word counts by where it stands.
_SERVICE_SHARE: Final = 3.0
_METHOD_SHARE: Final = 1.0
_MESSAGE_SHARE: Final = 1.0
_FIELD_SHARE: Final = 0.5
_COMMENT_SHARE: Final = 0.3
_PACKAGE_SHARE: Final = 0.7

_COMMENT_PATHS: Final = MappingProxyType({"message": 4, "service": 6, "field": 2})

_Type = FieldDescriptorProto.Type
_KINDS: Final[Mapping[int, str]] = MappingProxyType(
    {
        _Type.TYPE_DOUBLE: "f", _Type.TYPE_FLOAT: "f",
        _Type.TYPE_STRING: "s", _Type.TYPE_BYTES: "y", _Type.TYPE_BOOL: "b",
        _Type.TYPE_ENUM: "e", _Type.TYPE_MESSAGE: "m", _Type.TYPE_GROUP: "m",
    }
)  # fmt: skip
_INTEGER: Final = "i"
_TIME: Final = "t"
_TIMES: Final = frozenset(
    {".google.protobuf.Timestamp", ".google.type.Date", ".google.type.DateTime"}
)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message; `kind` is a letter for all types that people choose between freely."""

    name: str
    concepts: tuple[Concept, ...]
    kind: str
    repeated: bool
    number: int


@dataclass(frozen=True, slots=True)
class Message:
    """A message that a method reaches, with its shape: its fields' kinds in order of numbers."""

    name: str
    concepts: tuple[Concept, ...]
    fields: tuple[Field, ...]
    shape: str


@dataclass(frozen=True, slots=True)
class Method:
    """A method; `streaming` is one of `unary`, `client`, `server`, `both`."""

    name: str
    concepts: tuple[Concept, ...]
    streaming: str
    request: str
    response: str


@dataclass(frozen=True, slots=True)
class Features:
    """A contract, as it is compared."""

    package: str
    # What it is about: concepts with their weights, of the names of services and methods.
    subject: Mapping[str, float]
    # The same of every name and comment.
    topic: Mapping[str, float]
    methods: tuple[Method, ...]
    messages: tuple[Message, ...]


def features(descriptor_set: bytes, package: str, comments: Mapping[str, str]) -> Features:
    """What of a contract is compared.

    Args:
        descriptor_set: A FileDescriptorSet that was checked, with all imports.
        package: The contract's package; of a service without one, the service's name.
        comments: By the elements' full names, beside those that the set itself may have.
    """
    files = FileDescriptorSet.FromString(descriptor_set).file
    known = {
        name: message for file in files for name, message in _messages(f".{file.package}", file)
    }
    own = [file for file in files if package in (file.package, *_bare_services(file))]
    services = [(file, service) for file in own for service in file.service]
    methods = [
        (f"{service.name}.{method.name}", method)
        for _, service in services
        for method in service.method
    ][:MAX_METHODS]
    messages = _reached(methods, known)
    told = [comments[name] for name in comments] + [text for file in own for text in _told(file)]
    subject = _Weights()
    subject.add(package, _PACKAGE_SHARE)
    for _, service in services:
        subject.add(service.name, _SERVICE_SHARE)
    for _, method in methods:
        subject.add(method.name, _METHOD_SHARE)
    topic = _Weights(subject)
    for message in messages:
        topic.take(message.concepts, _MESSAGE_SHARE)
        for field in message.fields:
            topic.take(field.concepts, _FIELD_SHARE)
    for text in told:
        topic.take(comment_concepts(text, MAX_COMMENT_WORDS), _COMMENT_SHARE)
    return Features(
        package=package,
        subject=MappingProxyType(subject),
        topic=MappingProxyType(topic),
        methods=tuple(_method(name, method, known) for name, method in methods),
        messages=messages,
    )


class _Weights(dict[str, float]):
    """Concepts with what they add up to."""

    def add(self, identifier: str, share: float) -> None:
        self.take(concepts(identifier.replace(".", "_")), share)

    def take(self, found: Iterable[Concept], share: float) -> None:
        for each in found:
            self[each.name] = self.get(each.name, 0.0) + share * each.weight


def _bare_services(file: FileDescriptorProto) -> Iterator[str]:
    if not file.package:
        yield from (service.name for service in file.service)


def _messages(
    scope: str, holder: FileDescriptorProto | DescriptorProto
) -> Iterator[tuple[str, DescriptorProto]]:
    inner = holder.message_type if isinstance(holder, FileDescriptorProto) else holder.nested_type
    for message in inner:
        name = f"{scope.rstrip('.')}.{message.name}"
        yield name, message
        yield from _messages(name, message)


def _reached(
    methods: list[tuple[str, MethodDescriptorProto]], known: Mapping[str, DescriptorProto]
) -> tuple[Message, ...]:
    """The messages that the methods reach, each once, the nearest first; of maps, their values."""
    waiting = [name for _, each in methods for name in (each.input_type, each.output_type)]
    seen = set(waiting)
    found: list[Message] = []
    fields_left = MAX_FIELDS
    for name in waiting:
        message = known.get(name)
        if message is None or name.startswith(".google.") or len(found) == MAX_MESSAGES:
            continue
        if not message.options.map_entry:
            made = _message(message, fields_left)
            fields_left -= len(made.fields)
            found.append(made)
        for field in message.field:
            if field.type_name and field.type_name not in seen:
                seen.add(field.type_name)
                waiting.append(field.type_name)
    return tuple(found)


def _message(message: DescriptorProto, most_fields: int) -> Message:
    named = tuple(each for each in concepts(message.name) if not each.is_verb)
    within = {each.name for each in named}
    fields = sorted(message.field, key=lambda field: field.number)[:most_fields]
    made = tuple(_field(field, within) for field in fields)
    shape = "".join(field.kind.upper() if field.repeated else field.kind for field in made)
    return Message(message.name, named, made, shape)


def _field(field: FieldDescriptorProto, within: set[str]) -> Field:
    found = concepts(field.name)
    # `nama_pulau` in `Pulau` says no more than `nama`.
    telling = tuple(each for each in found if each.name not in within)
    kind = _TIME if field.type_name in _TIMES else _KINDS.get(field.type, _INTEGER)
    repeated = field.label == FieldDescriptorProto.Label.LABEL_REPEATED
    return Field(field.name, telling or found, kind, repeated, field.number)


def _method(
    name: str, method: MethodDescriptorProto, known: Mapping[str, DescriptorProto]
) -> Method:
    streaming = {
        (False, False): "unary",
        (True, False): "client",
        (False, True): "server",
        (True, True): "both",
    }[method.client_streaming, method.server_streaming]
    return Method(
        name=name,
        concepts=concepts(method.name),
        streaming=streaming,
        request=_carried(method.input_type, known),
        response=_carried(method.output_type, known),
    )


def _carried(type_name: str, known: Mapping[str, DescriptorProto]) -> str:
    """The message's name; of one that only wraps another, the other's."""
    message = known.get(type_name)
    if message is not None:
        inner = [field.type_name for field in message.field if field.type_name in known]
        if len(inner) == 1 and len(message.field) <= _WRAPPER_FIELDS:
            type_name = inner[0]
    return type_name.rpartition(".")[2]


def _told(file: FileDescriptorProto) -> Iterator[str]:
    """The comments on a file's services, methods, messages and fields, as far as it holds any."""
    for place in file.source_code_info.location:
        if place.path and place.path[0] in _COMMENT_PATHS.values() and place.leading_comments:
            yield place.leading_comments
