"""What operators ask about the journal that needs a running node: thin, like `admin`."""
# ruff: noqa: N802 - the methods bear the names of the service's methods

from __future__ import annotations

from collections.abc import AsyncIterator

from google.protobuf.message import Message
from grpc import aio

from node.operations.desk import Desk
from node.operations.reconciliation import reconcile
from node.reconciliation.asking import ComparedHour, Event, Progress
from security.identifiers import NodeId
from security.reconcile import HOUR_MS, Difference
from simpul.node.v1 import admin_pb2, admin_pb2_grpc

Context = aio.ServicerContext[Message, Message]


class JournalAdmin(admin_pb2_grpc.NodeAdminServicer):
    """The part of simpul.node.v1.NodeAdmin that is about the journal."""

    _desk: Desk

    async def ReconcileJournal(
        self, request: admin_pb2.ReconcileJournalRequest, context: Context
    ) -> AsyncIterator[admin_pb2.ReconcileJournalResponse]:
        """Compare this node's record with another's."""
        del context
        peer = NodeId.parse(request.peer)
        async for event in reconcile(self._desk, peer, request.from_ms, request.until_ms or None):
            yield _response(request.peer, event)


def _response(peer: str, event: Event) -> admin_pb2.ReconcileJournalResponse:
    if isinstance(event, Progress):
        progress = admin_pb2.ReconciliationProgress(hours_done=event.done, hours_total=event.total)
        return admin_pb2.ReconcileJournalResponse(progress=progress)
    if isinstance(event, ComparedHour):
        return admin_pb2.ReconcileJournalResponse(hour=_hour(event))
    return admin_pb2.ReconcileJournalResponse(
        summary=admin_pb2.ReconciliationSummary(
            peer=peer,
            from_ms=event.from_ms,
            until_ms=event.until_ms,
            parcels=event.parcels,
            differences=event.differences,
            serious=event.serious,
            more=event.more,
            questions=event.questions,
            asked_bytes=event.asked_bytes,
            answered_bytes=event.answered_bytes,
            archived_hours=event.archived_hours,
            held_from_here_ms=event.held_from_here_ms,
            held_from_there_ms=event.held_from_there_ms,
        )
    )


def _hour(event: ComparedHour) -> admin_pb2.ReconciledHour:
    here, there = event.here, event.there
    return admin_pb2.ReconciledHour(
        from_ms=here.hour * HOUR_MS,
        acknowledged_here=here.acknowledged.count,
        acknowledged_there=there.acknowledged.count,
        unacknowledged_here=here.unacknowledged.count,
        unacknowledged_there=there.unacknowledged.count,
        regarded_differently=event.regarded,
        differences=map(_difference, event.differences),
        archived_here=event.archived_here,
        archived_there=event.archived_there,
    )


def _difference(item: Difference) -> admin_pb2.ParcelDifference:
    place = item.place
    return admin_pb2.ParcelDifference(
        finding=item.finding.value,
        serious=item.serious,
        link_id=place.link_id,
        sent=place.sent,
        number=place.number,
        sealed_at_ms=place.sealed_at_ms,
        acknowledged=place.acknowledged,
        header_hash_here=b"" if item.here is None else item.here.header_hash,
        header_hash_there=b"" if item.there is None else item.there.header_hash,
    )
