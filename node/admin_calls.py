"""The part of the operators' service that is about calls: parses, calls an operation, converts."""
# ruff: noqa: N802 - the methods bear the names of the service's methods

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Final, TypeVar

from google.protobuf.message import Message
from grpc import aio

from node.admin_keys import KeyAdmin
from node.journal.model import CallDetail, CallEntry, CallFilter, CallRow, Outcome, Role
from node.operations import calls
from security.errors import Code, SimpulError
from security.persons import PersonKind
from simpul.node.v1 import admin_pb2

Context = aio.ServicerContext[Message, Message]
Chosen = TypeVar("Chosen", bound=StrEnum)

DEFAULT_LIMIT: Final = 100
_CALL_ID_BYTES: Final = 16
_HASH_BYTES: Final = 32


class CallAdmin(KeyAdmin):
    """The part of simpul.node.v1.NodeAdmin that is about calls."""

    async def ListCalls(
        self, request: admin_pb2.ListCallsRequest, context: Context
    ) -> admin_pb2.ListCallsResponse:
        """The newest calls that match."""
        del context
        wanted = replace(
            _filter(request),
            persons=await calls.person_tags(
                self._desk,
                {
                    PersonKind.SUBJECT: request.subject,
                    PersonKind.USER: request.user,
                    PersonKind.ISSUE: request.issue,
                },
            ),
        )
        rows = await calls.list_calls(self._desk, wanted)
        following = None
        if len(rows) == wanted.limit:
            opened_at_ms, number = rows[-1].key
            following = admin_pb2.CallPosition(opened_at_ms=opened_at_ms, number=number)
        return admin_pb2.ListCallsResponse(calls=[_call(row) for row in rows], next=following)

    async def ShowCall(
        self, request: admin_pb2.ShowCallRequest, context: Context
    ) -> admin_pb2.ShowCallResponse:
        """The calls of one id."""
        del context
        call_id = _sized("call_id", request.call_id, _CALL_ID_BYTES)
        found = await calls.show_call(self._desk, call_id)
        return admin_pb2.ShowCallResponse(calls=[_detail(item) for item in found])


def _filter(request: admin_pb2.ListCallsRequest) -> CallFilter:
    after = request.after
    return CallFilter(
        call_id=_sized("call_id", request.call_id, _CALL_ID_BYTES) if request.call_id else None,
        role=_one_of("role", request.role, Role),
        outcome=_one_of("outcome", request.outcome, Outcome),
        peer=request.peer or None,
        consumer=request.consumer or None,
        provider=request.provider or None,
        service=request.service or None,
        method=request.method or None,
        agreement=_sized("agreement", request.agreement, _HASH_BYTES)
        if request.agreement
        else None,
        purpose=request.purpose or None,
        on_behalf_of=request.on_behalf_of or None,
        status=request.status if request.HasField("status") else None,
        code=request.code or None,
        since_ms=request.since_ms or None,
        until_ms=request.until_ms or None,
        below=(after.opened_at_ms, after.number) if request.HasField("after") else None,
        limit=request.limit or DEFAULT_LIMIT,
    )


def _one_of(name: str, text: str, kind: type[Chosen]) -> Chosen | None:
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        raise SimpulError(
            Code.REQUEST_MALFORMED, f"{name} {text[:40]!a} is none of {', '.join(kind)}"
        ) from None


def _sized(name: str, value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise SimpulError(Code.ID_MALFORMED, f"{name} has {len(value)} bytes, and takes {size}")
    return value


def _call(row: CallRow) -> admin_pb2.RecordedCall:
    return admin_pb2.RecordedCall(
        call_id=row.call_id,
        role=row.role.value,
        outcome=row.outcome.value,
        peer=row.peer or "",
        link_id=row.link_id or b"",
        consumer=row.consumer,
        provider=row.provider,
        service=row.service,
        method=row.method,
        agreement=row.agreement or b"",
        purpose=row.purpose or "",
        status=row.status,
        code=row.code or "",
        opened_at_ms=row.opened_at_ms,
        closed_at_ms=row.closed_at_ms or 0,
        request_bytes=row.request_bytes,
        response_bytes=row.response_bytes,
        settled=row.settled or "",
        on_behalf_of=row.on_behalf_of or "",
    )


def _detail(item: CallDetail) -> admin_pb2.CallDetail:
    return admin_pb2.CallDetail(
        call=_call(item.call), entries=[_entry(entry) for entry in item.entries]
    )


def _entry(item: CallEntry) -> admin_pb2.RecordedEntry:
    return admin_pb2.RecordedEntry(
        kind=item.kind,
        direction=item.direction.value,
        member=item.member,
        slot=item.slot,
        leaf=item.idx,
        parcel=item.number,
        sealed_at_ms=item.sealed_at_ms,
        recorded_at_ms=item.recorded_at_ms,
        header_hash=item.header_hash,
        leaf_hash=item.leaf_hash,
        rounded_bytes=item.rounded_bytes,
        entry=item.entry,
    )
