"""The labelled contracts and pairs under `data/`, read from their compact form.

    contract PACKAGE SERVICE
    # What it is for.
    Method(field, field:type) Message       the request is MethodRequest with these fields
    Method(Message) stream Message          or a message that is written out
    Method(field) Message*                  the answer is MethodResponse with these, repeated
    Message: field, field:type, field:type*

A field without a type is a string; `enum` makes one of its own, `time` is a Timestamp, and a type
that begins with a capital is a message. Numbers count from 1.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.timestamp_pb2 import Timestamp

DATA: Final = Path(__file__).parent / "data"

_METHOD: Final = re.compile(r"(\w+)\((stream )?([^)]*)\) (stream )?(\w+)(\*?)")
_MESSAGE: Final = re.compile(r"([A-Z]\w*): (.*)")
_SCALARS: Final = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "uint32": FieldDescriptorProto.TYPE_UINT32,
}


@dataclass(frozen=True, slots=True)
class LabelledContract:
    """A contract, with the descriptor set that it stands for."""

    package: str
    service: str
    descriptor_set: bytes


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """Two contracts' packages, and whether they are for the same."""

    one: str
    two: str
    same: bool


def read_contracts(name: str) -> dict[str, LabelledContract]:
    """The contracts of `data/NAME.contracts`, by package."""
    text = (DATA / f"{name}.contracts").read_text()
    found = {}
    for block in filter(str.strip, re.split(r"^contract ", text, flags=re.MULTILINE)):
        head, *lines = block.strip().splitlines()
        package, service = head.split()
        assert package not in found, package
        found[package] = LabelledContract(package, service, _expand(package, service, lines))
    return found


def read_pairs(name: str) -> list[LabelledPair]:
    """The pairs of `data/NAME.pairs`."""
    pairs = []
    for line in (DATA / f"{name}.pairs").read_text().splitlines():
        label, one, two = line.split()
        assert label in {"same", "other"}, line
        pairs.append(LabelledPair(one, two, label == "same"))
    return pairs


def _expand(package: str, service: str, lines: list[str]) -> bytes:
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    defined = file.service.add(name=service)
    for line in lines:
        if line.startswith("# "):
            file.source_code_info.location.add(path=[6, 0], leading_comments=line[1:])
        elif (message := _MESSAGE.fullmatch(line)) is not None:
            _fill(file, file.message_type.add(name=message[1]), message[2])
        elif (method := _METHOD.fullmatch(line)) is not None:
            name, client, request, server, response, repeated = method.groups()
            if not request[:1].isupper():
                _fill(file, file.message_type.add(name=f"{name}Request"), request)
                request = f"{name}Request"
            if repeated:
                wrapper = file.message_type.add(name=f"{name}Response")
                _fill(file, wrapper, f"{'data' if response[0] < 'M' else 'items'}:{response}*")
                response = wrapper.name
            defined.method.add(
                name=name,
                input_type=f".{package}.{request}",
                output_type=f".{package}.{response}",
                client_streaming=client is not None,
                server_streaming=server is not None,
            )
        else:
            raise AssertionError(line)
    timestamp = FileDescriptorProto.FromString(Timestamp.DESCRIPTOR.file.serialized_pb)
    return FileDescriptorSet(file=[timestamp, file]).SerializeToString()


def _fill(file: FileDescriptorProto, message: DescriptorProto, fields: str) -> None:
    for number, (name, kind, repeated) in enumerate(_fields(fields), start=1):
        field = message.field.add(name=name, number=number)
        field.label = (
            FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
        )
        if kind == "time":
            field.type = FieldDescriptorProto.TYPE_MESSAGE
            field.type_name = ".google.protobuf.Timestamp"
        elif kind == "enum":
            field.type = FieldDescriptorProto.TYPE_ENUM
            field.type_name = f".{file.package}.{message.name}.Kind{number}"
            made = message.enum_type.add(name=f"Kind{number}")
            made.value.add(name=f"KIND{number}_UNSPECIFIED", number=0)
        elif kind[0].isupper():
            field.type = FieldDescriptorProto.TYPE_MESSAGE
            field.type_name = f".{file.package}.{kind}"
        else:
            field.type = _SCALARS[kind]


def _fields(text: str) -> Iterator[tuple[str, str, bool]]:
    for part in filter(None, text.split(", ")):
        name, _, kind = part.rstrip("*").partition(":")
        yield name, kind or "string", part.endswith("*")
