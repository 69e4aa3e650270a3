"""Asks a running gRPC server for its own description, by server reflection.

The answer is what `protoc --include_imports --descriptor_set_out` would have written: each file
after those that it imports. Version 1 is asked first, then v1alpha, which has the same messages
under an older name.

Rules: what a server says is bounded, in time, files and bytes; its texts go to nobody.

Source: grpc/reflection/v1/reflection.proto; gRPC Server Reflection Protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError, Message
from grpc import StatusCode, aio
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from node.provider.channel import channel_to
from node.provider.target import parse_target
from node.provider.tls import ServiceTls
from runtime.grpc_errors import from_rpc_error
from security.errors import Code, SimpulError
from security.limits import MIB

TIMEOUT_S: Final = 10.0
MAX_FILES: Final = 1000
MAX_BYTES: Final = 8 * MIB

_METHODS: Final = (
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
# Of the last method, where calls are lost.
_MORE_TIMES: Final = 2
_LOST: Final = "Internal error from Core"
# What every server with reflection offers beside its own.
_REFLECTION: Final = "grpc.reflection."

Call = aio.StreamStreamCall[Message, bytes]


async def reflect(target: str, services: Sequence[str], tls: ServiceTls | None = None) -> bytes:
    """A FileDescriptorSet, serialized, with the files of `services` and all that they import.

    Args:
        target: Of the server, in any of the spellings of `node.provider.target`.
        services: Full names; empty asks for all that the server lists, but for reflection itself.
        tls: For a target that is reached by TLS.

    Raises:
        SimpulError: The target is none (CONFIG_INVALID), can't be reached
            (SERVICE_UNREACHABLE), has no reflection (METHOD_UNKNOWN), lacks a service
            (PROTOSET_LACKS_SERVICE), or says too much or nonsense (PROTOSET_INVALID).
    """
    async with channel_to(parse_target(target), tls, max_message_bytes=MAX_BYTES) as channel:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await _first_that_answers(channel, target, services)
        except TimeoutError:
            raise SimpulError(
                Code.SERVICE_UNREACHABLE,
                f"{target} did not describe itself within {TIMEOUT_S:g} s; give --protoset",
            ) from None
        except aio.AioRpcError as error:
            raise _failed(error, target) from error


async def _first_that_answers(channel: aio.Channel, target: str, services: Sequence[str]) -> bytes:
    for method in (*_METHODS[:-1], *_METHODS[-1:] * _MORE_TIMES):
        try:
            return await _Reflection(channel, method, target).describe(services)
        except aio.AioRpcError as error:
            if error.code() is not StatusCode.UNIMPLEMENTED and not _is_lost(error):
                raise
    return await _Reflection(channel, _METHODS[-1], target).describe(services)


def _is_lost(error: aio.AioRpcError) -> bool:
    """A server that knows no such method may end the call before we have asked it anything.

    grpc then says that writing failed, and forgets what the server said.
    """
    return error.code() is StatusCode.INTERNAL and error.details() == _LOST


class _Reflection:
    """One conversation with a server: ask, answer, ask again."""

    def __init__(self, channel: aio.Channel, method: str, target: str) -> None:
        self._call: Call = channel.stream_stream(
            method,
            request_serializer=ServerReflectionRequest.SerializeToString,
            # Read here: of what it can't read grpcio writes a traceback into our log.
            response_deserializer=None,
        )()
        self._target = target
        self._files: dict[str, FileDescriptorProto] = {}
        self._bytes = 0

    async def describe(self, services: Sequence[str]) -> bytes:
        names = list(services) or await self._list()
        try:
            for name in names:
                await self._take(ServerReflectionRequest(file_containing_symbol=name), name)
            while missing := self._missing():
                for name in missing:
                    await self._take(ServerReflectionRequest(file_by_filename=name), name)
        finally:
            self._call.cancel()
        return FileDescriptorSet(file=_in_order(self._files)).SerializeToString()

    async def _list(self) -> list[str]:
        answer = await self._ask(ServerReflectionRequest(list_services="*"))
        names = [service.name for service in answer.list_services_response.service]
        return [name for name in names if not name.startswith(_REFLECTION)]

    async def _take(self, request: ServerReflectionRequest, what: str) -> None:
        answer = await self._ask(request)
        if answer.WhichOneof("message_response") != "file_descriptor_response":
            raise SimpulError(
                Code.PROTOSET_LACKS_SERVICE,
                f"{self._target} does not describe {what}; check the name, or give --protoset",
            )
        for data in answer.file_descriptor_response.file_descriptor_proto:
            self._keep(data)

    def _keep(self, data: bytes) -> None:
        try:
            file = FileDescriptorProto.FromString(data)
        except DecodeError:
            raise self._nonsense("with files that are none") from None
        if file.name in self._files:
            return
        self._files[file.name] = file
        self._bytes += len(data)
        if len(self._files) > MAX_FILES or self._bytes > MAX_BYTES:
            raise self._nonsense(f"with over {MAX_FILES} files or {MAX_BYTES // MIB} MiB")

    def _missing(self) -> list[str]:
        wanted = {name for file in self._files.values() for name in file.dependency}
        return sorted(wanted - self._files.keys())

    async def _ask(self, request: ServerReflectionRequest) -> ServerReflectionResponse:
        # Where the server has ended the call already, reading says how.
        with contextlib.suppress(asyncio.InvalidStateError):
            await self._call.write(request)
        answer = await self._call.read()
        if not isinstance(answer, bytes):
            raise self._nonsense("without an answer")
        try:
            return ServerReflectionResponse.FromString(answer)
        except DecodeError:
            raise self._nonsense("by what is no answer") from None

    def _nonsense(self, how: str) -> SimpulError:
        return SimpulError(
            Code.PROTOSET_INVALID,
            f"{self._target} describes itself {how}; give the descriptor set with --protoset",
        )


def _in_order(files: dict[str, FileDescriptorProto]) -> list[FileDescriptorProto]:
    """Each file after those that it imports. A cycle, which protoc refuses, is cut anywhere."""
    done: dict[str, FileDescriptorProto] = {}
    begun: set[str] = set()
    stack = sorted(files, reverse=True)
    while stack:
        name = stack[-1]
        waiting = [other for other in files[name].dependency if other not in begun]
        if name not in begun and waiting:
            begun.add(name)
            stack.extend(waiting)
            continue
        begun.add(name)
        stack.pop()
        done.setdefault(name, files[name])
    return list(done.values())


def _failed(error: aio.AioRpcError, target: str) -> SimpulError:
    if error.code() is StatusCode.UNIMPLEMENTED:
        return SimpulError(
            Code.METHOD_UNKNOWN,
            f"{target} has no server reflection; switch it on, or give --protoset",
        )
    return from_rpc_error(error, what=target, unreachable=Code.SERVICE_UNREACHABLE)
