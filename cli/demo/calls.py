"""The demo's calls: plain gRPC, as any app makes them, and a note of each.

The stubs are those generated for the examples; the channel goes to the app's own node. What the
notes hold comes from the calls themselves: the id from the trailers, the status from gRPC.
"""

import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import grpc

from examples.gen.bandara.v1 import bandara_pb2_grpc
from examples.gen.wisata.v1 import wisata_pb2_grpc

CALL_ID: Final = "simpul-call-id"
ERROR: Final = "simpul-error"
TIMEOUT_S: Final = 20.0

Answer = TypeVar("Answer")
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CallNote:
    """One call as its app saw it. `code`: Simpul's own, where Simpul ended the call."""

    call_id: str
    kind: str
    consumer: str
    provider: str
    method: str
    status: str
    code: str
    ms: float


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a call asks for what: a subsystem, and `wisata.v1.Wisata/Get`."""

    kind: str
    provider: str
    method: str


@dataclass(slots=True)
class App:
    """An app of one subsystem, with its credential and a channel to its node."""

    subsystem: str
    token: str
    channel: grpc.aio.Channel
    notes: list[CallNote] = field(default_factory=list)

    @property
    def wisata(self) -> "wisata_pb2_grpc.WisataAsyncStub":
        """The stub that anybody would use."""
        return wisata_pb2_grpc.WisataStub(self.channel)

    @property
    def bandara(self) -> "bandara_pb2_grpc.BandaraAsyncStub":
        """The stub that anybody would use."""
        return bandara_pb2_grpc.BandaraStub(self.channel)

    def metadata(self, provider: str) -> Metadata:
        """What goes with a call to `provider`."""
        return (("simpul-to", provider), ("simpul-token", self.token))

    async def note(self, target: Target, call: Any, answer: Awaitable[Answer]) -> Answer:  # noqa: ANN401  (grpc's call classes share no public base with trailing_metadata)
        """Waits for `answer`, and notes how `call` went. Raises what the call raised."""
        began_s = time.perf_counter()
        try:
            found = await answer
        except grpc.aio.AioRpcError as error:
            self._note(target, began_s, error.code().name, error.trailing_metadata())
            raise
        self._note(target, began_s, "OK", await call.trailing_metadata())
        return found

    def _note(self, target: Target, began_s: float, status: str, trailers: Any) -> None:  # noqa: ANN401  (as grpc has it)
        said = {key: value for key, value in trailers or () if isinstance(value, str)}
        self.notes.append(
            CallNote(
                call_id=said.get(CALL_ID, ""),
                kind=target.kind,
                consumer=self.subsystem,
                provider=target.provider,
                method=target.method,
                status=status,
                code=said.get(ERROR, ""),
                ms=(time.perf_counter() - began_s) * 1000,
            )
        )


@asynccontextmanager
async def app(subsystem: str, token: str, gateway: str) -> AsyncIterator[App]:
    """An app, for a block."""
    async with grpc.aio.insecure_channel(gateway) as channel:
        yield App(subsystem, token, channel)


async def collected(answers: AsyncIterator[Answer]) -> list[Answer]:
    """All answers of a stream."""
    return [answer async for answer in answers]
