"""gRPC server reflection, v1 and v1alpha: the contracts of what the caller may call, and no others.

The contracts come from the directory, so a tool like grpcurl lists, describes and calls the
services of many providers through one node. The two versions have the same messages under two
names, and one implementation here. Extensions don't occur in contracts, and are not found.

Source: grpc/reflection/v1/reflection.proto and its documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha.reflection_pb2 import (
    ErrorResponse,
    ServerReflectionRequest,
    ServerReflectionResponse,
)

from node.calls import Cancelled, Headers, InboundCall, Message, Trailers
from node.model import Current
from node.standard.own import CONTRACTS
from node.standard.reach import files_of, reachable
from security.errors import Code, SimpulError

# On the wire the messages of both are the same, field by field.
SERVICES: Final = (
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
)
METHOD: Final = "ServerReflectionInfo"
_NOT_FOUND: Final = 5


async def reflect(call: InboundCall, current: Current, now_ms: int) -> None:
    """Answer one stream of questions to its end."""
    contracts = {
        service.id.service: service.descriptor_set
        for service in reachable(call.request, current.snapshot, now_ms)
    }
    shown = Contracts({**contracts, **CONTRACTS})
    await call.send(Headers())
    while isinstance(event := await call.receive(), Message):
        try:
            question = ServerReflectionRequest.FromString(event.data)
        except DecodeError:
            raise SimpulError(
                Code.REQUEST_MALFORMED, "that is no ServerReflectionRequest"
            ) from None
        await call.send(Message(shown.answer(question).SerializeToString()))
    if isinstance(event, Cancelled):
        raise SimpulError(Code.CANCELLED, "the app gave the questions up")
    await call.send(Trailers(0))


class Contracts:
    """The files of some contracts. Of two files with one name, the first service's is shown."""

    def __init__(self, contracts: Mapping[str, bytes]) -> None:
        # What others offer comes first.
        self._services = tuple(sorted(contracts, key=lambda name: (name in CONTRACTS, name)))
        self._files: dict[str, FileDescriptorProto] = {}
        self._symbols: dict[str, str] = {}
        for service in self._services:
            for file in files_of(contracts[service]):
                if file.name not in self._files:
                    self._files[file.name] = file
                    for symbol in _symbols(file):
                        self._symbols.setdefault(symbol, file.name)

    def answer(self, question: ServerReflectionRequest) -> ServerReflectionResponse:
        """Answer one question."""
        answer = ServerReflectionResponse(valid_host=question.host, original_request=question)
        match question.WhichOneof("message_request"):
            case "list_services":
                for name in (*self._services, *SERVICES):
                    answer.list_services_response.service.add(name=name)
            case "file_by_filename":
                self._file(answer, question.file_by_filename, question.file_by_filename)
            case "file_containing_symbol":
                symbol = question.file_containing_symbol
                self._file(answer, self._symbols.get(symbol), symbol)
            case _:
                answer.error_response.CopyFrom(_not_found("extensions aren't part of contracts"))
        return answer

    def _file(self, answer: ServerReflectionResponse, name: str | None, asked: str) -> None:
        if name is None or name not in self._files:
            answer.error_response.CopyFrom(_not_found(f"no {asked[:100]!a} that you may see"))
            return
        answer.file_descriptor_response.file_descriptor_proto.extend(
            file.SerializeToString() for file in self._with_imports(name)
        )

    def _with_imports(self, name: str) -> Iterator[FileDescriptorProto]:
        """Each file once, however often it is imported: ways through imports may be very many."""
        waiting, seen = [name], {name}
        while waiting:
            file = self._files[waiting.pop()]
            yield file
            for imported in file.dependency:
                if imported not in seen:
                    seen.add(imported)
                    waiting.append(imported)


def _not_found(text: str) -> ErrorResponse:
    return ErrorResponse(error_code=_NOT_FOUND, error_message=text)


def _symbols(file: FileDescriptorProto) -> Iterator[str]:
    prefix = f"{file.package}." if file.package else ""
    for service in file.service:
        yield prefix + service.name
        for method in service.method:
            yield f"{prefix}{service.name}.{method.name}"
    for message in file.message_type:
        yield from _in_message(prefix, message)
    for enum in file.enum_type:
        yield prefix + enum.name


def _in_message(prefix: str, message: DescriptorProto) -> Iterator[str]:
    name = prefix + message.name
    yield name
    for field in message.field:
        yield f"{name}.{field.name}"
    for enum in message.enum_type:
        yield f"{name}.{enum.name}"
    for nested in message.nested_type:
        yield from _in_message(f"{name}.", nested)
