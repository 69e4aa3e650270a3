"""What operators ask about erasures and the key of what is kept: thin, like `admin`."""
# ruff: noqa: N802 - the methods bear the names of the service's methods

from __future__ import annotations

from typing import Final

from google.protobuf.message import Message
from grpc import aio

from node.journal.kept.model import Reason
from node.operations.erasure import EraseResult, Erasures
from security.erasure import CALL_ID_BYTES
from security.errors import Code, SimpulError
from simpul.node.v1 import admin_pb2, admin_pb2_grpc

Context = aio.ServicerContext[Message, Message]

MAX_CALLS: Final = 100


class ErasureAdmin(admin_pb2_grpc.NodeAdminServicer):
    """The part of simpul.node.v1.NodeAdmin that is about erasures."""

    _erasures: Erasures

    async def EraseCalls(
        self, request: admin_pb2.EraseCallsRequest, context: Context
    ) -> admin_pb2.EraseCallsResponse:
        """Erase calls."""
        del context
        if not 0 < len(request.call_ids) <= MAX_CALLS:
            raise SimpulError(Code.REQUEST_MALFORMED, f"name 1 to {MAX_CALLS} calls")
        calls = [_call_id(each) for each in request.call_ids]
        done = await self._erasures.erase(calls, request.by, _reason(request.reason))
        scrubbed = await self._erasures.scrub()
        return admin_pb2.EraseCallsResponse(
            calls=[_erased(*each) for each in zip(calls, done, strict=True)], scrubbed=scrubbed
        )

    async def DeclineErasure(
        self, request: admin_pb2.DeclineErasureRequest, context: Context
    ) -> admin_pb2.DeclineErasureResponse:
        """Set notices aside."""
        del context
        count = await self._erasures.decline(_call_id(request.call_id))
        return admin_pb2.DeclineErasureResponse(notices=count)

    async def RewrapJournal(
        self, request: admin_pb2.RewrapJournalRequest, context: Context
    ) -> admin_pb2.RewrapJournalResponse:
        """Replace the wrapping key, a part at a time."""
        del context
        key_id, done, left, destroyed = await self._erasures.rewrap(new_key=request.new_key)
        return admin_pb2.RewrapJournalResponse(
            key_id=key_id, done=done, left=left, destroyed=destroyed
        )


def _erased(call_id: bytes, result: EraseResult) -> admin_pb2.ErasedCall:
    if isinstance(result, SimpulError):
        return admin_pb2.ErasedCall(
            call_id=call_id, error_code=result.code.value, error_message=result.message
        )
    return admin_pb2.ErasedCall(
        call_id=call_id,
        entries=result.entries,
        erased_at_ms=result.at_ms,
        again=result.again,
        tells=result.tells,
    )


def _call_id(data: bytes) -> bytes:
    if len(data) != CALL_ID_BYTES:
        raise SimpulError(Code.REQUEST_MALFORMED, f"a call id has {CALL_ID_BYTES} bytes")
    return data


def _reason(text: str) -> Reason:
    if text not in [*Reason]:
        raise SimpulError(
            Code.REQUEST_MALFORMED, f"{text[:40]!a} is no reason; give one of {', '.join(Reason)}"
        )
    return Reason(text)
